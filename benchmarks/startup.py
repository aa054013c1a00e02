"""How long until something happens: help, imports, the first training step, one prediction.

    python benchmarks/startup.py --before OLD --after NEW     # two checkouts; about ten minutes
    python benchmarks/startup.py --after NEW --timeline       # where the time of one search goes

Each case is a process of its own, as a user starts it; the two builds take turns, and the medians
of all turns are shown, in seconds on the clock and in processor seconds (a neighbour on the machine
delays the first and hardly the second). What is counted:

- help and import: the whole process.
- first step: from the start of the process to the end of the first step of any optimizer in it,
  which then ends itself. A search trains its candidates from scratch for a moment to compare them:
  the first step may be one of those. Of pretrained candidates a probe is fitted on frozen features,
  which is no step; ``first of the fine-tuning`` leaves out what screening steps. ``learned``: until
  the first candidate has learned and was looked at on val, whatever solver or optimizer it takes.
- predict, evaluate: the whole process, with a run that a few steps have made.

The cache is empty for every case. Bytecode is compiled before the first turn. Left out: the page
cache of a machine that has just started.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from timing import describe_machine, markdown_table, save_records

WATCHED = ("numpy", "torch", "torchvision", "timm", "sklearn", "scipy", "pyarrow", "pandas")
WATCHED += ("transformers", "tokenizers", "PIL", "jinja2", "sympy")
NUM_TEXTS = 2_000


@dataclass(frozen=True)
class Case:
    """Something that a user waits for.

    Attributes:
        name: As the table shows it.
        words: What stands behind ``headstart``; of ``import`` nothing.
        until: ``end`` of the process, or a ``step``, or the first step of the ``fine-tuning``, or
            the first candidate that has ``learned``.
    """

    name: str
    words: tuple[str, ...]
    until: str = "end"


def cases(folder: Path) -> list[Case]:
    """Return all cases; ``{data}`` and the like are filled in by ``prepare``."""
    helps = [
        Case(f"`headstart {w} --help`".replace("  ", " "), (*w.split(), "--help"))
        for w in ("", "fit", "finetune", "predict", "check")
    ]
    search = ("--budget", "10m", "--device", "cpu", "--quiet")
    texts, run = str(folder / "texts.csv"), str(folder / "run")
    return [
        Case("`import headstart`", ()),
        *helps,
        Case("`fit digits`, first candidate learned", ("fit", "digits", *search), "learned"),
        Case("`fit digits`, first step", ("fit", "digits", *search), "step"),
        Case(
            "`finetune digits`, the textbook network, first step",
            ("finetune", "digits", "--start", "scratch/simple-cnn", "--device", "cpu", "--quiet"),
            "step",
        ),
        Case("`fit` on 2,000 texts, first step", ("fit", texts, *search), "step"),
        Case(
            "`fit flowers5`, 1 minute, first step",
            ("fit", "flowers5", "--budget", "1m", *search[2:]),
            "step",
        ),
        Case("`predict`, one file", ("predict", run, str(folder / "one.png"), "--quiet")),
        Case("`evaluate`, 1,000 digits", ("evaluate", run, "--quiet")),
    ]


# The other process --------------------------------------------------------------------------------


def child(until: str, record: str, words: list[str]) -> None:
    """Run a command as ``headstart`` does, write down when what happened, and end at a step."""
    began = time.perf_counter()
    marks: list[tuple[str, float, float]] = []

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter() - began, time.process_time()))

    def leave() -> None:
        Path(record).write_text(json.dumps(marks))
        os._exit(0)

    watch_imports(mark)
    from headstart import events
    from headstart.cli import main

    stage, hooked = "", False

    def at_step(*_: object) -> None:
        mark("first step" if stage == "screening" else "first step of the fine-tuning")
        if until == "step" or stage != "screening":
            leave()

    def hear(kind: str, fields: dict[str, object]) -> None:
        nonlocal stage, hooked
        if kind == "stage":
            mark(str(fields["text"]))
            stage = (
                stage
                if str(fields["text"]).startswith("Fine-tuning") and stage == "screening"
                else ""
            )
        if kind == "task" and fields.get("name") == "screening":
            stage = "" if fields["done"] == fields["total"] else "screening"
            mark(f"screening: {fields.get('start', 'done')}")
            if until == "learned" and int(str(fields["done"])):
                leave()
        if kind == "spent":
            mark(f"{fields['stage']}: done")
        if not hooked and "torch" in sys.modules:
            from importlib import import_module

            import_module("torch.optim.optimizer").register_optimizer_step_post_hook(at_step)
            hooked = True

    if until == "end":
        sys.exit(main(words))
    with events.listen(hear):
        main(words)
    raise SystemExit("the command ended without a step")


def watch_imports(mark: object) -> None:
    """Mark how long the first import of each watched package takes, where that is 20 ms or more."""
    import builtins

    real, seen = builtins.__import__, set(sys.modules)

    def timed(name: str, *args: object, **kwargs: object) -> object:
        top = name.partition(".")[0]
        if top not in WATCHED or top in seen:
            return real(name, *args, **kwargs)  # type: ignore[arg-type]
        seen.add(top)
        began = time.perf_counter()
        try:
            return real(name, *args, **kwargs)  # type: ignore[arg-type]
        finally:
            if (took := time.perf_counter() - began) >= 0.02:
                mark(f"import {top}: {took:.2f} s")  # type: ignore[operator]

    builtins.__import__ = timed


# Sides in turn ------------------------------------------------------------------------------------


def start(
    build: Path, case: Case, folder: Path, arguments: argparse.Namespace
) -> dict[str, object]:
    """Run a case with a build; return its seconds, on the clock and of the processor, and marks."""
    with tempfile.TemporaryDirectory(prefix="headstart-startup-") as empty:
        record = Path(empty) / "marks.json"
        environment = os.environ | {
            "PYTHONPATH": f"{build / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "HEADSTART_CACHE": f"{empty}/cache",
            "OMP_NUM_THREADS": str(arguments.threads),
            "HF_HUB_OFFLINE": "1",
        }
        if not case.words:
            command = [sys.executable, "-c", "import headstart"]
        elif case.until == "end":
            code = "import sys; from headstart.cli import main; sys.exit(main())"
            command = [sys.executable, "-c", code, *case.words]
        else:
            command = [sys.executable, str(Path(__file__)), "--child", case.until, str(record)]
            command += [*case.words, "--out", f"{empty}/run"]
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status != 0:
            raise SystemExit(f"{' '.join(command)} of {build} failed:\n{said[-2000:]}")
        marks = json.loads(record.read_text()) if record.exists() else []
    return {
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "marks": marks,
    }


def prepare(folder: Path, build: Path, arguments: argparse.Namespace) -> None:
    """Write the texts, one digit, and a run that a few steps have made."""
    source = Path(os.environ["HEADSTART_DATA"]) / "text" / "sst2" / "train.tsv"
    rows = [line.rsplit("\t", 1) for line in source.read_text().splitlines()[:NUM_TEXTS]]
    with (folder / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *rows])
    code = (
        "import headstart as hs; from PIL import Image\n"
        "data = hs.load('digits')\n"
        "Image.fromarray(data.test.samples.read(0).squeeze()).save('one.png')\n"
        "hs.finetune(data, start='scratch/simple-cnn', num_steps=20, out='run', device='cpu')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(build / "src"), "HEADSTART_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])


def compare(arguments: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Run every chosen case with each build in turn."""
    builds = {
        name: Path(p).resolve()
        for name, p in (("before", arguments.before), ("after", arguments.after))
        if p
    }
    records: list[dict[str, object]] = []
    chosen = [
        c for c in cases(folder) if not arguments.cases or any(w in c.name for w in arguments.cases)
    ]
    for case in chosen:
        for build in builds.values():
            start(build, case, folder, arguments)  # compiles bytecode
        found: dict[str, list[dict[str, object]]] = {name: [] for name in builds}
        for turn in range(arguments.turns):
            for name in list(builds) if turn % 2 == 0 else reversed(list(builds)):
                found[name].append(start(builds[name], case, folder, arguments))
        records.append({"case": case.name, **found})
        print(line(records[-1]), flush=True)
    return records


def medians(record: dict[str, object], side: str) -> tuple[float, float]:
    """Return the median seconds on the clock and of the processor."""
    rows = record[side]
    assert isinstance(rows, list)
    return (
        statistics.median(row["seconds"] for row in rows),
        statistics.median(row["processor_seconds"] for row in rows),
    )


def line(record: dict[str, object]) -> list[str]:
    """Return a row of the table."""
    cells = [str(record["case"])]
    both = [medians(record, side) for side in ("before", "after") if side in record]
    cells += [f"{clock:.2f}" for clock, _ in both] + [f"{processor:.2f}" for _, processor in both]
    if len(both) == 2:
        cells.append(f"{both[0][1] / both[1][1]:.1f}×")
    return cells


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Seconds until help, a first step, a prediction.")
    parser.add_argument("--before", help="checkout of the build before")
    parser.add_argument(
        "--after", default=str(Path(__file__).parents[1]), help="checkout of this one"
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", help="those whose name contains one of these words")
    parser.add_argument(
        "--timeline", action="store_true", help="where the time to a first step goes"
    )
    parser.add_argument("--json", help="write the raw measurements here")
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    if argv[:1] == ["--child"]:
        child(argv[1], argv[2], argv[3:])
        return
    arguments = parse(argv)
    machine = describe_machine(arguments.threads)
    print(machine.sentence() + "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="headstart-startup-") as name:
        folder = Path(name)
        prepare(folder, Path(arguments.after).resolve(), arguments)
        if arguments.timeline:
            search = next(c for c in cases(folder) if c.name.startswith("`fit digits`"))
            start(Path(arguments.after).resolve(), search, folder, arguments)
            found = start(Path(arguments.after).resolve(), search, folder, arguments)
            assert isinstance(found["marks"], list)
            rows = [
                [what, f"{clock:.2f}", f"{processor:.2f}"]
                for what, clock, processor in found["marks"]
            ]
            print(markdown_table(["at", "s on the clock", "processor s"], rows))
            return
        records = compare(arguments, folder)
    sides = [side for side in ("before", "after") if side in records[0]]
    columns = ["until", *(f"{s}, s" for s in sides), *(f"{s}, processor s" for s in sides)]
    columns += ["times less"] if len(sides) == 2 else []
    print("\n" + markdown_table(columns, [line(record) for record in records]))
    save_records(arguments.json, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
