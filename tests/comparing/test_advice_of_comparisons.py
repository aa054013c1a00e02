"""What is advised of runs that cannot be compared or listed is followed on runs of a real file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from advised import Case, N, csv, frame
from test_advice_of_commands import typed

import headstart as hs
from headstart.tasks import find_task
from headstart.tasks.plain import TextColumn
from headstart.types import Schema

QUICK = ["--start", "scratch/linear", "--device", "cpu", "--num-steps", "2"]


@dataclass(frozen=True)
class Place:
    """A folder of a case, a finished run, and another that was trained again over a damaged one."""

    folder: Path
    run: Path
    again: Path

    def other(self, change: Callable[[Path], Any]) -> list[str]:
        """Return the run and a copy of it that was changed."""
        copy = Path(shutil.copytree(self.run, self.folder / "other"))
        change(copy)
        return [str(self.run), str(copy)]


def tuned(out: Path, *words: str, is_grouped: bool = False) -> Path:
    columns = {"who": [f"person {i // 3}" for i in range(N)]} if is_grouped else {}
    rows = csv(out.parent, frame(**columns), f"{out.name}.csv")
    said = [*words, *(["--group", "who"] if is_grouped else ())]
    typed("finetune", rows, "--label", "label", *QUICK, "--out", str(out), *said)
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Return a run, and one whose file was damaged and that was trained again with --overwrite."""
    root = tmp_path_factory.mktemp("compared")
    run = tuned(root / "run")
    again = Path(shutil.copytree(run, root / "again"))
    (again / "predictions.parquet").write_bytes(b"PAR1")
    typed("finetune", "--from", str(run), "--out", str(again), "--overwrite")
    return run, again


def changed(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Return what changes a JSON record of a run."""

    def do(folder: Path) -> None:
        record = json.loads((folder / name).read_text())
        change(record)
        (folder / name).write_text(json.dumps(record))

    return do


def without_column(folder: Path) -> None:
    path = folder / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns("loss"), path)


def with_answers(answers: Any) -> Callable[[Path], None]:
    """Return what puts other predictions into a run."""

    def do(folder: Path) -> None:
        table = pq.read_table(folder / "predictions.parquet")
        there = table.column_names.index("prediction")
        whole = answers.take(pa.array(np.arange(len(table)) % len(answers)))
        pq.write_table(table.set_column(there, "prediction", whole), folder / "predictions.parquet")

    return do


def labels(*names: str) -> Schema:
    return Schema("table", "multi-label", names)


WORDS = TextColumn(["a, b", "a"], np.array([0, 1]))
NUMBERS = Schema("table", "regression", ())


def compared(place: Place) -> Any:
    return hs.compare([str(place.run), str(place.again)])


def of_groups(place: Place, *, is_former: bool) -> Any:
    """Compare runs whose items are in groups, as a former version has written them or as now."""
    run = tuned(place.folder / "first", is_grouped=True)
    other = Path(shutil.copytree(run, place.folder / "other"))
    for folder in (run, other) if is_former else ():
        path = folder / "predictions.parquet"
        pq.write_table(pq.read_table(path).drop_columns("group"), path)
    return hs.compare([str(run), str(other)])


def of_another_seed(place: Place, *words: str) -> Any:
    out = str(place.folder / "other")
    typed("finetune", "--from", str(place.run), "--out", out, *words)
    return hs.compare([str(place.run), out])


def listed(folder: Path) -> Any:
    return hs.list_runs(str(folder))


CASES = {
    "an unfinished run": Case(
        lambda p: hs.compare(p.other(lambda folder: (folder / "state").mkdir())),
        "holds an unfinished run; .*, or leave it out",
        compared,
    ),
    "a record that is gone": Case(
        lambda p: hs.compare(p.other(lambda folder: (folder / "data.json").unlink())),
        "has no data.json; .* again with --overwrite",
        compared,
    ),
    "a damaged record": Case(
        lambda p: hs.compare(p.other(changed("metrics.json", lambda r: r.pop("test")))),
        "is damaged .* again with --overwrite",
        compared,
    ),
    "no answers": Case(
        lambda p: hs.compare(p.other(lambda folder: (folder / "predictions.parquet").unlink())),
        "has no predictions.parquet; .* again with --overwrite",
        compared,
    ),
    "damaged answers": Case(
        lambda p: hs.compare(p.other(lambda f: (f / "predictions.parquet").write_bytes(b"PAR1"))),
        "predictions.parquet is damaged .* again with --overwrite",
        compared,
    ),
    "answers without a column": Case(
        lambda p: hs.compare(p.other(without_column)),
        "has no column 'loss'; .* again with --overwrite",
        compared,
    ),
    "answers of a class that is not there": Case(
        lambda p: hs.compare(p.other(with_answers(pa.array(["maybe"] * 12)))),
        "names a class 'maybe' that .* again with --overwrite",
        compared,
    ),
    "numbers for names": Case(
        lambda p: hs.compare(p.other(with_answers(pa.array(np.arange(12.0))))),
        "holds numbers where names .* again with --overwrite",
        compared,
    ),
    "names for numbers": Case(
        lambda _: find_task("regression").read_item_column(WORDS, NUMBERS),
        "holds texts where numbers .* again with --overwrite",
        lambda _: find_task("regression").read_item_column(np.arange(2.0), NUMBERS),
    ),
    "labels with commas": Case(
        lambda _: find_task("multi-label").read_item_column(WORDS, labels("a", "b", "a, b")),
        "may join different labels; .* Rename them, and run the training again",
        lambda _: find_task("multi-label").read_item_column(WORDS, labels("a", "b", "a and b")),
    ),
    "groups that nobody tells": Case(
        lambda p: of_groups(p, is_former=True),
        "a former version wrote it. Run the training again",
        lambda p: of_groups(p, is_former=False),
    ),
    "another split": Case(
        lambda p: of_another_seed(p, "--seed", "3"),
        "read with seed 0 and 3; .* with --from .* and what is to differ",
        lambda p: of_another_seed(p, "--learning-rate", "0.2"),
    ),
    "a folder that is none": Case(
        lambda p: listed(p.folder / "none"),
        "is no folder; .* Name the folder above your runs",
        lambda p: listed(p.run.parent),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_runs_helps(name: str, runs, follow, heard) -> None:
    follow(CASES[name], place=lambda folder: Place(folder, *runs))
