"""The main job: choose the start, fine-tune it inside the budget, say how good the result is.

This is a first, simple search: a short list of candidates, a quick score each on a sample, then the
fine-tuning of the best. The seam to a fuller one is ``ranking.screen``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from headstart.events import emit
from headstart.recipes.complete import complete
from headstart.recipes.dry_run import refuse_resume, say_real_run
from headstart.recipes.finetune import next_command, resolve_wishes
from headstart.recipes.own_start import refuse_own_start
from headstart.recipes.processes import after_restart, finished_before, run_in_company
from headstart.recipes.run import Run
from headstart.recipes.session import Session, session
from headstart.recipes.source import as_dataset, default_out, spent_before
from headstart.reporting.console import attached
from headstart.storage.run_folder import refuse_occupied
from headstart.types import Data

if TYPE_CHECKING:
    from collections.abc import Callable

    from headstart.ranking import Candidate
    from headstart.training.company import Company
    from headstart.training.options.recipe import StrategyName, Wishes
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.decisions import Decided
    from headstart.tuning.setup import Bench
    from headstart.tuning.texts import TextStock
    from headstart.types import Dataset, Inputs, Rows, Start


class Chosen(TypedDict):
    """The start that screening has chosen, and what it found of all of them."""

    start: str
    size: int | None
    strategy: StrategyName
    candidates: list[dict[str, Any]]


def fit(
    data: Data,
    *,
    budget: str = "10m",
    out: str | None = None,
    starts: Sequence[str] | None = None,
    strategy: Literal["auto", "head", "last-n", "lp-ft", "gradual", "full", "lora"] = "auto",
    augment: Literal["auto", "none", "digits", "light", "standard"] = "auto",
    imbalance: Literal["auto", "none", "weights", "oversample"] = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    num_workers: int | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Run | BudgetPlan:
    """Find the best start for the data, fine-tune it within the budget, and say how good it is.

    Time that the training would leave unused goes to short trials of the few other learning rates
    that the family's literature names.

    Args:
        data: Images, texts or a table: a folder with a folder per class, a CSV, Parquet or JSONL
            file, a name such as digits, or (from Python) a Dataset, a DataFrame or (X, y) arrays.
        budget: Hard limit of the whole command, for example 90s, 10m or 2h.
        out: Run folder to write; runs/<data> when not given.
        starts: Addresses of the candidates; when not given, those that are on this machine.
        strategy: What learns; auto is lp-ft for a pretrained start, head for a linear one, and
            full for other random weights.
        augment: Augmentation policy; auto looks at the images, and never mirrors small grey ones.
        imbalance: What to do about rare classes; auto does nothing, and says so where the largest
            class has more than ten times the samples of the smallest: weights may find more of
            the rare ones, and are wrong more often.
        precision: Number format of the forward pass; auto is mixed on CUDA, fp32 elsewhere.
        num_workers: Threads that make the batches of coming steps while the present one runs;
            changes no result, and may change when a run is resumed. When not given 2 where a GPU
            has no room for the data, else 0: on a CPU they take their time from the training.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Seed of everything.
        resume: Go on with the unfinished run in out.
        overwrite: Replace what stands in out.
        dry_run: Show what every stage may take of the budget, and end: nothing is trained or
            written.

    Returns:
        The finished run; under dry_run the plan that it would obey.

    Raises:
        OptionError: If options are out of range.
        DataError: If the data cannot be learned from.
        StartError: If a start is unknown, or none can be tried.
        RunFolderError: If the folder is occupied or cannot be written.
        Interrupted: On Ctrl-C; the state is kept.

    Example:
        >>> import headstart as hs
        >>> run = hs.fit("digits", budget="2m", out="runs/digits")  # doctest: +SKIP
        >>> print(run.report())  # doctest: +SKIP
    """
    said: dict[str, Any] = {k: v for k, v in locals().items() if k not in _NOT_OPTIONS}
    run: Callable[[Company], Run | BudgetPlan]
    if dry_run:
        refuse_resume(resume=resume)
        run = partial(_plan, data, out, said, overwrite=overwrite)
    else:
        run = partial(_fit, data, out, said, resume=resume, overwrite=overwrite)
    return run_in_company(device, run, partial(as_dataset, data))


_NOT_OPTIONS = ("data", "out", "resume", "overwrite", "dry_run")


def _fit(
    data: Data,
    out: str | None,
    said: dict[str, Any],
    company: Company,
    *,
    resume: bool,
    overwrite: bool,
) -> Run:
    """Search and fine-tune; the options are those of ``fit``, by name."""
    from headstart.tuning.budget import Budget
    from headstart.tuning.texts import text_stock

    named, budget_seconds = _checked(out, said)
    if done := finished_before(out, "fit", said, company):
        return Run(done)
    resume, overwrite = after_restart(out, said, resume=resume, overwrite=overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(data)
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "fit", said, company):
        return Run(done)
    company.send("data", fingerprint=dataset.fingerprint)
    with session("fit", dataset, out, said, company, resume=resume, overwrite=overwrite) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        seed = said["seed"]
        texts = text_stock(dataset, budget, seed=seed, decisions=current.decisions)
        wishes = resolve_wishes(said, dataset, company.device)
        chosen, rival = _settle_start(current, dataset, named, budget, texts, seed)
        bench = _build(chosen, dataset, said, wishes, company, texts)
        candidates = chosen["candidates"]
        complete(current, dataset, bench, budget, candidates=candidates, rival=rival, grid="room")
    path = current.folder.path
    company.send("done", path=str(path))
    emit("next", command=next_command(path, dataset))
    return Run(path)


def _plan(
    data: Data, out: str | None, said: dict[str, Any], company: Company, *, overwrite: bool
) -> BudgetPlan:
    """Return the plan that ``_fit`` would obey; no model is built."""
    from headstart.ranking import default_starts
    from headstart.tuning.budget import Budget
    from headstart.tuning.planning import plan_search

    named, budget_seconds = _checked(out, said)
    refuse_occupied(out, resume=False, overwrite=overwrite)
    dataset = as_dataset(data)
    with attached():
        budget = Budget(budget_seconds, spent_before(dataset))
        plan = plan_search(dataset, named or default_starts(dataset, budget_seconds), budget)
    company.send("ended", code=0)
    say_real_run()
    return plan


def _checked(out: str | None, said: dict[str, Any]) -> tuple[list[Start], float | None]:
    """Return the named starts and the seconds of the budget, after refusing what can be refused."""
    from headstart.starts import find_start
    from headstart.training.options.recipe import check_options
    from headstart.tuning.budget import parse_budget

    check_options({"num_workers": said["num_workers"]})
    budget_seconds = parse_budget(said["budget"])
    named = [find_start(address) for address in said["starts"] or ()]
    for candidate in named:
        refuse_own_start(candidate.address, out)
    said["starts"] = [s.address for s in named] or None
    return named, budget_seconds


def _build(
    chosen: Chosen,
    dataset: Dataset,
    said: dict[str, Any],
    wishes: Wishes,
    company: Company,
    texts: TextStock | None,
) -> Bench:
    """Build the model of the chosen start."""
    from headstart.starts import find_start
    from headstart.tuning.setup import set_up

    return set_up(
        dataset,
        find_start(chosen["start"]),
        chosen["strategy"] if said["strategy"] == "auto" else said["strategy"],
        wishes,
        size=chosen["size"],
        device=company.device,
        seed=said["seed"],
        texts=texts,
    )


def _settle_start(
    current: Session,
    dataset: Dataset,
    named: list[Start],
    budget: Budget,
    texts: TextStock | None,
    seed: int,
) -> tuple[Chosen, Bench | None]:
    """Settle the start; return it with its model, where screening has left one just now."""
    from headstart.ranking import default_starts, screen
    from headstart.tuning.conclude import calibrate, save_model
    from headstart.tuning.planning import plan_search

    kept: Bench | None = None

    def keep(bench: Bench, val: Inputs, logits: Rows) -> None:
        nonlocal kept
        kept = bench
        calibrate(bench.model, logits, val.targets)
        save_model(current.folder, dataset, bench)

    def decide() -> Decided[Chosen]:
        emit("stage", text="Choosing the start")
        starts = named or default_starts(dataset, budget.limit_seconds)
        plan = plan_search(dataset, starts, budget)
        with plan.stage("screening", budget):
            candidates = screen(
                dataset,
                starts,
                budget=budget,
                seconds=plan.seconds("screening"),
                seed=seed,
                device=current.company.device,
                on_better=keep,
                texts=texts,
            )
        return _choose(candidates)

    return current.decisions.settle("start", decide), kept


def _choose(candidates: list[Candidate]) -> Decided[Chosen]:
    """Tell the ranking, and decide for the best."""
    from headstart.tuning.decisions import Decided

    rows = [_row(c) for c in candidates]
    best = candidates[0]
    emit(
        "table",
        title=f"Candidates, by {best.metric} on a validation sample",
        columns=["start", best.metric, "95 % interval", "pixels", "seconds", "note"],
        rows=[_shown(c) for c in candidates],
    )
    value = best.score.value
    why = f"validation {best.metric} {value:.3f} on a sample, the best of {len(rows)}"
    if value != value:
        why = f"the quickest; none of {len(rows)} could be scored in the time for screening"
    address = best.start.address
    chosen: Chosen = {
        "start": address,
        "size": best.size,
        "strategy": best.strategy,
        "candidates": rows,
    }
    return Decided(chosen, why, address)


def _row(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as ``options.json`` keeps it."""
    score = candidate.score
    tried = score.value == score.value
    return {
        "start": candidate.start.address,
        "metric": candidate.metric,
        "score": score.value if tried else None,
        "low": score.low if tried else None,
        "high": score.high if tried else None,
        "pixels": candidate.size or None,
        "seconds": round(candidate.seconds, 2),
        "note": candidate.note,
    }


def _shown(candidate: Candidate) -> list[str]:
    """Return a candidate as the terminal shows it."""
    score = candidate.score
    if score.value != score.value:
        return [candidate.start.address, "", "", "", "", candidate.note]
    return [
        candidate.start.address,
        f"{score.value:.3f}",
        f"{score.low:.3f} … {score.high:.3f}",
        str(candidate.size or ""),
        f"{candidate.seconds:.1f}",
        candidate.note,
    ]
