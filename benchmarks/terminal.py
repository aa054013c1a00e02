"""What every verb prints in a terminal of 80 columns: in a pane of tmux, on small data.

    python benchmarks/terminal.py --out /tmp/terminal              # ~10 min, all verbs
    python benchmarks/terminal.py --out /tmp/terminal --only compare report

Each command runs in a pane of 80 x 24 as a person would run it, one after the other, in a folder of
its own; what stands on the screen and above it is kept, a file a command. Told of each are lines
that are wider than the screen (but for commands and paths, which are to be copied), numbers with an
exponent, numbers that a line breaks, warnings of libraries, and an exit code that is not the one
expected. tmux has to be installed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS, ROWS = 80, 24
SOCKET = "headstart-terminal"
_WARNING = re.compile(r"\b(?:\w*Warning:|warnings\.warn|Traceback)")
_EXPONENT = re.compile(r"(?<!p = )(?<![\d.])\d(?:\.\d+)?e\+\d+\b")
_BROKEN = re.compile(r"\d[.,]?\n\d|\d[.,]\n *\d|[ (\[][+-]\n *\d")
_COPIED = re.compile(r"^\s*(?:next: |page: |\S*[/\\]\S*$|headstart )")

# name, what follows "headstart", and what is typed before it
COMMANDS: dict[str, str] = {
    "help": "help",
    "help-fit": "help fit",
    "doctor": "doctor --seconds 2",
    "starts": "starts --modality table",
    "starts-all": "starts",
    "check": "check prices.csv --label price --budget 60s --out check",
    "rank": "rank kinds.csv --label kind --starts scratch/linear scratch/mlp --budget 60s",
    "dry-run": "fit kinds.csv --label kind --budget 60s --dry-run",
    "fit": "fit kinds.csv --label kind --budget 90s --out fit",
    "finetune": "finetune prices.csv --label price --start scratch/linear --out a",
    "finetune-mlp": "finetune prices.csv --label price --start scratch/mlp --num-steps 60 --out b",
    "finetune-texts": "finetune texts.csv --label kind --start scratch/tfidf --out texts",
    "finetune-digits": "finetune digits-8x8 --start scratch/simple-cnn --num-steps 40 --out digits",
    "folds": "finetune kinds.csv --label kind --start scratch/linear --folds 3 --train-on-all "
    "--threshold f1 --out folds",
    "evaluate": "evaluate a",
    "evaluate-slices": "evaluate folds --slice land",
    "predict": "predict a prices.csv",
    "report-explain": "report texts --explain",
    "predict-explain": "predict texts texts.csv --explain page.html",
    "compare": "compare a b",
    "runs": "runs .",
    "report": "report a",
    "export": "export a --to onnx --out bundle",
    "verify": "verify bundle",
    "monitor": "monitor bundle prices.csv",
    "watch": "watch a --once",
    "serve": "serve bundle --port 18765",
    "pretrain": "pretrain images --objective mae --num-steps 6 --out own",
    "cache": "cache",
    "refusal": "finetune prices.csv --label prise --start scratch/linear --out c",
}
STOPPED = {"serve": 12.0}  # seconds, then Ctrl-C
CODES = {"refusal": 3, "serve": 0}


def write_data(folder: Path) -> None:
    """Write small data of each kind."""
    draw, num = np.random.default_rng(0), 480
    frame = pd.DataFrame({"rooms": draw.integers(1, 8, num), "area": draw.normal(90, 30, num)})
    frame["land"] = draw.choice(["Niederösterreich", "Genève", "Île-de-France"], num)
    noise = draw.normal(0, 20_000, num)
    frame["price"] = (90_000 + 60_000 * frame["rooms"] + 2_500 * frame["area"] + noise).round(2)
    frame.to_csv(folder / "prices.csv", index=False)
    kinds = frame.drop(columns="price")
    kinds["kind"] = np.where(frame["price"] > frame["price"].quantile(0.7), "dear", "cheap")
    kinds.to_csv(folder / "kinds.csv", index=False)
    words = ["warm", "dull", "bright", "slow", "film", "plot", "actor", "music"]
    texts = [" ".join(draw.choice(words, 9)) + f" {number}" for number in range(num)]
    labels = ["good" if text.count("warm") > text.count("dull") else "bad" for text in texts]
    pd.DataFrame({"text": texts, "kind": labels}).to_csv(folder / "texts.csv", index=False)
    from PIL import Image

    (folder / "images").mkdir()
    for number in range(60):
        pixels = draw.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")


def tmux(*words: str) -> str:
    """Return what tmux answers."""
    command = ["tmux", "-L", SOCKET, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run_in_pane(said: str, folder: Path, stop_after: float | None, limit: float) -> tuple[str, int]:
    """Run a command in a pane of its own; return all that it printed, and its exit code."""
    code = folder / "code"
    code.unlink(missing_ok=True)
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    tmux("new-session", "-d", "-s", "pane", *size, "-c", str(folder), "bash --norc --noprofile")
    tmux("set-option", "-t", "pane", "history-limit", "20000")
    try:
        line = f"clear; {sys.executable} -m headstart {said}; echo $? > code"
        tmux("send-keys", "-t", "pane", line, "Enter")
        began, stopped = time.monotonic(), False
        while not (code.is_file() and code.read_text().strip()):
            spent = time.monotonic() - began
            if stop_after is not None and spent > stop_after and not stopped:
                tmux("send-keys", "-t", "pane", "C-c")
                stopped = True
            if spent > limit:
                return tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "pane"), -1
            time.sleep(0.2)
        time.sleep(0.2)
        shown = tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "pane")
        return shown, int(code.read_text())
    finally:
        tmux("kill-session", "-t", "pane")


def faults(shown: str) -> list[str]:
    """Return what is wrong with what a pane shows."""
    told = (one.group() for one in _BROKEN.finditer(shown))
    found = [f"a number is broken: {one!r}" for one in told]
    for line in (one.rstrip() for one in shown.splitlines()):
        if len(line) > COLUMNS and not _COPIED.match(line):
            found.append(f"{len(line)} columns: {line}")
        if _EXPONENT.search(line):
            found.append(f"an exponent: {line}")
        if _WARNING.search(line):
            found.append(f"a warning: {line}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for data, runs and screens")
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--limit", type=float, default=240.0, help="seconds of a command")
    args = parser.parse_args()
    if shutil.which("tmux") is None:
        parser.error("tmux is not installed: apt install tmux")
    place, screens = args.out / "place", args.out / "screens"
    tmux("new-session", "-d", "-s", "server")  # which ends with its last session
    if not place.is_dir():
        place.mkdir(parents=True)
        write_data(place)
    screens.mkdir(exist_ok=True)
    num_faults = 0
    for name in args.only:
        shown, code = run_in_pane(COMMANDS[name], place, STOPPED.get(name), args.limit)
        (screens / f"{name}.txt").write_text(shown.strip() + "\n")
        found = faults(shown)
        if code != CODES.get(name, 0):
            found.append(f"exit code {code}, expected {CODES.get(name, 0)}")
        num_faults += len(found)
        print(f"{name}: {len(shown.strip().splitlines())} lines, {len(found)} faults", flush=True)
        for one in found:
            print(f"    {one}", flush=True)
    tmux("kill-server")
    return 1 if num_faults else 0


if __name__ == "__main__":
    sys.exit(main())
