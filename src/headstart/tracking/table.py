"""The trackers there are: a row each, and whether what they need is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.extras import install_command
from headstart.tracking.tracker import TrackedRun, Tracker

TrackerName = Literal["csv", "tensorboard", "mlflow", "wandb", "trackio"]


@dataclass(frozen=True)
class TrackerRow:
    """One tracker.

    Attributes:
        module: Where its ``open_tracker`` is.
        packages: What it imports that headstart does not bring.
        extra: Of headstart, which brings these; empty where none is needed.
    """

    module: str
    packages: tuple[str, ...] = ()
    extra: str = ""


TRACKERS: dict[str, TrackerRow] = {
    "csv": TrackerRow("headstart.tracking.csv_file"),
    "tensorboard": TrackerRow(
        "headstart.tracking.tensorboard_files", ("tensorboard",), "tensorboard"
    ),
    "mlflow": TrackerRow("headstart.tracking.mlflow_run", ("mlflow",), "mlflow"),
    "wandb": TrackerRow("headstart.tracking.wandb_run", ("wandb",), "wandb"),
    "trackio": TrackerRow("headstart.tracking.trackio_run", ("trackio",), "trackio"),
}
assert set(TRACKERS) == set(get_args(TrackerName))


def require_trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the trackers that were asked for, each once; refuse those that cannot be used.

    Args:
        names: As a user said them; None is none.

    Raises:
        OptionError: If one is unknown, or its package is not installed.
    """
    asked = [names] if isinstance(names, str) else list(names or ())
    for name in asked:
        if name not in TRACKERS:
            raise OptionError(
                f"log '{name}' is no tracker; expected {quoted(list(TRACKERS))}."
                f"{did_you_mean(name, TRACKERS) or ' Name one of them, for example --log csv.'}"
            )
        row = TRACKERS[name]
        missing = [package for package in row.packages if find_spec(package) is None]
        if missing:
            raise OptionError(
                f"log '{name}' needs {quoted(missing)}, which is not installed. Install it: "
                f"{install_command(f'headstart[{row.extra}]')}."
            )
    return tuple(dict.fromkeys(asked))


def open_tracker(name: str, run: TrackedRun) -> Tracker:
    """Return a tracker that takes the figures of a run.

    Args:
        name: Of ``TRACKERS``.
        run: The run.

    Raises:
        OptionError: If it cannot begin; the sentence says what it said.
    """
    opened: Callable[[TrackedRun], Tracker] = import_module(TRACKERS[name].module).open_tracker
    try:
        return opened(run)
    except Exception as error:  # whatever another library raises, in its own words
        raise OptionError(
            f"log '{name}' cannot begin ({type(error).__name__}: {error}); expected it to take a "
            f"run. Mend that, or leave '{name}' out of --log."
        ) from error
