"""Line-aligned files: ``train.en`` beside ``train.de``, a text a line, in gzip or not.

Line n of one file is the text, line n of the other what is to be written of it; the endings are the
names of the columns. Known by a stem that means train and stands in exactly two files whose endings
are no formats; the other stems are val and test by their names. Of several files of one split the
first by name is read, and that is said. Left out: more than two files a stem.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from headstart.data.options import ReadOptions
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.listed import ListTable
from headstart.data.sources.split_words import split_within
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError
from headstart.types import Finding

_ALIGNED = re.compile(r"(?P<stem>.+?)\.(?P<side>[A-Za-z][A-Za-z_-]{0,11})(?:\.gz)?")
_NO_SIDES = frozenset(
    (
        *(suffix.lstrip(".").partition(".")[0] for suffix in TABLE_SUFFIXES),
        *("txt", "md", "json", "gz", "zip", "tar", "py", "html", "xml", "yaml", "yml", "log"),
        *("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "npz", "npy", "data", "conll"),
        *("safetensors", "bin", "pt", "model", "names", "labels", "csv", "tsv", "iob", "bio"),
    )
)
Pair = tuple[Path, Path]


def find_aligned(folder: Path) -> list[tuple[Pair, str]]:
    """Return the pairs of line-aligned files of a folder, each with its split; none where not.

    Raises:
        DataError: A stem has one side alone.
    """
    sides = _sides_of(folder)
    trained = [stem for stem, found in sides.items() if split_within(stem) == "train"]
    pairs = [stem for stem in trained if len(sides[stem]) == 2]
    if not pairs:
        return []
    names = tuple(sorted(sides[pairs[0]]))
    found: list[tuple[Pair, str]] = []
    for stem in sorted(sides):
        split = split_within(stem)
        if split is None or not set(sides[stem]) & set(names):
            continue
        missing = [name for name in names if name not in sides[stem]]
        if missing:
            raise DataError(
                f"{folder} has {sides[stem][names[names.index(missing[0]) - 1]].name} without "
                f"{stem}.{missing[0]}; expected both sides of every split, line by line. Add it, "
                "or take the other away."
            )
        found.append(((sides[stem][names[0]], sides[stem][names[1]]), split))
    return found


def _sides_of(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the files of a folder by stem and ending."""
    found: dict[str, dict[str, Path]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    for name in names:
        match = _ALIGNED.fullmatch(name)
        if match and match["side"].lower() not in _NO_SIDES and (folder / name).is_file():
            found.setdefault(match["stem"], {})[match["side"]] = folder / name
    return found


def find_partner(path: Path) -> Pair | None:
    """Return both sides of which a file is one; None where it has no partner, or several."""
    match = _ALIGNED.fullmatch(path.name)
    if match is None or match["side"].lower() in _NO_SIDES:
        return None
    sides = _sides_of(path.parent).get(match["stem"], {})
    if len(sides) != 2:
        return None
    one, two = (sides[name] for name in sorted(sides))
    return one, two


def open_aligned(
    pairs: Sequence[tuple[Pair, str | None]], options: ReadOptions
) -> tuple[list[tuple[ListTable, str | None]], list[Finding]]:
    """Return a table of two columns a pair, and which pairs are not read.

    Args:
        pairs: Both sides of each, with the split that it is.
        options: The encoding, where it was said.

    Raises:
        DataError: The two have another number of lines, or a file cannot be read.
    """
    tables: list[tuple[ListTable, str | None]] = []
    findings, taken = [], dict[str, str]()
    for (one, two), split in pairs:
        stem = _stem(one)
        if split is not None and split in taken:
            sentence = (
                f"{one.name} and {two.name} are not read: {taken[split]} is {split} already. "
                f"To evaluate on them, give one of their paths: headstart evaluate RUN {one}."
            )
            findings.append(Finding("unused", "note", (), sentence))
            continue
        if split is not None:
            taken[split] = stem
        tables.append((_read_pair(one, two, options), split))
    return tables, findings


def _read_pair(one: Path, two: Path, options: ReadOptions) -> ListTable:
    lines = [_lines(path, options) for path in (one, two)]
    if len(lines[0]) != len(lines[1]):
        raise DataError(
            f"{one.name} has {len(lines[0]):,} lines and {two.name} {len(lines[1]):,}; expected "
            "as many, line n of one being what line n of the other says. Look for the first that "
            "do not belong together, and mend the shorter one."
        )
    columns = {_side(path): texts for path, texts in zip((one, two), lines, strict=True)}
    return ListTable(columns, _stem(one), one.parent)


def _lines(path: Path, options: ReadOptions) -> list[str]:
    content = read_text_bytes(path, path.name, options.encoding).decode()
    lines = content.split("\n")  # nothing else ends a line: texts may hold other separators
    if lines[-1] == "":
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _stem(path: Path) -> str:
    match = _ALIGNED.fullmatch(path.name)
    return path.stem if match is None else match["stem"]


def _side(path: Path) -> str:
    match = _ALIGNED.fullmatch(path.name)
    return path.suffix if match is None else match["side"]
