"""Batches of texts that a network is to tell words of: hidden ones, or the next of each.

Samples are windows of documents, or rows in which several windows stand one behind the other. What
is hidden is a function of (seed, step, sample); how many words a sample hides at a step are its
weight in the loss of that step (``Feed.weights``), so that the loss is the mean over all words that
the step hides, in any micro-batch and any number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.preprocessing.corpus import TokenCorpus
from headstart.preprocessing.packing import Windows
from headstart.tensors import to_device
from headstart.training.batches.feed import Feed, Mixed, Piece
from headstart.training.batches.masking import Masking, hidden, places_of, replaced
from headstart.training.batches.order import WHOLE, Share
from headstart.training.options.recipe import Recipe
from headstart.types import BadSample, Finding, PlainInputs

HELD_OUT = -1  # the step at which what is held out is hidden, always alike
_DOCUMENT = 1 << 32  # ids: the document's number, and the place in it


@dataclass(frozen=True)
class WindowInputs(PlainInputs):
    """Windows of documents as an encoder reads them, between its special tokens.

    Attributes:
        corpus: Where the tokens lie.
        windows: One a sample.
        prefix: Ids before each.
        suffix: Ids behind each.
        pad_id: Fills up the short ones of a batch.
    """

    corpus: TokenCorpus
    windows: Windows
    prefix: Sequence[int]
    suffix: Sequence[int]
    pad_id: int
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def targets(self) -> np.ndarray:
        """Nothing is to be told of a sample but its own words."""
        return np.zeros(len(self), np.int64)

    @cached_property
    def ids(self) -> np.ndarray:
        """int64, shape (N,): the document, and the place in it."""
        found: np.ndarray = self.windows.documents * _DOCUMENT + self.windows.begins
        return found

    @property
    def names(self) -> list[str]:
        """What a person calls each sample."""
        each = zip(self.windows.documents.tolist(), self.windows.begins.tolist(), strict=True)
        return [f"document {document + 1}, token {begin + 1}" for document, begin in each]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sample, special ones included."""
        return self.windows.lengths + len(self.prefix) + len(self.suffix)

    def bodies(self, places: np.ndarray) -> list[slice]:
        """Return where the tokens of samples lie in the corpus."""
        some = self.windows.some(places)
        first = self.corpus.offsets[some.documents]
        begins, ends = (first + some.begins).tolist(), (first + some.ends).tolist()
        return [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]

    def places_in_corpus(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the tokens of samples lie in the corpus, and how many each has, int64."""
        some = self.windows.some(places)
        first, lengths = self.corpus.offsets[some.documents] + some.begins, some.lengths
        return np.repeat(first, lengths) + places_of(lengths), lengths

    def framed(self, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask of samples, int64, shape (B, T), padded to the longest.

        Args:
            tokens: int64, their tokens, one sample after the other.
            lengths: int64, shape (B,), how many each has.
        """
        first, wide = len(self.prefix), lengths + len(self.prefix) + len(self.suffix)
        num, longest = len(lengths), int(wide.max())
        ids = np.full((num, longest), self.pad_id, np.int64)
        ids[:, :first] = self.prefix
        ids[np.repeat(np.arange(num), lengths), first + places_of(lengths)] = tokens
        for place, token in enumerate(self.suffix):
            ids[np.arange(num), first + lengths + place] = token
        return ids, (np.arange(longest) < wide[:, None]).astype(np.int64)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids and mask of some samples, nothing hidden."""
        where, lengths = self.places_in_corpus(places)
        return self.framed(np.asarray(self.corpus.ids[where], np.int64), lengths)


@dataclass(frozen=True)
class Hider:
    """Hides words of samples: what a step sees of them, and what is to be told.

    Attributes:
        inputs: The samples.
        masking: How.
        seed: The run's seed.
        whole_words: Whether words are hidden as a whole.
    """

    inputs: WindowInputs
    masking: Masking
    seed: int
    whole_words: bool

    def count(self, step: int, samples: np.ndarray) -> np.ndarray:
        """Return how many tokens each of some samples hides at a step, int64, shape (B,)."""
        where, lengths = self.inputs.places_in_corpus(samples)
        is_hidden = self._hidden(step, samples, where, lengths)
        rows = np.repeat(np.arange(len(samples)), lengths)
        return np.bincount(rows[is_hidden], minlength=len(samples))

    def hide(self, step: int, samples: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what a network is given of some samples, and what it is to tell.

        Args:
            step: The step, or ``HELD_OUT``.
            samples: int64, shape (B,), their positions.

        Returns:
            Ids and mask, int64 (B, T); where the hidden tokens stand in these, flattened, and what
            they are, int64 (M,) each.
        """
        inputs = self.inputs
        where, lengths = inputs.places_in_corpus(samples)
        tokens = np.asarray(inputs.corpus.ids[where], np.int64)
        is_hidden = self._hidden(step, samples, where, lengths)
        rows = np.repeat(np.arange(len(samples)), lengths)[is_hidden]
        places, told = places_of(lengths)[is_hidden], tokens[is_hidden]
        sample_ids = inputs.ids[samples][rows]
        tokens[is_hidden] = replaced(self.masking, self.seed, step, sample_ids, places, told)
        ids, mask = inputs.framed(tokens, lengths)
        return ids, mask, rows * ids.shape[1] + len(inputs.prefix) + places, told

    def _hidden(
        self, step: int, samples: np.ndarray, where: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """Return which tokens are hidden, bool, samples one after the other."""
        begins = None
        if self.whole_words:
            begins = np.asarray(self.inputs.corpus.begins[where], bool)
            begins[(np.cumsum(lengths) - lengths)[lengths > 0]] = True  # one may begin in a word
        return hidden(self.masking, self.seed, step, self.inputs.ids[samples], lengths, begins)


class HiddenWordFeed(Feed):
    """Batches of windows with hidden words; ``Batch.inputs`` is what ``Hider.hide`` returns.

    Args:
        hider: The samples, and how their words are hidden.
        recipe: Batch sizes, seed, workers.
        device: Where batches are wanted.
        share: Which part of every step is wanted.
    """

    def __init__(
        self, hider: Hider, recipe: Recipe, device: torch.device, share: Share = WHOLE
    ) -> None:
        inputs = hider.inputs
        super().__init__(inputs, inputs.targets, recipe, device, share, is_resident=False)
        self._hider = hider

    def weights(self, step: int, places: np.ndarray) -> np.ndarray:
        """Return how many tokens each sample hides at a step."""
        return self._hider.count(step, places)

    def _made(self, piece: Piece) -> Mixed:
        return Mixed(on_device(self._hider.hide(piece.step, piece.places), self._device))


@dataclass(frozen=True)
class PackedInputs(PlainInputs):
    """Rows of windows as a decoder reads them: each predicts its next tokens, and no other's.

    A document is read as the token that ends one, its own, and that token again; a window holds
    some of these, and is told the tokens that stand one place further on.

    Attributes:
        corpus: Where the tokens lie.
        windows: Of what is told: a document of n tokens has n + 1, the end included.
        order: int64, shape (W,), windows row after row.
        bounds: int64, shape (N + 1,), where each row begins in ``order``.
        end_id: The token that ends a document.
    """

    corpus: TokenCorpus
    windows: Windows
    order: np.ndarray
    bounds: np.ndarray
    end_id: int
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def targets(self) -> np.ndarray:
        """Nothing is to be told of a sample but its own words."""
        return np.zeros(len(self), np.int64)

    @cached_property
    def ids(self) -> np.ndarray:
        """int64, shape (N,): the first window of each row, by its document and place."""
        first = self.windows.some(self.order[self.bounds[:-1]])
        found: np.ndarray = first.documents * _DOCUMENT + first.begins
        return found

    @property
    def names(self) -> list[str]:
        """What a person calls each sample."""
        return [f"row {row + 1}" for row in range(len(self))]

    def num_told(self, places: np.ndarray) -> np.ndarray:
        """Return how many tokens each of some rows is told, int64."""
        found: np.ndarray = self._row_sizes[places]
        return found

    @cached_property
    def _row_sizes(self) -> np.ndarray:
        return np.add.reduceat(self.windows.lengths[self.order], self.bounds[:-1])

    def sequence(self, window: int) -> np.ndarray:
        """Return the tokens that a window sees and the last that it is told, int64, (T + 1,)."""
        document = int(self.windows.documents[window])
        begin, end = int(self.windows.begins[window]), int(self.windows.ends[window])
        first, last = self.corpus.offsets[document : document + 2].tolist()
        # place p of a document's whole sequence is its token p - 1; the first and last are ends
        body = self.corpus.ids[first + max(begin - 1, 0) : min(first + end, last)].astype(np.int64)
        before = [self.end_id] if begin == 0 else []
        behind = [self.end_id] if first + end > last else []
        return np.concatenate([before, body, behind]).astype(np.int64)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what a network is given of some rows, and what it is to tell.

        Args:
            places: int64, shape (B,), the rows.

        Returns:
            Ids, positions and segments, int64 (B, T): tokens of one segment see one another, and
            positions begin with it; where tokens that are told something stand in these, flattened,
            and what they are told, int64 (M,) each.
        """
        rows = [self.order[self.bounds[p] : self.bounds[p + 1]].tolist() for p in places.tolist()]
        longest = int(self.num_told(places).max())
        ids = np.full((len(rows), longest), self.end_id, np.int64)
        positions = np.zeros((len(rows), longest), np.int64)
        # what fills a row up is a segment of its own: no place sees nothing at all
        segments = np.full((len(rows), longest), -1, np.int64)
        where, told = [], []
        for row, windows in enumerate(rows):
            at = 0
            for number, window in enumerate(windows):
                tokens = self.sequence(window)
                some = slice(at, at + len(tokens) - 1)
                ids[row, some], positions[row, some] = tokens[:-1], np.arange(len(tokens) - 1)
                segments[row, some] = number
                where.append(row * longest + np.arange(some.start, some.stop))
                told.append(tokens[1:])
                at = some.stop
        return ids, positions, segments, np.concatenate(where), np.concatenate(told)


class NextWordFeed(Feed):
    """Batches of rows of windows; ``Batch.inputs`` is what ``PackedInputs.arrays`` returns.

    Args:
        inputs: The rows.
        recipe: Batch sizes, seed, workers.
        device: Where batches are wanted.
        share: Which part of every step is wanted.
    """

    def __init__(
        self, inputs: PackedInputs, recipe: Recipe, device: torch.device, share: Share = WHOLE
    ) -> None:
        super().__init__(inputs, inputs.targets, recipe, device, share, is_resident=False)
        self._rows = inputs

    def weights(self, step: int, places: np.ndarray) -> np.ndarray:
        """Return how many tokens each row is told."""
        del step
        return self._rows.num_told(places)

    def _made(self, piece: Piece) -> Mixed:
        return Mixed(on_device(self._rows.arrays(piece.places), self._device))


def on_device(arrays: Sequence[np.ndarray], device: torch.device) -> tuple[Tensor, ...]:
    """Return arrays as tensors on a device."""
    return tuple(to_device(torch.from_numpy(array), device) for array in arrays)
