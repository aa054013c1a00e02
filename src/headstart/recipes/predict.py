"""Predict new samples with a finished run: images, texts, or the rows of a table."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.cells import shown
from headstart.errors import DataError, OptionError
from headstart.preprocessing.bad_samples import first_few
from headstart.recipes.findings import tell_findings
from headstart.recipes.run import Run
from headstart.recipes.submission import check_form, read_sample, write_submission
from headstart.reporting.console import attached
from headstart.training.options.common_options import EngineName
from headstart.types import Finding, Modality, Prediction

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table


def predict(
    run: str,
    files: Sequence[str],
    *,
    encoding: str | None = None,
    like: str | None = None,
    out: str | None = None,
    engine: Literal["auto", EngineName] = "auto",
    precision: Literal["auto", "fp32"] = "auto",
) -> list[Prediction]:
    """Predict new samples with a finished run.

    Args:
        run: A run folder.
        files: Images: files, folders of them, or tables that hold or name them. Texts: the texts
            themselves, .txt files, or folders of them. Texts and tables: CSV, TSV, Parquet or JSONL
            files with the columns of the training data. What exists as a file or folder is never
            taken as a text itself.
        encoding: How bytes of text files stand for characters, for example gb18030; that of the
            training data when not given. For CSV, TSV, JSONL and .txt files.
        like: The sample of a submission, a CSV whose first column holds ids: file names with or
            without suffix, or the cells of the column of that name in a table that is predicted.
        out: The file to write in the form of the sample: its columns, its order of ids, and a class
            name, a class number or a probability a class as it shows.
        engine: What computes on a CPU: auto measures the engines that are installed where many
            samples are given, and takes the quickest that gives the same; torch, onnxruntime or
            openvino asks for one.
        precision: Number format: fp32, or auto, which lets an engine take a narrower one where the
            answers stay the same.

    Returns:
        One prediction a sample, in the order given: the class with its calibrated probability and
        those of all classes, or the value. Its name is the path of an image or .txt file, "FILE row
        N" in a table, and "text N" for the Nth of the texts given themselves.

    Raises:
        OptionError: If the encoding is unknown, nothing given is a file of text, or the engine is
            not installed.
        RunFolderError: If the run folder holds no model.
        DataError: If a file does not exist, or is not what the model reads. Of several images,
            those that cannot be read are named and left out.

    Example:
        >>> import headstart as hs
        >>> hs.predict("runs/digits", ["seven.png"])[0].label  # doctest: +SKIP
        '7'
    """
    from headstart.data.options import ReadOptions, option_problems
    from headstart.engines import passes_by, require_engine
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.engine_rule import engine_rule

    require_engine(engine)
    if problems := option_problems(ReadOptions(encoding=encoding)):
        raise OptionError(" ".join(problems))
    check_form(like, out)
    sample = None if like is None else read_sample(like)
    opened = run if isinstance(run, Run) else Run(run)
    several = [files] if isinstance(files, str | os.PathLike) else files
    reader = _READERS[opened.model.schema.modality]
    given = reader.listed(several)
    if encoding is not None:
        _refuse_encoding(encoding, given, is_decoded=reader.is_decoded)
    source = opened.data.get("source") or {}  # how the training data was read
    encoding = encoding or source.get("encoding")
    found: list[Prediction] = []
    rule = engine_rule(engine, precision, budget_seconds=None, decisions=Decisions())
    with attached(), passes_by(rule):
        _tell_unfinished(opened)
        for samples, names in reader.read(opened, given, encoding):
            rule.num_expected = len(names)
            if reader.leaves_out and len(names) > 1:
                found += _predict_usable(opened, samples, names)
            else:
                found += opened.predict(samples, names=names)
        if sample is not None and out is not None:
            ids = _stated_ids(opened, given, encoding, sample.header[0])
            write_submission(found, sample, out, opened.model.schema, ids)
        return found


def _stated_ids(
    run: Run, given: Sequence[str], encoding: str | None, column: str
) -> dict[str, str]:
    """Return the id of each row by its name, of tables that have the column of ids."""
    from headstart.data.sources.folder import TABLE_SUFFIXES

    ids: dict[str, str] = {}
    for word in given:
        if not word.lower().endswith(TABLE_SUFFIXES) or not os.path.isfile(word):
            continue
        table = _table(run, word, encoding)
        if column in table.columns:
            values = [str(value) for value in table.values(column)]
            ids |= dict(zip(_row_names(word, table), values, strict=True))
    return ids


def _tell_unfinished(run: Run) -> None:
    """Say that a model answers of which no figure says how good it is."""
    if run.metrics:
        return
    sentence = (
        f"{run.path} is unfinished: its model answers, but no figure says how good it is. Wait for "
        f"it, or repeat the command that began it with --out {run.path} --resume."
    )
    tell_findings([Finding("untested", "warning", (), sentence)])


def _predict_usable(run: Run, images: list[Any], names: list[str]) -> list[Prediction]:
    """Predict the images that can be read and name the others."""
    found, bad = run.predict_usable(images, names=names)
    if bad:
        sentence = f"{len(bad):,} of {len(images):,} images left out: {first_few(bad)}."
        if not found:
            raise DataError(f"No image can be used. {sentence} Give whole images.")
        tell_findings([Finding("unreadable", "warning", [b.name for b in bad], sentence)])
    return found


def _refuse_encoding(encoding: str, given: Sequence[str], *, is_decoded: bool) -> None:
    """Refuse an encoding where no bytes are read as characters."""
    from headstart.data.sources.folder import BINARY_SUFFIXES, TABLE_SUFFIXES

    binary = (".parquet", *BINARY_SUFFIXES)
    decoded = (*(ending for ending in TABLE_SUFFIXES if ending not in binary), ".txt")
    if not is_decoded and not any(word.lower().endswith(TABLE_SUFFIXES) for word in given):
        why = "the model reads images"
    elif any(word.lower().endswith(decoded) for word in given):
        return
    else:
        why = f"nothing given is a file that ends in {', '.join(decoded)}"
    raise OptionError(f"--encoding {encoding} cannot be used: {why}. Leave it out.")


def _all_images(
    run: Run, given: Sequence[str], encoding: str | None
) -> Iterator[tuple[list[Any], list[str]]]:
    """Yield the images of files, folders and tables, in the order given, and their names."""
    from headstart.data.sources.folder import TABLE_SUFFIXES
    from headstart.data.sources.handed import table_pictures

    images: list[Any] = []
    names: list[str] = []
    column = (run.data.get("source") or {}).get("image_column")
    for word in given:
        if word.lower().endswith(TABLE_SUFFIXES):
            table = _table(run, word, encoding)
            pictures, called = table_pictures(table, column)
            images += pictures
            names += [
                name or row for name, row in zip(called, _row_names(word, table), strict=True)
            ]
        else:
            found = _images(Path(word))
            images += found
            names += [shown(str(path)) for path in found]
    yield images, names


def _images(path: Path) -> list[Path]:
    """Return the images that a path stands for: of a folder, what training takes for images."""
    from headstart.data.sources.folder import is_image
    from headstart.preprocessing.image_files import READ_SUFFIXES

    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        inside = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(path)
            for name in names
            if is_image(name)
        )
        if not inside:
            raise DataError(
                f"{path} holds no image files; expected some that end in "
                f"{', '.join(READ_SUFFIXES)}. Name the files themselves."
            )
        return inside
    if not os.path.isfile(path):
        raise DataError(
            f"{path} does not exist; expected an image file or a folder of them. Check the path."
        )
    return [path]


def _text_files(word: str, is_text: bool) -> list[str]:
    """Return what a word stands for: the .txt files of a folder, a file, or the text itself.

    Args:
        word: A path, or a text.
        is_text: Whether a word that is no path may be a text.
    """
    from headstart.data.sources.folder import TABLE_SUFFIXES

    if os.path.isdir(word):
        inside = sorted(
            str(Path(folder) / name)
            for folder, _, names in os.walk(word)
            for name in names
            if name.lower().endswith(".txt")
        )
        if not inside:
            raise DataError(
                f"{word} holds no text files; expected some that end in .txt. Name the files "
                f"themselves."
            )
        return inside
    if word.lower().endswith((".txt", *TABLE_SUFFIXES)) and _can_be_path(word):
        return [word]
    if os.path.exists(word):
        raise DataError(
            f"{word} is a file whose content is not known; expected texts in .txt, or a table that "
            f"ends in {', '.join(TABLE_SUFFIXES)}. Save it as one of these."
        )
    if not is_text:
        raise DataError(
            f"{word} does not exist; expected a text file. Check the path, or give the text itself "
            f"as a str."
        )
    return [word]


def _words_or_files(given: Sequence[Any]) -> list[str]:
    """Return each text or file of texts; a path stays one: only a str can be a text itself."""
    return [word for one in given for word in _text_files(str(one), isinstance(one, str))]


def _files(given: Sequence[Any]) -> list[str]:
    return [str(one) for one in given]


def _can_be_path(word: str) -> bool:
    """Return whether the system takes a word for a path, of something that may be missing."""
    try:
        os.stat(word)
    except ValueError:  # a NUL, or half a surrogate pair
        return False
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    return True


def _all_texts(
    run: Run, given: Sequence[str], encoding: str | None
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the texts of files and words, in the order given, and what to call each of them."""
    from headstart.data.sources.folder import TABLE_SUFFIXES
    from headstart.preprocessing.incoming import text_column

    texts: list[str] = []
    names: list[str] = []
    num_words = 0
    for word in given:
        is_path = _can_be_path(word)
        if is_path and word.lower().endswith(TABLE_SUFFIXES):
            table = _table(run, word, encoding)
            texts += text_column(table, next(iter(run.model.encoder.preprocess.columns), None))
            names += _row_names(word, table)
        elif is_path and word.lower().endswith(".txt"):
            texts.append(_text(word, encoding))
            names.append(word)
        else:
            num_words += 1
            texts.append(word)
            names.append(f"text {num_words}")
    yield texts, names


def _all_rows(
    run: Run, given: Sequence[str], encoding: str | None
) -> Iterator[tuple[Any, list[str]]]:
    """Yield the rows of each table, and what to call each of them."""
    import pyarrow as pa

    from headstart.data.sources.folder import TABLE_SUFFIXES

    for word in given:
        if not word.lower().endswith(TABLE_SUFFIXES):
            raise DataError(
                f"'{word}' is no table; expected a file with the columns of the training data, "
                f"whose name ends in {', '.join(TABLE_SUFFIXES)}. Give such a file."
            )
        table = _table(run, word, encoding)
        rows = pa.table({column: table.values(column) for column in table.columns})
        yield rows, _row_names(word, table)


def _text(word: str, encoding: str | None) -> str:
    """Return the content of a .txt file."""
    from headstart.data.sources.text_source import read_text_bytes

    try:
        return read_text_bytes(Path(word), word, encoding).decode()
    except FileNotFoundError:
        raise DataError(
            f"{word} does not exist; expected a text file. Check the path, or give the text itself."
        ) from None
    except OSError as error:
        raise DataError(
            f"{word} cannot be read ({error.strerror or error}); expected a text file. Check that "
            f"it is one and that this user may read it."
        ) from error


def _table(run: Run, word: str, encoding: str | None) -> Table:
    """Return a table file, read as the training data was."""
    from headstart.data.options import ReadOptions
    from headstart.data.sources.folder import TABLE_SUFFIXES
    from headstart.data.sources.formats import open_table

    if not os.path.isfile(word):
        raise DataError(
            f"{word} does not exist; expected a table that ends in {', '.join(TABLE_SUFFIXES)}. "
            f"Check the path."
        )
    source = run.data.get("source") or {}
    header = tuple(source["header"]) if source.get("header") else None
    table = open_table(Path(word), word, ReadOptions(header=header, encoding=encoding))
    if table.num_rows == 0:
        raise DataError(f"{word} has a header and no rows; expected one row a sample. Add them.")
    return table


def _row_names(word: str, table: Table) -> list[str]:
    return [f"{word} row {i + 1}" for i in range(table.num_rows)]


@dataclass(frozen=True)
class _Reader:
    """How what is given becomes samples, of one modality.

    Attributes:
        listed: What is given, one by one.
        read: Yields samples with their names.
        is_decoded: Whether the files of samples are bytes that stand for characters.
        leaves_out: Whether of several samples those that cannot be read are left out.
    """

    listed: Callable[[Sequence[Any]], list[str]]
    read: Callable[[Run, Sequence[str], str | None], Iterator[tuple[Any, list[str]]]]
    is_decoded: bool = True
    leaves_out: bool = False


_READERS: dict[Modality, _Reader] = {
    "image": _Reader(_files, _all_images, is_decoded=False, leaves_out=True),
    "text": _Reader(_words_or_files, _all_texts),
    "table": _Reader(_files, _all_rows),
}
