"""Passes without gradients: one build against another, through headstart's own pass, in turns.

Each side is a process of its own with the sources of its build first on its path. It prepares real
samples, lets its build choose what computes them (a build before engines has no choice), and times
``run_batches`` over some of them; what choosing and compiling took is told apart. Batches are those
of a run. Ratios are before / after, of the least seconds of each turn; those of processor time (of
all threads) beside them are what a machine that others use, too, tells more truly.

    HEADSTART_DATA=data python benchmarks/passes.py --before OLD --after NEW
        [--turns 3] [--threads 1 2] [--networks NAME ...] [--engine auto] [--precision auto]
        [--libraries FOLDER]  (packages of the new side alone, such as openvino)
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from timing import (
    answer_side,
    describe_machine,
    markdown_table,
    pair_ratio,
    run_side,
)

# what it is, its side or length, samples that are timed; of fewer than 64 nothing would be chosen
NETWORKS = {
    "Lite0 128 px": ("pip/efficientnet-lite0", 128, 128),
    "Lite0 224 px": ("pip/efficientnet-lite0", 224, 64),
    "ResNet-18 224 px": ("resnet18", 224, 64),
    "ViT-tiny 224 px": ("vit_tiny_patch16_224", 224, 64),
    "MiniLM 32 tokens": ("pip/all-minilm-l6-v2", 32, 192),
    "MiniLM 128 tokens": ("pip/all-minilm-l6-v2", 128, 64),
}
PRETENDED = 200  # times as many samples as are timed: the pass that a choice is made for
REPEATS = 2  # of a turn


def texts_of(length: int) -> tuple[list[str], list[int]]:
    """Return reviews of movies and their labels: sentences, or whole ones."""
    import pyarrow.parquet as pq

    folder = Path(os.environ["HEADSTART_DATA"]) / "text"
    if length <= 64:
        lines = (folder / "sst2" / "train.tsv").read_text().splitlines()
        cells = [line.rsplit("\t", 1) for line in lines]
        return [text for text, _ in cells], [int(label) for _, label in cells]
    found = pq.read_table(next((folder / "imdb-10k").glob("*train*.parquet")))
    return found["text"].to_pylist(), found["label"].to_pylist()


def prepared(name: str) -> tuple[object, object]:
    """Return a model and some of its samples."""
    import numpy as np
    import torch

    import headstart as hs
    from headstart.model import Model
    from headstart.starts import BuildRequest, build_encoder, find_start, wrap_module

    what, size, num = NETWORKS[name]
    if "tokens" in name:
        texts, labels = texts_of(size)
        dataset = hs.load((texts[: 3 * num], labels[: 3 * num]))
        request = BuildRequest(max_length=size, texts=texts[:num])
        encoder = build_encoder(find_start(what), request)
    else:
        dataset = hs.load(str(Path(os.environ["HEADSTART_DATA"]) / "flowers5"))
        if what.startswith("pip/"):
            request = BuildRequest(image_size=(128, 128), image_channels=3, size=size)
            encoder = build_encoder(find_start(what), request)
        else:
            import timm

            torch.manual_seed(0)
            spec = hs.ImageSpec(
                size=size,
                channels=3,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bilinear",
                decode_size=min(size, 128),
                decode_channels=3,
            )
            encoder = wrap_module(timm.create_model(what, num_classes=0), spec)
    model = Model(encoder, dataset.schema).to(memory_format=torch.channels_last)
    inputs = encoder.preprocess.prepare(dataset, "train", np.arange(num))
    return model, inputs


class Pretended:
    """Some samples, as if there were many more of the same."""

    def __init__(self, inputs: object) -> None:
        import numpy as np

        self._inputs, self._num = inputs, len(inputs)
        self.lengths = None if inputs.lengths is None else np.tile(inputs.lengths, PRETENDED)
        self.targets = np.tile(inputs.targets, PRETENDED)
        self.row_lengths = self.gathered = None  # of images and texts told as a whole

    def __len__(self) -> int:
        return self._num * PRETENDED

    def arrays(self, places: object) -> object:
        """Return the arrays of samples at places, as ``Inputs`` does."""
        return self._inputs.arrays(places % self._num)


def run_passes(options: dict[str, object]) -> dict[str, object]:
    """Time one network's passes by the build whose sources come first."""
    for folder in options["libraries"]:
        sys.path.append(folder)
    import torch

    torch.set_num_threads(options["threads"])
    from headstart.model import pass_size, run_batches

    model, inputs = prepared(options["network"])
    model.eval()
    size = pass_size(model, inputs)
    try:
        from headstart.engines import PassRule, passes_by
        from headstart.model import settle_engine
    except ImportError:
        found = timed(run_batches, model, inputs)
        return found | {"choice": "torch fp32", "choosing": 0.0, "flops": flops(model, inputs)}
    began = time.perf_counter()
    rule = PassRule(options["engine"], options["precision"], trial_seconds=6.0)
    with passes_by(rule):
        choice, _ = settle_engine(model, Pretended(inputs), size)
        choosing = time.perf_counter() - began
        found = timed(run_batches, model, inputs)
    return found | {"choice": choice.said, "choosing": choosing, "flops": flops(model, inputs)}


def timed(run_batches: object, model: object, inputs: object) -> dict[str, object]:
    """Return the least seconds a sample of a few passes; the first is not counted."""
    seconds, processor = [], []
    for _ in range(REPEATS + 1):
        began, worked = time.perf_counter(), time.process_time()
        run_batches(model, inputs, model.features)
        seconds.append((time.perf_counter() - began) / len(inputs))
        processor.append((time.process_time() - worked) / len(inputs))
    return {"seconds": min(seconds[1:]), "processor": min(processor[1:])}


def flops(model: object, inputs: object) -> float:
    """Return multiplications and additions a sample, those on padding among them."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from headstart.tensors import to_tensors

    lengths = inputs.lengths
    order = np.arange(len(inputs)) if lengths is None else np.argsort(lengths, kind="stable")
    middle = order[len(order) // 2 :][:2]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.features(*to_tensors(inputs.arrays(middle), torch.device("cpu")))
    return counter.get_total_flops() / len(middle)


def peaks(options: dict[str, object]) -> dict[str, object]:
    """Measure what this machine can do: matrix products, and copies."""
    import torch

    threads = options["threads"]
    torch.set_num_threads(threads)
    found: dict[str, object] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
        best = least(lambda left=left, right=right: torch.mm(left, right), threads)
        found[name] = 2 * 2048**3 / best / 1e9
    source = torch.randn(2**26)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.nbytes / least(lambda: target.copy_(source), threads) / 1e9
    return found


def least(run: object, threads: int, seconds: float = 3.0) -> float:
    """Return the least seconds of processor time that something takes, a thread."""
    run()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.process_time()
        run()
        best = min(best, (time.process_time() - began) / threads)
    return best


def side_of(asked: argparse.Namespace, build: str, network: str, threads: int, cache: str) -> dict:
    """Run one side in its own process, with the sources of its build."""
    is_new = build == asked.after
    options = {
        "network": network,
        "threads": threads,
        "engine": asked.engine,
        "precision": asked.precision,
        "libraries": [asked.libraries] if is_new and asked.libraries else [],
    }
    environment = {"PYTHONPATH": str(Path(build) / "src"), "HEADSTART_CACHE": cache}
    return run_side(Path(__file__), "passes", options, num_threads=threads, environment=environment)


def measure(asked: argparse.Namespace) -> list[dict[str, object]]:
    """Run both builds in turns, every network and number of threads."""
    found = []
    with tempfile.TemporaryDirectory(prefix="headstart-passes-") as cache:
        for threads in asked.threads:
            for network in asked.networks:
                turns: dict[str, list[dict]] = {"before": [], "after": []}
                for _ in range(asked.turns):
                    for name, build in (("before", asked.before), ("after", asked.after)):
                        one = side_of(asked, build, network, threads, f"{cache}/{name}")
                        turns[name].append(one)
                found.append({"network": network, "threads": threads, **turns})
                print(row(found[-1], None), file=sys.stderr, flush=True)
    return found


def ratio_of(one: dict, what: str) -> float:
    """Return before / after of the least that any turn took."""
    return min(b[what] for b in one["before"]) / min(a[what] for a in one["after"])


def row(one: dict, limits: dict[int, dict] | None) -> list[str]:
    """Return the cells of a network."""
    before, after = ([each["seconds"] for each in one[side]] for side in ("before", "after"))
    last = one["after"][-1]
    share = "–"
    if limits is not None:
        peak = limits[one["threads"]]["bf16" if "bf16" in last["choice"] else "fp32"]
        took = min(each["processor"] for each in one["after"]) / one["threads"]
        share = f"{last['flops'] / took / 1e9 / peak:.0%}"
    first = one["after"][0]["choosing"]
    return [
        one["network"],
        str(one["threads"]),
        f"{1000 * min(before):.2f}",
        f"{1000 * min(after):.2f}",
        str(pair_ratio(before, after)),
        f"{ratio_of(one, 'processor'):.2f}",
        last["choice"],
        f"{first:.1f}",
        f"{last['choosing']:.1f}",
        share,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="folder of the build to compare with")
    parser.add_argument("--after", required=True, help="folder of the new build")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--libraries", default="")
    parser.add_argument("--json", help="file for what was measured")
    asked = parser.parse_args()
    print(describe_machine(max(asked.threads)).sentence(), "\n")
    limits = {
        threads: run_side(Path(__file__), "peaks", {"threads": threads}, num_threads=threads)
        for threads in asked.threads
    }
    for threads, of in limits.items():
        print(
            f"{threads} threads: fp32 {of['fp32']:.0f} GFLOP/s, bf16 {of['bf16']:.0f} GFLOP/s, "
            f"copy {of['copy']:.1f} GB/s\n"
        )
    found = measure(asked)
    columns = [
        "network",
        "threads",
        "before, ms",
        "after, ms",
        "ratio",
        "of processor time",
        "computed by",
    ]
    columns += ["choosing first, s", "later, s", "of the peak"]
    print(markdown_table(columns, [row(one, limits) for one in found]))
    for what in ("seconds", "processor"):
        ratios = [ratio_of(one, what) for one in found]
        mean = statistics.geometric_mean(ratios)
        print(f"\n{what}: geometric mean {mean:.2f}, least {min(ratios):.2f}")
    if asked.json:
        Path(asked.json).write_text(json.dumps({"peaks": limits, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    if "--side" in sys.argv:
        arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
        given = json.loads(Path(arguments["--options"]).read_text())
        run = {"passes": run_passes, "peaks": peaks}[arguments["--side"]]
        answer_side(arguments["--result"], run(given))
    else:
        main()
