"""A block of a page as a shell runs it: its commands, budgets and rounds cut short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from blocks import ROOT, Block
from world import OF_A_RUN, RUNS, write_named

TRAINS = ("fit", "finetune", "pretrain", "rank")
# Which run a page's server serves where a block asks it and does not begin it.
SERVED = {
    "docs/beside.md": "runs/reviews",
    "docs/pairs.md": "runs/nli",
    "docs/deploy.md": "runs/photos",
    "docs/images-with-texts.md": "runs/pairs",
}
SEVERAL = "runs/photos runs/reviews"  # where a request says which model
# What a command may end with besides 0, by words of it: docs/deploy.md says so.
MAY_END = {"--int8": 7}
# A benchmark's numbers: how many rounds of how much; any of them is cut to so much.
CUT = {
    "--rounds": "1",
    "--steps": "2",
    "--num-steps": "2",
    "--repeats": "1",
    "--turns": "1",
    "--limit": "64",
    "--limit-test": "32",
    "--epochs": "1",
    "--draws": "2",
    "--blocks": "2",
    "--rows": "1000",
    "--texts": "1000",
    "--columns": "300",
    "--classes": "300",
    "--budgets": "15",
    "--images": "200",
    "--fractions": "0.1",
    "--rates": "1e-3",
}
# What the larger ones are given besides, so that a minute is enough.
MORE = {
    "finetune_peers.py": "--limit-test 32 --limit-val 16 --size 64 --epochs 1 --repeats 1",
    "text_peers.py": "--epochs 1 --repeats 1",
    "word_peers.py tags": "--limit 64",
    "mnist_scratch.py": "--quick --seeds 0 --max-epochs 1",
    "prefix_cache.py": "--quick",
    "startup.py": "--cases help",
    "steps.py": "--turns 1 --networks vit-tiny",
    "passes.py": "--networks 'MiniLM 32 tokens'",
    "precision.py": "--seeds 2",
    "checkpoint_stall.py": "--megabytes 20 --saves 2",
    "small_val.py": "--sizes 20 --draws 2",
}
BUDGETS = {"docs/distributed.md": "60s"}  # four processes on as many cores as there are
# The functions of the script: every command is a process of its own; a server runs beside, is asked
# when it is ready, and has ended well when Ctrl-C ends it.
PRELUDE = """
set -euo pipefail
SERVER=
stop() {
  if [ -n "$SERVER" ]; then kill -INT "$SERVER"; wait "$SERVER"; SERVER=; fi
}
leave() {
  if [ -n "$SERVER" ]; then kill -KILL "$SERVER" 2>/dev/null; fi
}
trap leave EXIT
headstart() {
  if [ "$1" != serve ]; then python -m headstart "$@"; return; fi
  stop
  python -m headstart "$@" --port "$PORT" &
  SERVER=$!
  for _ in $(seq 600); do
    if command curl -sf "localhost:$PORT/v2/health/ready" > /dev/null; then return 0; fi
    kill -0 "$SERVER" || return 1
    sleep 0.2
  done
  return 1
}
curl() { command curl --fail-with-body -sS --max-time 120 "$@"; }
"""


def cut(line: str, budget: str) -> str:
    """Return a command that takes seconds where it would take minutes or hours.

    Args:
        line: As it stands on the page.
        budget: What a training is given.
    """
    line = line.replace("HEADSTART_DATA=… ", "").replace(":8080", ":$PORT")
    line = re.sub(r"\[(--precision fp32)\]", r"\1", line)  # what may be added
    if "benchmarks/" in line:
        line = re.sub(r"--seconds \d\d+", "--seconds 15", line).replace(
            " DATA ", ' "$HEADSTART_DATA" '
        )
        line = line.replace("--before OLD --after NEW", "--before ../before --after .")
        for flag, value in CUT.items():
            line = re.sub(rf"{flag}(?: [\d.e-]+)+(?=\s|$)", f"{flag} {value}", line)
        more = next((words for name, words in MORE.items() if f"benchmarks/{name}" in line), "")
        return re.sub(r"--budget \d+[smh]", f"--budget {budget}", f"{line} {more}".strip())
    verb = re.search(r"headstart (\w+) ", line)
    if verb is None or verb[1] not in TRAINS:
        return line
    longer = f"{2 * int(budget[:-1])}s" if "--resume" in line else budget
    if re.search(r"--(?:folds|seeds) \d", line):
        longer = "90s"  # several runs share it
    if "--budget" in line:
        return re.sub(r"--budget \d+[smh]", f"--budget {longer}", line)
    return line if "--num-steps" in line else f"{line} --budget {budget}"


def served_for(block: Block) -> str:
    """Return which runs a block's requests are for."""
    is_one = all("model=" not in line for line in block.run_here)
    return SERVED.get(block.page, "") if is_one else SEVERAL


def script(block: Block, port: int) -> str:
    """Return the whole script of a block; trainings whose folder it does not say have their own.

    Args:
        block: One that can be run here.
        port: Of its server.
    """
    budget = BUDGETS.get(block.page, "15s")
    lines = [cut(line, budget) for line in block.run_here]
    for at, line in enumerate(lines):
        if re.match(r"(?:[A-Z_]+=\S+ )*headstart (?:fit|finetune|pretrain) ", line):
            lines[at] = line if "--out" in line else f"{line} --out runs/line-{at}"
    asks = [at for at, line in enumerate(lines) if "localhost:$PORT" in line or "--url" in line]
    begins = [at for at, line in enumerate(lines) if "headstart serve" in line]
    if asks and not any(at < asks[0] for at in begins):
        lines.insert(0, f"headstart serve {served_for(block)}")
    for at, line in enumerate(lines):
        for words, code in MAY_END.items():
            if words in line:
                lines[at] = f"{line} || [ $? = {code} ]"
    told = [f"echo {_quoted(f'$ {line}')} >&2\n{line}" for line in lines]
    return "\n".join([PRELUDE, *told, "stop", ""]).replace("$PORT", str(port))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def prepare(folder: Path, block: Block, environment: dict[str, str]) -> None:
    """Write data of the names that stand in a block, and make the runs that it does not make."""
    whole = "\n".join(block.run_here)
    needed = f"{whole} {served_for(block)}" if ":8080" in whole else whole
    for run, made in RUNS.items():
        first = re.search(rf"(\S+) {run}(?=[\s/]|-onnx|$)", needed)
        if first is None or first[1] == "--out":
            continue
        words = OF_A_RUN.get((block.page, run), made)
        write_named(folder, block.page, [words])
        _call(["finetune", *words.split(), "--out", run, "--quiet"], folder, environment)
        bundle = re.search(rf"(\S+) {run}-onnx", needed)
        if bundle and f"export {run}" not in whole:
            _call(["export", run, "--to", "onnx", "--quiet"], folder, environment)
    write_named(folder, block.page, [whole])


def _call(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "headstart", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr}"


def environment_of(folder: Path) -> dict[str, str]:
    """Return the variables of a block's commands: this build, and nothing of the network."""
    own = {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    own |= {"OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(folder / "cache")}
    own |= {"HEADSTART_DATA": os.environ.get("HEADSTART_DATA", str(folder / "here" / "data"))}
    own |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return os.environ | own


def lay_out(folder: Path) -> Path:
    """Make a folder look like a checkout that lies beside the build before; return it."""
    here = folder / "here"
    here.mkdir()
    for name in ("benchmarks", "src", "docs"):
        (here / name).symlink_to(ROOT / name)
    (folder / "before").symlink_to(ROOT)
    return here
