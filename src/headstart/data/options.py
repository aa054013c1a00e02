"""What a user says about the columns of the data: one record that every reader takes.

``load`` spells these options as keyword arguments; here they are checked, together, before any
file is opened.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.tasks import TASKS, find_task
from headstart.types import Column, Schema, TaskName

if TYPE_CHECKING:
    from headstart.preprocessing import Preprocess

DEFAULT_LABEL = "label"
MOST_NAMES = 20  # of columns in a list: more are values
ALL = "all"  # said of columns beside texts or images
FOLDER = "folder"  # said of groups: the folder inside a class folder
# One value a sample, or by the path of each: an array, a Series, a list, a dict.
GroupValues = Any
SplitWay = Literal["random", "time"]


def task_choices() -> tuple[str, ...]:
    """Return what may be said of the task, as the table of tasks now is."""
    return ("auto", *TASKS)


# What a command line may give for it is asked of the function.
TaskOption = Annotated[str, task_choices]
ENCODINGS = ("utf-8", "gb18030", "big5", "shift_jis", "euc-kr", "latin-1", "cp1252", "utf-16")


@dataclass(frozen=True)
class ReadOptions:
    """What the user said of the columns; None and empty mean: find out.

    Attributes:
        label: Target column.
        image_column: Column of images.
        text: Column of texts; or two of them with a comma between, which are pairs.
        group: Column whose equal values stay on one side of the split; or what tells it of a path.
        task: What to learn: the name of a task, or ``auto``.
        separator: What stands between the labels of one cell.
        numeric: Columns that hold numbers.
        categorical: Columns that hold categories.
        date: Columns that hold dates.
        drop: Columns that are not used.
        beside: Columns that are learned from together with the text or image of their row, or
            ``all`` that can be.
        header: Column names of a file without a header row.
        encoding: How a file's bytes stand for characters.
        languages: That which is read and that which is to be written of it, a comma between.
        preprocess: How a model reads samples: its columns are read as it was trained, the others
            are not used.
        schema: What a model was trained to tell: its task, and its column of labels where there is
            one of this name.
    """

    label: str | None = None
    image_column: str | None = None
    text: str | None = None
    group: str | None = None
    task: str = "auto"
    separator: str | None = None
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    header: tuple[str, ...] | None = None
    encoding: str | None = None
    languages: str | None = None
    preprocess: Preprocess | None = None
    schema: Schema | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a table that a model reads; none where there is no model of a table."""
        read = self.preprocess
        if read is None:
            return ()
        return () if read.rows is None else read.rows.spec.columns

    @property
    def is_joined(self) -> bool:
        """Whether columns of a row are learned from together with its text or image."""
        read = self.preprocess
        is_trained = read is not None and read.rows is not None and read.main is not read.rows
        return is_trained or bool(self.beside)

    def joined_among(self, columns: Collection[str]) -> tuple[str, ...]:
        """Return which columns are learned from beside a text or an image.

        Args:
            columns: Those that could be, in order.
        """
        if self.columns:
            return tuple(column.name for column in self.columns)
        if self.beside == (ALL,) and ALL not in columns:
            return tuple(columns)
        named = dict.fromkeys((*self.beside, *self.kept_columns))
        return tuple(column for column in named if column not in self.drop)

    @property
    def said_task(self) -> TaskName | None:
        """The task where it was said, otherwise None."""
        return None if self.task == "auto" else self.task

    @property
    def known_task(self) -> TaskName | None:
        """The task where it was said, or follows from separator or model; otherwise None."""
        if self.said_task is not None:
            return self.said_task
        if self.separator:
            from headstart.tasks import MULTI_LABEL

            return MULTI_LABEL.name
        return self.schema.task if self.schema else None

    @property
    def has_label_sets(self) -> bool:
        """Whether it is known that a sample has any number of classes."""
        known = self.known_task
        return known is not None and find_task(known).has_label_sets

    def target_among(self, columns: Collection[str]) -> str:
        """Return the target column: what was said, else the model's own if it is there."""
        trained = self.schema.label if self.schema else None
        is_there = trained in columns or DEFAULT_LABEL not in columns
        return self.label or (trained if is_there else None) or DEFAULT_LABEL

    def labels_among(self, columns: Collection[str]) -> tuple[str, ...]:
        """Return the target columns where several are said: ``topic,stars``; else none.

        Args:
            columns: Of the table: a name that holds a comma is looked for first.
        """
        of_model = self.schema.label if self.schema and self.schema.parts else None
        said = self.label or of_model
        if said is None or said in columns:
            return ()
        parts = tuple(part.strip() for part in said.split(","))
        return parts if len(parts) > 1 and all(parts) else ()

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns named as inputs of a table, by the user or by a model."""
        return (*self.numeric, *self.categorical, *self.date, *(c.name for c in self.columns))

    def trained_column(self, name: str) -> Column | None:
        """Return how a model reads a column; None where it does not, or the user says otherwise."""
        column = next((c for c in self.columns if c.name == name), None)
        said = [k for k in ("numeric", "categorical", "date") if name in getattr(self, k)]
        return None if column is None or said not in ([], [column.kind]) else column

    def refuse(self, why: str, *allowed: str) -> None:
        """Refuse the options that do not apply to a kind of source.

        Args:
            why: What the source is.
            allowed: Names of the options that do apply.

        Raises:
            OptionError: One of the others was said.
        """
        used = []
        for name in ("label", "image_column", "text", "group", "separator", *TABLE_OPTIONS):
            value = getattr(self, name)
            if value and name not in allowed:
                shown = value if isinstance(value, str) else " ".join(value)
                used.append(f"--{name.replace('_', '-')} {shown}")
        if used:
            raise OptionError(
                f"{' and '.join(used)} cannot be used: {why}. Leave it out, or give a table."
            )


COLUMN_OPTIONS = ("numeric", "categorical", "date", "drop", "beside")
ONE_ROLE = ("numeric", "categorical", "date", "drop")  # a column is at most one of these
TABLE_OPTIONS = (*COLUMN_OPTIONS, "header", "encoding")


def name_of(value: object) -> str | None:
    """Return the name of a column as text: frames may have numbers for names."""
    return None if value is None else str(value)


def names_of(value: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return column names as a tuple; one name may be given as it is."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(name) for name in value)


def refuse_values(**named: object) -> None:
    """Refuse the values of a column where its name is expected.

    Raises:
        OptionError: One of them is an array or a list.
    """
    for name, value in named.items():
        if value is not None and not isinstance(value, str) and hasattr(value, "__len__"):
            if name in ("label", "text") and isinstance(value, (list, tuple)) and _are_names(value):
                joined = ",".join(value)
                raise OptionError(
                    f"{name} is a {type(value).__name__} of {len(value)} names; expected them in "
                    f"one text. Write it as {name}='{joined}'."
                )
            raise OptionError(
                f"{name} is a {type(value).__name__} of {len(value):,} values; expected the name "
                f"of a column. Make it one: load(data.assign({name}=values), {name}='{name}')."
            )


def _are_names(values: Sequence[object]) -> bool:
    """Return whether values may be the names of several columns, and no column themselves."""
    are_words = all(isinstance(value, str) for value in values)
    return are_words and 0 < len({*values}) == len(values) < MOST_NAMES


def option_problems(options: ReadOptions) -> list[str]:
    """Return a sentence for each option that is out of range or contradicts another."""
    problems = []
    known = task_choices()
    if options.task not in known:
        problems.append(
            f"task is '{options.task}'; expected one of {quoted(known)}."
            f"{did_you_mean(str(options.task), known)}"
        )
    if options.separator == "":
        problems.append("separator is empty; expected what stands between labels, such as ';'.")
    elif options.separator and options.task in TASKS and not options.has_label_sets:
        problems.append(
            f"separator is '{options.separator}' but task is '{options.task}'; a separator is for "
            "--task multi-label. Leave one of them out."
        )
    said = options.known_task
    is_matched = not options.label
    if said is not None:
        is_matched = said in TASKS and find_task(said).matches_texts
    if options.image_column and options.text and not is_matched:
        problems.append(
            f"--image-column {options.image_column} and --text {options.text} contradict each "
            "other; expected one kind of input, or images with captions, which have no label. "
            "Leave one out."
        )
    problems += _list_problems(options)
    try:
        codecs.lookup(options.encoding or "utf-8")
    except LookupError:
        problems.append(
            f"encoding is '{options.encoding}', which is unknown; expected one such as "
            f"{quoted(ENCODINGS)}.{did_you_mean(str(options.encoding), ENCODINGS)}"
        )
    return problems


def _list_problems(options: ReadOptions) -> list[str]:
    problems = []
    roles = {"label": options.label, "group": options.group}
    roles |= {"text": options.text, "image_column": options.image_column}
    lists: dict[str, tuple[str, ...]] = {name: getattr(options, name) for name in ONE_ROLE}
    seen: dict[str, str] = {column: role for role, column in roles.items() if column}
    for name, columns in lists.items():
        for column in dict.fromkeys(columns):
            if column in seen:
                problems.append(
                    f"Column '{column}' is given as {seen[column]} and as {name}; expected one "
                    "role a column. Leave one out."
                )
            seen[column] = name
    repeated = [name for name in options.header or () if (options.header or ()).count(name) > 1]
    if repeated:
        problems.append(f"header names column '{repeated[0]}' twice. Give each column its own.")
    return problems
