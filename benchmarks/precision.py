"""Steps in bf16 or in fp32: whether a training ends at the same accuracy, family by family.

    python benchmarks/precision.py                     # all rows, five seeds: an hour on one core
    python benchmarks/precision.py --rows minilm-sst2

Each row is a start on a data set. For every seed both trainings begin with the same weights, see
the same batches and draw the same random numbers; only the format of the steps differs, settled as
the product would settle it (bf16 with its own kernels against plain fp32), and validation and test
run in fp32 for both. Told is the difference of the test accuracies, paired: its mean over the seeds
with a 95 % interval of Student's t, and beside it the interval that the test set gives one
accuracy: a difference within it nobody would see. Trainings are short, since the question is asked
of the arithmetic, not of the recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from timing import markdown_table, wilson_interval

HERE = Path(__file__).parent
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
FORMATS = ("fp32", "bf16")


@dataclass(frozen=True)
class Row:
    """A start on a data set, and how long it trains."""

    start: str
    data: str
    family: str
    num_steps: int
    options: Mapping[str, Any]


SMALL = {"batch_size": 32, "input_size": 64}
TINY = {"batch_size": 64, "input_size": 16}
TEXT = {"batch_size": 32, "max_length": 24}
LITE0, MINILM = "pip/efficientnet-lite0", "pip/all-minilm-l6-v2"
ROWS = {
    "lite0-flowers5": Row(LITE0, "flowers5", "convnet, pretrained", 25, SMALL),
    "minilm-sst2": Row(MINILM, "sst2", "bert, pretrained", 30, TEXT),
    "lite0-cifar10": Row(LITE0, "cifar10", "convnet, pretrained", 25, SMALL),
    "vit-cifar10": Row("scratch/vit-tiny", "cifar10", "vit, random", 100, TINY),
    "bert-sst2": Row("scratch/bert-tiny", "sst2", "bert, random", 200, TEXT),
    "resnet18-cifar10": Row("scratch/resnet18", "cifar10", "convnet, random", 40, TINY),
    "vit-flowers5": Row("scratch/vit-tiny", "flowers5", "vit, random", 100, TINY),
    "resnet18-flowers5": Row("scratch/resnet18", "flowers5", "convnet, random", 40, TINY),
}


def load_data(name: str) -> Any:
    from headstart.data import load

    if name != "sst2":
        return load(name)
    folder = Path(os.environ["HEADSTART_DATA"]) / "text/sst2"
    return load(str(folder / "train.tsv"), header=["text", "label"], label="label")


def train_once(
    row: Row, data: Any, precision: str, seed: int, num_train: int, num_test: int
) -> dict[str, Any]:
    """Train; return accuracy on the same test items, loss and seconds of the steps."""
    import numpy as np
    import torch

    from headstart.events import unheard
    from headstart.model import run_batches
    from headstart.starts import find_start
    from headstart.training.options.defaults import defaults_for
    from headstart.training.options.strategies import default_strategy
    from headstart.training.options.training_options import TrainingOptions
    from headstart.tuning import step_format
    from headstart.tuning.arm import Arm
    from headstart.tuning.conditions import Conditions
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.setup import prepare_sample, set_up
    from headstart.tuning.step_format import StepFormat

    # asked of families that are not known to lose nothing, too
    step_format.defaults_for = lambda start: replace(defaults_for(start), bf16_steps=True)
    start = find_start(row.start)
    is_image = start.modality == "image"
    options = TrainingOptions(
        strategy=default_strategy(start)[0].name,
        num_steps=row.num_steps,
        augment="standard" if is_image else "none",
        seed=seed,
        **row.options,
    )
    setup = set_up(data, start, options, device=torch.device("cpu"))
    train = prepare_sample(data, "train", setup, num_train, seed=0)
    val = prepare_sample(data, "val", setup, 200, seed=0)
    test = prepare_sample(data, "test", setup, num_test, seed=0)
    chosen = StepFormat(precision, True, precision == "bf16")  # type: ignore[arg-type]
    record = {"value": asdict(chosen), "told": "", "why": "", "given": 1}
    conditions = Conditions(
        decisions=Decisions({"step_format": record}),  # type: ignore[dict-item]
        open_options=frozenset({"precision"}),
    )
    with unheard():
        arm = Arm(setup, train, val, replace(conditions, is_micro_batch_said=True))
        arm.start()
        began = time.process_time()
        arm.advance()
        seconds = time.process_time() - began
        arm.finish()
        assert setup.recipe.stepped_precision == precision
        logits = run_batches(setup.model, test, setup.model)
    right = np.asarray(logits).argmax(axis=1) == np.asarray(test.targets)
    return {"right": right.tolist(), "seconds": seconds}


def tell(name: str, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[object]:
    """Return the cells of a row."""
    means = {one: [statistics.mean(run["right"]) for run in runs[one]] for one in FORMATS}
    differences = [b - a for a, b in zip(means["fp32"], means["bf16"], strict=True)]
    num = len(differences)
    mean = statistics.mean(differences)
    half = STUDENT[num] * statistics.stdev(differences) / num**0.5
    items = len(runs["fp32"][0]["right"])
    fp32 = statistics.mean(means["fp32"])
    low, high = wilson_interval(round(fp32 * items), items)
    seconds = [sum(run["seconds"] for run in runs[one]) for one in FORMATS]
    return [
        name,
        ROWS[name].family,
        f"{100 * fp32:.1f} ({100 * low:.1f}–{100 * high:.1f})",
        f"{100 * statistics.mean(means['bf16']):.1f}",
        f"{100 * mean:+.2f} ({100 * (mean - half):+.2f} to {100 * (mean + half):+.2f})",
        f"{seconds[0] / seconds[1]:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, choices=list(STUDENT), default=5)
    parser.add_argument("--train", type=int, default=5_000, help="train items, at the most")
    parser.add_argument("--test", type=int, default=1_000, help="test items, at the most")
    parser.add_argument("--steps", type=float, default=1.0, help="times the steps of each row")
    parser.add_argument("--json", type=Path, help="file for what was measured")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    cells, kept = [], {}
    for name in options.rows:
        row, began = ROWS[name], time.monotonic()
        row = replace(row, num_steps=round(options.steps * row.num_steps))
        data = load_data(row.data)
        runs: dict[str, list[dict[str, Any]]] = {one: [] for one in FORMATS}
        for seed in range(options.seeds):
            for one in FORMATS:
                runs[one].append(train_once(row, data, one, seed, options.train, options.test))
        cells.append(tell(name, runs))
        kept[name] = runs
        print(*cells[-1], f"{time.monotonic() - began:.0f} s", sep=" | ", flush=True)
        if options.json:
            options.json.write_text(json.dumps(kept) + "\n")
    columns = ["row", "family", "fp32, % (95 %)", "bf16, %", "difference, points (95 %)"]
    print(markdown_table([*columns, "CPU time of steps, fp32 / bf16"], cells))


if __name__ == "__main__":
    main()
