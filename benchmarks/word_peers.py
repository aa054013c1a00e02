"""Fine-tuning for tags and for texts that are written: headstart against Hugging Face Trainer.

    python benchmarks/word_peers.py tags          # WNUT17, MiniLM: some ten minutes on two cores
    python benchmarks/word_peers.py seq2seq       # Multi30k, a small encoder–decoder
    python benchmarks/word_peers.py tags --threads 1 --repeats 3 --json /tmp/tags.json

Both sides learn the same sentences from the same weights: all-MiniLM-L6-v2 with a new head that
tells a tag of each word's first piece; or the network and tokenizer of ``scratch/seq2seq-tiny``
with the same random weights, written as a folder. Same epochs, batch size, AdamW, learning rate,
10 % of linear warm-up, clipping at 1; every weight learns. Trainer pads each batch to its longest
row, at random or with its own grouping by length, in fp32, its default, or in bf16 by its option;
headstart's steps run in the format that it chooses. Each side runs in a process of its own, the
order turns from repeat to repeat. Counted are the seconds from the first batch to the last step
(headstart's checks of val are in them), and the highest memory of the process until then. Judged by
what both give on the same test sentences: entity F1 by seqeval (``pip install seqeval``), strict;
or the log loss of a token of the reference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from text_peers import weights_folder
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
)

OURS = "headstart"
SIDES = ("trainer", "trainer-grouped", "trainer-bf16", OURS)
WANTED = {"tags": 1.5, "seq2seq": 1.3, "questions": 1.5}
FIGURES = {"tags": "entity F1", "seq2seq": "log loss a token", "questions": "F1"}
RATES = {"tags": 3e-4, "seq2seq": 7e-4}
Rows = list[tuple[list[str], list[str]]]


def read_tags(path: Path, limit: int) -> Rows:
    """Return words and tags of sentences, the first ``limit``."""
    found: Rows = []
    text = path.read_text(encoding="utf-8").replace("\r", "").replace("\n\t\n", "\n\n")
    for block in text.split("\n\n"):
        lines = [line.split("\t") for line in block.splitlines() if line.strip()]
        if lines:
            found.append(([word for word, _ in lines], [tag for _, tag in lines]))
    return found[:limit]


def read_pairs(folder: Path, name: str, limit: int) -> Rows:
    """Return sentences of two languages, the first ``limit``, each as one word."""
    sides = []
    for side in ("en", "de"):
        packed = folder / f"{name}.{side}.gz"
        plain = folder / f"{name}.{side}"
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
        sides.append(content.decode().split("\n")[:limit])
    return [([one], [other]) for one, other in zip(*sides, strict=True) if one and other]


def write_data(job: str, source: Path, folder: Path, limit: int) -> dict[str, int]:
    """Write the sentences that both sides read, and for pairs the start; return their numbers."""
    names = {"train": limit, "val": 50, "test": 400}
    if job == "tags":
        files = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
        read = {
            name: read_tags(source / "ner-wnut17" / file, names[name])
            for name, file in zip(names, files, strict=True)
        }
    else:
        files = ("train", "val", "test_2016_flickr")
        place = source / "multi30k-en-de"
        read = {
            name: read_pairs(place, file, names[name])
            for name, file in zip(names, files, strict=True)
        }
    for name, rows in read.items():
        if job == "tags":
            told = "\n\n".join("\n".join(map("\t".join, zip(*row, strict=True))) for row in rows)
            (folder / f"{name}.conll").write_text(told + "\n", encoding="utf-8")
            continue
        for place_of, side in enumerate(("en", "de")):
            told = "\n".join(row[place_of][0] for row in rows)
            (folder / f"{name}.{side}").write_text(told + "\n", encoding="utf-8")
    if job == "seq2seq":
        write_start(folder.parent / "start", read["train"])
    return {name: len(rows) for name, rows in read.items()}


def write_start(folder: Path, rows: Rows) -> None:
    """Write the small encoder–decoder with random weights, and its tokenizer, for transformers."""
    import torch

    from headstart.preprocessing.vocabulary import train_pair_tokenizer
    from headstart.starts.texts.sequences import build_sequences, tiny_sequences

    tokenizer = train_pair_tokenizer([t for row in rows for (t,) in row], "start", vocab_size=4096)
    torch.manual_seed(0)
    network: Any = build_sequences(tiny_sequences(tokenizer, "start"))
    network.model.save_pretrained(str(folder))
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)


def peak_mib() -> float:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def labelled_first(tokenizer: Any, rows: Rows, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return ids with a label at each word's first piece, as transformers' example makes them."""
    found = []
    for words, tags in rows:
        encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=256)
        places, last = [], None
        for word in encoded.word_ids():
            places.append(-100 if word is None or word == last else names.index(tags[word]))
            last = word
        found.append({"input_ids": encoded["input_ids"], "labels": places})
    return found


def run_trainer(
    options: Mapping[str, Any], *, is_grouped: bool, is_bf16: bool
) -> dict[str, object]:
    """Fine-tune with Trainer; imports and tokens are done before the clock starts."""
    import transformers as tf

    folder, job = Path(options["folder"]), options["job"]
    names: list[str] = []
    if job == "tags":
        read = {name: read_tags(folder / f"{name}.conll", 1 << 30) for name in ("train", "test")}
        names = sorted({tag for rows in read.values() for _, tags in rows for tag in tags})
        tokenizer = tf.AutoTokenizer.from_pretrained(weights_folder())
        sets = {name: labelled_first(tokenizer, rows, names) for name, rows in read.items()}
        model = tf.AutoModelForTokenClassification.from_pretrained(
            weights_folder(), num_labels=len(names)
        )
        collator: Any = tf.DataCollatorForTokenClassification(tokenizer)
    else:
        read = {name: read_pairs(folder, name, 1 << 30) for name in ("train", "test")}
        place = folder.parent / "start"
        tokenizer = tf.AutoTokenizer.from_pretrained(str(place))
        sets = {
            name: [
                {"input_ids": tokenizer(one)["input_ids"], "labels": tokenizer(two)["input_ids"]}
                for (one,), (two,) in rows
            ]
            for name, rows in read.items()
        }
        model = tf.AutoModelForSeq2SeqLM.from_pretrained(str(place))
        collator = tf.DataCollatorForSeq2Seq(tokenizer, model)
    num_steps = options["num_epochs"] * -(-len(sets["train"]) // options["batch_size"])
    with tempfile.TemporaryDirectory() as out:
        trainer = tf.Trainer(
            model=model,
            args=tf.TrainingArguments(
                output_dir=out,
                num_train_epochs=options["num_epochs"],
                per_device_train_batch_size=options["batch_size"],
                per_device_eval_batch_size=64,
                learning_rate=options["learning_rate"],
                weight_decay=0.01,
                lr_scheduler_type="linear",
                warmup_steps=round(0.1 * num_steps),
                max_grad_norm=1.0,
                train_sampling_strategy="group_by_length" if is_grouped else "random",
                bf16=is_bf16,
                dataloader_pin_memory=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=options["seed"],
            ),
            train_dataset=sets["train"],
            data_collator=collator,
        )
        began = time.perf_counter()
        trainer.train()
        spent: dict[str, object] = {
            "train_seconds": time.perf_counter() - began,
            "peak_mib": peak_mib(),
        }
        figure = (
            log_loss(trainer, sets["test"])
            if job == "seq2seq"
            else entity_f1(trainer, sets["test"], [tags for _, tags in read["test"]], names)
        )
        return spent | {"figure": figure}


def log_loss(trainer: Any, rows: list[dict[str, Any]]) -> float:
    """Return the log loss of a token of the references."""
    trainer.args.per_device_eval_batch_size = 1  # each loss is then a mean over one row's tokens
    sizes = [len(row["labels"]) for row in rows]
    losses = [float(trainer.evaluate([row])["eval_loss"]) for row in rows]
    return sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes)


def entity_f1(
    trainer: Any, rows: list[dict[str, Any]], wanted: list[list[str]], names: Sequence[str]
) -> float:
    """Return the entity F1 of the tags that are told."""
    from seqeval.metrics import f1_score  # type: ignore[import-untyped]
    from seqeval.scheme import IOB2  # type: ignore[import-untyped]

    told = []
    for row, scores in zip(rows, trainer.predict(rows).predictions, strict=True):
        places = [i for i, label in enumerate(row["labels"]) if label != -100]
        told.append([names[int(scores[i].argmax())] for i in places])
    true = [tags[: len(one)] for tags, one in zip(wanted, told, strict=True)]
    return float(f1_score(true, told, mode="strict", scheme=IOB2))


def run_headstart(options: Mapping[str, Any]) -> dict[str, object]:
    """Fine-tune with headstart, every default that the peers do not share switched off."""
    from milestones import import_everything

    import_everything("transformers")
    import headstart as hs
    from headstart.events import listen

    is_tags, peaks = options["job"] == "tags", [0.0]

    def hear(kind: str, fields: dict[str, object]) -> None:
        if kind == "stage" and str(fields["text"]).startswith("Evaluating"):
            peaks.append(peak_mib())  # of the training, as the other side counts it

    with listen(hear):
        run = _tuned(hs, options, is_tags=is_tags)
    training = run.options["training"]
    name = "f1_entities" if is_tags else "log_loss"
    figures = run.metrics["test"]["figures"]
    return {
        "train_seconds": float(training["seconds"]),
        "peak_mib": max(peaks),
        "figure": float(figures[name]["value"]),
    }


def _tuned(hs: Any, options: Mapping[str, Any], *, is_tags: bool) -> Any:
    """Fine-tune with what the peers do, and nothing else."""
    return hs.finetune(
        options["folder"],
        start="pip/all-minilm-l6-v2" if is_tags else str(Path(options["folder"]).parent / "start"),
        strategy="full",
        out=str(Path(options["out"]) / "run"),
        num_epochs=options["num_epochs"],
        batch_size=options["batch_size"],
        optimizer="adamw",
        learning_rate=options["learning_rate"],
        head_multiplier=1.0,
        bottom_multiplier=1.0,
        weight_decay=0.01,
        schedule="linear",
        warmup_fraction=0.1,
        label_smoothing=0.0,
        clip=1.0,
        ema=False,
        patience=0,
        device="cpu",
        seed=options["seed"],
    )


def run_here(side: str, options: Mapping[str, Any]) -> dict[str, object]:
    """Run a side in this process."""
    import torch

    torch.set_num_threads(options["num_threads"])
    torch.manual_seed(options["seed"])
    if side == OURS:
        return run_headstart(options)
    return run_trainer(options, is_grouped="grouped" in side, is_bf16="bf16" in side)


def measure(asked: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Run every side in every repeat."""
    options = {
        "job": asked.job,
        "folder": str(folder),
        "num_epochs": asked.epochs,
        "batch_size": asked.batch_size,
        "learning_rate": RATES[asked.job],
    }
    return take_turns(
        Path(__file__),
        asked.sides,
        asked.repeats,
        options,
        num_threads=asked.threads,
        told=partial(told_side, FIGURES[asked.job]),
    )


def told_side(figure: str, found: Mapping[str, object]) -> str:
    """Return what a side took, and how good it is by a figure, on one line."""
    return (
        f"{number(found, 'train_seconds'):.1f} s, {number(found, 'peak_mib'):.0f} MiB, {figure} "
        f"{number(found, 'figure'):.4f}"
    )


def table(job: str, records: Sequence[Mapping[str, object]], sides: Sequence[str]) -> str:
    """Return seconds, memory and figure of each side, and headstart's ratios."""

    def column(side: str, name: str) -> list[float]:
        return [number(r, name) for r in records if r["side"] == side]

    rows = []
    for side in sides:
        ratio = pair_ratio(column(side, "train_seconds"), column(OURS, "train_seconds"))
        rows.append(
            [
                side,
                spread(column(side, "train_seconds")),
                "" if side == OURS else str(ratio),
                f"{max(column(side, 'peak_mib')):,.0f}",
                spread(column(side, "figure"), 3),
            ]
        )
    head = ["side", "training s (min / median / max)", "headstart is faster by", "peak MiB"]
    shown = markdown_table([*head, FIGURES[job]], rows)
    return f"{shown}\n\nWanted: {WANTED[job]}"


def main(argv: list[str]) -> None:
    """Measure one job, or answer as one side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", nargs="?", choices=list(RATES), default="tags")
    parser.add_argument("--data", help="folder with ner-wnut17 and multi30k-en-de")
    parser.add_argument("--limit", type=int, default=1000, help="training sentences")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.side is not None:
        options = json.loads(Path(asked.options).read_text())
        answer_side(asked.result, run_here(asked.side, options))
        return
    source = Path(asked.data or Path(os.environ.get("HEADSTART_DATA", ".")) / "text")
    with tempfile.TemporaryDirectory(prefix="headstart-setup-words-") as place:
        folder = Path(place) / ("tags" if asked.job == "tags" else "pairs-en-de")
        folder.mkdir()
        counts = write_data(asked.job, source, folder, asked.limit)
        machine = describe_machine(asked.threads)
        print(f"{machine.sentence()}\n{counts}, {asked.epochs} epochs, batch {asked.batch_size}.\n")
        records = measure(asked, folder)
    print("\n" + table(asked.job, records, asked.sides))
    save_records(asked.json, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
