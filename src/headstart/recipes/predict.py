"""Predict new samples with a finished run: images, texts, or the rows of a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import DataError, OptionError, quoted
from headstart.reporting.console import attached
from headstart.run import Run
from headstart.types import Prediction

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def predict(run: str, files: Sequence[str], *, encoding: str | None = None) -> list[Prediction]:
    """Predict new samples with a finished run.

    Args:
        run: A run folder.
        files: Images: files, or folders of image files. Texts: the texts themselves, or .txt files.
            Texts and tables: CSV, TSV, Parquet or JSONL files with the columns of the training
            data.
        encoding: How bytes of text files stand for characters, for example gb18030; that of the
            training data when not given. For CSV, TSV, JSONL and .txt files.

    Returns:
        One prediction a sample: the class with its calibrated probability and those of all
        classes, or the value.

    Raises:
        OptionError: If the encoding is unknown, or nothing given is a file of text.
        RunFolderError: If the run folder holds no model.
        DataError: If a file does not exist, or is not what the model reads.

    Example:
        >>> import headstart as hs
        >>> hs.predict("runs/digits", ["seven.png"])[0].label  # doctest: +SKIP
        '7'
    """
    from headstart.data.folder import TABLE_SUFFIXES
    from headstart.data.options import ReadOptions, option_problems

    if problems := option_problems(ReadOptions(encoding=encoding)):
        raise OptionError(" ".join(problems))
    opened = run if isinstance(run, Run) else Run(run)
    several = [files] if isinstance(files, str | Path) else files
    given = [str(file) for file in several]
    modality = opened.model.schema.modality
    if encoding is not None:
        _refuse_encoding(encoding, modality, given)
    source = opened.data.get("source") or {}  # how the training data was read
    encoding = encoding or source.get("encoding")
    with attached():
        if modality == "image":
            return opened.predict([path for file in given for path in _images(Path(file))])
        found: list[Prediction] = []
        texts: list[str] = []
        for word in given:
            if word.lower().endswith(TABLE_SUFFIXES):
                found += opened.predict(_rows(opened, Path(word), encoding))
            elif modality == "table":
                raise DataError(
                    f"'{word}' is no table; expected a file with the columns of the training data, "
                    f"whose name ends in {', '.join(TABLE_SUFFIXES)}. Give such a file."
                )
            else:
                texts.append(_text(word, encoding))
        return found + (opened.predict(texts) if texts else [])


def _refuse_encoding(encoding: str, modality: str, given: Sequence[str]) -> None:
    """Refuse an encoding where no bytes are read as characters."""
    from headstart.data.folder import TABLE_SUFFIXES

    decoded = (*(ending for ending in TABLE_SUFFIXES if ending != ".parquet"), ".txt")
    if modality == "image":
        why = "the model reads images"
    elif any(word.lower().endswith(decoded) for word in given):
        return
    else:
        why = f"nothing given is a file that ends in {', '.join(decoded)}"
    raise OptionError(f"--encoding {encoding} cannot be used: {why}. Leave it out.")


def _images(path: Path) -> list[Path]:
    """Return the image files that a path stands for."""
    if path.is_dir():
        inside = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(path)
            for name in names
            if name.lower().endswith(_ENDINGS)
        )
        if not inside:
            raise DataError(
                f"{path} holds no image files; expected some that end in {', '.join(_ENDINGS)}. "
                f"Name the files themselves."
            )
        return inside
    if not path.is_file():
        raise DataError(
            f"{path} does not exist; expected an image file or a folder of them. Check the path."
        )
    return [path]


def _text(word: str, encoding: str | None) -> str:
    """Return a text: the content of a .txt file, or the word itself."""
    from headstart.data.delimited import read_text_bytes

    if not word.lower().endswith(".txt"):
        return word
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


def _rows(run: Run, path: Path, encoding: str | None) -> object:
    """Return the rows of a table file, or its texts where the run reads texts."""
    import pyarrow as pa

    from headstart.data.columns import read_table
    from headstart.data.folder import TABLE_SUFFIXES
    from headstart.data.options import ReadOptions

    if not path.is_file():
        raise DataError(
            f"{path} does not exist; expected a table that ends in {', '.join(TABLE_SUFFIXES)}. "
            f"Check the path."
        )
    source = run.data.get("source") or {}
    header = tuple(source["header"]) if source.get("header") else None
    options = ReadOptions(header=header, encoding=encoding)
    table = read_table(path, path.name, options)
    if table.num_rows == 0:
        raise DataError(f"{path} has a header and no rows; expected one row a sample. Add them.")
    if run.model.schema.modality == "table":
        return pa.table({column: table.values(column) for column in table.columns})
    trained = run.model.schema.input_column or "text"
    column = trained if trained in table.columns else "text"
    if column not in table.columns:
        raise DataError(
            f"Column '{trained}' is missing in {path} (found: {quoted(table.columns)}); expected "
            f"the texts there, as in the training data, or in a column 'text'. Rename the column."
        )
    # a missing text is an empty one, which is refused by its number, and not the word "None"
    return ["" if value is None else str(value) for value in table.values(column)]
