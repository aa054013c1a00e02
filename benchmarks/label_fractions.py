"""Few labels: a start pretrained on images without labels, against none, on the same test items.

    HEADSTART_DATA=… python benchmarks/label_fractions.py pretrain --out runs/curve --budget 5m
    HEADSTART_DATA=… python benchmarks/label_fractions.py curve --out runs/curve
    HEADSTART_DATA=… python benchmarks/label_fractions.py table --out runs/curve
    HEADSTART_DATA=… python benchmarks/label_fractions.py picture --out runs/curve > curve.svg
    HEADSTART_DATA=… python benchmarks/label_fractions.py rates --out runs/curve

``pretrain`` learns from the images of train, without labels (``headstart pretrain --objective
mae``); stopped, the same command goes on. ``curve`` fine-tunes at 1, 10 and 100 % of the labels:
from that start as a probe, with its last two layers, and whole; the same network from random
weights, also as a probe and in the same way as the start, since a probe before training helps
random weights, too; and pixels with logistic regression. Each is one ``hs.finetune``, so that every
figure comes from a run folder; what stands there already is not run again, and ``--most-seconds``
ends the command between two runs. ``table`` prints what there is. ``rates`` fine-tunes the start
whole at several peak rates (``--rates``) and multiples of the first layer (``--bottoms``), and
prints each beside the first, paired by seed. The test items are the same;
each seed draws its own labelled samples, and the intervals are over seeds (Student's t), or over
test items where there is one seed.

Defaults are the small version for two CPU cores: 10,000 images of train, brought to 16 pixels,
``scratch/vit-mini``. The full version, for a GPU:

    … pretrain --out runs/full --start scratch/vit-tiny --size 28 --images 0 --budget 15m
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from timing import describe_machine, markdown_table

import headstart as hs
from headstart.errors import Interrupted
from headstart.preprocessing.samples import take
from headstart.types import Dataset, Split

FRACTIONS = (0.01, 0.1, 1.0)
WAYS: dict[str, dict[str, Any]] = {
    "own start, probe": {"start": "own", "strategy": "head"},
    "own start, last 2": {"start": "own", "strategy": "last-n", "num_last_layers": 2},
    "own start, full": {"start": "own", "strategy": "lp-ft"},
    "random weights, full": {"start": "random", "strategy": "full"},
    "random weights, probe": {"start": "random", "strategy": "head"},
    "random weights, probe first": {"start": "random", "strategy": "lp-ft"},
}
PIXELS = "pixels + logistic regression"
SHOWN = {  # in the picture: its words and its colour, told apart by who sees no red or green
    "own start, full": ("own start, fine-tuned", "#0072b2"),
    PIXELS: ("pixels, logistic regression", "#cc7a00"),
    "random weights, full": ("the same network from scratch", "#b0539b"),
}
LEAST_SHOWN = 0.2  # accuracy at the foot of the picture
LEARNED = 600  # steps of a fine-tuning at the most
VAL_SHARE = 0.2  # of the labelled samples


def chosen(split: Split, places: np.ndarray) -> Split:
    """Return some samples of a split."""
    more = {
        n: getattr(split, n)[places]
        for n in ("contents", "groups")
        if getattr(split, n) is not None
    }
    targets, ids = split.targets[places], split.ids[places]
    return replace(split, samples=take(split.samples, places), targets=targets, ids=ids, **more)


def read(said: argparse.Namespace) -> Dataset:
    """Return the data with as many images of train and of test as were asked for."""
    data = hs.load(said.data)
    if said.test_images and said.test_images < len(data.test):
        places = np.sort(np.random.default_rng(1).permutation(len(data.test))[: said.test_images])
        data = replace(data, test=chosen(data.test, places))
    if not said.images or said.images >= len(data.train):
        return data
    places = np.sort(np.random.default_rng(0).permutation(len(data.train))[: said.images])
    return replace(data, train=chosen(data.train, places))


def labelled(data: Dataset, fraction: float, seed: int) -> Dataset:
    """Return the data with labels of a share of train; a fifth of these chooses, as val."""
    draws, targets = np.random.default_rng([seed, 7]), data.train.targets
    learned, judged = [], []
    for kind in np.unique(targets):
        members = draws.permutation(np.flatnonzero(targets == kind))
        num = max(2, round(fraction * len(members)))
        num_val = max(1, round(VAL_SHARE * num))
        judged.append(members[:num_val])
        learned.append(members[num_val:num])
    train, val = (np.sort(np.concatenate(part)) for part in (learned, judged))
    # what was prepared of another number of test images is kept under another name
    name = f"{data.fingerprint}-{len(data.test)}-{fraction}-{seed}"
    return replace(
        data,
        train=chosen(data.train, train),
        val=chosen(data.train, val),
        fingerprint=name,
        source=None,
    )


def pretrain(said: argparse.Namespace) -> None:
    """Make the start, or go on with it."""
    out = Path(said.out) / "start"
    resume = (out / "state" / "plan.json").exists()
    if not resume and (out / "report.html").exists():
        print(f"{out} is finished.")
        return
    try:
        run = hs.pretrain(
            read(said),
            objective="mae",
            start=said.start,
            input_size=said.size,
            decoder_width=said.decoder_width,
            decoder_blocks=said.decoder_blocks,
            batch_size=said.batch,
            learning_rate=said.learning_rate,
            augment=said.augment,
            precision=said.precision,
            budget=said.budget,
            num_steps=said.num_steps,
            out=str(out),
            resume=resume,
        )
    except Interrupted as error:
        print(error)
        return
    print(run.report())


def fine_tune(
    data: Dataset, way: str, said: argparse.Namespace, out: Path, seed: int, **more: Any
) -> None:
    """Fine-tune one way; a run folder stands there afterwards."""
    options = dict(WAYS[way])
    start = str(Path(said.out) / "start") if options.pop("start") == "own" else said.start
    if options["strategy"] != "head":
        epochs = len(data.train) // min(128, len(data.train)) or 1
        options["num_steps"] = int(min(said.steps, max(100, 30 * epochs)))
        options["batch_size"] = min(128, len(data.train))
    hs.finetune(
        data,
        start=start,
        input_size=said.size,
        augment=said.tuned_augment if options["strategy"] != "head" else "none",
        seed=seed,
        out=str(out),
        overwrite=out.exists(),
        **options,
        **more,
    )


def solve_pixels(data: Dataset, out: Path, size: int) -> None:
    """Fit logistic regression to pixels; its accuracy on test stands in the folder."""
    from sklearn.linear_model import LogisticRegression

    from headstart.starts import BuildRequest, build_encoder, find_start

    request = BuildRequest(data.image_size, data.image_channels, size)
    read_pixels = build_encoder(find_start("scratch/vit-mini"), request).preprocess
    parts = {n: read_pixels.prepare(data, n) for n in ("train", "val", "test")}  # type: ignore[arg-type]
    flat = {n: p.arrays(np.arange(len(p)))[0].reshape(len(p), -1) / 255.0 for n, p in parts.items()}
    best, found = -1.0, None
    for strength in (0.01, 0.1, 1.0):
        model = LogisticRegression(C=strength, max_iter=200)
        model.fit(flat["train"], parts["train"].targets)
        score = float(model.score(flat["val"], parts["val"].targets))
        if score > best:
            best, found = score, model
    assert found is not None
    accuracy = float(found.score(flat["test"], parts["test"].targets))
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / len(parts["test"]))
    out.mkdir(parents=True, exist_ok=True)
    figure = {"value": accuracy, "low": accuracy - half, "high": accuracy + half}
    record = {"test": {"figures": {"accuracy": figure}}}
    (out / "metrics.json").write_text(json.dumps(record))


def curve(said: argparse.Namespace) -> None:
    """Run what is not there yet."""
    began, data = time.monotonic(), read(said)
    for seed in range(said.seeds):
        for fraction in said.fractions:
            some = labelled(data, fraction, seed)
            for way in said.ways or (*WAYS, PIXELS):
                out = place(said, way, fraction, seed)
                if (out / "metrics.json").exists() and not (out / "state").exists():
                    continue
                if time.monotonic() - began > said.most_seconds:
                    return
                if way == PIXELS:
                    solve_pixels(some, out, said.size)
                else:
                    fine_tune(some, way, said, out, seed)


def rates(said: argparse.Namespace) -> None:
    """Fine-tune whole at each rate; print accuracies and paired differences from the first."""
    began, data, way = time.monotonic(), read(said), "own start, full"
    pairs = [(rate, bottom) for rate in said.rates for bottom in said.bottoms]
    for seed in range(said.seeds):
        for fraction in said.fractions:
            some = labelled(data, fraction, seed)
            for rate, bottom in pairs:
                out = place(said, f"rate {rate:g} bottom {bottom:g}", fraction, seed)
                if (out / "metrics.json").exists() and not (out / "state").exists():
                    continue
                if time.monotonic() - began < said.most_seconds:
                    more = {"learning_rate": rate, "bottom_multiplier": bottom}
                    fine_tune(some, way, said, out, seed, **more)
    print(describe_machine(1).sentence())
    rows = []
    for rate, bottom in pairs:
        row = [f"{rate:g}", f"{bottom:g}"]
        for fraction in said.fractions:
            own, first = (
                accuracies(said, f"rate {r:g} bottom {b:g}", fraction)
                for r, b in ((rate, bottom), pairs[0])
            )
            both = sorted(own.keys() & first.keys())
            row += [mean_of([own[seed] for seed in both])]
            row += [mean_of([own[seed] - first[seed] for seed in both], "+.4f")]
        rows.append(row)
    head = ["rate", "first layer's"]
    for fraction in said.fractions:
        head += [f"{fraction:.0%} of labels", "minus the first"]
    print(markdown_table(head, rows))


def accuracies(said: argparse.Namespace, way: str, fraction: float) -> dict[int, float]:
    """Return the accuracy of a way by seed, of those that were run."""
    found = {}
    for seed in range(said.seeds):
        file = place(said, way, fraction, seed) / "metrics.json"
        if file.exists():
            figures = json.loads(file.read_text())["test"]["figures"]
            found[seed] = float(figures["accuracy"]["value"])
    return found


def mean_of(values: list[float], form: str = ".4f") -> str:
    """Return a mean with its 95 % interval by Student's t, and how many seeds."""
    from scipy.stats import t

    if len(values) < 2:
        return f"{values[0]:{form}} (1)" if values else "-"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return f"{mean:{form}} [{mean - half:{form}}, {mean + half:{form}}] ({len(values)})"


def place(said: argparse.Namespace, way: str, fraction: float, seed: int) -> Path:
    """Return where a run stands."""
    name = way.replace(" ", "-").replace(",", "").replace("+", "and")
    return Path(said.out) / f"{name}-{fraction:g}-{seed}"


def table(said: argparse.Namespace) -> None:
    """Print the accuracies there are."""
    print(describe_machine(1).sentence())
    rows = []
    for way in said.ways or (*WAYS, PIXELS):
        cells = [told(said, way, fraction) for fraction in said.fractions]
        rows.append([way, *cells])
    own, none = "own start, full", "random weights, full"
    cells = []
    for fraction in said.fractions:
        first, second = (accuracies(said, way, fraction) for way in (own, none))
        both = sorted(first.keys() & second.keys())
        cells.append(mean_of([first[seed] - second[seed] for seed in both], "+.4f"))
    rows.append([f"{own} - {none}", *cells])
    print(markdown_table(["way", *(f"{f:.0%} of labels" for f in said.fractions)], rows))


def told(said: argparse.Namespace, way: str, fraction: float) -> str:
    """Return the accuracy of a way with its interval, and how many seeds."""
    measured = interval(said, way, fraction)
    if measured is None:
        return "-"
    mean, low, high, num = measured
    return f"{mean:.4f} [{low:.4f}, {high:.4f}] ({num})"


def interval(
    said: argparse.Namespace, way: str, fraction: float
) -> tuple[float, float, float, int] | None:
    """Return the accuracy of a way, its interval, and how many seeds; None where there is none."""
    found = []
    for seed in range(said.seeds):
        file = place(said, way, fraction, seed) / "metrics.json"
        if file.exists():
            found.append(json.loads(file.read_text())["test"]["figures"]["accuracy"])
    values = [figure["value"] for figure in found]
    if not values:
        return None
    if len(values) == 1:
        return values[0], found[0]["low"], found[0]["high"], 1
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return mean, mean - half, mean + half, len(values)


def picture(said: argparse.Namespace) -> None:
    """Print accuracy by the share of labels as an SVG, readable on light and dark ground."""
    left, right, top, bottom = 60, 520, 30, 300
    shares = sorted(said.fractions)

    def across(share: float) -> float:
        ends = math.log(shares[0]), math.log(shares[-1])
        return left + 20 + (math.log(share) - ends[0]) / (ends[1] - ends[0]) * (right - left - 40)

    def down(value: float) -> float:
        return bottom - (min(1.0, max(LEAST_SHOWN, value)) - LEAST_SHOWN) / (1 - LEAST_SHOWN) * (
            bottom - top
        )

    grey = 'fill="#777" font-family="sans-serif" font-size="13"'
    parts = [f'<text x="{left}" y="18" {grey}>Accuracy on 10,000 test images</text>']
    for value in np.linspace(LEAST_SHOWN, 1, 5):
        y = down(float(value))
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#999" stroke-opacity=".35"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" {grey}>')
        parts.append(f"{value:.2f}</text>")
    for share in shares:
        parts.append(f'<text x="{across(share):.1f}" y="322" text-anchor="middle" {grey}>')
        parts.append(f"{share:.0%}</text>")
    parts.append(f'<text x="290" y="342" text-anchor="middle" {grey}>of the labels</text>')
    for number, (way, (name, colour)) in enumerate(SHOWN.items()):
        measured = [(share, interval(said, way, share)) for share in shares]
        known = [(across(share), one) for share, one in measured if one is not None]
        line = " ".join(f"{x:.1f},{down(one[0]):.1f}" for x, one in known)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        for x, (mean, low, high, _) in known:
            parts.append(f'<path d="M{x:.1f} {down(low):.1f}V{down(high):.1f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{down(mean):.1f}" r="4" fill="{colour}"/>')
        y = 210 + 22 * number
        parts.append(f'<circle cx="330" cy="{y - 4}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="342" y="{y}" {grey}>{name}</text>')
    body = "\n".join(parts)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 350">\n{body}\n</svg>')


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("pretrain", "curve", "table", "picture", "rates"))
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--start", default="scratch/vit-mini")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--test-images", type=int, default=0, help="all when not given")
    parser.add_argument("--budget", default=None)
    parser.add_argument("--num-steps", type=int, help="of the pretraining, in place of a budget")
    parser.add_argument("--precision", default="auto", help="of the pretraining's steps")
    parser.add_argument("--ways", nargs="+", choices=(*WAYS, PIXELS), help="all when not given")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--augment", default="none")
    parser.add_argument("--tuned-augment", default="digits")
    parser.add_argument("--decoder-width", type=int, default=64)
    parser.add_argument("--decoder-blocks", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=LEARNED)
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--rates", type=float, nargs="+", default=(1e-4, 3e-4, 1e-3))
    parser.add_argument("--bottoms", type=float, nargs="+", default=(0.05,))
    parser.add_argument("--most-seconds", type=float, default=float("inf"))
    said = parser.parse_args()
    todo = {
        "pretrain": pretrain,
        "curve": curve,
        "table": table,
        "picture": picture,
        "rates": rates,
    }
    todo[said.what](said)


if __name__ == "__main__":
    main()
