"""What a run learns from its texts and makes of them: once, and inside the budget.

One run asks for the same several times: screening builds a start that the fine-tuning builds again,
and the baseline may be the start that was screened. A ``TextCache`` keeps what was learned
(vocabulary, terms, length) and what texts became (token ids, term weights), and every setup of the
run draws on it. It also keeps the clock: how long learning and preparing take is measured on a few
texts before either begins, and where learning from all texts would take too much of the budget it
learns from a seeded sample of them, and says so. Left out: anything on disk, and images and rows,
whose preparation has caches and estimates of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headstart.errors import StartError
from headstart.events import unheard
from headstart.preprocessing import Preprocess
from headstart.starts import (
    BuildRequest,
    Encoder,
    build_encoder,
    learn_preprocess,
    learns_from_texts,
)
from headstart.tasks import find_task
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.tuning.budget import SHARES, Budget
from headstart.tuning.decisions import Decided, Decisions
from headstart.types import Dataset, Inputs, SplitName, Start

_LEAST_TEXTS, _LEAST_A_CLASS = 1_000, 20
# a rehearsal takes more and more texts until it is long enough to be told from the clock's grain
_FIRST_TEXTS, _GROWTH, _ENOUGH_SECONDS = 50, 4, 0.1


@dataclass(frozen=True)
class _Prepared:
    """Samples of a split as a preprocessing makes them; ``indices`` None is all of them."""

    preprocess: Preprocess
    indices: np.ndarray | None
    inputs: Inputs


class TextCache:
    """What one run has learned from the texts of its data, and what they became.

    Args:
        dataset: The data; only train is learned from.
        budget: The budget.
        seed: Seed of the samples.
        decisions: What the run has settled; how many texts a start learns from is settled here.
    """

    def __init__(
        self,
        dataset: Dataset,
        budget: Budget,
        *,
        seed: int,
        decisions: Decisions | None = None,
    ) -> None:
        self.dataset, self.budget, self.seed = dataset, budget, seed
        self.decisions = decisions or Decisions()
        self._limits: dict[str, int] = {}
        self._learned: dict[str, Preprocess] = {}
        self._prepared: dict[tuple[str, SplitName], _Prepared] = {}
        self._seconds: dict[str, float] = {}
        self._texts: list[str] = []

    def unhurried(self) -> TextCache:
        """Return a cache that holds the same, and takes its time over what it lacks."""
        decisions = self.decisions.apart()
        found = TextCache(self.dataset, Budget(None), seed=self.seed, decisions=decisions)
        found._learned, found._prepared = self._learned, self._prepared
        found._seconds, found._texts = self._seconds, self._texts
        return found

    def build(self, start: Start, request: BuildRequest) -> Encoder:
        """Build the encoder of a start from what was learned for it before, or is learned now.

        Args:
            start: The start.
            request: As ``build_encoder`` takes it; the texts are put in here.

        Raises:
            StartError: If it cannot be built, or learning from the fewest texts that are worth it
                would take too much of the budget.
        """
        learned = self._learned.get(start.address)
        texts = self._read()
        if learned is None and learns_from_texts(start):
            texts = self._chosen(start)
            learned = learn_preprocess(start, texts)
        wanted = self._wanted()
        if wanted:  # a vocabulary is of both sides, the lengths are of each
            texts = self._read()
        told = replace(request, texts=texts, wanted=wanted, preprocess=learned)
        encoder = build_encoder(start, told)
        self._learned[start.address] = encoder.preprocess
        return encoder

    def prepare(self, name: SplitName, encoder: Encoder, indices: np.ndarray | None) -> Inputs:
        """Return samples of a split as an encoder takes them; the last ones asked for are kept.

        Args:
            name: The split.
            encoder: Built by this cache.
            indices: Positions in the split, or None for all.
        """
        key, own = (encoder.start.address, name), encoder.preprocess
        former = self._prepared.get(key)
        if former and former.preprocess == own and _is_same(former.indices, indices):
            return former.inputs
        inputs = own.prepare(self.dataset, name, indices)
        self._prepared[key] = _Prepared(own, indices, inputs)
        return inputs

    def seconds_per_text(self, encoder: Encoder) -> float:
        """Return what preparing one text takes, in seconds, measured on a seeded sample of train.

        Args:
            encoder: Built by this cache.
        """
        address = encoder.start.address
        if address not in self._seconds:
            order = self._order()

            def rehearse(num: int) -> None:
                with unheard():
                    encoder.preprocess.prepare(self.dataset, "train", order[:num])

            seconds, num = _rehearse(rehearse, len(order))
            self._seconds[address] = seconds / num
        return self._seconds[address]

    def num_learned(self, start: Start) -> int:
        """Return from how many texts a start has learned, of those that it could learn from."""
        return self._limits.get(start.address, len(self.dataset.train))

    def _chosen(self, start: Start) -> list[str]:
        """Return the texts that a start learns from."""
        texts = self._learned_from()
        limit = self.decisions.settle(
            f"vocabulary of {start.address}", lambda: self._affordable(start, texts)
        )
        self._limits[start.address] = limit
        if limit >= len(texts):
            return texts
        return [texts[i] for i in np.sort(self._order()[:limit]).tolist()]

    def _affordable(self, start: Start, texts: list[str]) -> Decided[int]:
        """Return how many texts a start can learn from within its share of the budget.

        Raises:
            StartError: If that is fewer than are worth it.
        """
        total, left = len(texts), self.budget.left
        if self.budget.limit_seconds is None:
            return Decided(total)
        order = self._order()
        seconds, num = _rehearse(
            lambda num: learn_preprocess(start, [texts[i] for i in order[:num].tolist()]), total
        )
        each = seconds / num
        if each * total <= SHARES["vocabulary"].share * left:
            return Decided(total)
        num_classes = len(self.dataset.schema.classes)
        least = min(total, max(_LEAST_TEXTS, _LEAST_A_CLASS * num_classes))
        most = SHARES["least vocabulary"].share
        if each * least > most * left:
            raise StartError(
                f"Start '{start.address}' needs {each * least:.0f} s to learn its vocabulary from "
                f"{least:,} texts, and {max(0.0, left):.0f} s of the budget are left; expected "
                f"less than {most:.0%} of it. Raise --budget, or choose a pretrained start."
            )
        limit = max(least, int(SHARES["vocabulary"].share * left / each))
        why = f"all would take {each * total:.0f} s of the {left:.0f} s left"
        return Decided(limit, why, f"learned from {limit:,} of {total:,} texts")

    def _read(self) -> list[str]:
        """Return the texts of train."""
        if not self._texts:
            samples = self.dataset.train.samples
            self._texts += [samples.read(i) for i in range(len(samples))]
        return self._texts

    def _wanted(self) -> list[str]:
        """Return the texts that are to be told of train's; none where something else is."""
        if not find_task(self.dataset.schema.task).tells_texts:
            return []
        return [str(text) for text in np.asarray(self.dataset.train.targets)]

    def _learned_from(self) -> list[str]:
        """Return the texts of train, each with the one that is to be told of it."""
        texts, wanted = self._read(), self._wanted()
        if not wanted:
            return texts
        return [f"{text} {told}" for text, told in zip(texts, wanted, strict=True)]

    def _order(self) -> np.ndarray:
        """Return the positions of train in a seeded order; whoever takes some takes the first."""
        return generator(BOOTSTRAP, self.seed).permutation(len(self.dataset.train))


def text_cache(
    dataset: Dataset,
    budget: Budget,
    *,
    seed: int,
    decisions: Decisions | None = None,
) -> TextCache | None:
    """Return a ``TextCache`` where samples are texts, else None; the arguments are its own."""
    if not dataset.schema.facts.is_learned_from:
        return None
    return TextCache(dataset, budget, seed=seed, decisions=decisions)


def _is_same(former: np.ndarray | None, indices: np.ndarray | None) -> bool:
    if former is None or indices is None:
        return former is indices
    return np.array_equal(former, indices)


def _rehearse(work: Callable[[int], object], total: int) -> tuple[float, int]:
    """Do some of a work until that takes long enough to measure.

    Returns:
        The seconds that it took the last time, and for how many texts.
    """
    num = min(_FIRST_TEXTS, total)
    work(num)  # what is imported or made at the first call is no matter of the texts
    while True:
        began = time.monotonic()
        work(num)
        seconds = time.monotonic() - began
        if seconds >= _ENOUGH_SECONDS or num == total:
            return seconds, num
        num = min(_GROWTH * num, total)
