"""What is said of an option beside its type and its default, and how a record of options is read.

A record of options is a frozen dataclass whose fields are ``Annotated`` with an ``Option``: the
annotation is the type, the default stands behind it, the sentence, the range and what the option
applies to are in the ``Option``. ``stated`` reads such a record; signatures, help, checks and
``options.json`` follow from it, so that an option is stated once. No torch.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields

from headstart.cells import plain
from headstart.types import Modality

Trait = typing.Literal["loops", "adapters", "counts_layers"]  # of a strategy


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is said of an option beside its type and its default.

    Attributes:
        sentence: What it is, with its unit; for the help and the docstring.
        measured: What it was seen to do ("What each option does" in ``docs/results.md``), in a
            phrase with its figure; empty where no figure has decided it.
        low: Lowest number; None is open.
        high: Highest number; None is open.
        modalities: What samples it is for; empty for all.
        families: What starts it is for, by family; empty for all.
        needs: What a strategy must do for it to mean anything; empty where any will do.
        off: A value that asks for nothing, beside the default.
        builds: Whether it says how an encoder is built: a module of one's own is built already.
        teaches: Whether it says what is learned, and not how that is computed.
        changes_result: Whether another value gives another result, so that a run cannot be resumed
            with it.
        is_kept: Whether it belongs to what a run was made with, as ``options.json`` keeps it.
        objectives: What objectives of a pretraining it is for; empty for all.
    """

    sentence: str
    measured: str = ""
    low: float | None = None
    high: float | None = None
    modalities: tuple[Modality, ...] = ()
    families: tuple[str, ...] = ()
    needs: Trait | None = None
    off: object = None
    builds: bool = False
    teaches: bool = True
    changes_result: bool = True
    is_kept: bool = True
    objectives: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What a help says of it."""
        return f"{self.sentence} Measured: {self.measured}." if self.measured else self.sentence


@dataclass(frozen=True)
class Stated:
    """An option as a record states it.

    Attributes:
        name: Of the field.
        option: What is said of it.
        annotation: Its type, as a signature shows it; text where only a type checker knows it.
        default: Its default; ``dataclasses.MISSING`` where it must be said.
        is_positional: Whether it may be said without its name.
    """

    name: str
    option: Option
    annotation: object
    default: object
    is_positional: bool

    @property
    def members(self) -> tuple[object, ...]:
        """The members of its type where that is a union, else the type alone."""
        bare = self.annotation
        if typing.get_origin(bare) is typing.Annotated:
            bare = typing.get_args(bare)[0]
        is_union = typing.get_origin(bare) in (typing.Union, types.UnionType)
        return typing.get_args(bare) if is_union else (bare,)

    @property
    def choices(self) -> tuple[object, ...]:
        """The values that may be named; empty where any text or number may be."""
        if typing.get_origin(self.annotation) is typing.Annotated:
            choices: Callable[[], tuple[object, ...]] = typing.get_args(self.annotation)[1]
            return tuple(choices())
        named = [m for m in self.members if typing.get_origin(m) is typing.Literal]
        return tuple(choice for literal in named for choice in typing.get_args(literal))

    @property
    def takes_names(self) -> bool:
        """Whether it takes several names: of starts, trackers, audits."""
        several = [m for m in self.members if typing.get_origin(m) is Sequence]
        inner = [typing.get_args(m)[0] for m in several]
        return any(one is str or typing.get_origin(one) is typing.Literal for one in inner)

    def is_said(self, value: object) -> bool:
        """Return whether a value asks for something that the default does not."""
        if self.default is MISSING:
            return True  # a table or a module may not even be compared
        return value != self.default and (self.option.off is None or value != self.option.off)


def stated(record: type) -> dict[str, Stated]:
    """Return the options that a record states, by name.

    Args:
        record: A dataclass, each of whose fields is annotated with an ``Option``.
    """
    found = {}
    for field in fields(record):
        text = f"{record.__name__} postpones its annotations, in which its options are stated"
        assert not isinstance(field.type, str), text
        of_type, *said = typing.get_args(field.type)
        annotation = of_type.__forward_arg__ if isinstance(of_type, typing.ForwardRef) else of_type
        (option,) = (each for each in said if isinstance(each, Option))
        rest = [each for each in said if each is not option]
        if rest:  # a function that knows the choices
            annotation = typing.Annotated[(annotation, *rest)]
        found[field.name] = Stated(field.name, option, annotation, field.default, not field.kw_only)
    return found


def kept_values(record: object) -> dict[str, object]:
    """Return what a run was made with, by name: the options that ``options.json`` keeps.

    Args:
        record: A record of options.
    """
    names = [name for name, one in stated(type(record)).items() if one.option.is_kept]
    values = {name: getattr(record, name) for name in names}
    return {n: [*map(plain, v)] if isinstance(v, tuple) else v for n, v in values.items()}
