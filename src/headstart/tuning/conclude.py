"""Read the test split, once; say how good the model is and what the fine-tuning was worth.

Order: the fine-tuned model first, then the baselines on the same items: the majority class, and a
linear probe on the start as it was. Then every file of the run folder that a reader looks at.
"""

from __future__ import annotations

import base64
import io
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from headstart.data import Pixels
from headstart.evaluation import (
    accuracy,
    compare,
    comparison_to_json,
    figure_to_json,
    fit_temperature,
    majority_baseline,
    score,
    softmax,
)
from headstart.events import emit
from headstart.model import Model, run_batches
from headstart.runfolder import RunFolder
from headstart.training.probe import Probe
from headstart.tuning.bench import PROBE_SAMPLES, Bench, install, probe, seconds_per_image
from headstart.tuning.clock import Clock
from headstart.tuning.tune import Tuned
from headstart.types import BadSample, Dataset

MAJORITY, BEFORE, AFTER = "majority class", "frozen start + linear probe", "fine-tuned"
_NUM_SHOWN = 12
_PROBE_SECONDS = 3.0  # what the solver takes for 5,000 samples at the most, on one core


@dataclass(frozen=True)
class Conclusion:
    """Content of ``metrics.json``, and the worst mistakes on the test split with their images."""

    metrics: dict[str, object]
    mistakes: list[dict[str, object]]


def calibrate(model: Model, val_logits: np.ndarray, val_targets: np.ndarray) -> None:
    """Set the model's temperature so that its validation probabilities mean what they say."""
    model.temperature = fit_temperature(val_logits, val_targets)


def conclude(
    folder: RunFolder,
    dataset: Dataset,
    bench: Bench,
    tuned: Tuned,
    train_pixels: Pixels,
    val_pixels: Pixels,
    test: Pixels,
    *,
    clock: Clock,
    options: dict[str, object],
) -> Conclusion:
    """Evaluate on the test split and write the run folder's files, but for the report page.

    Args:
        folder: Where to write.
        dataset: The data.
        bench: The fine-tuned model, and the encoder's state before.
        tuned: How the fine-tuning went.
        train_pixels: For the baseline's probe, where the strategy fitted none.
        val_pixels: For the temperature and the validation figures.
        test: Looked at here and nowhere else.
        clock: Where the budget is nearly spent, the baseline's probe is left out, and said so.
        options: Content of ``options.json``.
    """
    model = bench.model
    classes = dataset.schema.classes
    emit("stage", text="Evaluating on the test split")
    calibrate(model, tuned.val_logits, val_pixels.targets)
    save_model(folder, dataset, bench)
    logits = run_batches(model, test.images, model, name="test")
    probabilities = softmax(logits, model.temperature)
    test_seconds = clock.spent
    predictions = probabilities.argmax(axis=1)
    before = _before(bench, dataset, tuned, train_pixels, val_pixels, test, clock)
    seconds = {
        "tune": round(tuned.seconds, 3),
        "until_test_figure": round(test_seconds, 3),
    }
    metrics: dict[str, object] = {
        "test": score(probabilities, test.targets, classes=classes).to_json(),
        "val": score(
            softmax(tuned.val_logits, model.temperature), val_pixels.targets, classes=classes
        ).to_json(),
        "before_after": _before_after(
            train_pixels.targets, before, predictions, test.targets, len(classes)
        ),
        "seconds": seconds,
    }
    bad = [*dataset.bad_samples, *train_pixels.bad_samples, *val_pixels.bad_samples]
    data_record = describe_data(dataset, [*bad, *test.bad_samples])
    _write_predictions(folder, test, classes, probabilities)
    seconds["total"] = round(clock.spent, 3)
    folder.write_json("data.json", data_record)
    folder.write_json("options.json", options)
    folder.write_json("metrics.json", metrics)
    return Conclusion(metrics, _worst_mistakes(test, classes, probabilities))


def _worst_mistakes(
    test: Pixels, classes: tuple[str, ...], probabilities: np.ndarray
) -> list[dict[str, object]]:
    """Return the test images that the model got wrong with most confidence, as PNG data."""
    from PIL import Image

    predictions = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != test.targets)
    shown = []
    for place in wrong[np.argsort(-confidence[wrong], kind="stable")][:_NUM_SHOWN]:
        pixels = np.asarray(test.images[place])
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
        shown.append(
            {
                "name": test.names[place],
                "target": classes[test.targets[place]],
                "prediction": classes[predictions[place]],
                "probability": float(confidence[place]),
                "image_png_base64": base64.b64encode(buffer.getvalue()).decode(),
            }
        )
    return shown


def save_model(folder: RunFolder, dataset: Dataset, bench: Bench) -> None:
    """Write the model, so that the folder can be used from now on."""
    about = {"strategy": bench.recipe.strategy, "data_name": dataset.name}
    bench.model.save(folder.write, about)


def describe_data(dataset: Dataset, bad_samples: list[BadSample]) -> dict[str, object]:
    """Return the content of ``data.json``."""
    seen = {(b.name, b.reason): b for b in bad_samples}
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "source": dict(dataset.source) if dataset.source else None,
        "counts": {name: len(split) for name, split in splits.items()},
        "split_origin": dict(dataset.split_origin),
        "split_ids": {name: [int(i) for i in split.ids] for name, split in splits.items()},
        "bad_samples": [asdict(b) for b in seen.values()],
        "notes": list(dataset.notes),
    }


def describe_machine() -> dict[str, object]:
    """Return what a reader of a figure wants to know about the machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _before(
    bench: Bench,
    dataset: Dataset,
    tuned: Tuned,
    train_pixels: Pixels,
    val_pixels: Pixels,
    test: Pixels,
    clock: Clock,
) -> np.ndarray | None:
    """Return the test predictions of a linear probe on the start as it was, or None.

    Under ``head`` the fine-tuned model is that probe. The fine-tuned weights are put back after.
    """
    model = bench.model
    if bench.recipe.strategy == "head":
        return None
    each = seconds_per_image(bench)
    limit = PROBE_SAMPLES["full"]
    needed = 1.3 * each * len(test.images) + figures_seconds(dataset)
    if tuned.fitted is None:
        needed += 1.3 * each * (min(limit, len(train_pixels.images)) + len(val_pixels.images))
        # a probe that is cut short would flatter the fine-tuning: all of its time, or none
        needed += _PROBE_SECONDS
    if clock.left < needed:
        emit(
            "note",
            text="The baseline on the frozen start was left out: the budget is nearly spent.",
        )
        return None
    after = {n: t.detach().clone() for n, t in model.state_dict().items()}
    model.encoder.load_state_dict({n: t.to(model.device) for n, t in bench.initial.items()})
    fitted: Probe | None = tuned.fitted
    if fitted is None:
        fitted = probe(
            bench,
            train_pixels.images,
            train_pixels.targets,
            val_pixels.images,
            val_pixels.targets,
            num_classes=len(dataset.schema.classes),
            imbalance=bench.recipe.imbalance,
            limit=limit,
            deadline=None,
        )
    install(model, fitted)
    logits = run_batches(model, test.images, model, name="test, before")
    model.load_state_dict(after)
    predictions: np.ndarray = logits.argmax(axis=1)
    return predictions


def figures_seconds(dataset: Dataset) -> float:
    """Return about what the figures, their intervals and the report take, in seconds."""
    num = len(dataset.test) + len(dataset.val)
    return 2.5 + 2e-5 * num * len(dataset.schema.classes)


def _before_after(
    train_targets: np.ndarray,
    before: np.ndarray | None,
    after: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
) -> dict[str, object]:
    """Return the paired verdicts on the same test items."""
    majority, _ = majority_baseline(train_targets, num_items=len(targets), num_classes=num_classes)
    ladder = [(MAJORITY, majority), (AFTER, after)]
    if before is not None:
        ladder.insert(1, (BEFORE, before))
    verdicts = [compare(name, p, AFTER, after, targets) for name, p in reversed(ladder[:-1])]
    return {
        "accuracy": {name: figure_to_json(accuracy(p, targets)) for name, p in ladder},
        "comparisons": [comparison_to_json(v) for v in verdicts],
    }


def _write_predictions(
    folder: RunFolder, test: Pixels, classes: tuple[str, ...], probabilities: np.ndarray
) -> None:
    """Write one row a test item: id, name, target, prediction, probability of every class."""
    names = np.asarray(classes)
    columns = {
        "id": test.ids,
        "name": list(test.names),
        "target": names[test.targets],
        "prediction": names[probabilities.argmax(axis=1)],
        "probability": probabilities.max(axis=1).astype(np.float32),
        "probabilities": list(probabilities.astype(np.float32)),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    folder.write("predictions.parquet", buffer.getvalue())
