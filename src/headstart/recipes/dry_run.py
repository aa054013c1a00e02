"""A verb that only shows its plan: what it refuses, and what comes next."""

from __future__ import annotations

import shlex

from headstart.errors import OptionError
from headstart.events import command_words, emit
from headstart.recipes.options import RunOptions


def refuse_resume(options: RunOptions) -> None:
    """Refuse to plan what is half done: what is left of its budget only the run itself knows.

    Raises:
        OptionError: If ``resume`` is said beside ``dry_run``.
    """
    if options.dry_run and options.resume:
        raise OptionError(
            "resume and dry_run are both set; expected one of them. Leave --resume out to see the "
            "plan of a new run, or --dry-run to go on with the former one."
        )


def say_real_run() -> None:
    """Name the command that does what was planned, where a command was typed."""
    words = [word for word in command_words() if word != "--dry-run"]
    if words:
        emit("next", command=shlex.join(["headstart", *words]))
