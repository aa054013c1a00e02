"""Which sentences advise something, and which of them a test follows to success.

``python tests/advice.py`` reads every sentence out of the source, runs the tests that follow
advice, which are those that ask for the fixture ``heard``, and prints how many sentences one of
these has heard; ``--missing`` lists those that none has. A sentence advises where one of its parts
begins with what to do. Not counted: docstrings, and what says of an option what it does.
``test_advice_is_followed.py`` holds the count at the end of a whole run of the tests, conftest.py
where several workers have run it.
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
TESTS = ROOT / "tests"
VARIABLE = "HEADSTART_HEARD"
VERBS = (
    "Add|Change|Choose|Close|Convert|Correct|Create|Cut|Delete|Divide|Draw|Drop|Evaluate|Expected|"
    "Export|Fill|Free|Give|Install|Keep|Leave|Lower|Make|Move|Name|Number|Open|Pass|Put|Raise|Read|"
    "Remove|Rename|Repeat|Replace|Run|Save|Say|Set|Split(?! ')|Take|Try|Turn|Unpack|Use|Wait|Write"
)
ADVICE = re.compile(
    rf"(?:^|[.:;] |, or )(?:{VERBS.replace('Expected|', '')})\b|(?<!\w)--(?!python )[a-z]"
)
OPTIONS = {"Option"}  # their texts say what an option does
SHORTEST = 20  # characters; a part of a sentence below it could be heard in any
HEARD: list[str] = []
_GAP = "\0"
_PLACE = re.compile(r"\{\w+\}")  # of a template, filled when it is said

_SEVERAL = "only several processes say it, in tests that are slow"
# Part of the sentence, and why no quick test does as it says; tests that take longer may.
NOT_FOLLOWED = {
    "processes that train together has left": f"{_SEVERAL}: resilience/test_distributed.py",
    " has died (": f"{_SEVERAL}: test_num_processes.py",
    "Put --out on a disk that all machines share": "it needs a second machine",
    "whose weights are split so that none can try again": "it needs GPUs that are full",
    "The network has no blocks of a transformer": f"{_SEVERAL}: resilience/test_split_weights.py",
    " has no plan for tensor parallelism (": f"{_SEVERAL}: resilience/test_split_weights.py",
}
MOST = 6  # may be lowered, never raised
# A busy machine may leave one or two unsaid.
MOST_OPEN = 2  # may be lowered, never raised


@dataclass(frozen=True)
class Sentence:
    """What the source may say: where, and its words with gaps for what is known only then."""

    place: str
    words: str

    def is_in(self, message: str) -> bool:
        """Return whether a message is this sentence with its gaps filled."""
        parts = re.sub(r"\s+", " ", self.words).strip().split(_GAP)
        if not all(part in message for part in parts):  # most are not: seen without a pattern
            return False
        return re.search(".*?".join(map(re.escape, parts)), message, re.DOTALL) is not None

    def __str__(self) -> str:
        return f"{self.place}: {self.words.replace(_GAP, '…')}"


def sentences() -> list[Sentence]:
    """Return every sentence of the source that advises something."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for line, words in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            plain = words.replace(_GAP, "x")
            if len(plain) >= SHORTEST and " " in plain.strip() and ADVICE.search(plain):
                found.append(Sentence(f"{path.relative_to(SOURCE)}:{line}", words))
    return found


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts of a tree, each as a whole, without docstrings and helps of options."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and _name(node.func) in OPTIONS:
        return
    if isinstance(node, ast.expr) and (words := _words(node)).strip(_GAP):
        yield node.lineno, words
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _PLACE.sub(_GAP, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(v) if isinstance(v, ast.Constant) else _GAP for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left) + _words(node.right)
    return _GAP


def unfollowed() -> list[Sentence]:
    """Return the sentences that advise and that no test of this process has heard."""
    told = list(dict.fromkeys(HEARD))
    return [each for each in sentences() if not any(map(each.is_in, told))]


def faults() -> list[str]:
    """Return what is wrong with the advice as a whole run has heard it, a line each."""
    missing = unfollowed()
    unlisted = [
        f"{each}: follow it in a test that asks for the fixture heard"
        for each in missing
        if not any(words in each.words for words in NOT_FOLLOWED)
    ]
    found = unlisted if len(unlisted) > MOST_OPEN else []
    found += [
        f"{words}: a test follows it now, or nobody says it: take it off NOT_FOLLOWED"
        for words in NOT_FOLLOWED
        if not any(words in each.words for each in missing)
    ]
    if len(NOT_FOLLOWED) > MOST:
        found.append(f"NOT_FOLLOWED has {len(NOT_FOLLOWED)} rows, at most {MOST}")
    return found


def followers() -> set[Path]:
    """Return the files whose tests follow advice: some of them ask for the fixture heard."""
    asks = re.compile(r"^def test_\w+\([^)]*\b(?:heard|follow)\b", re.MULTILINE)
    return {
        path for path in TESTS.rglob("test_*.py") if asks.search(path.read_text(encoding="utf-8"))
    }


def heard(message: object) -> None:
    """Remember what a test has heard and followed."""
    HEARD.append(" ".join(str(message).split()))


def main() -> None:
    """Run the tests that follow advice, and print which sentences they have heard."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heard.txt"
        path.touch()
        tests = sorted(str(path) for path in followers())
        command = [sys.executable, "-m", "pytest", "-q", "--durations=15", *tests]
        done = subprocess.run(command, env={**os.environ, VARIABLE: str(path)}, cwd=ROOT)
        HEARD.extend(path.read_text(encoding="utf-8").splitlines())
    known, missing = sentences(), unfollowed()
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
