"""What a notebook shows: tables that escape, one cell of progress, and a real kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import headstart as hs
from headstart.reporting.console import Console
from headstart.reporting.notebook import Cell, html_run, html_table, in_notebook
from headstart.types import BadSample, Prediction, Predictions

ROOT = Path(__file__).parents[2]


def test_a_table_escapes_and_aligns_numbers() -> None:
    told = html_table(["<name>", "value"], [["<b>", 1437], ["x", None]], title="A & B")
    assert "&lt;name&gt;" in told
    assert "&lt;b&gt;" in told
    assert "<b>" not in told
    assert "A &amp; B" in told
    assert '<td style="text-align:right">1,437</td>' in told
    assert '<td style="text-align:right">-</td>' in told


def test_one_cell_is_redrawn_as_the_work_goes_on() -> None:
    shown: list[str] = []
    console = Console()
    console._screen = Cell(shown.append)
    console("stage", {"text": "Fine-tuning <x>"})
    console("task", {"name": "train", "done": 1, "total": 4})
    console._due = 0.0
    console("task", {"name": "train", "done": 2, "total": 4})
    assert '<progress value="2" max="4"></progress> 2/4' in shown[-1]
    console("table", {"title": "Starts", "columns": ["start"], "rows": [["a"]]})
    console("task", {"name": "train", "done": 4, "total": 4})
    assert "Fine-tuning &lt;x&gt;" in shown[-1]
    assert "<table>" in shown[-1]
    assert "<progress" not in shown[-1]
    assert "train  4/4" in shown[-1]
    console.stop()


def test_outside_of_a_notebook_nothing_is_html() -> None:
    assert not in_notebook()


def test_predictions_and_starts_are_tables() -> None:
    found = Predictions(
        [Prediction("a<b>.jpg", "cat", 0.75, (0.75, 0.25)), BadSample("c.jpg", "truncated")]
    )
    told = found._repr_html_()
    assert "a&lt;b&gt;.jpg" in told
    assert "<td>0.7500</td>" in told
    assert "not read: truncated" in told
    listed = hs.list_starts(like="scratch/linear", modality="table", quiet=True)
    assert "scratch/linear" in listed._repr_html_()


def test_an_unfinished_run_says_that_no_figure_says_how_good_it_is() -> None:
    told = html_run("mine", {}, {"start": {"address": "scratch/mlp"}})
    assert "Unfinished: no figure says how good it is." in told


CELLS = (
    "import headstart as hs\n"
    "data = ([[float(i % 2), float(i)] for i in range(60)], ['a', 'b'] * 30)\n"
    "run = hs.finetune(data, start='scratch/mlp', num_steps=5, device='cpu', out='run')",
    "run",
    "hs.list_runs('.', quiet=True)",
    "hs.finetune(data, start='scratch/linear', device='cpu', out='other', quiet=True)",
)


@pytest.mark.slow
def test_a_notebook_shows_progress_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    progress, run, runs, quiet = (cell.outputs for cell in notebook.cells)
    print(progress)
    [output] = [each for each in progress if each.output_type == "display_data"]  # drawn again
    assert "Fine-tuning" in output.data["text/html"]
    assert "<progress" not in output.data["text/html"]  # it has ended
    assert not any("Fine-tuning" in str(each.get("text", "")) for each in progress)
    [told] = run
    assert "accuracy" in told.data["text/html"]
    assert told.data["text/plain"] == "Run('run')"
    assert "scratch/mlp" in runs[0].data["text/html"]
    assert [each.output_type for each in quiet] == ["execute_result"]
    assert sys.modules.get("IPython") is None or not in_notebook()
