from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation import majority_baseline


def test_majority_baseline_predicts_the_most_frequent_class():
    predictions = majority_baseline(np.array([2, 2, 0, 2, 1]), num_items=3, num_classes=4)
    assert predictions.tolist() == [2, 2, 2]
    tied = majority_baseline(np.array([3, 1, 1, 3]), num_items=1, num_classes=4)
    assert tied.tolist() == [1]


@pytest.mark.parametrize(("targets", "words"), [([], "is empty"), ([0, 5], r"lie in 0\.\.5")])
def test_majority_baseline_refuses_bad_targets(targets, words):
    with pytest.raises(OptionError, match=words):
        majority_baseline(np.array(targets, dtype=int), num_items=3, num_classes=2)


@pytest.mark.parametrize("name", ["baseline", "calibration", "class_scores", "comparison"])
def test_docstring_examples_run(name):
    module = importlib.import_module(f"headstart.evaluation.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_evaluation_is_cheap():
    code = (
        "import sys, headstart.evaluation;"
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
