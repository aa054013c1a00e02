"""The textbook MNIST program, as tutorials write it: the other side of ``mnist_scratch.py``.

torchvision's MNIST, ``ToTensor``, a DataLoader with batch 64, Adam at 1e-3, a plain loop, the test
accuracy after every epoch. Nothing here is slowed down and nothing is tuned; it follows the PyTorch
"basic MNIST example" with the network of ``scratch/simple-cnn``. The only addition is the clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class Net(nn.Module):
    """Two 3×3 convolutions with a max-pool after each, then two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(64 * 5 * 5, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 10) of images (B, 1, 28, 28) in [0, 1]."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        logits: torch.Tensor = self.fc2(x)
        return logits


def train_epoch(model: Net, loader: DataLoader[object], optimizer: torch.optim.Optimizer) -> None:
    """Go once over the training images."""
    model.train()
    for images, targets in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_accuracy(model: Net, loader: DataLoader[object]) -> float:
    """Return the share of test images that the model names rightly."""
    model.eval()
    correct = 0
    with torch.no_grad():
        for images, targets in loader:
            correct += int((model(images).argmax(dim=1) == targets).sum())
    return correct / len(loader.dataset)  # type: ignore[arg-type]


def epochs(root: str, seed: int, max_epochs: int) -> Iterator[tuple[int, float, float]]:
    """Train, and yield (epoch, test accuracy, seconds since before the data set was built)."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    to_tensor = transforms.ToTensor()
    train_set = datasets.MNIST(root, train=True, download=True, transform=to_tensor)
    test_set = datasets.MNIST(root, train=False, download=True, transform=to_tensor)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=1000)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, max_epochs + 1):
        train_epoch(model, train_loader, optimizer)
        accuracy = test_accuracy(model, test_loader)
        yield epoch, accuracy, time.perf_counter() - began
