"""Samples as a network takes them: what every kind of prepared input says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from headstart.types.data import BadSample
    from headstart.types.findings import Finding
    from headstart.types.ragged import Gathered, Rows


@runtime_checkable
class Inputs(Protocol):
    """The samples of one split as a network takes them: pixels, token ids, terms, or cells.

    Attributes:
        targets: As in ``Split``.
        ids: int64, shape (N,).
        names: What a person calls each sample.
        bad_samples: Samples left out while preparing, each with its reason.
        findings: What a user should know of the preparation.
        lengths: int64, shape (N,), where samples differ in length and batches are padded; None
            where all have one shape.
        row_lengths: int64, shape (N,), where something is told of other elements than those of
            ``lengths``: of the words of a text; None where not.
        batch_order: int64, shape (N,), by what samples are alike enough to share a batch; None
            where any may.
        told: What a network learns to tell of each sample, where the inputs hold it as it needs it:
            of texts the ids of their tokens; None where a task says what is learned of a target
            (``Task.standard``).
        gathered: Makes a row a sample of what is told of the windows that it is read in; None where
            a sample is read at once.
    """

    @property
    def targets(self) -> Rows:
        """As in ``Split``."""
        ...

    @property
    def ids(self) -> np.ndarray:
        """int64, shape (N,)."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """What a person calls each sample."""
        ...

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Samples left out, each with its reason."""
        ...

    @property
    def findings(self) -> Sequence[Finding]:
        """What a user should know of the preparation."""
        ...

    @property
    def lengths(self) -> np.ndarray | None:
        """int64, shape (N,), or None where all have one shape."""
        ...

    @property
    def row_lengths(self) -> np.ndarray | None:
        """int64, shape (N,), or None where nothing is told of other elements."""
        ...

    @property
    def batch_order(self) -> np.ndarray | None:
        """int64, shape (N,), by what samples share a batch, or None where any may."""
        ...

    @property
    def window_length(self) -> int | None:
        """How much of a sample is read at once, where longer ones are read in windows, or None."""
        ...

    @property
    def told(self) -> Rows | None:
        """N rows of what a network learns to tell, or None where the task says it."""
        ...

    @property
    def gathered(self) -> Gathered | None:
        """Makes a row a sample of what is told of its windows, or None where it has none."""
        ...

    def __len__(self) -> int: ...

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch as the arguments of a model's forward, each of B rows.

        Images: (uint8 (B, S, S, C),). Tokens: (ids int64 (B, T), mask int64 (B, T)), padded to the
        longest of the batch. Terms: (float32 (B, D),). Cells: (numbers float32 (B, F), codes int64
        (B, G)).

        Args:
            places: int64, shape (B,), positions of the wanted samples.
        """
        ...


def elements_of(inputs: Inputs) -> np.ndarray | None:
    """Return of how many elements of each sample something is told, int64, shape (N,), or None.

    As many as a sample is long, but where inputs say otherwise: a text of fewer words than tokens.
    """
    return inputs.lengths if inputs.row_lengths is None else inputs.row_lengths


class PlainInputs:
    """What inputs are unless they say otherwise: of one shape, told as their task says.

    What differs in length shares batches by it.
    """

    @property
    def lengths(self) -> np.ndarray | None:
        """None: all samples have one shape."""
        return None

    @property
    def row_lengths(self) -> np.ndarray | None:
        """None: nothing is told of other elements."""
        return None

    @property
    def batch_order(self) -> np.ndarray | None:
        """How long they are."""
        return self.lengths

    @property
    def window_length(self) -> int | None:
        """None: each sample is read at once."""
        return None

    @property
    def told(self) -> Rows | None:
        """None: the task says what is learned of a target."""
        return None

    @property
    def gathered(self) -> Gathered | None:
        """None: samples are read at once."""
        return None
