"""Two processes on what is told token by token: each step's mean is over the tokens of both."""

from __future__ import annotations

import json
import random
import subprocess

import pytest
from pairs_of_texts import write_pairs
from processes import TORCHRUN, assert_close, environment
from small_writers import written_chats

pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")

# the same gradient however many processes there are; Adam would blow up its last bits
SAID = ["--num-steps", "6", "--optimizer", "sgd", "--learning-rate", "0.05", "--device", "cpu"]
SAID += ["--encoder-dropout", "0", "--batch-size", "15", "--precision", "fp32"]


def _pairs(folder):
    return write_pairs(folder / "toy-en-de", {"train": 90, "val": 12, "test": 12})


def _chats(folder):
    return written_chats(folder / "chats.jsonl", 90)


def _tags(folder):
    """Write names among words, sentences of many lengths."""
    draw, lines = random.Random(0), {}
    for split, num in (("train", 90), ("dev", 12), ("test", 12)):
        rows = []
        for _ in range(num):
            words = draw.choices(["a", "red", "dog", "saw", "Ada", "Bob"], k=draw.randint(1, 20))
            rows += [f"{word} {'B-PER' if word[0].isupper() else 'O'}" for word in words]
            rows.append("")
        lines[split] = rows
    place = folder / "names"
    place.mkdir()
    for split, rows in lines.items():
        (place / f"{split}.conll").write_text("\n".join(rows))
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "start"),
    [
        (_pairs, "scratch/seq2seq-tiny"),
        (_chats, "scratch/gpt-tiny"),
        (_tags, "scratch/bert-tiny"),
    ],
    ids=["texts for texts", "answers", "tags"],
)
def test_two_processes_learn_from_tokens_what_one_learns(make, start, tmp_path):
    data = make(tmp_path)
    command = ["finetune", str(data), "--start", start, "--strategy", "full", *SAID]
    alone, both = tmp_path / "alone", tmp_path / "both"
    for out, launcher in ((alone, []), (both, [*TORCHRUN[1:], "--standalone"])):
        program = [TORCHRUN[0], *launcher, "-m", "headstart", *command, "--out", str(out)]
        if launcher:
            place = program.index("headstart")
            program.insert(place, "--")  # else torchrun takes --start for its own
        ended = subprocess.run(
            program,
            env=environment(tmp_path / "cache"),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    assert_close(both, alone)
    figures = [json.loads((out / "metrics.json").read_text())["test"] for out in (alone, both)]
    assert figures[0]["num_items"] == figures[1]["num_items"]
    for name, one in figures[0]["figures"].items():
        assert figures[1]["figures"][name]["value"] == pytest.approx(one["value"], abs=1e-4), name
    assert json.loads((both / "options.json").read_text())["processes"] == 2
