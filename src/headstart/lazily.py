"""Names that a module shows and that stand in others: imported when first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def names_from(module: str, places: Mapping[str, str | tuple[str, str]]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module.

    Args:
        module: Its full name.
        places: For each name the module where it stands, and what it is called there if that is
            something else.

    Returns:
        From a name to what it names, which the module then has as its own; ``AttributeError`` for
        a name that is not there.
    """

    def find(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        place = places[name]
        home, called = (place, name) if isinstance(place, str) else place
        value: object = getattr(import_module(home), called)
        setattr(sys.modules[module], name, value)  # the next use costs nothing
        return value

    return find
