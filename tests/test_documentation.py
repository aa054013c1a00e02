"""The documentation cannot drift: commands are read, programs run, the site made."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.arguments import read_arguments
from headstart.cli import LOAD, VERBS
from headstart.commands import Command, has_data, read_command
from headstart.errors import RunFolderError
from headstart.tracking.table import TRACKERS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "README.zh-CN.md"]
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
RUN_HERE = [*TUTORIALS, DOCS / "guide.md"]  # every program of theirs is run
GUIDE = (DOCS / "guide.md").read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{language})\n(.*?)^```", text, re.M | re.S)


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the words after ``headstart`` of every command of a page."""
    for block in blocks(path, "bash|sh|console"):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = shlex.split(line, comments=True) if re.search(r"\bheadstart ", line) else []
            if "headstart" in words:
                after = words[words.index("headstart") + 1 :]
                ends = [place for place, word in enumerate(after) if word in ("&&", "||", ">", "|")]
                # a variable of the script may stand for any words, or for none
                yield [word for word in after[: min(ends, default=None)] if word[0] != "$"]


def read(verb: str) -> Command:
    module, name = VERBS[verb]
    function = getattr(import_module(module), name)
    load = getattr(import_module(LOAD[0]), LOAD[1]) if has_data(function) else None
    return read_command(verb, function, load)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_the_pages_is_one(path: Path) -> None:
    for words in commands(path):
        if not words or words[0].startswith("-") or words[0] == "help" or "…" in " ".join(words):
            continue
        try:
            read_arguments(read(words[0]), words[1:])
        except RunFolderError:
            assert "--from" in words  # a run that is not there: the words are right


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_program_of_the_pages_is_python(path: Path) -> None:
    for block in blocks(path, "python"):
        if path.name != "design.md":  # contracts, which tests/test_design.py reads
            ast.parse(block)


# that one trains a network: it takes as long as all others together
SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in TUTORIALS if path.stem == "mnist"]


@pytest.mark.parametrize(
    "path", [*(p for p in RUN_HERE if p.stem != "mnist"), *SLOW], ids=lambda path: path.stem
)
def test_the_programs_of_tutorials_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(path, "python"):
        exec(compile(block, str(path), "exec"), names)


def write_photos(folder: Path) -> None:
    """Write photographs of two classes, and one beside them."""
    draw = np.random.default_rng(0)
    for i in range(60):
        place = folder / "photos" / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 60, (32, 32, 3)) + 120 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    for name in ("photo.jpg", "new.jpg"):
        shutil.copy(folder / "photos" / "dark" / "0.png", folder / name)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", ["README.md", "README.zh-CN.md", "docs/check.md"])
def test_the_programs_of_other_pages_run(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are given photographs, and half a minute in place of half an hour."""
    write_photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"hs": hs}
    found = blocks(ROOT / path, "python")
    assert found
    for block in found:
        exec(compile(block.replace('"30m"', '"25s"'), path, "exec"), names)
    others = {each for each in PAGES if blocks(each, "python")} - {DOCS / "design.md"}
    run = {*RUN_HERE, *(DOCS / "zh" / each.name for each in TUTORIALS)}
    assert others - run == {ROOT / "README.md", ROOT / "README.zh-CN.md", DOCS / "check.md"}


def test_both_languages_have_the_same_blocks() -> None:
    assert len(TUTORIALS) == 5
    for path in TUTORIALS:
        for language in ("bash", "python"):
            assert blocks(DOCS / "zh" / path.name, language) == blocks(path, language), path.name


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading of the guide."""
    section = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_guide_names_every_variable_of_ours() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    ours = {name for text in sources for name in re.findall(r"HEADSTART_[A-Z_]+[A-Z]", text)}
    told = {re.findall(r"`(\w+)", row[0])[0] for row in rows("Environment variables")}
    # one process of a command tells another: when it began, where it listens; nobody sets these
    own = {"HEADSTART_BEGAN", "HEADSTART_KEPT"}
    assert {name for name in told if name.startswith("HEADSTART")} == ours - own


def test_the_guide_names_every_exit_code() -> None:
    table = {row[1].strip("`"): row[0] for row in rows("Exit codes") if row[1]}
    errors = vars(import_module("headstart.errors")).values()
    codes = {
        each.__name__: each.exit_code
        for each in errors
        if isinstance(each, type) and issubclass(each, hs.HeadstartError)
    }
    for name, code in codes.items():
        if code in {int(told) for told in table.values() if told.isdigit()}:
            continue  # a kind of one that is named
        assert name == "Interrupted"
        assert table[name] == "128 + n"
    for name, told in table.items():
        assert told == ("128 + n" if name == "Interrupted" else str(codes[name]))


def test_the_guide_and_the_package_name_every_tracker() -> None:
    table = {row[0].strip("`"): row[1].strip("`") for row in rows("Trackers: `--log`")}
    assert table == {name: row.extra for name, row in TRACKERS.items()}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(filter(None, table.values())) <= set(extras["optional-dependencies"])


def test_the_reference_has_a_page_for_each_verb_and_name_without_holes() -> None:
    sys.path.insert(0, str(DOCS / "hooks"))
    try:
        pages = import_module("reference").pages()
    finally:
        sys.path.remove(str(DOCS / "hooks"))
    assert set(VERBS) | {"load", "HeadstartClassifier", "errors", "index"} <= set(pages)
    assert "| `--budget TEXT` | `10m` | Hard limit" in pages["fit"]
    assert "--val-fraction FLOAT" in pages["fit"].partition("reading the data")[2]
    for name, text in pages.items():
        for line in text.splitlines():
            assert not re.fullmatch(r"\| `.+` \| +\|", line), f"{name}: {line} says nothing"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index", "guide", "reference/fit", "zh/mnist", "json"):
        html = (tmp_path / "site" / f"{page}.html").read_text(encoding="utf-8")
        assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)"', html), page


def shortened(words: list[str]) -> list[str]:
    """Return a command of a tutorial within 45 seconds."""
    place = words.index("--budget") + 1 if "--budget" in words else None
    return [*words] if place is None else [*words[:place], "45s", *words[place + 1 :]]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_commands_of_tutorials_run(path: Path, tmp_path: Path) -> None:
    if "HEADSTART_DATA" not in os.environ:
        pytest.skip("HEADSTART_DATA names no folder that holds mnist and cifar10")
    write_photos(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    for words in commands(path):
        words = shortened(words)
        if "--resume" in words:
            continue  # of a run that Ctrl-C has ended: tests/resilience does that
        command = [sys.executable, "-m", "headstart", *words]
        if words[0] == "serve":
            server = subprocess.Popen([*command, "--port", "0"], cwd=tmp_path, env=environment)
            with pytest.raises(subprocess.TimeoutExpired):
                server.wait(timeout=15)  # it serves until it is told to end
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=60) == 0
            continue
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
