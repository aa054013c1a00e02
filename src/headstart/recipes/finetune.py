"""One start, one strategy: fine-tune, evaluate, report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.events import emit
from headstart.recipes.complete import complete
from headstart.recipes.dry_run import refuse_resume, say_real_run
from headstart.recipes.own_start import GivenStart, find_given, own_network, refuse_own_start
from headstart.recipes.processes import (
    after_restart,
    check_company,
    finished_before,
    run_in_company,
)
from headstart.recipes.run import Run
from headstart.recipes.session import session
from headstart.recipes.settle import Means, settle_bench
from headstart.recipes.source import as_dataset, default_out, spent_before
from headstart.reporting.console import attached
from headstart.storage.run_folder import refuse_occupied
from headstart.types import Data, ImageSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from headstart.training.company import Company
    from headstart.training.options.recipe import StrategyName, Wishes
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.setup import Bench
    from headstart.types import Dataset, Start


def finetune(
    data: Data,
    *,
    start: str | nn.Module,
    strategy: Literal["auto", "head", "last-n", "lp-ft", "gradual", "full", "lora"] = "auto",
    out: str | None = None,
    budget: str | None = None,
    num_epochs: float | None = None,
    num_steps: int | None = None,
    batch_size: int | None = None,
    micro_batch_size: int | None = None,
    input_size: int | None = None,
    num_last_layers: int | None = None,
    optimizer: Literal["sgd", "adam", "adamw"] | None = None,
    learning_rate: float | Literal["grid"] | None = None,
    head_multiplier: float | None = None,
    bottom_multiplier: float | None = None,
    weight_decay: float | None = None,
    l1_penalty: float = 0.0,
    schedule: Literal["constant", "cosine", "linear", "one-cycle"] | None = None,
    warmup_fraction: float | None = None,
    cooldown_fraction: float = 0.2,
    label_smoothing: float | None = None,
    dropout: float = 0.0,
    drop_path: float | None = None,
    mixup: float | None = None,
    cutmix: float = 0.0,
    augment: Literal["auto", "none", "digits", "light", "standard"] = "auto",
    imbalance: Literal["auto", "none", "weights", "oversample"] = "auto",
    clip: float = 1.0,
    ema: bool | None = None,
    patience: int | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    batchnorm: Literal["frozen", "train"] | None = None,
    channels_last: bool = True,
    compile: bool = False,
    views: int | None = None,
    num_workers: int | None = None,
    fsdp: bool | None = None,
    tensor_parallel_size: int = 1,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    spec: ImageSpec | None = None,
) -> Run | BudgetPlan:
    """Fine-tune one start on labelled data, evaluate it, and write a run folder.

    Args:
        data: Images, texts or a table: a folder with a folder per class, a CSV, Parquet or JSONL
            file, a name such as mnist, or (from Python) a Dataset, a DataFrame or (X, y) arrays.
        start: Address of the start, for example timm/resnet18, scratch/simple-cnn,
            pip/all-minilm-l6-v2, scratch/linear, or a run folder; from Python also a module that
            maps images (B, C, S, S) to features (B, D), with its spec, or what wrap_module made of
            one.
        strategy: What learns: head (a linear head on frozen features), last-n (also the last
            layers), lp-ft (first the head, then everything), gradual (first the head, then layer
            after layer from the last one down), full (everything at once), lora (first the head,
            then low-rank adapters beside frozen weights); auto is lp-ft for a pretrained start,
            head for a linear one (it is solved for, unless an option such as learning_rate or
            num_steps asks for gradient steps), and full for other random weights.
        out: Run folder to write; runs/<data> when not given.
        budget: Hard limit of the whole command, for example 90s, 10m or 2h.
        num_epochs: Passes over train.
        num_steps: Optimizer steps, instead of num_epochs.
        batch_size: Samples an optimizer step, over all devices.
        micro_batch_size: Samples a forward pass; gradients accumulate up to batch_size. When not
            given the whole batch, or what memory has room for.
        input_size: Side of the network input in pixels; for images.
        num_last_layers: Layers that learn under last-n.
        optimizer: Update rule; the family's own when not given.
        learning_rate: Peak learning rate of the encoder's last layer; the family's own when not
            given; grid tries the few that its literature names, in short trainings, and takes
            another than the family's own where val prefers it beyond noise.
        head_multiplier: Learning rate of the head as a multiple of learning_rate.
        bottom_multiplier: Learning rate of the first layer as a multiple of learning_rate; the
            layers between decay geometrically.
        weight_decay: L2 penalty, decoupled; none on biases and norms.
        l1_penalty: Weight of the sum of absolute weights in the loss.
        schedule: Shape of the learning rate over the run.
        warmup_fraction: Share of the steps that warm up.
        cooldown_fraction: Share of the steps that cool down under constant.
        label_smoothing: Share of each target spread over all classes; 0.1 from five classes on.
        dropout: Dropped share of the features before the head.
        drop_path: Largest stochastic-depth rate of the encoder.
        mixup: Alpha of mixup; 0 is off. For images.
        cutmix: Alpha of cutmix; 0 is off. For images.
        augment: Augmentation policy; auto looks at the images, and never mirrors small grey ones.
            Texts and tables have none.
        imbalance: What to do about rare classes; auto does nothing, and says so where the largest
            class has more than ten times the samples of the smallest: weights may find more of
            the rare ones, and are wrong more often.
        clip: Largest gradient norm; 0 is off.
        ema: Whether to average the weights over the last steps; the family's own when not given.
        patience: Checks without a gain of half a standard error before stopping; 0 never stops.
            When not given 6 under a constant rate, and 0 where the rate anneals to zero.
        precision: Number format of the forward pass; auto is mixed on CUDA, fp32 elsewhere.
        batchnorm: frozen keeps the start's statistics, train uses and updates those of each batch;
            frozen for a pretrained start, train for random weights when not given.
        channels_last: Whether images lie in memory pixel by pixel, which is mostly faster.
        compile: Whether to compile the model; pays off on long runs.
        views: Views of each sample for which the frozen first layers are computed, once: the sample
            as it is, and augmented ones; 0 augments and computes anew at every step. When not
            given, what pays is chosen and said.
        num_workers: Threads that make the batches of coming steps while the present one runs;
            changes no result, and may change when a run is resumed. When not given 2 where a GPU
            has no room for the data, else 0: on a CPU they take their time from the training.
        fsdp: Whether to split weights, gradients and optimizer over the processes that a launcher
            has started; when not given, only where they do not fit one GPU.
        tensor_parallel_size: Processes that compute each block of a transformer together, each
            with a part of its weights; divides the number of processes.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Seed of everything.
        resume: Go on with the unfinished run in out.
        overwrite: Replace what stands in out.
        dry_run: Show what every stage may take of the budget, and end: nothing is trained or
            written.
        spec: Preprocessing of a module given as start.

    Returns:
        The finished run; under dry_run the plan that it would obey.

    Raises:
        OptionError: If options are out of range or contradict each other.
        DataError: If the data cannot be learned from.
        StartError: If the start is unknown, unreachable or does not fit.
        RunFolderError: If the folder is occupied or cannot be written.
        DivergenceError: If the loss stops being a number.
        Interrupted: On Ctrl-C; the state is kept.

    Example:
        >>> import headstart as hs
        >>> run = hs.finetune("digits-8x8", start="scratch/simple-cnn")  # doctest: +SKIP
    """
    said = {k: v for k, v in locals().items() if k not in _NOT_OPTIONS}
    run: Callable[[Company], Run | BudgetPlan]
    if dry_run:
        refuse_resume(resume=resume)
        run = partial(_plan, data, start, spec, out, said, overwrite=overwrite)
    else:
        run = partial(_finetune, data, start, spec, out, said, resume=resume, overwrite=overwrite)
    find = partial(find_given, start, spec)
    return run_in_company(device, run, partial(as_dataset, data), find, spec)


_NOT_OPTIONS = ("data", "out", "resume", "overwrite", "dry_run", "spec")


def _finetune(
    data: Data,
    start: str | nn.Module,
    spec: ImageSpec | None,
    out: str | None,
    said: dict[str, Any],
    company: Company,
    *,
    resume: bool,
    overwrite: bool,
) -> Run:
    """Fine-tune; the options are those of ``finetune``, by name."""
    from headstart.tuning.budget import Budget

    # what can be refused is refused before anything is loaded or overwritten
    given, budget_seconds = _checked(start, spec, out, said, company, resume=resume)
    own = own_network(given.module)
    if done := finished_before(out, "finetune", said, company):
        return Run(done, own)
    resume, overwrite = after_restart(out, said, resume=resume, overwrite=overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(data)
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "finetune", said, company):
        return Run(done, own)
    company.send("data", fingerprint=dataset.fingerprint)
    with session(
        "finetune", dataset, out, said, company, resume=resume, overwrite=overwrite
    ) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        bench = _settled(dataset, given, said, budget, company, current.decisions)
        complete(current, dataset, bench, budget, candidates=[], grid=_grid(said))
    path = current.folder.path
    company.send("done", path=str(path))
    emit("next", command=next_command(path, dataset))
    return Run(path, own)


def _plan(
    data: Data,
    start: str | nn.Module,
    spec: ImageSpec | None,
    out: str | None,
    said: dict[str, Any],
    company: Company,
    *,
    overwrite: bool,
) -> BudgetPlan:
    """Return the plan that ``_finetune`` would obey; the model is built and measured, no more."""
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.planning import plan_tuning

    given, budget_seconds = _checked(start, spec, out, said, company, resume=False)
    refuse_occupied(out, resume=False, overwrite=overwrite)
    dataset = as_dataset(data)
    with attached():
        budget = Budget(budget_seconds, spent_before(dataset))
        bench = _settled(dataset, given, said, budget, company, Decisions())
        plan = plan_tuning(dataset, bench, budget)
    company.send("ended", code=0)
    say_real_run()
    return plan


def _checked(
    start: str | nn.Module,
    spec: ImageSpec | None,
    out: str | None,
    said: dict[str, Any],
    company: Company,
    *,
    resume: bool,
) -> tuple[GivenStart, float | None]:
    """Return the start and the seconds of the budget, after refusing what can be refused."""
    from headstart.training.options.recipe import check_grid, check_options
    from headstart.tuning.budget import parse_budget

    check_options(said)
    check_company(company, said, resume=resume)
    budget_seconds = parse_budget(said["budget"])
    found, module = find_given(start, spec)
    check_grid(said["learning_rate"], found)
    refuse_own_start(found.address, out)
    said["start"] = found.address
    return GivenStart(found, module, spec), budget_seconds


def _settled(
    dataset: Dataset,
    given: GivenStart,
    said: dict[str, Any],
    budget: Budget,
    company: Company,
    decisions: Decisions,
) -> Bench:
    """Settle what the options leave open, and build the model."""
    wishes = resolve_wishes(said, dataset, company.device)
    strategy = _settle_strategy(given.start, said, decisions)
    size, seed = said["input_size"], said["seed"]
    means = Means(budget, company, decisions, seed)
    return settle_bench(dataset, given, strategy, wishes, size, means)


def _grid(said: dict[str, Any]) -> Literal["asked", "off"]:
    return "asked" if said["learning_rate"] == "grid" else "off"


def _settle_strategy(start: Start, said: dict[str, Any], decisions: Decisions) -> StrategyName:
    """Return what learns; where nobody said it, it is chosen and told."""
    from headstart.tuning.decisions import Decided

    asked: Literal["auto"] | StrategyName = said["strategy"]
    if asked != "auto":
        return asked
    return decisions.settle("strategy", lambda: Decided(*choose_strategy(start, said)))


def choose_strategy(start: Start, said: dict[str, Any]) -> tuple[StrategyName, str]:
    """Return what learns where nobody said it, and why.

    Args:
        start: Linear, pretrained, or neither.
        said: Options by name; a linear start is solved for unless one of them asks for steps.
    """
    from headstart.training.options.limits import steps_asked

    if start.family == "linear":
        if asked := steps_asked(said):
            *others, last = asked
            names = f"{', '.join(others)} and {last} ask" if others else f"{last} asks"
            return "full", f"the start is linear, and {names} for gradient steps"
        return "head", "the start is linear, and a linear model is solved for"
    if start.pretrained_on is not None:
        return "lp-ft", "the start is pretrained"
    return "full", "the weights are random"


def next_command(path: Path, dataset: Dataset) -> str:
    """Return the command that comes after a run."""
    what = {"image": "FILE…", "text": "'SOME TEXT'", "table": "FILE.csv"}
    return f"headstart predict {path} {what[dataset.schema.modality]}"


def resolve_wishes(said: dict[str, object], dataset: Dataset, device: object) -> Wishes:
    """Turn the options of ``finetune`` into wishes: what is ``auto`` is decided here, and told.

    Args:
        said: Options by name.
        dataset: Decides the augmentation and the imbalance.
        device: Decides the precision.
    """
    from headstart.training.machine.device import choose_precision
    from headstart.training.options.limits import check_modality
    from headstart.training.options.recipe import Wishes

    check_modality(said, dataset.schema)
    fields = {k: v for k, v in said.items() if k in Wishes.__dataclass_fields__}
    if fields["augment"] == "auto":
        fields["augment"] = _choose_augmentation(dataset)
    if fields["imbalance"] == "auto":
        fields["imbalance"] = _choose_imbalance(dataset)
    fields["precision"] = choose_precision(str(fields["precision"]), device)  # type: ignore[arg-type]
    return Wishes(**fields)  # type: ignore[arg-type]


def _choose_augmentation(dataset: Dataset) -> str:
    """Return the augmentation policy for a data set, and tell why."""
    from headstart.training.batches.augment import choose_policy

    if dataset.schema.modality != "image":
        return "none"
    policy, why = choose_policy(
        dataset.image_size or (224, 224), dataset.image_channels or 3, dataset.schema.classes
    )
    emit("choice", name="augment", value=policy, why=why)
    return policy


def _choose_imbalance(dataset: Dataset) -> str:
    """Return what to do about rare classes, which is nothing, and tell where that matters."""
    from headstart.tasks import find_task

    task = find_task(dataset.schema.task)
    if not task.is_exclusive:
        return "none"
    counts = task.class_counts(dataset.train.targets, len(dataset.schema.classes))
    ratio = counts.max() / max(1, counts.min())
    if ratio > 10:
        why = (
            f"the largest class has {ratio:.0f} times the samples of the smallest; --imbalance "
            f"weights may find more of the rare ones, and is wrong more often (docs/experiments.md)"
        )
        emit("choice", name="imbalance", value="none", why=why)
    return "none"
