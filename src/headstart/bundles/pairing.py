"""A bundle that embeds images and texts in one space by two networks, and its golden samples.

``model.onnx`` reads images, ``texts.onnx`` token ids; the product of a row of one and a row of the
other is their likeness, the temperature in the image's. So an index of embeddings that somebody
keeps is searched without the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.bundles.answering import Arrays, demand_whole, preprocess_of
from headstart.bundles.equality import Agreement, compare_logits
from headstart.bundles.golden_file import golden_file, golden_file_bytes, otherwise
from headstart.bundles.manifest import check_files
from headstart.bundles.records import BundleRecord, read_bundle_record
from headstart.bundles.session import MODEL, OnnxSession
from headstart.errors import DataError, ExportError
from headstart.tasks import Task, find_task
from headstart.tasks.matched import best_of
from headstart.types import Inputs, Prediction, Schema

if TYPE_CHECKING:
    from headstart.preprocessing import ImageTextPreprocess

TEXTS = "texts.onnx"
_IMAGE, _TEXT, _ROWS = "image", "text", "rows"  # parts of names in the file of golden samples
_AT_ONCE = 32


@dataclass(frozen=True)
class PairBundle:
    """A bundle that matches images and texts.

    Attributes:
        path: Its folder.
        record: ``bundle.json``.
        preprocess: How it reads both.
        images: The network of images.
        texts: That of texts.
        version: The first 12 digits of the SHA-256 of its manifest.
    """

    path: Path
    record: BundleRecord
    preprocess: ImageTextPreprocess
    images: OnnxSession
    texts: OnnxSession
    version: str

    @property
    def schema(self) -> Schema:
        """What is matched."""
        return self.record.schema

    @cached_property
    def task(self) -> Task:
        """The same, as the task itself."""
        return find_task(self.schema.task)

    def read_images(self, samples: Any, names: Sequence[str] | None = None) -> Inputs:
        """Return images in any form that people have them as the network takes them.

        Raises:
            DataError: As ``Preprocess.read`` does, or if one cannot be used.
        """
        inputs = self.preprocess.image.read(samples, names)
        demand_whole(inputs, self.schema)
        return inputs

    def embed_images(self, inputs: Inputs) -> np.ndarray:
        """Return embeddings of images, float32, shape (N, P), the temperature in them.

        Args:
            inputs: Of ``read_images``.
        """
        places = np.arange(len(inputs))
        parts = [
            self.images.run(self.preprocess.image.batch(inputs, some))
            for some in np.split(places, range(_AT_ONCE, len(places), _AT_ONCE))
        ]
        return np.concatenate(parts)

    def embed_texts(self, texts: Sequence[str], names: Sequence[str] | None = None) -> np.ndarray:
        """Return embeddings of texts, float32, shape (M, P).

        Args:
            texts: M of them, at least one.
            names: What to call each in a refusal.

        Raises:
            DataError: If one cannot be used.
        """
        called = names or [f"text {place + 1}" for place in range(len(texts))]
        tokens = self.preprocess.read_texts(texts, called)
        order = np.argsort(tokens.lengths, kind="stable")
        found: np.ndarray | None = None
        for some in np.split(order, range(_AT_ONCE, len(order), _AT_ONCE)):
            rows = self.texts.run(self.preprocess.text.batch(tokens, some))
            found = np.empty((len(texts), rows.shape[1]), np.float32) if found is None else found
            found[some] = rows
        assert found is not None
        return found

    def predict(
        self, samples: Any, texts: Sequence[str], names: Sequence[str] | None = None
    ) -> list[Prediction]:
        """Return the likeliest text of each image.

        Args:
            samples: Images, as ``read_images`` takes them.
            texts: To choose among.
            names: What to call each image.

        Raises:
            DataError: If something cannot be used.
        """
        inputs = self.read_images(samples, names)
        alike = self.embed_images(inputs) @ self.embed_texts(texts).T
        return best_of(inputs.names, list(texts), alike)


def open_pair(folder: Path, *, num_threads: int = 1, is_whole: bool = True) -> PairBundle:
    """Open a bundle that matches images and texts.

    Args:
        folder: What ``headstart export RUN --to onnx`` wrote.
        num_threads: Of ONNX Runtime.
        is_whole: Whether it has its manifest, which is then checked; not while it is written.

    Raises:
        ExportError: If a file is missing, damaged, or not what was exported.
    """
    from headstart.preprocessing import ImageTextPreprocess  # it reads images by Pillow

    version = check_files(folder)[:12] if is_whole else ""
    record = read_bundle_record(folder)
    preprocess = preprocess_of(record.members[0], folder)
    assert isinstance(preprocess, ImageTextPreprocess), "records.py has checked its kind"
    images = OnnxSession(folder / MODEL, preprocess.image.exported_inputs, None, num_threads)
    texts = OnnxSession(folder / TEXTS, preprocess.text.exported_inputs, None, num_threads)
    if images.num_outputs != texts.num_outputs:
        raise ExportError(
            f"{folder} embeds images in {images.num_outputs} numbers and texts in "
            f"{texts.num_outputs}; expected as many. Export the run again."
        )
    return PairBundle(folder, record, preprocess, images, texts, version)


def pair_golden_bytes(images: Arrays, texts: Arrays, rows: tuple[np.ndarray, np.ndarray]) -> bytes:
    """Return the file of golden samples.

    Args:
        images: Inputs of the network of images, by name.
        texts: The same of texts.
        rows: What PyTorch made of both.
    """
    content: dict[str, np.ndarray] = {}
    for kind, arrays, made in zip((_IMAGE, _TEXT), (images, texts), rows, strict=True):
        content |= {f"{kind}.{name}": array for name, array in arrays.items()}
        content[f"{kind}.{_ROWS}"] = made
    return golden_file_bytes(content)


def compare_pairs(
    found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]
) -> Agreement:
    """Compare the likenesses that embeddings have with those that they should have.

    Args:
        found: Rows of images, and of texts.
        expected: The same, as another computation made them.
    """
    return compare_logits(found[0] @ found[1].T, expected[0] @ expected[1].T)


def verify_pair(folder: Path, *, num_threads: int = 1) -> tuple[PairBundle, Agreement]:
    """Check the files of a bundle, open it, and let it embed its golden samples.

    Args:
        folder: The bundle.
        num_threads: Of ONNX Runtime.

    Raises:
        ExportError: If a file is not what was exported, or a likeness is another.
    """
    bundle = open_pair(folder, num_threads=num_threads)
    with golden_file(folder) as file:
        given = [
            {one.name: file[f"{kind}.{one.name}"] for one in network.inputs}
            for kind, network in ((_IMAGE, bundle.images), (_TEXT, bundle.texts))
        ]
        expected = file[f"{_IMAGE}.{_ROWS}"], file[f"{_TEXT}.{_ROWS}"]
    try:
        made = bundle.images.run(given[0]), bundle.texts.run(given[1])
        agreement = compare_pairs(made, expected)
    except (DataError, IndexError, ValueError) as error:
        raise _unlike(bundle, f"they cannot be computed ({error})") from error
    if not agreement.holds:
        told = f"likenesses differ by {agreement.largest:.2g}"
        raise _unlike(bundle, f"{told}, expected at most {agreement.allowed:.2g}")
    return bundle, agreement


def _unlike(bundle: PairBundle, how: str) -> ExportError:
    return otherwise(bundle.path, bundle.record, "embed", how)
