"""What makes ``scratch/quick-cnn`` learn quickly: one thing changed at a time, on val.

    HEADSTART_DATA=… python benchmarks/quick_recipes.py                    # ~10 min on one core
    HEADSTART_DATA=… python benchmarks/quick_recipes.py --variants ours adamw --epochs 1 --seeds 0 1

A plain loop of its own, in bf16, over a part of an epoch of CIFAR-10's train as ``load`` splits it
(seed 0); accuracy on its val, which nothing is chosen by but the recipe itself. Each variant is the
recipe of the start with one thing changed. The same loop takes each; what differs is a function in
``VARIANTS``.

Left out: budgets, checkpoints, other data (``scratch.py`` has the start as it is used).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from timing import markdown_table
from torch import Tensor, nn

import headstart as hs
from headstart.preprocessing import ImagePreprocess
from headstart.starts.images.quick_cnn import QuickCNN, QuickStage
from headstart.starts.images.scratch import scratch_spec
from headstart.tensors import seeded, to_float
from headstart.training.batches.augment import POLICIES, Policy, augment
from headstart.training.options.defaults import DEFAULTS
from headstart.training.options.muon import Muon, is_kernel
from headstart.training.options.schedule import learning_rate_factor
from headstart.training.randomness import permutation

ROW = DEFAULTS["scratch/quick-cnn"]
POLICY = POLICIES["light"]
assert POLICY is not None


@dataclass(frozen=True)
class Variant:
    """What is changed.

    Attributes:
        change: Called with the fresh network.
        rate: Peak learning rate.
        momentum: Of Muon.
        uses_muon: Whether kernels are orthogonalised; AdamW takes all otherwise.
        whitens: Whether the first layer is learned from train; random directions otherwise.
        width: Channels of the first stage.
        policy: The augmentation; None has none.
    """

    change: Callable[[QuickCNN], object] = lambda network: None
    rate: float = ROW.learning_rate
    momentum: float = ROW.momentum
    uses_muon: bool = True
    whitens: bool = True
    width: int = 32
    policy: Policy | None = POLICY


def begin_as_identity(network: QuickCNN) -> None:
    """Let convolutions hand on what comes in, as far as they have channels (Jordan 2024)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight.data[: module.in_channels])


def begin_orthogonal(network: QuickCNN) -> None:
    """Let kernels begin as matrices of orthogonal rows."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight.data.view(module.out_channels, -1))


class Shortcut(nn.Module):
    """A stage with a shortcut around its second convolution."""

    def __init__(self, stage: QuickStage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of half the side."""
        own = self.stage
        x = F.gelu(own.norm1(F.max_pool2d(own.conv1(x), 2)))
        return F.gelu(x + own.norm2(own.conv2(x)))


def add_shortcuts(network: QuickCNN) -> None:
    """Put a shortcut into every stage."""
    for name in ("stage1", "stage2", "stage3"):
        setattr(network, name, Shortcut(getattr(network, name)))


OURS = Variant()
VARIANTS: dict[str, Variant] = {
    "ours": OURS,
    "rate 0.01": replace(OURS, rate=0.01),
    "rate 0.04": replace(OURS, rate=0.04),
    "momentum 0.85": replace(OURS, momentum=0.85),
    "adamw": replace(OURS, uses_muon=False, rate=0.005),
    "adamw, rate 0.01": replace(OURS, uses_muon=False, rate=0.01),
    "first layer random": replace(OURS, whitens=False),
    "begins as identity": replace(OURS, change=begin_as_identity),
    "begins orthogonal": replace(OURS, change=begin_orthogonal),
    "shortcuts": replace(OURS, change=add_shortcuts),
    "no augmentation": replace(OURS, policy=None),
    "no cutout": replace(OURS, policy=replace(POLICY, cutout=0.0)),
    "twice as wide": replace(OURS, width=64),
}


def optimizer_of(network: nn.Module, head: nn.Module, variant: Variant) -> torch.optim.Optimizer:
    """Return the optimizer of a variant, in groups as the house makes them."""
    parameters = [*network.parameters(), *head.parameters()]
    kernels = [p for p in parameters if variant.uses_muon and is_kernel(p)]
    held = {id(p) for p in kernels}
    rest = [p for p in parameters if id(p) not in held]
    groups: list[dict[str, object]] = [
        {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0.0},
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": ROW.weight_decay},
    ]
    betas = (ROW.beta1, ROW.beta2)
    if not variant.uses_muon:
        return torch.optim.AdamW(groups, lr=variant.rate, betas=betas, fused=True)
    groups.append({"params": kernels, "weight_decay": ROW.weight_decay, "is_orthogonal": True})
    return Muon(groups, variant.rate, betas, variant.momentum)


def normalised(pixels: np.ndarray) -> Tensor:
    """Return images as the start takes them."""
    return (to_float(torch.from_numpy(pixels)) - 0.5) / 0.25


def train(
    variant: Variant, pixels: np.ndarray, targets: Tensor, epochs: float, seed: int
) -> tuple[nn.Module, float]:
    """Return a trained network with its head, and the processor seconds that it took."""
    with seeded(seed):
        network = QuickCNN(3, variant.width, 2, 1, 12)
        head = nn.Linear(8 * variant.width, 10)
        variant.change(network)
    if variant.whitens:
        network.learn_patches(normalised(pixels[:: len(pixels) // 256][:256]))
    whole = nn.Sequential(network, head).to(memory_format=torch.channels_last)
    optimizer, began = optimizer_of(network, head, variant), time.process_time()
    per_epoch = len(pixels) // ROW.batch_size
    num_steps = int(epochs * per_epoch)
    for step in range(num_steps):
        epoch, at = divmod(step, per_epoch)
        places = permutation(seed, epoch, len(pixels))[at * ROW.batch_size :][: ROW.batch_size]
        images = to_float(torch.from_numpy(pixels[places]))
        if variant.policy is not None:
            images = augment(images, places, variant.policy, seed=seed, epoch=epoch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = whole((images - 0.5) / 0.25)
        wanted = targets[torch.from_numpy(places)]
        loss = F.cross_entropy(logits.float(), wanted, label_smoothing=ROW.smoothing)
        factor = learning_rate_factor(
            ROW.schedule,
            step / num_steps,
            warmup_fraction=ROW.warmup_fraction,
            cooldown_fraction=0.0,
        )
        for group in optimizer.param_groups:
            group["lr"] = variant.rate * factor
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return whole.eval(), time.process_time() - began


@torch.no_grad()
def scores(network: nn.Module, pixels: np.ndarray, targets: Tensor) -> tuple[float, float]:
    """Return accuracy by the images alone, and by them and their mirror images."""
    right = [0, 0]
    for start in range(0, len(pixels), 500):
        images, wanted = normalised(pixels[start : start + 500]), targets[start : start + 500]
        alone = network(images)
        for place, logits in enumerate((alone, alone + network(images.flip(3)))):
            right[place] += int((logits.argmax(1) == wanted).sum())
    return right[0] / len(pixels), right[1] / len(pixels)


def main() -> None:
    """Train every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--epochs", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = hs.load("cifar10")
    preprocess = ImagePreprocess(scratch_spec(32, 3), data.input_column)
    train_split, val_split = (preprocess.prepare(data, name) for name in ("train", "val"))
    (pixels,), (val_pixels,) = (
        split.arrays(np.arange(len(split))) for split in (train_split, val_split)
    )
    targets, val_targets = (
        torch.from_numpy(np.asarray(split.targets)) for split in (train_split, val_split)
    )
    rows = []
    for name in asked.variants:
        for seed in asked.seeds:
            network, seconds = train(VARIANTS[name], pixels, targets, asked.epochs, seed)
            alone, both = scores(network, val_pixels, val_targets)
            rows.append([name, seed, f"{alone:.4f}", f"{both:.4f}", f"{seconds:.0f}"])
            print(*rows[-1], flush=True)
    print(markdown_table(("variant", "seed", "val", "with mirror images", "CPU s"), rows))


if __name__ == "__main__":
    main()
