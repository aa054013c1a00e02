"""Questions with small contexts, as SQuAD writes them, and a run that answers them in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import headstart as hs

NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald")
PLACES = ("New York", "Paris", "Old Delhi", "Rome", "Oslo", "Lima")
TRADES = ("bread", "green tea", "books", "maps", "shoes", "lamps")


def paragraph(draw: random.Random, name: str, *, num_before: int = 0) -> dict[str, Any]:
    """Return a context with two questions that it answers and one that it does not."""
    who, where, what = (draw.choice(some) for some in (NAMES, PLACES, TRADES))
    before = " ".join(f"w{draw.randrange(30)}" for _ in range(num_before + draw.randrange(12)))
    context = f"{before} {who} lives in {where} and sells {what} .".strip()
    asked = [("Where does one live ?", where), ("What does one sell ?", what)]
    questions = [
        {
            "id": f"{name}-{number}",
            "question": question,
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
            "is_impossible": False,
        }
        for number, (question, answer) in enumerate(asked)
    ]
    silent = {
        "id": f"{name}-2",
        "question": "How old is one ?",
        "answers": [],
        "is_impossible": True,
    }
    return {"context": context, "qas": [*questions, silent]}


def squad(num: int, seed: int) -> dict[str, Any]:
    """Return so many articles of two paragraphs each."""
    draw = random.Random(seed)
    articles = [
        {
            "title": f"Article {seed}-{number}",
            "paragraphs": [paragraph(draw, f"{seed}-{number}-{part}") for part in range(2)],
        }
        for number in range(num)
    ]
    return {"version": "v2.0", "data": articles}


def written_squad(folder: Path) -> Path:
    """Write train-v2.0.json and dev-v2.0.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, num, seed in (("train", 40, 0), ("dev", 12, 1)):
        text = json.dumps(squad(num, seed), ensure_ascii=False)
        (folder / f"{name}-v2.0.json").write_text(text)
    return folder


def question_run(folder: Path, **options: Any) -> hs.Run:
    """Fine-tune on such questions."""
    said = {"strategy": "full", "num_steps": 70, "batch_size": 16, "learning_rate": 2e-3}
    said |= {"max_length": 24}  # so that most contexts are read in windows
    return hs.finetune(
        str(written_squad(folder / "data")),
        start="scratch/bert-tiny",
        out=str(folder / "run"),
        device="cpu",
        **(said | options),
    )
