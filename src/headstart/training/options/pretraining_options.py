"""Every option of a pretraining, stated once; what any training has is taken from where it stands.

The verb's own record (``recipes``) adds data, folder and budget. What an option is for it says
itself (``Option.objectives``). No torch.
"""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from headstart.training.options.common_options import Precision
from headstart.training.options.option import Option, kept_values, stated
from headstart.training.options.training_options import TrainingOptions
from headstart.types import Framing

ObjectiveName = Literal["mae", "mlm", "clm"]
TargetName = Literal["auto", "normalised", "pixels"]
Replacement = Literal["mask", "bert"]
CropName = Literal["none", "crop", "crop-unmirrored"]

_OF_TRAINING = stated(TrainingOptions)


def _as_in_training(name: str, objectives: tuple[str, ...] = ()) -> Option:
    """Return what a training says of an option of that name; it means the same here."""
    return replace(_OF_TRAINING[name].option, needs=None, objectives=objectives)


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions:
    """All options of a pretraining; None: the objective's row of defaults decides."""

    objective: Annotated[
        ObjectiveName,
        Option(
            sentence="What is learned: mae (hidden patches of images), mlm (hidden words of "
            "texts) or clm (the next word of texts)."
        ),
    ]
    start: Annotated[
        str | None,
        Option(
            sentence="Address of where it begins, random weights or pretrained ones; when not "
            "given scratch/vit-tiny for images, scratch/bert-tiny for hidden words and "
            "scratch/gpt-tiny for the next word."
        ),
    ] = None
    num_epochs: Annotated[float | None, _as_in_training("num_epochs")] = None
    num_steps: Annotated[int | None, _as_in_training("num_steps")] = None
    batch_size: Annotated[int | None, _as_in_training("batch_size")] = None
    micro_batch_size: Annotated[int | None, _as_in_training("micro_batch_size")] = None
    learning_rate: Annotated[
        float | None,
        Option(sentence="Peak learning rate; the objective's own when not given.", low=0.0),
    ] = None
    weight_decay: Annotated[float | None, _as_in_training("weight_decay")] = None
    warmup_fraction: Annotated[float | None, _as_in_training("warmup_fraction")] = None
    clip: Annotated[float, _as_in_training("clip")] = 1.0
    mask_fraction: Annotated[
        float | None,
        Option(
            sentence="Share of a sample that is hidden: of patches 0.75 (0.6 where most of them "
            "are empty, and of ConvNets), of words 0.2 when not given.",
            low=0.05,
            high=0.95,
            objectives=("mae", "mlm"),
        ),
    ] = None
    target: Annotated[
        TargetName,
        Option(
            sentence="What is told of a hidden patch: its pixels less their mean, over their "
            "spread (normalised), or the pixels; auto tells pixels where many patches have no "
            "spread.",
            objectives=("mae",),
        ),
    ] = "auto"
    decoder_width: Annotated[
        int,
        Option(
            sentence="Width of the decoder, which is thrown away.",
            low=16,
            high=4096,
            objectives=("mae",),
        ),
    ] = 128
    decoder_blocks: Annotated[
        int,
        Option(sentence="Blocks of the decoder.", low=1, high=16, objectives=("mae",)),
    ] = 2
    augment: Annotated[
        Literal["auto", CropName],
        Option(
            sentence="What is done to images: crop (half to all of the area, and mirrored half of "
            "the time), crop-unmirrored or none; auto mirrors nothing that is small and grey.",
            objectives=("mae",),
        ),
    ] = "auto"
    input_size: Annotated[int | None, _as_in_training("input_size", ("mae",))] = None
    framing: Annotated[Literal["auto", Framing], _as_in_training("framing", ("mae",))] = "auto"
    value_range: Annotated[Sequence[float] | None, _as_in_training("value_range", ("mae",))] = None
    max_length: Annotated[
        int | None,
        Option(
            sentence="Tokens of a text that are read at once; when not given what 99 % of the "
            "texts do not exceed, at most 256.",
            low=8,
            high=1_000_000,
            objectives=("mlm", "clm"),
        ),
    ] = None
    vocabulary_size: Annotated[
        int | None,
        Option(
            sentence="Most tokens of a vocabulary that is learned from the texts, where one begins "
            "from scratch; when not given 8,192, 30,000 above 100 MB of text, and fewer where each "
            "would occur less than fifty times.",
            low=300,
            high=1_000_000,
            objectives=("mlm", "clm"),
        ),
    ] = None
    whole_words: Annotated[
        bool,
        Option(
            sentence="Hide words as a whole and not token by token; of Chinese it takes extra zh.",
            objectives=("mlm",),
        ),
    ] = False
    replacement: Annotated[
        Replacement,
        Option(
            sentence="What stands in place of a hidden token: the mask (mask), or as in BERT that "
            "of 80 %, any token of 10 %, and the token itself of 10 % (bert).",
            objectives=("mlm",),
        ),
    ] = "mask"
    precision: Annotated[Literal["auto", Precision], _as_in_training("precision")] = "auto"
    compile: Annotated[bool, _as_in_training("compile")] = False
    num_workers: Annotated[int | None, _as_in_training("num_workers")] = None
    device: Annotated[str, _as_in_training("device")] = "auto"
    seed: Annotated[int, _as_in_training("seed")] = 0

    def to_json(self) -> dict[str, object]:
        """Return what a run was made with, by name: the options that ``options.json`` keeps."""
        return kept_values(self)
