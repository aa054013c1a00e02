"""MNIST from scratch: the textbook program against headstart, same network, same cores.

    python benchmarks/mnist_scratch.py            # three seeds, about twenty minutes on two cores
    python benchmarks/mnist_scratch.py --quick    # one seed

Two questions. How long until 99.0 % test accuracy? How accurate after equally many epochs? Both
sides run in turn, each in a fresh process; the raw files lie unpacked on disk before any clock
starts. What is counted:

- textbook: from before the data set objects are built to the end of the evaluation that first shows
  the target. Its per-epoch test evaluations are part of the program and count.
- headstart: from before ``hs.load``, with an empty cache, to the end of the test pass that first
  shows the target: reading, training, its validation checks, the test. It plans 0.62 of
  an epoch (``--plan``, chosen on other seeds), with its learning rate annealed to zero over just
  that; a run that misses the target is charged in full (with the baseline, report and run folder
  that follow the test), and followed by runs planned for 1, 2 … epochs, until one reaches it.

Imports are left out of both. "whole process" has them in: for headstart the processes from start to
exit, for the textbook the counted time and the process's start-up. headstart keeps a validation
split aside (``--val-fraction``), so that its epoch has fewer images.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from timing import (
    Machine,
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

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
NUM_TEST = 10_000


def prepare_raw(root: Path) -> Path:
    """Put the unpacked IDX files where torchvision looks: ``root/MNIST/raw``.

    They are taken from ``HEADSTART_DATA/mnist`` when that variable is set, otherwise downloaded.

    Returns:
        The folder that ``HEADSTART_DATA`` should name for headstart to find the same files, so that
        neither side downloads while its clock runs.

    Raises:
        FileNotFoundError: If ``HEADSTART_DATA`` is set and lacks one of the four files.
    """
    raw = root / "MNIST" / "raw"
    data = Path(os.environ.get("HEADSTART_DATA", root))
    if "HEADSTART_DATA" not in os.environ:
        from torchvision.datasets import MNIST

        MNIST(str(root), download=True)  # leaves the .gz files beside the unpacked ones
        (root / "mnist").mkdir()
        for packed in raw.glob("*.gz"):
            shutil.copy(packed, root / "mnist")
        return data
    raw.mkdir(parents=True)
    for name in FILES:
        packed = data / "mnist" / f"{name}-ubyte.gz"
        if not packed.exists():
            raise FileNotFoundError(
                f"{packed} is missing. HEADSTART_DATA should hold mnist/ with the four IDX .gz "
                "files; unset it to download them."
            )
        with gzip.open(packed, "rb") as reader, (raw / f"{name}-ubyte").open("wb") as writer:
            shutil.copyfileobj(reader, writer)
    return data


def run_textbook(options: Mapping[str, object]) -> dict[str, object]:
    """Train the textbook way until the target and the equal epochs are both behind.

    Returns:
        ``epochs``: a list of [epoch, test accuracy, seconds]; ``num_parameters``.
    """
    import torch
    from textbook_mnist import Net, epochs

    torch.set_num_threads(int(number(options, "num_threads")))
    target, least = number(options, "target"), int(number(options, "least_epochs"))
    rows: list[tuple[int, float, float]] = []
    for row in epochs(
        str(options["root"]), int(number(options, "seed")), int(number(options, "max_epochs"))
    ):
        rows.append(row)
        if row[0] >= least and max(accuracy for _, accuracy, _ in rows) >= target:
            break
    num_parameters = sum(parameter.numel() for parameter in Net().parameters())
    return {"epochs": rows, "num_parameters": num_parameters}


def headstart_call(options: Mapping[str, object]) -> Callable[[], dict[str, object]]:
    """Return a function that loads MNIST, trains for the planned epochs, and tests.

    Each call writes a run folder of its own and returns accuracy, seconds to the test figure,
    seconds of the whole call, training images, and parameters.
    """
    import torch
    from milestones import import_everything, stopwatch

    import headstart as hs

    import_everything()
    torch.set_num_threads(int(number(options, "num_threads")))
    folder = Path(str(options["out"]))
    num_calls = 0

    def call() -> dict[str, object]:
        nonlocal num_calls
        num_calls += 1
        with stopwatch() as watch:
            data = hs.load("mnist", val_fraction=number(options, "val_fraction"))
            run = hs.finetune(
                data,
                start="scratch/simple-cnn",
                strategy="full",
                out=str(folder / f"run-{num_calls}"),
                num_epochs=number(options, "epochs"),
                augment="none",  # the textbook program has none either
                optimizer=options["optimizer"],
                precision=options["precision"],
                device="cpu",
                seed=int(number(options, "seed")),
            )
            seconds = watch.seconds
        return {
            "accuracy": float(run.metrics["test"]["figures"]["accuracy"]["value"]),
            "seconds": watch.require_test_seconds(),
            "call_seconds": seconds,
            "num_train": len(data.train),
            "num_parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        }

    return call


def run_headstart(options: Mapping[str, object]) -> dict[str, object]:
    """Train with headstart for the planned epochs, from an empty cache."""
    return headstart_call(options)()


def run_profile(options: Mapping[str, object]) -> dict[str, object]:
    """Say where the time of headstart's one-epoch run goes."""
    from kernels import profile_run, report_lines

    report = profile_run(headstart_call(options), int(number(options, "num_threads")))
    return {"lines": report_lines(report, number(options, "peak_gflops"))}


SIDES = {"textbook": run_textbook, "headstart": run_headstart, "profile": run_profile}


def side_result(side: str, arguments: argparse.Namespace, **extra: object) -> dict[str, object]:
    """Run one side in a fresh process with a cache folder that it finds empty."""
    with tempfile.TemporaryDirectory(prefix="headstart-setup-out-") as folder:
        options: dict[str, object] = {
            "root": arguments.root,
            "target": arguments.target,
            "max_epochs": arguments.max_epochs,
            "least_epochs": min(max(arguments.equal_epochs), arguments.max_epochs),
            "num_threads": arguments.threads,
            "val_fraction": arguments.val_fraction,
            "optimizer": arguments.optimizer,
            "precision": arguments.precision,
            "out": folder,
        }
        return run_side(
            Path(__file__),
            side,
            options | extra,
            num_threads=arguments.threads,
            environment={
                "HEADSTART_DATA": arguments.data,
                "HEADSTART_CACHE": f"{folder}/cache",
                "XDG_CACHE_HOME": f"{folder}/cache",
            },
        )


def measure_textbook(seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Return one seed of the textbook program: seconds to the target, accuracy by epoch."""
    result = side_result("textbook", arguments, seed=seed)
    rows = result["epochs"]
    assert isinstance(rows, list)
    reached = next((row for row in rows if row[1] >= arguments.target), None)
    for epoch, accuracy, seconds in rows:
        print(
            f"  textbook seed {seed} epoch {epoch}: {accuracy:.4f} at {seconds:.1f} s", flush=True
        )
    return {
        "side": "textbook",
        "seed": seed,
        "reached_seconds": reached[2] if reached else None,
        "reached_epochs": reached[0] if reached else None,
        # The process went on to the equal epochs; only its start-up is added to the counted time.
        "reached_wall": reached[2] + number(result, "wall_seconds") - rows[-1][2]
        if reached
        else None,
        "accuracy": {str(epoch): accuracy for epoch, accuracy, _ in rows},
        "seconds": {str(epoch): seconds for epoch, _, seconds in rows},
        "num_parameters": result["num_parameters"],
    }


def measure_headstart(seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Return one seed of headstart: runs of 1, 2, … epochs until the target, then equal epochs."""
    accuracy: dict[str, float] = {}
    seconds: dict[str, float] = {}
    record: dict[str, object] = {"side": "headstart", "seed": seed}
    record |= {"reached_seconds": None, "reached_epochs": None, "reached_wall": None}
    charged = charged_wall = 0.0
    for epochs in sorted({arguments.plan, *range(1, arguments.max_epochs + 1)}):
        if record["reached_seconds"] is not None and epochs not in arguments.equal_epochs:
            continue
        result = side_result("headstart", arguments, seed=seed, epochs=epochs)
        value, took = number(result, "accuracy"), number(result, "seconds")
        print(
            f"  headstart seed {seed}, {epochs:g} epochs: {value:.4f} in {took:.1f} s", flush=True
        )
        accuracy[f"{epochs:g}"], seconds[f"{epochs:g}"] = value, took
        record["num_parameters"] = result["num_parameters"]
        if record["reached_seconds"] is None:
            charged_wall += number(result, "wall_seconds")
            if value >= arguments.target:
                record |= {"reached_seconds": charged + took, "reached_wall": charged_wall}
                record["reached_epochs"] = epochs
            charged += number(result, "call_seconds")
    return record | {"accuracy": accuracy, "seconds": seconds}


MEASURES = {"textbook": measure_textbook, "headstart": measure_headstart}


def time_table(records: list[dict[str, object]], arguments: argparse.Namespace) -> str:
    """Return the table of seconds to the target, with the ratio under it."""
    rows: list[list[object]] = []
    times: dict[str, list[float]] = {}
    for side in arguments.sides:
        mine = [record for record in records if record["side"] == side]
        if any(record["reached_seconds"] is None for record in mine):
            rows.append([side, f"not reached in {arguments.max_epochs} epochs", "", "", ""])
            continue
        times[side] = [number(record, "reached_seconds") for record in mine]
        walls = [number(record, "reached_wall") for record in mine]
        mean, wall = sum(times[side]) / len(mine), sum(walls) / len(walls)
        taken = ", ".join(str(record["reached_epochs"]) for record in mine)
        rows.append([side, f"{mean:.1f}", spread(times[side]), f"{wall:.1f}", taken])
    columns = ["side", "mean s", "min / median / max s", "whole process, mean s", "epochs"]
    lines = [f"Time to {arguments.target:.1%} test accuracy, seeds {arguments.seeds}:", ""]
    lines.append(markdown_table(columns, rows))
    if len(times) == 2:
        textbook, own = times["textbook"], times["headstart"]
        ratio = sum(textbook) / sum(own)
        pairs = pair_ratio(textbook, own)
        lines += ["", f"headstart is {ratio:.1f}× faster (means; seed by seed, median {pairs})."]
    return "\n".join(lines)


def accuracy_table(records: list[dict[str, object]], arguments: argparse.Namespace) -> str:
    """Return the table of accuracies after equally many epochs."""
    rows: list[list[object]] = []
    for epochs in arguments.equal_epochs:
        for side in arguments.sides:
            values: list[float] = []
            for record in records:
                by_epoch = record["accuracy"]
                assert isinstance(by_epoch, dict)
                if record["side"] == side and str(epochs) in by_epoch:
                    values.append(float(by_epoch[str(epochs)]))
            if not values:
                continue
            mean, num_items = sum(values) / len(values), len(values) * NUM_TEST
            low, high = wilson_interval(round(mean * num_items), num_items)
            each = ", ".join(f"{value:.4f}" for value in values)
            rows.append([f"{epochs}, {side}", f"{mean:.4f}", f"{low:.4f}–{high:.4f}", each])
    columns = ["epochs, side", "mean test accuracy", "95 % (Wilson, pooled)", "each seed"]
    return "Accuracy after equal epochs:\n\n" + markdown_table(columns, rows)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="MNIST from scratch, textbook against headstart.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-epochs", type=int, default=10, help="give up after so many")
    parser.add_argument("--equal-epochs", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--plan", type=float, default=0.62, help="headstart's first plan, epochs")
    parser.add_argument(
        "--optimizer", choices=["adamw", "muon"], help="headstart's, if not its own"
    )
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--target", type=float, default=0.99, help="test accuracy to reach")
    parser.add_argument("--quick", action="store_true", help="the first seed alone")
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--val-fraction", type=float, default=0.05, help="headstart's own split")
    parser.add_argument("--sides", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--no-profile", action="store_true", help="leave out where the time goes")
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.seeds = arguments.seeds[:1]
    arguments.equal_epochs = [n for n in arguments.equal_epochs if n <= arguments.max_epochs]
    if not arguments.equal_epochs:
        parser.error(f"every --equal-epochs is above --max-epochs {arguments.max_epochs}")
    return arguments


def compare(arguments: argparse.Namespace, machine: Machine) -> None:
    """Run all sides in turn and print the tables."""
    records: list[dict[str, object]] = []
    for turn, seed in enumerate(arguments.seeds):
        # The order alternates, so that neither side always finds the machine warm.
        for side in arguments.sides if turn % 2 == 0 else reversed(arguments.sides):
            records.append(MEASURES[side](seed, arguments))
    sizes = {int(number(record, "num_parameters")) for record in records}
    if len(sizes) != 1:
        raise SystemExit(f"The sides trained networks of {sorted(sizes)} parameters, not the same.")
    print("\n" + time_table(records, arguments) + "\n\n" + accuracy_table(records, arguments))
    save_records(arguments.json, machine, records)
    if "headstart" in arguments.sides and not arguments.no_profile:
        result = side_result(
            "profile", arguments, seed=0, epochs=1, peak_gflops=machine.peak_gflops
        )
        print(f"\nWhere the time of headstart's one epoch goes:\n\n{result['lines']}")


def main(argv: list[str]) -> None:
    arguments = parse(argv)
    if arguments.side is not None:
        options = json.loads(Path(arguments.options).read_text())
        answer_side(arguments.result, SIDES[arguments.side](options))
        return
    with tempfile.TemporaryDirectory(prefix="headstart-setup-mnist-") as root:
        arguments.root = root
        arguments.data = str(prepare_raw(Path(root)))
        machine = describe_machine(arguments.threads)
        print(machine.sentence() + "\n", flush=True)
        compare(arguments, machine)


if __name__ == "__main__":
    main(sys.argv[1:])
