"""The report page of a run, from the files of its folder alone: no data, no weights, no torch.

A run makes its page by this same function when everything else stands, so that making it again
gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from headstart.errors import RunFolderError
from headstart.reporting.language import speaking
from headstart.reporting.page import Beside, render_page
from headstart.reporting.pretrained_page import render_pretrained_page
from headstart.storage.records import find_record, read_log, refuse_other_format

_RECORDS = ("metrics.json", "model.json", "data.json", "options.json")
_MISTAKES = "mistakes.json"  # of a start there are none: it decides nothing


def render_folder(folder: Path, language: str = "en") -> str:
    """Return the report of the run in a folder as a self-contained HTML page.

    Args:
        folder: A run folder that holds all but the page.
        language: What it is written in, one of ``language.LANGUAGES``.

    Raises:
        OptionError: There is no such language.
        RunFolderError: If a file is missing, damaged, or of another format.
    """
    with speaking(language):
        return _render(folder)


def _render(folder: Path) -> str:
    model = find_record(folder, "model.json") or {}
    if model:
        refuse_other_format(folder, model.get("format"), model.get("versions"))
    is_start = "objective" in model
    names = _RECORDS if is_start else (*_RECORDS, _MISTAKES)
    records = {name: find_record(folder, name) for name in names}
    missing = [name for name, record in records.items() if record is None]
    missing += [] if (folder / "log.jsonl").is_file() else ["log.jsonl"]
    if missing:
        raise RunFolderError(
            f"{folder} has no {missing[0]}; expected the files of a finished run, from which its "
            f"page is made. Run the training again with --overwrite."
        )
    metrics, model, data, options = (records[name] or {} for name in _RECORDS)
    views = find_record(folder, "views.json")  # there where samples are images
    log = read_log(folder)
    if is_start:
        return render_pretrained_page(metrics, model, data, options, log, views)
    mistakes = records[_MISTAKES] or {}
    beside = Beside(
        mistakes.get("doubtful") or (),
        mistakes.get("names") or {},
        find_record(folder, "examples.json") or {},
        find_record(folder, "explanations.json") or {},
    )
    samples = mistakes.get("items") or []
    return render_page(metrics, model, data, options, log, samples, views, beside)
