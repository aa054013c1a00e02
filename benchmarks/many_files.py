"""What a folder of very many images costs: time and peak memory a file, from 10^3 to 10^6.

Hard links to a few small images (a file system allows so many links of one file), in ten class
folders. Measured are ``layout``, what the folders mean and the list of files, and ``load`` as a
whole, which opens every file, each in a process of its own: python benchmarks/many_files.py
[--most 1000000] [--load-most 100000].
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

NUM_CLASSES = 10
MAX_LINKS = 30_000  # ext4 allows 65,000 a file


def make(root: Path, number: int) -> None:
    """Make a folder of so many links."""
    made = 0
    for kind in range(NUM_CLASSES):
        folder = root / f"class{kind}"
        folder.mkdir(parents=True)
        own = number // NUM_CLASSES
        for i in range(own):
            if i % MAX_LINKS == 0:
                first = folder / f"{i:07}.png"
                pixels = np.random.default_rng(made).integers(0, 255, (2, 2, 3), np.uint8)
                Image.fromarray(pixels).save(first)
                made += 1
            else:
                os.link(first, folder / f"{i:07}.png")


def measure(root: str, what: str) -> None:
    """Print what one process needs, as JSON."""
    from headstart.data import load
    from headstart.data.options import ReadOptions
    from headstart.data.sources.folder import read_folder
    from headstart.data.sources.folder_tree import Tree
    from headstart.data.sources.image_labels import read_stated

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.monotonic(), time.process_time()
    if what == "layout":
        tree = Tree(Path(root))
        assert read_stated(tree, root, ReadOptions()) is None
        held: object = read_folder(tree, root, ReadOptions())
    else:
        held = load(root)
    record = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before),
    }
    assert held is not None
    print(json.dumps(record))


def main() -> None:
    """Measure every size, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--load-most", type=int, default=100_000)
    parser.add_argument("--measure", nargs=2)
    said = parser.parse_args()
    if said.measure:
        measure(*said.measure)
        return
    print("| files | what | CPU s | s | µs of CPU a file | peak memory | bytes a file |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for power in range(3, 1 + len(str(said.most)) - 1):
        number = 10**power
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "set"
            make(root, number)
            for what in ("layout", "load"):
                if what == "load" and number > said.load_most:
                    continue
                words = [sys.executable, __file__, "--measure", str(root), what]
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                cpu, peak = found["cpu_seconds"], found["peak_bytes"]
                print(
                    f"| {number:,} | {what} | {cpu:.2f} | {found['seconds']:.2f} | "
                    f"{1e6 * cpu / number:.1f} | {peak / 1e6:.0f} MB | {peak / number:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
