"""Some of the samples of prepared inputs, as inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.types import BadSample, Finding, Gathered, Inputs, Rows


@dataclass(frozen=True)
class Part:
    """Some of the samples of prepared inputs, without copying them."""

    whole: Inputs
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @property
    def targets(self) -> Rows:
        """Targets of the part."""
        return self.whole.targets[self.places]

    @property
    def ids(self) -> np.ndarray:
        """Ids of the part."""
        found: np.ndarray = self.whole.ids[self.places]
        return found

    @property
    def names(self) -> list[str]:
        """Names of the part."""
        return [self.whole.names[int(place)] for place in self.places]

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Nothing: the whole names them."""
        return ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Nothing: the whole says them."""
        return ()

    @property
    def lengths(self) -> np.ndarray | None:
        """Lengths of the part."""
        lengths = self.whole.lengths
        return None if lengths is None else lengths[self.places]

    @property
    def row_lengths(self) -> np.ndarray | None:
        """Elements that are told of in each sample of the part, where these are others."""
        lengths = self.whole.row_lengths
        return None if lengths is None else lengths[self.places]

    @property
    def batch_order(self) -> np.ndarray | None:
        """By what samples of the part share a batch."""
        order = self.whole.batch_order
        return None if order is None else order[self.places]

    @property
    def window_length(self) -> int | None:
        """How much of a sample is read at once."""
        return self.whole.window_length

    @property
    def told(self) -> Rows | None:
        """What a network learns to tell of the part, where the whole holds it."""
        told = self.whole.told
        return None if told is None else told[self.places]

    @property
    def gathered(self) -> Gathered | None:
        """How what is told of windows becomes a row a sample, where these are read in windows."""
        whole = self.whole.gathered
        if whole is None:
            return None
        return lambda places, outputs: whole(self.places[places], outputs)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch of the part."""
        return self.whole.arrays(self.places[places])
