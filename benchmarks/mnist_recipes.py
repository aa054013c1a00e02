"""How few samples a recipe needs: the textbook network, one short schedule, optimizers beside it.

    HEADSTART_DATA=... python benchmarks/mnist_recipes.py                    # MNIST
    HEADSTART_DATA=... python benchmarks/mnist_recipes.py --data fashion-mnist --epochs 2

A plain loop of its own, in bf16 on a processor, with the schedule, batch and rates of the row
``scratch/simple-cnn``: what is learned here goes into headstart when headstart's own runs show it,
too (``mnist_scratch.py``). Processor seconds of the training loop alone, because neighbours on the
machine hardly change them. No augmentation, 57,000 training images, 10,000 test images.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from textbook_mnist import Net
from timing import markdown_table
from torch import Tensor, nn

from headstart.training.options.muon import Muon

OPTIMIZERS = ("adamw", "muon", "muon, dense too", "adamw, whitened")
NUM_TRAIN, BATCH, RATE = 57_000, 80, 6e-3
WARMUP, SMOOTHING, FLOOR = 0.2, 0.1, 0.05


def read(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 28, 28) uint8 and targets (N,) of a split."""
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        targets = np.frombuffer(file.read(), np.uint8, offset=8)
    return torch.tensor(images).view(-1, 1, 28, 28), torch.tensor(targets).long()


def normalised(images: Tensor) -> Tensor:
    """Return images as the network takes them."""
    return ((images.float() / 255 - 0.5) / 0.25).to(memory_format=torch.channels_last)


def whiten(network: Net, images: Tensor) -> None:
    """Set 18 of the first kernels to whitened principal components of patches and their negatives.

    Source: Jordan 2024, "94 % on CIFAR-10 in 3.29 seconds", §3.1, with a kernel that goes on to
    learn.
    """
    patches = F.unfold(normalised(images), 3).transpose(1, 2).reshape(-1, 9)
    patches = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    kernels = 0.5 * (vectors / torch.sqrt(values + FLOOR)).T.reshape(9, 1, 3, 3)
    network.conv1.weight.data[:18] = torch.cat([kernels, -kernels])


def optimizer_of(network: Net, name: str) -> torch.optim.Optimizer:
    """Return the optimizer of a name over the network."""
    if not name.startswith("muon"):
        return torch.optim.AdamW(
            network.parameters(), lr=RATE, betas=(0.8, 0.95), weight_decay=0.01, fused=True
        )
    kernels = [network.conv2.weight, *([network.fc1.weight] if "dense" in name else [])]
    held = {id(kernel) for kernel in kernels}
    groups: list[dict[str, object]] = [
        {"params": [p for p in network.parameters() if id(p) not in held], "weight_decay": 0.01},
        {"params": kernels, "weight_decay": 0.01, "is_orthogonal": True},
    ]
    return Muon(groups, RATE, (0.8, 0.95), momentum=0.85)


def rate_at(progress: float) -> float:
    """Return the share of the peak rate: a half cosine up, one down to zero."""
    if progress < WARMUP:
        return max(0.04, 0.5 - 0.5 * math.cos(math.pi * progress / WARMUP))
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))


def train(
    name: str, epochs: float, seed: int, images: Tensor, targets: Tensor
) -> tuple[Net, float]:
    """Return a trained network and the processor seconds that it took."""
    torch.manual_seed(seed)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:NUM_TRAIN]
    network = Net().to(memory_format=torch.channels_last)
    if "whitened" in name:
        whiten(network, images[order[:500]])
    optimizer, began = optimizer_of(network, name), time.process_time()
    num_steps = int(NUM_TRAIN * epochs) // BATCH
    for step in range(num_steps):
        places = order[torch.arange(step * BATCH, (step + 1) * BATCH) % NUM_TRAIN]
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(normalised(images[places])).float()
            loss = F.cross_entropy(logits, targets[places], label_smoothing=SMOOTHING)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate_at((step + 1) / num_steps)
        optimizer.step()
        optimizer.zero_grad()
    return network, time.process_time() - began


def accuracy(network: Net, images: Tensor, targets: Tensor) -> float:
    """Return the share of images that the network names rightly."""
    with torch.no_grad():
        found = [network(normalised(part)).argmax(1) for part in images.split(500)]
    return float((torch.cat(found) == targets).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="How few samples a recipe needs.")
    parser.add_argument(
        "--data", default="mnist", help="a folder of HEADSTART_DATA, four IDX files"
    )
    parser.add_argument("--epochs", type=float, nargs="+", default=[0.62, 0.45, 0.38])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6])
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = Path(os.environ["HEADSTART_DATA"]) / arguments.data
    (images, targets), test = read(folder, "train"), read(folder, "t10k")
    rows = []
    for name in arguments.optimizers:
        for epochs in arguments.epochs:
            found = []
            for seed in arguments.seeds:
                network, seconds = train(name, epochs, seed, images, targets)
                found.append((accuracy(network, *test), seconds))
            values = [value for value, _ in found]
            rows.append(
                [
                    f"{name}, {epochs:g} epochs",
                    f"{statistics.mean(values):.4f}",
                    f"{min(values):.4f}",
                    f"{statistics.median(seconds for _, seconds in found):.1f}",
                ]
            )
            print(rows[-1], flush=True)
    print(markdown_table(["optimizer", "mean accuracy", "lowest", "processor s"], rows))


if __name__ == "__main__":
    main()
