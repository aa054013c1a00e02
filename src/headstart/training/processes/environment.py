"""What a launcher such as torchrun has told this process in the environment."""

from __future__ import annotations

import os

from headstart.errors import OptionError


def read_number(name: str) -> int:
    """Return a variable that holds a whole number.

    Raises:
        OptionError: If it holds none.
    """
    said = os.environ.get(name, "")
    if not said.isdigit():
        raise OptionError(
            f"{name} is '{said}'; expected a whole number from 0 on. Start with torchrun, which "
            f"sets it."
        )
    return int(said)


def num_local_processes(num: int) -> int:
    """Return how many of the processes run on this machine.

    Args:
        num: How many there are; all of them where the launcher does not say.
    """
    return max(1, read_number("LOCAL_WORLD_SIZE")) if os.environ.get("LOCAL_WORLD_SIZE") else num
