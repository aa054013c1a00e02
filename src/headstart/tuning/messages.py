"""What the main process tells the workers of a fine-tuning, in this order; ``worker`` receives it.

What a run settles it tells them besides, whenever that is (``decisions``). Where a process is alone
nobody receives any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from headstart.events import emit
from headstart.preprocessing import ImagePreprocess
from headstart.types import Framing

if TYPE_CHECKING:
    from headstart.training.company import Company
    from headstart.tuning.phases import Opened
    from headstart.tuning.setup import TrainingSetup


class SetupMessage(TypedDict):
    """Which model to build."""

    start: str
    size: int | None
    framing: Framing
    value_range: Sequence[float] | None
    recipe: Mapping[str, Any]


class LoopMessage(TypedDict):
    """That the loop begins: its recipe, and where checkpoints are kept; None keeps none."""

    recipe: Mapping[str, Any]
    state: str | None


def send_setup(company: Company, setup: TrainingSetup) -> None:
    """Tell the workers which model to build."""
    if company.size > 1:
        why = "so many were started; each takes its share of every step"
        emit("choice", name="processes", value=company.size, why=why)
    own = setup.preprocess.main
    spec = own.spec if isinstance(own, ImagePreprocess) else None
    message = SetupMessage(
        start=setup.model.encoder.start.address,
        size=setup.size,
        framing=spec.framing if spec else "crop",
        value_range=spec.value_range if spec else None,
        recipe=asdict(setup.recipe),
    )
    company.send("setup", **message)


def send_train(company: Company) -> None:
    """Tell the workers to prepare the samples, which lie in the cache now."""
    company.send("train")


def send_loop(company: Company, setup: TrainingSetup, state: Path | None) -> None:
    """Tell the workers that the loop begins, and give them the model as it stands.

    Args:
        company: The processes.
        setup: The model and its recipe.
        state: Where checkpoints are kept; None keeps none.
    """
    where = str(state.absolute()) if state else None
    company.send("loop", **LoopMessage(recipe=asdict(setup.recipe), state=where))
    company.broadcast_module(setup.model)


def send_phase(company: Company, opened: Opened) -> None:
    """Tell the workers how the phase is trained that the loop enters now."""
    company.send("phase", views=opened.views, is_cut=opened.is_cut)
