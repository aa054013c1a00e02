"""Lines of fastText (``__label__x text``) and of LIBSVM (``1 3:0.5 7:1``)."""

from __future__ import annotations

import re
from pathlib import Path

from headstart.data.sources.listed import ListTable
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError

FASTTEXT = re.compile(r"((?:__label__\S+[ \t]+)*__label__\S+)(?:[ \t]+(.*))?$")
LIBSVM = re.compile(r"[-+.\deE,]+([ \t]+(qid:\d+[ \t]+)?\d+:[-+.\deE]+)*[ \t]*(#.*)?$")
MAX_FEATURES = 10_000


def read_lines(path: Path, where: str, encoding: str | None) -> ListTable | None:
    """Return the table that lines of fastText or LIBSVM are; None for other files.

    Raises:
        DataError: A line is of another form, or names more features than a table can have.
    """
    with open(path, "rb") as file:
        head = file.read(65536)
    if b"\0" in head:
        return None
    first = [line for line in head.decode("utf-8", "replace").splitlines()[:20] if line.strip()][:5]
    is_fasttext = bool(first) and all(FASTTEXT.match(line.strip("\ufeff ")) for line in first)
    is_svm = bool(first) and all(LIBSVM.match(line.strip("\ufeff ")) for line in first[:4])
    is_svm = is_svm and any(re.search(r"\s\d+:", line) for line in first)
    if not is_fasttext and not is_svm:
        return None
    lines = read_text_bytes(path, where, encoding).decode().split("\n")
    rows = [(i, line.strip("\r\ufeff ")) for i, line in enumerate(lines) if line.strip("\r\ufeff ")]
    return (_fasttext if is_fasttext else _libsvm)(rows, where, path.parent)


def _fasttext(rows: list[tuple[int, str]], where: str, root: Path) -> ListTable:
    labels, texts = [], []
    for number, line in rows:
        match = FASTTEXT.match(line)
        if match is None:
            raise DataError(
                f"Line {number + 1:,} of {where} does not begin with __label__, as the first lines "
                f"do: '{line[:60]}'. Give it a label, or remove it."
            )
        labels.append([word.removeprefix("__label__") for word in match[1].split()])
        texts.append(match[2] or "")
    numbers = [number for number, _ in rows]
    columns: dict[str, list[object]] = {"text": [*texts], "label": [*labels]}
    return ListTable(columns, where, root, target="label", numbers=numbers)


def _libsvm(rows: list[tuple[int, str]], where: str, root: Path) -> ListTable:
    """Return one column a feature, 0 where a line does not name it; several labels by commas."""
    parsed, largest, has_zero = [], 0, False
    for number, line in rows:
        if LIBSVM.match(line) is None:
            raise DataError(
                f"Line {number + 1:,} of {where} is no line of LIBSVM, as the first ones are: "
                f"'{line[:60]}'. Expected a label, then NUMBER:VALUE; correct it."
            )
        label, *cells = line.partition("#")[0].split()
        values = {int(k): float(v) for k, v in (c.split(":") for c in cells if c[:3] != "qid")}
        largest, has_zero = max([largest, *values]), has_zero or 0 in values
        parsed.append((label, values))
    if largest > MAX_FEATURES:
        raise DataError(
            f"{where} names feature {largest:,}; as a table at most {MAX_FEATURES:,} are read. "
            "Choose fewer features, or give the texts themselves that they were made from."
        )
    labels: list[object] = [_label(label) for label, _ in parsed]
    if any("," in label for label, _ in parsed):
        labels = [label.split(",") for label, _ in parsed]
    columns: dict[str, list[object]] = {
        f"x{k}": [values.get(k, 0.0) for _, values in parsed]
        for k in range(0 if has_zero else 1, largest + 1)
    }
    numbers = [number for number, _ in rows]
    return ListTable({**columns, "label": labels}, where, root, target="label", numbers=numbers)


def _label(word: str) -> int | float:
    number = float(word)
    return int(number) if number == int(number) else number
