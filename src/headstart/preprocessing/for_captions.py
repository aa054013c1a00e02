"""Images with their captions: each read by its own preprocessing, side by side.

A sample is an image with all of its captions, one or several, so that a network takes B images and
the M captions of these, image after image. What ``predict`` gives are images alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.errors import DataError
from headstart.preprocessing.base import NamedInput, Preprocess
from headstart.preprocessing.for_images import ImagePreprocess
from headstart.preprocessing.for_texts import TokenPreprocess
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.json_records import read_record
from headstart.types import (
    BadSample,
    Dataset,
    Finding,
    Inputs,
    Modality,
    Rows,
    Samples,
    SplitName,
)
from headstart.types.captions import captions_of, text_number
from headstart.types.ragged import Ragged

_CAPTION = "caption {} of {}"


@dataclass(frozen=True)
class ImageTexts:
    """Images as a network takes them, with the token ids of their captions.

    Attributes:
        images: Of N images.
        captions: Of M captions, image after image; None for predicting.
        bounds: int64, shape (N + 1,), which captions are of each image.
        numbers: int64, shape (M,), the same for captions that are the same.
        contents: int64, shape (N,), the same for images that are copies.
    """

    images: Inputs
    captions: Tokens | None
    bounds: np.ndarray
    numbers: np.ndarray
    contents: np.ndarray

    @property
    def targets(self) -> Rows:
        """Object array of N ``Captions``; empty for predicting."""
        return self.images.targets

    @property
    def ids(self) -> np.ndarray:
        """int64, shape (N,)."""
        return self.images.ids

    @property
    def names(self) -> Sequence[str]:
        """What a person calls each image."""
        return self.images.names

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Images that cannot be used."""
        return self.images.bad_samples

    @property
    def findings(self) -> list[Finding]:
        """Of both; of captions how many were cut."""
        told = [] if self.captions is None else self.captions.findings
        return [*self.images.findings, *told]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of all captions of each image, int64, shape (N,)."""
        if self.captions is None:
            return np.zeros(len(self), np.int64)
        found: np.ndarray = np.diff(self.captions.offsets[self.bounds])
        return found

    @property
    def row_lengths(self) -> np.ndarray:
        """Embeddings of each sample: one, and one for each caption."""
        found: np.ndarray = 1 + np.diff(self.bounds)
        return found

    @property
    def window_length(self) -> int | None:
        """None: captions are cut."""
        return None

    @property
    def batch_order(self) -> np.ndarray | None:
        """None: a step is to hold images of every kind, whatever their captions' lengths."""
        return None

    @cached_property
    def told(self) -> Ragged | None:
        """Which image each is, and which captions it has, int64, N rows; None for predicting."""
        if self.captions is None:
            return None
        starts = self.bounds[:-1] + np.arange(len(self))
        flat = np.empty(len(self) + len(self.numbers), np.int64)
        is_image = np.zeros(len(flat), bool)
        is_image[starts] = True
        flat[is_image], flat[~is_image] = self.contents, self.numbers
        return Ragged(flat, np.append(starts, len(flat)).astype(np.int64))

    def __len__(self) -> int:
        return len(self.images)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch: uint8 (B, S, S, C), and ids and mask of M captions, int64 (M, T).

        Args:
            places: int64, shape (B,), positions of the wanted images.
        """
        (pixels,) = self.images.arrays(places)
        if self.captions is None:
            nothing = np.zeros((0, 1), np.int64)
            return pixels, nothing, nothing
        counts = self.bounds[1:][places] - self.bounds[:-1][places]
        ends = np.cumsum(counts)
        shifts = np.repeat(self.bounds[:-1][places] - (ends - counts), counts)
        return pixels, *self.captions.arrays(np.arange(int(counts.sum())) + shifts)

    def gathered(self, places: np.ndarray, outputs: np.ndarray) -> Ragged:
        """Return embeddings a row a sample: of the image first, then of its captions.

        Args:
            places: int64, shape (B,).
            outputs: Of B images, then of their captions, shape (B + M, P).
        """
        counts = self.bounds[1:][places] - self.bounds[:-1][places]
        offsets = np.concatenate(([0], np.cumsum(counts + 1))).astype(np.int64)
        is_image = np.zeros(len(outputs), bool)
        is_image[offsets[:-1]] = True
        flat = np.empty(outputs.shape, np.float32)
        flat[is_image], flat[~is_image] = outputs[: len(places)], outputs[len(places) :]
        return Ragged(flat, offsets)


@dataclass(frozen=True)
class ImageTextPreprocess(Preprocess):
    """How an image is read together with its captions.

    Attributes:
        image: What reads the image.
        text: What reads its captions.
    """

    image: ImagePreprocess
    text: TokenPreprocess
    kind: ClassVar[str] = "image_text"
    matches: ClassVar[bool] = True
    modality: ClassVar[Modality] = "image"

    @property
    def main(self) -> ImagePreprocess:
        """What reads the image."""
        return self.image

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Pixels, then ids and mask of captions."""
        return (*self.image.inputs, *self.text.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """That of the images, if there was one."""
        return self.image.columns

    @property
    def size(self) -> int:
        """Side of the network's input in pixels."""
        return self.image.size

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> ImageTexts:
        pixels = self.image.prepare(dataset, split_name, indices)
        given = captions_of(pixels.targets)
        if len(given) != len(pixels):
            raise DataError(
                f"{dataset.name} holds images without captions, and the model reads both; expected "
                "a table with a column of images and one of captions. Name them with "
                "--image-column and --text."
            )
        texts = [text for one in given for text in one.texts]
        names = [
            _CAPTION.format(number, name)
            for name, one in zip(pixels.names, given, strict=True)
            for number in range(1, len(one.texts) + 1)
        ]
        captions = self.read_texts(texts, names)
        split = dataset.split(split_name)
        contents = np.asarray(pixels.ids, np.int64)
        if split.contents is not None:
            order = np.argsort(split.ids, kind="stable")
            places = order[np.searchsorted(split.ids, pixels.ids, sorter=order)]
            contents = (split.contents[places] >> np.uint64(2)).astype(np.int64)
        counts = [len(one.texts) for one in given]
        return ImageTexts(
            pixels,
            captions,
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            np.array([text_number(text) for text in texts], np.int64),
            contents,
        )

    def read_texts(self, texts: Sequence[str], names: Sequence[str]) -> Tokens:
        """Return texts as the network takes them.

        Args:
            texts: M of them.
            names: What to call each.

        Raises:
            DataError: One cannot be used, by its name.
        """
        found = self.text.read(list(texts), list(names))
        assert isinstance(found, Tokens)
        if found.bad_samples:
            bad = found.bad_samples[0]
            raise DataError(
                f"{bad.name[0].upper()}{bad.name[1:]} cannot be used: {bad.reason}. Expected a "
                "text. Correct it, or leave it out."
            )
        return found

    def listed(self, values: Any) -> list[Any]:
        """Return images in any form that people have them."""
        return self.image.listed(values)

    def names_of(self, listed: list[Any]) -> list[str]:
        """Return what a person calls each image."""
        return self.image.names_of(listed)

    def _read(self, listed: list[Any], names: list[str]) -> ImageTexts:
        pixels = self.image.read(listed, names)
        nothing = np.zeros(0, np.int64)
        bounds = np.zeros(len(pixels) + 1, np.int64)
        return ImageTexts(pixels, None, bounds, nothing, np.asarray(pixels.ids, np.int64))

    def seconds_per_sample(self, samples: Samples) -> float:
        """Measure what decoding one image takes; its captions take next to nothing."""
        return self.image.seconds_per_sample(samples)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer is in ``files``."""
        return {"kind": self.kind, "image": self.image.to_json(), "text": self.text.to_json()}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "image", "text"), "preprocess")
        ImagePreprocess.check_json(record["image"])
        TokenPreprocess.check_json(record["text"])

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> ImageTextPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        image = ImagePreprocess.from_json(record["image"], None, origin)
        return cls(image, TokenPreprocess.from_json(record["text"], folder, origin))

    def files(self) -> dict[str, bytes]:
        """Return the tokenizer's files."""
        return self.text.files()
