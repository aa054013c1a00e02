"""What was settled on val decides in a bundle and on a server as it does in ``predict``."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from serving_process import ServingProcess

import headstart as hs
from headstart.bundles import open_bundle

N = 240
SAID = {"start": "scratch/linear", "device": "cpu", "quiet": True}
COSTS = np.array([[0.0, 1.0, 1.0], [12.0, 0.0, 6.0], [2.0, 1.0, 0.0]])
KINDS = ["fine", "ill", "worn"]


def _rows(num=N):
    draw = np.random.default_rng(0)
    kind = draw.choice(3, num, p=[0.6, 0.15, 0.25])
    return pd.DataFrame(
        {f"x{k}": draw.normal(size=num) + 1.3 * (kind == k) for k in range(3)}
    ), kind


def _cases(folder):
    rows, kind = _rows()
    named = np.array(KINDS)[kind]
    pd.DataFrame(COSTS, index=KINDS, columns=KINDS).to_csv(folder / "matrix.csv")
    both = [" ".join(np.array(["wet", "cold"])[[k == 1, k == 2]]) or "" for k in kind]
    yield "costs", rows.assign(state=named), {"costs": str(folder / "matrix.csv")}, {}
    yield (
        "threshold",
        rows.assign(state=np.where(kind == 1, "ill", "well")),
        {"threshold": "f1"},
        {},
    )
    yield "rejecting", rows.assign(state=named), {"reject": "confidence=0.7"}, {}
    several = {"separator": " ", "task": "multi-label"}
    yield "several", rows.assign(state=both), {"threshold": "f1"}, several


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a run and a bundle of each case, and what answers would be that are made plainly."""
    folder, found = tmp_path_factory.mktemp("deciding"), {}
    for name, frame, said, read in _cases(folder):
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False)
        data = hs.load(str(path), label="state", **read)
        run = hs.finetune(data, **SAID, **said, out=str(folder / f"{name}-run"))
        found[name] = run, hs.export(str(run.path), to="onnx", out=str(folder / name))
    return found


@pytest.fixture(scope="module")
def server(made):
    with ServingProcess(*(bundle for _, bundle in made.values())) as running:
        yield running


def _plain(one, classes):
    """Return what would be answered if nothing had been settled."""
    likely = [c for c, p in zip(classes, one.probabilities, strict=True) if p > 0.5]
    several = sum(one.probabilities) != pytest.approx(1.0)
    return ", ".join(likely) if several else classes[int(np.argmax(one.probabilities))]


@pytest.mark.parametrize("name", ["costs", "threshold", "rejecting", "several"])
def test_bundle_and_server_decide_as_predict_does(name, made, server):
    run, bundle = made[name]
    rows, _ = _rows()
    expected = run.predict(rows)
    labels = [one.label for one in expected]
    # it matters: not all of these are what would be answered without
    assert labels != [_plain(one, run.classes) for one in expected]
    frame = json.loads(rows.to_json(orient="records"))
    of_bundle = open_bundle(bundle).predict(rows)
    assert [one.label for one in of_bundle] == labels
    assert [one.possible for one in of_bundle] == [one.possible for one in expected]
    answered = server.post(f"/v1/predict?model={name}", frame)["predictions"]
    assert [one["label"] for one in answered] == labels
    if name == "rejecting":
        assert "unknown" in labels
        guesses = [one["guess"] for one in answered if one["label"] == "unknown"]
        assert guesses == [one.guess for one in expected if one.label == "unknown"]
