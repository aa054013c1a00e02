"""Photos decoded and resized once, as bytes in memory: what a peer costs apart from its loading.

For augmented training there are V copies of each image, cropped and mirrored beforehand, and epoch
e reads copy e mod V. So neither decoding nor augmenting is in the time of a peer that reads these.
"""

from __future__ import annotations

from typing import Literal

import torch
from peer_task import CROP_SCALE, MEAN, STD, Settings
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder


class MemoryPhotos(Dataset[tuple[Tensor, int]]):
    """A split in memory.

    Args:
        images: uint8, shape (V, N, 3, S, S).
        targets: int64, shape (N,).
        classes: Names of the classes.
    """

    def __init__(self, images: Tensor, targets: Tensor, classes: list[str]) -> None:
        self.images, self.targets, self.classes = images, targets, classes
        self._num_served = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one image and its class; every N calls are an epoch and show the next copy."""
        view = self._num_served // len(self) % len(self.images)
        self._num_served += 1
        return self.images[view, index], int(self.targets[index])

    def batch(self, places: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return normalised images (B, 3, S, S) and targets (B,) of one epoch."""
        return normalise(self.images[epoch % len(self.images), places]), self.targets[places]


def normalise(images: Tensor) -> Tensor:
    """Return bytes, shape (B, 3, S, S), as the network takes them."""
    scale = torch.tensor(STD).view(1, 3, 1, 1) * 255
    shift = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
    return (images.float() - shift) / scale


def collate(samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Return a batch: normalised images (B, 3, S, S), targets (B,)."""
    images = normalise(torch.stack([image for image, _ in samples]))
    return images, torch.tensor([target for _, target in samples])


def read_photos(settings: Settings, split: Literal["train", "test"]) -> MemoryPhotos:
    """Decode, resize and, for an augmented train split, crop and mirror."""
    folder = settings.train_dir if split == "train" else settings.test_dir
    plain = [transforms.Resize(settings.size), transforms.CenterCrop(settings.size)]
    varied = [
        transforms.RandomResizedCrop(settings.size, scale=(CROP_SCALE, 1.0)),
        transforms.RandomHorizontalFlip(),
    ]
    is_varied = split == "train" and settings.augment != "none"
    change = transforms.Compose([*(varied if is_varied else plain), transforms.PILToTensor()])
    files = ImageFolder(str(folder))
    num_views = settings.num_views if is_varied else 1
    images = torch.stack([torch.stack([change(i) for i, _ in files]) for _ in range(num_views)])
    return MemoryPhotos(images, torch.tensor(files.targets), files.classes)
