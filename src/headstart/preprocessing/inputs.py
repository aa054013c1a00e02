"""The inputs of texts and tables: tokens, terms and cells, each with one way to give a batch.

Pixels are the fourth kind and live beside the decode store. All four answer to ``types.Inputs``.
Tokens are kept in one flat array with offsets: a Python list of small arrays would take several
times the memory, and padding everything to the longest text far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.preprocessing.unread import Unread
from headstart.types import BadSample, Finding, PlainInputs, Rows


@dataclass(frozen=True)
class Tokens(PlainInputs):
    """Token ids of texts, cut at the length an encoder takes.

    Attributes:
        flat: int32, all ids one after the other.
        offsets: int64, shape (N + 1,), where each text begins and ends in ``flat``.
        pad_id: Id that fills short texts up.
        max_length: Tokens a text keeps at most.
        targets: As in ``Split.targets``; empty for predicting.
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Texts left out, each with its reason.
        num_truncated: Texts that were cut.
        num_tokens_cut: Tokens these lost, all together.
        unread: What the tokenizer does not know of them.
    """

    flat: np.ndarray
    offsets: np.ndarray
    pad_id: int
    max_length: int
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    num_truncated: int = 0
    num_tokens_cut: int = 0
    unread: Unread = field(default_factory=Unread)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text after cutting, int64, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def findings(self) -> list[Finding]:
        """Say what was cut, and what the tokenizer does not know where that is much."""
        return [*self._cut(), *self.unread.findings()]

    def _cut(self) -> list[Finding]:
        if not self.num_truncated:
            return []
        share = self.num_tokens_cut / (self.num_tokens_cut + len(self.flat))
        were = "text was" if self.num_truncated == 1 else "texts were"
        sentence = (
            f"{self.num_truncated:,} of {len(self):,} {were} cut at {self.max_length:,} tokens; "
            f"{share * 100:.1f} % of all tokens were lost."
        )
        return [Finding("truncated", "warning", (), sentence)]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids and mask of one batch, int64 (B, T), padded to the longest of it.

        Args:
            places: int64, shape (B,), positions of the wanted texts.
        """
        starts = self.offsets[:-1][places]
        lengths = self.offsets[1:][places] - starts
        steps = np.arange(int(lengths.max(initial=0)))
        mask = steps[None, :] < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, np.int64)
        ids[mask] = self.flat[(starts[:, None] + steps[None, :])[mask]]
        return ids, mask.astype(np.int64)


@dataclass(frozen=True)
class Terms(PlainInputs):
    """Term weights of texts.

    Attributes:
        matrix: SciPy CSR, float32, shape (N, D).
        targets: As in ``Split.targets``; empty for predicting.
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Texts left out, each with its reason.
        findings: What a user should know of the preparation.
    """

    matrix: Any
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch, dense float32 (B, D).

        Args:
            places: int64, shape (B,), positions of the wanted texts.
        """
        return (np.asarray(self.matrix[places].toarray(), np.float32),)


@dataclass(frozen=True)
class Cells(PlainInputs):
    """The rows of a table as numbers and codes.

    Attributes:
        numbers: float32, shape (N, F).
        codes: int64, shape (N, G).
        targets: As in ``Split.targets``; empty for predicting.
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Rows left out, each with its reason.
        findings: What a user should know of the preparation.
        missing: Which cells of the C columns are missing, bool, shape (N, C), whatever stands in
            for them; None where nobody has looked.
    """

    numbers: np.ndarray
    codes: np.ndarray
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()
    missing: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch: numbers float32 (B, F) and codes int64 (B, G).

        Args:
            places: int64, shape (B,), positions of the wanted rows.
        """
        return self.numbers[places], self.codes[places]
