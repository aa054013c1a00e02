"""Load labelled data, whatever form it has, into one ``Dataset``.

The way: find the reader → records → read every sample once (hash, header) → leave out what cannot
be used → split → fingerprint. A truncated image is found only when it is decoded, later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cells import plain
from headstart.data.options import (
    COLUMN_OPTIONS,
    GroupValues,
    ReadOptions,
    SplitWay,
    TaskOption,
    name_of,
    names_of,
    option_problems,
    refuse_values,
)
from headstart.errors import OptionError
from headstart.types import Dataset, Finding, Schema

if TYPE_CHECKING:
    from headstart.data.records import Records
    from headstart.preprocessing import Preprocess


def load(
    source: object,
    *,
    label: str | None = None,
    image_column: str | None = None,
    text: str | None = None,
    task: TaskOption = "auto",
    separator: str | None = None,
    numeric: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    date: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    beside: Sequence[str] | None = None,
    header: Sequence[str] | None = None,
    encoding: str | None = None,
    languages: str | None = None,
    group: str | GroupValues | None = None,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    split: SplitWay = "random",
    max_bad_fraction: float = 0.01,
    seed: int = 0,
    fixes: str | Path | None = None,
    preprocess: Preprocess | None = None,
    schema: Schema | None = None,
    refused: list[Finding] | None = None,
) -> Dataset:
    """Load labelled images, texts or table rows and split them into train, val and test.

    What the data is, and what to learn, is found out and said in the notes; the options below
    decide it. The data's own splits are kept. Otherwise test is drawn first and val from what is
    left, both stratified. Samples that cannot be used are left out and listed.

    Args:
        source: A folder with a folder per class (of images or .txt files, with or without train,
            val and test above), a CSV, TSV, Parquet, JSONL or JSON file, the export of an
            annotation tool, an archive, a sheet or one of the other forms that docs/data.md names,
            a folder of such files named train, val and test, a name such as ``digits`` or
            ``mnist``, ``hf/NAME`` for a data set on the Hugging Face hub, a pandas DataFrame, a
            pyarrow Table, or ``(X, y)``: arrays or tensors of images or numbers, or texts.
        label: Column with the targets, or several with commas between, for example
            ``price,sold:classification``; ``label`` when not given.
        image_column: Column with image paths or bytes; found by itself when only one fits.
        text: Column with texts; found by itself when only one fits. Two with a comma between are
            pairs of texts, for example ``premise,hypothesis``; found by itself by usual names.
        task: What to learn: one class, several labels, a number, entities (token-classification) or
            tags (tagging) of words, a text for a text (seq2seq), texts or answers to prompts
            (text-generation), answers that stand in a text, or captions of images (retrieval);
            decided by the columns when ``auto``.
        separator: What stands between the labels of one cell, for example ``;``.
        numeric: Columns of a table to read as numbers.
        categorical: Columns of a table to read as categories.
        date: Columns of a table to read as dates. Where no value shows whether the day or the month
            stands first, it is the day, unless only the first of the two numbers changes.
        drop: Columns that are not used.
        beside: Columns of a table that are learned from together with the text or image of their
            row; ``all`` takes every one that can be. A column of the name ``all`` comes first.
        header: Names of the columns of a file without a header row.
        encoding: Encoding of text files that are not UTF-8, for example ``gb18030``.
        languages: Of columns or files named by languages the one that is read and the one that is
            to be written, for example ``en,de``.
        group: What belongs together and stays on one side of the split, figures then counting
            groups: a column, for example ``patient``; of images and text files also ``folder`` (the
            folders inside the class folders), or a pattern with one pair of parentheses that is
            looked for in each path, for example ``animal([0-9]+)_``; from Python also values: one a
            sample (an array, Series or list), or a dict of each path with its group.
        val_fraction: Share of train that becomes val when the data brings none, between 0 and 1.
        test_fraction: Share that becomes test when the data brings none, between 0 and 1.
        split: How splits that the data does not bring are drawn: at random, or by time, the latest
            rows as test, where a table has a column of dates.
        max_bad_fraction: Share of unusable samples above which loading stops, 0 to 1.
        seed: Seed of the split.
        fixes: List of what to leave out and what to put on which side of the split, as
            ``headstart check DATA --fix LIST.csv`` writes it.
        preprocess: How a model reads samples (``run.preprocess``): the columns that it was trained
            on are read as they were then, whatever these rows alone would make of them.
        schema: What a model was trained to tell (``run.schema``), to evaluate it: its task is
            taken, and its column of labels where there is one of this name; all samples are test,
            unless the data brings a test or val split.
        refused: A list that takes what forbids learning from the data, which is then not raised
            (too many unusable samples, a class alone, too small, or unknown to train, a group on
            two sides): for whom looks at the data alone. Where no split can be drawn, all is train.

    Returns:
        The data set; a ``Preprocess`` turns its samples into arrays later.

    Raises:
        DataError: The source does not exist, cannot be read, or cannot be learned from.
        OptionError: An option is out of range or does not apply to this kind of source.

    Example:
        >>> data = load("digits-8x8")
        >>> len(data.schema.classes), len(data.train) + len(data.val) + len(data.test)
        (10, 1797)
    """
    from headstart.data.assembly import Assembly, assemble
    from headstart.data.fix_lists import named_fixes
    from headstart.data.groups import aligned, plain_groups, with_groups
    from headstart.data.reading import read_source
    from headstart.data.times import check_way

    began = time.monotonic()
    val_fraction, test_fraction, seed = plain(val_fraction), plain(test_fraction), plain(seed)
    refuse_values(label=label, image_column=image_column, text=text)
    group = aligned(group, source)
    options = ReadOptions(
        label=name_of(label),
        image_column=name_of(image_column),
        text=name_of(text),
        group=name_of(group) if isinstance(group, (str, int)) else None,
        task=task,
        separator=separator,
        numeric=names_of(numeric),
        categorical=names_of(categorical),
        date=names_of(date),
        drop=names_of(drop),
        beside=names_of(beside),
        header=names_of(header) or None,
        encoding=encoding,
        languages=languages,
        preprocess=preprocess,
        schema=schema,
    )
    _check_options(options, val_fraction, test_fraction, max_bad_fraction, seed)
    _raise(check_way(split, for_test=schema is not None))
    listed = named_fixes(fixes)
    records, address = read_source(source, options)
    records = with_groups(records, group)
    _check_learnable(records, is_learned=schema is None and refused is None)
    dataset = assemble(
        records,
        val_fraction,
        test_fraction,
        max_bad_fraction,
        seed,
        Assembly(schema is not None, split, options.date, listed, refused),
    )
    again: dict[str, object] = {
        "source": address,
        "label": label,
        "image_column": image_column,
        "group": plain_groups(group),
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "max_bad_fraction": max_bad_fraction,
        "seed": seed,
        **_said(options),
        **({"split": split} if split != "random" else {}),
        **({} if listed is None else {"fixes": listed.path}),
    }
    return replace(
        dataset,
        source=None if address is None else again,
        load_seconds=time.monotonic() - began,
    )


def _said(options: ReadOptions) -> dict[str, object]:
    """Return the further options that were said, JSON-able; runs of images name none of them."""
    said: dict[str, object] = {}
    for name in ("text", "separator", "encoding", "languages"):
        if getattr(options, name):
            said[name] = getattr(options, name)
    for name in (*COLUMN_OPTIONS, "header"):
        if getattr(options, name):
            said[name] = list(getattr(options, name))
    if options.said_task is not None:
        said["task"] = options.said_task
    return said


def _check_learnable(records: Records, *, is_learned: bool) -> None:
    """Refuse what has no two classes before any of its files is found bad.

    Raises:
        DataError: If so.
    """
    if is_learned and len(records.targets):
        records.asks.check_learnable(records.name, records.targets, records.classes)


def _check_options(
    options: ReadOptions,
    val_fraction: float,
    test_fraction: float,
    max_bad_fraction: float,
    seed: int,
) -> None:
    problems = [
        f"{name} is {value!r}; expected a number between 0 and 1, both excluded."
        for name, value in (("val_fraction", val_fraction), ("test_fraction", test_fraction))
        if not (_is_real(value) and 0 < value < 1)
    ]
    if not (_is_real(max_bad_fraction) and 0 <= max_bad_fraction <= 1):
        problems.append(f"max_bad_fraction is {max_bad_fraction!r}; expected a share from 0 to 1.")
    if not (_is_real(seed) and isinstance(seed, Integral) and seed >= 0):
        problems.append(f"seed is {seed!r}; expected a whole number, 0 or more.")
    _raise(problems + option_problems(options))


def _is_real(value: object) -> bool:
    """Return whether a value is a number; yes and no are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _raise(problems: Sequence[str]) -> None:
    """Refuse options of which something is wrong."""
    if problems:
        raise OptionError(" ".join(problems))
