"""What is seen of an image, where the user has left it to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headstart.events import emit
from headstart.preprocessing.framing import choose_framing
from headstart.preprocessing.levels import choose_range, told
from headstart.types import Dataset, Framing


@dataclass(frozen=True)
class View:
    """What is seen of an image.

    Attributes:
        framing: What becomes of images that are no squares.
        value_range: Values of more than 8 bits that become black and white; None where there are
            none.
    """

    framing: Literal["auto", Framing]
    value_range: Sequence[float] | None


def choose_view(
    framing: Literal["auto", Framing], value_range: Sequence[float] | None, dataset: Dataset
) -> View:
    """Return what is seen of an image, decided by the data where nobody has said it, and tell why.

    Args:
        framing: As the user said it.
        value_range: As the user said it.
        dataset: The images.
    """
    if framing == "auto":
        framing, why = choose_framing(dataset.image_cut)
        if why:
            emit("choice", name="framing", value=framing, why=why)
    if value_range is None and dataset.grey_levels is not None:
        value_range, why = choose_range(dataset.grey_levels)
        shown = " … ".join(map(told, value_range))
        emit("choice", name="value_range", value=shown, why=why)
    return View(framing, value_range)
