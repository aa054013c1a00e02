"""Evaluate a finished run: on the test split it was made with, or on other labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError
from headstart.events import emit
from headstart.recipes.session import as_dataset
from headstart.reporting.console import attached
from headstart.run import Run
from headstart.types import Data, Dataset, TableSpec

if TYPE_CHECKING:
    import numpy as np


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
        data: Labelled data; its test split is used. Task and label column are the run's own where
            nothing else is said, and rows of a table are read as the run's own were. When not
            given, the run's own data is loaded again, and refused if it has changed.
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
    from headstart.data import prepare
    from headstart.evaluation import score
    from headstart.model import run_batches
    from headstart.training.device import choose_device
    from headstart.tuning.outputs import model_outputs

    opened = run if isinstance(run, Run) else Run(run)
    with attached():
        dataset = _other_data(opened, data) if data is not None else _own_data(opened)
        model = opened.model.to(choose_device(device))
        encoder, schema = model.encoder, model.schema
        _check_schema(opened, dataset)
        test = prepare(
            dataset,
            "test",
            encoder.spec,
            tokenizer=encoder.tokenizer,
            vectorizer=encoder.vectorizer,
        )
        logits = run_batches(model, test, model, name="evaluate")
        outputs = model_outputs(model, logits)
        scores = score(outputs, _own_targets(opened, dataset, test.targets), schema, seed=seed)
        emit("next", command=f"headstart predict {opened.path} …")
    counts = {"test": len(test)}
    notes = [f"{len(test.bad_samples)} samples could not be read."] if test.bad_samples else []
    notes += list(getattr(test, "notes", []))
    about = {"name": dataset.name, "counts": counts, "notes": notes}
    return Evaluation({"test": scores.to_json()}, opened.model_record, about)


def _check_schema(run: Run, dataset: Dataset) -> None:
    """Refuse data that the run's model cannot answer for."""
    own, other = run.model.schema, dataset.schema
    if (own.modality, own.task) != (other.modality, other.task):
        raise DataError(
            f"{dataset.name} is {other.modality} {other.task}, and {run.path} is {own.modality} "
            f"{own.task}. Evaluate on data of the same kind."
        )
    unknown = [c for c in other.classes if c not in run.classes]
    if unknown:
        raise DataError(
            f"Class '{unknown[0]}' of {dataset.name} is unknown to {run.path} (it knows "
            f"{', '.join(run.classes[:6])}). Evaluate on data with the same classes."
        )


def _own_targets(run: Run, dataset: Dataset, targets: np.ndarray) -> np.ndarray:
    """Return targets in the order of the run's own classes."""
    import numpy as np

    if dataset.schema.task == "regression":
        return targets
    places = np.asarray([run.classes.index(c) for c in dataset.schema.classes])
    if dataset.schema.task == "classification":
        return np.asarray(places[targets])
    wide = np.zeros((len(targets), len(run.classes)), dtype=targets.dtype)
    wide[:, places] = targets
    return wide


def _other_data(run: Run, data: Data) -> Dataset:
    """Load other data than the run's: its target, and the rows of a table, as the run's own."""
    from headstart.data import load

    if isinstance(data, Dataset):
        return data
    model = run.model
    # the command line's data brings its options, and is not loaded yet
    later = data if isinstance(data, partial) else partial(load, data)
    if isinstance(model.encoder.spec, TableSpec):
        later = partial(later, columns=model.encoder.spec)
    separator = (run.data.get("source") or {}).get("separator")
    asked = later.keywords.get("task", "auto")
    if model.schema.task == "multi-label" and separator and asked in ("auto", "multi-label"):
        later = partial(later, **{"separator": separator, **later.keywords})
    return as_dataset(partial(later, schema=model.schema))


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
