"""Which sentences advise something, and which of them a test follows to success.

``python tests/advice.py`` reads every message and finding out of the source, runs the tests that
follow advice, and prints how many sentences one of these has heard, with those that none has. A
sentence advises where one of its parts begins with what to do. Not counted: faults of files that
headstart itself has written, and what only another machine says.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
TESTS = (
    "data/test_advice.py",
    "data/test_advice_followed.py",
    "data/test_advice_more.py",
    "auditing/test_advice_of_audits.py",
    "test_advice_of_verbs.py",
    "test_advice_of_rooms.py",
    "pretraining/test_advice_of_pretraining.py",
)
VARIABLE = "HEADSTART_HEARD"
VERBS = (
    "Add|Change|Choose|Close|Convert|Correct|Create|Cut|Delete|Divide|Draw|Drop|Evaluate|Expected|"
    "Export|Fill|Free|Give|Install|Keep|Leave|Lower|Make|Move|Name|Number|Open|Pass|Put|Raise|Read|"
    "Remove|Rename|Repeat|Replace|Run|Save|Say|Set|Split|Take|Try|Turn|Unpack|Use|Wait|Write"
)
ADVICE = re.compile(rf"(?:^|[.:;] |, or )(?:{VERBS.replace('Expected|', '')})\b|(?<!\w)--[a-z]")
SAYING = {"Finding", "emit", "BadSample"}
_GAP = "\0"


@dataclass(frozen=True)
class Sentence:
    """What the source may say: where, and its words with gaps for what is known only then."""

    place: str
    words: str

    def is_in(self, message: str) -> bool:
        """Return whether a message is this sentence with its gaps filled."""
        parts = [re.escape(part) for part in self.words.split(_GAP)]
        return re.search(".*?".join(parts), message, re.DOTALL) is not None

    def __str__(self) -> str:
        return f"{self.place}: {self.words.replace(_GAP, '…')}"


def sentences() -> list[Sentence]:
    """Return every sentence of the source that advises something."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for line, words in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            plain = words.replace(_GAP, "x")
            if len(plain) >= 40 and ADVICE.search(plain):
                found.append(Sentence(f"{path.relative_to(SOURCE)}:{line}", words))
    return found


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts that are raised, found, told, or given to a name called sentence."""
    for node in ast.walk(tree):
        told: list[ast.expr] = []
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told = [*node.exc.args]
        elif isinstance(node, ast.Call) and _name(node.func) in SAYING:
            told = [*node.args, *(k.value for k in node.keywords if k.arg == "text")]
        elif (
            isinstance(node, ast.Assign)
            and any(
                isinstance(t, ast.Name) and re.fullmatch(r"sentence|text|advice|hint|why", t.id)
                for t in node.targets
            )
        ) or (isinstance(node, ast.Return) and node.value is not None):
            told = [node.value]
        for value in told:
            words = _words(value)
            if " " in words.strip():
                yield value.lineno, words


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(v) if isinstance(v, ast.Constant) else _GAP for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left) + _words(node.right)
    return _GAP


def heard(message: object) -> None:
    """Remember what a test has heard and followed, where somebody counts."""
    if path := os.environ.get(VARIABLE):
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(" ".join(str(message).split()) + "\n")


def main() -> None:
    """Run the tests that follow advice, and print which sentences they have heard."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heard.txt"
        path.touch()
        tests = [str(ROOT / "tests" / name) for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-q", *tests]
        done = subprocess.run(command, env={**os.environ, VARIABLE: str(path)}, cwd=ROOT)
        messages = path.read_text(encoding="utf-8").splitlines()
    known = sentences()
    missing = [each for each in known if not any(each.is_in(message) for message in messages)]
    rooms: dict[str, list[int]] = {}
    for each in known:
        counts = rooms.setdefault(each.place.split("/")[0].split(":")[0], [0, 0])
        counts[0] += each not in missing
        counts[1] += 1
    for each in missing if "--missing" in sys.argv else ():
        print(each)
    for room, (number, total) in sorted(rooms.items()):
        print(f"{room:16} {number:4} of {total}")
    print(f"followed: {len(known) - len(missing)} of {len(known)} sentences that advise")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
