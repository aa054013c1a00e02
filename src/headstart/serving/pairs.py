"""A bundle that matches images and texts, as a server answers with it.

A body in JSON holds images (their files in base64), texts, or both. Of both each image is told the
likeliest of the texts; of one kind alone the embeddings are given, for an index of one's own: the
product of an image's and a text's is their likeness.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import orjson

from headstart.bundles import Bundle
from headstart.bundles.pairing import PairBundle
from headstart.errors import DataError
from headstart.serving.batching import late
from headstart.serving.bodies import (
    JSON,
    Named,
    RawInput,
    check_image,
    check_num_rows,
    checked_texts,
    read_json,
)
from headstart.serving.forms import FORMS, Form
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import ClientGone, bad_request
from headstart.serving.room import Asked, Room
from headstart.serving.row_forms import images_of
from headstart.serving.tensors import texts_of
from headstart.tasks.matched import best_of
from headstart.types import Prediction

IMAGES, TEXTS = "images", "texts"
_IMAGE, _TEXT, _EMBEDDING = "image", "text", "embedding"  # of the protocol
_EXAMPLE = {IMAGES: ["<base64 of a file>"], TEXTS: ["two dogs on a beach", "a red car"]}


@dataclass(frozen=True)
class Given:
    """What a request holds.

    Attributes:
        images: Files.
        texts: Texts.
    """

    images: Sequence[bytes]
    texts: Sequence[str]


@dataclass(frozen=True)
class Matched:
    """What is answered to a request.

    Attributes:
        candidates: The texts; empty where embeddings were asked for.
        predictions: The likeliest text of each image.
        embeddings: Where one kind alone was given, float32, shape (N, P).
        notes: What to know of the samples.
    """

    candidates: Sequence[str] = ()
    predictions: Sequence[Prediction] = ()
    embeddings: np.ndarray | None = None
    notes: Sequence[str] = ()


class ServedPair:
    """A bundle that a server matches images and texts with.

    Args:
        bundle: Opened and verified.
        limits: Of the server.
        measures: What is counted.
        threads: In which samples are read.
    """

    def __init__(
        self,
        bundle: PairBundle,
        limits: ServerLimits,
        measures: ServerMeasures,
        threads: ThreadPoolExecutor,
    ) -> None:
        self.bundle, self.name, self.version = bundle, bundle.record.name, bundle.version
        self._limits, self._threads = limits, threads
        self._seconds = measures.inference.labels(self.name)
        self.batcher = Room(self.name, limits, measures)
        example = orjson.dumps(_EXAMPLE).decode()
        self.form: Form = replace(
            FORMS["files"],
            types=(JSON,),
            read=_read,
            example=lambda _: (JSON, example),
            counts=_count,
        )
        # one of them a request
        self.raw = [RawInput(_IMAGE, "BYTES"), RawInput(_TEXT, "BYTES")]

    @property
    def outputs(self) -> list[tuple[str, str, list[int]]]:
        """Name, datatype and shape of what is told by the protocol."""
        return [(_EMBEDDING, "FP32", [-1, int(self.bundle.images.num_outputs)])]

    def tensors_of(self, answer: Matched) -> dict[str, np.ndarray]:
        """Return an answer as tensors of the protocol, by name."""
        assert answer.embeddings is not None
        return {_EMBEDDING: answer.embeddings}

    async def match(self, read: Callable[[], Named], rows: int, size: int, asked: Asked) -> Matched:
        """Return the answer to a request.

        Args:
            read: Gives what it holds.
            rows: About how many images and texts there are.
            size: Bytes that they hold.
            asked: How to answer.

        Raises:
            Refusal: If something cannot be read, there is no room, or the time runs out.
            ClientGone: If nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        with self.batcher.admitted(min(rows, self._limits.rows), size):
            try:
                async with asyncio.timeout_at(asked.deadline):
                    work = partial(self._answer, read, asked)
                    return await loop.run_in_executor(self._threads, work)
            except TimeoutError:
                raise late() from None

    async def answer_tensors(
        self, tensors: Mapping[str, np.ndarray], size: int, asked: Asked
    ) -> Matched:
        """Return embeddings of the one input of a request in the protocol.

        Args:
            tensors: By name: files as bytes, or texts.
            size: Bytes that they hold.
            asked: How to answer.

        Raises:
            Refusal: If these are none of its inputs, there is no room, or the time runs out.
        """
        if [*tensors] not in ([_IMAGE], [_TEXT]):
            raise bad_request(
                f"The inputs are {', '.join(sorted(tensors))[:200]}; expected '{_IMAGE}' or "
                f"'{_TEXT}', one of them a request.",
                "inputs",
            )
        rows = len(next(iter(tensors.values())))
        check_num_rows(rows, self._limits)
        return await self.match(partial(self._of_tensors, tensors), rows, size, asked)

    def _of_tensors(self, tensors: Mapping[str, np.ndarray]) -> Named:
        if _IMAGE in tensors:
            return Given(images_of(tensors, _IMAGE, self._limits), ()), []
        return Given((), checked_texts(texts_of(tensors, _TEXT), self._limits)), []

    def _answer(self, read: Callable[[], Named], asked: Asked) -> Matched:
        given, _ = read()
        assert isinstance(given, Given)
        names = [f"image {place + 1}" for place in range(len(given.images))]
        notes: list[str] = []
        try:
            of_images = of_texts = None
            if given.images:
                inputs = self.bundle.read_images(list(given.images), names)
                notes = [found.sentence for found in inputs.findings]
                if asked.is_gone():
                    raise ClientGone
                with self._seconds.time():
                    of_images = self.bundle.embed_images(inputs)
            if given.texts:
                with self._seconds.time():
                    of_texts = self.bundle.embed_texts(given.texts)
        except DataError as error:
            raise bad_request(str(error), "sample") from None
        if of_images is None or of_texts is None:
            alone = of_texts if of_images is None else of_images
            return Matched(embeddings=alone, notes=notes)
        told = best_of(names, given.texts, of_images @ of_texts.T)
        return Matched(given.texts, told, notes=notes)


def _read(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    """Return what a body holds.

    Raises:
        Refusal: If it is no such object, or beyond the limits.
    """
    del kind, bundle
    found: Any = read_json(data)
    lists = found.values() if isinstance(found, dict) else ()
    if not lists or found.keys() - {IMAGES, TEXTS} or not all(isinstance(v, list) for v in lists):
        raise bad_request(
            f"Expected a JSON object with '{IMAGES}', files in base64, '{TEXTS}', or both, a list "
            "each."
        )
    images, texts = found.get(IMAGES, []), found.get(TEXTS, [])
    check_num_rows(len(images) + len(texts), limits)
    files = []
    for place, one in enumerate(images, 1):
        try:
            file = b64decode(one, validate=True)
        except (TypeError, ValueError):
            raise bad_request(f"Image {place} is no file in base64.") from None
        check_image(file, limits)
        files.append(file)
    told = list(dict.fromkeys(checked_texts(texts, limits))) if files else texts
    return Given(files, checked_texts(told, limits)), []


def _count(kind: str, data: bytes) -> int:
    """Return about how many images and texts a body has."""
    del kind
    return 1 + data.count(b'","') + data.count(b'", "')
