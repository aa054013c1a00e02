r"""What each option does: on against off, on six small sets, the table of docs/results.md.

    HEADSTART_DATA=… OMP_NUM_THREADS=1 python benchmarks/option_effects.py measure    # ~40 min
    HEADSTART_DATA=… python benchmarks/option_effects.py measure --sets adult --seeds 0 1 2 3 4
    python benchmarks/option_effects.py table                                         # at once
    python benchmarks/option_effects.py table --figure log_loss
    python benchmarks/option_effects.py clear                 # what lies beyond its interval

Every training is headstart's default for the set's start, a few hundred steps long, and one option
away from it; with it everything else is the same: samples, order, random numbers, seed. Where the
default is *on*, *off* is one option away. ``strategy`` and ``schedule`` are held against the
family's own, ``augment`` against none. Told is on minus off on the same test items: by seed with
the interval of a paired bootstrap over the items, over the seeds with the interval of seeds and
items together (``evaluation.over_seeds``). Seconds are those of the processor, from the probe to
the last validation. Rows are written one by one, and what the file holds already is not done again.
``--precision fp32`` is for a machine without bf16 units, where the sets' own takes far longer.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zoo_starts
from option_effects_data import SETS, EffectSet
from timing import markdown_table

from headstart.evaluation import class_sums, over_seeds, resample_together
from headstart.events import unheard
from headstart.model import model_outputs, run_batches
from headstart.objectives import item_losses
from headstart.starts import find_start
from headstart.tasks import Task, array_of
from headstart.training.batches.augment import POLICIES, choose_policy
from headstart.training.options.strategies import STRATEGIES, default_strategy
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import Arm
from headstart.tuning.calibrating import calibrate
from headstart.tuning.conditions import Conditions
from headstart.tuning.deciding import DecidingAsked, settle_deciding
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.types import Dataset, Figure, Rows, SplitName

OUT = Path(__file__).parent / "data" / "option_effects.csv"
FIGURES = ("accuracy", "f1_macro", "log_loss")
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
IMAGES, TEXTS, TABLES = ("flowers", "cifar-20to1"), ("trec",), ("adult", "adult-20to1")
VIT = ("digits",)  # small, for what only a transformer of images has, and what it may like
NETWORKS = (*IMAGES, *TEXTS, *TABLES)
ALL = (*NETWORKS, *VIT)
PRETRAINED = ("flowers", "trec")


@dataclass(frozen=True)
class Effect:
    """One option, on and off.

    Attributes:
        name: What the table calls it.
        on: What is said.
        off: What is said instead; empty for the default.
        sets: On which it means something.
        threshold: What thresholds are tuned for, after the training, on the side that is on.
    """

    name: str
    on: Mapping[str, Any]
    off: Mapping[str, Any] = field(default_factory=dict)
    sets: Sequence[str] = NETWORKS
    threshold: str | None = None


EFFECTS = (
    Effect("L2 (weight_decay), the family's own", {}, {"weight_decay": 0.0}, ALL),
    Effect("L2 (weight_decay 0.3)", {"weight_decay": 0.3}, {"weight_decay": 0.0}),
    Effect("L1 (l1_penalty 1e-5)", {"l1_penalty": 1e-5}),
    Effect("L1 (l1_penalty 1e-4)", {"l1_penalty": 1e-4}),
    Effect("dropout 0.2", {"dropout": 0.2}),
    Effect("encoder_dropout 0.1", {"encoder_dropout": 0.1}, {"encoder_dropout": 0.0}, TEXTS),
    Effect("drop_path 0.1", {"drop_path": 0.1}, {"drop_path": 0.0}, VIT),
    Effect("label_smoothing 0.1", {"label_smoothing": 0.1}, {"label_smoothing": 0.0}, ALL),
    Effect("mixup 0.2", {"mixup": 0.2}, {"mixup": 0.0}, (*IMAGES, *VIT)),
    Effect("cutmix 1.0", {"cutmix": 1.0}, {"cutmix": 0.0}, (*IMAGES, *VIT)),
    *(
        Effect(f"augment {name}", {"augment": name}, {"augment": "none"}, IMAGES)
        for name in POLICIES
        if name != "none"
    ),
    Effect("early stopping (patience 2)", {"patience": 2}, {"patience": 0}),
    Effect("EMA (ema)", {"ema": True}, {"ema": False}, ALL),
    Effect("class weights (imbalance weights)", {"imbalance": "weights"}),
    Effect("oversampling (imbalance oversample)", {"imbalance": "oversample"}),
    Effect("tuned threshold (threshold f1)", {}, sets=TABLES, threshold="f1"),
    Effect("accumulation (micro_batch_size 8)", {"micro_batch_size": 8}),
    *(
        # adapters are for transformers
        Effect(
            f"strategy {one.name}",
            {"strategy": one.name},
            sets=TEXTS if one.adapters else PRETRAINED,
        )
        for one in STRATEGIES.values()
    ),
    *(
        Effect(f"schedule {name}", {"schedule": name}, sets=ALL)
        for name in ("constant", "cosine", "linear", "one-cycle")
    ),
)


@dataclass(frozen=True, eq=False)
class Made:
    """What a training came to.

    Attributes:
        task: Decides.
        outputs: Of val and of test.
        losses: Of each test item.
        seconds: Of the processor.
    """

    task: Task
    outputs: tuple[Rows, Rows]
    losses: np.ndarray
    seconds: float

    @property
    def decisions(self) -> np.ndarray:
        """Of the test items."""
        return np.asarray(self.task.decisions(self.outputs[1]))


class Block:
    """All trainings of one set and one seed; two options that are the same training run once."""

    def __init__(self, target: EffectSet, dataset: Dataset, seed: int) -> None:
        self.target, self.dataset, self.seed = target, dataset, seed
        self.start = find_start(target.start)
        self._made: dict[str, Made] = {}
        self._default = self._key(self._setup({}), None)

    def difference(self, effect: Effect) -> dict[str, Any] | None:
        """Return a row of the file; None where on and off are the same training."""
        on, off = self._side(effect.on, effect.threshold), self._side(effect.off, None)
        if on[0] == off[0]:
            return None
        made, other = on[1], off[1]
        targets, num = array_of(self.dataset.test.targets), len(self.dataset.schema.classes)
        each = [class_sums(one.decisions, targets, num, one.losses) for one in (other, made)]
        drawn = resample_together(each, len(targets))
        which = {on[0]: "on", off[0]: "off"}.get(self._default, "")
        row: dict[str, Any] = {"default": which}
        row |= {"seconds_on": made.seconds, "seconds_off": other.seconds}
        for name in FIGURES:
            found = drawn[0].difference(drawn[1], name)
            row |= {f"{name}_off": drawn[0].values[name], name: found.value}
            row |= {f"{name}_low": found.low, f"{name}_high": found.high}
        return row

    def _side(self, said: Mapping[str, Any], threshold: str | None) -> tuple[str, Made]:
        setup = self._setup(said)
        key = self._key(setup, threshold)
        if key not in self._made and threshold is None:
            self._made[key] = self._train(setup)
        if key not in self._made:
            self._made[key] = self._decided(self._side(said, None)[1], threshold)
        return key, self._made[key]

    def _decided(self, made: Made, threshold: str | None) -> Made:
        """Return the same training, whose answers are made by a threshold that val has tuned."""
        data, began = self.dataset, time.process_time()
        asked, on_val = DecidingAsked(threshold=threshold), made.outputs[0]
        found, _ = settle_deciding(asked, made.task, on_val, data.val.targets, data.schema)
        seconds = made.seconds + time.process_time() - began
        return replace(made, task=made.task.deciding_by(found), seconds=seconds)

    def _key(self, setup: TrainingSetup, threshold: str | None) -> str:
        return json.dumps([asdict(setup.recipe), threshold], sort_keys=True)

    def _setup(self, said: Mapping[str, Any]) -> TrainingSetup:
        chosen: dict[str, Any] = {"strategy": default_strategy(self.start)[0].name}
        if self.dataset.schema.facts.is_augmented:
            size = self.dataset.image_size or (224, 224)
            chosen["augment"], _ = choose_policy(size, self.dataset.image_channels or 3)
        chosen |= {**self.target.options, "seed": self.seed, **said}
        if not STRATEGIES[chosen["strategy"]].loops:
            chosen = {k: v for k, v in chosen.items() if k not in ("num_steps", "batch_size")}
        options = TrainingOptions(**chosen)
        return set_up(self.dataset, self.start, options, device=torch.device("cpu"))

    def _train(self, setup: TrainingSetup) -> Made:
        data = self.dataset
        train, val, test = (prepare_sample(data, n, setup, None, seed=self.seed) for n in SPLITS)
        # what one training keeps must not be free for the next
        with tempfile.TemporaryDirectory(prefix="option-effects-") as cache:
            os.environ["HEADSTART_CACHE"] = cache
            began = time.process_time()
            arm = Arm(setup, train, val, Conditions())
            arm.start()
            arm.advance()
            tuned = arm.finish()
            seconds = time.process_time() - began
        model = setup.model
        calibrate(model, tuned.val_logits, val.targets)
        task, logits = model.task, run_batches(model, test, model)
        outputs = (model_outputs(model, tuned.val_logits), model_outputs(model, logits))
        losses = item_losses(task.name, logits, test.targets, temperature=model.temperature)
        return Made(task, outputs, losses, seconds)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file, none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write one row at the end of a file, which is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def measure(
    path: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    precision: str | None = None,
    only: Sequence[str] = ("",),
) -> None:
    """Train what the file does not hold yet, in the sets' own number format or in another."""
    effects = [e for e in EFFECTS if any(word in e.name for word in only)]
    zoo_starts.install()
    data = Path(os.environ["HEADSTART_DATA"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    known = {(row["target"], row["option"], int(row["seed"])) for row in read_rows(path)}
    for seed in seeds:
        for name in names:
            wanted = [e for e in effects if name in e.sets and (name, e.name, seed) not in known]
            if not wanted:
                continue
            with unheard():
                target = SETS[name]
                if precision is not None:
                    target = replace(target, options={**target.options, "precision": precision})
                block = Block(target, target.dataset(name, data), seed)
                for effect in wanted:
                    began = time.process_time()
                    found = block.difference(effect)
                    if found is None:
                        continue
                    head = {"target": name, "option": effect.name, "seed": seed}
                    append_row(path, {**head, **found})
                    spent = time.process_time() - began
                    print(f"{name} {effect.name} {seed}: {spent:.1f} s", flush=True)


# The table ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What an option does on a set, over the seeds."""

    target: str
    option: str
    default: str
    difference: Figure
    seconds: float
    seconds_off: float
    num_seeds: int

    @property
    def is_clear(self) -> bool:
        """Whether its interval leaves zero out."""
        return self.difference.low > 0 or self.difference.high < 0


def findings(rows: Sequence[Mapping[str, str]], figure: str | None) -> Iterator[Found]:
    """Return what every option does on every set.

    Args:
        rows: Of the file.
        figure: Which; None is each set's own.
    """
    of: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        of.setdefault((row["target"], row["option"]), []).append(row)
    for (target, option), each in of.items():
        name = figure or SETS[target].figure
        told = [_figure(row, name) for row in each]
        seconds = [float(row["seconds_on"]) - float(row["seconds_off"]) for row in each]
        off = float(np.mean([float(row["seconds_off"]) for row in each]))
        default = each[0]["default"]
        mean = float(np.mean(seconds))
        yield Found(target, option, default, over_seeds(told), mean, off, len(each))


def _figure(row: Mapping[str, str], name: str) -> Figure:
    value, low, high = (float(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    # two sides that decide alike on every item differ by nothing that the items could move
    return Figure(value, *((value, value) if np.isnan(low) else (low, high)))


def table(path: Path, figure: str | None) -> str:
    """Return the table, an option a row and a set a column."""
    found = {(one.option, one.target): one for one in findings(read_rows(path), figure)}
    names = list(dict.fromkeys(effect.name for effect in EFFECTS))
    rows = []
    for name in names:
        cells = [_cell(found.get((name, target)), figure) for target in SETS]
        if any(cells):
            rows.append([name, *(cell or "–" for cell in cells)])
    of: dict[str, set[int]] = {target: set() for target in SETS}
    for (_, target), one in found.items():
        of[target].add(one.num_seeds)
    heads = [f"{target}, {_span(of[target])}" for target in SETS]
    return markdown_table(["option, on minus off", *heads], rows)


def _span(numbers: set[int]) -> str:
    if not numbers:
        return "no seed yet"
    low, high = min(numbers), max(numbers)
    told = str(low) if low == high else f"{low} to {high}"
    return f"{told} seed{'s' if high > 1 else ''}"


def _cell(one: Found | None, figure: str | None) -> str:
    if one is None:
        return ""
    scale, digits = (1.0, 3) if figure == "log_loss" else (100.0, 1)
    value, low, high = (scale * x for x in asdict(one.difference).values())
    told = f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
    told = f"**{told}**" if one.is_clear else told
    mark = {"on": " ●", "off": "", "": " ○"}[one.default]
    return f"{told}{mark}, {one.seconds:+.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["measure", "table", "clear"])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="each set's own otherwise")
    parser.add_argument("--only", nargs="+", default=[""], help="options whose names hold a word")
    parser.add_argument("--figure", choices=FIGURES, help="for the table; each set's own")
    args = parser.parse_args()
    if args.what == "measure":
        measure(args.out, args.sets, args.seeds, args.precision, args.only)
    elif args.what == "table":
        print(table(args.out, args.figure))
    else:
        for one in findings(read_rows(args.out), args.figure):
            if one.is_clear:
                print(f"{one.target}: {one.option} {_cell(one, args.figure)} ({one.num_seeds})")


if __name__ == "__main__":
    main()
