"""A bundle as MLflow loads it: its ``onnx`` flavor, and ``pyfunc`` on arrays and on a DataFrame."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from small_runs import table

from headstart.bundles import check_files, open_bundle

pytestmark = pytest.mark.slow


def test_mlflow_loads_a_bundle_by_both_flavors(mlp_bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own, about what it will change
        mlflow = pytest.importorskip("mlflow")
        onnx_flavor = pytest.importorskip("mlflow.onnx")
        folder = mlp_bundle[1]
        check_files(folder)  # its files are among those with a digest
        bundle = open_bundle(folder)
        rows = table().drop(columns="label").iloc[:6].to_dict("records")
        (arrays,) = bundle.arrays(bundle.read(rows), np.arange(6))
        (expected,) = bundle.run([arrays])
        loaded = mlflow.pyfunc.load_model(str(folder))
        found = loaded.predict(arrays)
        assert np.abs(np.asarray(found["logits"]) - expected).max() < 1e-5
        names = [one["name"] for one in loaded.metadata.signature.inputs.to_dict()]
        assert names == list(arrays)
        network = onnx_flavor.load_model(str(folder))
        session = onnxruntime.InferenceSession(
            network.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        assert np.abs(session.run(None, arrays)[0] - expected).max() < 1e-5
        # a DataFrame has a column an input, whose cells are the rows of its array
        frame = pd.DataFrame({name: list(array) for name, array in arrays.items()})
        told = loaded.predict(frame)
        assert np.asarray(told["logits"]).shape == expected.shape
        assert np.abs(np.asarray(told["logits"]) - expected).max() < 1e-5
        # columns of single numbers are no input of it
        with pytest.raises(Exception, match=r"(?i)input|column|shape|schema|tensor|feature"):
            loaded.predict(pd.DataFrame({"x": [1.0]}))
