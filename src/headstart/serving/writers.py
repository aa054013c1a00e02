"""A bundle that writes, as a server answers with it: texts and conversations in, texts out.

How it is written may be said with a request, within limits; what is said is what ``predict`` takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from headstart.bundles.writing import Arrays, WritingBundle
from headstart.decoding.writing_options import Writing
from headstart.errors import DataError, StartError
from headstart.serving.batching import late
from headstart.serving.bodies import Named, RawInput
from headstart.serving.forms import Form, one_a_row
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import Refusal, bad_request
from headstart.serving.room import Asked
from headstart.serving.writer_forms import form_of_writer
from headstart.serving.writing import Ids, WritingQueue
from headstart.types import Inputs, Prediction
from headstart.types.texts import Telling

SAID: dict[str, Callable[[str], float]] = {
    "max_tokens": int,
    "num_beams": int,
    "temperature": float,
    "top_p": float,
    "seed": int,
}


@dataclass(frozen=True)
class Texts:
    """What is written for a request.

    Attributes:
        predictions: Of each sample, as ``predict`` gives them.
        notes: What to know of the samples.
    """

    predictions: Sequence[Prediction]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """Samples of a request, read.

    Attributes:
        inputs: As the model takes them.
        arrays: Ids and mask, by name.
    """

    inputs: Inputs
    arrays: Arrays


class ServedWriter:
    """A bundle that a server writes with.

    Args:
        bundle: Opened and verified.
        limits: Of the server.
        measures: What is counted.
        threads: In which samples are read.
    """

    def __init__(
        self,
        bundle: WritingBundle,
        limits: ServerLimits,
        measures: ServerMeasures,
        threads: ThreadPoolExecutor,
    ) -> None:
        self.bundle, self.name, self.version = bundle, bundle.record.name, bundle.version
        self._limits, self._threads = limits, threads
        self.batcher = WritingQueue(bundle, limits, measures)
        self.form: Form = form_of_writer(bundle)
        self.raw: list[RawInput] = self.form.inputs(bundle.preprocess)

    @property
    def outputs(self) -> list[tuple[str, str, list[int]]]:
        """Name, datatype and shape of what is told."""
        return [("text", "BYTES", [-1])]

    def tensors_of(self, answer: Texts) -> dict[str, np.ndarray]:
        """Return an answer as tensors of the protocol, by name."""
        return {"text": np.array([one.text for one in answer.predictions], object)}

    def telling(self, said: Mapping[str, object]) -> Telling:
        """Return how a request wants to be written.

        Args:
            said: Of a query or of the protocol's parameters, by name; others are left alone.

        Raises:
            Refusal: If something is out of range, or the model cannot do it.
        """
        found: dict[str, Any] = {}
        for name, kind in SAID.items():
            if name not in said:
                continue
            try:
                found[name] = kind(str(said[name]))
            except ValueError:
                raise bad_request(f"{name} is no number.", "writing") from None
        writing = Writing(**found)
        problems = writing.problems()
        if (most := writing.max_tokens) is not None and most > self._limits.new_tokens:
            problems.append(f"max_tokens is {most}, expected 1 to {self._limits.new_tokens:,}")
        if writing.temperature is not None and self.bundle.rules.has_last_end:
            problems.append("temperature draws tokens, and the answers of this model are searched")
        if not 0 <= writing.seed < 2**63:
            problems.append("seed is no whole number from 0 on")
        if problems:
            raise bad_request(f"{'; '.join(problems)}.", "writing")
        own = self.bundle.telling
        bounded = replace(own, max_tokens=min(own.max_tokens, self._limits.new_tokens))
        return writing.applied(bounded)

    async def prepare(self, read: Callable[[], Named], asked: Asked) -> Prepared:
        """Read samples, in a thread.

        Args:
            read: Gives them.
            asked: How to answer.

        Raises:
            Refusal: If they cannot be read, or the time runs out.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(asked.deadline):
                return await loop.run_in_executor(self._threads, self._prepare, read)
        except TimeoutError:
            raise late() from None

    def _prepare(self, read: Callable[[], Named]) -> Prepared:
        samples, names = read()
        try:
            inputs = self.bundle.read(samples, names)
        except (DataError, StartError) as error:  # of a template that refuses a conversation
            raise bad_request(str(error), "sample") from None
        return Prepared(inputs, self.bundle.preprocess.batch(inputs, np.arange(len(inputs))))

    async def write(
        self,
        prepared: Prepared,
        how: Telling,
        asked: Asked,
        hears: Callable[[Ids], None] | None = None,
    ) -> Texts:
        """Return what is written of samples that were read.

        Args:
            prepared: These.
            how: It is written.
            asked: How to answer.
            hears: Is told the ids of the first as they grow.

        Raises:
            Refusal: If the time runs out.
            ClientGone: If nobody waits for it any more.
        """
        ids = await self.batcher.write(prepared.arrays, how, asked, hears)
        inputs = prepared.inputs
        told = self.bundle.predictions(inputs.names, [self.bundle.text_of(one) for one in ids])
        return Texts(told, list(dict.fromkeys(one.sentence for one in inputs.findings)))

    async def answer_tensors(
        self,
        tensors: Mapping[str, np.ndarray],
        size: int,
        said: Mapping[str, object],
        asked: Asked,
    ) -> Texts:
        """Return the answer to the inputs of a request in the protocol.

        Args:
            tensors: By name: samples as they are.
            size: Bytes that they hold.
            said: The request's parameters.
            asked: How to answer.

        Raises:
            Refusal: If these are none of its inputs, there is no room, or the time runs out.
        """
        rows = len(next(iter(tensors.values())))
        if rows > self._limits.rows:
            raise Refusal(
                413, f"There are {rows:,} rows; expected at most {self._limits.rows:,}.", "rows"
            )
        wanted = [one.name for one in self.raw]
        if [*tensors] != wanted:
            raise bad_request(
                f"The inputs are {', '.join(sorted(tensors))[:200]}; expected {wanted[0]}.",
                "inputs",
            )
        how = self.telling(said)
        given = one_a_row(tensors, self.raw)
        bundle: Any = self.bundle  # of which its form asks nothing
        read = partial(self.form.from_tensors, given, bundle, self._limits)
        with self.batcher.admitted(rows, size):
            prepared = await self.prepare(read, asked)
            return await self.write(prepared, how, asked)
