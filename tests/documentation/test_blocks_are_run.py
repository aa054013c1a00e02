"""Every block of the pages that is typed into a shell is run, or it is said why no test can.

What only reads finished runs is run by default, as are the words of every benchmark; all else is
slow: whole blocks, each by a shell in a folder of its own that holds what the block names.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import BLOCKS, LINES, ROOT, TUTORIALS, Block, all_blocks, fenced, without_comment
from filelock import FileLock
from shell import cut, environment_of, lay_out, prepare, script
from world import NAMES, RUNS, write_named

from headstart.cli import main

HOW_TO = {
    path.relative_to(ROOT).as_posix() for path in TUTORIALS
}  # test_documentation.py runs them
FOUND = [block for block in all_blocks() if block.page not in HOW_TO]
HERE = [block for block in FOUND if block.run_here]
PROGRAMS = {"headstart", "python", "curl", "openssl", "torchrun", "["}
# Verbs that read what is there, in less than two seconds; and the runs that these tests share.
READ = {"evaluate", "compare", "runs", "predict", "report", "watch", "cache", "starts", "verify"}
SHARED = ("runs/photos", "runs/other", "runs/houses", "runs/reviews")


def programs(line: str) -> set[str]:
    """Return what a line calls."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", line)
    found = (part.strip() for part in re.split(r"&&|\|\|?", bare))
    return {re.sub(r"^(?:[A-Z_]+=\S+ |taskset -c \d+ )*", "", part).split(" ")[0] for part in found}


def test_every_block_is_run_or_says_why_not() -> None:
    assert len(FOUND) > 70
    for block in FOUND:
        assert {*block.run_here, *block.elsewhere} == {*block.commands}
        for line in block.run_here:
            called = programs(line) if not re.match(r"[A-Z]=", line) else set()
            assert called <= PROGRAMS, f"{block.page}:{block.line}: nothing here runs {line}"
    left_out = [line for block in FOUND for line in block.elsewhere]
    for words in (*LINES, *BLOCKS):
        assert any(words in line for line in left_out), f"no block needs {words} any more"


def test_a_block_is_found_in_whatever_way_it_is_written(tmp_path: Path) -> None:
    text = "```sh\nheadstart fit a \\\n  --budget 1m   # soon\n```\n\n```\ntorchrun -m x\n```\n"
    (tmp_path / "page.md").write_text(text + "```json\n{}\n```\n")
    found = fenced(tmp_path / "page.md")
    assert [language for _, language, _ in found] == ["sh", "", "json"]
    block = Block("page.md", 1, found[0][2])
    assert block.commands == ("headstart fit a --budget 1m",)
    assert without_comment("headstart predict run 'no # comment' # one") == (
        "headstart predict run 'no # comment'"
    )
    assert programs("A=1 taskset -c 0 python x.py && rm -r 'a | b'") == {"python", "rm"}


def test_what_is_cut_short_stays_the_same_command() -> None:
    assert cut("headstart fit photos/ --budget 30m", "9s") == "headstart fit photos/ --budget 9s"
    assert cut("headstart rank a", "9s") == "headstart rank a --budget 9s"
    assert cut("headstart fit a --budget 2h --resume", "9s").endswith("--budget 18s --resume")
    assert cut("headstart predict runs/a b", "9s") == "headstart predict runs/a b"
    made = cut("HEADSTART_DATA=… python benchmarks/load.py --rows 10 100 --out a --seeds 0 1", "9s")
    assert made == "python benchmarks/load.py --rows 1000 --out a --seeds 0 1"


def quick_lines() -> list[str]:
    """Return the lines of all pages that read runs of pictures, rows or texts."""
    found: dict[str, None] = {}
    for block in HERE:
        for line in block.run_here:
            words = line.split()
            runs = set(re.findall(r"runs/[a-z-]+", line))
            if words[:1] != ["headstart"] or words[1] not in READ or "new.csv" in words:
                continue
            if runs <= {*SHARED, "runs/dogs"}:
                found.setdefault(line)
    return list(found)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what those lines name: made by one worker, a copy for each."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "world"
    with FileLock(f"{shared}.lock"), pytest.MonkeyPatch.context() as patch:
        if not (shared / "done").exists():
            shared.mkdir()
            patch.chdir(shared)
            write_named(shared, "README.md", [*RUNS.values(), *quick_lines()])
            for run in SHARED:
                words = ["finetune", *RUNS[run].split(), "--out", run, "--quiet"]
                assert main(words) == 0, words
            shutil.copytree(shared / "runs" / "photos", shared / "runs" / "dogs")
            (shared / "done").touch()
    copied = tmp_path_factory.mktemp("world")
    shutil.copytree(shared, copied, dirs_exist_ok=True)
    return copied


@pytest.mark.parametrize("line", quick_lines())
def test_what_reads_finished_runs_does(line: str, world: Path, monkeypatch, capfd) -> None:
    if "--engine openvino" in line:
        pytest.importorskip("openvino")  # an extra that [dev] leaves out
    monkeypatch.chdir(world)
    monkeypatch.setenv("HEADSTART_CACHE", str(world / "cache"))
    code = main(shlex.split(line, comments=True)[1:])
    told = capfd.readouterr()
    assert code == 0, told.err
    assert told.out or "report" in line or "--page" in line


def planned_lines() -> list[tuple[str, str]]:
    """Return the lines that train from scratch on files, each with its page."""
    found: dict[str, str] = {}
    for block in HERE:
        for line in block.run_here:
            trains = re.match(r"headstart (?:fit|finetune|pretrain) (\S+)", line)
            apart = re.search(r"pip/|runs/(?!\S+$)|--fixes|--from|--resume|--num-processes", line)
            if trains and not apart and trains[1] in NAMES:
                found.setdefault(line, block.page)
    return [(page, line) for line, page in found.items()]


@pytest.fixture(scope="module")
def places() -> dict[str, Path]:
    """Return the folders of pages that have been written, by page: tests of a page share one."""
    return {}


@pytest.mark.parametrize(("page", "line"), planned_lines())
def test_what_trains_takes_what_its_page_gives_it(
    page: str, line: str, places: dict[str, Path], tmp_path_factory, monkeypatch, capfd
) -> None:
    """Data are read and the training is planned, as ``--dry-run`` does."""
    folder = places.setdefault(page, tmp_path_factory.mktemp("page"))
    write_named(folder, page, [line])
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADSTART_CACHE", str(folder / "cache"))
    code = main([*shlex.split(line, comments=True)[1:], "--dry-run"])
    assert code == 0, capfd.readouterr().err


class _Read(Exception):
    """The words of a program were read."""


def benchmark_lines() -> list[str]:
    """Return every call of a benchmark."""
    found: dict[str, None] = {}
    for block in FOUND:
        for line in block.commands:
            for part in re.split(r"&&|\n", line):
                if "python benchmarks/" in part and "$" not in part:
                    found.setdefault(cut(part.strip().rstrip("'"), "20s"))
    return list(found)


@pytest.mark.parametrize("line", benchmark_lines())
def test_every_benchmark_knows_the_words_of_the_pages(line, monkeypatch) -> None:
    words = shlex.split(line.partition(" > ")[0], comments=True)
    words = words[words.index("python") + 1 :]
    whole = argparse.ArgumentParser.parse_args

    def read(parser: argparse.ArgumentParser, *given: object) -> None:
        raise _Read(whole(parser, *given))  # it stops where its work would begin

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read)
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with pytest.raises(_Read):
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", HERE, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_runs(block: Block, tmp_path: Path) -> None:
    real = any("python benchmarks/" in line for line in block.run_here)
    if real and "HEADSTART_DATA" not in os.environ:
        pytest.skip("HEADSTART_DATA names no folder that holds the data sets of the benchmarks")
    if any("--engine openvino" in line for line in block.run_here):
        pytest.importorskip("openvino")
    from socket import socket

    with socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    here, environment = lay_out(tmp_path), environment_of(tmp_path)
    prepare(here, block, environment)
    done = subprocess.run(
        ["bash", "-c", script(block, port)],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, f"{done.stderr[-6000:]}\n{done.stdout[-2000:]}"
