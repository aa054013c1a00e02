"""Small data and a short training of every kind that is not one label of one input."""

from __future__ import annotations

import random

from pairs_of_texts import write_pairs
from small_captions import PAIR, write_flickr
from small_questions import written_squad
from small_runs import written_tags
from small_writers import written_chats


def write_rows(folder):
    """Write rows with two targets, a class and a number, each with gaps."""
    draw = random.Random(0)
    lines = ["rooms,area,kind,price"]
    for number in range(200):
        rooms, area = draw.randrange(1, 9), draw.gauss(90, 25)
        kind = "" if number % 9 == 0 else "house" if area > 90 else "flat"
        price = "" if number % 9 == 4 else f"{40_000 * rooms + 2_000 * area:.0f}"
        lines.append(f"{rooms},{area:.1f},{kind},{price}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def write_lines(folder):
    """Write sentences, a line each."""
    draw, words = random.Random(0), [f"word{number}" for number in range(60)]
    lines = [" ".join(draw.choices(words, k=draw.randrange(5, 12))) for _ in range(400)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")


def write_digits(folder):
    """Write small pictures."""
    from small_captions import write_pictures

    write_pictures(folder / "pictures", 120)


STEPS = {"num_steps": 30, "batch_size": 16}
PARTS = {**STEPS, "micro_batch_size": 8, "precision": "fp32"}  # two runs may choose two formats
LABELS = {"several": "kind,price"}  # of data that is to be told which
# name: what writes the data, the verb, its options
KINDS = {
    "asked": (
        lambda folder: written_squad(folder / "squad"),
        "finetune",
        {**PARTS, "start": "scratch/bert-tiny", "strategy": "lp-ft", "max_length": 24}
        | {"num_steps": 16},
    ),
    "tags": (
        lambda folder: written_tags(folder / "tags"),
        "finetune",
        {**PARTS, "start": "scratch/bert-tiny", "strategy": "full", "dropout": 0.2},
    ),
    "translation": (
        lambda folder: write_pairs(folder / "toy-en-de", {"train": 96, "val": 12, "test": 12}),
        "finetune",
        {**PARTS, "start": "scratch/seq2seq-tiny"},
    ),
    "chats": (
        lambda folder: written_chats(folder / "chats.jsonl"),
        "finetune",
        {**PARTS, "start": "scratch/gpt-tiny"},
    ),
    "captions": (
        lambda folder: write_flickr(folder / "flickr"),
        "finetune",
        {**PARTS, "start": PAIR, "num_steps": 16},
    ),
    "several": (
        write_rows,
        "finetune",
        {**PARTS, "start": "scratch/mlp"},
    ),
    "mlm": (write_lines, "pretrain", {**PARTS, "objective": "mlm", "start": "scratch/bert-tiny"}),
    "clm": (write_lines, "pretrain", {**PARTS, "objective": "clm", "start": "scratch/gpt-tiny"}),
    "mae": (
        write_digits,
        "pretrain",
        {**STEPS, "objective": "mae", "start": "scratch/vit-mini", "input_size": 16},
    ),
}
