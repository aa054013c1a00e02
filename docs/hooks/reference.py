"""A page for each verb and public name, from signatures and docstrings; nothing is written by hand.

MkDocs calls ``on_files`` with the pages that it has found; these are added. An option is thus
stated once: in the function.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import docstring_parser

import headstart
from headstart import sklearn as estimators
from headstart.cli import LOAD, VERBS, Place
from headstart.commands import REQUIRED, Argument, has_data, read_command

FOLDER = "reference"
_OTHERS = ("load", "open", "wrap_module", "ImageSpec")
_ESTIMATORS = ("HeadstartClassifier", "HeadstartRegressor")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the reference.

    Args:
        files: What MkDocs has found.
        config: The site's.
    """
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"{FOLDER}/{name}.md", content=text))
    return files


def on_config(config: Any) -> Any:
    """Put the pages of the reference into the navigation.

    Args:
        config: The site's.
    """
    places = [f"{FOLDER}/{name}.md" for name in pages() if name != "index"]
    for section in config.nav:
        if "Reference" in section:
            section["Reference"] += places
    return config


def pages() -> dict[str, str]:
    """Return the pages by name, without ``.md``."""
    made = {verb: _verb_page(verb) for verb in VERBS}
    made |= {name: _object_page(f"hs.{name}", getattr(headstart, name)) for name in _OTHERS}
    for name in _ESTIMATORS:
        made[name] = _object_page(f"headstart.sklearn.{name}", getattr(estimators, name))
    made["errors"] = _errors_page()
    made["index"] = _index(made)
    return made


def _find(place: Place) -> Callable[..., object]:
    module, name = place
    found: Callable[..., object] = getattr(import_module(module), name)
    return found


def _verb_page(verb: str) -> str:
    function = _find(VERBS[verb])
    load = _find(LOAD) if has_data(function) else None
    command = read_command(verb, function, load)
    name = next(n for n, place in headstart.PLACES.items() if place == VERBS[verb])
    words = " ".join(option.written for option in command.positionals)
    usage = f"headstart {verb} {words}".rstrip()
    lines = [f"# {verb}", "", command.summary, "", "```bash", f"{usage} [options]", "```", ""]
    lines += [f"From Python: `hs.{name}(…)`, the options by their names with underscores.", ""]
    lines += [command.description, ""] if command.description else []
    own = [option for option in command.options if option.for_verb]
    reading = [option for option in command.options if not option.for_verb]
    lines += ["## Options", "", *_table(own), ""]
    if reading:
        lines += ["## Options for reading the data", "", "In Python those of `hs.load`.", ""]
        lines += [*_table(reading), ""]
    return "\n".join([*lines, *_ends(function)])


def _table(options: list[Argument]) -> Iterator[str]:
    yield "| option | default | what it is |"
    yield "|---|---|---|"
    for option in options:
        name = option.name.upper() if option.is_positional else option.written
        default = "" if option.default is REQUIRED else _default(option.default)
        yield f"| `{_cell(name)}` | {default} | {_cell(option.description)} |"


def _default(value: object) -> str:
    if value is None or value is False or value == ():
        return ""
    return f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table, its bars and angle brackets as they are."""
    plain = " ".join(text.split()).replace("|", "\\|").replace("``", "`")
    return plain.replace("<", "&lt;") if "`" not in plain else plain


def _object_page(title: str, thing: Any) -> str:
    documented = docstring_parser.parse(inspect.getdoc(thing) or "")
    name = title.rpartition(".")[2]
    lines = [f"# {title}", "", documented.short_description or "", ""]
    lines += ["```python", *_signature(name, thing), "```", ""]
    lines += [documented.long_description or "", ""]
    if documented.params:
        lines += ["| argument | what it is |", "|---|---|"]
        lines += [f"| `{p.arg_name}` | {_cell(p.description or '')} |" for p in documented.params]
        lines.append("")
    return "\n".join([*lines, *_ends(thing)])


def _signature(name: str, thing: Any) -> Iterator[str]:
    """Yield a signature, a line a parameter, its types as they are written."""
    yield f"{name}("
    is_keyword = False
    for one in inspect.signature(thing).parameters.values():
        if one.kind is one.KEYWORD_ONLY and not is_keyword:
            is_keyword = True
            yield "    *,"
        kind = one.annotation if isinstance(one.annotation, str) else str(one.annotation)
        kind = re.sub(r"(typing|collections\.abc|pathlib)\.|'", "", kind)
        default = "" if one.default is REQUIRED else f" = {one.default!r}"
        yield f"    {one.name}: {kind}{default},"
    yield ")"


def _ends(thing: Any) -> Iterator[str]:
    """Yield what is said of what is returned, what is raised, and the example."""
    documented = docstring_parser.parse(inspect.getdoc(thing) or "")
    if documented.returns and documented.returns.description:
        yield from ("## Returns", "", " ".join(documented.returns.description.split()), "")
    if documented.raises:
        yield from ("## Raises", "")
        for one in documented.raises:
            yield f"- `{one.type_name}`: {' '.join((one.description or '').split())}"
        yield ""
    for example in documented.examples:
        yield from ("## Example", "", "```python")
        text = (example.description or "").replace("  # doctest: +SKIP", "")
        yield from text.strip().splitlines()
        yield from ("```", "")


def _errors_page() -> str:
    lines = ["# Errors", "", "| error | exit code | when |", "|---|---|---|"]
    for name in headstart.__all__:
        thing = getattr(headstart, name)
        if isinstance(thing, type) and issubclass(thing, headstart.HeadstartError):
            first = (inspect.getdoc(thing) or "").partition("\n")[0]
            lines.append(f"| `hs.{name}` | {thing.exit_code} | {first} |")
    return "\n".join([*lines, ""])


def _index(made: dict[str, str]) -> str:
    lines = ["# Reference", "", "Made from the signatures and docstrings of this version.", ""]
    lines += ["| page | |", "|---|---|"]
    for name, text in made.items():
        title, first = text.splitlines()[0].removeprefix("# "), text.splitlines()[2]
        lines.append(f"| [{title}]({name}.md) | {'' if name == 'errors' else _cell(first)} |")
    return "\n".join([*lines, ""])
