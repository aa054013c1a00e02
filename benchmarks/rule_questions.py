"""Questions made by rule from texts whose entities are marked: a set that is at hand everywhere.

    python benchmarks/rule_questions.py data/ner-wnut17 questions/ --seed 0
    headstart finetune questions/ --start pip/all-minilm-l6-v2 --budget 20m --out runs/reader

No person asked any of them. A context is some sentences one behind the other; of each kind of
entity in question it is asked which one is named: with an answer where the context names exactly
one, without one where it names none; where it names several nothing is asked. So it is known who
learns to read a question (six kinds of them) and to find one thing in a text, and nothing more:
figures say how the way works, and are no measure of reading.

What is written is SQuAD 2.0's JSON, a file a split, from the CoNLL files of a folder.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

ASKED = {
    "person": "Which person is named?",
    "location": "Which place is named?",
    "corporation": "Which company is named?",
    "product": "Which product is named?",
    "creative-work": "Which book, song or film is named?",
    "group": "Which group or team is named?",
}


def read_sentences(path: Path) -> list[list[tuple[str, str]]]:
    """Return sentences as words with their tags."""
    found: list[list[tuple[str, str]]] = [[]]
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) < 2 or not cells[0].strip():
            found.append([])
            continue
        found[-1].append((cells[0].strip(), cells[-1].strip().partition(",")[0]))
    return [sentence for sentence in found if sentence]


def entities_of(words: list[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """Return kind, first and last word (exclusive) of each entity."""
    found: list[tuple[str, int, int]] = []
    for place, (_, tag) in enumerate(words):
        where, _, kind = tag.partition("-")
        if where == "B":
            found.append((kind, place, place + 1))
        elif where == "I" and found and found[-1][2] == place and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1], place + 1)
    return found


def paragraph_of(words: list[tuple[str, str]], name: str, draw: random.Random) -> dict | None:
    """Return a context with what is asked of it, at most one question without an answer."""
    starts, text = [], ""
    for word, _ in words:
        text += " " if text else ""
        starts.append(len(text))
        text += word
    of_kind: dict[str, list[tuple[int, int]]] = {}
    for kind, first, last in entities_of(words):
        of_kind.setdefault(kind, []).append(
            (starts[first], starts[last - 1] + len(words[last - 1][0]))
        )
    asked = []
    for kind, question in ASKED.items():
        if len(of_kind.get(kind, ())) == 1:
            ((start, end),) = of_kind[kind]
            asked.append((question, [{"text": text[start:end], "answer_start": start}]))
    missing = [question for kind, question in ASKED.items() if kind not in of_kind]
    if asked and missing:
        asked.append((draw.choice(missing), []))
    if not asked:
        return None
    return {
        "context": text,
        "qas": [
            {
                "id": f"{name}-{number}",
                "question": question,
                "answers": answers,
                "is_impossible": not answers,
            }
            for number, (question, answers) in enumerate(asked)
        ],
    }


def squad_of(sentences: list[list[tuple[str, str]]], name: str, most: int, seed: int) -> dict:
    """Return SQuAD's JSON of contexts of one to ``most`` sentences, an article each."""
    draw, articles, place = random.Random(seed), [], 0
    while place < len(sentences):
        num = draw.randint(1, most)
        words = [word for sentence in sentences[place : place + num] for word in sentence]
        place += num
        part = paragraph_of(words, f"{name}-{place}", draw)
        if part is not None:
            articles.append({"title": f"{name} {place}", "paragraphs": [part]})
    return {"version": "v2.0", "data": articles}


def main() -> None:
    """Write a file a split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=6, help="of a context, at the most")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    splits = {"train": "train", "dev": "val", "test": "test"}
    for file in sorted(said.data.iterdir()):
        split = next((to for word, to in splits.items() if word in file.name), None)
        if split is None:
            continue
        made = squad_of(read_sentences(file), split, said.sentences, said.seed)
        asked = [one for article in made["data"] for one in article["paragraphs"][0]["qas"]]
        path = said.out / f"{split}.json"
        path.write_text(json.dumps(made, ensure_ascii=False, indent=1))
        silent = sum(one["is_impossible"] for one in asked)
        print(f"{path}: {len(asked):,} questions, {silent:,} of them without an answer")


if __name__ == "__main__":
    main()
