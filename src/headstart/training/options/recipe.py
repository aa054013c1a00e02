"""Every training option, resolved.

``recipe_for`` is the only place where a default is chosen. What a user says wins over the table of
``defaults``;
what depends on the data (length, smoothing, policy) is resolved here too, so that a ``Recipe``
holds no ``auto``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from headstart.errors import OptionError
from headstart.tasks import find_task
from headstart.training.options.common_options import AugmentName, Imbalance, Precision
from headstart.training.options.defaults import (
    FamilyDefaults,
    OptimizerName,
    default_length,
    defaults_for,
)
from headstart.training.options.limits import check_values
from headstart.training.options.schedule import ScheduleName
from headstart.training.options.strategies import Strategy, find_strategy
from headstart.training.options.training_options import Batchnorm, TrainingOptions
from headstart.types import Schema, Start

T = TypeVar("T")
_PATIENCE = 6
_SMOOTHED_CLASSES = 5


@dataclass(frozen=True)
class Recipe:
    """Every option of one fine-tuning.

    Attributes:
        strategy: Name of what learns, in which phases: a row of ``STRATEGIES``.
        num_last_layers: Layers that learn under ``last-n``.
        lora_rank: Columns of each adapter's first matrix, where adapters learn.
        lora_alpha: What adapters add is multiplied by ``lora_alpha / lora_rank``.
        max_length: Tokens that the user lets a text keep at most; None where the start decides.
        languages: Of texts and of targets, where a start is told them; None where it is not.
        encoder_dropout: Every dropout rate inside the encoder; None for the start's own.
        optimizer: Update rule.
        learning_rate: Peak rate of the last encoder layer.
        head_multiplier: Head's rate as a multiple of ``learning_rate``.
        bottom_multiplier: First layer's rate as a multiple; layers between decay geometrically.
        momentum: Momentum of SGD and of Muon (Nesterov).
        beta1: First beta of Adam and AdamW.
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
        loss_weights: Of several targets what the loss of each counts; None for all alike.
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
        step_precision: Number format of training steps where it was chosen by measurement; None for
            ``precision``.
        step_channels_last: Memory layout of training steps, likewise; None for ``channels_last``.
        own_kernels: Whether training steps on a CPU replace what is slow there.
        checkpoint_blocks: Whether each block is computed again on the way back.
    """

    strategy: str
    num_last_layers: int
    lora_rank: int
    lora_alpha: float
    max_length: int | None
    languages: str | None
    encoder_dropout: float | None
    optimizer: OptimizerName
    learning_rate: float
    head_multiplier: float
    bottom_multiplier: float
    momentum: float
    beta1: float
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
    loss_weights: tuple[float, ...] | None
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
    step_precision: Precision | None = None
    step_channels_last: bool | None = None
    own_kernels: bool = False
    checkpoint_blocks: bool = False

    @property
    def stepped_precision(self) -> Precision:
        """Number format of training steps."""
        return self.step_precision or self.precision

    @property
    def is_stepped_channels_last(self) -> bool:
        """Whether images lie in memory pixel by pixel in training steps."""
        return self.channels_last if self.step_channels_last is None else self.step_channels_last

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


def recipe_for(
    start: Start,
    options: TrainingOptions,
    *,
    schema: Schema,
    num_train: int,
    num_layers: int,
) -> Recipe:
    """Resolve every option for one start and data set.

    Args:
        start: Decides the row of the table.
        options: What the user said. The strategy is settled; what else is still ``auto`` is the
            plain thing: no augmentation, no weights, fp32.
        schema: Decides the smoothing.
        num_train: Training samples; they decide batch size and length.
        num_layers: Layers of the encoder.

    Raises:
        OptionError: Naming every option that is out of range or unknown, all at once; or if a
            search is asked for and the start's family has no other rates.
    """
    row = row_for(start, schema)
    check_values(options, num_layers=num_layers)
    check_search(options, start)
    strategy = find_strategy(options.strategy)
    batch_size = min(_first(options.batch_size, row.batch_size), num_train)
    epochs, steps = options.num_epochs, options.num_steps
    if epochs is None and steps is None:
        epochs, steps = default_length(num_train, row, batch_size)
    pretrained = start.pretrained_on is not None
    schedule = _first(options.schedule, row.schedule)
    bottom = _first(strategy.bottom_multiplier, row.bottom_multiplier)
    return Recipe(
        strategy=strategy.name,
        num_last_layers=_first(options.num_last_layers, 1),
        lora_rank=options.lora_rank,
        lora_alpha=options.lora_alpha,
        max_length=options.max_length,
        languages=options.languages,
        encoder_dropout=options.encoder_dropout,
        optimizer=_first(options.optimizer, row.optimizer),
        learning_rate=_first(options.learning_rate, _rate(row, strategy, options)),
        head_multiplier=_first(options.head_multiplier, _head(strategy, pretrained)),
        bottom_multiplier=_first(options.bottom_multiplier, bottom),
        momentum=row.momentum,
        beta1=row.beta1,
        beta2=row.beta2,
        weight_decay=_first(options.weight_decay, row.weight_decay),
        l1_penalty=options.l1_penalty,
        schedule=schedule,
        warmup_fraction=_first(options.warmup_fraction, row.warmup_fraction),
        cooldown_fraction=options.cooldown_fraction,
        batch_size=batch_size,
        micro_batch_size=min(_first(options.micro_batch_size, batch_size), batch_size),
        num_epochs=epochs,
        num_steps=steps,
        label_smoothing=_first(options.label_smoothing, _smoothing(row, schema)),
        loss_weights=None if options.loss_weights is None else tuple(options.loss_weights),
        dropout=options.dropout,
        drop_path=drop_path_for(start, options, schema),
        mixup=_first(options.mixup, 0.0 if schema.beside else _mixup(row, num_train)),
        cutmix=options.cutmix,
        augment="none" if options.augment == "auto" else options.augment,
        imbalance="none" if options.imbalance == "auto" else options.imbalance,
        clip=options.clip,
        ema_half_life=_half_life(row, options),
        # what anneals to zero gains most at its end, and must not be stopped before
        patience=_first(options.patience, _PATIENCE if schedule == "constant" else 0),
        precision="fp32" if options.precision == "auto" else options.precision,
        # a head fitted on the frozen encoder fits only an encoder with the same statistics
        batchnorm=_first(options.batchnorm, "frozen" if pretrained else "train"),
        channels_last=_first(options.channels_last, True),
        compile=options.compile,
        views=options.views,
        num_workers=options.num_workers,
        fsdp=options.fsdp,
        tensor_parallel_size=options.tensor_parallel_size,
        checkpoint_blocks=options.checkpoint_blocks,
        seed=options.seed,
    )


def row_for(start: Start, schema: Schema) -> FamilyDefaults:
    """Return the table's row of a start for some data: what matches texts has one of its own."""
    matches = find_task(schema.task).matches_texts
    return defaults_for(replace(start, family="dual") if matches else start)


def drop_path_for(start: Start, options: TrainingOptions, schema: Schema) -> float:
    """Return the rate of stochastic depth, which a start is built with before its recipe is known.

    Args:
        start: Decides the row of the table.
        options: What the user said.
        schema: Says whether texts are matched.
    """
    return _first(options.drop_path, row_for(start, schema).drop_path)


def check_search(options: TrainingOptions, start: Start) -> None:
    """Refuse to try the learning rates of a start whose family names none.

    Args:
        options: Whether the user asked for it.
        start: Decides the row of the table.

    Raises:
        OptionError: If a search is asked for and the row names no other rates.
    """
    row = defaults_for(start)
    if options.learning_rate_search and not row.grid:
        trained = "pretrained" if start.pretrained_on is not None else "random"
        raise OptionError(
            f"learning_rate_search is on, and the table of defaults has no rates to try for start "
            f"'{start.address}' (family {start.family}, {trained} weights); expected a start whose "
            f"family has. Leave it out for the family's own, {row.learning_rate:g} at "
            f"{row.reference_batch} samples a step, or give --learning-rate a number."
        )


def _rate(row: FamilyDefaults, strategy: Strategy, options: TrainingOptions) -> float:
    """Return the family's learning rate at this batch size, for this optimizer and strategy."""
    rate = row.learning_rate * (options.batch_size or row.batch_size) / row.reference_batch
    optimizer = options.optimizer or row.optimizer
    if (optimizer == "sgd") != (row.optimizer == "sgd"):
        # the table's rate belongs to its optimizer; Adam's is about a thirtieth of SGD's
        rate = rate / 30 if row.optimizer == "sgd" else rate * 30
    return rate * strategy.rate


def _half_life(row: FamilyDefaults, options: TrainingOptions) -> float:
    """Return the half-life of the average of weights, in shares of the run; 0 for none."""
    is_asked = _first(options.ema, row.ema_half_life > 0)
    return (row.ema_half_life or 0.07) if is_asked else 0.0


def _smoothing(row: FamilyDefaults, schema: Schema) -> float:
    """Return the share of a target that is spread: few classes have little use for it."""
    task = find_task(schema.task)
    has_many = task.tells_texts or len(schema.classes) >= _SMOOTHED_CLASSES
    return row.smoothing if task.is_smoothed and has_many else 0.0


def _mixup(row: FamilyDefaults, num_train: int) -> float:
    """Return the alpha of mixup: only much data has use for it in a fine-tuning."""
    return row.mixup if num_train > 20_000 else 0.0


def with_length(recipe: Recipe, num_steps: int) -> Recipe:
    """Return the recipe with a number of steps in place of its own length."""
    return replace(recipe, num_steps=num_steps, num_epochs=None)


def _first(said: T | None, default: T) -> T:
    return default if said is None else said


def _head(strategy: Strategy, pretrained: bool) -> float:
    """A random head on a pretrained encoder learns ten times faster; one from a probe does not."""
    return 10.0 if pretrained and not strategy.probes else 1.0
