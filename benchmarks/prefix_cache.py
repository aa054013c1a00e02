"""A frozen part that runs once: headstart against Trainer, fastai and a plain uncached loop.

    HEADSTART_DATA=… python benchmarks/prefix_cache.py            # ~12 minutes, two cores
    HEADSTART_DATA=… python benchmarks/prefix_cache.py --quick    # one network, two cases

Two networks: EfficientNet-Lite0 with the ImageNet weights of its pip package, and timm's ViT-tiny
(patch 16) with random weights, drawn once and shared by all sides through a file, since no
pretrained ViT comes without a download. Four cases, real photos, fp32, SGD with Nesterov momentum
and cosine, the same frozen parameters for all sides, BatchNorm with the start's statistics:

- ``head``: only the head learns, one view. headstart solves this convex problem on features that
  it computed once, instead of stepping through it; both times are told.
- ``last``: the last block and what follows it, no augmentation.
- ``last-views``: the same, augmented: the peers crop and mirror (random resized crop, flip);
  headstart's policy ``standard`` (those two and colour) in four fixed views of each photo.
- ``sweep-last``, ``sweep-head``: nine configurations over one start (rates x weight decays).
  headstart runs all nine, on one cache that is empty at first; of the plain loop ONE is measured
  and taken nine times. headstart's accuracy is that of its best run on val, the loop's that of its
  one run. ``head`` reads one unaugmented view and has no rates to try: its nine runs are alike, and
  what they share is what is measured.

What is counted. headstart: all of ``tune``: linear probe (which ``last-n`` begins with and no peer
has), cut, frozen part, loop, validation checks. Peers: from the first batch to the last step.
"from memory": the peers find photos (and four augmented views of them) decoded and resized as bytes
in memory, so that neither side loads anything: this ratio has a ceiling. "from files": the peers
read JPEG files as their users do, and headstart's decoding is added to its time; these epochs are
all alike, so only ``--file-epochs`` of them are timed and scaled. ``uncached`` is headstart itself
with ``views=0``: the cache alone, with everything else equal. "processor": the same as "from
memory" in processor time, which a busy machine changes less; it means most with ``--threads 1``.

The ceiling is (3 - 2f) / (V f / (E runs) + 3 (1 - f)): f is the frozen share of a forward pass'
arithmetic, a backward pass counts two, loading and validation nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from peer_task import (
    SPLITS,
    NetworkName,
    Settings,
    Trainable,
    count_files,
    find_data,
    save_vit,
)
from timing import (
    answer_side,
    count_cores,
    describe_machine,
    markdown_table,
    number,
    run_side,
    save_records,
    wilson_interval,
)

OURS, UNCACHED = "headstart", "uncached"
MODULES = {"trainer": "peer_trainer", "fastai": "peer_fastai", "plain": "peer_plain"}
TITLES = {
    "trainer": "Hugging Face Trainer",
    "fastai": "fastai",
    "plain": "plain PyTorch loop",
    UNCACHED: "headstart, views=0",
    OURS: "**headstart**",
}
NETWORKS: dict[NetworkName, str] = {
    "efficientnet-lite0": "EfficientNet-Lite0 (ImageNet)",
    "vit-tiny": "ViT-tiny (random weights)",
}
SWEEP_RATES, SWEEP_DECAYS = (1 / 3, 1.0, 3.0), (0.0, 1e-4, 1e-2)
WANTED = 0.75  # share of the ceiling
PROMISED_VIEWS = 4  # of a sweep


@dataclass(frozen=True)
class Case:
    """One table.

    Attributes:
        title: What the table shows.
        trainable: What learns.
        num_views: V.
        num_epochs: E; 0 takes the command's.
        num_runs: Configurations.
    """

    title: str
    trainable: Trainable
    num_views: int = 1
    num_epochs: int = 0
    num_runs: int = 1


CASES = {
    "head": Case("head only", "head"),
    "last": Case("last block", "last"),
    "last-views": Case("last block, augmented", "last", num_views=4),
    "sweep-last": Case(
        "nine configurations, last block, augmented", "last", num_views=4, num_epochs=20, num_runs=9
    ),
    "sweep-head": Case("nine runs, head only", "head", num_epochs=20, num_runs=9),
}


def ceiling(f: float, case: Case, num_epochs: int) -> float:
    """Return the largest speed-up that arithmetic allows."""
    cached = case.num_views * f / (num_epochs * case.num_runs) + 3 * (1 - f)
    # a head costs next to nothing: f is 1 there
    return (3 - 2 * f) / cached


def run_here(side: str, options: Mapping[str, object]) -> dict[str, object]:
    """Run a side in this process; the imports are done before its clock starts."""
    import torch

    told = options["settings"]
    assert isinstance(told, dict)
    settings = Settings(**told)
    torch.set_num_threads(settings.num_threads)
    num_runs = int(number(options, "num_runs"))
    if side in (OURS, UNCACHED):
        ours = importlib.import_module("prefix_headstart")
        trials = [
            ours.Trial(settings.learning_rate * rate, decay)
            for rate in SWEEP_RATES
            for decay in SWEEP_DECAYS
        ]
        if num_runs == 1:
            trials = [ours.Trial(settings.learning_rate, settings.weight_decay)]
        found: dict[str, object] = ours.run(settings, trials, is_cached=side == OURS)
        return found
    module = importlib.import_module(MODULES[side])
    found = module.run(replace(settings, in_memory=True))
    told_files: dict[str, object] = {}
    if file_epochs := min(int(number(options, "file_epochs")), settings.num_epochs):
        files = module.run(replace(settings, in_memory=False, num_epochs=file_epochs))
        each = number(files, "train_seconds") / file_epochs
        told_files = {"file_seconds": each * settings.num_epochs * num_runs}
    told_files |= {
        name: number(found, name) * num_runs for name in ("train_seconds", "processor_seconds")
    }
    return found | told_files


def settings_for(
    arguments: argparse.Namespace, folder: str, weights: str, network: NetworkName, case: Case
) -> Settings:
    """Return the settings that all sides of one table share."""
    return Settings(
        folder=folder,
        size=arguments.size,
        num_epochs=case.num_epochs or arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        momentum=0.9,
        weight_decay=1e-4,
        warmup_fraction=0.1,
        augment="none" if case.num_views == 1 else "crop-flip",
        num_workers=0,
        num_threads=arguments.threads,
        seed=0,
        network=network,
        weights=weights,
        trainable=case.trainable,
        num_views=case.num_views,
    )


def sides_of(case: Case, wanted: Sequence[str]) -> list[str]:
    """Return the sides of one table: a sweep has only the plain loop beside headstart."""
    sides = [side for side in wanted if case.num_runs == 1 or side in ("plain", OURS)]
    # ``head`` cannot be had uncached
    return [side for side in sides if side != UNCACHED or case.trainable != "head"]


def measure(
    arguments: argparse.Namespace, folder: str, weights: str, network: NetworkName, name: str
) -> list[dict[str, object]]:
    """Run all sides of one table in turn, each in a fresh process with an empty cache."""
    case, records = CASES[name], []
    settings = settings_for(arguments, folder, weights, network, case)
    for side in sides_of(case, arguments.sides):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="headstart-setup-cache-") as cache:
            record = run_side(
                Path(__file__),
                side,
                {
                    "settings": asdict(settings),
                    "num_runs": case.num_runs,
                    "file_epochs": arguments.file_epochs,
                },
                num_threads=arguments.threads,
                environment={"HEADSTART_CACHE": cache, "XDG_CACHE_HOME": cache},
            )
        records.append(record | {"side": side, "network": network, "case": name})
        print(
            f"  {network} {name} {side}: {number(record, 'train_seconds'):.1f} s "
            f"(process {time.perf_counter() - began:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
    return records


def table_of(
    arguments: argparse.Namespace, name: str, records: Sequence[Mapping[str, object]]
) -> str:
    """Return one table with its ceiling and its verdict."""
    case, num_epochs = CASES[name], CASES[name].num_epochs or arguments.epochs
    by_side = {str(record["side"]): record for record in records}
    ours = by_side.get(OURS)
    if ours is None:
        return ""
    f = number(ours, "flop_share")
    most = ceiling(f, case, num_epochs)
    seconds = number(ours, "train_seconds")
    # a sweep decodes once; peers that read files decode in every epoch of every run
    with_files = seconds + number(ours, "decode_seconds")
    rows: list[list[object]] = []
    for side, record in by_side.items():
        low, high = wilson_interval(
            round(number(record, "num_correct")), round(number(record, "num_test"))
        )
        accuracy = number(record, "num_correct") / number(record, "num_test")
        files = with_files if side == OURS else record.get("file_seconds")
        rows.append(
            [
                TITLES[side] + (" x 9" if case.num_runs > 1 and side == "plain" else ""),
                *_against(record.get("train_seconds"), seconds, most, is_ours=side == OURS),
                *_against(
                    record.get("processor_seconds"),
                    ours.get("processor_seconds"),
                    most,
                    is_ours=side == OURS,
                ),
                *_against(files, with_files, most, is_ours=side == OURS)[:2],
                f"{accuracy:.3f} ({low:.3f}–{high:.3f})",
            ]
        )
    columns = ["side", "from memory s", "slower by", "of the ceiling"]
    columns += ["processor s", "slower by", "of the ceiling"]
    columns += ["from files s", "slower by", "test accuracy (95 %)"]
    return "\n\n".join(
        [
            _heading(case, num_epochs, ours, f, most),
            markdown_table(columns, rows),
            _told(case, ours, most, by_side),
        ]
    )


def _against(seconds: object, ours: object, most: float, *, is_ours: bool) -> list[str]:
    """Return seconds, how many times headstart's they are, and that as a share of the ceiling."""
    if not isinstance(seconds, float) or not isinstance(ours, float):
        return ["–", "–", "–"]
    if is_ours:
        return [f"{seconds:.1f}", "–", "–"]
    return [f"{seconds:.1f}", f"{seconds / ours:.2f}", f"{seconds / ours / most:.2f}"]


def _heading(case: Case, num_epochs: int, ours: Mapping[str, object], f: float, most: float) -> str:
    """Return the line above a table."""
    views = "one view" if case.num_views == 1 else f"{case.num_views} views"
    runs = f", {case.num_runs} runs" if case.num_runs > 1 else ""
    network = NETWORKS[str(ours["network"])]  # type: ignore[index]
    share = ""
    if case.trainable != "head":
        share = f" (of its time {number(ours, 'time_share'):.3f})"
    return (
        f"### {network}: {case.title}\n\n{num_epochs} epochs, {views}{runs}; frozen share of a "
        f"pass f = {f:.3f}{share}; ceiling {most:.2f}x."
    )


def _told(
    case: Case,
    ours: Mapping[str, object],
    most: float,
    by_side: Mapping[str, Mapping[str, object]],
) -> str:
    """Return where headstart's time goes, and whether the wanted share was reached."""
    runs = ours["runs"]
    assert isinstance(runs, list)
    names = ("probe", "features", "cut", "frozen", "loop")
    sums = {n: sum(run["parts"].get(n, 0.0) for run in runs) for n in names}
    seconds = number(ours, "train_seconds")
    told = f"headstart's {seconds:.1f} s: linear probe {sums['probe']:.1f} s (of which features of "
    told += f"train {sums['features']:.1f} s)"
    if case.trainable == "last":
        told += f", cut {sums['cut']:.1f} s, frozen part {sums['frozen']:.1f} s, "
        told += f"loop and checks {sums['loop']:.1f} s"
    told += f". Decoding {number(ours, 'decode_seconds'):.2f} s."
    others = [number(r, "train_seconds") / seconds for s, r in by_side.items() if s != OURS]
    if others:
        if case.trainable == "head" and case.num_runs > 1:
            # the promise is made for four views; a head that is solved for reads one
            most /= PROMISED_VIEWS
            told += f" The promise counts four views, for which the ceiling is {most:.0f}x."
        told += f" Wanted: {WANTED * most:.2f}x ({WANTED} of the ceiling); the smallest is "
        told += f"{min(others):.2f}x."
    return told


def same_parameters(records: Sequence[Mapping[str, object]]) -> None:
    """Demand that all sides of a table trained equally many parameters, heads apart.

    Raises:
        ValueError: If a side froze other parameters than headstart.
    """
    head = {"efficientnet-lite0": 1280, "vit-tiny": 192}
    counts = {}
    for record in records:
        features, num_learning = head[str(record["network"])], number(record, "num_learning")
        is_ours = record["side"] in (OURS, UNCACHED)
        counts[record["side"]] = num_learning if is_ours else num_learning - 5 * (features + 1)
    if len(set(counts.values())) > 1:
        raise ValueError(f"The sides trained different parameters: {counts}.")


def parse(argv: list[str]) -> argparse.Namespace:
    sides = [*MODULES, UNCACHED, OURS]
    parser = argparse.ArgumentParser(description="A frozen part that runs once, against peers.")
    parser.add_argument("--data", help="folder with train/ and test/; default: flowers5")
    parser.add_argument("--limit", type=int, default=384, help="training images")
    parser.add_argument("--limit-test", type=int, default=250, help="test images; 0 takes all")
    parser.add_argument("--limit-val", type=int, default=32, help="images headstart validates with")
    parser.add_argument("--size", type=int, default=96, help="side of the images, in pixels")
    parser.add_argument("--epochs", type=int, default=10, help="epochs, but for the sweeps' 20")
    parser.add_argument("--file-epochs", type=int, default=1, help="epochs from files; 0 for none")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=None)
    parser.add_argument("--sides", nargs="+", choices=sides, default=sides)
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--quick", action="store_true", help="the ViT, head and last, 3 epochs")
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.networks, arguments.cases = ["vit-tiny"], ["head", "last"]
        arguments.limit, arguments.epochs, arguments.file_epochs = 160, 3, 1
    if arguments.limit % arguments.batch_size:
        parser.error(
            f"--limit {arguments.limit} is not divisible by --batch-size {arguments.batch_size}: "
            f"headstart would leave out the last batch of an epoch, and its peers would not"
        )
    return arguments


def tables_of(arguments: argparse.Namespace) -> list[tuple[NetworkName, str]]:
    """Return (network, case) of every table; the sweeps are made for the ViT alone."""
    if arguments.cases is not None:
        return [(network, name) for network in arguments.networks for name in arguments.cases]
    return [
        (network, name)
        for network in arguments.networks
        for name in CASES
        if network == "vit-tiny" or CASES[name].num_runs == 1
    ]


def main(argv: list[str]) -> None:
    arguments = parse(argv)
    if arguments.side is not None:
        options = json.loads(Path(arguments.options).read_text())
        answer_side(arguments.result, run_here(arguments.side, options))
        return
    limits = {"train": arguments.limit, "val": arguments.limit_val, "test": arguments.limit_test}
    with tempfile.TemporaryDirectory(prefix="headstart-setup-photos-") as cache:
        folder = find_data(arguments.data, Path(cache), limits, seed=0)
        weights = str(Path(cache) / "vit.safetensors")
        save_vit(weights, arguments.size, seed=0)
        machine = describe_machine(arguments.threads)
        print(machine.sentence())
        counts = ", ".join(f"{count_files(Path(folder) / name)} {name}" for name in SPLITS)
        print(f"{counts} images of {arguments.size} px, batch {arguments.batch_size}.", flush=True)
        everything = []
        for network, name in tables_of(arguments):
            records = measure(arguments, folder, weights, network, name)
            everything += records
            print("\n" + table_of(arguments, name, records), flush=True)
            same_parameters(records)
            save_records(arguments.json, machine, everything)


if __name__ == "__main__":
    main(sys.argv[1:])
