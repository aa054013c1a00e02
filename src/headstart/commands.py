"""Read a public function as a command: its arguments, options, defaults and help.

The signature and the Google docstring are the only places where an option is stated; this file
turns them into frozen records, and ``cli.py`` parses, prints help and calls. Parameters before
``*`` become positional arguments, keyword-only ones become ``--options``. A parameter that only a
program can give (its annotation has no member a command line can spell, such as ``nn.Module``) is
left out. A parameter named ``data`` is a source for ``headstart.data.load``, whose own options join
the command. Nothing here parses arguments, prints, or imports torch.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import OptionError, did_you_mean, quoted

if typing.TYPE_CHECKING:
    import docstring_parser

REQUIRED = inspect.Parameter.empty
# What the command line says for every verb, so that no verb's help lists it.
GENERAL_NAMES = ("quiet",)
_SIMPLE = (int, float, bool, str, Path)
_SPELLED = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
# Names that an annotation may use although its module imports them for type checkers only.
_KNOWN_NAMES = {
    "Path": Path,
    "Sequence": Sequence,
    "Iterable": Iterable,
    "Literal": typing.Literal,
    "Optional": typing.Optional,
}


@dataclass(frozen=True)
class Kind:
    """What may be written for an option.

    Attributes:
        types: Of int, float, bool, str and Path, those the annotation names.
        choices: Values of its ``Literal``, or what the function says that it is ``Annotated`` with.
        is_list: Several values, separated by spaces or commas.
        allows_none: Whether ``none`` may be written.
    """

    types: tuple[type, ...]
    choices: tuple[object, ...] = ()
    is_list: bool = False
    allows_none: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it is written ``--flag`` or ``--no-flag``."""
        return bool in self.types

    @property
    def metavar(self) -> str:
        """What help writes for the value: ``INT``, or the choices."""
        words = [str(choice) for choice in self.choices]
        words += [spelled for kind, spelled in _SPELLED.items() if kind in self.types]
        if "TEXT" in words and "PATH" in words:
            words.remove("TEXT")
        return "|".join(words) + (" ..." if self.is_list else "")

    def convert(self, name: str, text: str) -> object:
        """Return the value that a text stands for.

        Args:
            name: Name of the option, for the error.
            text: One value as typed.

        Raises:
            OptionError: If the text is none of what the option takes.
        """
        for choice in self.choices:
            if text == str(choice):
                return choice
        if self.allows_none and text.lower() == "none":
            return None
        for number in (int, float):
            if number in self.types:
                try:
                    value = number(text)
                except ValueError:
                    continue
                if math.isfinite(value):
                    return value
        if str in self.types:
            return text
        if Path in self.types:
            return Path(text)
        raise OptionError(self._refusal(name, text))

    def _refusal(self, name: str, text: str) -> str:
        number = (
            "a number" if float in self.types else "a whole number" if int in self.types else ""
        )
        words = [str(choice) for choice in self.choices]
        if not words:
            example = "0.1" if float in self.types else "10"
            return f"{name} '{text}' is not {number}. Write it like {flag(name)} {example}."
        among = f"one of {quoted(words, limit=20)}" if len(words) > 1 else f"'{words[0]}'"
        hint = did_you_mean(text, words) or (
            f" Write one of them{', or ' + number if number else ''}, for example "
            f"{flag(name)} {words[0]}."
        )
        return f"{name} '{text}' is not {among}{' or ' + number if number else ''}.{hint}"


@dataclass(frozen=True)
class Argument:
    """One argument or option of a command.

    Attributes:
        name: The parameter's name.
        kind: What may be written.
        default: The parameter's default, or ``REQUIRED``.
        description: From the docstring, on one line.
        is_positional: Written without a name.
        for_verb: Passed to the verb's function.
        for_load: Passed to ``headstart.data.load``.
    """

    name: str
    kind: Kind
    default: object
    description: str
    is_positional: bool
    for_verb: bool = True
    for_load: bool = False

    @property
    def written(self) -> str:
        """How help writes it: ``DATA``, ``--budget TEXT``, ``--resume``, ``--ema/--no-ema``."""
        if self.is_positional:
            return self.name.upper() + (" ..." if self.kind.is_list else "")
        if self.kind.is_flag and self.default is False:
            return flag(self.name)
        if self.kind.is_flag:
            return f"{flag(self.name)}/{flag('no_' + self.name)}"
        return f"{flag(self.name)} {self.kind.metavar}"


@dataclass(frozen=True)
class Command:
    """A verb of the command line.

    Attributes:
        verb: Its name.
        function: What it calls.
        summary: First line of the docstring.
        description: What follows in the docstring, paragraphs separated by blank lines.
        options: Arguments first, in the order of the signature, then options.
        load: What turns the ``data`` argument into a Dataset, or None.
    """

    verb: str
    function: Callable[..., object]
    summary: str
    description: str
    options: tuple[Argument, ...]
    load: Callable[..., object] | None = None

    @property
    def positionals(self) -> tuple[Argument, ...]:
        """The arguments written without a name."""
        return tuple(option for option in self.options if option.is_positional)

    @property
    def is_repeatable(self) -> bool:
        """Whether ``--from RUN`` makes sense: it learns from data into a run folder."""
        names = {option.name for option in self.options if option.for_verb}
        return {"data", "out", "resume"} <= names


def flag(name: str) -> str:
    """Return how a parameter's name is written as an option: ``--val-fraction``."""
    return "--" + name.replace("_", "-")


def has_data(function: Callable[..., object]) -> bool:
    """Return whether a function takes data, so that the options of loading join its own."""
    return "data" in inspect.signature(function).parameters


def read_summary(function: Callable[..., object]) -> str:
    """Return the first line of a function's docstring: what the list of commands says of it."""
    first, _, _ = (inspect.getdoc(function) or "").partition("\n")
    return _plain(first)


def read_command(
    verb: str, function: Callable[..., object], load: Callable[..., object] | None = None
) -> Command:
    """Read a function as a command.

    Args:
        verb: Name of the command.
        function: A public function with a Google docstring.
        load: Loads the ``data`` argument, as its ``source``; its other options join those of the
            function. A name that both have (``seed``) is stated by the function, passed to both.

    Raises:
        TypeError: If a required parameter cannot be written on a command line.
    """
    documented = _parse(inspect.getdoc(function) or "")
    options = _read_options(function)
    if load is not None:
        loaded = {option.name: option for option in _read_options(load, skipped=("source",))}
        options = [_shared(option, option.name in loaded) for option in options]
        stated = {option.name for option in options}
        options += [
            Argument(o.name, o.kind, o.default, o.description, False, for_verb=False, for_load=True)
            for o in loaded.values()
            if o.name not in stated
        ]
    return Command(
        verb=verb,
        function=function,
        summary=read_summary(function),
        description=_paragraphs(documented.long_description or ""),
        options=tuple(options),
        load=load,
    )


def _parse(text: str) -> docstring_parser.Docstring:
    """Return the parts of a docstring; the list of commands needs none of them."""
    import docstring_parser

    return docstring_parser.parse(text)


def _shared(option: Argument, is_shared: bool) -> Argument:
    return Argument(
        option.name,
        option.kind,
        option.default,
        option.description,
        option.is_positional,
        for_verb=True,
        for_load=is_shared,
    )


def _read_options(function: Callable[..., object], skipped: Sequence[str] = ()) -> list[Argument]:
    documented = _parse(inspect.getdoc(function) or "")
    described = {param.arg_name: _plain(param.description or "") for param in documented.params}
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    options = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skipped or name in GENERAL_NAMES:
            continue
        is_source = name == "data"  # whatever a program may give, a command line gives a text
        kind = Kind((str,)) if is_source else read_kind(parameter.annotation, scope)
        if kind is None:
            if parameter.default is REQUIRED:
                raise TypeError(f"{function.__name__}() needs '{name}', which no option can give")
            continue
        is_positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        options.append(
            Argument(name, kind, parameter.default, described.get(name, ""), is_positional)
        )
    return options


def read_kind(annotation: object, scope: Mapping[str, object]) -> Kind | None:
    """Return what may be written for an annotation, or None where only a program can give it.

    Args:
        annotation: A type, or its source text.
        scope: Globals of the module that wrote it.
    """
    members = list(_members(annotation, scope))
    simple = tuple(member for member in members if member in _SIMPLE)
    choices: list[object] = []
    elements: Kind | None = None
    for member in members:
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin is typing.Literal:
            choices += arguments
        elif origin is typing.Annotated:  # with the function that knows what there is
            choices += arguments[1]()
        elif isinstance(origin, type) and issubclass(origin, Iterable) and arguments:
            elements = read_kind(arguments[0], scope)
    allows_none = type(None) in members
    if elements is not None:
        return Kind(elements.types, elements.choices, is_list=True, allows_none=allows_none)
    if not simple and not choices:
        return None
    return Kind(simple, tuple(choices), allows_none=allows_none)


def _members(annotation: object, scope: Mapping[str, object]) -> list[typing.Any]:
    """Return the members of a union, without those whose names are unknown when running."""
    if isinstance(annotation, str):
        node = ast.parse(annotation, mode="eval").body
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = (ast.unparse(node.left), ast.unparse(node.right))
            return [member for side in sides for member in _members(side, scope)]
        holder = types.SimpleNamespace(__annotations__={"value": annotation})
        try:
            names = {**_KNOWN_NAMES, **scope}
            hints = typing.get_type_hints(holder, globalns=names, include_extras=True)
        except NameError:
            return []  # imported for type checkers only, such as nn.Module
        return _members(hints["value"], scope)
    if isinstance(annotation, typing.ForwardRef):
        return _members(annotation.__forward_arg__, scope)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [m for side in typing.get_args(annotation) for m in _members(side, scope)]
    return [annotation]


def _plain(text: str) -> str:
    return re.sub(r"``?([^`]*)``?", r"\1", " ".join(text.split()))


def _paragraphs(text: str) -> str:
    return "\n\n".join(_plain(part) for part in re.split(r"\n\s*\n", text) if part.strip())
