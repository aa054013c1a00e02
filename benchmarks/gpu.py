"""Ten minutes of a GPU: every strategy in bf16, ``--compile``, the frozen prefix, two data sets.

    python benchmarks/gpu.py --write                # fills the table of docs/benchmarks.md
    python benchmarks/gpu.py                        # the same, and only prints
    python benchmarks/gpu.py --parts cifar10 mnist  # some of it

Each part is a process of its own with a limit of its own, and all of them together have ``--limit``
seconds; one that fails or runs out of time is said in its row, and the next begins. Parts that can
fail soonest come first. Without a GPU everything is rehearsed on the CPU in tiny settings, which
shows that the script runs and measures nothing: no table is written then. The parts ``cifar10…``
and ``mnist`` need ``$HEADSTART_DATA``; ``prefix`` and most strategies begin from
``pip/efficientnet-lite0`` where its package is there, otherwise from random weights.

Left out on purpose: several GPUs, and comparisons with other tools (``finetune_peers.py``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timing import answer_side, installed_versions, markdown_table

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
SLACK = 20.0  # times longer than on a GPU may a rehearsal take, on a machine that does more
BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
COLUMNS = (
    "what",
    "training, s",
    "steps/s",
    "test accuracy",
    "peak GPU memory, MB",
    "whole part, s",
)
STRATEGIES = ("head", "last-n", "lp-ft", "gradual", "full", "lora")
Answer = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One thing to measure.

    Attributes:
        name: As ``--parts`` takes it.
        what: As the table shows it.
        limit: Seconds that it may take.
        run: Called in its own process with ``is_gpu`` and a folder to write to.
    """

    name: str
    what: str
    limit: float
    run: Callable[[bool, Path], Answer]


def finetuned(is_gpu: bool, folder: Path, data: str, start: str, **options: Any) -> Answer:
    """Fine-tune and return what the table shows; on a CPU a few steps of a tiny data set."""
    import torch

    import headstart as hs
    from headstart.events import listen

    heard: Answer = {"trained": None}

    def hear(kind: str, fields: dict[str, object]) -> None:
        if kind == "spent" and fields["stage"] == "training":
            heard["trained"] = fields["seconds"]
        if kind == "task" and fields.get("name") == "fine-tune":
            heard["steps"] = fields["done"]

    if not is_gpu:
        data, options = "digits-8x8", rehearsed(options)
    if options.get("strategy") == "head":  # solved for: without steps and their number format
        options = {"strategy": "head"}
    else:
        options = {"precision": "bf16", **options}
    options["device"] = "cuda" if is_gpu else "cpu"
    with listen(hear):
        run = hs.finetune(
            data, start=start, out=str(folder / f"run-{time.monotonic_ns()}"), **options
        )
    trained, steps = heard["trained"], heard.get("steps")
    return {
        "trained": trained,
        "rate": steps / trained if trained and steps else None,
        "accuracy": run.metrics["test"]["figures"]["accuracy"]["value"],
        "memory": torch.cuda.max_memory_allocated() / 2**20 if is_gpu else None,
    }


def rehearsed(options: Answer) -> Answer:
    """Return options for a few steps on a CPU.

    Nothing is compiled: that takes a compiler and minutes.
    """
    kept = {k: v for k, v in options.items() if k in ("strategy", "views", "augment")}
    return kept | {"num_steps": 2, "batch_size": 16}


def pretrained_start(is_gpu: bool) -> str:
    """Return the pretrained start that a package brings, or random weights where there is none.

    A rehearsal takes the textbook network.
    """
    if not is_gpu:
        return "scratch/simple-cnn"
    import headstart as hs

    lite = "pip/efficientnet-lite0"
    return (
        lite
        if any(s.address == lite and s.is_local for s in hs.list_starts())
        else "scratch/resnet18"
    )


def run_strategy(name: str) -> Callable[[bool, Path], Answer]:
    """Return the smoke test of a strategy: a few steps in bf16, and an answer that is a number."""

    def run(is_gpu: bool, folder: Path) -> Answer:
        start = "scratch/vit-tiny" if name == "lora" else pretrained_start(is_gpu)
        return finetuned(is_gpu, folder, "digits", start, strategy=name, num_steps=60)

    return run


def run_compiled(is_gpu: bool, folder: Path) -> Answer:
    """Train with and without ``compile``; the row is the compiled one, with both rates."""
    options: Answer = {"strategy": "full", "num_steps": 300, "batch_size": 256}
    start = "scratch/resnet18" if is_gpu else pretrained_start(is_gpu)
    plain = finetuned(is_gpu, folder, "digits", start, **options)
    compiled = finetuned(is_gpu, folder, "digits", start, compile=True, **options)
    return compiled | {
        "note": f"without: {shown(plain['rate'])} steps/s in {shown(plain['trained'])} s"
    }


def run_prefix(is_gpu: bool, folder: Path) -> Answer:
    """Train the last layers with the frozen part kept, and with all of it in every step."""
    options: Answer = {"strategy": "last-n", "augment": "none", "num_epochs": 5}
    kept = finetuned(is_gpu, folder, "digits", pretrained_start(is_gpu), views=1, **options)
    full = finetuned(is_gpu, folder, "digits", pretrained_start(is_gpu), views=0, **options)
    return kept | {"note": f"computed in every step: {shown(full['trained'])} s"}


def run_cifar10(epochs: float) -> Callable[[bool, Path], Answer]:
    """Return the training of the quick network on CIFAR-10 from random weights.

    The batch is a GPU's; the rate stays that of 256 samples, since Muon's steps have a length of
    their own. The aims are 94 % within ten seconds and 95.5 % within sixty.
    """

    def run(is_gpu: bool, folder: Path) -> Answer:
        options: Answer = {"num_epochs": epochs, "batch_size": 1024, "learning_rate": 0.02}
        start = "scratch/quick-cnn-wide" if is_gpu else "scratch/quick-cnn"
        return finetuned(is_gpu, folder, "cifar10", start, strategy="full", **options)

    return run


def run_mnist(is_gpu: bool, folder: Path) -> Answer:
    """Train the quick network on MNIST for an epoch; the aim is 99 % within five seconds."""
    options: Answer = {"strategy": "full", "num_epochs": 1, "augment": "none"}
    return finetuned(is_gpu, folder, "mnist", "scratch/quick-cnn", **options)


PARTS: tuple[Part, ...] = (
    *(Part(f"strategy-{n}", f"`{n}`, bf16, 60 steps", 45.0, run_strategy(n)) for n in STRATEGIES),
    Part("prefix", "`last-n`, frozen part kept", 60.0, run_prefix),
    Part("mnist", "MNIST, `scratch/quick-cnn`, one epoch", 60.0, run_mnist),
    Part("cifar10", "CIFAR-10, `scratch/quick-cnn-wide`, 10 epochs", 60.0, run_cifar10(10)),
    Part("compile", "`--compile`, ResNet-18, batch 256", 120.0, run_compiled),
    Part("cifar10-long", "CIFAR-10, `scratch/quick-cnn-wide`, 60 epochs", 150.0, run_cifar10(60)),
)


# One part after the other -------------------------------------------------------------------------


def measure(parts: Sequence[Part], limit: float, command: Sequence[str]) -> list[list[str]]:
    """Run each part in a process of its own and return the rows of the table.

    Args:
        parts: What to run.
        limit: Seconds for all together.
        command: What starts a part's process: ``--part NAME --result FILE`` is added.
    """
    end, rows = time.monotonic() + limit, []
    for part in parts:
        began = time.monotonic()
        seconds = min(part.limit, end - began)
        answer = (
            {"failed": "not begun: the time for all was up"}
            if seconds <= 1.0
            else run_part(part, seconds, command)
        )
        rows.append(row(part, answer, time.monotonic() - began))
        print("  ".join(rows[-1]), flush=True)
    return rows


def run_part(part: Part, seconds: float, command: Sequence[str]) -> Answer:
    """Return what a part answered, or ``failed`` with the reason."""
    with tempfile.TemporaryDirectory(prefix="headstart-gpu-") as folder:
        result = Path(folder) / "result.json"
        words = [*command, "--part", part.name, "--result", str(result)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"failed": f"stopped after {seconds:.0f} s"}
        if done.returncode != 0 or not result.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            return {"failed": said[-1][:200] if said else f"ended with status {done.returncode}"}
        answer: Answer = json.loads(result.read_text())
    return answer


def shown(value: float | None, digits: int = 1) -> str:
    """Return a number as the table shows it; a dash for none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def row(part: Part, answer: Mapping[str, Any], seconds: float) -> list[str]:
    """Return a part's row."""
    if "failed" in answer:
        return [f"{part.what}: **failed**, {answer['failed']}", "–", "–", "–", "–", shown(seconds)]
    note = f" ({answer['note']})" if answer.get("note") else ""
    return [
        part.what + note,
        shown(answer["trained"]),
        shown(answer["rate"]),
        shown(answer["accuracy"], 4),
        shown(answer["memory"], 0),
        shown(seconds),
    ]


def replaced(text: str, table: str) -> str:
    """Return a document with a table between the two markers in place of what stood there.

    Raises:
        ValueError: If the markers are not there, each once and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected '{BEGIN}' and behind it '{END}', each once. Put them back.")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def gpu_name() -> str | None:
    """Return the name of the GPU, or None; asked in another process, so that none is held here."""
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or None


def answer_part(name: str, result: str, is_gpu: bool) -> None:
    """Run one part in this process and write its answer."""
    part = next(part for part in PARTS if part.name == name)
    with tempfile.TemporaryDirectory(prefix="headstart-gpu-") as folder:
        answer_side(result, part.run(is_gpu, Path(folder)))


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ten minutes of a GPU, or a rehearsal without.")
    parser.add_argument("--parts", nargs="+", choices=[p.name for p in PARTS], help="only these")
    parser.add_argument("--limit", type=float, default=570.0, help="seconds for all together")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    if arguments.part:
        answer_part(arguments.part, arguments.result, arguments.gpu)
        return 0
    name = gpu_name()
    print(name or "No GPU here: a rehearsal on the CPU, which measures nothing.", flush=True)
    command = [sys.executable, str(Path(__file__)), *(["--gpu"] if name else [])]
    chosen = [part for part in PARTS if not arguments.parts or part.name in arguments.parts]
    if not name:
        chosen = [replace(part, limit=SLACK * part.limit) for part in chosen]
        arguments.limit *= SLACK
    rows = measure(chosen, arguments.limit, command)
    table = markdown_table(COLUMNS, rows)
    versions = ", ".join(f"{package} {number}" for package, number in installed_versions().items())
    print(f"\n{table}")
    if arguments.write and name:
        told = f"{time.strftime('%Y-%m-%d')}, one {name}; {versions}.\n\n{table}"
        DOCS.write_text(replaced(DOCS.read_text(encoding="utf-8"), told), encoding="utf-8")
    elif arguments.write:
        print("Nothing was written: without a GPU there is no figure to write.")
    return 1 if any("**failed**" in cells[0] for cells in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
