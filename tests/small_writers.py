"""Small runs that write, of chats and of pairs of texts, and their bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pairs_of_texts import write_pairs

import headstart as hs
from headstart.bundles.kinds import verify_any
from headstart.errors import ExportError
from headstart.types.texts import Telling

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


def writes_alike(run: hs.Run, folder: Path, asked: list[str]) -> None:
    """Assert that a bundle writes what its run writes: together, alone, and by beams."""
    bundle, agreement = verify_any(folder)
    assert agreement.holds
    parity = bundle.record.parity
    assert (parity["batches"], parity["texts"]) == ([1, 2, 3, 7], 13)
    assert parity["texts_equal"] == 13
    assert "val samples of the run's data" in parity["samples"]
    wanted = [one.text for one in run.predict(asked)]
    assert len({*wanted}) > 1
    assert [one.text for one in bundle.predict(asked)] == wanted
    assert [bundle.predict([text])[0].text for text in asked] == wanted
    how = Telling(num_beams=3, max_tokens=9)
    network = run.model.encoder.network
    inputs = bundle.read(asked)
    own = network.tell(*map(torch.from_numpy, inputs.asked(np.arange(len(asked)))), how=how)
    texts = [bundle.preprocess.text_of(ids) for ids in own.numpy()]
    assert [one.text for one in bundle.predict(asked, how=how)] == texts
    report = hs.verify(str(folder)).report()
    assert "golden answers are the same" in report


def is_refused_when_changed(folder: Path, file: str, changed: Path) -> None:
    """Assert that a bundle is refused of which a byte of a file was changed."""
    shutil.copytree(folder, changed)
    content = bytearray((changed / file).read_bytes())
    content[-1] ^= 1
    (changed / file).write_bytes(content)
    with pytest.raises(ExportError, match=rf"{file} is not what was exported"):
        hs.verify(str(changed))
    names = {path.name for path in folder.iterdir()}
    assert {"model.onnx", file, "golden.npz", "MANIFEST.json", "README.md"} <= names
    assert "Token after token" in (folder / "README.md").read_text()
