"""What pretraining on images costs: against a plain program, and seen patches against all of them.

    python benchmarks/pretrain_images.py                           # about two minutes on one thread
    python benchmarks/pretrain_images.py --start scratch/vit-tiny --size 32 --channels 3 --batch 256

Two questions, of the same network on the same random images:

- **Images a second.** headstart's own loop (gathering, cropping, masks, normalised targets, AdamW,
  clipping, finite check; no checks and no checkpoints inside the window) against a plain PyTorch
  program of the same model: shuffled mask indices by ``torch.rand``, the whole image embedded and
  three quarters of the tokens dropped, the decoder on all tokens put back in their places, AdamW.
  Neither crops; with ``--crop`` headstart does. headstart's steps run in the format that it
  chooses and in fp32, the plain program's in fp32 and, by autocast, in bf16. Sides take turns,
  another begins in each round; ratios are taken inside a round. Seconds are those of the
  processor, on one thread, so that a busy machine changes little.
- **Seen patches.** Operations of the encoder's forward pass by PyTorch's own counter, and seconds
  forward and back, with all patches and with a quarter of them (``--fraction``).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from timing import describe_machine, markdown_table, pair_ratio
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from headstart.model.reconstruction import MaskedAutoencoder
from headstart.preprocessing import Pixels
from headstart.pretraining.course import optimizer_of
from headstart.pretraining.hiding import Hiding
from headstart.pretraining.objective import Givens
from headstart.pretraining.pixels import PixelLearner
from headstart.pretraining.step_precision import settle_step_precision, unstepped
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.training.batches.order import Share
from headstart.training.contract import Check, Hooks, LoopOptions
from headstart.training.loop import train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.pretraining_defaults import pretraining_recipe
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions


@dataclass(frozen=True)
class Case:
    """A network and how it learns."""

    start: str
    size: int
    channels: int
    batch: int
    fraction: float
    crop: bool
    steps: int


class PlainAutoencoder(nn.Module):
    """The model as a plain program has it: embed all, drop three quarters, put back, decode."""

    def __init__(self, ours: MaskedAutoencoder, num_seen: int) -> None:
        super().__init__()
        self.network, self.decoder, self.side = ours.encoder.network, ours.decoder, ours.side
        self.num_seen = num_seen

    def forward(self, images: Tensor) -> Tensor:
        """Return the loss of a batch of normalised images."""
        net, decoder, side = self.network, self.decoder, self.side
        tokens = net.patch_embed(images) + net.pos_embed
        num, total, width = tokens.shape
        order = torch.rand(num, total, device=images.device).argsort(dim=1)
        back = order.argsort(dim=1)
        keep = order[:, : self.num_seen]
        seen = torch.gather(tokens, 1, keep[..., None].expand(-1, -1, width))
        seen = net.fc_norm(net.norm(net.blocks(net.norm_pre(seen))))
        x = decoder.embed(seen)
        hidden = decoder.hidden.expand(num, total - self.num_seen, -1)
        x = torch.cat([x, hidden], dim=1)
        x = torch.gather(x, 1, back[..., None].expand(-1, -1, x.shape[-1])) + decoder.pos_embed
        for block in decoder.blocks:
            x = block(x)
        told = decoder.pixels(decoder.norm(x))
        patches = functional.unfold(images, side, stride=side).transpose(1, 2)
        mean = patches.mean(-1, keepdim=True)
        wanted = (patches - mean) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
        told = told.float()
        mask = torch.ones(num, total, device=images.device)
        mask.scatter_(1, keep, 0.0)
        return (((told - wanted) ** 2).mean(-1) * mask).sum() / mask.sum()


def make(case: Case) -> PixelLearner:
    """Return a learner on random images."""
    request = BuildRequest(image_size=(case.size, case.size), image_channels=case.channels)
    torch.manual_seed(0)
    encoder = build_encoder(find_start(case.start), request)
    module = MaskedAutoencoder(encoder, decoder_width=128, decoder_blocks=2)
    draws = np.random.default_rng(0)
    shape = (16 * case.batch, case.size, case.size, case.channels)
    images = draws.integers(0, 256, shape, dtype=np.uint8)
    num = len(images)
    inputs = Pixels(images, np.zeros(num, np.int64), np.arange(num), [""] * num)
    # as long as a training, so that a format is chosen
    options = PretrainingOptions(objective="mae", batch_size=case.batch, num_steps=100_000)
    recipe = pretraining_recipe(options, num, augmented="crop" if case.crop else "none")
    seen = module.num_patches - round(case.fraction * module.num_patches)
    images_of = (inputs, inputs)
    learner = PixelLearner(module, recipe, None, images_of, Hiding(seen, True), 1)  # type: ignore[arg-type]
    start, device = find_start(case.start), torch.device("cpu")
    settle_step_precision(learner, Givens(options, start, device, Budget(None), Decisions()))
    return learner


def ours_seconds(learner: PixelLearner, case: Case, *, is_narrow: bool) -> float:
    """Return the seconds of one step of headstart's loop, in the format chosen or in fp32."""
    learner = copy.copy(learner)
    learner.recipe = learner.recipe if is_narrow else unstepped(learner.recipe)
    feed = learner.feed(Share())
    ends: list[float] = []

    def stop() -> bool:
        ends.append(time.process_time())
        return False

    hooks = Hooks(
        batches=feed.batches,
        compute_loss=learner.compute_loss,
        check=lambda: Check(0.0, 1.0, 0.0),
        learning_rate_factor=lambda progress: 1.0,
        set_mode=learner.module.train,
        stop_requested=stop,
    )
    options = LoopOptions(case.steps, 10**9, 10**9, case.batch, 1.0, 0.0, 0, 0)
    recipe = replace(learner.recipe, learning_rate=1e-5)
    train(learner.module, optimizer_of(learner.encoder, learner.module, recipe), hooks, options)
    feed.close()
    return statistics.median(np.diff(ends[1:]).tolist())


def plain_seconds(learner: PixelLearner, case: Case, *, is_narrow: bool) -> float:
    """Return the seconds of one step of the plain program."""
    model = PlainAutoencoder(learner.module, learner.hiding.num_seen).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05)
    arrays = learner.train.arrays(np.arange(len(learner.train)))[0]
    pixels, spent = torch.from_numpy(np.ascontiguousarray(arrays)), []
    for step in range(case.steps):
        began = time.process_time()
        chosen = torch.randint(0, len(pixels), (case.batch,))
        images = (pixels[chosen].permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
        with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
            loss = model(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())
        if step:
            spent.append(time.process_time() - began)
    return statistics.median(spent)


def compare(learner: PixelLearner, case: Case, rounds: int) -> str:
    """Return a table of images a second, both programs in two formats."""
    ours, plain = partial(ours_seconds, learner, case), partial(plain_seconds, learner, case)
    sides: dict[str, Callable[[], float]] = {
        "headstart": partial(ours, is_narrow=True),
        "headstart, fp32": partial(ours, is_narrow=False),
        "plain, fp32": partial(plain, is_narrow=False),
        "plain, bf16": partial(plain, is_narrow=True),
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            spent[name].append(sides[name]())
    rows = [
        [name, f"{case.batch / statistics.median(seconds):,.0f}"]
        + [str(pair_ratio(seconds, spent[own])) for own in names[:2]]
        for name, seconds in spent.items()
    ]
    return markdown_table(["side", "images/s", "headstart against it", "in fp32 against it"], rows)


def seen_cost(learner: PixelLearner, case: Case, rounds: int) -> tuple[list[float], list[float]]:
    """Return GFLOP forward, and seconds forward and back, of all patches and of those seen."""
    module = learner.module
    images = torch.randn(case.batch, case.channels, case.size, case.size)
    order = torch.stack([torch.randperm(module.num_patches) for _ in range(case.batch)])
    places = [order, order[:, : learner.hiding.num_seen]]

    def step(which: Tensor) -> None:
        module.visible(images, which).square().mean().backward()

    work = []
    for which in places:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module.visible(images, which)
        work.append(counter.get_total_flops() / 1e9)
    return work, alternate([lambda w=w: step(w) for w in places], rounds)


def alternate(pieces: list[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each, in rounds that alternate."""
    spent: list[list[float]] = [[] for _ in pieces]
    for number in range(rounds + 1):
        for seconds, piece in zip(spent, pieces, strict=True):
            began = time.process_time()
            piece()
            if number:  # the first warms up
                seconds.append(time.process_time() - began)
    return [statistics.median(seconds) for seconds in spent]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", default="scratch/vit-mini")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--fraction", type=float, default=0.75)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crop", action="store_true")
    said = parser.parse_args()
    names = ("start", "size", "channels", "batch", "fraction", "crop", "steps")
    case = Case(**{name: getattr(said, name) for name in names})
    torch.set_num_threads(1)
    keep_freed_memory()
    learner = make(case)
    print(describe_machine(1).sentence())
    about = f"{case.start}, {case.size} px, batch {case.batch}"
    print(f"{about}; headstart's own choice: steps in {learner.recipe.stepped_precision}")
    print(compare(learner, case, said.rounds))
    work, seconds = seen_cost(learner, case, said.rounds)
    head = ["encoder", "patches", "GFLOP forward", "s forward and back"]
    counts = [learner.module.num_patches, learner.hiding.num_seen]
    rows = [
        [name, str(num), f"{gflop:.2f}", f"{each:.3f}"]
        for name, num, gflop, each in zip(("all", "seen"), counts, work, seconds, strict=True)
    ]
    rows.append(["share", f"{counts[1] / counts[0]:.2f}", f"{work[1] / work[0]:.3f}"])
    rows[-1].append(f"{seconds[1] / seconds[0]:.3f}")
    print(markdown_table(head, rows))


if __name__ == "__main__":
    main()
