"""Answers as the JSON of ``/v1/predict``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from headstart.serving.models import AnyModel, ServedModel
from headstart.serving.pairs import Matched
from headstart.serving.writers import ServedWriter, Texts
from headstart.types import Prediction
from headstart.types.figures import foremost


def named(model: AnyModel) -> dict[str, str]:
    """Return which model answers."""
    return {"model": model.name, "version": model.version}


def written(model: ServedWriter, texts: Texts) -> dict[str, Any]:
    """Return what was written as JSON."""
    notes = {"notes": texts.notes} if texts.notes else {}
    found = [one.to_json() for one in texts.predictions]
    return {**named(model), "predictions": found, **notes}


def matched_record(answer: Matched) -> dict[str, Any]:
    """Return what was matched as JSON: the best texts of each image, or embeddings."""
    notes = {"notes": answer.notes} if answer.notes else {}
    if answer.embeddings is not None:
        return {"embeddings": answer.embeddings.tolist(), **notes}
    return {"predictions": [_best(one, answer.candidates) for one in answer.predictions], **notes}


def told(prediction: Prediction, model: ServedModel) -> dict[str, Any]:
    """Return one answer as JSON: the label, its probability, and the best five; or what else."""
    if any(held is not None for held in (prediction.value, prediction.spans, prediction.parts)):
        return prediction.to_json()
    return _best(prediction, model.bundle.schema.classes)


def _best(prediction: Prediction, labels: Sequence[str]) -> dict[str, Any]:
    """Return the label of an answer, its probability, and the best five of all labels."""
    assert math.isfinite(prediction.probability)
    return {
        "name": prediction.name,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": foremost(labels, prediction.probabilities),
        **prediction.beside,
    }
