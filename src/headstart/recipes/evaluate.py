"""Evaluate a finished run: on the test split it was made with, or on other labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import DataError
from headstart.events import emit
from headstart.recipes.session import as_dataset
from headstart.reporting.console import attached
from headstart.run import Run
from headstart.types import Data, Dataset


@dataclass(frozen=True)
class Evaluation:
    """Figures of a run on labelled data.

    Attributes:
        metrics: ``{"test": …}`` in the shape of ``metrics.json``.
        model: Content of the run's ``model.json``.
        data: Name and counts of the data.
    """

    metrics: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]

    def report(self) -> str:
        """Return the figures as plain text."""
        from headstart.reporting import render_text

        return render_text(self.metrics, self.model, self.data, {"verb": "evaluate"})


def evaluate(run: str, data: Data = None, *, device: str = "auto", seed: int = 0) -> Evaluation:
    """Evaluate a run on its own test split, or on other labelled data.

    Args:
        run: A run folder.
        data: Labelled data; its test split is used. When not given, the run's own data is loaded
            again, and refused if it has changed.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Seed of the intervals.

    Returns:
        Figures with intervals.

    Raises:
        RunFolderError: If the run folder holds no model.
        DataError: If the data has changed, or has classes that the model does not know.

    Example:
        >>> import headstart as hs
        >>> print(hs.evaluate("runs/digits").report())  # doctest: +SKIP
    """
    import numpy as np

    from headstart.data import decode
    from headstart.evaluation import score, softmax
    from headstart.model import run_batches
    from headstart.training.device import choose_device

    opened = run if isinstance(run, Run) else Run(run)
    with attached():
        dataset = as_dataset(data) if data is not None else _own_data(opened)
        model = opened.model.to(choose_device(device))
        unknown = [c for c in dataset.schema.classes if c not in opened.classes]
        if unknown:
            raise DataError(
                f"Class '{unknown[0]}' of {dataset.name} is unknown to {opened.path} (it knows "
                f"{', '.join(opened.classes[:6])}). Evaluate on data with the same classes."
            )
        test = decode(dataset, "test", model.encoder.spec)
        places = np.asarray([opened.classes.index(c) for c in dataset.schema.classes])
        logits = run_batches(model, test.images, model, name="evaluate")
        probabilities = softmax(logits, model.temperature)
        scores = score(probabilities, places[test.targets], classes=opened.classes, seed=seed)
        emit("next", command=f"headstart predict {opened.path} FILE…")
    counts = {"test": len(test.targets)}
    notes = [f"{len(test.bad_samples)} samples could not be read."] if test.bad_samples else []
    about = {"name": dataset.name, "counts": counts, "notes": notes}
    return Evaluation({"test": scores.to_json()}, opened.model_record, about)


def _own_data(run: Run) -> Dataset:
    """Load the data that a run was made with, and check that it is still the same."""
    from headstart.data import load

    source = run.data.get("source")
    if not source:
        raise DataError(
            f"{run.path} was made from data in memory, which cannot be loaded again. Give the "
            f"data: headstart evaluate {run.path} DATA."
        )
    dataset = load(**source)
    if dataset.fingerprint != run.data["fingerprint"]:
        raise DataError(
            f"{dataset.name} has changed since {run.path} was made (fingerprint "
            f"{dataset.fingerprint[:12]}, expected {run.data['fingerprint'][:12]}); its test split "
            f"may now hold training images. Give the data by name if that is what you want."
        )
    return dataset
