"""How far screening is, while one start is tried."""

from __future__ import annotations

import time

from headstart.events import emit
from headstart.types import Start

_MOVE = "move"  # an event that says that time goes by
_MOST_SHARE = 0.99  # of a start's part of the bar, until it is done


class Moving:
    """The bar of screening while one start is tried: it moves with the time that start may take.

    Args:
        start: The start.
        place: How many were tried before it.
        total: How many are tried in all.
        allowance: Seconds that this one has.
    """

    def __init__(self, start: Start, place: int, total: int, allowance: float) -> None:
        self._start, self._place, self._total = start, place, total
        self._began, self._allowance, self._told = time.monotonic(), allowance, 0.0

    def __call__(self, kind: str, fields: dict[str, object]) -> None:
        """Hand an event on, and move the bar by a hundredth of the start at the least."""
        if kind != _MOVE:
            emit(kind, **fields)
        share = min((time.monotonic() - self._began) / self._allowance, _MOST_SHARE)
        if share - self._told >= 0.01:
            self._told, done = share, round(self._place + share, 2)
            emit("task", name="screening", done=done, total=self._total, start=self._start.address)


def only_moves(kind: str, fields: dict[str, object]) -> None:
    """Tell only that a training goes on: its steps would drown what a person follows."""
    emit(_MOVE)
