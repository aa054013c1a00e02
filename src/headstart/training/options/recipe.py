"""Every training option, resolved.

``recipe_for`` is the only place where a default is chosen. What a user says wins over the table of
``defaults``;
what depends on the data (length, smoothing, policy) is resolved here too, so that a ``Recipe``
holds no ``auto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

from headstart.errors import OptionError
from headstart.tasks import find_task
from headstart.training.batches.augment import AugmentName
from headstart.training.options.defaults import (
    LORA_RATE,
    FamilyDefaults,
    OptimizerName,
    default_length,
    defaults_for,
)
from headstart.training.options.limits import check_limits
from headstart.training.options.schedule import ScheduleName
from headstart.types import Schema, Start

StrategyName = Literal["head", "last-n", "lp-ft", "gradual", "full", "lora"]
Precision = Literal["fp32", "bf16", "fp16"]
Imbalance = Literal["none", "weights", "oversample"]
Batchnorm = Literal["frozen", "train"]
T = TypeVar("T")
_PATIENCE = 6


@dataclass(frozen=True)
class Recipe:
    """Every option of one fine-tuning.

    Attributes:
        strategy: Which parameters learn, in which phases.
        num_last_layers: Layers that learn under ``last-n``.
        optimizer: Update rule.
        learning_rate: Peak rate of the last encoder layer.
        head_multiplier: Head's rate as a multiple of ``learning_rate``.
        bottom_multiplier: First layer's rate as a multiple; layers between decay geometrically.
        momentum: Momentum of SGD (Nesterov), or the first beta of Adam and AdamW.
        beta2: Second beta of Adam and AdamW.
        weight_decay: L2, decoupled for AdamW; none on biases and norms.
        l1_penalty: Weight of the sum of absolute weights in the loss.
        schedule: Shape of the learning rate.
        warmup_fraction: Share of the steps that warm up.
        cooldown_fraction: Share of the steps that cool down under ``constant``.
        batch_size: Samples an optimizer step, over all devices.
        micro_batch_size: Samples a forward pass; gradients accumulate up to ``batch_size``.
        num_epochs: Passes over train (None where ``num_steps`` says it).
        num_steps: Optimizer steps (None where ``num_epochs`` says it).
        label_smoothing: Share of the target spread over all classes.
        dropout: Dropped share of the features before the head.
        drop_path: Largest stochastic-depth rate of the encoder.
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of cutmix; 0 is off.
        augment: Name of the policy.
        imbalance: What to do about rare classes.
        clip: Largest gradient norm; 0 is off.
        ema_half_life: Half-life of the weight average as a share of all steps; 0 is off.
        patience: Checks without a gain of half a standard error before stopping; 0 never stops.
        precision: Number format of the forward pass.
        batchnorm: Whether layers that learn use and update batch statistics (``train``), or keep
            those of the start (``frozen``; scale and shift still learn).
        channels_last: Whether images lie in memory channel by channel or pixel by pixel.
        compile: Whether to compile the model with ``torch.compile``.
        views: Fixed augmented views of each sample; 0 augments anew in every epoch, None is settled
            when the frozen part is known.
        num_workers: Threads that make the batches of coming steps ahead; None lets the feed choose,
            where it is known where the data lies. Changes no result.
        fsdp: Whether weights, gradients and optimizer are split over the processes; None is settled
            before the loop, by what fits the device.
        tensor_parallel_size: Processes over which each weight of a transformer's block is split,
            and its computation with it; 1 splits none.
        seed: Seed of everything.
    """

    strategy: StrategyName
    num_last_layers: int
    optimizer: OptimizerName
    learning_rate: float
    head_multiplier: float
    bottom_multiplier: float
    momentum: float
    beta2: float
    weight_decay: float
    l1_penalty: float
    schedule: ScheduleName
    warmup_fraction: float
    cooldown_fraction: float
    batch_size: int
    micro_batch_size: int
    num_epochs: float | None
    num_steps: int | None
    label_smoothing: float
    dropout: float
    drop_path: float
    mixup: float
    cutmix: float
    augment: AugmentName
    imbalance: Imbalance
    clip: float
    ema_half_life: float
    patience: int
    precision: Precision
    batchnorm: Batchnorm
    channels_last: bool
    compile: bool
    views: int | None
    num_workers: int | None
    fsdp: bool | None
    tensor_parallel_size: int
    seed: int

    @property
    def is_split(self) -> bool:
        """Whether no process has the whole network while it learns."""
        return bool(self.fsdp) or self.tensor_parallel_size > 1

    def length(self, num_train: int) -> tuple[int, int]:
        """Return (optimizer steps of the whole run, steps of one epoch) for a training set."""
        steps_per_epoch = max(1, num_train // self.batch_size)
        if self.num_steps is not None:
            return self.num_steps, steps_per_epoch
        assert self.num_epochs is not None
        return max(1, round(self.num_epochs * steps_per_epoch)), steps_per_epoch


@dataclass(frozen=True)
class Wishes:
    """What the user said about training; None means: the table decides.

    The meaning of each field is that of ``Recipe``, and of ``finetune``'s option of that name. A
    ``learning_rate`` of ``grid`` is the table's until ``searching`` has tried the others.
    """

    num_last_layers: int | None = None
    optimizer: OptimizerName | None = None
    learning_rate: float | Literal["grid"] | None = None
    head_multiplier: float | None = None
    bottom_multiplier: float | None = None
    weight_decay: float | None = None
    l1_penalty: float = 0.0
    schedule: ScheduleName | None = None
    warmup_fraction: float | None = None
    cooldown_fraction: float = 0.2
    batch_size: int | None = None
    micro_batch_size: int | None = None
    num_epochs: float | None = None
    num_steps: int | None = None
    label_smoothing: float | None = None
    dropout: float = 0.0
    drop_path: float | None = None
    mixup: float | None = None
    cutmix: float = 0.0
    augment: AugmentName = "none"
    imbalance: Imbalance = "none"
    clip: float = 1.0
    ema: bool | None = None
    patience: int | None = None
    precision: Precision = "fp32"
    batchnorm: Batchnorm | None = None
    channels_last: bool = True
    compile: bool = False
    views: int | None = None
    num_workers: int | None = None
    fsdp: bool | None = None
    tensor_parallel_size: int = 1


# For each option that names something, the names there are.
_CHOICES: dict[str, tuple[str, ...]] = {
    "strategy": get_args(StrategyName),
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "augment": get_args(AugmentName),
    "imbalance": get_args(Imbalance),
    "precision": get_args(Precision),
    "batchnorm": get_args(Batchnorm),
}


def check_options(said: Mapping[str, object], *, num_layers: int | None = None) -> None:
    """Check training options before anything is built, loaded or overwritten.

    Args:
        said: Options by name; None and ``auto`` are left to later.
        num_layers: Layers of the encoder, where it is known already.

    Raises:
        OptionError: Naming everything that is wrong, all at once.
    """
    settled = {name: None if value == "auto" else value for name, value in said.items()}
    check_limits(settled, _CHOICES, num_layers=num_layers)


def recipe_for(
    start: Start,
    strategy: StrategyName,
    wishes: Wishes,
    *,
    schema: Schema,
    num_train: int,
    num_layers: int,
    seed: int,
) -> Recipe:
    """Resolve every option for one start, strategy and data set.

    Args:
        start: Decides the row of the table.
        strategy: Which parameters learn.
        wishes: What the user said.
        schema: Decides the smoothing.
        num_train: Training samples; they decide batch size and length.
        num_layers: Layers of the encoder.
        seed: Seed of everything.

    Raises:
        OptionError: Naming every option that is out of range or unknown, all at once; or if a grid
            is asked for and the start's family has none.
    """
    row = defaults_for(start)
    # wishes are settled already; what a strategy has no use for is the user's to be told, earlier
    check_options({"strategy": strategy})
    check_options(vars(wishes), num_layers=num_layers)
    chosen = _first
    batch_size = min(chosen(wishes.batch_size, row.batch_size), num_train)
    micro = min(chosen(wishes.micro_batch_size, batch_size), batch_size)
    optimizer = chosen(wishes.optimizer, row.optimizer)
    epochs, steps = wishes.num_epochs, wishes.num_steps
    if epochs is None and steps is None:
        epochs, steps = default_length(num_train, row, batch_size)
    pretrained = start.pretrained_on is not None
    schedule = chosen(wishes.schedule, row.schedule)
    ema = chosen(wishes.ema, row.ema_half_life > 0)
    bottom = 1.0 if strategy == "lora" else row.bottom_multiplier
    is_smoothed = row.smooths and find_task(schema.task).is_smoothed and len(schema.classes) >= 5
    return Recipe(
        strategy=strategy,
        num_last_layers=chosen(wishes.num_last_layers, 1),
        optimizer=optimizer,
        learning_rate=chosen(
            _said_rate(wishes, start),
            _rate(row, strategy, optimizer, wishes.batch_size or row.batch_size),
        ),
        head_multiplier=chosen(wishes.head_multiplier, _head(strategy, pretrained)),
        bottom_multiplier=chosen(wishes.bottom_multiplier, bottom),
        momentum=row.momentum,
        beta2=row.beta2,
        weight_decay=chosen(wishes.weight_decay, row.weight_decay),
        l1_penalty=wishes.l1_penalty,
        schedule=schedule,
        warmup_fraction=chosen(wishes.warmup_fraction, row.warmup_fraction),
        cooldown_fraction=wishes.cooldown_fraction,
        batch_size=batch_size,
        micro_batch_size=micro,
        num_epochs=epochs,
        num_steps=steps,
        label_smoothing=chosen(wishes.label_smoothing, 0.1 if is_smoothed else 0.0),
        dropout=wishes.dropout,
        drop_path=chosen(wishes.drop_path, row.drop_path),
        mixup=chosen(wishes.mixup, _mixup(start, num_train)),
        cutmix=wishes.cutmix,
        augment=wishes.augment,
        imbalance=wishes.imbalance,
        clip=wishes.clip,
        ema_half_life=(row.ema_half_life or 0.07) if ema else 0.0,
        # what anneals to zero gains most at its end, and must not be stopped before
        patience=chosen(wishes.patience, _PATIENCE if schedule == "constant" else 0),
        precision=wishes.precision,
        # a head fitted on the frozen encoder fits only an encoder with the same statistics
        batchnorm=chosen(wishes.batchnorm, "frozen" if pretrained else "train"),
        channels_last=wishes.channels_last,
        compile=wishes.compile,
        views=wishes.views,
        num_workers=wishes.num_workers,
        fsdp=wishes.fsdp,
        tensor_parallel_size=wishes.tensor_parallel_size,
        seed=seed,
    )


def _said_rate(wishes: Wishes, start: Start) -> float | None:
    """Return the learning rate that the user said; None where it is the table's, or to be tried.

    Raises:
        OptionError: If a grid is asked for and the table has none.
    """
    check_grid(wishes.learning_rate, start)
    return None if wishes.learning_rate == "grid" else wishes.learning_rate


def check_grid(learning_rate: float | str | None, start: Start) -> None:
    """Refuse to try the learning rates of a start whose family names none.

    Args:
        learning_rate: What the user said; only ``grid`` asks to try them.
        start: Decides the row of the table.

    Raises:
        OptionError: If a grid is asked for and the row has none.
    """
    row = defaults_for(start)
    if learning_rate == "grid" and not row.grid:
        trained = "pretrained" if start.pretrained_on is not None else "random"
        raise OptionError(
            f"learning_rate is 'grid', and the table of defaults has none for start "
            f"'{start.address}' (family {start.family}, {trained} weights); expected a number. "
            f"Leave --learning-rate out for the family's own, {row.learning_rate:g} at "
            f"{row.reference_batch} samples a step."
        )


def _rate(
    row: FamilyDefaults, strategy: StrategyName, optimizer: OptimizerName, batch_size: int
) -> float:
    """Return the family's learning rate at this batch size, for this optimizer and strategy."""
    rate = row.learning_rate * batch_size / row.reference_batch
    if (optimizer == "sgd") != (row.optimizer == "sgd"):
        # the table's rate belongs to its optimizer; Adam's is about a thirtieth of SGD's
        rate = rate / 30 if row.optimizer == "sgd" else rate * 30
    return rate * LORA_RATE if strategy == "lora" else rate


def _mixup(start: Start, num_train: int) -> float:
    """Return the alpha of mixup: only much data of images has use for it in a fine-tuning."""
    is_pretrained_on_images = start.modality == "image" and start.pretrained_on is not None
    return 0.1 if num_train > 20_000 and is_pretrained_on_images else 0.0


def with_length(recipe: Recipe, num_steps: int) -> Recipe:
    """Return the recipe with a number of steps in place of its own length."""
    return replace(recipe, num_steps=num_steps, num_epochs=None)


def _first(said: T | None, default: T) -> T:
    return default if said is None else said


def _head(strategy: StrategyName, pretrained: bool) -> float:
    """A random head on a pretrained encoder learns ten times faster; one from a probe does not."""
    return 10.0 if pretrained and strategy == "full" else 1.0
