"""What is to be told of a sample: each task one file and one row of ``TASKS``. No torch.

A new task is a frozen ``Task`` in a file of its own, a row here, and a row of the same name in
``objectives.supervised.LOSSES``; everything else asks these two.
"""

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.tasks.classification import CLASSIFICATION
from headstart.tasks.multi_label import MULTI_LABEL
from headstart.tasks.reading import (
    TargetColumn,
    Targets,
    encode_targets,
    order_classes,
    tidy_labels,
)
from headstart.tasks.regression import REGRESSION
from headstart.tasks.task import PlainProblem, Task, array_of
from headstart.tasks.words import Pairing, TaskWords

TASKS: dict[str, Task] = {
    "classification": CLASSIFICATION,
    "multi-label": MULTI_LABEL,
    "regression": REGRESSION,
}


def find_task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        OptionError: There is none; naming the nearest.

    Example:
        >>> find_task("regression").headline
        'rmse'
    """
    task = TASKS.get(name) if isinstance(name, str) else None  # a damaged record holds anything
    if task is None:
        raise OptionError(
            f"Unknown task '{name}'.{did_you_mean(str(name), TASKS)} Expected one of "
            f"{quoted(list(TASKS))}."
        )
    return task


__all__ = [
    "CLASSIFICATION",
    "MULTI_LABEL",
    "REGRESSION",
    "TASKS",
    "Pairing",
    "PlainProblem",
    "TargetColumn",
    "Targets",
    "Task",
    "TaskWords",
    "array_of",
    "encode_targets",
    "find_task",
    "order_classes",
    "tidy_labels",
]
