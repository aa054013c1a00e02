"""``--log wandb``: a run of the project ``headstart`` of Weights & Biases.

It is theirs where it goes: ``wandb login`` sends it to their server, ``WANDB_MODE=offline`` keeps
it in a folder here. Reports of errors in their library are not sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from headstart.tracking.tracker import TrackedRun


class WandbTracker:
    """Logs figures named ``stage/figure``, over the steps of their stage.

    Args:
        run: A run of wandb.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self._stages: set[str] = set()

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment."""
        if stage not in self._stages:  # steps begin anew with every stage, wandb's own do not
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/step", hidden=True)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        told = {f"{stage}/{name}": value for name, value in figures.items()}
        self._run.log({**told, f"{stage}/step": step})

    def close(self, *, is_finished: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if is_finished else 1)


def open_tracker(run: TrackedRun) -> WandbTracker:
    """Return what logs to a new run of wandb.

    Args:
        run: The run.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    opened = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "headstart"),
        name=run.name,
        config={"verb": run.verb, **run.options},
        job_type=run.verb,
    )
    return WandbTracker(opened)
