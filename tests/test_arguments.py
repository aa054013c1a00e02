"""What a notebook hands to the verbs: NumPy numbers, lengths of time, values for names."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import headstart as hs

FRAME = pd.DataFrame({"x": np.arange(60.0), "kind": ["a", "b", "c"] * 20, "label": ["u", "v"] * 30})


def test_numpy_numbers_are_numbers(tmp_path):
    options = {
        "seed": np.int64(3),
        "num_steps": np.int32(2),
        "learning_rate": np.float64(0.01),
        "overwrite": np.bool_(True),
    }
    run = hs.finetune("digits-8x8", start="scratch/simple-cnn", out=tmp_path / "run", **options)
    again = hs.finetune(
        "digits-8x8",
        start="scratch/simple-cnn",
        out=tmp_path / "again",
        **{name: np.asarray(value).item() for name, value in options.items()},
    )
    assert run.options["options"] == again.options["options"]


@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7)])
def test_numpy_numbers_are_numbers_where_data_is_read(seed):
    assert hs.load(FRAME, seed=seed).fingerprint == hs.load(FRAME, seed=7).fingerprint


def test_a_length_of_time_is_a_budget(tmp_path):
    run = hs.finetune(
        "digits-8x8",
        start="scratch/simple-cnn",
        num_steps=2,
        budget=timedelta(minutes=2),
        out=tmp_path / "run",
    )
    assert run.options["options"]["budget"] == "120s"


def test_what_load_takes_is_refused_with_the_call_that_works(tmp_path):
    with pytest.raises(hs.OptionError, match=r"finetune\(hs\.load\(data, label='kind'\), …\)"):
        hs.finetune(FRAME, label="kind", start="scratch/linear", num_steps=2)
    run = hs.finetune(
        hs.load(FRAME, label="kind"), start="scratch/linear", num_steps=2, out=tmp_path / "run"
    )
    assert run.model.schema.label == "kind"
    with pytest.raises(TypeError, match="unexpected keyword argument 'labell'"):
        hs.finetune(FRAME, labell="kind", start="scratch/linear")


@pytest.mark.parametrize(
    "label",
    [np.arange(60) // 6, list(range(60)), pd.Series(np.arange(60)), tuple("abcdefghij" * 6)],
)
def test_values_for_the_name_of_a_column_are_refused_and_the_advice_works(label):
    with pytest.raises(hs.OptionError, match=r"label is a \w+ of 60 values") as refusal:
        hs.load(FRAME, label=label)
    assert "load(data.assign(label=values), label='label')" in str(refusal.value)
    hs.load(FRAME.assign(kind=label), label="kind")
