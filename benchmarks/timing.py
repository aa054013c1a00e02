"""What every benchmark shares: the machine, fresh processes for each side, ratios, tables.

A speed claim is a ratio of two sides that ran in turn on one machine in one command, each in a
process of its own, so that imports, caches and thread pools are the same for all. Seconds alone are
never compared across runs. Left out on purpose: statistics beyond median and range, because three
repeats bear no more.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "fastai", "headstart")


class SideFailedError(RuntimeError):
    """Report a side whose process failed; the message ends with what it printed last."""


@dataclass(frozen=True)
class Machine:
    """Where a benchmark ran.

    Attributes:
        processor: Model name of the processor.
        num_cores: Cores this process may use.
        num_threads: Threads each side computes with.
        peak_gflops: Measured fp32 matrix product, 1e9 floating point operations a second.
        load_average: Runnable processes over the last minute when the benchmark began.
        versions: Version of Python and of each package that is installed.
    """

    processor: str
    num_cores: int
    num_threads: int
    peak_gflops: float
    load_average: float
    versions: Mapping[str, str]

    def sentence(self) -> str:
        """Return the machine in one line for the head of a table."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.processor}, {self.num_cores} cores, {self.num_threads} threads a side; "
            f"measured fp32 peak {self.peak_gflops:.0f} GFLOP/s; load average at the start "
            f"{self.load_average:.2f}; {versions}."
        )


@dataclass(frozen=True)
class Ratio:
    """Pairwise quotients: the median with the smallest and largest pair."""

    median: float
    low: float
    high: float
    num_pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def processor_name() -> str:
    """Return the processor's model name, from /proc/cpuinfo where there is one."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter here."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def measure_peak_gflops(num_threads: int, size: int = 2048, seconds: float = 2.0) -> float:
    """Return the best rate of a large fp32 matrix product.

    Args:
        num_threads: Threads to compute with.
        size: Side of the square matrices.
        seconds: How long to try; the best of all products in that time counts, so that a
            neighbour's burst of work does not lower the peak.

    Returns:
        1e9 floating point operations a second, 2 · size³ a product.
    """
    import torch

    torch.set_num_threads(num_threads)
    left, right = torch.randn(size, size), torch.randn(size, size)
    product = torch.empty(size, size)
    torch.mm(left, right, out=product)  # the first product pays for the thread pool
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        torch.mm(left, right, out=product)
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best / 1e9


def describe_machine(num_threads: int) -> Machine:
    """Describe this machine; the peak is measured in a process of its own."""
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    result = run_side(Path(__file__), "peak", {"num_threads": num_threads}, num_threads=num_threads)
    peak = result["peak_gflops"]
    assert isinstance(peak, float)
    return Machine(
        processor=processor_name(),
        num_cores=count_cores(),
        num_threads=num_threads,
        peak_gflops=peak,
        load_average=load_average,
        versions=installed_versions(),
    )


# What the code of a child finds there already: the peak of its memory while something is done.
WATCH = """
import threading
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
class Watch:
    def __enter__(self):
        self.before = self.highest = resident()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self
    def look(self):
        while not self.done.wait(0.005):
            self.highest = max(self.highest, resident())
    def __exit__(self, *error):
        self.done.set()
        self.thread.join()
        self.peak = max(self.highest, resident()) - self.before
"""


def run_child(code: str, arguments: Sequence[str], checkout: Path | None) -> dict[str, float]:
    """Run code in a process of its own and return the JSON of its last line.

    Args:
        code: Python that finds ``Watch``, a context whose ``peak`` is in bytes.
        arguments: Its ``sys.argv[1:]``.
        checkout: The build it imports; None where it imports none, or the one that is installed.
    """
    paths = {"PYTHONPATH": str(checkout.resolve() / "src")} if checkout else {}
    done = subprocess.run(
        [sys.executable, "-c", WATCH + code, *arguments],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def take_turns(
    script: Path,
    sides: Sequence[str],
    repeats: int,
    options: Mapping[str, object],
    *,
    num_threads: int,
    told: Callable[[Mapping[str, object]], str],
) -> list[dict[str, object]]:
    """Run every side in every repeat, each in a fresh process with an empty cache.

    Another side begins in each repeat.

    Args:
        script: The benchmark's own file.
        sides: Names of the sides.
        repeats: How often; the number of a repeat is its seed.
        options: JSON-able options of all sides; ``out``, ``num_threads`` and ``seed`` come to them.
        num_threads: Threads of each.
        told: A result to what is printed of it.

    Returns:
        The results, each with its side and seed.
    """
    records: list[dict[str, object]] = []
    for repeat in range(repeats):
        turn = repeat % len(sides)
        for side in [*sides[turn:], *sides[:turn]]:
            with tempfile.TemporaryDirectory(prefix="headstart-setup-") as out:
                own = {"out": out, "num_threads": num_threads, "seed": repeat}
                found = run_side(
                    script,
                    side,
                    {**options, **own},
                    num_threads=num_threads,
                    environment={"HEADSTART_CACHE": f"{out}/cache", "XDG_CACHE_HOME": f"{out}/c"},
                )
            print(f"  repeat {repeat} {side}: {told(found)}", flush=True)
            records.append(found | {"side": side, "seed": repeat})
    return records


def run_side(
    script: Path,
    side: str,
    options: Mapping[str, object],
    *,
    num_threads: int,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 3600.0,
) -> dict[str, object]:
    """Run one side in a fresh process and return what it measured.

    The process is ``python script --side NAME --options FILE --result FILE``; it answers through
    ``answer_side``.

    Args:
        script: The benchmark's own file.
        side: Name of the side.
        options: JSON-able options of the side.
        num_threads: Threads for OpenMP and MKL in that process.
        environment: Variables to set on top of this process's.
        timeout_seconds: Limit for the whole process.

    Returns:
        The side's result, with ``wall_seconds`` (the whole process, imports included) added.

    Raises:
        SideFailedError: If the process fails, runs out of time, or leaves no result.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-setup-") as folder:
        options_path, result_path = Path(folder) / "options.json", Path(folder) / "result.json"
        options_path.write_text(json.dumps(options))
        command = [sys.executable, str(script), "--side", side]
        command += ["--options", str(options_path), "--result", str(result_path)]
        variables = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            variables[name] = str(num_threads)
        # Sides never reach for a hub: the weights come from a package, and a hidden look-up would
        # be timed.
        variables |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        variables |= environment or {}
        began = time.perf_counter()
        try:
            done = subprocess.run(
                command, env=variables, capture_output=True, text=True, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired as late:
            raise SideFailedError(
                f"Side '{side}' ran longer than {timeout_seconds:.0f} s. Lower --limit or --epochs."
            ) from late
        wall = time.perf_counter() - began
        if done.returncode != 0 or not result_path.exists():
            last = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
            raise SideFailedError(f"Side '{side}' ended with status {done.returncode}:\n{last}")
        result: dict[str, object] = json.loads(result_path.read_text())
    return result | {"wall_seconds": wall}


def answer_side(result_path: str, result: Mapping[str, object]) -> None:
    """Hand a side's result back to the process that started it."""
    Path(result_path).write_text(json.dumps(result))


def number(record: Mapping[str, object], name: str) -> float:
    """Return a number out of a side's result.

    Raises:
        TypeError: If the entry is not a number.
    """
    value = record[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"'{name}' is {value!r} in a side's result; a number was expected.")
    return float(value)


def pair_ratio(others: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Return other / ours pair by pair: above 1 means that ours is faster.

    Raises:
        ValueError: If there is no pair, or the sides differ in length.
    """
    if not others or len(others) != len(ours):
        raise ValueError(
            f"{len(others)} and {len(ours)} timings cannot be paired; "
            "run every side in every repeat."
        )
    quotients = [other / own for other, own in zip(others, ours, strict=True)]
    return Ratio(statistics.median(quotients), min(quotients), max(quotients), len(quotients))


def wilson_interval(num_correct: int, num_items: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a proportion.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share = num_correct / num_items
    centre = share + z * z / (2 * num_items)
    spread = z * math.sqrt(share * (1 - share) / num_items + z * z / (4 * num_items**2))
    scale = 1 + z * z / num_items
    return (centre - spread) / scale, (centre + spread) / scale


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return ``min / median / max``."""
    three = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{value:.{digits}f}" for value in three)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is aligned left, the others right.

    Raises:
        ValueError: If a row does not fill the columns.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"Row {row!r} has {len(row)} cells; {len(columns)} were expected.")
    cells = [list(columns)] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = []
    for line in cells:
        padded = [line[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(padded) + " |")
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(lines)


def save_records(path: str | None, machine: Machine, records: Sequence[object]) -> None:
    """Write the raw measurements as JSON, for a table made later; nothing without a path."""
    if path is not None:
        Path(path).write_text(
            json.dumps({"machine": asdict(machine), "records": list(records)}, indent=1) + "\n"
        )


if __name__ == "__main__":
    # Only ``describe_machine`` starts this file: --side peak --options FILE --result FILE.
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    threads = json.loads(Path(arguments["--options"]).read_text())["num_threads"]
    answer_side(arguments["--result"], {"peak_gflops": measure_peak_gflops(threads)})
