"""The options of every training, whoever chose its start; ``training_options`` adds the rest.

No torch.
"""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from headstart.training.options.option import Option, kept_values
from headstart.training.options.strategies import (
    AUTO,
    DEFAULT_SENTENCE,
    STRATEGIES,
    strategy_choices,
)
from headstart.types import CUT_MOST, Framing

AugmentName = Literal[
    "none",
    "digits",
    "light",
    "standard",
    "light-unmirrored",
    "standard-unmirrored",
    "gentle",
    "crop",
    "crop-unmirrored",
]
Precision = Literal["fp32", "bf16", "fp16"]
EngineName = Literal["torch", "onnxruntime", "openvino"]
Imbalance = Literal["none", "weights", "oversample"]

ENGINE_OPTION = Option(
    sentence="What computes passes without gradients on a CPU (features, frozen layers, test): "
    "auto measures those that are installed where a pass would take long, and takes the quickest "
    "that gives the same; torch, onnxruntime or openvino asks for one.",
    teaches=False,
)


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every training takes, whoever chose its start; see each field's ``Option``."""

    # text, and no Literal: a row of STRATEGIES is all that a new one needs
    strategy: Annotated[
        str,
        strategy_choices,
        Option(
            sentence="What learns: "
            + ", ".join(f"{one.name} ({one.sentence})" for one in STRATEGIES.values())
            + f"; {DEFAULT_SENTENCE}."
        ),
    ] = AUTO
    augment: Annotated[
        Literal["auto", AugmentName],
        Option(
            sentence="Augmentation policy; auto looks at the data: small grey images, classes "
            "such as left and right, and numbers are never mirrored. Texts and tables have none.",
            modalities=("image",),
            needs="loops",
            off="none",
        ),
    ] = "auto"
    framing: Annotated[
        Literal["auto", Framing],
        Option(
            sentence="What becomes of images that are no squares: crop (their centre square), pad "
            "(all of them on a ground) or squash (all of them, stretched); auto pads where crop "
            f"would cut away more than {CUT_MOST:.0%} of the average training image.",
            modalities=("image",),
            builds=True,
        ),
    ] = "auto"
    value_range: Annotated[
        Sequence[float] | None,
        Option(
            sentence="Values of images of more than 8 bits that become black and white, for "
            "example 0 4095; when not given, by what the training images hold.",
            modalities=("image",),
            builds=True,
        ),
    ] = None
    imbalance: Annotated[
        Literal["auto", Imbalance],
        Option(
            sentence="What to do about rare classes; auto does nothing, and says so where the "
            "largest class has three times the samples of the smallest or more: weights may find "
            "more of the rare ones, and are wrong more often.",
            measured="weights bring macro-F1 +16.9 points, accuracy -2.4 and a log loss worse by "
            "0.036 on a table at 20:1, and on images of ten classes at 20:1 a log loss worse by "
            "0.607 and no gain beyond noise",
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", Precision],
        Option(
            sentence="Number format of the forward pass; auto is mixed on CUDA and fp32 elsewhere, "
            "but bf16 in the steps of a long training on a CPU that has units for it, where steps "
            "were measured to be faster so. Under fp32 passes without gradients are in fp32, too, "
            "whatever engine computes them.",
            teaches=False,
        ),
    ] = "auto"
    engine: Annotated[Literal["auto", EngineName], ENGINE_OPTION] = "auto"
    num_workers: Annotated[
        int | None,
        Option(
            sentence="Threads that make the batches of coming steps while the present one runs; "
            "changes no result, and may change when a run is resumed. When not given 2 where a GPU "
            "has no room for the data, else 0: on a CPU they take their time from the training.",
            low=0,
            high=64,
            needs="loops",
            teaches=False,
            changes_result=False,
        ),
    ] = None
    device: Annotated[str, Option(sentence="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    seed: Annotated[int, Option(sentence="Seed of everything.")] = 0

    def to_json(self) -> dict[str, object]:
        """Return what a run was made with, by name: the options that ``options.json`` keeps."""
        return kept_values(self)
