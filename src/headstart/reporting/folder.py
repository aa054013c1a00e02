"""The report page of a run, from the files of its folder alone: no data, no weights, no torch.

A run makes its page by this same function when everything else stands, so that making it again
gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from headstart.errors import RunFolderError
from headstart.reporting.page import render_page
from headstart.storage.records import find_record, read_log, refuse_other_format

_RECORDS = ("metrics.json", "model.json", "data.json", "options.json", "mistakes.json")


def render_folder(folder: Path) -> str:
    """Return the report of the run in a folder as a self-contained HTML page.

    Args:
        folder: A run folder that holds all but the page.

    Raises:
        RunFolderError: If a file is missing, damaged, or of another format.
    """
    model = find_record(folder, "model.json") or {}
    if model:
        refuse_other_format(folder, model.get("format"), model.get("versions"))
    records = {name: find_record(folder, name) for name in _RECORDS}
    missing = [name for name, record in records.items() if record is None]
    missing += [] if (folder / "log.jsonl").is_file() else ["log.jsonl"]
    if missing:
        raise RunFolderError(
            f"{folder} has no {missing[0]}; expected the files of a finished run, from which its "
            f"page is made. Run the training again with --overwrite."
        )
    metrics, model, data, options, mistakes = (record or {} for record in records.values())
    samples = mistakes.get("items") or []
    views = find_record(folder, "views.json")  # there where samples are images
    return render_page(metrics, model, data, options, read_log(folder), samples, views)
