"""Soft labels, in every form that people write them: refused by name, and the way out works."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError

N = 45
NAMES = ["ant", "bee", "wasp"]
SHARES = np.random.default_rng(1).dirichlet([1, 1, 1], N).round(4)
LARGEST = SHARES.argmax(1)
X = np.random.default_rng(2).normal(size=(N, 2))
TEXTS = [f"the number {i} of some sentences about small insects" for i in range(N)]
PICTURES = np.random.default_rng(3).integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
Source = Callable[[Path], Any]


def as_dicts() -> list[dict[str, float]]:
    return [dict(zip(NAMES, row, strict=True)) for row in SHARES.tolist()]


def scored() -> list[list[dict[str, Any]]]:
    return [[{"label": n, "score": s} for n, s in one.items()] for one in as_dicts()]


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})


def csv(folder: Path, **columns: Any) -> Path:
    pd.DataFrame({"text": TEXTS, **columns}).to_csv(folder / "a.csv", index=False)
    return folder / "a.csv"


def jsonl(folder: Path, labels: list[Any]) -> Path:
    rows = [json.dumps({"text": t, "label": v}) for t, v in zip(TEXTS, labels, strict=True)]
    (folder / "a.jsonl").write_text("\n".join(rows))
    return folder / "a.jsonl"


def parquet(folder: Path, labels: list[Any]) -> Path:
    frame(label=labels).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def pictures(folder: Path) -> Path:
    for i in range(N):
        Image.fromarray(PICTURES[i]).save(folder / f"{i}.png")
    columns = dict(zip(NAMES, SHARES.T, strict=True))
    files = {"filename": [f"{i}.png" for i in range(N)]}
    pd.DataFrame({**files, **columns}).to_csv(folder / "labels.csv", index=False)
    return folder


def columns() -> dict[str, Any]:
    return dict(zip(NAMES, SHARES.T, strict=True))


PLACES: dict[str, Source] = {  # a class is its place
    "frame of lists": lambda _: frame(label=SHARES.tolist()),
    "frame of arrays": lambda _: frame(label=list(SHARES)),
    "frame of float32": lambda _: frame(label=list(SHARES.astype(np.float32))),
    "JSON in CSV": lambda f: csv(f, label=[json.dumps(one) for one in SHARES.tolist()]),
    "Python in CSV": lambda f: csv(f, label=[str(tuple(one)) for one in SHARES.tolist()]),
    "NumPy's print": lambda f: csv(f, label=[str(one) for one in SHARES]),
    "semicolons": lambda f: csv(f, label=[";".join(map(str, one)) for one in SHARES.tolist()]),
    "blanks": lambda f: csv(f, label=[" ".join(map(str, one)) for one in SHARES.tolist()]),
    "JSONL": lambda f: jsonl(f, SHARES.tolist()),
    "Parquet": lambda f: parquet(f, list(SHARES)),
    "array beside rows": lambda _: (X, SHARES),
    "array beside texts": lambda _: (TEXTS, SHARES),
    "array beside images": lambda _: (PICTURES, SHARES),
}
NAMED: dict[str, Source] = {
    "dicts in a frame": lambda _: frame(label=as_dicts()),
    "JSON objects in CSV": lambda f: csv(f, label=[json.dumps(one) for one in as_dicts()]),
    "Python dicts in CSV": lambda f: csv(f, label=[str(one) for one in as_dicts()]),
    "objects in JSONL": lambda f: jsonl(f, as_dicts()),
    "scores by label in JSONL": lambda f: jsonl(f, scored()),
    "structs in Parquet": lambda f: parquet(f, as_dicts()),
    "columns beside texts": lambda f: csv(f, **columns()),
    "columns beside numbers": lambda _: frame(**columns()),
    "columns beside images": pictures,
    "frame beside a frame": lambda _: (frame(), pd.DataFrame(columns())),
}


@pytest.mark.parametrize("form", [*PLACES, *NAMED])
def test_soft_labels_are_refused_by_name_and_the_largest_is_learned_where_asked(
    form: str, tmp_path: Path
) -> None:
    source = (PLACES | NAMED)[form](tmp_path)
    with pytest.raises(DataError, match="soft labels") as refused:
        load(source)
    assert "--task classification" in str(refused.value)
    data = load(source, task="classification", seed=1)
    assert data.schema.classes == (tuple(NAMES) if form in NAMED else ("0", "1", "2"))
    found = np.concatenate([data.train.targets, data.val.targets, data.test.targets])
    assert np.bincount(found).tolist() == np.bincount(LARGEST).tolist()
    assert any("share of each class" in finding.sentence for finding in data.findings)


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([dict(zip(NAMES, row, strict=True)) for row in np.eye(3)[LARGEST]], "classification"),
        ([dict(zip(NAMES, row, strict=True)) for row in (SHARES > 0.3) * 1], "multi-label"),
        ([json.dumps({"ant": i % 2, "bee": 1}) for i in range(N)], "multi-label"),
        ([[{"name": "ant", "value": i % 2}, {"name": "bee", "value": 1}] for i in range(N)], None),
    ],
)
def test_zeros_and_ones_by_name_are_labels(labels: list[Any], task: str | None) -> None:
    data = load(frame(label=labels))
    assert data.schema.task == (task or "multi-label")
    assert set(data.schema.classes) <= set(NAMES)


@pytest.mark.parametrize(
    "labels",
    [["0.5 0.7", "0.1 0.4"], ["1.5,2", "2.5,3"], ["3 4", "4 5"]],
)
def test_numbers_that_do_not_sum_to_one_are_names(labels: list[str]) -> None:
    data = load(frame(label=[labels[i % 2] for i in range(N)]))
    assert data.schema.classes == tuple(sorted(labels))


@pytest.mark.parametrize("label", NAMES)
def test_one_of_the_shares_as_target_is_told_by_the_others(label: str) -> None:
    data = load(frame(**columns()), label=label)
    (leak,) = [f.sentence for f in data.findings if "sum to one" in f.sentence]
    others = [name for name in NAMES if name != label]
    assert f"--drop {' '.join(others)}" in leak
    told = load(frame(**columns()), label=label, drop=others).findings
    assert not any("sum to one" in finding.sentence for finding in told)


def test_columns_that_sum_to_one_beside_a_target_stay_inputs() -> None:
    data = load(frame(**columns(), label=["x", "y", "y"] * (N // 3)))
    assert set(NAMES) <= set(data.column_kinds or ())
