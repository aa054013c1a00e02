"""A run that matches images and texts as a bundle: a network of each, checked beforehand.

What was exported is opened as a server opens it and asked from the raw images and texts on, in
batches of five sizes: likenesses may differ by what other exports' logits may. Only then does the
folder get its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.bundles import (
    BATCHES,
    Agreement,
    BundleRecord,
)
from headstart.bundles.golden import NUM_GOLDEN
from headstart.bundles.pairing import (
    TEXTS,
    PairBundle,
    compare_pairs,
    open_pair,
    pair_golden_bytes,
    verify_pair,
)
from headstart.bundles.session import MODEL
from headstart.errors import ExportError
from headstart.exporting.bundle_files import (
    ComparedSamples,
    padded_example,
    seal,
    with_parity,
    write_lone_record,
)
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.model_card import CARD, model_card
from headstart.exporting.onnx_file import export_file, require_onnx
from headstart.exporting.onnx_network import ExportedNetwork, exported_network
from headstart.model import Ensemble, Model
from headstart.preprocessing import ImageTextPreprocess
from headstart.starts import PairNetwork
from headstart.types.captions import captions_of

_EXAMPLES = 3


class _ImageTower(ExportedNetwork):
    """What embeds images, of pixels as arrays have them.

    Args:
        model: In eval mode, on the CPU.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model, _preprocess_of(model).image.exported_inputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        """Return embeddings, float32 (B, P), the temperature in them."""
        (pixels,) = arrays
        images = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        network = self.model.encoder.network
        assert isinstance(network, PairNetwork)
        return network.image_rows(self.model.normalised(images))


class _TextTower(ExportedNetwork):
    """What embeds texts, of token ids and mask.

    Args:
        model: In eval mode, on the CPU.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model, _preprocess_of(model).text.exported_inputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        """Return embeddings, float32 (M, P)."""
        network = self.model.encoder.network
        assert isinstance(network, PairNetwork)
        return network.text_rows(*arrays)


def export_pair_bundle(
    ensemble: Ensemble,
    folder: str | Path,
    samples: ComparedSamples,
    *,
    name: str,
    reading: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Agreement:
    """Write a run that matches images and texts as a bundle.

    Args:
        ensemble: Of one model; left as it is.
        folder: A new or empty folder.
        samples: Images with captions on which it is compared; where they have none, words are.
        name: Of the model, as a server shall call it.
        reading: How files of the training data were read.
        metrics: ``metrics.json`` of the run, for the model card; may be empty.

    Returns:
        How far the likenesses of the bundle are from PyTorch's.

    Raises:
        ExportError: If packages are missing, a network cannot be exported, the folder is occupied
            or not writable, or the bundle embeds otherwise; then nothing is left behind.
    """
    target, model = Path(folder), ensemble.first
    refuse_occupied(target)
    require_onnx()
    whole = exported_network(model).model
    towers = _ImageTower(whole), _TextTower(whole)
    texts = _texts_of(samples)
    with building(target) as partial:
        record = _write(model, towers, samples, texts, partial, name, reading)
        bundle = open_pair(partial, is_whole=False)
        agreement = _compare(bundle, towers, samples, texts, target)
        record = with_parity(record, samples, agreement)
        few = np.arange(min(NUM_GOLDEN, len(samples.inputs[0])))
        images, ids = _arrays(model, samples, few), _ids(model, texts[:NUM_GOLDEN])
        rows = _rows(towers[0], images), _rows(towers[1], ids)
        card = {CARD: model_card(record, metrics)}
        seal(partial, record, pair_golden_bytes(images, ids, rows), card)
        verify_pair(partial)
    return agreement


def _preprocess_of(model: Model) -> ImageTextPreprocess:
    preprocess = model.encoder.preprocess
    assert isinstance(preprocess, ImageTextPreprocess)
    return preprocess


def _texts_of(samples: ComparedSamples) -> list[str]:
    """Return captions of the samples, each once; a few words where they have none."""
    given = captions_of(samples.inputs[0].targets)
    told = list(dict.fromkeys(text for one in given for text in one.texts))
    return told or ["a photo", "a picture of something", "two things beside one another"]


def _arrays(model: Model, samples: ComparedSamples, places: np.ndarray) -> dict[str, np.ndarray]:
    """Return pixels of some images, by name."""
    (pixels, *_) = samples.inputs[0].arrays(places)
    (named,) = _preprocess_of(model).image.exported_inputs
    return {named.name: np.ascontiguousarray(pixels)}


def _ids(model: Model, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return ids and mask of some texts, by name."""
    preprocess = _preprocess_of(model)
    tokens = preprocess.read_texts(texts, [f"caption {i + 1}" for i in range(len(texts))])
    return preprocess.text.batch(tokens, np.arange(len(texts)))


def _rows(tower: ExportedNetwork, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what PyTorch makes of arrays."""
    with torch.no_grad():
        found: np.ndarray = tower(*(torch.from_numpy(arrays[one.name]) for one in tower.inputs))
    return np.asarray(found)


def _write(
    model: Model,
    towers: Sequence[ExportedNetwork],
    samples: ComparedSamples,
    texts: Sequence[str],
    folder: Path,
    name: str,
    reading: Mapping[str, Any],
) -> BundleRecord:
    """Write both networks and the files of their preprocessing; return what to say of them."""
    address = model.encoder.start.address
    some = np.arange(_EXAMPLES)
    shown = (
        _arrays(model, samples, some % len(samples.inputs[0])),
        _ids(model, [texts[place % len(texts)] for place in some.tolist()]),
    )
    for tower, arrays, file in zip(towers, shown, (MODEL, TEXTS), strict=True):
        example = [padded_example(one, arrays[one.name]) for one in tower.inputs]
        (folder / file).write_bytes(export_file(tower, example, address))
    return write_lone_record(model, folder, name, reading)


def _compare(
    bundle: PairBundle,
    towers: Sequence[ExportedNetwork],
    samples: ComparedSamples,
    texts: Sequence[str],
    target: Path,
) -> Agreement:
    """Let a bundle embed samples in batches of every size, and compare.

    Raises:
        ExportError: If it embeds otherwise.
    """
    model, num = towers[0].model, len(samples.inputs[0])
    raw = None if samples.raw is None else bundle.read_images(list(samples.raw))
    worst: Agreement | None = None
    start = 0
    for size in BATCHES:
        places = np.arange(start, start + size) % num
        some = [texts[place % len(texts)] for place in range(start, start + size)]
        start += size
        pixels = _arrays(model, samples, places)
        images = pixels if raw is None else bundle.preprocess.image.batch(raw, places)
        expected = _rows(towers[0], pixels), _rows(towers[1], _ids(model, some))
        made = bundle.images.run(images), bundle.embed_texts(some)
        found = compare_pairs(made, expected)
        if not found.holds:
            raise ExportError(
                f"The export to {target} is not faithful: on {samples.origin} its likenesses "
                f"differ from the run's by {found.largest:.2g}, expected at most "
                f"{found.allowed:.2g}. Nothing was kept. Please report this with the start's name."
            )
        worst = found if worst is None or found.largest > worst.largest else worst
    assert worst is not None
    return worst
