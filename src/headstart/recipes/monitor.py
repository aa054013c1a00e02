"""Say whether what a model is asked is still like what it was tested on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError, OptionError
from headstart.events import emit
from headstart.recipes.asking import ask_server
from headstart.recipes.findings import tell_findings
from headstart.recipes.serve import bundle_of
from headstart.reporting.console import attached
from headstart.storage.run_folder import disk_errors, write_atomically

if TYPE_CHECKING:
    from headstart.bundles import Bundle
    from headstart.monitoring import DriftReference


@dataclass(frozen=True)
class MonitorReport:
    """What is known of drift.

    Attributes:
        state: ``{"model": …, "windows": […], "alarm": …}``, as a server's /v1/monitor tells it.
    """

    state: dict[str, Any] = field(default_factory=dict)

    @property
    def has_drifted(self) -> bool:
        """Whether two of the latest three windows have drifted."""
        return bool(self.state["alarm"])

    @property
    def record(self) -> dict[str, Any]:
        """The state, for a program."""
        return self.state

    def report(self) -> str:
        """Return it as text for a person, in 80 columns."""
        from headstart.reporting.monitor_text import render_monitor_text

        return render_monitor_text(self.state)


def monitor(
    run: str,
    files: Sequence[str] = (),
    *,
    log: str | None = None,
    url: str | None = None,
    api_key_file: str | None = None,
    page: str | None = None,
) -> MonitorReport:
    """Say whether what a model is asked is still like what it was tested on.

    Windows of 500 answers are compared with held-out samples that the run has not learned from:
    features by a permutation test, predicted classes, confidence, and the columns of a table. Two
    drifted windows of three are an alarm; fewer than 200 answers are not enough data. Without
    labels it also estimates the shares of the classes and how often answers are right.

    Args:
        run: A run folder, or a bundle that 'headstart export RUN --to onnx' has written.
        files: New samples to look at now, in their order, as predict takes them; else say log or
            url.
        log: The file that 'headstart serve --monitor-log' writes.
        url: Address of a server of 'headstart serve', such as http://127.0.0.1:8080.
        api_key_file: File whose first line is the key that the server asks for.
        page: HTML file to draw it on; replaced where it exists.

    Returns:
        What was found; report() gives the text.

    Raises:
        OptionError: If there is nothing to look at, or more than one thing.
        DataError: If a file or the log cannot be read, or the server does not answer.
        ExportError: If the run cannot be exported, or its bundle has no drift reference.

    Example:
        >>> import headstart as hs
        >>> print(hs.monitor("runs/digits", url="http://127.0.0.1:8080").report())  # doctest: +SKIP
    """
    given = [files] if isinstance(files, str) else list(files)
    said = [bool(given), log is not None, url is not None]
    if sum(said) != 1:
        raise OptionError(
            f"{'Nothing' if not any(said) else 'More than one thing'} to look at was named; "
            "expected new samples, --log FILE or --url ADDRESS. Name one of them."
        )
    if api_key_file is not None and url is None:
        raise OptionError("--api-key-file is for a server; expected --url, too. Leave it out.")
    with attached():
        if url is not None:
            state = ask_server(url, api_key_file, _name_of(run))
        else:
            bundle, reference = _opened(Path(run))
            if log is not None:
                state = _of_log(Path(log), bundle, reference)
            else:
                state = _of_samples(given, bundle, reference)
        if page is not None:
            _draw(Path(page), state)
    return MonitorReport(state)


def _name_of(run: str) -> str:
    """Return what a server calls the model of a run or bundle."""
    from headstart.bundles import read_bundle_record
    from headstart.recipes.bundling import bundle_name

    path = Path(run)
    is_bundle = (path / "MANIFEST.json").is_file()
    return read_bundle_record(path).name if is_bundle else bundle_name(path)


def _opened(path: Path) -> tuple[Bundle, DriftReference]:
    """Open a bundle, of a run the one that it is exported to.

    Raises:
        ExportError: If it has no drift reference.
    """
    from headstart.bundles import open_bundle
    from headstart.cores import usable_cores
    from headstart.errors import ExportError
    from headstart.exporting.exporters import refuse_written
    from headstart.monitoring import LEAST, read_reference

    made = bundle_of(path, lambda task: refuse_written(task, "is not watched for drift"))
    bundle = open_bundle(made, num_threads=usable_cores())
    reference = read_reference(bundle.path)
    if reference is None:
        raise ExportError(
            f"{path} has nothing to compare with: when it was exported, its data was not at hand "
            f"or held out fewer than {LEAST} samples. Expected a drift reference. Export the run "
            "where its data is, or train with more."
        )
    return bundle, reference


def _of_log(path: Path, bundle: Bundle, reference: DriftReference) -> dict[str, Any]:
    """Return the state that a log tells of a model."""
    from headstart.monitoring import is_alarm, read_windows

    name = bundle.record.name
    every = read_windows(path)
    windows = [one for one in every if one["model"] == name]
    if every and not windows:
        others = ", ".join(sorted({str(one["model"]) for one in every})[:5])
        raise DataError(
            f"{path} tells nothing of model '{name}'; it has {others}. Expected a log of a server "
            "of this run. Give the run that was served."
        )
    version = windows[-1]["version"] if windows else bundle.version
    windows = [one for one in windows if one["version"] == version]
    alarm = is_alarm([one["state"] for one in windows])
    state = _empty_state(bundle, reference)
    return {**state, "version": version, "alarm": alarm, "windows": windows}


def _of_samples(given: Sequence[str], bundle: Bundle, reference: DriftReference) -> dict[str, Any]:
    """Return the state after new samples, window by window."""
    from headstart.data.sources.given_tables import AsTrained
    from headstart.data.sources.unlabelled import reader_of
    from headstart.monitoring.passing import watch_samples

    reading = bundle.record.reading
    how = AsTrained(
        column=next(iter(bundle.preprocess.columns), None),
        second_column=bundle.preprocess.columns[1] if bundle.preprocess.is_pair else None,
        image_column=reading.get("image_column"),
        header=tuple(reading["header"]) if reading.get("header") else None,
        encoding=reading.get("encoding"),
        tell=tell_findings,
    )
    reader = reader_of(bundle.schema)
    parts = reader.read(reader.listed(given), how)
    state, num_bad = watch_samples(bundle, reference, parts)
    if num_bad:
        emit("note", text=f"{num_bad:,} samples could not be read and were left out.")
    return state


def _empty_state(bundle: Bundle, reference: DriftReference) -> dict[str, Any]:
    from headstart.monitoring import LEAST_SAMPLES, WINDOW, about_reference

    return {
        "model": bundle.record.name,
        "version": bundle.version,
        "window": WINDOW,
        "least": LEAST_SAMPLES,
        "reference": about_reference(reference),
        "filled": 0,
    }


def _draw(path: Path, state: Mapping[str, Any]) -> None:
    from headstart.reporting.monitor_page import render_monitor_page

    if path.is_dir():
        raise OptionError(f"{path} is a folder; expected a file. Name one, such as drift.html.")
    content = render_monitor_page(dict(state)).encode(errors="backslashreplace")
    with disk_errors(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    emit("note", text=f"Drawn on {shlex.quote(str(path))}.")
