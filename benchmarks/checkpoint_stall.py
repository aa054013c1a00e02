"""How long a checkpoint holds up the training: headstart against what else saves tensors.

    python benchmarks/checkpoint_stall.py            # 755 MB, about two minutes
    python benchmarks/checkpoint_stall.py --megabytes 100 --saves 3

Each side saves the same state (weights and the two moments of AdamW of one network, fp32, on the
CPU) several times, in a process of its own, each time into a new place, each time after the save
before has reached the disk. Two figures a save: the stall, from the call until it returns and the
weights may change again; and the whole, until the bytes are fsynced. Peers:

- ``torch.save`` into a file, then fsync: what most training scripts do (without the fsync, and over
  the file before, which a crash then leaves half written);
- ``safetensors.torch.save_file``, then fsync;
- ``torch.distributed.checkpoint.async_save``, PyTorch's own background saving, as it comes.

headstart also computes a digest of every file, and fsyncs its folder and the parent; the peers do
neither. The first save stands in a column of its own, since that is where a side may allocate.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from timing import (
    answer_side,
    count_cores,
    describe_machine,
    markdown_table,
    pair_ratio,
    run_side,
    save_records,
)

State = dict[str, Any]  # tensors by name
# A save gets its number; it returns what waits until the bytes are on the disk.
Save = Callable[[int], Callable[[], object]]

_WIDTH = 1024
BUDGET_SECONDS = 0.2  # of stall for 755 MB


def make_state(megabytes: float) -> State:
    """Return weights and two moments, in tensors of about four megabytes."""
    import torch

    num_layers = max(1, round(megabytes * 1e6 / (3 * 4 * _WIDTH * _WIDTH)))
    kinds = ("model", "exp_avg", "exp_avg_sq")
    return {f"{k}.{i}": torch.randn(_WIDTH, _WIDTH) for k in kinds for i in range(num_layers)}


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def with_headstart(state: State, folder: Path) -> Save:
    from headstart.training.state.checkpoint import CheckpointFolder
    from headstart.training.state.writer import CheckpointWriter

    writer = CheckpointWriter(CheckpointFolder(folder))
    writer.prepare(state)  # as the loop does, half a minute before its first save
    writer.wait()

    def save(turn: int) -> Callable[[], object]:
        writer.save(turn, state, {"step": turn})
        return writer.wait

    return save


def with_torch_save(state: State, folder: Path) -> Save:
    import torch

    def save(turn: int) -> Callable[[], object]:
        torch.save(state, folder / f"{turn}.pt")
        fsync(folder / f"{turn}.pt")
        return lambda: None

    return save


def with_safetensors(state: State, folder: Path) -> Save:
    from safetensors.torch import save_file

    def save(turn: int) -> Callable[[], object]:
        save_file(state, str(folder / f"{turn}.safetensors"))
        fsync(folder / f"{turn}.safetensors")
        return lambda: None

    return save


def with_dcp(state: State, folder: Path) -> Save:
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp

    store = folder.with_name(folder.name + ".store")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)

    def save(turn: int) -> Callable[[], object]:
        future: Any = dcp.async_save(dict(state), checkpoint_id=str(folder / str(turn)))
        return future.result

    return save


SIDES: Mapping[str, Callable[[State, Path], Save]] = {
    "headstart": with_headstart,
    "torch.save": with_torch_save,
    "safetensors": with_safetensors,
    "dcp.async_save": with_dcp,
}


def measure(side: str, options: Mapping[str, object]) -> dict[str, object]:
    """Save several times; return the stall and the whole of each, in seconds."""
    megabytes, num_saves = float(str(options["megabytes"])), int(str(options["saves"]))
    state, stalls, wholes = make_state(megabytes), [], []
    root = Path(tempfile.mkdtemp(prefix="headstart-setup-", dir=str(options["folder"])))
    folder = root / "saves"
    folder.mkdir()
    try:
        save = SIDES[side](state, folder)
        for turn in range(num_saves):
            os.sync()  # what others have left must not be paid for here
            began = time.perf_counter()
            wait = save(turn)
            stalls.append(time.perf_counter() - began)
            wait()
            wholes.append(time.perf_counter() - began)
            for old in sorted(folder.iterdir())[:-2] if side != "headstart" else ():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    finally:
        shutil.rmtree(root)
    num_bytes = sum(tensor.nbytes for tensor in state.values())
    return {"side": side, "stalls": stalls, "wholes": wholes, "num_bytes": num_bytes}


def table(records: Mapping[str, Any]) -> str:
    """Return one row a side; ratios above 1 mean that headstart stalls less."""
    rows = []
    own: list[float] = records["headstart"]["stalls"][1:]
    for side, record in records.items():
        first, *later = record["stalls"]
        whole = statistics.median(record["wholes"])
        ratio = "1" if side == "headstart" else str(pair_ratio(later, own))
        middle = f"{statistics.median(later):.3f} ({min(later):.3f}–{max(later):.3f})"
        rows.append([side, f"{first:.3f}", middle, ratio, f"{whole:.2f}"])
    columns = ["side", "first stall, s", "later stalls, s", "× headstart's", "on the disk after, s"]
    return markdown_table(columns, rows)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stall of a checkpoint, headstart against peers.")
    parser.add_argument("--megabytes", type=float, default=755.0)
    parser.add_argument("--saves", type=int, default=5, help="saves a side, the first set apart")
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on the disk to measure")
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.saves < 2:
        parser.error("--saves must be at least 2: the first is set apart")
    return arguments


def main(argv: list[str]) -> None:
    arguments = parse(argv)
    if arguments.side is not None:
        options = json.loads(Path(arguments.options).read_text())
        answer_side(arguments.result, measure(arguments.side, options))
        return
    machine = describe_machine(arguments.threads)
    print(machine.sentence() + "\n", flush=True)
    options = {name: vars(arguments)[name] for name in ("megabytes", "saves", "folder")}
    records: dict[str, Any] = {
        side: run_side(Path(__file__), side, options, num_threads=arguments.threads)
        for side in SIDES
    }
    print(table(records))
    stalls, num_bytes = records["headstart"]["stalls"], records["headstart"]["num_bytes"]
    budget = BUDGET_SECONDS * num_bytes / 755e6
    worst = "kept" if max(stalls) <= budget else "MISSED"
    print(f"\n{num_bytes / 1e6:.0f} MB; budget {budget:.2f} s of stall: {worst}.")
    save_records(arguments.json, machine, list(records.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
