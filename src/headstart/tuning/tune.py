"""Fine-tune one model: probe first where the strategy says so, then the loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from headstart.events import emit
from headstart.model import Model, run_batches
from headstart.objectives import check_score
from headstart.training.batches.order import Share
from headstart.training.company import ALONE, Company, Placement, WholePlacement
from headstart.training.contract import never, stoppable
from headstart.training.loop import Check, LoopResult, train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.strategies import Strategy
from headstart.training.options.strategy import Phase
from headstart.training.probing.probe import Probe
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.budget import share_until
from headstart.tuning.frozen import FrozenPrefix, freeze_prefix
from headstart.tuning.grid import Search, choose_rate
from headstart.tuning.hooks import (
    let_learn,
    loop_options,
    place_bench,
    placed_bench,
    share_of,
    uncut,
    unfreeze,
    wire,
)
from headstart.tuning.memory import MemoryPlan, learning_bytes, settle_micro_batch
from headstart.tuning.messages import send_loop, send_phase
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import Bench, install, probe
from headstart.tuning.trials import Trials
from headstart.types import Inputs, Rows


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went.

    Attributes:
        fitted: The probe of the first phase; None where the strategy fits none.
        result: How the loop ended; None where the strategy needs no loop.
        val_logits: M rows, of the model as it now stands.
        seconds: Time of both phases.
    """

    fitted: Probe | None
    result: LoopResult | None
    val_logits: Rows
    seconds: float


def tune(
    bench: Bench,
    train_inputs: Inputs,
    val_inputs: Inputs,
    *,
    checkpoints: CheckpointFolder | None,
    deadline: float | None,
    stop_requested: Callable[[], bool],
    seconds_per_sample: float | None = None,
    on_usable: Callable[[], None] = lambda: None,
    on_views: Callable[[int], None] = lambda views: None,
    search: Search | None = None,
    memory: MemoryPlan | None = None,
    company: Company = ALONE,
) -> Tuned:
    """Fine-tune a model by its recipe; afterwards it holds the best weights seen.

    Args:
        bench: The model and its recipe.
        train_inputs: Learned from.
        val_inputs: Chosen by.
        checkpoints: Where the state is kept and resumed from; None keeps none.
        deadline: ``time.monotonic()`` value by which training has ended; None for no limit.
        stop_requested: Whether someone asked to stop.
        seconds_per_sample: One forward pass; under a deadline it bounds the probe's sample.
        on_usable: Called after the probe, or after the loop's first check: from then on the model
            is worth keeping.
        on_views: Told how many views of the first phase's frozen part were chosen, so that a
            resumed run has the same.
        search: Whether other learning rates are tried before the loop, and who is told; None tries
            none.
        memory: What is known of the micro-batch that fits memory; None where nothing is.
        company: The processes that train together, of which this is the main one; a search trains
            alone.

    Raises:
        StopRequested: If someone asked to stop before the loop had begun.
        OptionError: If a search was asked for and the deadline leaves no room for it.
        DeviceError: If learning takes more memory than there is, on a CPU.
    """
    began = time.monotonic()
    _settle_split(bench, company)
    model, recipe = bench.model, bench.recipe
    if model.device.type == "cpu":
        keep_freed_memory()
    opener = _Opener(
        bench,
        train_inputs,
        val_inputs,
        seconds_per_sample or 0.0,
        deadline,
        share_of(company, recipe),
        stop_requested,
        on_views,
        WholePlacement(company, model),
    )
    phases = Phases(bench, train_inputs, opener, partial(send_phase, company))
    strategy = bench.strategy
    if strategy.is_cacheable and phases.is_one and not recipe.is_split:
        # before the probe, which then computes only what follows the frozen part
        phases.prepare(0.0)
    fitted = None
    if strategy.probes:
        emit("stage", text="Linear probe on the frozen encoder")
        fitted = probe(
            bench,
            train_inputs,
            val_inputs,
            imbalance=recipe.imbalance,
            limit=_probe_limit(bench, seconds_per_sample, deadline),
            deadline=_probe_deadline(strategy, deadline),
            prefix=opener.prefix,
            stop_requested=stop_requested,
        )
        install(model, fitted)
        told = f"val {fitted.metric} {fitted.val_score:.4f} ({fitted.seconds:.1f} s)"
        emit("note", text=f"Probe: {told}")
        on_usable()
    result = None
    if strategy.loops:
        emit("stage", text=f"Fine-tuning ({strategy.name})")
        result = _run_loop(
            bench,
            train_inputs,
            val_inputs,
            phases,
            opener,
            checkpoints,
            deadline,
            stop_requested,
            on_usable=on_usable if fitted is None else None,
            search=search,
            memory=memory or MemoryPlan(),
            company=company,
        )
    # a head alone is the probe, and its features were there already
    val_logits = fitted.val_logits if fitted and not result else opener.val_logits()
    return Tuned(fitted, result, val_logits, time.monotonic() - began)


def better(bench: Bench, tuned: Tuned, rival: Bench, val_inputs: Inputs) -> tuple[Bench, Tuned]:
    """Return the better of a fine-tuned model and a rival, by their score on the same samples.

    Args:
        bench: The fine-tuned model.
        tuned: How its fine-tuning went.
        rival: What screening left of the same start; it wins only where it is strictly better.
        val_inputs: Prepared for both.
    """
    logits = run_batches(rival.model, val_inputs, rival.model)
    own, other = (_judge(bench.model, x, val_inputs) for x in (tuned.val_logits, logits))
    if other.score <= own.score:
        return bench, tuned
    why = f"val {own.metric} {other.score:.4f}, after the fine-tuning in the time left "
    emit("choice", name="model", value="as screening left it", why=f"{why}{own.score:.4f}")
    return rival, replace(tuned, fitted=None, val_logits=logits)


def _probe_limit(bench: Bench, seconds_per_sample: float | None, deadline: float | None) -> int:
    """Return how many samples the probe may take: its features get a share of the time left."""
    limit = bench.strategy.num_probe_samples
    if deadline is None or seconds_per_sample is None:
        return limit
    name = "probe features" if bench.strategy.loops else "head features"
    affordable = int(share_until(name, deadline) / seconds_per_sample)
    return max(10 * bench.model.num_outputs, min(limit, affordable))


def _probe_deadline(strategy: Strategy, deadline: float | None) -> float | None:
    """Return until when the probe may take: a loop that follows needs most of the time."""
    if deadline is None or not strategy.loops:
        return deadline
    return time.monotonic() + share_until("probe", deadline)


@dataclass
class _Opener:
    """Makes the phases of the main process ready: their frozen parts are computed here.

    ``placed`` says how the model lies on the processes, which changes while the loop runs where it
    is split over them. ``prefix`` is the frozen part of the present phase; None while none is kept.
    """

    bench: Bench
    train: Inputs
    val: Inputs
    seconds_per_sample: float
    deadline: float | None
    share: Share
    stop_requested: Callable[[], bool]
    on_views: Callable[[int], None]
    placed: Placement
    prefix: FrozenPrefix | None = None
    views: int | None = None

    def __call__(self, phase: Phase) -> Opened:
        """Compute what a phase freezes, where that pays; the first one chooses the views."""
        bench, is_first = placed_bench(self.bench, self.placed), self.views is None
        recipe = bench.recipe if is_first else replace(bench.recipe, views=self.views)
        if not is_first and all(phase.learns):
            # nothing is frozen any more: what varies most is best
            self.prefix = None
            return uncut(bench, self.train, self.share, 0)
        if not recipe.is_split:
            num_steps, steps_per_epoch = recipe.length(len(self.train))
            self.prefix = freeze_prefix(
                bench.model,
                recipe,
                self.train,
                self.val,
                num_epochs=(phase.end - phase.start) * num_steps / steps_per_epoch,
                seconds_per_sample=self.seconds_per_sample,
                deadline=self.deadline,
                share=self.share,
                stop_requested=self.stop_requested,
            )
        views = self.prefix.views.num if self.prefix else recipe.views or 0
        if is_first:
            self.views = views
            self.on_views(views)
        if self.prefix is None:
            return uncut(bench, self.train, self.share, views)
        return Opened(self.prefix.feed, self.prefix.forward, is_cut=True, views=views)

    def val_logits(self, stop_requested: Callable[[], bool] = never) -> Rows:
        """Return logits of the validation samples, shape (M, K), in eval mode.

        Raises:
            StopRequested: Between two batches, if someone asked to stop.
        """
        prefix, placed = self.prefix, self.placed
        if prefix is not None:
            return prefix.check_logits(stoppable(prefix.forward, stop_requested))
        model = placed_bench(self.bench, placed).model
        run, is_whole = stoppable(placed.run, stop_requested), not self.bench.recipe.is_split
        return run_batches(model, self.val, run, is_bounded=is_whole)


def _run_loop(
    bench: Bench,
    train_inputs: Inputs,
    val_inputs: Inputs,
    phases: Phases,
    opener: _Opener,
    checkpoints: CheckpointFolder | None,
    deadline: float | None,
    stop_requested: Callable[[], bool],
    on_usable: Callable[[], None] | None,
    search: Search | None,
    memory: MemoryPlan,
    company: Company,
) -> LoopResult:
    """Wire the model, its phases and the loss into the loop's hooks, and run it."""
    let_learn(bench)
    placed = opener.placed = _place(company, bench, checkpoints, train_inputs)
    laid = placed_bench(bench, placed)
    phases.encoder = laid.model.encoder
    looks = itertools.count()

    def look() -> Check:
        found = _judge(bench.model, opener.val_logits(stop_requested), val_inputs)
        if next(looks) == 0 and on_usable:
            placed.lend_whole()
            on_usable()
        return found

    hooks = wire(laid, train_inputs, phases, placed, look=look, stop_requested=stop_requested)
    micro = settle_micro_batch(bench, train_inputs, phases, opener.share, memory, company)
    if search:
        phases.prepare(0.0)  # what a trial does nobody hears
        logits = partial(opener.val_logits, stop_requested)
        work = Trials(bench, phases, hooks, logits, val_inputs, micro)
        each = opener.seconds_per_sample
        rate = choose_rate(work, search, seconds_per_sample=each, deadline=deadline)
        bench.recipe = replace(bench.recipe, learning_rate=rate)
        if phases.restart():
            opener.prefix = None
    options = loop_options(
        bench.recipe,
        phases.order,
        check_seconds=len(val_inputs) * opener.seconds_per_sample,
        company=company,
        micro_batch_size=micro,
    )
    with closing(phases):
        optimizer, folder = unfreeze(placed_bench(bench, placed), placed), placed.checkpoints
        result = train(
            placed.module, optimizer, hooks, options, checkpoints=folder, deadline=deadline
        )
        placed.finish(optimizer)
    opener.placed = WholePlacement(company, bench.model)
    return result


def _settle_split(bench: Bench, company: Company) -> None:
    """Settle whether the weights are split over the processes."""
    if not bench.strategy.loops:
        return

    def needed() -> int:
        let_learn(bench)
        return learning_bytes(bench.model, bench.recipe)

    bench.recipe = company.settle_split(bench.recipe, needed)


def _place(
    company: Company, bench: Bench, checkpoints: CheckpointFolder | None, train: Inputs
) -> Placement:
    """Call the workers into the loop, with the model as it stands, and lay it on the processes."""
    send_loop(company, bench, checkpoints.path if checkpoints else None)
    return place_bench(bench, company, checkpoints, train)


def check(model: Model, val_inputs: Inputs) -> Check:
    """Return score and loss on the validation split."""
    return _judge(model, run_batches(model, val_inputs, model), val_inputs)


def _judge(model: Model, logits: Rows, val_inputs: Inputs) -> Check:
    """Return score and loss of logits."""
    targets = model.standard_targets(val_inputs.targets)
    metric, score, loss, error = check_score(model.schema.task, logits, targets)
    return Check(score=score, loss=loss, standard_error=error, metric=metric)
