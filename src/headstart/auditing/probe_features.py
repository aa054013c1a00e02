"""Features of the samples, from the best frozen start at hand: what audits that estimate read.

Images: the smallest pretrained start on this machine, at the largest size that the time allows, or
else their edges and pixels (random Fourier features of small copies), which small pictures also get
where the start would take too long for most of them. Texts: the smallest pretrained start, or else
TF-IDF brought down to a few hundred numbers. Rows: their columns as a linear model reads them.
Nothing is learned from a label, nothing is downloaded, and what took long is kept in the cache.

A sample that cannot be read has a row of NaN, and so has one that the time or the memory did not
allow for: those are left out at random, and ``findings`` says how many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.auditing.pixel_features import NUM_WAVES, Waves, edges
from headstart.auditing.pool import SPLITS
from headstart.preprocessing import JoinedInputs, Terms, without_rows
from headstart.starts.candidates import frozen_start, plain_start
from headstart.training.contract import StopRequested
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.features import features_kept, features_of
from headstart.tuning.setup import TrainingSetup, set_up, subsample
from headstart.tuning.texts import TextCache, text_cache
from headstart.types import Dataset, Finding, ImageSpec, Inputs, SplitName, Start

if TYPE_CHECKING:
    import torch

TERMS, PIXELS = "scratch/tfidf", "pixels"
MAX_BYTES = 320 * 2**20  # of all features together
NUM_DIRECTIONS = 256  # that TF-IDF is brought down to
_MOST_TERMS = 20_000  # texts that these are learned from
_SMALLEST_SIDE, _SIDE_STEP, _BEYOND_OWN = 64, 32, 2
_LEAST_SAMPLES = 500
LEAST_IN_RUNS = 100  # samples; fewer say nothing
_TRIES = 3
_FOR_SIZE = 0.7  # of the time: what a pass costs is known roughly
_EDGES_COUNT = 3.0
_PIXEL_SIDE, _AT_ONCE = 28, 1_024
SMALL_SIDE = 64  # of pictures whose pixels tell more than a sample of better features does


@dataclass(frozen=True)
class Look:
    """Whose features a run has at hand, so that audits need no other network.

    Attributes:
        start: A pretrained start that the run has built, or None for what needs no network.
        options: What the run sees of an image, with its input size.
        texts: What the run keeps of its texts.
        held: Train and val as the run has prepared them for that start at that size: where it has
            left their features in the cache, those are read.
        budget: Keeps what the run has measured a pass to cost.
    """

    start: Start | None
    options: TrainingOptions
    texts: TextCache | None = None
    held: Mapping[SplitName, Inputs] = field(default_factory=dict)
    budget: Budget | None = None


@dataclass
class _Way:
    """How features are computed.

    Attributes:
        prepare: Samples of a split at these places, as they are computed from.
        compute: Their features, float32, shape (N, D).
        num_features: D.
        seconds: Of one sample, preparing and computing.
        size: Side of an image in pixels, or None.
        kept: Splits whose features the run has left in the cache, as they were prepared.
    """

    prepare: Callable[[SplitName, np.ndarray], Inputs]
    compute: Callable[[Inputs], np.ndarray]
    num_features: int
    seconds: float
    size: int | None = None
    kept: Mapping[SplitName, Inputs] = field(default_factory=dict)


class ProbeFeatures:
    """``AuditTools.features`` of a data set: called with a split's name, it computes them once.

    Args:
        dataset: The data.
        seconds: What all features together may take, or None for as long as it takes; at least a
            few hundred samples are computed.
        seed: Of what is left out.
        device: Where a network runs; the CPU when None.
        look: Of a run, whose features are read, and no more of them than the time allows; None for
            those of the best start at hand.
        stop_requested: Asked between batches; what is missing then is NaN.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seconds: float | None = None,
        seed: int = 0,
        device: torch.device | None = None,
        look: Look | None = None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        # columns beside texts and images have audits of their own
        self.dataset, self.seconds, self.seed = without_rows(dataset), seconds, seed
        self._device, self._stop_requested = device, stop_requested
        self.look = look
        known = None if look is None else look.budget
        self._budget = known or Budget(None)  # each pass is measured once
        modality = dataset.schema.modality
        self._start = (
            frozen_start(modality) if look is None else look.start or plain_start(modality)
        )
        self._way: _Way | None = None
        self._kept: dict[SplitName, np.ndarray] = {}
        self.findings: list[Finding] = []

    @property
    def start(self) -> str:
        """Address of the start, or ``pixels``."""
        return PIXELS if self._start is None else self._start.address

    def __call__(self, name: SplitName) -> np.ndarray:
        """Return features, float32, shape (N, D); NaN where there are none.

        Args:
            name: The split.
        """
        if name not in self._kept:
            self._kept[name] = self._computed(name)
        return self._kept[name]

    def _computed(self, name: SplitName) -> np.ndarray:
        way = self._way = self._way or self._affordable_way()
        split = self.dataset.split(name)
        if (inputs := way.kept.get(name)) is not None:  # costs nothing
            return _placed(split.ids, inputs.ids, way.compute(inputs))
        counted = [each for each in SPLITS if each not in way.kept]
        total = sum(len(self.dataset.split(each)) for each in counted)
        fitting = self._fitting(way)
        most = min(self._affordable(way), fitting)
        share = min(1.0, most / max(1, total))
        limit = len(split) if share == 1 else int(np.ceil(share * len(split)))
        places = subsample(split.targets, limit, seed=self.seed)[: 0 if limit == 0 else None]
        found = np.full((len(split), way.num_features), np.nan, dtype=np.float32)
        if len(places) < len(split):
            why = "memory" if most == fitting else "time"
            self._tell_fewer(name, len(places), len(split), why)
        if not len(places):
            return found
        inputs = way.prepare(name, places)
        is_there = np.isin(split.ids[places], inputs.ids)  # copies are readable alike
        try:
            found[places[is_there]] = way.compute(inputs)
        except StopRequested:
            self._tell_fewer(name, 0, len(split), "time")
        return found

    def _affordable_way(self) -> _Way:
        """Return the way; of small pictures their pixels, where the start takes too long."""
        way = self._find_way()
        total = sum(len(self.dataset.split(each)) for each in SPLITS)
        size = self.dataset.image_size
        is_small = size is not None and max(size) <= SMALL_SIDE
        if self._start is None or not is_small or way.kept:
            return way
        if 2 * self._affordable(way) >= total:
            return way
        sentence = (
            f"Audits that estimate read the pixels of the {total:,} small pictures: features of "
            f"{self.start} would take {way.seconds * total:.0f} s, and {self.seconds:.0f} s are "
            "there."
        )
        self.findings.append(Finding("reading", "note", (), sentence))
        self._start = None
        return self._pixels()

    def _affordable(self, way: _Way) -> int:
        if self.seconds is None:
            return 2**62
        most = int(self.seconds / max(1e-9, way.seconds))
        if self.look is not None:  # its budget is a promise
            return most if most >= LEAST_IN_RUNS else 0
        return max(_LEAST_SAMPLES, most)

    def _fitting(self, way: _Way) -> int:
        return MAX_BYTES // (4 * way.num_features)

    def _left_by_run(self, setup: TrainingSetup) -> Mapping[SplitName, Inputs]:
        """Return the splits whose features a run has left in the cache, as it prepared them."""
        left = {} if self.look is None or self.look.start is None else self.look.held
        held = {n: one.main if isinstance(one, JoinedInputs) else one for n, one in left.items()}
        num = sum(len(inputs) for inputs in held.values())
        if 4 * setup.model.encoder.num_features * num > MAX_BYTES:
            return {}
        are_kept = all(features_kept(setup.model, inputs) for inputs in held.values())
        return held if are_kept else {}

    def _tell_fewer(self, name: SplitName, number: int, total: int, why: str) -> None:
        which = f"{number:,} of {total:,}" if number else "none"
        sentence = (
            f"Audits that estimate saw {which} of the samples of {name}"
            f"{', drawn at random' if number else ''}: the {why} for features of {self.start} "
            "allowed for no more."
        )
        self.findings.append(Finding("reading", "note", (), sentence))

    def _find_way(self) -> _Way:
        if self._start is None:
            return self._pixels()
        texts = self.look.texts if self.look is not None else None
        texts = texts or text_cache(self.dataset, Budget(self.seconds), seed=self.seed)
        setup = self._set_up(None if self.look is None else self.look.options.input_size, texts)
        kept = self._left_by_run(setup)
        if setup.preprocess.size is not None and not kept:
            setup = self._sized(setup, texts)
        if self._start.address == TERMS:
            return self._directions(setup)
        each = seconds_per_sample(setup, self.dataset, self._budget) + self._preparing(setup)

        def compute(inputs: Inputs) -> np.ndarray:
            return features_of(
                setup.model, inputs, name="features", stop_requested=self._stop_requested
            )

        return _Way(
            partial(self._prepared, setup),
            compute,
            setup.model.encoder.num_features,
            each,
            setup.size,
            kept,
        )

    def _set_up(self, size: int | None, texts: TextCache | None) -> TrainingSetup:
        import torch

        assert self._start is not None
        options = TrainingOptions()
        if self.look is not None and self.look.start is not None:  # they were said for that start
            options = self.look.options
        options = replace(
            options,
            strategy=HEAD.name,
            learning_rate_search=False,  # a head has no rate
            seed=self.seed,
            input_size=size,
        )
        device = self._device or torch.device("cpu")
        return set_up(self.dataset, self._start, options, device=device, texts=texts)

    def _sized(self, setup: TrainingSetup, texts: TextCache | None) -> TrainingSetup:
        """Return the same start at the largest size that the time allows for all samples."""
        own = max(self.dataset.image_size or (10_000, 10_000))
        ceiling = min(setup.size or 0, max(_SMALLEST_SIDE, _BEYOND_OWN * own))
        if self.seconds is None:
            return self._set_up(ceiling, texts) if ceiling != setup.size else setup
        size = smallest = min(_SMALLEST_SIDE, ceiling)
        total = sum(len(self.dataset.split(name)) for name in SPLITS)
        found = self._set_up(smallest, texts)
        left = max(0.0, _FOR_SIZE * self.seconds - self._preparing(found) * total)
        each = seconds_per_sample(found, self.dataset, self._budget)
        for _ in range(_TRIES):
            # a pass costs in proportion to the pixels, and large ones a little more
            side = int(size * (left / (each * total)) ** 0.5) // _SIDE_STEP * _SIDE_STEP
            wanted = int(np.clip(side, smallest, ceiling))
            if wanted == size or (wanted > size != smallest):
                break
            size, found = wanted, self._set_up(wanted, texts)
            each = seconds_per_sample(found, self.dataset, self._budget)
        return found

    def _prepared(self, setup: TrainingSetup, name: SplitName, places: np.ndarray) -> Inputs:
        """Return samples of a split; of texts what the run has made of them before."""
        if setup.texts is None:
            return setup.preprocess.prepare(self.dataset, name, places)
        indices = None if len(places) == len(self.dataset.split(name)) else places
        return setup.texts.prepare(name, setup.model.encoder, indices)

    def _preparing(self, setup: TrainingSetup) -> float:
        """Return what preparing one sample takes, in seconds."""
        if setup.texts is not None:
            return setup.texts.seconds_per_text(setup.model.encoder)
        if setup.preprocess.is_instant:
            return 0.0
        return setup.preprocess.seconds_per_sample(self.dataset.train.samples)

    def _pixels(self) -> _Way:
        """Return the way of images without a pretrained start: small pictures of them."""
        from headstart.preprocessing.for_images import ImagePreprocess
        from headstart.preprocessing.levels import range_of

        channels = self.dataset.image_channels or 3
        side = min(_PIXEL_SIDE, *(self.dataset.image_size or (_PIXEL_SIDE, _PIXEL_SIDE)))
        nothing, ones = (0.0,) * channels, (1.0,) * channels
        plain = ImageSpec(side, channels, nothing, ones, "bilinear", side, channels)
        own = ImagePreprocess(replace(plain, value_range=range_of(self.dataset.grey_levels)))

        def flat(inputs: Inputs, places: np.ndarray) -> np.ndarray:
            pixels = inputs.arrays(places)[0].astype(np.float32) / 255.0
            rows = pixels.reshape(len(pixels), -1)
            length = np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6
            return np.hstack([_EDGES_COUNT * edges(pixels), rows / length])

        some = subsample(self.dataset.train.targets, _LEAST_SAMPLES, seed=self.seed)
        inputs = own.prepare(self.dataset, "train", some)
        waves = Waves(flat(inputs, np.arange(len(inputs))), self.seed)
        began = time.monotonic()
        waves(flat(inputs, np.arange(len(inputs))))
        each = (time.monotonic() - began) / max(1, len(inputs))
        return _Way(
            lambda name, places: own.prepare(self.dataset, name, places),
            lambda inputs: np.concatenate(
                [waves(flat(inputs, part)) for part in _parts(len(inputs))]
            ),
            NUM_WAVES,
            each + own.seconds_per_sample(self.dataset.train.samples),
            side,
        )

    def _directions(self, setup: TrainingSetup) -> _Way:
        """Return the way of texts without a pretrained start: directions of their terms."""
        from sklearn.decomposition import TruncatedSVD

        assert setup.texts is not None
        began = time.monotonic()
        train = self._prepared(
            setup, "train", subsample(self.dataset.train.targets, _MOST_TERMS, seed=self.seed)
        )
        terms = _matrix(train)
        num = max(1, min(NUM_DIRECTIONS, terms.shape[1] - 1, terms.shape[0] - 1))
        directions = TruncatedSVD(num, random_state=self.seed).fit(terms)
        each = (time.monotonic() - began) / max(1, len(train))
        return _Way(
            partial(self._prepared, setup),
            lambda inputs: directions.transform(_matrix(inputs)).astype(np.float32),
            num,
            each,
        )


def _placed(ids: np.ndarray, found: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return features in the order of ids, shape (N, D); NaN where an id was not found."""
    placed = np.full((len(ids), features.shape[1]), np.nan, dtype=np.float32)
    order = np.argsort(found, kind="stable")
    places = np.searchsorted(found[order], ids)
    is_there = (places < len(found)) & (found[order][np.minimum(places, len(found) - 1)] == ids)
    placed[is_there] = features[order[places[is_there]]]
    return placed


def _parts(number: int) -> list[np.ndarray]:
    """Return the places below a number, a few thousand at a time; at least one part."""
    return np.array_split(np.arange(number), max(1, -(-number // _AT_ONCE)))


def _matrix(inputs: Inputs) -> Any:
    """Return the terms of texts, CSR."""
    assert isinstance(inputs, Terms)
    return inputs.matrix
