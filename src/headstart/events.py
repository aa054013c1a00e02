"""What happens while a verb works, as plain events that anyone may listen to.

Rooms call ``emit``; the console, the log file and tests ``listen``. An event is a kind and flat
JSON-able fields, so that the log is the same thing the terminal shows. There is no global logger
and no print below the floor of the command line.

Kinds: ``stage`` (text), ``note`` (text; of a finding also about, severity, items), ``choice``
(name, value, why), ``task`` (name, done, total, and fields such as loss, samples_per_second),
``arm`` (arm: what trains from here on), ``phase`` (learns: where layers begin to learn on the way),
``check`` (step, epoch, val figures), ``table`` (title, columns, rows), ``spent`` (stage, seconds,
at, by: the budget spent and planned when a stage has ended), ``written`` (text: the next piece of
an answer, ends: whether it is the last), ``next`` (command).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

Listener = Callable[[str, dict[str, object]], None]
P = ParamSpec("P")
R = TypeVar("R")

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("headstart_listeners", default=())
_had: WeakKeyDictionary[Listener, set[str]] = WeakKeyDictionary()  # of notes that are said once


def emit(kind: str, **fields: object) -> None:
    """Tell every listener that something happened."""
    for listener in _listeners.get():
        listener(kind, fields)


def note_once(text: str, cause: str | None = None) -> None:
    """Emit a note to the listeners that have not had the same: what a cause repeats is said once.

    Args:
        text: What to tell.
        cause: What of one cause is the same, however it is told; None where the text is.
    """
    for listener in _listeners.get():
        if (cause or text) not in (had := _had.setdefault(listener, set())):
            had.add(cause or text)
            listener("note", {"text": text})


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Call ``listener(kind, fields)`` for every event emitted inside the block."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def unheard() -> Iterator[None]:
    """Emit nothing inside the block: for work whose steps would drown what a person follows."""
    token = _listeners.set(())
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def retold(tell: Listener) -> Iterator[None]:
    """Hand every event of the block to ``tell`` alone; what it emits goes to those who listened.

    Args:
        tell: Says what a person follows in place of the steps of the work.
    """
    outer = _listeners.get()

    def hear(kind: str, fields: dict[str, object]) -> None:
        token = _listeners.set(outer)
        try:
            tell(kind, fields)
        finally:
            _listeners.reset(token)

    token = _listeners.set((hear,))
    try:
        yield
    finally:
        _listeners.reset(token)


_quiet: ContextVar[bool] = ContextVar("headstart_quiet", default=False)


@contextmanager
def quietly(is_asked: bool = True) -> Iterator[None]:
    """Attach no console inside the block; whoever listens hears everything all the same.

    Args:
        is_asked: Whether that is wanted; otherwise what held before goes on.
    """
    token = _quiet.set(is_asked or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def hushes(function: Callable[P, R]) -> Callable[P, R]:
    """Let the option ``quiet`` of a verb hold while it works; ``takes`` does so by itself.

    Args:
        function: A public function that states ``quiet``.
    """

    @wraps(function)
    def verb(*args: P.args, **kwargs: P.kwargs) -> R:
        with quietly(bool(kwargs.get("quiet", False))):
            return function(*args, **kwargs)

    return verb


def is_quiet() -> bool:
    """Return whether a verb was asked to show nothing but its result."""
    return _quiet.get() or os.environ.get("HEADSTART_QUIET") == "1"


BEGAN = "HEADSTART_BEGAN"  # the variable that says when a command began that starts others
_began: ContextVar[float | None] = ContextVar("headstart_began", default=None)
_words: ContextVar[tuple[str, ...]] = ContextVar("headstart_words", default=())


@contextmanager
def command_began(at: float, words: Sequence[str] = ()) -> Iterator[None]:
    """Say when the command of this block began (``time.monotonic()``): budgets count from there.

    Args:
        at: When it was.
        words: What was typed after ``headstart``.
    """
    if os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
        with suppress(ValueError):  # the command that has started this one
            at = min(at, float(os.environ.get(BEGAN, "")))
    began, typed = _began.set(at), _words.set(tuple(words))
    try:
        yield
    finally:
        _began.reset(began)
        _words.reset(typed)


def seconds_since_command_began() -> float | None:
    """Return the seconds since the running command began, or None when called from a program."""
    began = _began.get()
    return None if began is None else time.monotonic() - began


def command_words() -> tuple[str, ...]:
    """Return what was typed after ``headstart``; nothing when called from a program."""
    return _words.get()


def is_heard() -> bool:
    """Return whether anyone listens, so that a verb called from a program may attach a console."""
    return bool(_listeners.get())
