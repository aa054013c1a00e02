"""The main job: choose the start, fine-tune it inside the budget, say how good the result is.

This is a first, simple search: a short list of candidates, a quick score each on a sample, then the
fine-tuning of the best. The seam to a fuller one is ``ranking.screen``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headstart.events import emit
from headstart.recipes.finetune import next_command, refuse_own_start, settle_auto
from headstart.recipes.options import FitOptions, takes
from headstart.recipes.processes import after_restart, finished_before, run_in_company
from headstart.recipes.run import Run
from headstart.recipes.session import (
    Session,
    as_dataset,
    complete,
    default_out,
    session,
    spent_before,
)
from headstart.storage.run_folder import refuse_occupied
from headstart.training.options.strategies import AUTO
from headstart.training.options.training_options import training_options

if TYPE_CHECKING:
    import torch

    from headstart.ranking import Candidate
    from headstart.training.company import Company
    from headstart.tuning.budget import Budget
    from headstart.tuning.setup import Bench
    from headstart.tuning.texts import TextStock
    from headstart.types import Dataset, Inputs, Rows, Start


@takes(FitOptions)
def fit(options: FitOptions) -> Run:
    """Find the best start for the data, fine-tune it within the budget, and say how good it is.

    Time that the training would leave unused goes to short trials of the few other learning rates
    that the family's literature names.

    Returns:
        The finished run.

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
    load = partial(as_dataset, options.data)
    return run_in_company(options.device, partial(_fit, options), load)


def _fit(options: FitOptions, company: Company) -> Run:
    """Search and fine-tune in the main process."""
    from headstart.starts import find_start
    from headstart.training.options.limits import check_applies, check_options
    from headstart.tuning.budget import Budget, parse_budget
    from headstart.tuning.setup import set_up

    check_options(options)
    budget_seconds = parse_budget(options.budget)
    out, target = options.out, company.device
    named = [find_start(address) for address in options.starts or ()]
    for candidate in named:
        refuse_own_start(candidate.address, out)
    options = replace(options, starts=[s.address for s in named] or None)
    kept = options.to_json()
    if done := finished_before(out, "fit", kept, company):
        return Run(done)
    resume, overwrite = after_restart(out, kept, resume=options.resume, overwrite=options.overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(options.data)
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "fit", kept, company):
        return Run(done)
    company.send("data", fingerprint=dataset.fingerprint)
    with session("fit", dataset, out, kept, resume=resume, overwrite=overwrite) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        texts = current.text_stock(dataset, budget, options.seed)
        check_applies(options, dataset.schema)
        settled = training_options(settle_auto(options, dataset, target))
        rival = None
        if "chosen" not in current.plan:
            rival = _choose(current, dataset, named, budget, texts, options.seed, target)
        else:
            why = "chosen before the run was interrupted"
            emit("choice", name="start", value=current.plan["chosen"]["start"], why=why)
        chosen = current.plan["chosen"]
        strategy = chosen["strategy"] if options.strategy == AUTO else options.strategy
        settled = replace(settled, strategy=strategy, input_size=chosen["size"])
        start = find_start(chosen["start"])
        bench = set_up(dataset, start, settled, device=target, texts=texts)
        candidates = current.plan["candidates"]
        complete(current, dataset, bench, budget, company, candidates, rival, grid="room")
    path = current.folder.path
    company.send("done", path=str(path))
    emit("next", command=next_command(path, dataset))
    return Run(path)


def _choose(
    current: Session,
    dataset: Dataset,
    named: list[Start],
    budget: Budget,
    texts: TextStock | None,
    seed: int,
    device: torch.device,
) -> Bench | None:
    """Screen the candidates, tell the ranking, put the choice into the plan, return its model."""
    from headstart.ranking import default_starts, screen
    from headstart.tuning.conclude import calibrate, save_model

    emit("stage", text="Choosing the start")

    kept: Bench | None = None

    def keep(bench: Bench, val: Inputs, logits: Rows) -> None:
        nonlocal kept
        kept = bench
        calibrate(bench.model, logits, val.targets)
        save_model(current.folder, dataset, bench)

    candidates = screen(
        dataset,
        named or default_starts(dataset, budget.limit_seconds),
        budget=budget,
        seconds=budget.may_take("screening"),
        seed=seed,
        device=device,
        on_better=keep,
        texts=texts,
    )
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
    emit("choice", name="start", value=best.start.address, why=why)
    current.remember(
        chosen={"start": best.start.address, "size": best.size, "strategy": best.strategy},
        candidates=rows,
    )
    return kept


def _row(candidate: Candidate) -> dict[str, object]:
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
