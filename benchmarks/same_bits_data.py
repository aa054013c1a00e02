"""Small real data for ``same_bits``: what scikit-learn brings, and parts of HEADSTART_DATA.

Digits of 8x8 pixels, two photographs cut into pieces, sentences from the descriptions of data
sets, tables of wines, tumours and patients. Files are written once, before either build runs, so
that both read the same bytes under the same paths. A source that needs HEADSTART_DATA raises
``MissingDataError`` where there is none.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 96  # of a photo, in pixels
NUM_PHOTOS = 60  # a class
TOPICS = ("breast_cancer", "digits", "iris", "wine")


class MissingDataError(RuntimeError):
    """Report data that this machine does not have."""


@dataclass(frozen=True)
class Source:
    """Labelled data, and new samples to predict.

    Attributes:
        given: What ``load`` takes first.
        load: Its other arguments.
        samples: A few samples as ``Run.predict`` takes them.
        files: The same as words of ``headstart predict``, where they are files.
    """

    given: object
    load: dict[str, Any] = field(default_factory=dict)
    samples: Sequence[Any] = ()
    files: Sequence[str] = ()


# Files ------------------------------------------------------------------------------------------


def write_files(folder: Path) -> None:
    """Write what the cases read from the disk.

    Args:
        folder: Where; what is there already stays.
    """
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    _write_photos(partial / "photos")
    rows = list(_sentences())
    _write_csv(partial / "topics.csv", ["text", "topic"], rows)
    signs = {"figures": r"\d", "brackets": r"\(", "capital": r"^[A-Z]"}
    marked = [(text, [n for n, sign in signs.items() if re.search(sign, text)]) for text, _ in rows]
    tagged = [(text, ";".join(names)) for text, names in marked if names]
    _write_csv(partial / "tagged.csv", ["text", "tags"], tagged)
    lengths = [(text, f"{sum(map(len, text.split())) / len(text.split()):.3f}") for text, _ in rows]
    _write_csv(partial / "lengths.csv", ["text", "mean_word"], lengths)
    _write_patients(partial / "patients.csv")
    _write_text_folder(partial / "texts", rows)
    _write_photo_list(partial / "photos.jsonl")
    _write_chinese(partial / "readme.csv")
    partial.rename(folder)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _write_photos(folder: Path) -> None:
    """Cut scikit-learn's two photographs into pieces; one file is cut off in the middle."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    draws = np.random.default_rng(0)
    for name in ("china", "flower"):
        photo = load_sample_image(f"{name}.jpg")
        (folder / name).mkdir(parents=True)
        for number in range(NUM_PHOTOS):
            top, left = (int(draws.integers(0, size - SIDE)) for size in photo.shape[:2])
            piece = Image.fromarray(photo[top : top + SIDE, left : left + SIDE + number % 3 * 16])
            piece.save(folder / name / f"{number:03}.jpg", quality=90)
    damaged = folder / "flower" / "damaged.jpg"
    damaged.write_bytes((folder / "flower" / "000.jpg").read_bytes()[:1500])


def _sentences() -> Iterator[tuple[str, str]]:
    """Yield lines of prose from the descriptions of scikit-learn's data sets, with their topic."""
    from sklearn import datasets

    for topic in TOPICS:
        for line in getattr(datasets, f"load_{topic}")().DESCR.splitlines():
            if len(re.findall(r"[A-Za-z]{2,}", line)) > 2:
                yield line.strip(), topic


def _write_patients(path: Path) -> None:
    """Write scikit-learn's diabetes with words, dates and gaps, as tables have them."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    age, sex, bmi, pressure = (found.data[:, i] for i in range(4))
    rows = []
    for number, target in enumerate(found.target):
        weight = "heavy" if bmi[number] > 28 else "middle" if bmi[number] > 23 else "light"
        date = f"20{10 + number % 9}-{1 + number % 12:02}-{1 + number % 28:02}"
        gap = "" if number % 11 == 0 else f"{pressure[number]:.1f}"
        kind = "women" if sex[number] == 1 else "men"
        serum = [f"{value:.4f}" for value in found.data[number, 4:]]
        rows.append([int(age[number]), kind, weight, gap, date, *serum, int(target) + 0.5])
    header = ["age", "kind", "weight", "pressure", "seen", *(f"s{i}" for i in range(1, 7))]
    _write_csv(path, [*header, "progress"], rows)


def _write_text_folder(folder: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write a file a text, a folder a topic, with a test split of its own."""
    for number, (text, topic) in enumerate(rows):
        path = folder / ("test" if number % 4 == 0 else "train") / topic / f"{number:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _write_photo_list(path: Path) -> None:
    """List the photos and what they show, in lines of JSON."""
    whole = sorted(p for p in (path.parent / "photos").rglob("*.jpg") if p.name != "damaged.jpg")
    rows = [
        {"file": str(p.relative_to(path.parent)), "is_flower": "flower" in str(p)} for p in whole
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))


def _write_chinese(path: Path) -> None:
    """Write the lines of both readmes, one a language, those of a section as one group."""
    rows = []
    for name, language in (("README.md", "English"), ("README.zh-CN.md", "中文")):
        section = 0
        for line in (Path(__file__).parents[1] / name).read_text(encoding="utf-8").splitlines():
            section += line.startswith("#")
            if len(line) > 20:
                rows.append([line, language, f"{language} {section}"])
    with open(path, "w", newline="", encoding="gb18030") as file:
        csv.writer(file).writerows([["line", "language", "section"], *rows])


# Sources ----------------------------------------------------------------------------------------


def _digit_images() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.rint(found.images * (255 / 16)).astype(np.uint8), found.target


def digits(folder: Path) -> Source:
    images, _ = _digit_images()
    return Source("digits-8x8", samples=list(images[:6]))


def large_digits(folder: Path) -> Source:
    images, _ = _digit_images()
    return Source("digits", samples=list(images[:6]))


def two_digits(folder: Path) -> Source:
    images, targets = _digit_images()
    chosen = np.isin(targets, (3, 8))
    names = np.where(targets[chosen] == 3, "three", "eight")
    return Source((images[chosen], names), samples=list(images[chosen][:6]))


def rare_digits(folder: Path) -> Source:
    """Digits of which some are much rarer than others."""
    images, targets = _digit_images()
    kept = (targets < 3) | (np.arange(len(targets)) % 16 == 0)
    return Source((images[kept], targets[kept]), samples=list(images[kept][:6]))


def digit_traits(folder: Path) -> Source:
    images, targets = _digit_images()
    traits = {"even": (0, 2, 4, 6, 8), "loop": (0, 6, 8, 9), "small": (0, 1, 2, 3, 4)}
    labels = [[name for name, of in traits.items() if t in of] or ["small"] for t in targets]
    return Source((images[:900], labels[:900]), {"task": "multi-label"}, list(images[:6]))


def digit_ink(folder: Path) -> Source:
    images, _ = _digit_images()
    ink = images.reshape(len(images), -1).mean(1) / 7
    return Source((images[:900], ink[:900]), {"task": "regression"}, list(images[:6]))


def photos(folder: Path) -> Source:
    files = [str(folder / "photos" / n) for n in ("china/003.jpg", "flower/004.jpg")]
    return Source(str(folder / "photos"), samples=files, files=files)


def photo_list(folder: Path) -> Source:
    load = {"label": "is_flower", "image_column": "file"}
    return Source(str(folder / "photos.jsonl"), load, files=photos(folder).files)


def flowers(folder: Path) -> Source:
    """Photographs of flowers, from one table with their bytes in a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder.with_name("flowers.parquet")
    if not path.exists():
        whole = pq.read_table(_find("flowers5/train.parquet"))
        part = whole.take(pa.array(range(0, whole.num_rows, whole.num_rows // 200)))
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        pq.write_table(part, partial)
        partial.rename(path)
    return Source(str(path))


def topics(folder: Path) -> Source:
    rows = list(_sentences())
    texts, labels = ([row[i] for row in rows] for i in (0, 1))
    return Source((texts, labels), samples=[texts[0], texts[-1], "Red wine of 13 % alcohol."])


def topics_file(folder: Path) -> Source:
    path = str(folder / "topics.csv")
    return Source(path, {"label": "topic"}, ["Petals in cm", "8x8 pixels, 0..16"], [path])


def text_folder(folder: Path) -> Source:
    path = str(folder / "texts")
    return Source(path, files=[str(folder / "texts" / "test" / "wine")])


def grouped_chinese(folder: Path) -> Source:
    load = {"label": "language", "text": "line", "group": "section", "encoding": "gb18030"}
    path = str(folder / "readme.csv")
    return Source(path, load, ["预算是硬上限。", "The budget is a hard limit."], [path])


def tagged(folder: Path) -> Source:
    load = {"label": "tags", "separator": ";"}
    return Source(str(folder / "tagged.csv"), load, ["Of 13 classes (all)", "No figures"])


def word_lengths(folder: Path) -> Source:
    load = {"label": "mean_word", "text": "text"}
    return Source(str(folder / "lengths.csv"), load, ["a bc def", "considerable circumference"])


def reviews(folder: Path) -> Source:
    lines = _find("text/sst2/dev.tsv").read_text(encoding="utf-8").splitlines()[:200]
    texts, labels = zip(*(line.split("\t") for line in lines), strict=True)
    samples = ["A warm, funny film.", "Dull, and far too long."]
    return Source((list(texts), ["bad" if n == "0" else "good" for n in labels]), samples=samples)


def _frame(name: str) -> Any:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = found.frame.rename(columns={"target": "label"})
    frame["label"] = [str(found.target_names[number]) for number in frame["label"]]
    return frame


def wines(folder: Path) -> Source:
    frame = _frame("wine")
    return Source(frame, samples=frame.drop(columns="label").head(5).to_dict("records"))


def tumours(folder: Path) -> Source:
    frame = _frame("breast_cancer")
    return Source(frame, samples=frame.drop(columns="label").head(5).to_dict("records"))


def wine_traits(folder: Path) -> Source:
    frame = _frame("wine").drop(columns="label")
    traits = {"strong": frame["alcohol"] > 13, "dark": frame["color_intensity"] > 5}
    traits["sour"] = frame["malic_acid"] > 2
    inputs = frame.drop(columns=["alcohol", "color_intensity", "malic_acid"])
    chosen = [[n for n, has in traits.items() if has[i]] for i in range(len(frame))]
    rows = [i for i, names in enumerate(chosen) if names]
    given = (inputs.iloc[rows].reset_index(drop=True), [chosen[i] for i in rows])
    return Source(given, {"task": "multi-label"}, inputs.head(5).to_dict("records"))


def patients(folder: Path) -> Source:
    path = str(folder / "patients.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for _, row in zip(range(5), csv.DictReader(file), strict=False)]
    return Source(path, {"label": "progress"}, rows, [path])


def passengers(folder: Path) -> Source:
    path = str(_find("tabular/titanic_train.csv"))
    return Source(path, {"label": "Survived"}, files=[path])


def houses(folder: Path) -> Source:
    """Prices of houses, every tenth of them."""
    path = folder.with_name("houses.csv")
    if not path.exists():
        with gzip.open(_find("tabular/california_housing.csv.gz"), "rt") as file:
            lines = file.read().splitlines()
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text("\n".join([lines[0], *lines[1::10]]) + "\n")
        partial.rename(path)
    return Source(str(path), {"label": "median_house_value"}, files=[str(path)])


def _find(name: str) -> Path:
    root = os.environ.get("HEADSTART_DATA")
    path = Path(root or "") / name
    if not root or not path.exists():
        raise MissingDataError(f"HEADSTART_DATA holds no {name}")
    return path


# Makes a source; its files lie in the folder, or are put beside it.
Making = Callable[[Path], Source]
