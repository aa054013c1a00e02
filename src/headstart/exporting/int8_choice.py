"""Whether a network in whole numbers is kept: quicker here, and hardly worse on samples of val.

Every way of ``onnx_int8`` that the network has layers for is made and tried, with the very session
options that serve. Kept is the quickest of those that lose at most half a point, answer a sample
the same whatever stands beside it in a batch, and are quicker than float32 at every batch tried.
Where none is, the refusal tells the figures. What is measured holds for this processor.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bundles import Bundle, compare_logits
from headstart.bundles.answering import Arrays
from headstart.bundles.equality import in_batches
from headstart.bundles.session import MODEL, OnnxSession
from headstart.errors import ExportError, first_line
from headstart.exporting.onnx_int8 import WAYS
from headstart.tasks import array_of, find_task
from headstart.types import Inputs, Rows, Schema

MOST_LOST = 0.005  # of all decisions
MOST_TIME = 0.95  # of float32's
BATCH_SIZES = (1, 8)
NUM_CALIBRATED, NUM_JUDGED = 128, 1000
_TURNS, _LEAST_SECONDS = 7, 0.02
_ALONE = 33


@dataclass(frozen=True)
class Int8Samples:
    """What whole numbers are made and judged with.

    Attributes:
        calibration: Samples of train, which say how large what is computed gets.
        judged: Samples of val.
        targets: Of these.
        origin: What they are, for whoever reads it.
    """

    calibration: Inputs
    judged: Inputs
    targets: Rows
    origin: str


@dataclass(frozen=True)
class Int8Trial:
    """What was found of one way.

    Attributes:
        way: Its name in ``WAYS``.
        right: Share of decisions that are right, 0 to 1.
        right_float32: The same of float32.
        times: What a batch takes, as a share of float32's, of each of ``BATCH_SIZES``.
        beside: Why it is out whatever its figures say; empty where nothing else is wrong.
    """

    way: str
    right: float = 0.0
    right_float32: float = 0.0
    times: tuple[float, ...] = ()
    beside: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it may be taken."""
        is_good = self.right_float32 - self.right <= MOST_LOST + 1e-9
        return not self.beside and is_good and max(self.times) <= MOST_TIME

    def sentence(self) -> str:
        """Return it in words."""
        if self.beside:
            return f"{self.way}: {self.beside}"
        batches = ", ".join(
            f"{share:.3f} at a batch of {size}"
            for size, share in zip(BATCH_SIZES, self.times, strict=True)
        )
        return (
            f"{self.way}: {100 * self.right:.1f} % right, {100 * self.right_float32:.1f} in "
            f"float32; of its time {batches}"
        )


def refuse_int8(schema: Schema, num_members: int) -> None:
    """Refuse what whole numbers are not judged for.

    Args:
        schema: What is predicted.
        num_members: How many models answer.

    Raises:
        ExportError: If several models answer, or no classes of samples are told.
    """
    task = find_task(schema.task)
    reasons = {
        f"{num_members} models answer together": num_members > 1,
        "it finds answers in contexts": task.finds_texts,
        "it tells numbers": not task.has_classes,
        "it tells of words": task.tells_words,
    }
    if what := next((reason for reason, is_so in reasons.items() if is_so), ""):
        raise ExportError(
            f"--int8 is for one model that tells classes of whole samples, and {what}. Leave "
            "--int8 out."
        )


def choose_int8(bundle: Bundle, samples: Int8Samples, address: str) -> tuple[bytes, dict[str, Any]]:
    """Return a bundle's network in whole numbers, and what was found of it.

    Args:
        bundle: In float32, opened; of one member.
        samples: To make and judge it with.
        address: Of the start, for a refusal.

    Raises:
        ExportError: If no way is quicker here and good enough; with the figures.
    """
    content = (bundle.path / MODEL).read_bytes()
    own = bundle.members[0]
    calibration = [
        {one.name: arrays[one.name] for one in own.session.inputs}
        for arrays in _batches(bundle, samples.calibration, 16)
    ]
    session = OnnxSession(bundle.path / MODEL, own.preprocess.exported_inputs, _width(bundle))
    trials, made = [], {}
    with tempfile.TemporaryDirectory() as name:
        for way, make in WAYS.items():
            try:
                found = make(content, calibration)
            except Exception as error:  # a quantiser fails in every way Python knows
                trials.append(Int8Trial(way, beside=f"cannot be made ({first_line(error)})"))
                continue
            if found is None:
                continue
            path = Path(name) / MODEL
            path.write_bytes(found)
            narrow = OnnxSession(path, own.preprocess.exported_inputs, _width(bundle))
            trials.append(_try(way, bundle, session, narrow, samples))
            made[way] = found
    kept = [one for one in trials if one.is_kept]
    if not kept:
        told = "; ".join(one.sentence() for one in trials)
        told = told or "it has no layer that whole numbers are for (convolutions, products)"
        raise ExportError(
            f"--int8 is no gain for '{address}' on this machine, by {samples.origin}: {told}. "
            f"Expected at most {100 * MOST_LOST:g} points less and at most {MOST_TIME:g} of the "
            "time. Nothing was kept. Leave --int8 out."
        )
    best = min(kept, key=lambda one: max(one.times))
    told_of = {**asdict(best), "judged_on": samples.origin, "batch_sizes": list(BATCH_SIZES)}
    return made[best.way], told_of


def _width(bundle: Bundle) -> int:
    return bundle.task.num_outputs(bundle.schema)


def _batches(bundle: Bundle, inputs: Inputs, size: int) -> list[Arrays]:
    return [
        bundle.arrays([inputs], np.arange(start, min(start + size, len(inputs))))[0]
        for start in range(0, len(inputs), size)
    ]


def _logits(bundle: Bundle, session: OnnxSession, inputs: Inputs) -> np.ndarray:
    return np.concatenate([session.run(arrays) for arrays in _batches(bundle, inputs, 16)])


def _try(
    way: str, bundle: Bundle, session: OnnxSession, narrow: OnnxSession, samples: Int8Samples
) -> Int8Trial:
    inputs, task = samples.judged, bundle.task
    try:
        logits = [_logits(bundle, one, inputs) for one in (narrow, session)]
    except Exception as error:  # ONNX Runtime's errors have no common class
        return Int8Trial(way, beside=f"cannot be run ({first_line(error)})")
    right = [
        float((array_of(task.decisions(bundle.outputs([one]))) == array_of(samples.targets)).mean())
        for one in logits
    ]
    num = min(len(inputs), _ALONE)

    def run(places: np.ndarray) -> np.ndarray:
        return narrow.run(bundle.arrays([inputs], places)[0])

    alone = np.concatenate([run(np.array([place])) for place in range(num)])
    if not compare_logits(in_batches(run, num), alone).holds:
        return Int8Trial(way, beside="what it answers depends on what else is in the batch")
    shares = []
    for size in BATCH_SIZES:
        arrays = bundle.arrays([inputs], np.arange(size) % len(inputs))[0]
        shares.append(_share_of_time(narrow, session, arrays))
    return Int8Trial(way, right[0], right[1], tuple(shares))


def _share_of_time(one: OnnxSession, other: OnnxSession, arrays: Arrays) -> float:
    """Return what a run takes of another's, each the least of several in turns."""
    both = (one, other)
    repeats = [max(1, int(_LEAST_SECONDS / _seconds(each, arrays, 1))) for each in both]
    times: Sequence[list[float]] = ([], [])
    for _ in range(_TURNS):
        for place, each in enumerate(both):
            times[place].append(_seconds(each, arrays, repeats[place]))
    return min(times[0]) / min(times[1])


def _seconds(session: OnnxSession, arrays: Arrays, repeats: int) -> float:
    """Return the processor's seconds of a run; on one thread it is this one that computes."""
    began = time.thread_time()
    for _ in range(repeats):
        session.run(arrays)
    return max((time.thread_time() - began) / repeats, 1e-6)
