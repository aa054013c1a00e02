"""The command line: call one public function and print what it returns.

Commands come from the public functions (``commands.py``) and their words are read by
``arguments.py``, so this file names no option of a verb. Results go to stdout, progress and errors
to stderr, and the last line is the next command to type. Exit codes are those of ``errors.py``; a
traceback appears with ``--debug`` only. No training logic, and no torch until a verb needs it.
"""

from __future__ import annotations

import gc
import io
import os
import re
import shutil
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from headstart import PLACES, __version__, events
from headstart.arguments import FROM, FROM_HELP, GENERAL, JSON, read_arguments
from headstart.commands import (
    REQUIRED,
    Argument,
    Command,
    flag,
    has_data,
    read_command,
    read_summary,
)
from headstart.cores import limit_threads
from headstart.errors import (
    HeadstartError,
    Interrupted,
    OptionError,
    did_you_mean,
)
from headstart.failures import explained
from headstart.printing import render, render_failure, render_json
from headstart.reporting.terminal import is_terminal
from headstart.types import in_number

Place = tuple[str, str]  # module, function
_MOST_LOAD = 30.0  # seconds by the clock a second of work; more is no busy machine

VERBS: dict[str, Place] = {
    "doctor": PLACES["doctor"],
    "starts": PLACES["list_starts"],
    "check": PLACES["check"],
    "rank": PLACES["rank"],
    "fit": PLACES["fit"],
    "finetune": PLACES["finetune"],
    "pretrain": PLACES["pretrain"],
    "evaluate": PLACES["evaluate"],
    "compare": PLACES["compare"],
    "runs": PLACES["list_runs"],
    "predict": PLACES["predict"],
    "report": PLACES["report"],
    "export": PLACES["export"],
    "sign": PLACES["sign"],
    "verify": PLACES["verify"],
    "serve": PLACES["serve"],
    "watch": PLACES["watch"],
    "monitor": PLACES["monitor"],
    "cache": PLACES["cache"],
}
LOAD: Place = PLACES["load"]

# What to type next after verbs that do not say it themselves by an event ``next``; names in braces
# are filled with the verb's own arguments.
NEXT = {
    "doctor": "headstart fit digits --budget 2m --out runs/digits",
    "starts": "headstart fit DATA --budget 30m --out runs/mine",
    "predict": "headstart evaluate {run}",
}


def main(
    argv: Sequence[str] | None = None,
    *,
    verbs: Mapping[str, Place] = VERBS,
    load: Place = LOAD,
) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The words after ``headstart``; those of the process by default.
        verbs: For each verb, the module and the function that does it.
        load: The module and the function that loads data.
    """
    # A budget counts from the start of the program: what importing took is spent already.
    began = time.monotonic() - (_seconds_since_start() if argv is None else 0.0)
    words = list(sys.argv[1:] if argv is None else argv)
    limit_threads()  # before a verb imports what counts its threads only once
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode must not end a run
    try:
        with events.command_began(began, words):
            return _dispatch(words, verbs, load)
    except HeadstartError as error:
        code = _fail(error, error, words)
        if argv is None and error.is_urgent:
            os._exit(code)  # putting PyTorch away takes seconds that there are none of
        return code
    except KeyboardInterrupt as error:
        return _fail(Interrupted("Interrupted."), error, words)
    except OSError as error:
        return _fail(explained(error), error, words)
    except Exception as error:
        return _fail(explained(error), error, words)
    finally:
        if argv is None:
            # the program ends: what PyTorch brought need not be searched for circles once more,
            # which takes a second, and five of a budget on a busy machine
            gc.freeze()


def _seconds_since_start() -> float:
    """Return the seconds since this process was started; those that it worked if nobody knows."""
    worked = time.process_time()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        running = float(Path("/proc/uptime").read_text().split()[0])
        age = running - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return worked
    # in some containers both count from different beginnings
    return age if worked <= age <= _MOST_LOAD * worked + 1.0 else worked


def _dispatch(words: Sequence[str], verbs: Mapping[str, Place], load: Place) -> int:
    before_values = words[: words.index("--")] if "--" in words else words
    wants_help = bool({"--help", "-h"} & set(before_values))
    rest = list(words)
    leading = []
    while rest and rest[0].startswith("-"):
        leading.append(rest.pop(0))
    if "--version" in leading:
        return _print(f"headstart {__version__}")
    unknown = [word for word in leading if word not in (*GENERAL, "-h")]
    if unknown:
        hint = did_you_mean(unknown[0], [*GENERAL, "--version"])
        raise OptionError(
            f"Unknown option '{unknown[0]}' of 'headstart'.{hint} Options of a command come "
            f"after it, for example 'headstart fit DATA --budget 10m'."
        )
    if rest[:1] == ["help"]:
        wants_help, rest = True, rest[1:]
    if not rest:
        return _print(overview(verbs))
    if rest[0] not in verbs:
        raise OptionError(
            f"Unknown command '{rest[0]}'.{did_you_mean(rest[0], verbs)} "
            f"'headstart help' lists them all."
        )
    command = _find_command(rest[0], verbs, load)
    if wants_help:
        return _print(help_text(command))
    return _call(
        command,
        rest[1:],
        is_quiet="--quiet" in before_values,
        is_json=JSON in before_values,
    )


def _find_command(verb: str, verbs: Mapping[str, Place], load: Place) -> Command:
    function = _find(verbs[verb])
    return read_command(verb, function, _find(load) if has_data(function) else None)


def _find(place: Place) -> Callable[..., object]:
    module, name = place
    function: Callable[..., object] = getattr(import_module(module), name)
    return function


def _call(command: Command, words: Sequence[str], *, is_quiet: bool, is_json: bool) -> int:
    """Call the verb with a console listening, print its result and the next command."""
    from headstart.recipes.launching import is_worker
    from headstart.reporting.console import Console

    values = read_arguments(command, words)
    silent = io.StringIO()
    is_quiet = is_quiet or os.environ.get("HEADSTART_QUIET") == "1" or is_worker()
    console = Console(silent if is_quiet else None)
    try:
        with events.listen(console):
            if command.load is not None and values.verb.get("data") is not None:
                # not loaded yet: the verb checks its options first
                values.verb["data"] = partial(command.load, values.verb["data"], **values.load)
            result = command.function(**values.verb)
    finally:
        console.stop()
    try:
        (render_json if is_json else render)(result, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_pipe()
    console.say_next(NEXT.get(command.verb, "").format_map(values.verb))
    code = getattr(result, "exit_code", 0)
    return code if isinstance(code, int) else 0


# Printing ---------------------------------------------------------------------------------------


def _print(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        return _leave_pipe()
    return 0


# Help -------------------------------------------------------------------------------------------


def overview(verbs: Mapping[str, Place]) -> str:
    """Return what ``headstart`` alone prints."""
    summaries = [(verb, read_summary(_find(place))) for verb, place in verbs.items()]
    lines = [
        f"headstart {__version__}: finds the best starting point for your data, fine-tunes from it "
        "inside a time budget, and says honestly how good the result is.",
        "",
        _bold("Main job"),
        "  headstart fit DATA --budget 30m --out runs/mine",
        "  headstart fit digits --budget 2m --out runs/digits    (needs no data of yours)",
        "",
        _bold("Commands"),
        *_two_columns(summaries),
        "",
        "'headstart help COMMAND' explains one; every run writes one folder with all it needs.",
    ]
    first, *middle, last = lines
    return "\n".join([*textwrap.wrap(first, _width()), *middle, *textwrap.wrap(last, _width())])


def help_text(command: Command) -> str:
    """Return the help of one command, wrapped to the terminal."""
    arguments = " ".join(
        option.written if option.default is REQUIRED else f"[{option.written}]"
        for option in command.positionals
    )
    usage = f"headstart {command.verb} {arguments}".rstrip()
    lines = [f"{_bold('Usage')}  {usage} [options]", ""]
    for paragraph in [command.summary, *command.description.split("\n\n")]:
        if paragraph:
            lines += [*textwrap.wrap(paragraph, _width()), ""]
    own = [option for option in command.options if not option.is_positional and option.for_verb]
    data = [option for option in command.options if not option.for_verb]
    general = list(GENERAL.items())
    if command.is_repeatable:
        general.insert(0, (f"{FROM} RUN", FROM_HELP))
    groups = [
        ("Arguments", [(o.name.upper(), _describe(o)) for o in command.positionals]),
        ("Options", [(o.written, _describe(o)) for o in own]),
        ("Options for reading the data", [(o.written, _describe(o)) for o in data]),
        ("General options", general),
    ]
    for title, rows in groups:
        if rows:
            lines += [_bold(title), *_two_columns(rows), ""]
    return "\n".join(lines).rstrip()


def _describe(option: Argument) -> str:
    default = option.default
    if default is REQUIRED:
        return option.description + ("" if option.is_positional else " (required)")
    if default is None or default is False or default == () or default == []:
        return option.description
    if default is True:
        return f"{option.description} (default: {flag(option.name)})"
    if isinstance(default, list | tuple):
        return f"{option.description} (default: {','.join(str(item) for item in default)})"
    return f"{option.description} (default: {default})"


def _two_columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return names on the left and wrapped texts on the right; a long name gets its own line."""
    left = min(max(len(name) for name, _ in rows), 24) + 4
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(_width() - left, 20)) or [""]
        if len(name) > left - 4:
            lines += _between_choices(name)
            name = ""
        lines.append(f"  {name}".ljust(left) + wrapped[0])
        lines += [" " * left + line for line in wrapped[1:]]
    return [line.rstrip() for line in lines]


def _between_choices(name: str) -> list[str]:
    """Return an option with its choices, broken between two of them where it is wider."""
    lines = ["  "]
    for part in re.findall(r"[^|]*\|?", name):
        if len(lines[-1] + part) > _width():
            lines.append("    ")
        lines[-1] += part
    return lines


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 100))


def _bold(text: str) -> str:
    plain = "NO_COLOR" in os.environ or not is_terminal(sys.stdout)
    return text if plain else f"\033[1m{text}\033[0m"


# Failing ----------------------------------------------------------------------------------------


def _fail(failure: HeadstartError, error: BaseException, words: Sequence[str]) -> int:
    """Print one sentence (or one for each bad option) to stderr and return the exit code."""
    try:
        if "--debug" in words:
            traceback.print_exception(error)
        if JSON in (words[: words.index("--")] if "--" in words else words):
            render_failure(failure, sys.stdout)
        # Each line of an OptionError is an error of its own; lines of others belong together.
        told = in_number(str(failure)).splitlines() or [type(failure).__name__]
        for number, line in enumerate(told):
            prefix = "error: " if number == 0 or isinstance(failure, OptionError) else "       "
            print(_wrap_error(prefix, line), file=sys.stderr, flush=True)
        if isinstance(failure, Interrupted) and failure.next_command:
            print(f"next: {failure.next_command}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        return _leave_pipe()
    return failure.exit_code


def _wrap_error(prefix: str, line: str) -> str:
    """Return a line of an error, broken between words where a person reads it on a terminal."""
    if not is_terminal(sys.stderr):
        return prefix + line
    wrapped = textwrap.wrap(
        line, _width(), initial_indent=prefix, subsequent_indent="  ", break_on_hyphens=False
    )
    text = "\n".join(wrapped)
    return (
        text if "NO_COLOR" in os.environ else text.replace("error:", "\033[1;31merror:\033[0m", 1)
    )


def _leave_pipe() -> int:
    """Leave quietly when the reader of a pipe has gone, as ``headstart starts | head`` does."""
    with open(os.devnull, "w") as nowhere:  # or flushing at exit would complain
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, what a shell expects
