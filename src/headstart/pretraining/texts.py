"""Texts to learn from: labelled ones with labels not looked at, or documents without any."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from headstart.data import load
from headstart.data.corpora import TextCorpus, corpus_of, open_corpus
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.sources.document_files import LARGE_BYTES, TEXT_SUFFIXES, lone_text_column
from headstart.data.sources.folder import is_image
from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.events import emit
from headstart.types import Data, Dataset

# What loading says that holds for documents without labels, too.
_OF_DOCUMENTS = ("text", "encoding", "header", "val_fraction", "seed")


def read_texts(data: Data, options: object) -> TextCorpus:
    """Read texts; where nothing says labels, nothing is missing.

    Args:
        data: A Dataset, what ``load`` reads, a ``partial`` of it, a text file, a folder of such
            files, or a list of texts.
        options: Not needed.

    Raises:
        DataError: If there are no texts, or too few.
    """
    del options
    if isinstance(data, Dataset):
        return _labelled(data)
    read, source, said = load, data, dict[str, Any]()
    if isinstance(data, partial):
        read, source, said = data.func, data.args[0], dict(data.keywords)
    if _is_bare(source, said):
        return _documents(source, said)
    if (num := num_files(source, is_image)) and num == num_files(source):
        raise DataError(
            f"{source} holds {num:,} image{'' if num == 1 else 's'} and no texts; expected texts "
            f"for objectives mlm and clm. For images say --objective mae."
        )
    try:
        dataset = _read(read, source, said)
    except UnlabelledError:
        return _documents(source, said)
    except DataError:
        # folders of files need not be classes: what is wrong with the texts is said again
        if said.get("label") or not _may_hold_texts(source):
            raise
        return _documents(source, said)
    return _labelled(dataset)


def _read(read: Callable[..., Dataset], source: Any, said: Mapping[str, Any]) -> Dataset:
    """Read labelled data; where its rows could be samples as well, the one column of prose is.

    Raises:
        DataError: If it cannot be read, or no column or several could hold the texts.
    """
    known = ("text", "image_column", "group", "label", "drop", "header", "encoding")
    named: dict[str, Any] = {n: said[n] for n in known if said.get(n) is not None}
    for name in ("drop", "header"):
        if name in named:
            named[name] = tuple(named[name])
    options = ReadOptions(**{"label": DEFAULT_LABEL, **named})
    failed: DataError | None = None
    try:
        dataset = read(source, **said)
        if dataset.schema.facts.has_words:
            return dataset
    except UnlabelledError:
        raise
    except DataError as error:
        failed = error
    column = lone_text_column(source, options)
    if column is not None:
        why = "the only column of prose; who learns a language reads no other"
        emit("choice", name="text", value=column, why=why)
        return read(source, **{**said, "text": column})
    if failed is not None:
        raise failed
    return dataset


def _is_bare(source: object, said: Mapping[str, Any]) -> bool:
    """Return whether a source is texts alone, as far as is seen without reading it."""
    if isinstance(source, list):
        return all(isinstance(one, str) for one in source)
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    if path.name.lower().removesuffix(".gz").endswith(TEXT_SUFFIXES):
        return True
    # a table that fills the memory is not read for a label that nobody has named
    is_large = os.path.isfile(path) and path.stat().st_size > LARGE_BYTES
    return is_large and not said.get("label") and not _names_a_label(path)


def _names_a_label(path: Path) -> bool:
    """Return whether the first line of a large table names the column that is one by default."""
    if path.suffix.lower() == ".parquet":
        from pyarrow.parquet import read_schema

        return DEFAULT_LABEL in read_schema(path).names
    with path.open("rb") as file:
        return DEFAULT_LABEL.encode() in file.readline(2**16)


def _may_hold_texts(source: object) -> bool:
    """Return whether a source is a folder with text files below, or without images."""
    return num_files(source, is_text) > 0 or (
        num_files(source) > 0 and not num_files(source, is_image)
    )


def is_text(name: str) -> bool:
    """Return whether a file's name says that it is a text."""
    return name.lower().endswith(TEXT_SUFFIXES)


def num_files(source: object, fits: Callable[[str], bool] = lambda _: True) -> int:
    """Return how many files below a folder fit, hidden ones left out; 0 where it is no folder."""
    if not isinstance(source, str | os.PathLike):
        return 0
    tree = os.walk(Path(source).expanduser())
    return sum(fits(name) for _, _, names in tree for name in names if not name.startswith("."))


def _documents(source: object, said: Mapping[str, Any]) -> TextCorpus:
    """Read documents without labels.

    Raises:
        OptionError: If something was said that only labels have.
    """
    stated = signature(load).parameters
    other = {n: v for n, v in said.items() if v != stated[n].default}
    own = [name for name in other if name not in _OF_DOCUMENTS]
    if own:
        raise OptionError(
            f"{', '.join(own)} is said of data in which nothing says a label; expected texts "
            f"alone. Leave it out, or name the column of labels with --label."
        )
    return open_corpus(source, **other)


def _labelled(dataset: Dataset) -> TextCorpus:
    """Return labelled texts as a corpus.

    Raises:
        DataError: If they are no texts.
    """
    if not dataset.schema.facts.has_words:
        raise DataError(
            f"{dataset.name} holds {dataset.schema.facts.nouns}; expected texts for objectives mlm "
            f"and clm. For images say --objective mae; a column of texts is named with --text."
        )
    return corpus_of(dataset)
