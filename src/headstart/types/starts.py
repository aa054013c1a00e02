"""Starting points as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headstart.types.modalities import Modality
from headstart.types.preprocessing import ImageSpec

Family = Literal["convnet", "vit", "bert", "linear", "mlp", "trees", "seq2seq", "decoder", "dual"]
# Of these a model is solved for, or grown, at once; trees have no gradients at all.
SOLVED: tuple[Family, ...] = ("linear", "trees")
GROWN: tuple[Family, ...] = ("trees",)
# Of these a start writes texts: its network ends in a vocabulary, and no head is put on it.
WRITING: tuple[Family, ...] = ("seq2seq", "decoder")


@dataclass(frozen=True)
class Start:
    """A starting point.

    Attributes:
        address: ``timm/<name>``, ``scratch/<name>``, ``pip/<name>``, a local folder or safetensors
            file, or a headstart run folder.
        family: Decides the default recipe.
        modality: What it reads.
        num_parameters: Parameters of the encoder, without a head; 0 when not known before loading.
        licence: Licence of the weights; ``"none (random weights)"`` for scratch,
            ``"none (learned from the data)"`` where nothing is drawn.
        pretrained_on: Name of the data, or None for random weights.
        objective: How it was pretrained (``"supervised"``, ``"mae"`` …), or None.
        image: Preprocessing, for image starts; the others' is known once they are built.
        is_local: Whether it can be used without network.
    """

    address: str
    family: Family
    modality: Modality
    num_parameters: int
    licence: str
    pretrained_on: str | None
    objective: str | None
    image: ImageSpec | None
    is_local: bool
