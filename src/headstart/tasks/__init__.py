"""What is to be told of a sample: each task one file and one row of ``TASKS``. No torch.

A new task is a frozen ``Task`` in a file of its own, a row here, and a row of the same name in
``objectives.supervised.LOSSES``; everything else asks these two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.lazily import names_from
from headstart.types.placed import PlacedTable

if TYPE_CHECKING:
    from headstart.tasks.classification import CLASSIFICATION
    from headstart.tasks.multi_label import MULTI_LABEL
    from headstart.tasks.plain import PlainProblem, TextColumn, array_of
    from headstart.tasks.question_answering import QUESTION_ANSWERING
    from headstart.tasks.reading import (
        TargetColumn,
        Targets,
        encode_targets,
        order_classes,
        tidy_labels,
    )
    from headstart.tasks.regression import REGRESSION
    from headstart.tasks.retrieval import RETRIEVAL
    from headstart.tasks.seq2seq import SEQ2SEQ
    from headstart.tasks.task import Task
    from headstart.tasks.text_generation import TEXT_GENERATION
    from headstart.tasks.token_classification import TAGGING, TOKEN_CLASSIFICATION
    from headstart.tasks.words import Pairing, TaskWords
    from headstart.types import Schema

TASKS: PlacedTable[Task] = PlacedTable(
    {
        "classification": ("headstart.tasks.classification", "CLASSIFICATION"),
        "multi-label": ("headstart.tasks.multi_label", "MULTI_LABEL"),
        "regression": ("headstart.tasks.regression", "REGRESSION"),
        "token-classification": ("headstart.tasks.token_classification", "TOKEN_CLASSIFICATION"),
        "tagging": ("headstart.tasks.token_classification", "TAGGING"),
        "seq2seq": ("headstart.tasks.seq2seq", "SEQ2SEQ"),
        "text-generation": ("headstart.tasks.text_generation", "TEXT_GENERATION"),
        "question-answering": ("headstart.tasks.question_answering", "QUESTION_ANSWERING"),
        "retrieval": ("headstart.tasks.retrieval", "RETRIEVAL"),
    }
)
_SEVERAL = "multi-task: "  # begins the names of tasks that are made of others
# What this room shows beside it, and where it stands: imported when first used.
_PLACES = {
    "CLASSIFICATION": "headstart.tasks.classification",
    "MULTI_LABEL": "headstart.tasks.multi_label",
    "TargetColumn": "headstart.tasks.reading",
    "Targets": "headstart.tasks.reading",
    "encode_targets": "headstart.tasks.reading",
    "order_classes": "headstart.tasks.reading",
    "tidy_labels": "headstart.tasks.reading",
    "QUESTION_ANSWERING": "headstart.tasks.question_answering",
    "REGRESSION": "headstart.tasks.regression",
    "RETRIEVAL": "headstart.tasks.retrieval",
    "SEQ2SEQ": "headstart.tasks.seq2seq",
    "TEXT_GENERATION": "headstart.tasks.text_generation",
    "TAGGING": "headstart.tasks.token_classification",
    "TOKEN_CLASSIFICATION": "headstart.tasks.token_classification",
    "PlainProblem": "headstart.tasks.plain",
    "Task": "headstart.tasks.task",
    "array_of": "headstart.tasks.plain",
    "TextColumn": "headstart.tasks.plain",
    "Pairing": "headstart.tasks.words",
    "TaskWords": "headstart.tasks.words",
}


__getattr__ = names_from(__name__, _PLACES)


def find_task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        OptionError: There is none; naming the nearest.

    Example:
        >>> find_task("regression").headline
        'rmse'
    """
    task = TASKS.get(name) if isinstance(name, str) else None  # a damaged record holds anything
    if task is None and isinstance(name, str) and name.startswith(_SEVERAL):
        from headstart.tasks.multi_task import named

        return named(name)
    if task is None:
        raise OptionError(
            f"Unknown task '{name}'.{did_you_mean(str(name), TASKS)} Expected one of "
            f"{quoted(list(TASKS))}."
        )
    return task


def called(key: str) -> str:
    """Return what a person calls a figure: ``R²`` for ``r2``, in val's name, too.

    Args:
        key: Of any task's figures, or ``val_`` and one; what is none keeps its words.

    Example:
        >>> called("val_r2"), called("val_loss"), called("seconds_left")
        ('val R²', 'val loss', 'seconds left')
    """
    known = {name: each.name for task in TASKS.values() for name, each in task.figures.items()}
    side, name = ("val ", key.removeprefix("val_")) if key.startswith("val_") else ("", key)
    return f"{side}{known.get(name, name.replace('_', ' '))}"


def argument_of(schema: Schema) -> str:
    """Return what ``headstart predict`` is given after a run, as a person would write it.

    Example:
        >>> from headstart.types import Schema
        >>> argument_of(Schema("image", "retrieval", ()))
        'FILE… --texts captions.txt'
    """
    among = find_task(schema.task).chosen_among
    return f"{schema.argument} --{among[0]} {among[1]}" if among else schema.argument


__all__ = [
    "CLASSIFICATION",
    "MULTI_LABEL",
    "QUESTION_ANSWERING",
    "REGRESSION",
    "RETRIEVAL",
    "SEQ2SEQ",
    "TAGGING",
    "TASKS",
    "TEXT_GENERATION",
    "TOKEN_CLASSIFICATION",
    "Pairing",
    "PlainProblem",
    "TargetColumn",
    "Targets",
    "Task",
    "TaskWords",
    "TextColumn",
    "argument_of",
    "array_of",
    "called",
    "encode_targets",
    "find_task",
    "order_classes",
    "tidy_labels",
]
