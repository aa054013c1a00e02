"""What both ways to learn words have in common: how they are judged, and what is said of it.

The loss stands beside that of somebody who knows how often each token occurs in what is learned
from, and nothing of the text. Its interval counts documents, whose tokens belong together: it is
that of a ratio of two sums over documents (where fewer than ten are held out, over their windows).

Source of the interval: the ratio estimator, Cochran, "Sampling Techniques", 1977, section 2.11.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.evaluation.intervals import normal_interval
from headstart.model.words import LanguageModel
from headstart.objectives.words import word_loss, word_losses
from headstart.pretraining.objective import GAIN, Givens, Learned, Learner, Shown
from headstart.pretraining.step_precision import unstepped
from headstart.pretraining.tokenizing import TokenizedTexts
from headstart.tensors import evaluating
from headstart.training.batches.feed import Batch
from headstart.training.contract import Check, StopRequested, never
from headstart.training.machine.kernels import stepping
from headstart.training.options.recipe import Recipe
from headstart.tuning.decisions import Decided
from headstart.types import Finding

UNIGRAM = "unigram frequencies"
LEAST_GAIN = 0.1  # of the trivial loss: with less, little was learned
CHECK_SHARE = 0.01  # of the time that is left, for one look: there are eleven, and one at the end
FEWEST_TOKENS, MOST_TOKENS = 4_000, 400_000  # of the windows that a check reads
_FEW_DOCUMENTS = 10
NUM_SHOWN = 6


@dataclass(frozen=True)
class HeldOutPass:
    """One pass over what is held out, word by word.

    Attributes:
        losses: float64, shape (M,), in nats.
        is_right: bool, shape (M,), whether the likeliest word is the one that stands there.
        told: int64, shape (M,), the words.
        clusters: int64, shape (M,), whose words belong together.
    """

    losses: np.ndarray
    is_right: np.ndarray
    told: np.ndarray
    clusters: np.ndarray


class WordLearner(Learner):
    """A language model with the texts that it learns from.

    Args:
        module: The model, on its device.
        recipe: Every training option.
        words: The corpus as tokens.
        num_samples: Windows, or rows of them, that are learned from.
    """

    module: LanguageModel

    def __init__(
        self, module: LanguageModel, recipe: Recipe, words: TokenizedTexts, num_samples: int
    ) -> None:
        self.module, self.recipe, self.words = module, recipe, words
        self.num_samples = num_samples
        self.device = next(module.parameters()).device
        self._forward = torch.compile(module) if recipe.compile else module

    @abstractmethod
    def held_out(self) -> Iterator[tuple[tuple[Tensor, ...], np.ndarray]]:
        """Yield batches of what is held out, as ``compute_loss`` takes them.

        Yields:
            The inputs, the last of which are the words; and which cluster each word belongs to.
        """

    @abstractmethod
    def shown(self) -> list[Shown]:
        """Return some of what is held out, and what the model makes of it."""

    def compute_loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of the words that a micro-batch is to tell, shape ()."""
        *inputs, told = batch.inputs
        with stepping(self.recipe, self.device):
            logits = self._forward(*inputs)
        return word_loss(logits, told)

    def validate(self, stop_requested: Callable[[], bool]) -> Check:
        """Return what share of the trivial loss is gone, on what is held out.

        Raises:
            StopRequested: If someone asked to stop.
        """
        judged = self._judge(stop_requested)
        loss, error = mean_and_error(judged.losses, judged.clusters)
        trivial = self._trivial_loss(judged.told)
        beside = {"perplexity": _perplexity(loss)}
        return Check(1 - loss / trivial, loss, error / trivial, GAIN, beside=beside)

    def conclude(self) -> Learned:
        """Return the loss beside the trivial one, the perplexity, and texts."""
        judged = self._judge(never)
        loss, error = mean_and_error(judged.losses, judged.clusters)
        figure = normal_interval(loss, error, lowest=0.0)
        bounds = {"value": figure.value, "low": figure.low, "high": figure.high}
        right = normal_interval(
            *mean_and_error(judged.is_right.astype(np.float64), judged.clusters),
            lowest=0.0,
            highest=1.0,
        )
        trivial = self._trivial_loss(judged.told)
        figures = {
            "perplexity": {name: _perplexity(value) for name, value in bounds.items()},
            "words told right": {"value": right.value, "low": right.low, "high": right.high},
        }
        findings = self._findings(1 - loss / trivial)
        return Learned(bounds, {UNIGRAM: trivial}, figures, self.shown(), findings)

    def about(self) -> dict[str, object]:
        """Return what was read."""
        found: dict[str, object] = {
            "tokens": len(self.words.tokens.ids),
            "vocabulary_size": self.words.tokenizer.vocab_size,
        }
        return found if self.words.share == 1 else {**found, "share": round(self.words.share, 4)}

    def _judge(self, stop_requested: Callable[[], bool]) -> HeldOutPass:
        found = []
        with evaluating(self.module), stepping(unstepped(self.recipe), self.device):
            for (*inputs, told), clusters in self.held_out():
                if stop_requested():
                    raise StopRequested
                logits = self.module(*inputs)
                losses = word_losses(logits, told).cpu().numpy().astype(np.float64)
                is_right = (logits.argmax(-1) == told).cpu().numpy()
                found.append((losses, is_right, told.cpu().numpy(), clusters))
        return HeldOutPass(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _trivial_loss(self, told: np.ndarray) -> float:
        """Return the mean loss of words by their frequencies in what is learned from."""
        return float(-self._log_shares[told].mean())

    @cached_property
    def _log_shares(self) -> np.ndarray:
        """Logarithm of the share of each token; each is counted once more than it occurs."""
        counts = self.counts().astype(np.float64) + 1
        shares: np.ndarray = np.log(counts / counts.sum())
        return shares

    def counts(self) -> np.ndarray:
        """Return how often each token is to be told in what is learned from."""
        return self.words.tokens.count(self.words.tokenizer.vocab_size)

    def _findings(self, gain: float) -> tuple[Finding, ...]:
        """Return where little was learned."""
        if gain >= LEAST_GAIN:
            return ()
        sentence = (
            f"Of the loss of the tokens' frequencies {max(gain, 0):.0%} is gone; expected more "
            f"than {LEAST_GAIN:.0%}. Little was learned of these texts: give it more time, more "
            f"texts, or a start that knows the language."
        )
        return (Finding("pretraining", "warning", (), sentence),)


def mean_and_error(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Return the mean of values and its standard error, where some belong together.

    Args:
        values: float64, shape (M,).
        clusters: int64, shape (M,), the same for those that do.

    Returns:
        Where all belong together, the error is that of values which do not; of one alone it is as
        large as the value.
    """
    mean = float(values.mean())
    if len(values) < 2:
        return mean, abs(mean)
    _, places = np.unique(clusters, return_inverse=True)
    num = int(places.max()) + 1
    if num < 2:
        places, num = np.arange(len(values)), len(values)
    sums = np.bincount(places, values - mean)
    error = math.sqrt(num / (num - 1) * float((sums**2).sum())) / len(values)
    return mean, error


def clusters_of(documents: np.ndarray) -> np.ndarray:
    """Return which windows belong together: those of a document, or each alone where few are.

    Args:
        documents: int64, shape (N,), of the windows.
    """
    if len(np.unique(documents)) < _FEW_DOCUMENTS:
        return np.arange(len(documents))
    return documents


def settle_checked(pass_seconds: Callable[[], tuple[float, int]], means: Givens) -> int:
    """Settle how many tokens a check reads: as many as its share of the time allows.

    Args:
        pass_seconds: Takes a pass, and says how long it took and how many tokens it read.
        means: Budget and decisions.
    """

    def decide() -> Decided[int]:
        if means.budget.limit_seconds is None:
            return Decided(MOST_TOKENS)
        best = math.inf
        for _ in range(2):  # the first warms up
            seconds, num = pass_seconds()
            best = min(best, seconds / max(1, num))
        fitting = CHECK_SHARE * max(0.0, means.budget.left) / best
        return Decided(int(np.clip(fitting, FEWEST_TOKENS, MOST_TOKENS)))

    return means.decisions.settle("checked tokens", decide)


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.monotonic()
    run()
    return time.monotonic() - began


def _perplexity(loss: float) -> float:
    """Return the exponential of a loss, of one beyond all measure the largest that is written."""
    return math.exp(min(loss, 700.0))
