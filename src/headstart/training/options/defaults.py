"""The one table of defaults: how each family of starts is fine-tuned, each row with its source.

A row is looked up by a start's address, else by its family and whether it is pretrained. What
depends on the data (smoothing, augmentation, batch) is resolved in ``recipe``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from headstart.errors import OptionError, quoted
from headstart.training.options.schedule import ScheduleName
from headstart.types import Start

OptimizerName = Literal["sgd", "adam", "adamw", "muon"]


@dataclass(frozen=True)
class FamilyDefaults:
    """What a family's literature agrees on; the learning rate is at ``reference_batch`` samples.

    ``grid`` holds the learning rates that are worth a try, as multiples of the family's own; empty
    where nothing is known to be gained by others. ``bf16_steps`` says that steps in bf16 were
    measured to end at the same accuracy (docs/benchmarks.md, "bf16 or fp32 steps"); a family that
    was not measured, or did not, stays in fp32.
    """

    source: str
    optimizer: OptimizerName
    learning_rate: float
    reference_batch: int
    bottom_multiplier: float
    beta2: float
    weight_decay: float
    schedule: ScheduleName
    warmup_fraction: float
    batch_size: int
    drop_path: float
    momentum: float = 0.9  # of SGD and of Muon
    beta1: float = 0.9  # of Adam and AdamW
    scratch_epochs: float | None = None
    ema_half_life: float = 0.07
    smoothing: float = 0.1  # of labels, from five classes on
    fewest_steps: int = 0  # a small data set is passed until there were so many …
    most_epochs: float = 20.0  # … but no more often than this
    mixup: float = 0.0  # alpha, where there are many samples
    grid: tuple[float, ...] = ()
    bf16_steps: bool = False


# Steps of about three, as in the sweeps of ViT (Dosovitskiy et al., ICLR 2021, table 4).
AROUND = (0.3, 1.0, 3.0)

_MLP = FamilyDefaults(
    source="AdamW at 1e-3, as in Gorishniy et al., NeurIPS 2021, and scikit-learn's MLPClassifier",
    optimizer="adamw",
    learning_rate=1e-3,
    reference_batch=128,
    bottom_multiplier=1.0,
    beta2=0.999,
    weight_decay=0.01,
    schedule="one-cycle",
    warmup_fraction=0.1,
    batch_size=128,
    drop_path=0.0,
    scratch_epochs=30,
    ema_half_life=0.0,
)

_QUICK_CNN = FamilyDefaults(
    source="measured: docs/experiments.md, 'A ConvNet that learns quickly'; smoothing and "
    "schedule of airbench (Jordan 2024), Muon with AdamW beside it",
    optimizer="muon",
    learning_rate=0.02,
    reference_batch=256,
    bottom_multiplier=1.0,
    momentum=0.6,
    beta1=0.8,
    beta2=0.95,
    weight_decay=0.1,
    schedule="one-cycle",
    warmup_fraction=0.2,
    batch_size=256,
    drop_path=0.0,
    scratch_epochs=16,
    ema_half_life=0.0,
    smoothing=0.2,
    bf16_steps=True,
)

# Key: a start's address, or (family, whether it is pretrained).
DEFAULTS: dict[str | tuple[str, bool], FamilyDefaults] = {
    ("convnet", True): FamilyDefaults(
        source="measured: docs/experiments.md, 'SGD or AdamW for a pretrained ConvNet'",
        optimizer="adamw",
        learning_rate=5e-4,
        reference_batch=64,
        bottom_multiplier=0.3,
        beta2=0.999,
        weight_decay=0.01,
        schedule="constant",
        warmup_fraction=0.05,
        batch_size=64,
        drop_path=0.0,
        mixup=0.1,
        grid=AROUND,
        bf16_steps=True,
    ),
    ("vit", True): FamilyDefaults(
        source="AdamW: Kumar et al., ICLR 2024; layer-wise decay: MAE (He et al., CVPR 2022)",
        optimizer="adamw",
        learning_rate=1e-4,
        reference_batch=128,
        bottom_multiplier=0.05,
        beta2=0.999,
        weight_decay=0.05,
        schedule="constant",
        warmup_fraction=0.1,
        batch_size=64,
        drop_path=0.1,
        mixup=0.1,
        grid=AROUND,
    ),
    ("convnet", False): FamilyDefaults(
        source="He et al., CVPR 2016, with the triangular rate of airbench (Jordan 2024)",
        optimizer="sgd",
        learning_rate=0.1,
        reference_batch=128,
        bottom_multiplier=1.0,
        beta2=0.999,
        weight_decay=5e-4,
        schedule="one-cycle",
        warmup_fraction=0.2,
        batch_size=128,
        drop_path=0.0,
        scratch_epochs=30,
        ema_half_life=0.0,
    ),
    ("vit", False): FamilyDefaults(
        source="Compact transformers (Hassani et al., 2021): AdamW, long warm-up, cosine",
        optimizer="adamw",
        learning_rate=1e-3,
        reference_batch=256,
        bottom_multiplier=1.0,
        beta2=0.95,
        weight_decay=0.05,
        schedule="cosine",
        warmup_fraction=0.1,
        batch_size=128,
        drop_path=0.0,
        scratch_epochs=50,
        bf16_steps=True,
    ),
    ("bert", True): FamilyDefaults(
        source="Devlin et al. 2019; Mosbach et al. and Zhang et al., ICLR 2021: Adam with bias "
        "correction, a tenth of warm-up, enough updates; decay 0.95 a layer: Sun et al. 2019",
        optimizer="adamw",
        learning_rate=5e-5,
        reference_batch=32,
        bottom_multiplier=0.5,
        beta2=0.999,
        weight_decay=0.01,
        schedule="linear",
        warmup_fraction=0.1,
        batch_size=32,
        drop_path=0.0,
        scratch_epochs=3,
        ema_half_life=0.0,
        smoothing=0.0,
        fewest_steps=1_000,
        # 1e-5, 3e-5, 5e-5: from the lowest of RoBERTa's grid (Liu et al. 2019) to the highest of
        # BERT's
        grid=(0.2, 0.6, 1.0),
        bf16_steps=True,
    ),
    ("bert", False): FamilyDefaults(
        source="Cramming (Geiping and Goldstein, ICML 2023) for the rate of a small BERT",
        optimizer="adamw",
        learning_rate=5e-4,
        reference_batch=32,
        bottom_multiplier=1.0,
        beta2=0.98,
        weight_decay=0.01,
        schedule="linear",
        warmup_fraction=0.1,
        batch_size=32,
        drop_path=0.0,
        scratch_epochs=5,
        ema_half_life=0.0,
        smoothing=0.0,
        fewest_steps=1_000,
    ),
    ("decoder", True): FamilyDefaults(
        source="AdamW, a few epochs: Tulu 3 (Lambert et al., 2024), at 5e-6 for 8 billion weights; "
        "SmolLM2 (Ben Allal et al., 2025) at 1e-3 for 135 million and large batches: between them",
        optimizer="adamw",
        learning_rate=1e-4,
        reference_batch=16,
        bottom_multiplier=1.0,
        beta2=0.95,
        weight_decay=0.01,
        schedule="cosine",
        warmup_fraction=0.1,
        batch_size=16,
        drop_path=0.0,
        scratch_epochs=3,
        ema_half_life=0.0,
        smoothing=0.0,
    ),
    ("decoder", False): FamilyDefaults(
        source="as a pretraining of the next token (docs/pretrain.md): AdamW (0.9, 0.95), decay "
        "0.1, cosine, 20 epochs",
        optimizer="adamw",
        learning_rate=1e-3,
        reference_batch=16,
        bottom_multiplier=1.0,
        beta2=0.95,
        weight_decay=0.1,
        schedule="cosine",
        warmup_fraction=0.05,
        batch_size=16,
        drop_path=0.0,
        scratch_epochs=20,
        ema_half_life=0.0,
        smoothing=0.0,
    ),
    ("seq2seq", True): FamilyDefaults(
        source="Adam at 5e-5 with a tenth of warm-up, smoothing 0.1: Lewis et al., ACL 2020 "
        "(BART), and the fine-tuning of Marian models",
        optimizer="adamw",
        learning_rate=5e-5,
        reference_batch=32,
        bottom_multiplier=1.0,
        beta2=0.98,
        weight_decay=0.01,
        schedule="linear",
        warmup_fraction=0.1,
        batch_size=32,
        drop_path=0.0,
        scratch_epochs=3,
        ema_half_life=0.0,
        fewest_steps=1_000,
    ),
    ("seq2seq", False): FamilyDefaults(
        source="Vaswani et al., NeurIPS 2017: Adam with beta2 0.98, smoothing 0.1, warm-up",
        optimizer="adamw",
        learning_rate=7e-4,
        reference_batch=128,
        bottom_multiplier=1.0,
        beta2=0.98,
        weight_decay=0.01,
        schedule="linear",
        warmup_fraction=0.1,
        batch_size=128,
        drop_path=0.0,
        scratch_epochs=30,
        ema_half_life=0.0,
        fewest_steps=1_000,
        bf16_steps=True,
    ),
    # of all starts that match images and texts, whatever they were made of
    ("dual", True): FamilyDefaults(
        source="AdamW with beta2 0.98 and cosine: CLIP (Radford et al., ICML 2021); rates that "
        "fall towards the first layers, pretrained parts under new projections: LiT (Zhai et al., "
        "CVPR 2022) and Dong et al. 2022 on fine-tuning CLIP",
        optimizer="adamw",
        learning_rate=5e-4,
        reference_batch=64,
        bottom_multiplier=0.05,
        beta2=0.98,
        weight_decay=0.05,
        schedule="cosine",
        warmup_fraction=0.1,
        batch_size=64,
        drop_path=0.0,
        ema_half_life=0.0,
        smoothing=0.0,
    ),
    ("dual", False): FamilyDefaults(
        source="CLIP (Radford et al., ICML 2021), at the rate of a small network",
        optimizer="adamw",
        learning_rate=1e-3,
        reference_batch=64,
        bottom_multiplier=1.0,
        beta2=0.98,
        weight_decay=0.05,
        schedule="cosine",
        warmup_fraction=0.1,
        batch_size=64,
        drop_path=0.0,
        scratch_epochs=30,
        ema_half_life=0.0,
        smoothing=0.0,
        fewest_steps=500,
    ),
    ("linear", False): FamilyDefaults(
        source="AdamW at 1e-2 on standardised columns, annealed to zero; scikit-learn's SGD "
        "defaults anneal too",
        optimizer="adamw",
        learning_rate=1e-2,
        reference_batch=128,
        bottom_multiplier=1.0,
        beta2=0.999,
        weight_decay=0.0,
        schedule="linear",
        warmup_fraction=0.05,
        batch_size=128,
        drop_path=0.0,
        scratch_epochs=10,
        ema_half_life=0.0,
        smoothing=0.0,
        fewest_steps=1_000,
        most_epochs=2_000.0,
    ),
    # grown at once: no step is taken by this row
    ("trees", False): replace(_MLP, source="none is needed: trees take no gradient steps"),
    ("mlp", True): _MLP,
    ("mlp", False): _MLP,
    "scratch/simple-cnn": FamilyDefaults(
        source="measured: docs/experiments.md, 'MNIST in one epoch'",
        optimizer="adamw",
        learning_rate=6e-3,
        reference_batch=80,
        bottom_multiplier=1.0,
        momentum=0.8,
        beta1=0.8,
        beta2=0.95,
        weight_decay=0.01,
        schedule="one-cycle",
        warmup_fraction=0.2,
        batch_size=80,
        drop_path=0.0,
        scratch_epochs=10,
        ema_half_life=0.0,
    ),
    # less work a sample: smaller steps, so that a slow machine takes some, too
    "scratch/quick-cnn-small": replace(_QUICK_CNN, batch_size=128),
    "scratch/quick-cnn": _QUICK_CNN,
    "scratch/quick-cnn-wide": _QUICK_CNN,
}


def defaults_for(start: Start) -> FamilyDefaults:
    """Return the table's row for a start: by address, else by family and pretraining.

    A run that began with nothing learned counts as pretrained; of a family that has one row alone
    that one is meant.
    """
    if start.address in DEFAULTS:
        return DEFAULTS[start.address]
    key = (start.family, start.pretrained_on is not None)
    if key not in DEFAULTS:
        key = (start.family, not key[1])
    if key not in DEFAULTS:
        families = sorted({key[0] for key in DEFAULTS if isinstance(key, tuple)})
        raise OptionError(
            f"Family '{start.family}' of start '{start.address}' has no default recipe; expected "
            f"{quoted(families)}. Choose another start with 'headstart starts'."
        )
    return DEFAULTS[key]


def default_length(
    num_train: int, row: FamilyDefaults, batch_size: int
) -> tuple[float | None, int | None]:
    """Return (epochs, steps) for a training set, one of them None.

    Args:
        num_train: Training samples.
        row: The family's own length, and the fewest steps it needs.
        batch_size: Samples a step.

    Source:
        BiT-HyperRule for pretrained starts: 500 steps below 2,000 samples; 1,500 below 20,000;
        ten epochs above. "Hundreds of updates at least" for texts: Zhang et al., ICLR 2021.
    """
    if row.scratch_epochs is not None:
        needed = row.fewest_steps / max(1, num_train // batch_size)
        return min(max(row.scratch_epochs, needed), max(row.most_epochs, row.scratch_epochs)), None
    if num_train < 2_000:
        return None, 500
    if num_train < 20_000:
        return None, 1_500
    return 10.0, None
