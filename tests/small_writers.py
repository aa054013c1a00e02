"""Small runs that write, of chats and of pairs of texts, and their bundles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pairs_of_texts import write_pairs

import headstart as hs

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def written_chats(path: Path, num: int = 60) -> Path:
    """Write conversations that are counted on in."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(num):
        number, times = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        asked = f"What comes after {NUMBERS[number - 1]}, {times} times?"
        turns = [("user", asked), ("assistant", " ".join([NUMBERS[number]] * times))]
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def chat_run(folder: Path) -> hs.Run:
    """Fine-tune a small decoder on them."""
    return hs.finetune(
        str(written_chats(folder / "chats.jsonl")),
        start="scratch/gpt-tiny",
        num_steps=50,
        batch_size=8,
        learning_rate=3e-3,
        encoder_dropout=0.0,
        out=str(folder / "chats"),
        device="cpu",
    )


def translator_run(folder: Path) -> hs.Run:
    """Fine-tune a small encoder–decoder on a toy."""
    return hs.finetune(
        str(write_pairs(folder / "toy-en-de", {"train": 200, "val": 20, "test": 20})),
        start="scratch/seq2seq-tiny",
        num_steps=80,
        batch_size=24,
        learning_rate=1e-3,
        encoder_dropout=0.0,
        out=str(folder / "translator"),
        device="cpu",
    )
