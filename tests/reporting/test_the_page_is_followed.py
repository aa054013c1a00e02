"""What the page says of a model's use is done as it stands there, and answers."""

from __future__ import annotations

import pytest
from advised import csv, follow_page, frame

import headstart as hs


@pytest.mark.parametrize("label", ["label", "b"])
def test_the_lines_of_the_page_work(label: str, tmp_path, capsys, heard) -> None:
    data = hs.load(csv(tmp_path, frame(), "FILE.csv"), label=label)
    said = {"start": "scratch/linear", "num_steps": 2, "device": "cpu"}
    run = hs.finetune(data, **said, out=str(tmp_path / "run"))
    lines = follow_page(run.path, tmp_path, capsys)
    assert [line.split()[1] for line in lines] == ["predict", "serve", "export"]
    assert hs.verify(str(tmp_path / "BUNDLE"))
    for line in lines:  # that a run can be served is seen in tests/serving/test_lifecycle.py
        heard(line)
