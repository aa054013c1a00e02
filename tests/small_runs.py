"""Small runs of every kind, each made once a session from files on the disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

import headstart as hs

N = 120
TEXTS = [
    f"{i} says {('hum hum', 'buzz buzz')[i % 2]} and {('flies', 'walks', 'runs')[i % 3]} away"
    * (1 + i % 4)
    for i in range(N)
]


@cache
def few_digits() -> hs.Dataset:
    """Return 300 digits of 8 x 8 pixels: for what a run does, not for how well it learns."""
    found = load_digits()
    images = (found.images[:300] * (255 / 16)).astype(np.uint8)
    return hs.load((images, found.target[:300]))


def table() -> pd.DataFrame:
    """Return rows with numbers, a gap, categories, dates and a boolean."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": np.arange(N) % 2 + draw.normal(0, 0.3, N),
            "y": draw.normal(0, 1, N),
            "land": [("AT", "CH", "DE")[i % 3] for i in range(N)],
            "when": pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"),
            "ok": [("yes", "no")[i // 2 % 2] for i in range(N)],
            "label": [("ant", "bee")[i % 2] for i in range(N)],
        }
    )
    frame.loc[3, "y"] = np.nan
    return frame


def table_run(folder: Path, start: str, *, is_numeric: bool = False) -> hs.Run:
    """Fine-tune on a table, of classes or of a number."""
    frame = table()
    if is_numeric:
        frame["label"] = 100_000 + 3_000 * frame["x"] + frame["y"].fillna(0)
    frame.to_csv(folder / "rows.csv", index=False)
    data = hs.load(str(folder / "rows.csv"), label="label")
    return hs.finetune(
        data, start=start, out=str(folder / "run"), device="cpu", num_steps=_steps(start)
    )


def text_run(folder: Path, start: str) -> hs.Run:
    """Fine-tune on texts."""
    labels = [("ant", "bee")[i % 2] for i in range(N)]
    pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(folder / "texts.csv", index=False)
    data = hs.load(str(folder / "texts.csv"), label="label")
    return hs.finetune(
        data, start=start, out=str(folder / "run"), device="cpu", num_steps=_steps(start)
    )


def image_run(folder: Path) -> hs.Run:
    """Fine-tune on pictures."""
    draw = np.random.default_rng(0)
    for i in range(60):
        place = folder / "pictures" / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 60, (40, 30 + i % 7, 3)) + 120 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return hs.finetune(
        str(folder / "pictures"),
        start="scratch/simple-cnn",
        out=str(folder / "run"),
        device="cpu",
        num_steps=10,
    )


def save_bert(folder: Path, texts: list[str]) -> Path:
    """Write a BERT of two small layers with random weights, as transformers does."""
    from torch import manual_seed
    from transformers import BertConfig, BertModel

    from headstart.preprocessing.vocabulary import train_tokenizer

    tokenizer = train_tokenizer(texts, "bert", vocab_size=200)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 48, "max_position_embeddings": 80}
    manual_seed(0)
    config = BertConfig(vocab_size=tokenizer.vocab_size, **shape, **more)
    BertModel(config).save_pretrained(folder)
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)
    return folder


def _steps(start: str) -> int | None:
    return 10 if start in ("scratch/mlp", "scratch/bert-tiny") else None


PEOPLE, PLACES = ("Ada", "Bob", "Cy", "Dora"), ("London", "New York", "Rome", "Oslo")


def tagged_sentences(num: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return sentences as words, with their tags: people, places, and words that mean nothing."""
    rng = np.random.default_rng(seed)
    words, tags = [], []
    for number in range(num):
        person, place = rng.choice(PEOPLE), rng.choice(PLACES).split()
        filler = [f"w{int(k)}" for k in rng.integers(0, 40, int(rng.integers(1, 5)))]
        if number % 4 == 3:
            words.append([*filler, "nothing", "here", str(number)])
            tags.append(["O"] * len(words[-1]))
            continue
        words.append([*filler, str(person), "lives", "in", *place, str(number)])
        located = ["B-LOC", *["I-LOC"] * (len(place) - 1)]
        tags.append([*["O"] * len(filler), "B-PER", "O", "O", *located, "O"])
    return words, tags


def written_tags(folder: Path) -> Path:
    """Write such sentences as CoNLL, a file a split."""
    folder.mkdir()
    for seed, (name, num) in enumerate((("train", 160), ("dev", 40), ("test", 60))):
        words, tags = tagged_sentences(num, seed)
        parts = [
            "\n".join(f"{word}\t{tag}" for word, tag in zip(*both, strict=True))
            for both in zip(words, tags, strict=True)
        ]
        (folder / f"{name}.conll").write_text("\n\n".join(parts) + "\n")
    return folder


def tag_run(folder: Path) -> hs.Run:
    """Fine-tune on such sentences."""
    return hs.finetune(
        str(written_tags(folder / "data")),
        start="scratch/bert-tiny",
        strategy="full",
        num_steps=80,
        batch_size=16,
        learning_rate=2e-3,
        out=str(folder / "run"),
        device="cpu",
    )
