"""Why a start was chosen: the best of those that were looked at, and how many were not."""

from __future__ import annotations

import math

import pytest

from headstart.ranking.screen import Candidate
from headstart.recipes.fit import _choose
from headstart.starts import find_start
from headstart.types import Figure

NONE = math.nan


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.9, 0.8, 0.7], "validation accuracy 0.900 on a sample, the best of 3"),
        ([0.9], "validation accuracy 0.900 on a sample, the only one that was looked at"),
        (
            [0.9, 0.8, NONE],
            "validation accuracy 0.900 on a sample, the best of 2; 1 more could not be looked at",
        ),
        (
            [0.9, NONE, NONE],
            "validation accuracy 0.900 on a sample, the only one of 3 that was looked at",
        ),
        ([NONE, NONE], "the quickest; none of 2 could be scored in the time for screening"),
    ],
)
def test_only_those_that_were_looked_at_are_counted(scores, why):
    starts = [find_start(f"scratch/{name}") for name in ("simple-cnn", "resnet18", "vit-tiny")]
    found = [
        Candidate(start, 8, "full", "accuracy", Figure(value, value, value), 0.1, 1.0, "")
        for start, value in zip(starts, scores, strict=False)
    ]
    assert _choose(found).why == why
