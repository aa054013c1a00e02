"""``--num-processes N``: this very command, started N times by PyTorch's own launcher.

The processes find in the environment what torchrun would have put there, and do what
``processes.py`` says; this one waits for them, hands Ctrl-C on, and ends with the main one's exit
code. It is for one machine and one attempt. Left out: several machines and restarts, which are
torchrun's (docs/distributed.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from headstart.errors import OptionError
from headstart.events import command_words, seconds_since_command_began

_FLAG = "--num-processes"


def is_worker() -> bool:
    """Return whether a launcher has started this process as one of several, not as the main one.

    Such a process shows nothing: the main one does.
    """
    return variable("WORLD_SIZE", 1) > 1 and variable("RANK", 0) > 0


def num_processes() -> int:
    """Return how many processes a launcher has started together with this one; 1 for none."""
    return max(1, variable("WORLD_SIZE", 1))


def variable(name: str, default: int) -> int:
    """Return what a launcher says in the environment; the default where it says no number."""
    said = os.environ.get(name, "")
    return int(said) if said.isdigit() else default


def launch_if_asked(verb: str, num: int) -> None:
    """Start the processes of a command that asks for several; return where it asks for one.

    Args:
        verb: The verb.
        num: How many processes.

    Raises:
        OptionError: If the number is not positive, a launcher has started this process already, or
            a program asks, whose data only it has.
        SystemExit: When they have ended, with the main one's exit code, which has told why.
    """
    if not isinstance(num, int) or num < 1:
        raise OptionError(
            f"num_processes is {num!r}; expected a whole number from 1 on. 1 is this process alone."
        )
    if num == 1:
        return
    launched = os.environ.get("WORLD_SIZE")
    if launched is not None:
        raise OptionError(
            f"num_processes is {num} and a launcher has started this process as one of {launched}; "
            f"expected one of both. Leave {_FLAG} out."
        )
    words = command_words()
    if not words:
        raise OptionError(
            f"num_processes is {num} in a call from Python; expected a command, which can be "
            f"started {num} times. Type: headstart {verb} DATA … {_FLAG} {num}; or start the "
            f"program with torchrun --standalone --nproc-per-node {num} PROGRAM.py, without "
            f"num_processes."
        )
    from headstart.training.processes.launcher import run_together

    spent = seconds_since_command_began() or 0.0
    raise SystemExit(run_together(num, without_flag(words), spent_seconds=spent))


def without_flag(words: Sequence[str]) -> list[str]:
    """Return the words of a command without ``--num-processes N``.

    Args:
        words: What was typed after ``headstart``; what follows ``--`` are no options.
    """
    end = words.index("--") if "--" in words else len(words)
    kept, is_value = list[str](), False
    for word in words[:end]:
        if is_value or word == _FLAG:
            is_value = word == _FLAG
        elif not word.startswith(f"{_FLAG}="):
            kept.append(word)
    return [*kept, *words[end:]]
