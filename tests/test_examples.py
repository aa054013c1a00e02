"""The examples run as a beginner runs them: without arguments, offline, in an empty folder.

One in a process of its own, the others as programs within this one: that each file starts from
nothing is the same promise four times, and imports take longer than what they do.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def _run(name: str, folder: Path) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs an example in an empty folder and returns what it prints."""

    def run_here(name: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run_here


def _find(pattern: str, text: str) -> list[float]:
    """Return the numbers that a pattern's groups match, the first time."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return [float(group) for group in found.groups()]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert ast.get_docstring(ast.parse(text))


def test_every_modality_has_an_example() -> None:
    names = {path.name for path in EXAMPLES}
    assert names == {"hello_pytorch.py", "image.py", "text.py", "table.py"}


def test_hello_pytorch_finds_the_line_both_ways(run) -> None:
    printed = run("hello_pytorch.py")
    for who in ("by hand", "headstart"):
        w, b = _find(rf"{who}: +w = (-?[\d.]+)  b = (-?[\d.]+)", printed)
        assert w == pytest.approx(2, abs=0.01)
        assert b == pytest.approx(0, abs=0.01)
    losses = [float(loss) for loss in re.findall(r"step +\d+  loss +([\d.]+)", printed)]
    assert losses[0] == pytest.approx(30)  # (4 + 16 + 36 + 64) / 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3


def test_image_example_reads_digits(tmp_path: Path) -> None:
    printed = _run("image.py", tmp_path)
    right, low, high = _find(r"it reads (\d+) correctly \(from (\d+) to (\d+)\)", printed)
    assert 93 <= low <= right <= high
    assert "This is a 0, says the network" in printed
    [report] = re.findall(r"The whole story: (\S+)", printed)
    assert (tmp_path / report).is_file()


def test_text_example_files_sentences(run) -> None:
    printed = run("text.py")
    [right] = _find(r"it files (\d+) correctly", printed)
    assert right >= 80
    assert "'Compute the median of a sample.' is about statistics" in printed
    assert "is about neural networks" in printed


def test_table_example_compares_with_trees(run) -> None:
    printed = run("table.py")
    assert "gradient boosting" in printed
    predicted, measured = _find(r"predicted (\d+), measured (\d+)", printed)
    assert measured == 151
    assert 25 <= predicted <= 346
