"""The data gate: look for what would make the figures lie, before anything is trained.

Nothing is learned and no file of the user is touched. What was found is printed, the gravest
first, and written as ``check.json`` and ``check.html``; ``fix`` writes a list of what to do about
it, which ``fit`` and ``finetune`` take.
"""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from headstart.errors import HeadstartError, Interrupted, OptionError, RunFolderError
from headstart.events import emit
from headstart.recipes.options import SpokenOptions, takes
from headstart.recipes.source import as_dataset, data_name, spent_before, typed_data
from headstart.reporting.check_text import render_check_text
from headstart.reporting.console import attached
from headstart.storage.run_folder import claimed_place, disk_errors, write_atomically
from headstart.training.options.option import Option
from headstart.types import Data, Dataset, Finding

if TYPE_CHECKING:
    from headstart.auditing.running import Results


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckOptions(SpokenOptions):
    """What ``check`` takes."""

    data: Annotated[
        Data,
        Option(
            sentence="Images, texts or a table: a folder with a folder per class, a CSV, Parquet "
            "or JSONL file, a name such as digits, or (from Python) a Dataset, a DataFrame, "
            "(X, y) arrays, or functools.partial(hs.load, source, …) with options of reading."
        ),
    ] = field(kw_only=False)
    out: Annotated[
        str | None,
        Option(sentence="Folder for check.json and check.html; checks/<data> when not given."),
    ] = None
    fix: Annotated[
        str | None,
        Option(
            sentence="CSV file to write: what to leave out, and which side of the split each group "
            "goes to; fit takes it as --fixes. Doubtful labels are listed there for a person to "
            "look at, and nothing is done about them."
        ),
    ] = None
    skip: Annotated[
        Sequence[str] | None,
        Option(sentence="Audits that are not wanted, by name, as check.json has them."),
    ] = None
    budget: Annotated[
        str,
        Option(
            sentence="What it may take at the most, for example 30s or 5m; an audit whose time is "
            "up says how far it came."
        ),
    ] = "5m"
    seed: Annotated[int, Option(sentence="Of the split and of what is drawn.", low=0)] = 0
    overwrite: Annotated[bool, Option(sentence="Replace the list that stands in fix.")] = False


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        record: Content of ``check.json``.
        findings: What a person should know, the gravest first.
        path: The folder with ``check.json`` and ``check.html``; None where it cannot be written.
        fixes: The list that was written, or None.
    """

    record: Mapping[str, Any]
    findings: tuple[Finding, ...]
    path: Path | None = None
    fixes: Path | None = None

    @property
    def exit_code(self) -> int:
        """1 where a test sample is held by train, or a training would be refused; else 0."""
        return 1 if self.record["verdict"] else 0

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_text

        return html_text(self.report())

    def report(self) -> str:
        """Return everything as text for a person, in 80 columns."""
        lines = [render_check_text(self.record)]
        if self.path is not None:
            lines.append(f"page: {self.path / 'check.html'}")
        if self.fixes is not None:
            lines.append(f"list: {self.fixes}")
        return "\n".join(lines)


@takes(CheckOptions)
def check(options: CheckOptions) -> Checked:
    """Look for what would make the figures lie: leaks, copies, doubtful labels, odd samples.

    Runs in seconds and trains nothing. The exit code is 1 where a test sample is held by train, or
    a training would be refused; otherwise 0. What fit would refuse is said as a finding.

    Returns:
        What was found; report() gives the text.

    Raises:
        OptionError: If an option is out of range, or skip names no audit.
        DataError: If the data cannot be read at all.
        RunFolderError: If out or fix cannot be written, or fix exists.
        Interrupted: On Ctrl-C; what was found until then is written.

    Example:
        >>> import headstart as hs
        >>> checked = hs.check("digits-8x8", out="checks/digits")  # doctest: +SKIP
        >>> checked.exit_code  # doctest: +SKIP
        0
    """
    from headstart.auditing.running import audit_names
    from headstart.tuning.named_budget import parse_budget

    began = time.monotonic()
    skipped = audit_names(options.skip or ())
    limit = parse_budget(options.budget)
    assert limit is not None
    listed = None if options.fix is None else _list_path(options.fix, overwrite=options.overwrite)
    given = None if options.out is None else claimed_place(Path(options.out))
    with attached():
        why_not = {**_missing(skipped), **dict.fromkeys(skipped, "skipped, as was asked")}
        emit("stage", text="Checking the data")
        refused: list[Finding] = []
        dataset = _load(options.data, refused)
        out = given or _default_out(dataset)
        spent = max(spent_before(dataset), time.monotonic() - began)
        known = [*refused, *dataset.findings]
        results = _audit(dataset, why_not, known, options.seed, limit - spent)
        checked = _conclude(dataset, results, out, listed, time.monotonic() - began)
        if results.interruption is not None:
            where = f"stands in {out}" if out else "could not be written"
            raise Interrupted(f"Stopped; what was found until then {where}.") from None
        if command := _next(options, dataset, checked, results):
            emit("next", command=command)
    return checked


def _missing(skipped: Sequence[str]) -> dict[str, str]:
    """Return the audits whose packages are missing, each with the way to them, which is said.

    Said before the work begins, so that a person may install them first.
    """
    from headstart.auditing.audits import AUDITS

    found = {}
    for audit in AUDITS.values():
        try:
            audit.require()
        except HeadstartError as error:
            found[audit.name] = str(error)
            if audit.name not in skipped:
                emit("note", text=str(error))
    return found


def _load(data: Data, refused: list[Finding]) -> Dataset:
    """Load the data; what would forbid to learn from it is put into a list."""
    from headstart.data import load

    if isinstance(data, Dataset):
        return data
    if isinstance(data, partial):
        return as_dataset(partial(data.func, *data.args, **data.keywords, refused=refused))
    return load(data, refused=refused)


def _audit(
    dataset: Dataset,
    why_not: Mapping[str, str],
    known: Sequence[Finding],
    seed: int,
    seconds: float,
) -> "Results":
    """Run what is not left out."""
    from headstart.auditing.audit import Audited, AuditTools
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.running import run_audits
    from headstart.starts.candidates import frozen_start

    left = max(0.0, seconds)
    deadline = time.monotonic() + left
    features = None
    if any(
        a.has_features and a.name not in why_not and a.asks_of(dataset) for a in AUDITS.values()
    ):
        from headstart.auditing.probe_features import ProbeFeatures  # brings PyTorch
        from headstart.tuning.budget import SHARES

        features = ProbeFeatures(
            dataset,
            seconds=SHARES["audited features"].share * left,
            seed=seed,
            stop_requested=lambda: time.monotonic() > deadline,
        )
    start = features.start if features else None
    if start is None and dataset.schema.facts.has_words:  # lengths are counted by its tokenizer
        local = frozen_start(dataset.schema.modality)
        start = local.address if local else None
    results = run_audits(
        dataset,
        AuditTools(seed=seed, features=features, start=start),
        seconds=left,
        why_not=why_not,
        known=known,
    )
    if features is not None:
        results.found += [("features", Audited(finding)) for finding in features.findings]
    return results


def _conclude(
    dataset: Dataset, results: "Results", out: Path | None, listed: Path | None, seconds: float
) -> Checked:
    """Write what was found."""
    from headstart.auditing.record import check_record, check_views
    from headstart.auditing.repairs import UNMENDED, repairs
    from headstart.data.fix_lists import write_fixes
    from headstart.reporting.check_page import MAX_SHOWN, render_check_page

    record = check_record(dataset, results, seconds)
    if out is not None:
        page = render_check_page(record, check_views(dataset, results, MAX_SHOWN))
        with disk_errors(out, 0):
            write_atomically(out / "check.json", json.dumps(record, indent=1).encode())
            write_atomically(out / "check.html", page.encode(errors="backslashreplace"))
    if listed is not None:
        with disk_errors(listed, 0):
            fixes = repairs(dataset, [found for _, found in results.found])
            write_fixes(listed, fixes)
        if unmended := [fix for fix in fixes if fix.reason.startswith(UNMENDED)]:
            text = (
                f"The list mends nothing of {len(unmended):,} samples, such as "
                f"{unmended[0].sample}: {unmended[0].reason.split(':')[0]}. There are too few "
                "different ones: add others, or draw other splits."
            )
            emit("note", text=text)
    findings = tuple(found.finding for _, found in results.by_gravity)
    return Checked(record, findings, out, listed)


def _default_out(dataset: Dataset) -> Path | None:
    """Return ``checks/<name>``; None, and say so, where nothing can be written there."""
    try:
        return claimed_place(Path("checks") / data_name(dataset))
    except RunFolderError as error:
        emit("note", text=f"No page is written: {error}")
        return None


def _list_path(fix: str, *, overwrite: bool) -> Path:
    """Return where the list goes; refuse what stands there already, since a person may edit it."""
    path = Path(fix)
    if path.is_dir():
        raise OptionError(f"fix '{fix}' is a folder; expected a CSV file, such as --fix fixes.csv.")
    if path.exists() and not overwrite:
        raise RunFolderError(
            f"'{fix}' exists, and may have been edited; expected a new file. Choose another "
            "--fix, or replace it with --overwrite."
        )
    if path.exists() and not _is_list(path):  # the data themselves, say
        raise RunFolderError(
            f"'{fix}' exists and is no list of fixes; --overwrite replaces only such lists. "
            "Choose another --fix."
        )
    with disk_errors(path, 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    return path


def _is_list(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline().lower()
    return not first or (b"sample" in first and b"action" in first)


def _next(
    options: CheckOptions, dataset: Dataset, checked: Checked, results: "Results"
) -> str | None:
    """Return the command to type next; None for data in memory."""
    from headstart.auditing.repairs import UNMENDED, repairs

    typed = typed_data(options.data)
    if typed is None:
        return None
    fixes = repairs(dataset, [found for _, found in results.found])
    is_mendable = any(not fix.reason.startswith(UNMENDED) for fix in fixes)
    if checked.fixes is not None and is_mendable:
        return f"headstart fit {typed} --fixes {shlex.quote(str(checked.fixes))} --budget 30m"
    if checked.record["verdict"] == "refused":
        return f"headstart check {typed}"
    if is_mendable:
        return f"headstart check {typed} --fix {shlex.quote(data_name(dataset) + '-fixes.csv')}"
    return f"headstart fit {typed} --budget 30m"
