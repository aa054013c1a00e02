"""The models of a server, by name: opened, swapped for newer ones, and asked.

A request holds the model that it found until it is answered, so that a newer bundle in its place
loses none. Reading a sample and answering happen in threads; waiting, and reading a short text,
which takes less than waking a thread, in the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from headstart.bundles import Bundle
from headstart.bundles.kinds import AnyBundle, Opened, verify_any
from headstart.bundles.pairing import PairBundle
from headstart.bundles.session import check_bounds
from headstart.bundles.writing import WritingBundle
from headstart.cores import usable_cores
from headstart.errors import DataError, OptionError
from headstart.monitoring import Watch
from headstart.preprocessing import NamedInput
from headstart.serving.batching import Arrays, Batcher, late
from headstart.serving.bodies import Named
from headstart.serving.covering import MOST_PARTS, falls
from headstart.serving.forms import Form, form_of, one_a_row
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.pairs import ServedPair
from headstart.serving.refusals import Refusal, bad_request
from headstart.serving.room import Asked
from headstart.serving.tensors import as_declared
from headstart.serving.watching import Watches, WatchOptions
from headstart.serving.writers import ServedWriter
from headstart.tasks import array_of
from headstart.types import Inputs, Prediction, Rows

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What is answered to a request.

    Attributes:
        predictions: Of each sample, as ``predict`` gives them.
        outputs: Probabilities or values, B rows.
        notes: What to know of the samples.
    """

    predictions: Sequence[Prediction]
    outputs: Rows
    notes: Sequence[str] = ()


class ServedModel:
    """A bundle that a server answers with.

    Args:
        bundle: Opened and verified.
        limits: Of the server.
        measures: What is counted.
        threads: In which samples are read.
        watch: What is shown rows and answers; None where nobody watches.
    """

    def __init__(
        self,
        bundle: Bundle,
        limits: ServerLimits,
        measures: ServerMeasures,
        threads: ThreadPoolExecutor,
        watch: Watch | None = None,
    ) -> None:
        self.bundle, self.name, self.version = bundle, bundle.record.name, bundle.version
        self._limits, self._threads, self._watch = limits, threads, watch
        self.batcher = Batcher(bundle, limits, measures, watch)
        self.form: Form = form_of(bundle.schema)
        self.raw = self.form.inputs(bundle.preprocess)
        # inputs differ between several members, and where words stand is in none of them
        is_plain = len(bundle.members) == 1 and not bundle.is_pieced
        self.prepared: list[NamedInput] = bundle.members[0].session.inputs if is_plain else []
        self._raw_names = {one.name for one in self.raw}
        self._prepared_names = {one.name for one in self.prepared}
        self._count_spans = measures.spans_of(self.name, bundle.schema.classes or ("answer",))

    @property
    def outputs(self) -> list[tuple[str, str, list[int]]]:
        """Name, datatype and shape of what stands beside the label: of several targets one each."""
        task = self.bundle.task
        if self.bundle.is_pieced:
            return [("answer" if task.finds_texts else "spans", "BYTES", [-1])]
        if task.parts:
            kinds = ("FP64", "FP32")
            return [(p.label, kinds[p.num_classes > 0], [-1, p.width]) for p in task.parts]
        if task.has_classes:
            return [("probabilities", "FP32", [-1, len(self.bundle.schema.classes)])]
        return [("value", "FP64", [-1, task.num_outputs(self.bundle.schema)])]

    def tensors_of(self, answer: Answer) -> dict[str, np.ndarray]:
        """Return an answer as tensors of the protocol, by name; spans as JSON, a list a text."""
        labels, found = np.array([one.label for one in answer.predictions], object), {}
        if self.bundle.is_pieced:
            told = (one.to_json() for one in answer.predictions)
            texts = [orjson.dumps(one.get("spans", one)).decode() for one in told]
            return {self.outputs[0][0]: np.array(texts, object), "label": labels}
        rows, begin = array_of(answer.outputs).reshape(len(answer.outputs), -1), 0
        for name, datatype, shape in self.outputs:
            dtype = np.float32 if datatype == "FP32" else np.float64
            found[name] = rows[:, begin : begin + shape[-1]].astype(dtype)
            begin += shape[-1]
        return {**found, "label": labels}

    async def answer_samples(
        self, read: Callable[[], Named], rows: int, size: int, asked: Asked
    ) -> Answer:
        """Return the answer to samples as people send them.

        Args:
            read: Gives samples.
            rows: About how many there are.
            size: Bytes that they hold.
            asked: How to answer.

        Raises:
            Refusal: If they cannot be read, there is no room, or the time runs out.
        """
        with self.batcher.admitted(min(rows, self._limits.rows), size):
            if size <= self.form.brief:
                inputs, arrays = self._prepare(read)
            else:
                inputs, arrays = await self._in_thread(self._prepare, read, asked)
            rows = len(next(iter(arrays[0].values())))
            is_pieced = self.bundle.is_pieced
            names = () if is_pieced else inputs[0].names
            found, predictions = await self.batcher.compute(
                arrays, rows, asked.deadline, asked.is_gone, names
            )
        outputs: Rows = found
        if is_pieced:  # only now is known what was told of them
            told = self.bundle.preprocess.told(arrays[0], found)
            outputs = self.bundle.outputs([told]) if self.bundle.task.finds_texts else told
            predictions = self.bundle.predictions_of(inputs[0], outputs)
            self._count_spans(predictions)
            if self._watch is not None and self._watch.is_open:
                self._watch.add(outputs, arrays[0], None)
        notes = list(dict.fromkeys(f.sentence for given in inputs for f in given.findings))
        return Answer(predictions, outputs, notes)

    async def explain(
        self, read: Callable[[], Named], size: int, asked: Asked
    ) -> tuple[Answer, dict[str, Any]]:
        """Return the answer to one sample, and what it looked at.

        Args:
            read: Gives the sample.
            size: Bytes that it holds.
            asked: How to answer.

        Raises:
            Refusal: If there are several, the model tells no classes, or as ``answer_samples``.
        """
        task = self.bundle.task
        if not task.has_classes or task.tells_words:
            several = "several targets" if task.parts else "numbers"
            what = "of words" if self.bundle.is_pieced else several
            raise bad_request(f"Model '{self.name}' tells {what}; explained are classes.")
        with self.batcher.admitted(1 + MOST_PARTS, size):
            names, parts, arrays = await self._in_thread(self._cover, read, asked)
            rows = len(next(iter(arrays[0].values())))
            outputs, _ = await self.batcher.compute(
                arrays, rows, asked.deadline, asked.is_gone, answers=1
            )
        answer = Answer(self.bundle.predictions(names, outputs[:1]), outputs[:1])
        return answer, {**parts, "falls": falls(outputs)}

    async def _in_thread(
        self, work: Callable[[Callable[[], Named]], T], read: Callable[[], Named], asked: Asked
    ) -> T:
        """Return what work makes of samples, in a thread.

        Raises:
            Refusal: If the time runs out.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(asked.deadline):
                return await loop.run_in_executor(self._threads, work, read)
        except TimeoutError:
            raise late() from None

    def _cover(self, read: Callable[[], Named]) -> tuple[list[str], dict[str, Any], list[Arrays]]:
        """Read a sample and cover its parts."""
        samples, names = read()
        if len(names) != 1:
            raise bad_request(f"The request has {len(names)} samples; explained is one at a time.")
        try:
            return names, *self.form.cover(samples, self.bundle)
        except DataError as error:
            raise bad_request(str(error), "sample") from None

    async def answer_tensors(
        self, tensors: Mapping[str, np.ndarray], size: int, asked: Asked
    ) -> Answer:
        """Return the answer to the inputs of a request in the protocol.

        Args:
            tensors: By name: samples as they are, or as the network takes them.
            size: Bytes that they hold.
            asked: How to answer.

        Raises:
            Refusal: If these are none of its inputs, there is no room, or the time runs out.
        """
        rows = len(next(iter(tensors.values())))
        if rows > self._limits.rows:
            raise Refusal(
                413, f"There are {rows:,} rows; expected at most {self._limits.rows:,}.", "rows"
            )
        if tensors.keys() == self._raw_names:
            given = one_a_row(tensors, self.raw)
            read = partial(self.form.from_tensors, given, self.bundle, self._limits)
            return await self.answer_samples(read, rows, size, asked)
        if tensors.keys() != self._prepared_names:
            wanted = [", ".join(sorted(self._raw_names)[:20])]
            wanted += [", ".join(sorted(self._prepared_names))] if self._prepared_names else []
            raise bad_request(
                f"The inputs are {', '.join(sorted(tensors))[:200]}; expected "
                f"{' or '.join(wanted)}.",
                "inputs",
            )
        arrays = {}
        for one in self.prepared:
            array = as_declared(tensors[one.name], one.dtype, one.name)
            try:
                check_bounds(one, array)
            except DataError as error:
                raise bad_request(str(error), "bounds") from None
            arrays[one.name] = array
        lengths = {
            array.shape[1]
            for one, array in zip(self.prepared, arrays.values(), strict=True)
            if isinstance(one.shape[0], str)
        }
        if len(lengths) > 1 or lengths == {0}:
            raise bad_request("The inputs have no length, or not the same one.", "bounds")
        with self.batcher.admitted(rows, size):
            outputs, told = await self.batcher.compute(
                [arrays], rows, asked.deadline, asked.is_gone, [""] * rows
            )
        return Answer(told, outputs)

    def _prepare(self, read: Callable[[], Named]) -> tuple[list[Inputs], list[Arrays]]:
        """Read samples."""
        samples, names = read()
        try:
            inputs = self.bundle.read(samples, names)
        except DataError as error:
            raise bad_request(str(error), "sample") from None
        if self._watch is not None:
            self._watch.add_rows(inputs[0])
        arrays = self.bundle.arrays(inputs, np.arange(len(inputs[0])))
        return inputs, [dict(own) for own in arrays]


AnyModel = ServedModel | ServedWriter | ServedPair


class Shelf:
    """All models of a server.

    Args:
        paths: Folders of bundles.
        limits: Of the server.
        measures: What is counted.
        watching: How models are watched.
        opened: What ``verify_any`` gives or will give of each bundle; they are opened when asked
            for where nobody has begun.
        signed_by: A file with the public key that each has to be signed with; None asks for none.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        limits: ServerLimits,
        measures: ServerMeasures,
        watching: WatchOptions | None = None,
        opened: Sequence[Opened] = (),
        signed_by: Path | None = None,
    ) -> None:
        self._opened, self._signed_by = list(opened), signed_by
        self._paths, self.limits, self.measures = list(paths), limits, measures
        self.watches = Watches(watching or WatchOptions(), measures.registry)
        self._cores = usable_cores()
        self._threads = ThreadPoolExecutor(self._cores, thread_name_prefix="samples")
        self._models: dict[str, AnyModel] = {}
        self.is_loaded = self.is_draining = False

    @property
    def is_ready(self) -> bool:
        """Whether all models have answered their golden samples, and it is not about to end."""
        return self.is_loaded and not self.is_draining

    @property
    def is_alive(self) -> bool:
        """Whether no model is stuck in a computation that does not end."""
        return not any(one.batcher.is_stuck for one in self._models.values())

    @property
    def models(self) -> list[AnyModel]:
        """All models, in the order in which they were named."""
        return list(self._models.values())

    def open_all(self) -> list[AnyBundle]:
        """Open and verify all bundles; nothing is served of them yet.

        Raises:
            ExportError: If one is not what was exported.
            OptionError: If two have one name.
        """
        found: dict[str, AnyBundle] = {}
        begun, self._opened = self._opened, []  # the next time they are opened anew
        for place, path in enumerate(self._paths):
            if begun:
                bundle, _ = begun[place].result()
            else:
                bundle, _ = verify_any(path, num_threads=self._cores, signed_by=self._signed_by)
            if bundle.record.name in found:
                raise OptionError(
                    f"Two bundles are called '{bundle.record.name}'; expected different "
                    "names, by which requests find them. Rename the folder of one run, or export "
                    "it with --out to a folder of another name."
                )
            if isinstance(bundle, Bundle):
                self.watches.open(bundle)
            found[bundle.record.name] = bundle
        return list(found.values())

    def serve(self, bundles: Sequence[AnyBundle]) -> None:
        """Answer with these from now on; what is under way ends with what it began with."""
        former = self.models
        measures, watches = self.measures, self.watches
        self._models = {one.record.name: self._served(one) for one in bundles}
        watches.keep([one for one in bundles if isinstance(one, Bundle)])
        measures.info.clear()
        for model in self.models:
            measures.info.labels(model.name, model.version, model.bundle.schema.task).set(1)
        for one in former:
            one.batcher.retire()
        self.is_loaded = True

    def _served(self, bundle: AnyBundle) -> AnyModel:
        limits, measures, threads = self.limits, self.measures, self._threads
        if isinstance(bundle, WritingBundle):
            return ServedWriter(bundle, limits, measures, threads)
        if isinstance(bundle, PairBundle):
            return ServedPair(bundle, limits, measures, threads)
        return ServedModel(bundle, limits, measures, threads, self.watches.of(bundle))

    def find(self, name: str | None, version: str | None = None) -> AnyModel:
        """Return a model.

        Args:
            name: Its name; None gives the only one.
            version: Its version, where only that will do.

        Raises:
            Refusal: If there is none of that name, or the server is not ready to answer.
        """
        if not self.is_loaded:
            raise Refusal(503, "The models are not loaded yet.", "loading", {"retry-after": "1"})
        if name is None:
            if len(self._models) > 1:
                raise bad_request(
                    f"Say which model: one of {', '.join(self._models)}, as ?model=NAME.", "model"
                )
            return self.models[0]
        model = self._models.get(name)
        if model is None:
            raise Refusal(404, f"There is no model '{shown(name)}'.", "model")
        if version is not None and version != model.version:
            raise Refusal(
                404,
                f"Model '{model.name}' has no version '{shown(version)}'; it is {model.version}.",
                "version",
            )
        return model


def shown(text: str) -> str:
    """Return what a client said, short and printable, to be said back."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:64])
