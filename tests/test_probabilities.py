"""``Run.predict_proba``: the probabilities of many samples as one array."""

from __future__ import annotations

import numpy as np
import pytest
from advised import Case
from small_runs import table, table_run

from headstart.errors import OptionError

ROWS = table().drop(columns="label").iloc[:7].to_dict("records")


def test_probabilities_of_many_samples_are_one_array(mlp_bundle):
    run = mlp_bundle[0]
    found = run.predict_proba(ROWS)
    assert (found.shape, found.dtype) == ((7, 2), np.float64)
    assert found.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-6)
    told = run.predict(ROWS)
    assert [run.classes[place] for place in found.argmax(axis=1)] == [one.label for one in told]
    assert found.max(axis=1) == pytest.approx([one.probability for one in told])
    assert run.predict_proba(ROWS[:1]).shape == (1, 2)


def test_numbers_have_no_probabilities(tmp_path, follow):
    run = table_run(tmp_path, "scratch/linear", is_numeric=True)
    follow(
        Case(
            lambda _: run.predict_proba(ROWS),
            "which have no probabilities; .* Use predict: its records hold the values",
            lambda _: [one.value for one in run.predict(ROWS)],
            OptionError,
        )
    )
