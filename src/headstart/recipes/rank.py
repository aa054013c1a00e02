"""Rank starting points for some data: which is worth fine-tuning, and what that costs here."""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from headstart.errors import (
    DataError,
    HeadstartError,
    Interrupted,
    OptionError,
    RunFolderError,
    StartError,
    quoted,
)
from headstart.events import emit, seconds_since_command_began, unheard
from headstart.recipes.hard_limit import ends_without, last_moment
from headstart.recipes.launching import is_worker
from headstart.recipes.options import LaunchOptions, takes
from headstart.recipes.processes import company_of
from headstart.recipes.source import as_dataset, lacking, spent_before, typed_data
from headstart.reporting.console import attached
from headstart.storage.run_folder import claimed_place, disk_errors, write_atomically
from headstart.training.options.option import Option
from headstart.types import Data, Dataset, Schema, are_alike

if TYPE_CHECKING:
    from headstart.training.company import Company
    from headstart.tuning.cut_off import CutOff
    from headstart.types import Start

_FILES = ("ranking.json", "ranking.html")
_PERMISSIVE = ("apache", "mit", "bsd", "isc", "cc0", "cc-by-4.0", "unlicense", "none (")
_ENDING = "ranked ending"  # the share that is left where it ends without a score
_MILLION = {"k": 1e-3, "m": 1.0, "b": 1e3}


@dataclass(frozen=True, kw_only=True, eq=False)
class RankOptions(LaunchOptions):
    """What ``rank`` takes."""

    data: Annotated[
        Data,
        Option(
            sentence="Images, texts or a table: a folder with a folder per class, a CSV, Parquet "
            "or JSONL file, a name such as digits, or (from Python) a Dataset, a DataFrame or "
            "(X, y) arrays."
        ),
    ] = field(kw_only=False)
    starts: Annotated[
        Sequence[str] | None,
        Option(
            sentence="Addresses of the candidates; when not given, those on this machine, and the "
            "random ones that fit the data."
        ),
    ] = None
    like: Annotated[
        str | None,
        Option(
            sentence="Part of a name, or a pattern such as timm/vit_*_224: all starts that match "
            "are candidates, too; their weights are downloaded unless --offline."
        ),
    ] = None
    max_params: Annotated[
        str | None, Option(sentence="Largest number of parameters, for example 30M.")
    ] = None
    licence: Annotated[
        Literal["any", "permissive"],
        Option(sentence="permissive leaves out weights that may not be used for all purposes."),
    ] = "any"
    offline: Annotated[bool, Option(sentence="Only starts that are on this machine.")] = False
    budget: Annotated[
        str, Option(sentence="What it may take at the most, for example 90s or 5m.")
    ] = "2m"
    out: Annotated[
        str | None,
        Option(sentence="Folder for ranking.json and ranking.html; none when not given."),
    ] = None
    overwrite: Annotated[bool, Option(sentence="Replace the ranking that stands in out.")] = False
    input_size: Annotated[
        int | None,
        Option(
            sentence="Side in pixels, at the most, at which pretrained starts read images; each "
            "one's own, or what these images can use of it, when not given.",
            low=8,
            high=4096,
        ),
    ] = None
    engine: Annotated[
        Literal["auto", "torch", "onnxruntime", "openvino"],
        Option(sentence="What computes passes; auto takes the fastest that gives the same."),
    ] = "auto"
    device: Annotated[str, Option(sentence="auto, cpu, cuda, cuda:0 or mps.")] = "auto"
    seed: Annotated[int, Option(sentence="Of the split and of what is drawn.", low=0)] = 0


@dataclass(frozen=True)
class Ranked:
    """What was found.

    Attributes:
        record: Content of ``ranking.json``.
        path: That file; None where no folder was named.
    """

    record: Mapping[str, Any]
    path: Path | None = None

    @property
    def shortlist(self) -> tuple[str, ...]:
        """Addresses of the starts worth a try, the best first."""
        return tuple(self.record["shortlist"])

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_ranking

        return html_ranking(self.record)

    def report(self) -> str:
        """Return everything as text for a person."""
        from headstart.reporting.rank_text import render_rank_text

        return render_rank_text(self.record)


@takes(RankOptions)
def rank(options: RankOptions) -> Ranked:
    """Rank starting points for the data: how good each one is for them, and what it costs.

    Every start reads the same training samples as it stands; simple methods tell how much of the
    target its features hold, each sample told by all others. Nothing is fine-tuned but, for a
    moment, random weights and the last blocks of the best; the test split is not touched.

    Returns:
        The starts in order, and those worth a try; report() gives the text.

    Raises:
        OptionError: If an option is out of range.
        DataError: If the data cannot be learned from.
        StartError: If a start is unknown, or none can be scored.
        Interrupted: On Ctrl-C.

    Example:
        >>> import headstart as hs
        >>> ranked = hs.rank("digits-8x8", budget="20s")  # doctest: +SKIP
        >>> ranked.shortlist  # doctest: +SKIP
        ('scratch/simple-cnn',)
    """
    from headstart.tuning.named_budget import parse_budget

    limit = parse_budget(options.budget)
    seconds = None if is_worker() else limit
    instead = lacking(options.data, options.starts)
    with ends_without("a start had its score", seconds, _ENDING, instead=instead) as end:
        return _ranked(options, limit, end)


def _ranked(options: RankOptions, limit: float | None, end: "CutOff") -> Ranked:
    """Rank, and write what was found."""
    from headstart.engines import require_engine

    require_engine(options.engine)
    most, out = _millions(options.max_params), None
    if options.out is not None and not is_worker():
        out = _claimed(Path(options.out), overwrite=options.overwrite)
    with company_of(options.device) as company:
        if is_worker():
            with unheard():
                record = _record(options, limit, most, company, end)
            if seconds_since_command_began() is not None:
                raise SystemExit(0)
            return Ranked(record)
        with attached():
            emit("stage", text="Ranking the starts")
            record = _record(options, limit, most, company, end)
            path = None if out is None else _written(out, record)
            if command := _next(options, record):
                emit("next", command=command)
    return Ranked(record, path)


def _record(
    options: RankOptions,
    limit: float | None,
    most: float,
    company: "Company",
    end: "CutOff",
) -> dict[str, Any]:
    """Rank, and return what goes into ``ranking.json``; the same in every process.

    Args:
        options: What the user said.
        limit: The budget in seconds, or None.
        most: Largest number of parameters, in millions.
        company: The processes that share the starts.
        end: Cuts the ranking off, unless a start has its score.

    Raises:
        Interrupted: If someone asked to stop.
    """
    from headstart.engines import passes_by
    from headstart.preprocessing import without_rows
    from headstart.ranking.rank import rank_starts
    from headstart.ranking.scored import RankingJob
    from headstart.training.contract import StopRequested
    from headstart.training.options.common_options import CommonOptions
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.engine_rule import engine_rule
    from headstart.tuning.stop import graceful_stop
    from headstart.tuning.texts import text_cache

    dataset = as_dataset(options.data)
    if company.agree_on(lambda: dataset.fingerprint) != dataset.fingerprint:
        raise HeadstartError(
            f"{dataset.name} reads differently here than in the main process; expected the same "
            f"data everywhere. Put the same files on every machine."
        )
    _refuse_others(options, dataset)
    if dataset.schema.beside:
        about = dataset.schema.facts.nouns
        text = f"Starts are ranked by the {about} alone, without the columns beside them."
        emit("note", text=text)
        dataset = without_rows(dataset)
    starts = _candidates(options, dataset, most)
    budget = Budget(limit, spent_before(dataset))
    # each process times its own passes: what it chooses is no decision for the others
    rule = engine_rule(options.engine, "fp32", budget_seconds=limit, decisions=Decisions())
    try:
        with graceful_stop() as stop_requested, passes_by(rule):
            job = RankingJob(
                dataset,
                budget,
                CommonOptions(seed=options.seed),
                company.device,
                text_cache(dataset, budget, seed=options.seed),
                stop_requested,
                company,
                options.input_size,
                end.call_off,
            )
            end.bring_forward(last_moment(budget, _ENDING))
            found = rank_starts(job, starts)
    except StopRequested:
        raise Interrupted("Stopped before all starts were scored; nothing was written.") from None
    return {"data": dataset.name, **found.to_json()}


def _refuse_others(options: RankOptions, dataset: Dataset) -> None:
    """Refuse what has more to tell of a sample than one class or number, and name who chooses.

    Features of a whole sample say nothing of its single words, and nothing of who writes well, or
    matches well what two networks embed; of several targets each would have an order of its own.
    """
    from headstart.tasks import find_task

    task = find_task(dataset.schema.task)
    if task.is_answered_whole and not task.parts:
        return
    told = f"{task.words.told} ({task.name})"
    if task.parts:
        told = f"several targets a sample ({quoted([part.label for part in task.parts])})"
    raise DataError(
        f"{dataset.name} has {told}; expected one target a sample, which is what starts are ranked "
        f"by. Run 'headstart fit {typed_data(options.data) or 'DATA'} --budget 10m' instead, which "
        f"compares them by what they have learned."
    )


def _claimed(out: Path, *, overwrite: bool) -> Path:
    """Return the folder for the ranking, which can be written and holds none.

    Raises:
        RunFolderError: If one stands there and nobody said to replace it, or it cannot be written.
    """
    standing = [name for name in _FILES if (out / name).exists()]
    if standing and not overwrite:
        raise RunFolderError(
            f"'{out}' holds {' and '.join(standing)} already; expected a folder without a ranking. "
            f"Give another --out, or --overwrite to replace it."
        )
    return claimed_place(out)


def _millions(said: str | None) -> float:
    """Return a number of parameters in millions.

    Raises:
        OptionError: If it is none.
    """
    if said is None:
        return float("inf")
    text = said.strip().lower().replace(" ", "")
    try:
        value = (
            float(text[:-1]) * _MILLION[text[-1]] if text[-1:] in _MILLION else float(text) / 1e6
        )
    except ValueError:
        value = 0.0
    if not value > 0:
        raise OptionError(
            f"max_params '{said}' is no number of parameters; expected one such as 30M, 800K or "
            f"5000000. Write it like --max-params 30M."
        )
    return value


def _candidates(options: RankOptions, dataset: Dataset, most: float) -> list["Start"]:
    """Return the starts that are asked for and pass the filters.

    Raises:
        OptionError: If none is left.
    """
    from headstart.starts import list_starts
    from headstart.starts.candidates import candidate_starts

    modality = dataset.schema.modality
    if options.starts or options.like:
        found = _found(options.starts or (), dataset.schema)
        if options.like:
            found += list_starts(modality, options.like)
    else:
        found = candidate_starts(dataset, num_local=1_000)
    by_address = {one.address: one for one in found}
    kept = [
        one
        for one in by_address.values()
        if one.num_parameters <= most * 1e6
        and (options.licence == "any" or one.licence.lower().startswith(_PERMISSIVE))
        and (one.is_local or not options.offline)
    ]
    if len(kept) < len(by_address):
        emit(
            "note",
            text=f"{len(by_address) - len(kept)} of {len(by_address)} starts left out by "
            f"--max-params, --licence or --offline.",
        )
    if not kept:
        raise OptionError(
            f"No start is left of {len(by_address)} that match; expected at least one. Widen "
            f"--like, --max-params, --licence or --starts, or leave out --offline."
        )
    return kept


def _found(addresses: Sequence[str], schema: Schema) -> list["Start"]:
    """Return the starts of addresses; those of another modality are named and left out.

    Raises:
        StartError: If one is unknown, or none reads samples of this kind.
    """
    from headstart.starts import find_start

    found: list[Start] = []
    others: list[Start] = []
    for address in addresses:
        start = find_start(address)
        (found if are_alike(start, schema) else others).append(start)
    for start in others:
        emit("note", text=f"{start.address} is left out: it reads {start.modality}s.")
    if others and not found:
        modality = schema.modality
        names = ", ".join(start.address for start in others)
        kinds = " and ".join(dict.fromkeys(f"{start.modality}s" for start in others))
        raise StartError(
            f"{names}: {kinds} are what it reads, and the data holds {modality}s. Name starts that "
            f"'headstart starts --modality {modality}' lists."
        )
    return found


def _written(out: Path, record: Mapping[str, object]) -> Path:
    """Write the ranking and its page."""
    from headstart.reporting.rank_page import render_rank_page

    path = out / _FILES[0]
    with disk_errors(out, 0):
        write_atomically(path, json.dumps(record, indent=1).encode())
        write_atomically(out / _FILES[1], render_rank_page(record).encode())
    return path


def _next(options: RankOptions, record: Mapping[str, Any]) -> str | None:
    """Return the command to type next, with the options of reading; None for data in memory."""
    typed = typed_data(options.data)
    if typed is None:
        return None
    return f"headstart fit {typed} --starts {shlex.join(record['shortlist'])} --budget 30m"
