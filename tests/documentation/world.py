"""What the blocks of the pages name: data of a few kilobytes under the names that stand there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from pairs_of_texts import write_pairs
from PIL import Image
from small_captions import write_flickr
from small_questions import written_squad
from small_runs import written_tags
from small_writers import written_chats

NUM = 240
_WORDS = "warm dull bright slow film plot actor music the and shop parcel price late well of"
WORDS = np.array(_WORDS.split())
PHOTOS = 340  # so many that enough are held out for a drift reference


def photo(draw: np.random.Generator, is_dog: bool) -> Image.Image:
    """Return a picture with a bright square, or a dark disc, somewhere on noise."""
    pixels = draw.integers(90, 150, (32, 32, 3))
    y, x = draw.integers(8, 24, 2)
    rows, columns = np.mgrid[:32, :32]
    inside = np.hypot(rows - y, columns - x) < 7
    if is_dog:
        inside = np.maximum(abs(rows - y), abs(columns - x)) < 6
    pixels[inside] = draw.integers(200, 255, 3) if is_dog else draw.integers(0, 50, 3)
    return Image.fromarray(pixels.astype(np.uint8))


def photos(folder: Path, num: int = PHOTOS, splits: tuple[str, ...] = ("",)) -> None:
    """Write pictures, a folder a class, below a folder a split."""
    draw = np.random.default_rng(0)
    for split in splits:
        for i in range(num):
            place = folder / split / ("cat", "dog")[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            photo(draw, bool(i % 2)).save(place / f"{split}{i}.png")


def loose(folder: Path, num: int = 12) -> None:
    """Write pictures without classes."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(1)
    for i in range(num):
        photo(draw, bool(i % 2)).save(folder / f"{i:02}.png")


def one_photo(path: Path) -> None:
    """Write one picture."""
    photo(np.random.default_rng(2), True).save(path, "JPEG")


def frame() -> pd.DataFrame:
    """Return rows with texts, numbers, categories and dates, and what follows from them."""
    draw = np.random.default_rng(0)
    made = pd.DataFrame({"review": [" ".join(draw.choice(WORDS, 9)) for _ in range(NUM)]})
    made["price"] = draw.normal(20, 5, NUM).round(2)
    made["shop"] = draw.choice(["Wien", "Genève", "Oslo"], NUM)
    made["category"] = draw.choice(["books", "food"], NUM)
    good = made["review"].str.count("warm") - made["review"].str.count("dull")
    made["stars"] = np.clip(3 + good, 1, 5).astype(int)
    return made


def reviews(path: Path) -> None:
    """Write texts with stars, and columns beside them."""
    frame().drop(columns="category").to_csv(path, index=False)


def judged_reviews(path: Path) -> None:
    """Write texts of which a topic, stars and a price are told."""
    frame().rename(columns={"category": "topic"}).drop(columns="shop").to_csv(path, index=False)


def houses(path: Path) -> None:
    """Write rows with a price and whether it was sold."""
    draw = np.random.default_rng(0)
    made = pd.DataFrame({"rooms": draw.integers(1, 9, NUM), "area": draw.normal(90, 25, NUM)})
    made["region"] = draw.choice(["north", "south", "west"], NUM)
    made["price"] = 40_000 * made["rooms"] + 2_000 * made["area"] + draw.normal(0, 9_000, NUM)
    made["sold"] = np.where(made["area"] + draw.normal(0, 9, NUM) > 90, "yes", "no")
    made.to_csv(path, index=False)


def sales(path: Path) -> None:
    """Write prices with the days when they were paid."""
    draw = np.random.default_rng(0)
    made = pd.DataFrame({"size": draw.normal(50, 9, NUM)})
    made["sold"] = pd.date_range("2025-01-01", periods=NUM).strftime("%Y-%m-%d")
    made["price"] = 3 * made["size"] + np.arange(NUM) / 9 + draw.normal(0, 5, NUM)
    made.to_csv(path, index=False)


def mails(path: Path, label: str = "spam") -> None:
    """Write texts, some of which are spam."""
    made = frame()[["review"]].rename(columns={"review": "mail"})
    is_spam = made["mail"].str.contains("price")
    made.assign(**{label: np.where(is_spam, "spam", "ham")}).to_csv(path, index=False)


def label_studio(path: Path) -> None:
    """Write an export of Label Studio, one choice a text."""
    rows = [
        {
            "id": number,
            "data": {"text": row.review},
            "annotations": [
                {
                    "result": [
                        {
                            "from_name": "kind",
                            "to_name": "text",
                            "type": "choices",
                            "value": {"choices": ["long" if row.stars > 3 else "short"]},
                        }
                    ]
                }
            ],
        }
        for number, row in enumerate(frame().itertuples())
    ]
    path.write_text(json.dumps(rows))


def pairs(
    path: Path, names: tuple[str, str, str] = ("premise", "hypothesis", "entailment")
) -> None:
    """Write pairs of texts: whether the second says what the first says."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(NUM):
        one = draw.choice(WORDS, 6, replace=False)
        other = draw.permutation(one) if i % 2 else draw.choice(WORDS, 6, replace=False)
        rows.append(
            (" ".join(one), " ".join(other), ("no", "yes")[i % 2], ("web", "book")[i % 3 % 2])
        )
    made = pd.DataFrame(rows, columns=[*names, "source"])
    if path.suffix == ".jsonl":
        made.to_json(path, orient="records", lines=True)
    else:
        made.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def labelled_pairs(path: Path) -> None:
    """Write the same with a source beside, and the target by its usual name."""
    pairs(path, ("left", "right", "label"))


def similar(path: Path) -> None:
    """Write pairs of texts and how much the two say the same."""
    pairs(path, ("sentence1", "sentence2", "score"))
    made = pd.read_csv(path).drop(columns="source")
    made["score"] = np.where(made["score"] == "yes", 4.0, 1.0) + np.arange(len(made)) % 3 / 4
    made.to_csv(path, index=False)


def faq(path: Path) -> None:
    """Write questions, pages and the answers that stand in them."""
    names, places = ("Ada", "Grace", "Alan", "Barbara"), ("Rome", "Oslo", "Lima", "New York")
    draw = np.random.default_rng(0)
    rows = []
    for i in range(NUM):
        who, where = str(draw.choice(names)), str(draw.choice(places))
        rows.append((f"Where does {who} live?", f"{who} lives in {where} , number {i} .", where))
    pd.DataFrame(rows, columns=["ask", "page", "reply"]).to_csv(path, index=False)


def shots(path: Path) -> None:
    """Write a table of pictures with what was measured, and the pictures."""
    photos(path.parent / "shots", 120)
    rows = sorted((path.parent / "shots").rglob("*.png"))
    made = pd.DataFrame({"file": [str(each.relative_to(path.parent)) for each in rows]})
    made["heat"] = np.random.default_rng(0).normal(20, 4, len(made)).round(1)
    made["label"] = [each.parent.name for each in rows]
    made.to_csv(path, index=False)


def listed_photos(path: Path) -> None:
    """Write a table of pictures and their kinds."""
    shots(path)
    pd.read_csv(path).drop(columns="heat").rename(columns={"label": "kind"}).to_csv(
        path, index=False
    )


def dogs(path: Path) -> None:
    """Write an empty submission, and the pictures that it is of."""
    loose(path.parent / "test")
    names = sorted(each.stem for each in (path.parent / "test").iterdir())
    pd.DataFrame({"id": names, "cat": 0.5, "dog": 0.5}).to_csv(path, index=False)


def books(folder: Path) -> None:
    """Write texts, a file each."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(40):
        lines = (" ".join(draw.choice(WORDS, 12)) for _ in range(8))
        (folder / f"{number:02}.txt").write_text("\n".join(lines))


def lines(path: Path) -> None:
    """Write texts, a line each."""
    path.write_text("\n".join(frame()["review"]) + "\n")


def asked(path: Path) -> None:
    """Write questions with contexts, as a table."""
    pd.DataFrame(
        {"question": ["Where does one live ?"], "context": ["Ada lives in New York ."]}
    ).to_csv(path, index=False)


Write = Callable[[Path], object]
NAMES: dict[str, Write] = {  # a name that stands in a block, and what writes it
    "photos/": photos,
    "photos.csv": listed_photos,
    "new.jpg": one_photo,
    "photo.jpg": one_photo,
    "more/": loose,
    "new/": loose,
    "january/": lambda folder: photos(folder, 260),
    "sample_submission.csv": dogs,
    "reviews.csv": reviews,
    "houses.csv": houses,
    "sales.csv": sales,
    "mails.csv": mails,
    "export.json": label_studio,
    "conll/": written_tags,
    "multi30k-en-de/": lambda folder: write_pairs(folder, {"train": 200, "val": 24, "test": 24}),
    "chats.jsonl": written_chats,
    "pairs.csv": pairs,
    "nli.csv": lambda path: pairs(path, ("premise", "hypothesis", "label")),
    "data.tsv": lambda path: pairs(path, ("left", "right", "same")),
    "sts.csv": similar,
    "squad/": written_squad,
    "faq.csv": faq,
    "flickr8k/": write_flickr,
    "captions.txt": lambda path: path.write_text("red above green\nblue above white\n"),
    "shots.csv": shots,
    "books/": books,
    "big.txt": lines,
    "sst2.txt": lines,
    "imdb800.txt": lines,
    "online_shopping_10_cats.csv": lambda path: (
        frame().rename(columns={"category": "cat"}).to_csv(path, index=False)
    ),
    "DATA": photos,
}
SETS: dict[str, Write] = {  # data sets of these names, in the folder of HEADSTART_DATA
    **dict.fromkeys(
        ("cifar10", "mnist", "fashion-mnist", "flowers5"),
        lambda folder: photos(folder, 80, ("train", "test")),
    ),
    "imdb-10k": lambda folder: (folder.mkdir(), mails(folder / "train.csv", "label")),
}
OF_A_PAGE: dict[tuple[str, str], Write] = {  # what a name means on one page
    ("docs/beside.md", "reviews.csv"): lambda path: frame().to_csv(path, index=False),
    ("docs/beside.md", "pairs.csv"): labelled_pairs,
    ("docs/beside.md", "new.csv"): lambda path: frame().head(5).to_csv(path, index=False),
    ("docs/several.md", "reviews.csv"): judged_reviews,
    ("docs/several.md", "new.csv"): lambda path: frame().head(5).to_csv(path, index=False),
    ("docs/questions.md", "new.csv"): asked,
    ("docs/pairs.md", "new.jsonl"): lambda path: pairs(path, ("premise", "hypothesis", "label")),
}
SMALL = "--num-steps 12 --device cpu"
# A run that a block names and does not make: what makes it, from data of the same names.
RUNS: dict[str, str] = {
    "runs/photos": "photos/ --start scratch/test_resnet --input-size 32 --num-steps 60",
    "runs/other": f"photos/ --start scratch/quick-cnn-small {SMALL}",
    "runs/dogs": f"photos/ --start scratch/simple-cnn {SMALL}",
    "runs/houses": "houses.csv --label price --start scratch/linear",
    "runs/reviews": "reviews.csv --label stars --start scratch/tfidf",
    "runs/mine": f"photos/ --start scratch/vit-mini {SMALL}",
    "runs/names": f"conll/ --start scratch/bert-tiny {SMALL}",
    "runs/nli": f"nli.csv --start scratch/bert-tiny {SMALL}",
    "runs/reader": f"squad/ --start scratch/bert-tiny {SMALL}",
    "runs/chats": f"chats.jsonl --start scratch/gpt-tiny {SMALL}",
    "runs/pairs": f"flickr8k/ --start scratch/simple-cnn+scratch/bert-tiny {SMALL}",
}
OF_A_RUN: dict[tuple[str, str], str] = {
    ("docs/beside.md", "runs/reviews"): "reviews.csv --label stars --text review "
    "--beside price category --start scratch/tfidf",
}


def write_named(folder: Path, page: str, texts: Iterable[str]) -> None:
    """Write what texts name, as a page means it; what is there is left alone."""
    whole = " ".join(texts)
    for name in (*NAMES, "new.csv", "new.jsonl"):
        write = OF_A_PAGE.get((page, name), NAMES.get(name))
        path = folder / name
        if write is not None and _is_named(name, whole) and not path.exists():
            write(path)
    for name, write in SETS.items():
        if _is_named(name, whole) and not (folder / "data" / name).exists():
            (folder / "data").mkdir(exist_ok=True)
            write(folder / "data" / name)


def _is_named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])", text) is not None


def copy_into(source: Path, folder: Path) -> None:
    """Copy a world, so that what a block writes is its own."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
