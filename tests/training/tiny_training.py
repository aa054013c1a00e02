"""Tiny networks, data and trainings that several training tests use."""

import time
from dataclasses import replace
from hashlib import sha256

import numpy as np
import torch
from torch import nn

from headstart.objectives import Wanted
from headstart.objectives.supervised import cross_entropy
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.loop import Check, Hooks, LoopOptions, train
from headstart.training.options.recipe import Recipe, recipe_for
from headstart.training.options.schedule import learning_rate_factor
from headstart.training.options.strategy import build_optimizer, set_train_mode
from headstart.training.options.training_options import TrainingOptions
from headstart.types import PlainInputs, Schema, Start


def make_start(family="convnet", pretrained_on=None, address="scratch/resnet18") -> Start:
    return Start(address, family, "image", 1, "none", pretrained_on, None, None, True)


SCHEMA = Schema("image", "classification", ("row", "column", "neither"))


def short_recipe(**changes) -> Recipe:
    made = recipe_for(
        make_start(),
        TrainingOptions(
            strategy="full",
            batch_size=16,
            num_steps=20,
            label_smoothing=0.0,
            ema=False,
            patience=0,
        ),
        schema=SCHEMA,
        num_train=96,
        num_layers=3,
    )
    return replace(made, learning_rate=0.05, schedule="constant", **changes)


class TinyNet(nn.Module):
    """A network with everything that has a state or draws: BatchNorm, dropout, a norm-free conv."""

    def __init__(self, norm=True, dropout=0.0, classes=3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(6, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv1(images)))
        x = torch.relu(self.conv2(x)).amax(dim=(2, 3))
        return self.head(self.drop(x))


def blob_images(num=96, seed=0):
    """Return images of three classes: a bright stroke along the rows, the columns, or nowhere."""
    draws = np.random.default_rng(seed)
    targets = np.arange(num) % 3
    images = draws.integers(0, 90, size=(num, 8, 8, 1), dtype=np.uint8)
    for image, target in zip(images, targets, strict=True):
        place = draws.integers(1, 7)
        if target == 0:
            image[place] += 150
        elif target == 1:
            image[:, place] += 150
    return images, targets.astype(np.int64), np.arange(1_000, 1_000 + num)


class PixelInputs(PlainInputs):
    """Images as the feed takes them."""

    bad_samples = ()

    def __init__(self, images, targets, ids):
        self.images, self.targets, self.ids = images, targets, ids
        self.names = [str(i) for i in ids]

    def __len__(self):
        return len(self.ids)

    def arrays(self, places):
        return (self.images[places],)


class Training:
    """Everything the loop is handed, for a recipe, on the blobs.

    Attributes:
        losses: The loss of every micro-batch, in order.
        checks: What each look at the validation split found.
    """

    def __init__(self, recipe, *, norm=True, dropout=0.0, init_seed=0, channels_last=True):
        torch.manual_seed(init_seed)
        self.recipe = recipe
        self.module = TinyNet(norm, dropout)
        if channels_last:
            self.module.to(memory_format=torch.channels_last)
        groups = [
            {"params": [p], "lr": 0.0, "peak": recipe.learning_rate, "weight_decay": 1e-3}
            for p in self.module.parameters()
        ]
        self.optimizer = build_optimizer(groups, recipe)
        images, targets, ids = blob_images()
        self.inputs = PixelInputs(images, targets, ids)
        self.feed = SampleFeed(self.inputs, targets, recipe, torch.device("cpu"))
        self.val_images, self.val_targets, _ = blob_images(60, seed=9)
        self.losses: list[float] = []
        self.checks: list[Check] = []
        self.stop_at: int | None = None
        self.sleep_seconds = 0.0
        self.is_sample_mean = True
        self.move_deadline = None
        self._asked = 0

    def batches(self, step, micro_batch_size=None):
        return self.feed.batches(step, micro_batch_size)

    def compute_loss(self, batch):
        time.sleep(self.sleep_seconds)
        mix = (batch.partner, batch.share)
        wanted = Wanted(batch.targets, *mix, self.recipe.label_smoothing)
        loss = cross_entropy(self.module(*batch.inputs), wanted)
        self.losses.append(float(loss.detach()))
        return loss

    def check(self):
        self.module.eval()
        with torch.inference_mode():
            images = torch.from_numpy(self.val_images).permute(0, 3, 1, 2).float() / 255
            logits = self.module(images)
        targets = torch.from_numpy(self.val_targets)
        score = float((logits.argmax(1) == targets).float().mean())
        found = Check(score, float(nn.functional.cross_entropy(logits, targets)), 0.02)
        self.checks.append(found)
        return found

    def stop_requested(self):
        self._asked += 1
        return self._asked == self.stop_at

    def run(self, checkpoints=None, deadline=None, **options):
        recipe = self.recipe
        hooks = Hooks(
            batches=self.batches,
            compute_loss=self.compute_loss,
            check=self.check,
            learning_rate_factor=lambda progress: learning_rate_factor(
                recipe.schedule, progress, warmup_fraction=0.1, cooldown_fraction=0.2
            ),
            set_mode=lambda: set_train_mode(self.module),
            stop_requested=self.stop_requested,
            is_sample_mean=self.is_sample_mean,
            move_deadline=self.move_deadline,
        )
        values = {
            "num_steps": recipe.num_steps,
            "steps_per_check": 5,
            "steps_per_epoch": self.feed.order.steps_per_epoch,
            "batch_size": recipe.batch_size,
            "clip": recipe.clip,
            "ema_half_life": recipe.ema_half_life,
            "patience": recipe.patience,
            "seed": recipe.seed,
        }
        whole = LoopOptions(**(values | options))
        return train(
            self.module, self.optimizer, hooks, whole, checkpoints=checkpoints, deadline=deadline
        )

    def digest(self):
        state = self.module.state_dict()
        return sha256(b"".join(state[n].numpy().tobytes() for n in sorted(state))).hexdigest()
