"""The house itself: floors, rooms, circles, sizes, names, forbidden calls, docs that cannot drift.

Everything is read from the sources with ``ast`` and ``tokenize``; nothing of headstart is imported
except to see that its public names resolve.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docstring_parser
import pytest

import headstart

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _read_floors() -> dict[int, set[str]]:
    """Return the rooms of each floor from the table in docs/design.md, which thus cannot drift."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
    return {
        int(floor): {name.removesuffix(".py").rstrip("/") for name in re.findall("`(.+?)`", cell)}
        for floor, cell in rows
    }


FLOORS = _read_floors()
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
# The command line's files are one room: they may import one another.
ONE_ROOM_FLOORS = {FLOOR_OF["cli"]}
EXCEPTIONS = {("types", "errors"), ("extras", "errors"), ("types", "lazily")}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "shared"}
# Searched in the code with comments, texts and blanks taken out.
FORBIDDEN = {
    r"pickle\.loads?\(": "runs what is in the file",
    r"weights_only=False": "runs what is in the file",
    r"(?<![\w.])eval\(": "runs text",
    r"(?<![\w.])exec\(": "runs text",
    r"yaml\.load\(": "runs what is in the file",
    r"shell=True": "runs text",
    r"extractall\(": "may write outside its folder",
    r"LOAD_TRUNCATED_IMAGES": "hides damaged images",
    r"except:": "hides Ctrl-C and faults",
}


@dataclass(frozen=True)
class Import:
    """One import of a module of headstart: by whom, of what, where, and whether it ever runs."""

    importer: str
    imported: str
    line: int
    is_for_typing: bool


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {_module_name(path): path for path in FILES}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def _room(module: str) -> str:
    return module.split(".")[0]


def _walk(node: ast.AST, is_for_typing: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node with whether only a type checker reads it."""
    for child in ast.iter_child_nodes(node):
        is_guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        is_typing = is_for_typing or is_guard
        yield child, is_typing
        yield from _walk(child, is_typing)


def _read_imports(module: str) -> Iterator[Import]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node, is_for_typing in _walk(TREES[module]):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(["headstart", *filter(None, up), *filter(None, [base])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name != "headstart" and not name.startswith("headstart."):
                continue
            inside = name.removeprefix("headstart").lstrip(".")
            while inside and inside not in MODULES:
                inside = inside.rpartition(".")[0]  # a function or class of that module
            yield Import(module, inside or "__init__", node.lineno, is_for_typing)


IMPORTS = [
    found
    for module in MODULES
    for found in _read_imports(module)
    if {_room(module), _room(found.imported)} <= FLOOR_OF.keys()  # a test names the others
]


def _said(found: Import) -> str:
    path = MODULES[found.importer].relative_to(ROOT)
    return f"{path}:{found.line} imports {found.imported}"


def test_every_room_stands_in_the_table_of_floors_and_exists() -> None:
    assert {_room(module) for module in MODULES} == set(FLOOR_OF)
    assert FLOORS[1] == {
        "types",
        "tensors",
        "errors",
        "events",
        "extras",
        "lazily",
        "cells",
        "columnar",
        "cores",
    }
    assert FLOOR_OF["errors"] < FLOOR_OF["data"] < FLOOR_OF["ranking"] < FLOOR_OF["recipes"]
    assert FLOOR_OF["recipes"] < FLOOR_OF["__init__"] < FLOOR_OF["cli"]


def test_files_import_only_from_floors_below() -> None:
    offenders = [
        _said(found)
        for found in IMPORTS
        if FLOOR_OF[_room(found.imported)] > FLOOR_OF[_room(found.importer)]
    ]
    assert not offenders, "\n".join(offenders)


def test_rooms_on_one_floor_do_not_import_one_another() -> None:
    offenders = []
    for found in IMPORTS:
        room, other = _room(found.importer), _room(found.imported)
        if room == other or FLOOR_OF[room] != FLOOR_OF[other]:
            continue
        if (room, other) not in EXCEPTIONS and FLOOR_OF[room] not in ONE_ROOM_FLOORS:
            offenders.append(_said(found))
    assert not offenders, "\n".join(offenders)


def _find_circle(edges: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(edges.get(module, ())):
            if circle := visit(other, [*path, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in sorted(edges) if (circle := visit(module, []))), [])


def test_no_circles_not_even_through_imports_inside_functions() -> None:
    edges: dict[str, set[str]] = {}
    for found in IMPORTS:
        if not found.is_for_typing and found.importer != found.imported:
            edges.setdefault(found.importer, set()).add(found.imported)
    assert not (circle := _find_circle(edges)), " -> ".join(circle)


def test_recipes_call_one_another_only_downward() -> None:
    edges: dict[str, set[str]] = {}
    for found in IMPORTS:
        if _room(found.importer) == _room(found.imported) == "recipes":
            edges.setdefault(found.importer, set()).add(found.imported)
    assert not (circle := _find_circle(edges)), " -> ".join(circle)


def test_circles_are_found() -> None:
    assert _find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _find_circle({"a": {"b", "c"}, "b": {"c"}}) == []


# One process is a company of one -----------------------------------------------------------------

ROOM_OF_SEVERAL = "training.processes"
# Reads a checkpoint that several have written; imported where one is found, and not before.
READS_PIECES = "training.state.pieces"
MAX_QUESTIONS = 4  # whether a process is the main one, or one of several


def _names_a_company(node: ast.AST) -> bool:
    """Return whether an expression is a company itself."""
    return (isinstance(node, ast.Name) and node.id == "company") or (
        isinstance(node, ast.Attribute) and node.attr in ("company", "_company")
    )


def _find_company_questions(tree: ast.AST) -> list[int]:
    """Return the lines that ask whether there is a company; there always is one."""
    lines = []
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            asked = [node.test]
        elif isinstance(node, ast.BoolOp):
            asked = [*node.values]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            asked = [node.operand]
        elif isinstance(node, ast.Compare) and any(
            isinstance(each, ast.Constant) and each.value is None for each in node.comparators
        ):
            asked = [node.left]
        lines += [each.lineno for each in asked if _names_a_company(each)]
    return lines


def test_nobody_asks_whether_there_is_a_company() -> None:
    offenders = []
    for module, tree in TREES.items():
        path = MODULES[module].relative_to(ROOT)
        if not module.startswith(ROOM_OF_SEVERAL):
            offenders += [f"{path}:{line} asks" for line in _find_company_questions(tree)]
        for node in ast.walk(tree):
            named = getattr(node, "arg", None) or getattr(node, "id", getattr(node, "attr", ""))
            if str(named).strip("_") == "team":
                offenders.append(f"{path}:{node.lineno} names a team")
    assert not offenders, "\n".join(offenders)


def test_questions_whether_there_is_a_company_are_found() -> None:
    for text in (
        "if company: pass",
        "x = 1 if company else 2",
        "x = company and company.size",
        "x = not self.company",
        "x = company is None",
    ):
        assert _find_company_questions(ast.parse(text)), text
    assert not _find_company_questions(ast.parse("if company.is_main: run(company)"))


def test_few_ask_whether_a_process_is_one_of_several() -> None:
    asked = []
    for module, tree in TREES.items():
        if module == "training.company" or module.startswith(ROOM_OF_SEVERAL):
            continue
        for node in ast.walk(tree):
            is_asked = isinstance(node, ast.Attribute) and node.attr == "is_main"
            if isinstance(node, ast.Compare) and ast.unparse(node).endswith("company.size > 1"):
                is_asked = True
            if is_asked:
                path = MODULES[module].relative_to(ROOT)
                asked.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert len(asked) <= MAX_QUESTIONS, "\n".join(asked)


def test_only_the_room_of_several_knows_torch_distributed() -> None:
    offenders = []
    for module, tree in TREES.items():
        if module == READS_PIECES or module.startswith(ROOM_OF_SEVERAL):
            continue
        for node, is_for_typing in _walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            if not is_for_typing and any(name.startswith("torch.distributed") for name in names):
                offenders.append(f"{MODULES[module].relative_to(ROOT)}:{node.lineno}")
    assert not offenders, "\n".join(offenders)


def test_a_process_that_trains_alone_never_enters_the_room_of_several(tmp_path: Path) -> None:
    code = (
        "import headstart, sys\n"
        "data = ([[float(i)] for i in range(60)], ['a', 'b'] * 30)\n"
        "headstart.finetune(data, start='scratch/mlp', num_steps=2, device='cpu',"
        " out=sys.argv[1])\n"
        "print([m for m in sys.modules if m.startswith('headstart.training.processes')"
        " or m in ('headstart.training.state.pieces', 'headstart.tuning.worker')])"
    )
    alone = {n: v for n, v in os.environ.items() if n not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        env={**alone, "HEADSTART_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def _count_body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines below the docstring: stating many options well must not count as length."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0


def test_files_and_functions_are_short() -> None:
    offenders = []
    for module, tree in TREES.items():
        path = MODULES[module].relative_to(ROOT)
        num_lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
        if num_lines > MAX_FILE_LINES:
            offenders.append(f"{path}: {num_lines} lines, at most {MAX_FILE_LINES}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = _count_body_lines(node)
                if length > MAX_FUNCTION_LINES:
                    offenders.append(
                        f"{path}:{node.lineno} {node.name}: {length} lines, "
                        f"at most {MAX_FUNCTION_LINES}"
                    )
    assert not offenders, "\n".join(offenders)


def test_modules_have_names_that_mean_something() -> None:
    offenders = [module for module in MODULES if VAGUE_NAMES & set(module.split("."))]
    assert not offenders


def test_modules_have_docstrings() -> None:
    offenders = [module for module, tree in TREES.items() if not ast.get_docstring(tree)]
    assert not offenders


def _bare_code(text: str) -> Iterator[tuple[int, str]]:
    """Yield each logical line's number and its code without texts, comments and blanks."""
    skipped = {tokenize.COMMENT, tokenize.STRING, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
    line, parts = 0, []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            yield line, "".join(parts)
            line, parts = 0, []
        elif token.type not in skipped:
            line = line or token.start[0]
            # Two names side by side stay two names.
            apart = parts and parts[-1][-1:].isidentifier() and token.string[:1].isidentifier()
            parts.append(f" {token.string}" if apart else token.string)


def _find_forbidden(text: str) -> list[tuple[int, str]]:
    return [
        (line, f"{code.strip()}: {why}")
        for line, code in _bare_code(text)
        for pattern, why in FORBIDDEN.items()
        if re.search(pattern, code)
    ]


def test_no_call_that_runs_or_trusts_what_it_reads() -> None:
    folders = [SOURCE, ROOT / "benchmarks", ROOT / "examples"]
    # it measures a pickle, of bytes that it wrote itself, for docs/decisions/json-specs.md
    measures_pickle = ROOT / "benchmarks" / "record_cost.py"
    offenders = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if path != measures_pickle
        for line, what in _find_forbidden(path.read_text(encoding="utf-8"))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    "text",
    [
        "x = pickle . load(f)",
        "torch.load(p,\n    weights_only = False)",
        "eval('1')",
        "exec (code)",
        "archive.extractall(folder)",
        "subprocess.run(c, shell=True)",
        "try:\n    pass\nexcept :\n    pass",
    ],
)
def test_forbidden_calls_are_found(text: str) -> None:
    assert _find_forbidden(text)


def test_allowed_code_is_not_found() -> None:
    assert not _find_forbidden("model.eval()  # eval(x)\nsay('exec(x)')\nretrieval(x)")


# Rooms for whoever has no second to spare for torch: every file of theirs, where there is one.
WITHOUT_TORCH = (
    "comparing",
    "bundles",
    "decoding",
    "evaluation",
    "monitoring",
    "preprocessing",
    "reporting",
    "serving",
    "tasks",
)


def test_rooms_that_need_no_torch_load_none() -> None:
    rooms = {room: sorted(m for m in MODULES if _room(m) == room) for room in WITHOUT_TORCH}
    assert rooms["reporting"]
    assert rooms["tasks"]
    code = (
        "import json, sys\n"
        "from importlib import import_module\n"
        "for room, modules in json.loads(sys.argv[1]).items():\n"
        "    for name in modules:\n"
        "        import_module(f'headstart.{name}')\n"
        "        assert 'torch' not in sys.modules, f'headstart.{name} loads torch'\n"
    )
    command = [sys.executable, "-c", code, json.dumps(rooms)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _find_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Return the classes of one name, private ones left out: these are known in one file alone."""
    places: dict[str, list[str]] = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(f"{module}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_classes_have_one_name() -> None:
    assert not (twice := _find_twice(TREES)), twice


def test_classes_of_one_name_are_found() -> None:
    trees = {
        "a": ast.parse("class A: pass\nclass _B: pass"),
        "b": ast.parse("def f():\n class A: 1"),
    }
    trees["c"] = ast.parse("class _B: pass\nclass C: pass")
    assert _find_twice(trees) == {"A": ["a:1", "b:2"]}


# Words that are known in one room alone ---------------------------------------------------------

# Who may name a task: its own room, the losses, and data, which decides what nobody has said.
TASK_WORDS = {"classification", "multi-label", "regression"}
TASK_OBJECTS = {"CLASSIFICATION", "MULTI_LABEL", "REGRESSION"}
TASK_PLACES = {"objectives.supervised"}
DECIDING_ROOM = "data"


def test_tasks_are_named_in_their_room_alone() -> None:
    offenders = []
    for module, tree in TREES.items():
        if _room(module) == "tasks" or module in TASK_PLACES:
            continue
        for node in ast.walk(tree):
            is_word = isinstance(node, ast.Constant) and node.value in TASK_WORDS
            is_object = isinstance(node, ast.Name) and node.id in TASK_OBJECTS
            if is_word or (is_object and _room(module) != DECIDING_ROOM):
                offenders.append(f"{MODULES[module].relative_to(ROOT)}:{node.lineno}")
    assert not offenders, f"{offenders} name a task; ask it instead (headstart.tasks.Task)"


# Who may name a strategy: the table of their records, and nobody else.
STRATEGY_WORDS = {"head", "last-n", "lp-ft", "gradual", "full", "lora"}
STRATEGY_ROOM = "training.options.strategies"
# Words that mean nothing else: not even a key of a record has them.
UNMISTAKABLE = {"last-n", "lp-ft", "gradual"}


def _find_strategy_words(tree: ast.AST) -> list[int]:
    """Return the lines that compare a strategy's name, look something up by it, or write it."""
    lines = set()
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Constant) and node.value in UNMISTAKABLE:
            asked = [node]
        for one in asked:
            each = one.elts if isinstance(one, ast.Tuple | ast.List | ast.Set) else [one]
            words = [word for word in each if isinstance(word, ast.Constant)]
            lines |= {word.lineno for word in words if word.value in STRATEGY_WORDS}
    return sorted(lines)


def test_strategies_are_named_in_their_table_alone() -> None:
    offenders = [
        f"{MODULES[module].relative_to(ROOT)}:{line}"
        for module, tree in TREES.items()
        if module != STRATEGY_ROOM
        for line in _find_strategy_words(tree)
    ]
    assert not offenders, f"{offenders} name a strategy; ask its record (find_strategy)"


@pytest.mark.parametrize(
    "text",
    [
        "if recipe.strategy == 'head': pass",
        "x = strategy in ('full', 'lora')",
        "x = {'lp-ft': 3}[strategy]",
        "match strategy:\n    case 'lora': pass",
    ],
)
def test_names_of_strategies_are_found(text: str) -> None:
    assert _find_strategy_words(ast.parse(text))


def test_other_uses_of_these_words_are_not_found() -> None:
    assert not _find_strategy_words(ast.parse("x = record['head']; y = f('lora', full=True)"))


# Where modalities may differ: docs/design.md, "The way of one sample". Elsewhere a fact of theirs
# is asked (headstart.types.MODALITIES), or the object that knows. Of tasks and strategies the same.
WORDS = {
    "modality": {"image", "text", "table"},
    "task": TASK_WORDS,
    "strategy": STRATEGY_WORDS,
}
ASKING_ROOMS = {
    "modality": {"data", "preprocessing", "starts", "types.modalities"},
    "task": {"data", "tasks", "objectives.supervised"},
    "strategy": {"training.options.strategies"},
}
MOST_QUESTIONS = 9  # in all rooms together


def _names(node: ast.AST, noun: str) -> bool:
    name = getattr(node, "attr", getattr(node, "id", ""))
    return str(name).strip("_").endswith(noun)


def _asks(node: ast.Compare, noun: str) -> bool:
    """Return whether a comparison is of a word: not whether there is one at all, nor with AUTO."""
    sides = [node.left, *node.comparators]
    each = [one for side in sides for one in getattr(side, "elts", [side])]
    others = [getattr(one, "value", one) for one in each if not _names(one, noun)]
    is_presence = isinstance(node.ops[0], ast.Is | ast.IsNot) and others == [None]
    is_auto = noun == "strategy" and [getattr(one, "id", None) for one in others] == ["AUTO"]
    return any(_names(one, noun) for one in each) and not (is_presence or is_auto)


def _is_question(node: ast.AST, noun: str) -> bool:
    words = WORDS[noun]
    if isinstance(node, ast.Compare):
        return _asks(node, noun)
    if isinstance(node, ast.Match):
        return _names(node.subject, noun)
    if isinstance(node, ast.Dict):  # a table of several
        keys = {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        return keys <= words and len(keys) > 1  # records of a sample have keys such as "text" too
    if isinstance(node, ast.Call) and _names(node.func, "is_among"):  # asked with a word
        return any(getattr(one, "value", None) in words for one in ast.walk(node))
    return False


def _find_questions(tree: ast.AST, noun: str) -> list[int]:
    """Return the lines that compare one with anything, or look something up by its words."""
    return sorted({node.lineno for node in ast.walk(tree) if _is_question(node, noun)})


@pytest.mark.parametrize("noun", WORDS)
def test_words_are_compared_in_their_rooms_alone(noun: str) -> None:
    inside: list[str] = []
    outside: list[str] = []
    for module, tree in TREES.items():
        is_room = bool({module, _room(module)} & ASKING_ROOMS[noun])
        found = _find_questions(tree, noun)
        named = [f"{MODULES[module].relative_to(ROOT)}:{line}" for line in found]
        (inside if is_room else outside).extend(named)
    assert not outside, f"{outside} compare a {noun}; ask its row of a table"
    assert len(inside) <= MOST_QUESTIONS, "\n".join(inside)


@pytest.mark.parametrize(
    "text",
    [
        "if dataset.schema.modality == 'image': pass",
        "x = modality not in ('text', 'table')",
        "x = 'image' != self._modality",
        "x = start.modality != schema.modality",
        "x = (records.modality, 1) == ('image', 1)",
        "x = {'image': 'FILE', 'text': 'TEXT'}[modality]",
        "x = is_among(schema, ('image',))",
        "match schema.modality:\n    case 'image': pass",
    ],
)
def test_questions_for_a_modality_are_found(text: str) -> None:
    assert len(_find_questions(ast.parse(text), "modality")) == 1


@pytest.mark.parametrize(
    ("noun", "text"),
    [
        ("task", "if options.task != 'auto': pass"),
        ("task", "x = {'regression': 1, 'multi-label': 2}[task]"),
        ("strategy", "if recipe.strategy in known: pass"),
    ],
)
def test_questions_for_a_task_or_strategy_are_found(noun: str, text: str) -> None:
    assert len(_find_questions(ast.parse(text), noun)) == 1


def test_other_uses_of_these_words_are_no_questions() -> None:
    text = "x = {'text': 1, 'label': 2}; y = facts.is_augmented; z = {'image': 1}; m = a.modality"
    assert not _find_questions(ast.parse(text), "modality")
    assert not _find_questions(ast.parse("if task is None or strategy is not None: pass"), "task")
    assert not _find_questions(ast.parse("x = options.strategy == AUTO"), "strategy")


# How much a function is told ----------------------------------------------------------------------

MAX_ARGUMENTS = 8
# More than that, and why. What takes options takes them as one record (recipes.options).
LONG_LISTS = {
    "data.loading.load": "the public way to data: every option of reading is one of its own",
    "recipes.predict.predict": "the public way to answers: every option is one of its own",
    "recipes.serve.serve": "the public way to a server, likewise",
    "training.frozen.views.choose_views": "a formula, each of whose terms is an argument",
    "training.probing.probe.fit_probe": "two splits of features and targets are four already",
}


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function with the name of its module before its own."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}.{node.name}", node


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    given = node.args
    found = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [each for each in found if each.arg not in ("self", "cls")]


def test_a_function_is_told_eight_things_at_most() -> None:
    found = {name: len(_parameters(node)) for name, node in _functions()}
    many = {name for name, number in found.items() if number > MAX_ARGUMENTS}
    assert many - set(LONG_LISTS) == set(), "more than 8 arguments; hand over one record"
    assert set(LONG_LISTS) - many == set(), "no exception any more; take the name out of the list"


def test_recipes_and_tuning_take_no_dict_of_anything() -> None:
    offenders = [
        f"{name}: {each.arg}"
        for name, node in _functions()
        if name.split(".")[0] in ("recipes", "tuning")
        for each in _parameters(node)
        if each.annotation is not None and "dict[str, Any]" in ast.unparse(each.annotation)
    ]
    assert not offenders, f"{offenders} take anything by any name; take a record"


# Public names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", headstart.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(headstart, name) is not None
    assert name in dir(headstart)


def test_public_names_and_places_agree() -> None:
    assert set(headstart.__all__) == {*headstart.PLACES, "__version__"}


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fti'"):
        _ = headstart.fti


def test_version_is_the_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert headstart.__version__ == project["version"]


@pytest.mark.parametrize("name", headstart.PLACES)
def test_public_function_documents_every_parameter(name: str) -> None:
    function = getattr(headstart, name)
    if not inspect.isfunction(function):
        return
    documented = docstring_parser.parse(inspect.getdoc(function) or "")
    described = {param.arg_name for param in documented.params if param.description}
    assert documented.short_description
    assert documented.short_description.endswith(".")
    assert described == set(inspect.signature(function).parameters)


# Words that cannot drift ------------------------------------------------------------------------


def _read_blocks(path: Path) -> list[str]:
    """Return the commands of every shell block, without comments."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", path.read_text(), re.M | re.S)
    return [
        "\n".join(
            re.sub(r"\s+#.*", "", line)
            for line in block.splitlines()
            if line and not line.startswith("#")
        )
        for block in blocks
    ]


def test_readme_holds_the_test_command_that_ci_runs() -> None:
    found = re.findall(
        r"^<!-- test-command -->\n```(?:bash|sh)\n(.+?)\n```$",
        (ROOT / "README.md").read_text(),
        re.M | re.S,
    )
    assert len(found) == 1
    assert "install -e '.[dev]'" in found[0]
    assert "python -m pytest" in found[0]


def test_both_readmes_give_the_same_commands() -> None:
    assert _read_blocks(ROOT / "README.md")
    assert _read_blocks(ROOT / "README.md") == _read_blocks(ROOT / "README.zh-CN.md")


def test_makefile_and_ci_run_the_same_checks() -> None:
    checks = ("ruff check .", "ruff format --check .", "mypy", "mkdocs build --strict")
    for path in ("Makefile", ".ci/run"):
        text = (ROOT / path).read_text()
        assert all(check in text for check in checks), path
