"""Tables in formats of spreadsheets and of statistics programs, through the extra ``formats``.

Value labels of SPSS, Stata and SAS are what a person sees in place of the numbers, and so they are
the classes and categories; nominal attributes of ARFF are words already. Left out: several sheets
(the first is read, the others are named), user-defined missing values as categories.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.cells import is_missing
from headstart.data.sources.listed import ListTable, from_rows
from headstart.errors import DataError, PackageMissing, first_line, quoted
from headstart.extras import install_command
from headstart.preprocessing.memory import refuse_duplicates

SHEETS = (".xlsx", ".xlsm")
STATISTICS = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".dta": "read_dta",
    ".xpt": "read_xport",
    ".sas7bdat": "read_sas7bdat",
}


_PACKAGES = {
    **dict.fromkeys(SHEETS, "openpyxl"),
    **dict.fromkeys(STATISTICS, "pyreadstat"),
    ".arff": "arff",
}


def _package(name: str, where: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing(name, where) from None


def _missing(name: str, where: str) -> PackageMissing:
    package = {"arff": "liac-arff"}.get(name, name)
    return PackageMissing(
        f"{where} is read through the package {package}, which is not installed. Install it: "
        f"{install_command('headstart[formats]')}; or save the table as CSV."
    )


def require_sheet(path: Path) -> None:
    """Refuse a spreadsheet or a file of statistics whose package is not installed; read nothing.

    Raises:
        PackageMissing: If so.
    """
    name = _PACKAGES.get(path.suffix.lower())
    if name is not None and find_spec(name) is None:
        raise _missing(name, str(path))


def read_sheet(path: Path, where: str, header: Sequence[str] | None = None) -> ListTable:
    """Return the first sheet of an Excel workbook that holds anything, its first row the header.

    Args:
        path: The workbook.
        where: What to call it in messages.
        header: Names of the columns of a sheet without a header row.

    Raises:
        DataError: openpyxl is missing, the file is damaged or encrypted, all sheets are empty, or
            there are more or fewer columns than names.
    """
    openpyxl = _package("openpyxl", where)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # BadZipFile, KeyError, InvalidFileException: as the damage is
        raise DataError(
            f"{where} cannot be read as an Excel workbook: {first_line(error).rstrip('.')}. "
            "Save it again as .xlsx without a password, or as CSV."
        ) from error
    try:
        for sheet in book.worksheets:
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            rows = [row for row in rows if not all(map(is_missing, row))]
            if rows:
                return _with_header(rows, where, path.parent, header)
    finally:
        book.close()
    raise DataError(f"{where} has no sheet with cells in it. Expected a table with a header.")


def _with_header(
    rows: list[list[Any]], where: str, root: Path, said: Sequence[str] | None
) -> ListTable:
    width = max(i + 1 for row in rows for i, cell in enumerate(row) if not is_missing(cell))
    if said is not None:
        if len(said) != width:
            raise DataError(
                f"{where} has {width:,} columns, and --header names {len(said):,} "
                f"({quoted(said)}). Name each of them, or leave it out where the first row does."
            )
        rows = [list(said), *rows]
    header = [*rows[0], *[None] * width][:width]
    names = [
        str(n).strip() if not is_missing(n) else f"column {i + 1}" for i, n in enumerate(header)
    ]
    refuse_duplicates(names, where)
    made = [name for name, cell in zip(names, header, strict=True) if is_missing(cell)]
    body = [[*row, *[None] * width][:width] for row in rows[1:]]
    columns = {name: [row[i] for row in body] for i, name in enumerate(names)}
    for name in made:
        if all(map(is_missing, columns[name])):
            del columns[name]
    return ListTable(columns, where, root)


def read_statistics(path: Path, where: str) -> ListTable:
    """Return a table of SPSS, Stata or SAS; numbers with value labels are these labels.

    Raises:
        DataError: pyreadstat is missing, or the file is damaged.
    """
    pyreadstat = _package("pyreadstat", where)
    read = getattr(pyreadstat, STATISTICS[path.suffix.lower()])
    try:
        columns, about = read(str(path), output_format="dict")
    except Exception as error:  # ReadstatError, UnicodeDecodeError: as the damage is
        raise DataError(
            f"{where} cannot be read ({first_line(error)}). Save it again in the program it comes "
            "from, or as CSV."
        ) from error
    labels: Mapping[str, Mapping[Any, str]] = about.variable_value_labels or {}
    table = {
        str(name): _labelled([_plain(v) for v in values], labels.get(name) or {})
        for name, values in columns.items()
    }
    return ListTable(table, where, path.parent)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if is_missing(value) else value


def _labelled(values: list[Any], labels: Mapping[Any, str]) -> list[Any]:
    """Return values under their labels, where each value that occurs has one."""
    present = [value for value in values if value is not None]
    if not labels or any(value not in labels for value in present):
        return values  # a scale of which the ends alone are named
    return [None if value is None else str(labels[value]) for value in values]


def read_arff(path: Path, where: str) -> ListTable:
    """Return the data of an ARFF file; ``class``, or the last nominal attribute, is the target.

    Raises:
        DataError: liac-arff is missing, or the file is damaged.
    """
    arff = _package("arff", where)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
        is_sparse = any(line.startswith("{") for line in text.splitlines())
        found = arff.loads(text, return_type=arff.LOD if is_sparse else arff.DENSE)
    except (arff.ArffException, ValueError, OSError) as error:
        raise DataError(
            f"{where} cannot be read as ARFF: {first_line(error).rstrip('.')}. Expected "
            "attributes, then @DATA and a line a row, in UTF-8; correct the file."
        ) from error
    names = [str(name) for name, _ in found["attributes"]]
    nominal = [str(name) for name, kind in found["attributes"] if isinstance(kind, list)]
    target = next((n for n in names if n.lower() in ("class", "label")), None)
    target = target or (nominal[-1] if nominal else names[-1] if names else None)
    if is_sparse:
        kinds = dict(found["attributes"])
        zero = {n: kinds[n][0] if isinstance(kinds[n], list) else 0.0 for n in names}
        rows = [{n: row.get(i, zero[n]) for i, n in enumerate(names)} for row in found["data"]]
        return from_rows(rows, where, path.parent, target=target)
    columns = {name: [row[i] for row in found["data"]] for i, name in enumerate(names)}
    return ListTable(columns, where, path.parent, target=target)
