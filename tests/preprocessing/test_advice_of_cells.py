"""Advice about cells, texts, labels and pictures that look wrong: followed, and not said again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from advised import PIXELS, TEXTS, Case, N, Y, frame, photos, told

import headstart as hs
from headstart.auditing.audit import AuditTools
from headstart.auditing.audits import AUDITS
from headstart.auditing.lengths import audit_lengths
from headstart.auditing.probe_features import ProbeFeatures
from headstart.data import load
from headstart.data.sources.samples import ParquetSamples
from headstart.preprocessing import pixel_files
from headstart.preprocessing.decoded import decode
from headstart.recipes import own_data
from headstart.types import ImageSpec

WORDS = [
    [f"{1 + i % 12}/{1 + i // 12}/2024", f"{1 + i % 12:02d}.{1 + i // 12:02d}.2024"]
    for i in range(N)
]
CLOSE, POINTED = np.array(WORDS).T


def column(cells: Any, **said: Any) -> Any:
    return load(frame(c=cells), **said)


def days(format_: str) -> list[str]:
    return pd.date_range("2024-03-01", periods=N).strftime(format_).tolist()


def grouped(num_groups: int) -> Any:
    """Return rows of classes that stand in a few groups each, or in many."""
    draw = np.random.default_rng(56)
    k, m = draw.integers(4, 9), draw.integers(2, 5)
    groups = draw.integers(0, k, N)
    classes = np.array([f"c{v}" for v in draw.integers(0, m, k * 3)])
    label = classes[groups * 3 + draw.integers(0, 3, N)]
    farms = [f"g{g}{i % num_groups}" for i, g in enumerate(groups)]
    return label, farms


def torn(num_groups: int, **said: Any) -> Any:
    label, farms = grouped(num_groups)
    return load(frame(label=label, farm=farms), **said)


def broken(folder: Path, content: bytes, **said: Any) -> Any:
    root = Path(photos(folder / "set", lambda i: f"{Y[i]}/{i}.png"))
    (root / Y[0] / "0.png").write_bytes(content or (root / Y[2] / "2.png").read_bytes()[::1])
    return load(str(root), **said)


def dicom(folder: Path, is_written: bool) -> list[str]:
    """Return why a picture cannot be used: a DICOM file, or its pixels as 16-bit PNG."""
    from PIL import Image

    root = Path(photos(folder / "set", lambda i: f"{Y[i]}/{i}.png"))
    if is_written:
        Image.fromarray(PIXELS[0, ..., 0].astype(np.uint16)).save(root / Y[0] / "0.png")
    else:
        (root / Y[0] / "0.png").write_bytes(bytes(128) + b"DICM" + bytes(64))
    return [each.reason for each in load(str(root), max_bad_fraction=0.1).bad_samples]


def stored(folder: Path, row_group_size: int, cut: bool) -> Any:
    """Decode the images of a Parquet file, a row group of which is damaged after it was read."""
    photos(folder / "raw", lambda i: f"{i}.png")
    files = [(folder / "raw" / f"{i}.png").read_bytes() for i in range(N)]
    table, path = pa.table({"image": files, "label": Y.tolist()}), folder / "a.parquet"
    pq.write_table(table, path, row_group_size=row_group_size)
    if cut:
        content = bytearray(path.read_bytes())
        content[4:2000] = b"\xff" * 1996
        path.write_bytes(content)
    held = ParquetSamples(path, "image", [str(i) for i in range(N)])
    return [held.read(i) for i in range(N)]


def without_room(folder: Path, has_tmpdir: bool) -> Any:
    """Decode where neither the cache, nor the folder for temporary files, nor memory has room."""
    root = photos(folder / "set", lambda i: f"{Y[i]}/{i}.png")
    made = pixel_files._temporary_file
    with pytest.MonkeyPatch.context() as patch:
        (folder / "file").write_text("")
        patch.setenv("HEADSTART_CACHE", str(folder / "file"))
        patch.setattr(pixel_files, "_memory_file", lambda _: None)
        patch.setattr(pixel_files, "_temporary_file", made if has_tmpdir else lambda _: None)
        return decode(load(root), "train", SPEC)


def cased(name: str) -> Any:
    run: Any = SimpleNamespace(path="runs/x", data={"source": {"source": "digits-8x8"}})
    if name != "digits-8x8":
        own_data._refuse_other_case(run, name)
    return load(name)


def cut_texts(length: int) -> list[str]:
    """Return what is told of the lengths of texts for a start that reads them."""
    data = texts(length)
    return [each.finding.sentence for each in audit_lengths(data, AuditTools(start=MINILM))]


def audited(name: str, data: Any) -> list[str]:
    """Return what an audit says, with pixels and terms as features: quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.starts.candidates.local_starts", lambda _: [])
        tools = AuditTools(features=ProbeFeatures(data))
        return [each.finding.sentence for each in AUDITS[name].run(data, tools)]


def texts(length: int) -> Any:
    return hs.load(([" ".join([text] * length) for text in TEXTS], Y))


def spoilt(number: int) -> Any:
    """Return rows of two classes that are far apart, some of them with the other's label."""
    draw = np.random.default_rng(0)
    label = np.arange(300) % 2
    x = label * 6 + draw.normal(size=300)
    label[:number] = 1 - label[:number]
    table = pd.DataFrame({"x": x, "y": draw.normal(size=300), "label": np.array(["a", "b"])[label]})
    return load(table.sample(frac=1, random_state=0).reset_index(drop=True))


MINILM = "pip/all-minilm-l6-v2"
SPEC = ImageSpec(8, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 8, 3)
CASES = {
    "a month that none is": told(
        lambda _: column([f"2024-13-{1 + i % 28:02d}" for i in range(N)]),
        "Write them as 2024-03-31",
        lambda _: column(days("%Y-%m-%d")),
    ),
    "a day that none is": told(
        lambda _: column(["2024-02-31", *days("%Y-%m-%d")[1:]]),
        "Correct it or leave the cell empty",
        lambda _: column([None, *days("%Y-%m-%d")[1:]]),
    ),
    "a day that none is, as categories": told(
        lambda _: column(["2024-02-31", *days("%Y-%m-%d")[1:]]),
        "or say --categorical c",
        lambda _: column(["2024-02-31", *days("%Y-%m-%d")[1:]], categorical=["c"]),
    ),
    "days or months first": told(
        lambda _: column(CLOSE),
        "read as categories. --date c reads them",
        lambda _: column(CLOSE, date=["c"]),
    ),
    "several units": told(
        lambda _: column([f"{i} {'kg' if i % 2 else 'lb'}" for i in range(N)]),
        "Bring them to one unit",
        lambda _: column([f"{i} kg" for i in range(N)]),
    ),
    "amounts from and to": told(
        lambda _: column([f"{i} to {i + 3} kg" for i in range(N)]),
        "write the numbers alone into the column, one a cell; if not",
        lambda _: column(range(N)),
    ),
    "a class in few groups": Case(
        lambda _: torn(1, group="farm"), "Add groups that hold it", lambda _: torn(9, group="farm")
    ),
    "a class in few groups, without": Case(
        lambda _: torn(1, group="farm"), "or leave out --group", lambda _: torn(1, drop=["farm"])
    ),
    "pictures that are none": Case(
        lambda f: broken(f, b"none"), "Repair or remove them", lambda f: broken(f, b"")
    ),
    "pictures that are none, allowed": Case(
        lambda f: broken(f, b"none"),
        "or allow more with --max-bad-fraction",
        lambda f: broken(f, b"none", max_bad_fraction=0.1),
    ),
    "DICOM": told(
        lambda f: dicom(f, is_written=False),
        "write its pixels as 16-bit PNG",
        lambda f: dicom(f, is_written=True),
    ),
    "a row group that was damaged": Case(
        lambda f: stored(f, 10, cut=True),
        "Row group 0 .* Write the file again",
        lambda f: stored(f, 10, cut=False),
    ),
    "long texts": told(
        lambda _: audited("lengths", texts(80)),
        "or cut them into parts",
        lambda _: audited("lengths", texts(1)),
    ),
    "long texts for a start": told(
        lambda _: cut_texts(80), "--max-length: their end is not read", lambda _: cut_texts(1)
    ),
    "no room for pictures": Case(
        lambda f: without_room(f, False),
        "Set TMPDIR to a folder that has",
        lambda f: without_room(f, True),
    ),
    "a name in another case": Case(
        lambda _: cased("Digits-8x8"),
        "the case of its name differs. Write it so",
        lambda _: cased("digits-8x8"),
    ),
    "labels that look wrong": told(
        lambda _: audited("doubtful labels", spoilt(20)),
        "Correct what is wrong where your labels are kept",
        lambda _: audited("doubtful labels", spoilt(0)),
    ),
    "all belong together": told(
        lambda _: audited("doubtful labels", load((np.repeat(PIXELS[:1], N, axis=0), Y))),
        "as copies or by --group",
        lambda _: audited("doubtful labels", spoilt(0)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_cells_and_samples_helps(name: str, follow, heard) -> None:
    follow(CASES[name])
