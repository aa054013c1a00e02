"""What bins tell of a column at a glance leaves none out that a tree would bring to certainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.auditing import near_rows
from headstart.auditing.audit import AuditTools
from headstart.auditing.shortcut_columns import shortcut_columns
from headstart.data.binned import HOPELESS, binned_fit
from headstart.preprocessing.rows import TableSamples

N = 600
RNG = np.random.default_rng(0)
X = np.random.default_rng(1).normal(size=N)
TELLING = {
    "threshold": (X, (X > 0.4).astype(int), 2),
    "a rare class": (X, (X > 1.8).astype(int), 2),
    "two thresholds": (X, (abs(X) > 0.7).astype(int), 2),
    "five steps": (X, np.digitize(X, [-1, -0.3, 0.2, 1]), 5),
    "parity of few numbers": (np.arange(N) % 10.0, np.arange(N) % 2, 2),
    "a code a class": (np.arange(N) % 40.0, np.arange(N) % 40, 40),
    "gaps": (np.where(np.arange(N) % 3 == 0, np.nan, X), (np.arange(N) % 3 == 0).astype(int), 2),
    "a line": (X, 3 * X + 2, 0),
    "a square": (X, X**2, 0),
    "few rows": (X[:40], (X[:40] > 0).astype(int), 2),
}


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_the_target_is_not_hopeless(name: str) -> None:
    values, targets, num_classes = TELLING[name]
    is_learned = np.random.default_rng(2).permutation(len(values)) % 5 > 0
    assert binned_fit(values, targets, num_classes, is_learned) > HOPELESS


@pytest.mark.parametrize("num_classes", [2, 5, 40, 0])
def test_noise_is_hopeless(num_classes: int) -> None:
    draw = np.random.default_rng(num_classes)
    targets = draw.integers(0, num_classes, N) if num_classes else draw.normal(size=N)
    fits = [binned_fit(draw.normal(size=N), targets, num_classes, np.arange(N) % 2 == 0)]
    assert max(fits) < 0.4


def test_very_many_classes_are_left_to_the_tree() -> None:
    assert binned_fit(X, np.arange(N) % 300, 300, np.arange(N) % 2 == 0) == 1.0


def test_what_is_said_of_columns_is_what_trees_said_of_each(monkeypatch) -> None:
    frame = pd.DataFrame(RNG.normal(size=(N, 12)), columns=[f"c{i}" for i in range(12)])
    frame["told"], frame["near"] = X, X + RNG.normal(0, 0.03, N)
    frame["label"] = np.where(X > 0, "u", "v")

    def told() -> list[str]:
        data = hs.load(frame)
        found = [audited.finding for audited in shortcut_columns(data, AuditTools())]
        kinds = ("leak", "shortcut")
        return sorted(f.sentence for f in (*data.findings, *found) if f.kind in kinds)

    quick = told()
    for module in ("headstart.data.survey", "headstart.auditing.shortcut_columns"):
        monkeypatch.setattr(f"{module}.HOPELESS", -np.inf)
    assert quick == told()
    assert len(quick) > 1


def test_a_column_is_taken_without_the_others(monkeypatch, tmp_path) -> None:
    whole = TableSamples.table
    taken = list[int]()

    def counted(samples: TableSamples) -> Any:
        taken.append(len(samples.column_names))
        return whole.fget(samples)  # type: ignore[attr-defined]

    frame = pd.DataFrame(RNG.normal(size=(60, 150))).add_prefix("c")
    data = hs.load(frame.assign(label=["u", "v"] * 30))
    monkeypatch.setattr(TableSamples, "table", property(counted))
    sums = list[int]()
    monkeypatch.setattr(near_rows, "_sum", _counting(near_rows._sum, sums))
    hs.check(data, out=str(tmp_path / "out"), skip=["drift", "doubtful-labels"])
    assert len(taken) < 20
    assert len(sums) < 5


def _counting(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def counted(*given: Any) -> Any:
        calls.append(1)
        return function(*given)

    return counted
