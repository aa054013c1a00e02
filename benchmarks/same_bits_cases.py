"""The cases of ``same_bits``: small programs that know headstart by its public face alone.

    python benchmarks/same_bits_cases.py CASE DATA_FOLDER

runs one in the working folder, with whatever headstart PYTHONPATH names, and leaves ``record.json``
there. Without a case it lists them.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import same_bits_data as sources
import torch
from same_bits_data import Making, MissingDataError
from same_bits_record import (
    EXACT,
    Record,
    answers,
    command,
    folder_record,
    lines,
    merged,
    predicted,
    watched_losses,
    weights,
    without_seconds,
)
from torch import nn

import headstart as hs

HERE = Path(__file__).parent
LIFE = str(HERE / "same_bits_life.py")
RUN = Path("run")
NUM_STEPS = 20
STEPS = {"num_steps": NUM_STEPS, "device": "cpu"}
# All that has a state or draws random numbers; long enough for several checkpoints.
LONG = (
    "finetune digits-8x8 --start scratch/simple-cnn --num-steps 160 --batch-size 32 "
    "--micro-batch-size 16 --augment digits --dropout 0.2 --mixup 0.2 --ema --device cpu --out"
)


def trained(making: Making, folder: Path, *, exports: bool = False, **options: Any) -> Record:
    """Fine-tune, and ask the run everything.

    Args:
        making: Makes the source.
        folder: Where its files are.
        exports: Whether the run is exported too.
        options: Those of ``finetune``.
    """
    source = making(folder)
    data = hs.load(source.given, **source.load)
    with watched_losses() as losses:
        hs.finetune(data, out=str(RUN), **{"device": "cpu", **EXACT, **options})
    record = merged({"losses": losses}, folder_record(RUN), answers(RUN, source))
    if exports:
        record["exported"] = weights(hs.export(str(RUN), out="exported"))
    return record


def steps(making: Making, start: str, strategy: str = "full", **options: Any) -> Case:
    """Return a case of so many gradient steps."""
    return partial(trained, making, start=start, strategy=strategy, **{**STEPS, **options})


def solved(making: Making, start: str, **options: Any) -> Case:
    """Return a case without gradient steps: a head on a frozen start, or a linear model."""
    return partial(trained, making, start=start, strategy="head", **options)


def cached(making: Making, folder: Path, **options: Any) -> Record:
    """Fine-tune twice: the second run finds what the first has left in the cache."""
    record = trained(making, folder, **options)
    source = making(folder)
    with watched_losses() as losses:
        hs.finetune(
            hs.load(source.given, **source.load),
            out="again",
            **{"device": "cpu", **EXACT, **options},
        )
    record["must"] = {
        "losses are the same from the cache": losses == record["losses"],
        "weights are the same from the cache": weights(Path("again")) == record["weights"],
    }
    return record


def own_module(folder: Path) -> Record:
    """Fine-tune a module of one's own, by its spec and by what is made of both."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    spec = hs.ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    common = {**STEPS, **EXACT, "strategy": "lp-ft"}
    with watched_losses() as losses:
        run = hs.finetune("digits-8x8", start=module, spec=spec, out=str(RUN), **common)
        wrapped = hs.wrap_module(module, spec)
        hs.finetune("digits-8x8", start=wrapped, out="wrapped", **common)
    record = merged({"losses": losses}, folder_record(RUN))
    record["predict"] = predicted(run.predict(sources.digits(folder).samples))
    record["wrapped"] = weights(Path("wrapped"))
    return record


def run_as_start(folder: Path) -> Record:
    """Fine-tune from a finished run, on other data."""
    options = {**STEPS, "device": "cpu"}
    hs.finetune("digits-8x8", start="scratch/simple-cnn", out="first", **EXACT, **options)
    return trained(sources.two_digits, folder, start="first", strategy="full", **options)


def coefficients(folder: Path) -> Record:
    """Solve for a linear regression, and read its weights in the columns' own units."""
    record = trained(sources.patients, folder, start="scratch/linear")
    by_column, intercept = hs.open(str(RUN)).coefficients()
    return {**record, "coefficients": by_column, "intercept": intercept}


def command_line(folder: Path) -> Record:
    """Do everything by the command line, in one process."""
    source = sources.photos(folder)
    data = str(source.given)
    learn = f"--start pip/efficientnet-lite0 --input-size 64 --num-steps {NUM_STEPS} --device cpu"
    said = {
        "finetune": ("finetune", data, *learn.split(), "--out", "run"),
        "repeat": ("finetune", "--from", "run", "--out", "again"),
        "evaluate": ("evaluate", "run"),
        "predict": ("predict", "run", *source.files),
        "export": ("export", "run", "--out", "exported"),
        "occupied": ("finetune", data, *learn.split(), "--out", "run"),
        "unknown": ("finetune", data, "--start", "scratch/simple-cn", "--bach-size", "8"),
    }
    ran = {name: command(*words) for name, words in said.items()}
    record = folder_record(RUN)
    record |= {"codes": {n: code for n, (code, _, _) in ran.items()}}
    record["exported"] = weights(Path("exported"))
    record["predict"] = [json.loads(line) for line in ran["predict"][1].splitlines()]
    record["must"] = {"a repeated run is the same": weights(Path("again")) == record["weights"]}
    record["told"] |= {
        "evaluate": lines(ran["evaluate"][1]),
        "refusals": {name: ran[name][2] for name in ("occupied", "unknown")},
    }
    return record


def known_starts(folder: Path) -> Record:
    """List the starts, and every option's help."""
    found = [(s.address, s.family, s.num_parameters) for s in hs.list_starts()]
    verbs = ("fit", "finetune", "evaluate", "predict", "export", "cache", "starts", "doctor")
    return {"starts": found, "told": {verb: lines(command("help", verb)[1]) for verb in verbs}}


# Interrupted, and together ----------------------------------------------------------------------


def killed(folder: Path, *, signal_number: int, num_signals: int) -> Record:
    """Fine-tune by the command line, be hit by signals, resume, and compare with an unhurt run."""
    words = LONG.split()
    whole = _live([*words, "whole"], 0, "whole")
    lives = []
    for _ in range(num_signals):
        resume = ["--resume"] if lives else []
        lives.append(_live([*words, "run", *resume], signal_number, "run"))
    lives.append(_live([*words, "run", "--resume"], 0, "run"))
    record = folder_record(RUN)
    record["losses"] = whole["losses"]
    record["codes"] = [whole["code"], *(life["code"] for life in lives)]
    last = lives[-1]["losses"]
    record["must"] = {
        "every signal came in time": all(life["was_hit"] for life in lives[:-1]),
        "the last life goes on from a checkpoint": 0 < len(last) < len(whole["losses"]),
        "its losses are those of the unhurt run": whole["losses"][-len(last) :] == last,
        "resumed weights are those of the unhurt run": weights(Path("whole")) == record["weights"],
    }
    return record


def _live(words: list[str], signal_number: int, out: str) -> Record:
    """Run one life in a process of its own; return its losses, its exit code, and its end."""
    word = Path("life.json")
    word.unlink(missing_ok=True)
    fate = {"word": str(word), "signal": signal_number, "state": f"{out}/state"}
    found = subprocess.run([sys.executable, LIFE, json.dumps(fate), *words], stdout=sys.stderr)
    losses = json.loads(word.read_text()) if word.exists() else []
    code = found.returncode
    was_hit = code in (-signal_number, 128 + signal_number)
    return {"losses": losses, "code": code, "was_hit": was_hit}


def together(folder: Path, *, start: str = "scratch/simple-cnn", more: str = "") -> Record:
    """Fine-tune by two processes under torchrun."""
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    words = (
        f"-m -- headstart finetune digits-8x8 --start {start} --num-steps {NUM_STEPS} "
        f"--batch-size 64 --augment digits --device cpu --out run {more}"
    ).split()
    subprocess.run([*launcher, *words], check=True, stdout=sys.stderr)
    record = folder_record(RUN)
    record["evaluate"] = without_seconds(hs.evaluate(str(RUN), **EXACT).metrics)
    return record


# Under a budget ---------------------------------------------------------------------------------


def searched(making: Making, folder: Path, **options: Any) -> Record:
    """Let ``fit`` choose under a budget; the clock decides, so that only the form is compared."""
    source = making(folder)
    run = hs.fit(
        hs.load(source.given, **source.load), out=str(RUN), device="cpu", **EXACT, **options
    )
    whole = merged(folder_record(RUN), answers(RUN, source))
    told = run.metrics["before_after"]["figures"]
    form = _form({k: v for k, v in whole.items() if k != "told"})
    return {"form": form, "figures": list(told), "note": "its form only: the clock decides"}


def _form(value: Any) -> Any:
    """Return the keys of a record and the kinds of its values."""
    if isinstance(value, dict):
        return {key: _form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_form(value[0])] if value else []
    return type(value).__name__


# Names ------------------------------------------------------------------------------------------

Case = Callable[[Path], Record]
CNN, VIT, LITE = "scratch/simple-cnn", "scratch/vit-tiny", "pip/efficientnet-lite0"
MINILM, BERT, TFIDF = "pip/all-minilm-l6-v2", "scratch/bert-tiny", "scratch/tfidf"
LINEAR, MLP = "scratch/linear", "scratch/mlp"
SMALL = {"input_size": 64, "batch_size": 16}  # photos on one core
SHORT = {"batch_size": 8}  # texts on one core
GREY = {"batch_size": 32}
# by the name that the build has for it
_FLAG = "learning_rate_search" in inspect.signature(hs.finetune).parameters
SEARCHED = {"learning_rate_search": True} if _FLAG else {"learning_rate": "grid"}

CASES: dict[str, Case] = {
    "cnn-full": steps(sources.digits, CNN),
    "cnn-28-pixels": steps(sources.large_digits, CNN, **GREY),
    "resnet18-full": steps(sources.digits, "scratch/resnet18", **GREY),
    "vit-full": steps(sources.digits, VIT, **GREY),
    "vit-gradual": steps(sources.digits, VIT, "gradual", views=2, **GREY),
    "lite0-head": solved(sources.photos, LITE, input_size=64),
    "lite0-last-n-views": partial(
        cached, sources.photos, start=LITE, strategy="last-n", views=2, **STEPS, **SMALL
    ),
    "lite0-last-n-uncached": steps(sources.photos, LITE, "last-n", views=0, **SMALL),
    "lite0-gradual": steps(sources.photos, LITE, "gradual", views=2, **SMALL),
    "lite0-lp-ft": steps(sources.photos, LITE, "lp-ft", exports=True, **SMALL),
    "lite0-flowers": steps(sources.flowers, LITE, "lp-ft", **SMALL),
    "minilm-head": solved(sources.topics, MINILM),
    "minilm-lp-ft": steps(sources.topics, MINILM, "lp-ft", exports=True, **SHORT),
    "minilm-lora": steps(sources.topics, MINILM, "lora", exports=True, **SHORT),
    "minilm-last-n": partial(
        cached,
        sources.topics,
        start=MINILM,
        strategy="last-n",
        learning_rate=2e-5,
        **STEPS,
        **SHORT,
    ),
    "minilm-reviews": steps(sources.reviews, MINILM, "lp-ft", learning_rate=2e-5, **SHORT),
    "bert-tiny-full": steps(sources.topics_file, BERT, **SHORT),
    "tfidf": solved(sources.topics_file, TFIDF),
    "linear-head": solved(sources.wines, LINEAR),
    "linear-full": steps(sources.wines, LINEAR),
    "mlp-full": steps(sources.wines, MLP),
    "binary-image": steps(sources.two_digits, CNN),
    "binary-table": steps(sources.tumours, MLP),
    "multi-label-image": steps(sources.digit_traits, CNN),
    "multi-label-text": solved(sources.tagged, TFIDF),
    "multi-label-text-full": steps(sources.tagged, BERT, **SHORT),
    "multi-label-table": steps(sources.wine_traits, MLP),
    "regression-image": steps(sources.digit_ink, CNN),
    "regression-text": solved(sources.word_lengths, TFIDF),
    "regression-text-full": steps(sources.word_lengths, BERT, **SHORT),
    "regression-table": steps(sources.patients, MLP),
    "regression-linear": coefficients,
    "passengers": steps(sources.passengers, MLP),
    "houses": steps(sources.houses, MLP),
    "imbalance-weights": steps(sources.rare_digits, CNN, imbalance="weights"),
    "imbalance-oversample": steps(sources.rare_digits, CNN, imbalance="oversample"),
    "mixup-average-accumulation": steps(
        sources.digits,
        CNN,
        mixup=0.2,
        cutmix=0.5,
        ema=True,
        batch_size=64,
        micro_batch_size=16,
        dropout=0.2,
        l1_penalty=1e-5,
        optimizer="sgd",
        learning_rate=0.05,
        schedule="constant",
    ),
    "early-stop": steps(sources.digits, CNN, num_steps=None, num_epochs=12, patience=1, **GREY),
    "learning-rate-grid": steps(sources.photos, LITE, "lp-ft", **SEARCHED, **SMALL),
    "own-module": own_module,
    "run-as-start": run_as_start,
    "photo-list": solved(sources.photo_list, LITE, input_size=64),
    "text-folder": solved(sources.text_folder, TFIDF),
    "grouped-chinese": solved(sources.grouped_chinese, TFIDF),
    "starts-and-help": known_starts,
    "command-line": command_line,
    "kill-and-resume": partial(killed, signal_number=int(signal.SIGKILL), num_signals=2),
    "stop-and-resume": partial(killed, signal_number=int(signal.SIGTERM), num_signals=1),
    "two-processes": together,
    "two-processes-split": partial(together, start=VIT, more="--fsdp"),
    "fit-image": partial(searched, sources.digits, budget="60s", starts=[CNN]),
    "fit-table": partial(searched, sources.wines, budget="60s", starts=[LINEAR, MLP]),
}


def main() -> None:
    if not sys.argv[1:]:
        print("\n".join(CASES))
        return
    name, folder = sys.argv[1], Path(sys.argv[2])
    record: Record = {"headstart": os.path.realpath(str(hs.__file__))}
    try:
        record |= CASES[name](folder)
    except MissingDataError as error:
        record["skipped"] = str(error)
    Path("record.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
