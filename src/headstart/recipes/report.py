"""Make the report page of a finished run again."""

from __future__ import annotations

import shlex
from pathlib import Path

from headstart.errors import OptionError, RunFolderError
from headstart.events import emit, hushes
from headstart.recipes.run import Run
from headstart.reporting.console import attached
from headstart.reporting.language import Language, check_language
from headstart.storage.run_folder import disk_errors, write_atomically
from headstart.tasks import argument_of
from headstart.types import Schema

# What a record may raise that is JSON, but not as headstart wrote it; an unknown task, an option's.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, OptionError, TypeError, ValueError)


@hushes
def report(
    run: str,
    *,
    out: str | None = None,
    language: Language = "en",
    explain: bool = False,
    quiet: bool = False,
) -> Path:
    """Make the report page of a finished run again, from its folder alone.

    Neither the data nor the model is read, unless explanations are asked for: figures, worst
    mistakes with their samples, curves and options all stand in the folder's own files. The page is
    the one that the run itself has written, byte for byte, as long as the same version of headstart
    makes it.

    Args:
        run: A run folder.
        out: File to write; report.html in the run folder when not given.
        language: What the page is written in: en or zh. What the run itself has written down,
            findings and reasons of choices, stays English.
        explain: Load data and model again, and show where the model looks, as far as deleting that
            lowers its answers more than deleting at random; a run does so itself where it takes
            next to nothing of it.
        quiet: Show no progress.

    Returns:
        The page.

    Raises:
        DataError: If explanations are asked for and the data has moved or changed.
        OptionError: If there is no such language.
        RunFolderError: If the folder holds no finished run, a file of it is missing or damaged, or
            the page cannot be written.

    Example:
        >>> import headstart as hs
        >>> hs.report("runs/photos", out="photos.html")  # doctest: +SKIP
    """
    from headstart.reporting import render_folder

    check_language(language)
    opened = run if isinstance(run, Run) else Run(run)
    _refuse_unfinished(opened.path)
    if explain:
        from headstart.recipes.explained import explain_again

        with attached():
            explain_again(opened)
    try:
        page = render_folder(opened.path, language).encode(errors="backslashreplace")
    except _DAMAGE as error:
        raise RunFolderError(
            f"{opened.path} is damaged ({type(error).__name__}: {error}); expected the files as "
            f"headstart wrote them. Run the training again with --overwrite."
        ) from error
    path = opened.path / "report.html" if out is None else Path(out)
    with attached():
        with disk_errors(path, len(page)):
            write_atomically(path, page)
        emit("next", command=_next_command(opened))
    return path


def _next_command(run: Run) -> str:
    """Return what comes after looking at a run: predicting, or what uses a start."""
    path, record = shlex.quote(str(run.path)), run.model_record
    if "objective" in record:
        from headstart.pretraining.table import command_after

        return command_after(record["objective"], run.path)
    return f"headstart predict {path} {argument_of(Schema.from_json(record['schema']))}"


def _refuse_unfinished(folder: Path) -> None:
    """Refuse a run that is being made, was interrupted, or has left no figures."""
    if (folder / "state").exists():
        raise RunFolderError(
            f"{folder} holds an unfinished run; expected a finished one, whose figures stand. Wait "
            f"for it, or go on with the same command and --out "
            f"{shlex.quote(str(folder))} --resume."
        )
    if not (folder / "metrics.json").is_file():
        raise RunFolderError(
            f"{folder} has no metrics.json; expected a finished run, whose figures stand. Run the "
            f"training again with --overwrite."
        )
