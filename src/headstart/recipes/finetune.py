"""One start, one strategy: fine-tune, evaluate, report."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from headstart.errors import OptionError
from headstart.events import emit
from headstart.recipes.options import FinetuneOptions, takes
from headstart.recipes.processes import (
    after_restart,
    check_company,
    finished_before,
    run_in_company,
)
from headstart.recipes.run import Run
from headstart.recipes.session import (
    as_dataset,
    complete,
    default_out,
    session,
    spent_before,
)
from headstart.storage.run_folder import refuse_occupied
from headstart.training.options.strategies import AUTO, default_strategy, find_strategy
from headstart.training.options.training_options import (
    AugmentName,
    CommonOptions,
    Imbalance,
)
from headstart.types import ImageSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from headstart.training.company import Company
    from headstart.tuning.budget import Budget
    from headstart.tuning.setup import Bench
    from headstart.tuning.texts import TextStock
    from headstart.types import Dataset, Start

Settling = TypeVar("Settling", bound=CommonOptions)


@takes(FinetuneOptions)
def finetune(options: FinetuneOptions) -> Run:
    """Fine-tune one start on labelled data, evaluate it, and write a run folder.

    Returns:
        The finished run.

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
    load, find = partial(as_dataset, options.data), partial(_find, options.start, options.spec)
    return run_in_company(options.device, partial(_finetune, options), load, find, options.spec)


def _finetune(options: FinetuneOptions, company: Company) -> Run:
    """Fine-tune in the main process."""
    from headstart.training.options.limits import check_options
    from headstart.training.options.recipe import check_search
    from headstart.tuning.budget import Budget, parse_budget

    # what can be refused is refused before anything is loaded or overwritten
    check_options(options)
    check_company(company, options, resume=options.resume)
    budget_seconds = parse_budget(options.budget)
    found, module = _find(options.start, options.spec)
    check_search(options, found)
    out = options.out
    refuse_own_start(found.address, out)
    options = replace(options, start=found.address)
    kept = options.to_json()
    if done := finished_before(out, "finetune", kept, company):
        return Run(done, _own_network(module))
    resume, overwrite = after_restart(out, kept, resume=options.resume, overwrite=options.overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(options.data)
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "finetune", kept, company):
        return Run(done, _own_network(module))
    company.send("data", fingerprint=dataset.fingerprint)
    with session("finetune", dataset, out, kept, resume=resume, overwrite=overwrite) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        settled = _settled(options, found, dataset, company.device, is_built=module is not None)
        texts = current.text_stock(dataset, budget, options.seed)
        bench = _bench(settled, found, module, dataset, budget, company.device, texts)
        grid: Literal["asked", "off"] = "asked" if options.learning_rate_search else "off"
        complete(current, dataset, bench, budget, company, candidates=[], grid=grid)
    path = current.folder.path
    company.send("done", path=str(path))
    emit("next", command=next_command(path, dataset))
    return Run(path, _own_network(module))


def _bench(
    options: FinetuneOptions,
    start: Start,
    module: nn.Module | None,
    dataset: Dataset,
    budget: Budget,
    device: torch.device,
    texts: TextStock | None,
) -> Bench:
    """Return the model to fine-tune; where nobody said its input size, one that fits the budget."""
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.fitting import fitting_bench, refuse_too_slow
    from headstart.tuning.setup import set_up

    if module is None and options.input_size is None:
        bench, _, note = fitting_bench(dataset, start, options, budget, device=device, texts=texts)
        if note and bench.size is not None:
            why = f"a pass at {start.image.size if start.image else 0} does not fit the budget"
            emit("choice", name="input_size", value=bench.size, why=why)
        return bench
    bench = set_up(
        dataset, start, options, device=device, module=module, spec=options.spec, texts=texts
    )
    refuse_too_slow(dataset, start, seconds_per_sample(bench, dataset, budget), budget)
    return bench


def _find(start: str | nn.Module, spec: ImageSpec | None) -> tuple[Start, nn.Module | None]:
    """Return the start's record, and the module where the user brought one."""
    if isinstance(start, str | Path):
        from headstart.starts import find_start

        return find_start(str(start)), None
    from copy import deepcopy

    from headstart.starts import Encoder, wrap_module

    if isinstance(start, Encoder):
        if spec is not None:
            raise OptionError(
                "start is an encoder and spec is given too; expected one preprocessing. Leave spec "
                "out, the encoder brings its own."
            )
        return start.start, deepcopy(start)
    if spec is None:
        raise OptionError(
            "start is a module and spec is missing; expected its preprocessing. Give "
            "spec=ImageSpec(size=…, channels=…, mean=…, std=…, …)."
        )
    # a copy: the caller's module keeps its weights, and a second run starts where the first did
    return wrap_module(start, spec).start, deepcopy(start)


def _own_network(module: nn.Module | None) -> nn.Module | None:
    """Return the user's module itself: opening a run wraps it again."""
    from headstart.starts import Encoder

    return module.network if isinstance(module, Encoder) else module


def _settled(
    options: FinetuneOptions,
    start: Start,
    dataset: Dataset,
    device: torch.device,
    *,
    is_built: bool,
) -> FinetuneOptions:
    """Return the options without an ``auto``: what nobody has said is chosen, and told.

    Raises:
        OptionError: If an option means nothing for these data, this start or this strategy.
    """
    from headstart.training.options.limits import check_applies, steps_asked

    strategy, why = default_strategy(start, steps_asked(options))
    is_chosen = options.strategy == AUTO
    if not is_chosen:
        strategy = find_strategy(options.strategy)
    check_applies(options, dataset.schema, start, strategy=strategy, is_built=is_built)
    settled = settle_auto(options, dataset, device)
    if is_chosen:
        emit("choice", name="strategy", value=strategy.name, why=why)
    return replace(settled, strategy=strategy.name)


def next_command(path: Path, dataset: Dataset) -> str:
    """Return the command that comes after a run."""
    what = {"image": "FILE…", "text": "'SOME TEXT'", "table": "FILE.csv"}
    return f"headstart predict {path} {what[dataset.schema.modality]}"


def refuse_own_start(address: str, out: str | None) -> None:
    """Refuse to write into the folder that is the start.

    Raises:
        OptionError: If ``out`` is the start.
    """
    if out is not None and Path(out).exists() and Path(out).resolve() == Path(address).resolve():
        raise OptionError(
            f"out '{out}' is the start itself; expected another folder, or the start would be "
            f"overwritten. Choose another --out."
        )


def settle_auto(options: Settling, dataset: Dataset, device: torch.device) -> Settling:
    """Return options in which what is ``auto`` is decided, but for the strategy; it is told.

    Args:
        options: What the user said.
        dataset: Decides the augmentation and the imbalance.
        device: Decides the precision.
    """
    from headstart.training.machine.device import choose_precision

    augment, imbalance = options.augment, options.imbalance
    if augment == "auto":
        augment = _choose_augmentation(dataset)
    if imbalance == "auto":
        imbalance = _choose_imbalance(dataset)
    precision = choose_precision(options.precision, device)
    return replace(options, augment=augment, imbalance=imbalance, precision=precision)


def _choose_augmentation(dataset: Dataset) -> AugmentName:
    """Return the augmentation policy for a data set, and tell why."""
    from headstart.training.batches.augment import choose_policy

    if dataset.schema.modality != "image":
        return "none"
    policy, why = choose_policy(
        dataset.image_size or (224, 224), dataset.image_channels or 3, dataset.schema.classes
    )
    emit("choice", name="augment", value=policy, why=why)
    return policy


def _choose_imbalance(dataset: Dataset) -> Imbalance:
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
