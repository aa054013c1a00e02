"""The contracts of docs/design.md are the code's: names exist, signatures are those there.

How the block is read: a line ``# room/ ---`` begins a room. What stands four blanks in belongs to
the class above. A contract ends at two blanks or a ``#``, so that prose may follow it; several are
parted by ``·`` or ``;``. ``...`` stands for parameters that are left out. Nothing is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
REST = "rest_of_them"  # how "..." is parsed
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Contract:
    """One name that the page promises.

    Attributes:
        room: Where it is to be found.
        owner: The class whose member it is; empty for what stands by itself.
        name: Of a function, class, method or constant.
        parameters: As they are written; None where there are none to compare.
    """

    room: str
    owner: str
    name: str
    parameters: str | None = None


# Reading the page -------------------------------------------------------------------------------


def read_contracts(text: str) -> Iterator[Contract]:
    """Yield the contracts of a block."""
    room = owner = ""
    for line in _joined(text.splitlines()):
        if heading := re.match(r"# (\w+)/ ", line):
            room, owner = heading[1], ""
            continue
        indent = len(line) - len(line.lstrip())
        code = re.split(r"#|\s{2,}", line.strip())[0].strip()
        if not code or indent not in (0, 4):
            continue  # prose that goes on below itself
        if found := re.match(r"class (\w+)(?:\(.*?\))?:?", code):
            owner, code = found[1], code[found.end() :].strip()
            yield Contract(room, "", owner)
        elif indent == 0 and re.fullmatch(r"\w+", code):
            owner = code  # a name alone: what follows four blanks in is its
        elif indent == 0:
            owner = ""
        for piece in re.split(r"[·;]", code):
            if contract := _read_piece(room, owner if code != owner else "", piece):
                yield contract


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield lines, those inside of parentheses joined to the one where they opened."""
    held = ""
    for line in lines:
        code = re.split(r"\s+#", line)[0]
        held = f"{held} {code.strip()}" if held else line
        if not held.startswith("#") and held.count("(") > held.count(")"):
            held = re.split(r"\s+#", held)[0]
            continue
        yield held
        held = ""


def _read_piece(room: str, owner: str, piece: str) -> Contract | None:
    """Return what one piece of a line promises; None where it is a return type or an attribute."""
    code = piece.split("->")[0].strip()
    if found := re.fullmatch(r"(?:[A-Z_]+: )?(\w+)\((.*)\)", code):
        return Contract(room, owner, found[1], found[2])
    name = code.split(":")[0].strip()
    # attributes of a class may be made anywhere: they are not looked for
    return Contract(room, "", name) if not owner and re.fullmatch(r"\w+", name) else None


# Reading the code -------------------------------------------------------------------------------


def _definitions(room: str) -> dict[str, list[ast.AST]]:
    """Return what is defined at the top of the files of a room, by name."""
    found: dict[str, list[ast.AST]] = {}
    for path in sorted((SOURCE / room).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if isinstance(node, Function | ast.ClassDef):
                names = [node.name]
            for name in names:
                found.setdefault(name, []).append(node)
    return found


ROOMS = {path.name: _definitions(path.name) for path in SOURCE.iterdir() if path.is_dir()}


def _find(room: str, name: str) -> list[ast.AST]:
    """Return the definitions of a name in a room, else among the records that all rooms share."""
    return ROOMS[room].get(name) or ROOMS["types"].get(name, [])


def _find_member(room: str, owner: str, name: str) -> ast.AST | None:
    """Return a method of a class or of what it is made from."""
    for node in _find(room, owner):
        if not isinstance(node, ast.ClassDef):
            continue
        for member in node.body:
            if isinstance(member, Function) and member.name == name:
                return member
        for base in node.bases:
            if isinstance(base, ast.Name) and (found := _find_member(room, base.id, name)):
                return found
    return None


def _signature(node: ast.AST) -> list[str] | None:
    """Return the parameters of a function, or of what makes a class, with stars and defaults."""
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, Function) and member.name == "__init__":
                return _signature(member)
        return [
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
    return _names(node.args) if isinstance(node, Function) else None


def _names(arguments: ast.arguments) -> list[str]:
    """Return parameters as the page writes them, without annotations, ``self`` left out."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [*arguments.defaults]
    names = [_with(arg.arg, value) for arg, value in zip(plain, defaults, strict=True)]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        names.append("*")
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    names += [_with(arg.arg, value) for arg, value in keywords]
    names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return names[1:] if names[:1] == ["self"] else names


def _with(name: str, default: ast.expr | None) -> str:
    return name if default is None else f"{name}={ast.unparse(default)}"


def find_fault(contract: Contract) -> str | None:
    """Return in what the code differs from a contract; None where it does not."""
    called = f"{contract.owner}.{contract.name}" if contract.owner else contract.name
    if contract.owner:
        member = _find_member(contract.room, contract.owner, contract.name)
        nodes = [member] if member else []
    else:
        nodes = _find(contract.room, contract.name)
    if not nodes:
        return f"{contract.room}/ has no {called}"
    if contract.parameters is None:
        return None
    written = contract.parameters.replace("...", REST)
    promised = _names(ast.parse(f"def promised({written}): pass").body[0].args)  # type: ignore[attr-defined]
    actual = [names for node in nodes if (names := _signature(node)) is not None]
    if any(_agree(promised, names) for names in actual):
        return None
    return f"{called}({', '.join(promised)}), but {contract.room}/ has {actual}"


def _agree(promised: list[str], actual: list[str]) -> bool:
    """Return whether parameters are those of the code; with ``...`` these, in this order."""
    if REST not in promised:
        return promised == actual
    places = iter(actual)
    return all(name in places for name in promised if name not in (REST, "*"))


# What is promised -------------------------------------------------------------------------------


def _block() -> str:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    found = re.search(r"^## Contracts.*?^```python\n(.*?)^```", text, re.M | re.S)
    assert found
    return found[1]


def test_the_contracts_of_the_page_are_those_of_the_code() -> None:
    contracts = list(read_contracts(_block()))
    assert len([each for each in contracts if each.parameters is not None]) > 60
    faults = [fault for each in contracts if (fault := find_fault(each))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("find_task(name) -> Task", None),
        ("find_task(nmae) -> Task", "find_task(nmae), but tasks/ has [['name']]"),
        ("find_task(name, *, kind) -> Task", "find_task(name, *, kind), but"),
        ("find_tsak(name) ; find_task(name)", "tasks/ has no find_tsak"),
        ("class Tsak:   prose", "tasks/ has no Tsak"),
        ("class Task:\n    strata(targets) · stratum(targets)", "tasks/ has no Task.stratum"),
        ("class Task: strata(...) · read(column)   prose(with) parentheses", None),
        (
            "Task     prose\n             more(prose)\n    strata(target)",
            "Task.strata(target), but",
        ),
        ("encode_targets(labels,      # prose (of it\n     classes) -> Targets", None),
        ("Ragged(flat, offsets)", None),
    ],
)
def test_a_contract_that_the_code_does_not_keep_is_found(line: str, fault: str | None) -> None:
    contracts = list(read_contracts(f"# tasks/ ----\n{line}\n"))
    faults = [found for each in contracts if (found := find_fault(each))]
    assert contracts
    assert len(faults) == (fault is not None), faults
    assert fault is None or faults[0].startswith(fault), faults


# Files ------------------------------------------------------------------------------------------


def read_files(text: str) -> dict[str, list[str]]:
    """Return the files that each table names, by the folder in the line above it."""
    found: dict[str, list[str]] = {}
    files: list[str] = []
    for line in text.splitlines():
        if heading := re.search(r"`([\w/]+)/`:$", line):
            files = found.setdefault(heading[1], [])
        elif line.startswith("|"):
            files += re.findall(r"`(\w+\.py)`", line)
    return found


def find_odd_files(named: dict[str, list[str]], there: dict[str, list[str]]) -> list[str]:
    """Return what is named and not there, there and not named, or named twice."""
    odd = []
    for folder in sorted({*named, *there}):
        said, found = named.get(folder, []), there.get(folder, [])
        odd += [f"{folder}/{file} has no phrase" for file in found if file not in said]
        odd += [f"{folder}/{file} is not there" for file in said if file not in found]
        odd += [f"{folder}/{file} is named twice" for file in {*said} if said.count(file) > 1]
    return odd


def test_the_page_names_every_file() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = re.search(r"^## What stands in which file$(.*?)^## ", text, re.M | re.S)
    assert section
    there: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name != "__init__.py":
            folder = path.parent.relative_to(SOURCE).as_posix()
            there.setdefault("headstart" if folder == "." else folder, []).append(path.name)
    odd = find_odd_files(read_files(section[1]), there)
    assert not odd, "\n".join(odd) + "\nsay in docs/design.md what each file is, in one phrase"


def test_files_without_a_phrase_and_phrases_without_a_file_are_found() -> None:
    page = "Rows, `a/b/`:\n\n| about | files |\n|---|---|\n| x | `c.py` one; `d.py` two; `c.py` |\n"
    assert read_files(page) == {"a/b": ["c.py", "d.py", "c.py"]}
    odd = find_odd_files(read_files(page), {"a/b": ["c.py", "e.py"], "f": ["g.py"]})
    assert odd == [
        "a/b/e.py has no phrase",
        "a/b/d.py is not there",
        "a/b/c.py is named twice",
        "f/g.py has no phrase",
    ]
