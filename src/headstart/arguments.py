"""Split the words after a verb into values, and say everything that is wrong with them at once.

argparse only splits words into options and the rest. Values, choices, missing and unknown names
are checked here, because argparse stops at its first complaint and writes it for programmers.
Defaults stay in the functions: only what was written, or comes from ``--from RUN``, is returned.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from headstart.commands import REQUIRED, Argument, Command, flag
from headstart.errors import OptionError, RunFolderError, did_you_mean

JSON = "--json"
GENERAL = {
    "--quiet": "Show no progress, only the result.",
    JSON: "Print the result as one JSON object, whose form docs/json.md states; an error, too.",
    "--debug": "Show the traceback of an error.",
    "--help": "Show this help.",
}
FROM = "--from"
FROM_HELP = (
    "A run folder, or its options.json, whose options and data are the defaults here; what is "
    "written wins."
)
_NOT_REPEATED = ("out", "resume", "overwrite")  # they belong to one run, not to its recipe
_NOTHING = "\0nothing"  # stands for the value of an option written without one


@dataclass(frozen=True)
class Values:
    """What was written for one call.

    Attributes:
        verb: Keyword arguments of the verb's function.
        load: Keyword arguments of loading; the source itself is in ``verb["data"]``.
    """

    verb: dict[str, object] = field(default_factory=dict)
    load: dict[str, object] = field(default_factory=dict)


class _Splitter(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message[:1].upper()}{message[1:]}. Leave the value out.")


def read_arguments(command: Command, words: Sequence[str]) -> Values:
    """Return the values that the words give to a command.

    Args:
        command: The command.
        words: What was typed after the verb, without ``--help``.

    Raises:
        OptionError: With one line for each thing that is wrong.
        RunFolderError: If the folder of ``--from`` cannot be read.
    """
    options, positionals, unknown = _split(command, words)
    problems = [_unknown(command, word) for word in unknown]
    written: dict[str, object] = {}
    for option in command.options:
        texts: Sequence[object] = options.get(option.name, [])
        if option.is_positional:
            texts = positionals if option.kind.is_list else positionals[:1]
            positionals = positionals[len(texts) :]
        if texts:
            _convert(option, texts, written, problems)
    if not unknown:  # the value of an unknown option looks like one more argument
        problems += [
            f"Unexpected argument '{word}'. {_usage(command)} If it belongs to an option, write "
            f"it directly after that option; several values of an option that takes one, such as "
            f"columns of --label, are written with a comma between them."
            for word in positionals
        ]
    source = options.get("from", [])
    if _NOTHING in source:
        problems.append(f"Option '{FROM}' needs a run folder, for example {FROM} runs/digits.")
        source = []
    defaults = _read_run(command, _run_folder(str(source[0]))) if source else Values()
    for option in command.options:
        is_given = option.name in written or option.name in options
        if option.default is REQUIRED and not is_given and option.name not in defaults.verb:
            problems.append(_missing(command, option))
    if problems:
        raise OptionError("\n".join(problems))
    values = Values(dict(defaults.verb), dict(defaults.load))
    for option in command.options:
        if option.name in written:
            if option.for_verb:
                values.verb[option.name] = written[option.name]
            if option.for_load:
                values.load[option.name] = written[option.name]
    return values


def _split(
    command: Command, words: Sequence[str]
) -> tuple[dict[str, list[object]], list[str], list[str]]:
    """Return the texts of each option, the positional words, and the unknown options."""
    parser = _Splitter(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("debug", "quiet", "json"):
        parser.add_argument(flag(name), action="store_true")
    if command.is_repeatable:
        parser.add_argument(FROM, nargs="?", const=_NOTHING)
    for option in command.options:
        if option.is_positional:
            continue  # argparse would give it the value that follows an unknown option
        name = flag(option.name)
        if option.kind.is_flag:
            parser.add_argument(name, action=argparse.BooleanOptionalAction)
        elif option.kind.is_list:
            parser.add_argument(name, nargs="*", action="extend")
        else:
            parser.add_argument(name, nargs="?", const=_NOTHING)
    cut = list(words).index("--") if "--" in words else len(words)
    found, extras = parser.parse_known_args(list(words[:cut]))
    options: dict[str, list[object]] = {}
    for name, value in vars(found).items():
        options[name] = (value or [_NOTHING]) if isinstance(value, list) else [value]
    is_option = re.compile(r"-(?!\d|\.\d|$)")
    unknown = [word for word in extras if is_option.match(word)]
    positionals = [word for word in extras if not is_option.match(word)]
    return options, positionals + list(words[cut + 1 :]), unknown


def _convert(
    option: Argument, texts: Sequence[object], written: dict[str, object], problems: list[str]
) -> None:
    """Put the value of an option into ``written``, or what is wrong with it into ``problems``."""
    if _NOTHING in texts:
        problems.append(
            f"Option '{flag(option.name)}' needs a value: {option.kind.metavar}. "
            f"{option.description}".rstrip()
        )
        return
    if option.kind.is_flag:
        written[option.name] = texts[0]
        return
    parts = [str(text) for text in texts]
    if option.kind.is_list and not option.is_positional:  # a file name may contain a comma
        parts = [part.strip() for text in parts for part in text.split(",") if part.strip()]
    values = []
    for part in parts:
        try:
            values.append(option.kind.convert(option.name, part))
        except OptionError as error:
            problems.append(str(error))
    if values:
        written[option.name] = values if option.kind.is_list else values[0]


def _unknown(command: Command, word: str) -> str:
    name = word.split("=", 1)[0]
    known = [flag(option.name) for option in command.options if not option.is_positional]
    known += [flag(f"no_{o.name}") for o in command.options if o.kind.is_flag]
    known += [*GENERAL, *([FROM] if command.is_repeatable else [])]
    return (
        f"Unknown option '{name}' of 'headstart {command.verb}'.{did_you_mean(name, known)} "
        f"'headstart help {command.verb}' lists them all."
    )


def _usage(command: Command) -> str:
    arguments = " ".join(option.written for option in command.positionals)
    return f"Usage: headstart {command.verb} {arguments}".rstrip() + " [options]."


def _missing(command: Command, option: Argument) -> str:
    name = option.written if option.is_positional else flag(option.name)
    described = f" {option.description}" if option.description else ""
    return f"'headstart {command.verb}' needs {name}.{described} {_usage(command)}"


def _run_folder(text: str) -> Path:
    """Return the folder of a run that was named by it, or by its ``options.json``."""
    path = Path(text)
    return path.parent if path.name == "options.json" and path.is_file() else path


def _read_run(command: Command, folder: Path) -> Values:
    """Return the options that a finished run was made with.

    Those of the verb stand in ``options.json``; those of loading are ``source`` in ``data.json``,
    which is null where the data was in memory: the data must be written then.

    Raises:
        RunFolderError: If there is none, it cannot be read, or another verb made it.
    """
    saved = _read_json(folder / "options.json")
    source = _read_json(folder / "data.json").get("source")
    verb, options = saved.get("verb"), saved.get("options")
    if not isinstance(options, dict):
        raise RunFolderError(_damaged(folder / "options.json", "it has no 'options'"))
    if verb != command.verb:
        raise RunFolderError(
            f"'{folder}' was made by 'headstart {verb}', not 'headstart {command.verb}'. "
            f"Use 'headstart {verb} {FROM} {folder}'."
        )
    values = Values()
    for option in command.options:
        if isinstance(source, dict) and option.for_load and option.name in source:
            values.load[option.name] = source[option.name]
        if option.for_verb and option.name in options and option.name not in _NOT_REPEATED:
            values.verb[option.name] = options[option.name]
    if isinstance(source, dict):
        values.verb["data"] = source["source"]
    return values


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise RunFolderError(
            f"'{path.parent}' holds no {path.name}, so {FROM} cannot repeat it. Give the folder of "
            f"a finished run, for example {FROM} runs/digits."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(_damaged(path, str(error))) from error
    if not isinstance(content, dict):
        raise RunFolderError(_damaged(path, "it is no JSON object"))
    return content


def _damaged(path: Path, why: str) -> str:
    return f"'{path}' is damaged: {why}. Write the options out instead of {FROM}."
