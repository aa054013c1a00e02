"""Texts to learn a language from: documents with nothing to tell of them, some of them held out.

A source is read twice, a part at a time, and never held: once to know it (its fingerprint, how many
documents and characters, which are empty), and then by whoever asks for its stretches. Which
documents are held out depends on their content and the seed alone, so that copies stay on one side.
Where there are fewer than twenty, they are cut into pieces and some of these are held out: that is
said. Labelled data brings its own sides: train is learned from, val held out, test left alone.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.sources.columns import source_table
from headstart.data.sources.document_files import (
    TEXT_SUFFIXES,
    Documents,
    Parts,
    column_of,
    parts_of,
    read_column,
    read_file,
    read_lone_file,
    text_column,
)
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.formats import unread
from headstart.data.sources.part_files import find_lone_table, find_parts
from headstart.data.split import VAL
from headstart.errors import DataError
from headstart.types import BadSample, Dataset, Finding, Modality, Stretch

LEAST_DOCUMENTS = 20  # fewer are cut into pieces
_MOST_HELD_OUT = 5_000  # documents: they tell the loss to a percent
_SHORTEST_PIECE, _LONGEST_PIECE = 200, 2_000  # characters
_ENDINGS = "'.txt', '.md' or '.rst'"


@dataclass(frozen=True)
class TextCorpus:
    """Documents, read anew by whoever asks for them.

    Attributes:
        name: What the user called it.
        documents: Gives them all, in the same order each time.
        is_held_out: bool, shape (N,), of all documents, empty ones too.
        fingerprint: Of the content and of what is held out.
        num_empty: Documents without a character but blanks.
        num_characters: Of all.
        findings: What a user should know of it.
        load_seconds: What reading took.
        origin: How what is held out was chosen.
        column: Column of the texts, where there is one.
        modality: What a document is.
        bad_samples: Documents that could not be used.
        labelled: The data that labels were read of; None where nothing says labels.
    """

    name: str
    documents: Documents
    is_held_out: np.ndarray
    fingerprint: str
    num_empty: int
    num_characters: int
    findings: Sequence[Finding] = ()
    load_seconds: float = 0.0
    origin: str = ""
    column: str | None = None
    modality: Modality = "text"
    bad_samples: Sequence[BadSample] = ()
    labelled: Dataset | None = None

    def of(self, dataset: Dataset) -> TextCorpus:
        """Return the corpus of other labelled data."""
        return replace(corpus_of(dataset), load_seconds=self.load_seconds)

    def stretches(self) -> Iterator[Stretch]:
        """Yield all documents, a part at a time.

        Raises:
            DataError: If the source is another than when it was looked at.
        """
        number, sides = 0, self.is_held_out.tolist()
        for text, is_last in self.documents():
            if number >= len(sides):
                break
            yield Stretch(text, is_last, sides[number])
            number += is_last
        else:
            if number == len(sides):
                return
        raise DataError(
            f"{self.name} changed while it was read; expected the {len(sides):,} documents that "
            f"were there before. Run it again."
        )

    def learned(self) -> Iterator[str]:
        """Yield the texts that are learned from, a part at a time."""
        return (stretch.text for stretch in self.stretches() if not stretch.is_held_out)

    def describe(self) -> dict[str, object]:
        """Return the content of ``data.json``."""
        num, num_held_out = len(self.is_held_out) - self.num_empty, int(self.is_held_out.sum())
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "empty": self.num_empty,
            "characters": self.num_characters,
            "split_origin": {"val": self.origin},
            "counts": {"train": num - num_held_out, "val": num_held_out},
            "notes": [found.sentence for found in self.findings],
            "findings": [found.to_json() for found in self.findings],
        }


def open_corpus(
    source: Any,
    *,
    text: str | None = None,
    encoding: str | None = None,
    header: Sequence[str] | None = None,
    val_fraction: float = 0.05,
    seed: int = 0,
) -> TextCorpus:
    """Look through texts without labels.

    Args:
        source: A folder with text files below it (``TEXT_SUFFIXES``), one such file, a table file
            with a column of texts or a folder of the parts of one, a frame, or texts in a list.
        text: Column with the texts; found by itself when only one fits.
        encoding: Encoding of text files that are not UTF-8.
        header: Names of the columns of a file without a header row.
        val_fraction: Share of the documents that is held out; of many at most 5,000.
        seed: Of the choice.

    Raises:
        DataError: If there are no texts, a file cannot be read or is no text, or there is too
            little to hold anything out.
    """
    began = time.monotonic()
    options = ReadOptions(text=text, encoding=encoding, header=tuple(header) if header else None)
    read = _find(source, options)
    found = _look_through(read.name, read.documents)
    findings, documents = list(read.findings), read.documents
    num_different = len(np.unique(found.digests[~found.is_empty]))
    if num_different < LEAST_DOCUMENTS:
        num = int((~found.is_empty).sum())
        most = found.num_characters // LEAST_DOCUMENTS
        most = min(_LONGEST_PIECE, max(_SHORTEST_PIECE, most))
        documents = partial(_recut, read.documents, most)
        found = _look_through(read.name, documents)
        told = f"{num} document{'' if num == 1 else 's'}"
        told += f", {num_different} of them different," if num_different < num else ""
        told += " would leave too few to hold out whole ones"
        sentence = f"{told}: they are cut into {len(found.digests):,} pieces of up to {most:,} "
        findings.append(Finding("reading", "note", (), f"{sentence}characters."))
    is_held_out = _chosen(read.name, found, val_fraction, seed)
    if found.num_empty:
        verb = "is" if found.num_empty == 1 else "are"
        told = f"{found.num_empty:,} of {len(found.digests):,} documents {verb} empty and left out."
        findings.append(Finding("missing", "note", (), told))
    digest = blake2b(found.fingerprint.encode() + is_held_out.tobytes(), digest_size=16)
    return TextCorpus(
        name=read.name,
        documents=documents,
        is_held_out=is_held_out,
        fingerprint=digest.hexdigest(),
        num_empty=found.num_empty,
        num_characters=found.num_characters,
        findings=tuple(findings),
        load_seconds=time.monotonic() - began,
        origin=f"{val_fraction * 100:.4g} % of the documents by their content, seed {seed}",
        column=read.column,
    )


def corpus_of(dataset: Dataset) -> TextCorpus:
    """Return the texts of labelled data: train to learn from, val to judge by, test left alone.

    Args:
        dataset: Of texts.
    """
    sides = (dataset.train.samples, dataset.val.samples)

    def documents() -> Parts:
        for samples in sides:
            yield from parts_of(samples.read(i) for i in range(len(samples)))

    sizes = [len(samples) for samples in sides]
    texts = (samples.read(i) for samples in sides for i in range(len(samples)))
    sentence = (
        f"Labels are not learned from. The test split ({len(dataset.test):,} texts: "
        f"{dataset.split_origin.get('test', 'given')}) is left alone, and val ({sizes[1]:,}) is "
        f"held out to judge by; copies and groups stay on one side."
    )
    return TextCorpus(
        name=dataset.name,
        documents=documents,
        is_held_out=np.repeat([False, True], sizes),
        fingerprint=dataset.fingerprint,
        num_empty=0,
        num_characters=sum(map(len, texts)),
        findings=(*dataset.findings, Finding("untested", "note", (), sentence)),
        load_seconds=dataset.load_seconds,
        origin=f"the val split: {dataset.split_origin.get('val', 'given')}",
        column=dataset.input_column,
        labelled=dataset,
    )


@dataclass(frozen=True)
class _Read:
    """A source of texts that was found."""

    name: str
    documents: Documents
    findings: Sequence[Finding] = ()
    column: str | None = None


@dataclass
class _Looked:
    """What one look through all documents says."""

    fingerprint: str
    digests: np.ndarray
    is_empty: np.ndarray
    num_characters: int = field(default=0)

    @property
    def num_empty(self) -> int:
        """Documents without a character but blanks."""
        return int(self.is_empty.sum())


def _find(source: Any, options: ReadOptions) -> _Read:
    """Return the documents of a source, whatever its form."""
    if not isinstance(source, str | os.PathLike):
        return _handed(source, options)
    name = os.fspath(source)
    path = Path(name).expanduser()
    if path.is_dir():
        if parts := find_parts(path):
            return _of_tables(name, [file for file, _, _ in parts], options)
        if table := find_lone_table(path):
            return _of_tables(name, [table], options)
        return _of_folder(name, path, options.encoding)
    if not path.exists():
        raise DataError(
            f"{name} does not exist; expected a folder of text files, a text file ({_ENDINGS}), or "
            f"a table with a column of texts. Check the path."
        )
    if path.name.lower().removesuffix(".gz").endswith(TEXT_SUFFIXES):
        return _Read(name, partial(read_lone_file, path, name, options.encoding))
    if path.name.lower().endswith(TABLE_SUFFIXES):
        return _of_tables(name, [path], options)
    raise unread(path, name)


def _handed(source: Any, options: ReadOptions) -> _Read:
    """Return what Python hands over: texts, or a table of them."""
    table = source_table(source)
    if table is not None:
        column, findings = column_of(table, options)
        return _Read(table.where, lambda: parts_of(table.values(column)), findings, column)
    values = list(source)
    if not values or not all(isinstance(value, str) for value in values):
        raise DataError(
            f"The {type(source).__name__} holds something else than texts; expected a list of "
            f"texts, a table with a column of them, or a path. Give one of these."
        )
    return _Read("texts", partial(parts_of, values))


def _of_folder(name: str, root: Path, encoding: str | None) -> _Read:
    """Return the text files below a folder, a document each."""
    found, others = list[Path](), Counter[str]()
    for folder, _, files in os.walk(root):
        shown = [file for file in files if not file.startswith(".")]
        texts = [file for file in shown if file.lower().endswith(TEXT_SUFFIXES)]
        found += [Path(folder) / file for file in texts]
        others.update(Path(file).suffix.lower() for file in shown if file not in texts)
    found.sort()
    if not found:
        there = ", ".join(f"{n:,} '{suffix or 'without'}'" for suffix, n in others.most_common(3))
        raise DataError(
            f"{name} holds no text files (endings of its files: {there or 'none'}); expected some "
            f"that end in {_ENDINGS}, or the parts of a table. Check the path, name the file, or "
            f"rename what is text."
        )
    which = "file that does" if others.total() == 1 else "files that do"
    told = f"Skipped {others.total():,} {which} not end in {_ENDINGS}."
    findings = [Finding("unused", "note", (), told)] if others else []
    if len(found) == 1:
        return _Read(name, partial(read_lone_file, found[0], str(found[0]), encoding), findings)

    def documents() -> Parts:
        for path in found:
            yield from read_file(path, str(path), encoding)

    return _Read(name, documents, findings)


def _of_tables(name: str, paths: Sequence[Path], options: ReadOptions) -> _Read:
    """Return the column of texts of a table in one file or several."""
    column, findings = text_column(paths[0], str(paths[0]), options)

    def documents() -> Parts:
        for path in paths:
            yield from read_column(path, str(path), column, options)

    return _Read(name, documents, findings, column)


def _look_through(name: str, documents: Documents) -> _Looked:
    """Read all documents once.

    Raises:
        DataError: If there is no text.
    """
    whole, one = blake2b(digest_size=16), blake2b(digest_size=8)
    digests: list[bytes] = []
    is_empty: list[bool] = []
    size, is_blank = 0, True
    for text, is_last in documents():
        one.update(text.encode("utf-8", "surrogatepass"))
        is_blank = is_blank and not text.strip()
        size += len(text)
        if is_last:
            digests.append(one.digest())
            is_empty.append(is_blank)
            whole.update(digests[-1])
            one, is_blank = blake2b(digest_size=8), True
    if not size or all(is_empty):
        raise DataError(
            f"{name} holds {len(digests):,} documents and no text; expected texts to learn from. "
            f"Check the path, or the column (--text)."
        )
    numbers = np.frombuffer(b"".join(digests), np.uint64)
    return _Looked(whole.hexdigest(), numbers, np.array(is_empty, bool), size)


def _chosen(name: str, found: _Looked, fraction: float, seed: int) -> np.ndarray:
    """Return which documents are held out, by their content.

    Raises:
        DataError: If there is nothing to hold out.
    """
    different = np.unique(found.digests[~found.is_empty])
    if len(different) < 2:
        raise DataError(
            f"{name} holds too little text ({found.num_characters:,} characters) to learn from "
            f"some of it and hold out some; expected at least two documents that differ, or "
            f"{2 * _SHORTEST_PIECE} characters. Add texts."
        )
    num = min(max(1, round(fraction * len(different))), _MOST_HELD_OUT, len(different) - 1)
    drawn = np.random.Generator(np.random.PCG64([seed, VAL])).permutation(len(different))
    picked: np.ndarray = np.isin(found.digests, different[drawn[:num]]) & ~found.is_empty
    return picked


def _recut(documents: Documents, most: int) -> Parts:
    """Yield documents cut into pieces of at most so many characters, at blanks."""
    for text, _ in documents():
        rest = text
        while len(rest) > most:
            cut = max(rest.rfind(" ", 1, most), rest.rfind("\n", 1, most))
            cut = cut if cut > 0 else most
            yield rest[:cut], True
            rest = rest[cut:]
        yield rest, True
