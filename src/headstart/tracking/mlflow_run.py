"""``--log mlflow``: a run of the experiment ``headstart``, wherever ``MLFLOW_TRACKING_URI`` says.

MLflow counts its users unless it is told not to; here it is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from headstart.tracking.tracker import TrackedRun

_MAX_VALUE = 500  # characters of a parameter that every store takes


class MlflowTracker:
    """Logs metrics named ``stage/figure`` to one MLflow run.

    Args:
        client: MLflow's, which keeps no run that is active for the whole program.
        run_id: Of the MLflow run.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment."""
        for name, value in figures.items():
            self._client.log_metric(self._run_id, _key(f"{stage}/{name}"), value, step=step)

    def close(self, *, is_finished: bool) -> None:
        """End the run, as finished or failed."""
        self._client.set_terminated(self._run_id, "FINISHED" if is_finished else "FAILED")


def open_tracker(run: TrackedRun) -> MlflowTracker:
    """Return what logs to a new MLflow run, whose parameters are the options.

    Args:
        run: The run.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "headstart")
    found = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if found is None else found.experiment_id
    tags = {"headstart.verb": run.verb, "headstart.folder": str(run.folder)}
    run_id = client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
    for option, value in run.options.items():
        if value is not None:
            client.log_param(run_id, option, str(value)[:_MAX_VALUE])
    return MlflowTracker(client, run_id)


def _key(name: str) -> str:
    """Return a name of the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name)
