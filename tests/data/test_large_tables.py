"""Text tables that memory does not hold are refused before they are read, with a way that works."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from headstart.data import load
from headstart.data.sources import delimited
from headstart.errors import DataError


def _frame(number):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=number), "b": draw.normal(size=number)})
    return frame.assign(label=np.where(frame["a"] > 0, "up", "down"))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "o'dd name.csv"])
def test_a_file_larger_than_memory_is_refused_and_the_advice_works(tmp_path, name, monkeypatch):
    path = tmp_path / name
    if name.endswith("jsonl"):
        _frame(3000).to_json(path, orient="records", lines=True)
    else:
        _frame(3000).to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    monkeypatch.setattr(delimited, "free_memory_bytes", lambda: 2 * path.stat().st_size)

    def read(*arguments):
        raise AssertionError("the file is not opened")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "read_bytes", read)
        with pytest.raises(DataError) as caught:
            load(path)
    said = str(caught.value)
    assert re.search(r"has (about )?[\d.]+ kB; reading it takes up to 3 times as much memory", said)
    command = re.search(r"for example: (.*?) \(a header", said)[1].replace("1000000", "900")
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    (part,) = tmp_path.glob("part.*")
    monkeypatch.undo()
    data = load(part)
    assert len(data.train) + len(data.val) + len(data.test) == 900
    assert data.schema.classes == ("down", "up")


def test_where_memory_is_enough_or_unknown_it_is_read(tmp_path, monkeypatch):
    _frame(200).to_csv(tmp_path / "t.csv", index=False)
    size = (tmp_path / "t.csv").stat().st_size
    for free in (3 * size, None):
        monkeypatch.setattr(delimited, "free_memory_bytes", lambda free=free: free)
        assert len(load(tmp_path / "t.csv").schema.classes) == 2


def test_reading_takes_no_more_than_is_said(tmp_path):
    _frame(200_000).to_csv(tmp_path / "t.csv", index=False)
    size = (tmp_path / "t.csv").stat().st_size
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from headstart.data.sources.delimited import read_text_table\n"
        "from headstart.data.options import ReadOptions\n"
        "import pyarrow, pyarrow.csv\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        "read_text_table(Path(sys.argv[1]), 't', 'csv', ReadOptions())\n"
        "print(peak() - before)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "t.csv")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < delimited.PEAK_OF_FILE * size + 30e6


def test_a_packed_file_is_read_where_memory_holds_it(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        _frame(100).to_csv(file, index=False)
    assert len(load(tmp_path / "t.csv.gz").schema.classes) == 2
