"""Preprocessing as one object: how samples become what a network takes.

An encoder has one; it travels in the run folder as JSON and files. Training, ``evaluate``,
``predict`` and whatever serves a model read samples through it, so that a sample looks the same to
the model wherever it comes from. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from headstart.errors import DataError
from headstart.types import Dataset, Inputs, Modality, Rows, Samples, SplitName, are_alike

if TYPE_CHECKING:
    from headstart.preprocessing.for_tables import TablePreprocess

AT_ONCE = 128  # samples that are prepared together, so that a folder of photos need not fit memory


@dataclass(frozen=True)
class NamedInput:
    """One array that a network takes.

    Attributes:
        name: Its name, in an export and in a request to a server too.
        dtype: NumPy's name of the type.
        shape: Of one sample; a length that differs from sample to sample is a word.
        below: Whole numbers of it that name rows of a table are 0 or more and less than this: one
            number for all, or one a place; empty where any number may stand.
        longest: The greatest length, where it differs.
        fill: What fills a sample up to the length of others.
        fills_before: Whether that stands before it, as before what a decoder goes on with.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    below: tuple[int, ...] = ()
    longest: int | None = None
    fill: int = 0
    fills_before: bool = False


class Preprocess:
    """How samples become what a network takes.

    Attributes:
        kind: Its name in ``kinds.KINDS``, and in JSON.
        modality: What it reads.
        is_instant: Whether preparing a sample takes next to nothing.
        is_pair: Whether a sample is two texts.
        writes: Whether what it is for writes texts.
        matches: Whether what it is for matches images and texts.
    """

    kind: ClassVar[str]
    modality: ClassVar[Modality]
    is_instant: ClassVar[bool] = False
    is_pair: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    matches: ClassVar[bool] = False

    @property
    def main(self) -> Preprocess:
        """What reads the text or image of a sample, where columns stand beside it; else itself."""
        return self

    @property
    def rows(self) -> TablePreprocess | None:
        """What reads the columns of a sample, where it has some; else None."""
        return None

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """What ``Inputs.arrays`` gives, in this order."""
        raise NotImplementedError

    @property
    def exported_inputs(self) -> tuple[NamedInput, ...]:
        """What an exported network takes; ``inputs``, but where a sample becomes several rows."""
        return self.inputs

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return some samples as an exported network takes them, by name.

        What stands beside ``exported_inputs`` is not for the network, but for ``told``.

        Args:
            inputs: As this has read them.
            places: int64, shape (B,).
        """
        return {
            one.name: np.ascontiguousarray(array)
            for one, array in zip(self.inputs, inputs.arrays(places), strict=True)
        }

    def told(self, arrays: Mapping[str, np.ndarray], outputs: np.ndarray) -> Rows:
        """Return what an exported network gives, a row a sample.

        Args:
            arrays: As ``batch`` made them.
            outputs: For its M rows, shape (M, K), or (M, T, K) of each token.
        """
        del arrays
        return outputs

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the training data that a sample is read from; empty where there were none."""
        raise NotImplementedError

    @property
    def size(self) -> int | None:
        """Side of the network's input in pixels; None where samples are no images."""
        return None

    def prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None = None
    ) -> Inputs:
        """Return samples of a split, with their targets.

        Args:
            dataset: The data.
            split_name: Which split.
            indices: Positions in the split, shape (N,), or None for all.

        Raises:
            DataError: The data is of another kind or of other columns, or too many samples cannot
                be used.
        """
        if not are_alike(dataset.schema, self):
            found, wanted = dataset.schema.modality, self.modality
            raise DataError(
                f"{dataset.name} holds {found} samples, but the model reads {wanted} samples. Give "
                f"{wanted} data, or a start for {found} data."
            )
        return self._prepare(dataset, split_name, indices)

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        raise NotImplementedError

    def listed(self, values: Any) -> Any:
        """Return samples that a user gives, in any form that people have them, one by one.

        What is listed already stays as it is.

        Raises:
            DataError: They are of another kind, or a column is missing.
        """
        raise NotImplementedError

    def names_of(self, listed: Any) -> list[str]:
        """Return what a person calls each listed sample."""
        raise NotImplementedError

    def read(self, values: Any, names: Sequence[str] | None = None) -> Inputs:
        """Return samples that a user gives, without targets.

        Args:
            values: As ``listed`` takes them.
            names: What to call each of them, N; ``names_of`` when not given.

        Returns:
            The inputs; what cannot be used is listed in ``bad_samples``.

        Raises:
            DataError: They are of another kind, a column is missing, a cell does not fit, or names
                are not as many as samples.
        """
        listed = self.listed(values)
        called = self.names_of(listed) if names is None else list(names)
        if len(called) != len(listed):
            raise DataError(
                f"There are {len(called):,} names for {len(listed):,} samples; expected one for "
                "each. Give as many names, or none."
            )
        return self._read(listed, called)

    def _read(self, listed: Any, names: list[str]) -> Inputs:
        raise NotImplementedError

    def incoming(self, values: Any, names: Sequence[str] | None = None) -> Iterator[Inputs]:
        """Yield what ``read`` returns, so many samples at a time as fit into memory.

        Args:
            values: As ``read`` takes them.
            names: As ``read`` takes them.

        Raises:
            DataError: As ``read`` does.
        """
        listed = self.listed(values)
        called = self.names_of(listed) if names is None else list(names)
        if len(called) != len(listed):
            self.read(listed, called)
        for start in range(0, len(listed), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            yield self._read(listed[part], called[part])

    def noise(self, num: int, draw: np.random.Generator) -> Inputs | None:
        """Return inputs that stand for samples where a pass is timed; None where real ones should.

        Args:
            num: How many.
            draw: Where they come from.
        """
        del num, draw
        return None

    def stand_ins(self, num: int, draw: np.random.Generator) -> Inputs | None:
        """Return inputs to compare two computations of a network on where no sample is at hand.

        None where texts will do, which anybody can write.

        Args:
            num: How many.
            draw: Where they come from.
        """
        return self.noise(num, draw)

    def seconds_per_sample(self, samples: Samples) -> float:
        """Measure what reading one sample takes, in seconds; 0 where that is next to nothing."""
        del samples
        return 0.0

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict, but for what is in ``files``."""
        raise NotImplementedError

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write.

        Raises:
            StartError: If keys, types or lengths differ.
        """
        raise NotImplementedError

    @classmethod
    def from_json(cls, record: Mapping[str, Any], folder: Path | None, origin: str) -> Preprocess:
        """Return what ``to_json`` and ``files`` wrote.

        Args:
            record: A checked record.
            folder: Where the files lie; None where there are none.
            origin: Names the start in a refusal.

        Raises:
            StartError: If a file is missing or damaged.
        """
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """Return the files that it needs beside the JSON, by name."""
        return {}

    def digest(self) -> str:
        """Return a digest of all that decides what a sample becomes."""
        state = blake2b(json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=16)
        for name, content in sorted(self.files().items()):
            state.update(name.encode())
            state.update(content)
        return state.hexdigest()
