"""The defaults of pretraining, a row an objective, and the recipe that follows from them.

A row is what the objective's literature agrees on; what the user says wins. The recipe is that of
every training, so that feeds, optimizers and the loop take it as they take any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.training.options.common_options import AugmentName
from headstart.training.options.pretraining_options import ObjectiveName, PretrainingOptions
from headstart.training.options.recipe import Recipe
from headstart.training.options.schedule import ScheduleName
from headstart.training.options.strategies import FULL


@dataclass(frozen=True)
class PretrainingDefaults:
    """What an objective is trained with; the learning rate is at ``reference_batch`` samples.

    Attributes:
        source: Where the row comes from.
        learning_rate: Peak rate at ``reference_batch`` samples a step; scales with the batch.
        most_rate: No batch raises the rate above this.
        reference_batch: See above.
        batch_size: Samples a step.
        beta1: First beta of AdamW.
        beta2: Second beta of AdamW.
        weight_decay: Decoupled; none on biases, norms and embeddings of positions.
        schedule: Shape of the rate.
        warmup_fraction: Share of the steps that warm up.
        num_epochs: Passes over the samples where neither these, steps nor a budget are said.
        mask_fraction: Share of a sample that is hidden.
    """

    source: str
    learning_rate: float
    most_rate: float
    reference_batch: int
    batch_size: int
    beta1: float
    beta2: float
    weight_decay: float
    schedule: ScheduleName
    warmup_fraction: float
    num_epochs: float
    mask_fraction: float


PRETRAINING_DEFAULTS: dict[ObjectiveName, PretrainingDefaults] = {
    "mae": PretrainingDefaults(
        source="MAE (He et al., CVPR 2022), table 8: AdamW (0.9, 0.95), decay 0.05, cosine, 75 % "
        "hidden; its rate of 1.5e-4 a batch of 256 is too low for short runs: docs/experiments.md, "
        "'Learning rates of hidden patches'",
        learning_rate=1e-3,
        most_rate=1e-3,
        reference_batch=1,  # the same for all batches
        batch_size=256,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.05,
        schedule="cosine",
        warmup_fraction=0.05,
        num_epochs=200,
        mask_fraction=0.75,
    ),
    "mlm": PretrainingDefaults(
        source="Cramming (Geiping and Goldstein, ICML 2023): AdamW (0.9, 0.98), decay 0.01, rate "
        "1e-3 that rises and falls once, no dropout; 15 to 25 % hidden; the batch is settled in "
        "tokens (4,096 and more)",
        learning_rate=1e-3,
        most_rate=1e-3,
        reference_batch=1,
        batch_size=64,
        beta1=0.9,
        beta2=0.98,
        weight_decay=0.01,
        schedule="one-cycle",
        warmup_fraction=0.1,
        num_epochs=40,
        mask_fraction=0.2,
    ),
    "clm": PretrainingDefaults(
        source="GPT-3 (Brown et al., NeurIPS 2020), appendix B: AdamW (0.9, 0.95), decay 0.1, a "
        "warm-up and a fall; rate 1e-3 as small models take it; the batch is settled in tokens",
        learning_rate=1e-3,
        most_rate=1e-3,
        reference_batch=1,
        batch_size=32,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.1,
        schedule="cosine",
        warmup_fraction=0.05,
        num_epochs=20,
        mask_fraction=0.0,
    ),
}


def pretraining_recipe(
    options: PretrainingOptions, num_train: int, *, augmented: AugmentName = "none"
) -> Recipe:
    """Resolve every option of a pretraining.

    Args:
        options: What the user said; of a precision that is still ``auto`` the plain one is taken.
        num_train: Samples that are learned from.
        augmented: Name of the augmentation policy, settled by the objective.
    """
    row = PRETRAINING_DEFAULTS[options.objective]

    def chosen(name: str, default: float) -> float:
        said = getattr(options, name)
        return default if said is None else float(said)

    batch_size = int(min(chosen("batch_size", row.batch_size), num_train))
    micro = int(min(chosen("micro_batch_size", batch_size), batch_size))
    rate = min(row.most_rate, row.learning_rate * batch_size / row.reference_batch)
    epochs, steps = options.num_epochs, options.num_steps
    if epochs is None and steps is None:
        epochs = row.num_epochs
    return Recipe(
        strategy=FULL.name,
        num_last_layers=1,
        lora_rank=1,
        lora_alpha=1.0,
        max_length=None,
        languages=None,
        encoder_dropout=None,
        optimizer="adamw",
        learning_rate=chosen("learning_rate", rate),
        head_multiplier=1.0,
        bottom_multiplier=1.0,
        momentum=0.9,
        beta1=row.beta1,
        beta2=row.beta2,
        weight_decay=chosen("weight_decay", row.weight_decay),
        l1_penalty=0.0,
        schedule=row.schedule,
        warmup_fraction=chosen("warmup_fraction", row.warmup_fraction),
        cooldown_fraction=0.2,
        batch_size=batch_size,
        micro_batch_size=micro,
        num_epochs=epochs,
        num_steps=steps,
        label_smoothing=0.0,
        loss_weights=None,
        dropout=0.0,
        drop_path=0.0,
        mixup=0.0,
        cutmix=0.0,
        augment=augmented,
        imbalance="none",
        clip=options.clip,
        ema_half_life=0.0,
        patience=0,
        precision="fp32" if options.precision == "auto" else options.precision,
        batchnorm="train",
        channels_last=False,
        compile=options.compile,
        views=0,
        num_workers=options.num_workers,
        fsdp=False,
        tensor_parallel_size=1,
        seed=options.seed,
    )


def mask_fraction_of(options: PretrainingOptions) -> float:
    """Return the share of a sample that is hidden: as said, else the objective's own."""
    said = options.mask_fraction
    return PRETRAINING_DEFAULTS[options.objective].mask_fraction if said is None else said
