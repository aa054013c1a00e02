"""Runs without a cache, and runs whose disk fills up: the work is done, or can be gone on with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart import events


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir()
        for i in range(30):
            pixels = draw.integers(0, 160, (24, 24, 3)) + 90 * number
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def _test_figures(run) -> dict:
    return run.metrics["test"]["figures"]


@pytest.fixture(scope="module")
def usual(photos, tmp_path_factory) -> dict:
    """Return the figures of a run with a cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        return _test_figures(_run(photos, tmp_path_factory.mktemp("run") / "a"))


def _run(photos, out):
    return hs.finetune(
        hs.load(photos),
        start="scratch/simple-cnn",
        strategy="last-n",
        num_steps=12,
        augment="none",  # without a cache there are as many views as steps
        out=str(out),
        device="cpu",
    )


@pytest.mark.parametrize("way", ["a file", "not to be made", "no home", "tiny limit", "tiny disk"])
def test_a_run_without_a_cache_has_the_same_figures_and_says_so_once(
    photos, usual, tmp_path, monkeypatch, way, heard
):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    if way == "a file":
        (tmp_path / "cache").write_text("")
    elif way == "not to be made":
        monkeypatch.setenv("HEADSTART_CACHE", "/proc/headstart")
    elif way == "no home":
        monkeypatch.delenv("HEADSTART_CACHE")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    elif way == "tiny limit":
        monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "1KB")
    else:
        usage = shutil.disk_usage(tmp_path)._replace(free=10)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    said = []
    with events.listen(
        lambda kind, fields: said.extend([fields["text"]] if kind == "note" else [])
    ):
        made = _run(photos, tmp_path / "run")
    assert _test_figures(made) == usual
    told = [text for text in said if text.startswith("Works without the cache")]
    assert len(told) <= 1
    if way != "tiny limit":  # pixels are kept whatever the limit
        assert "HEADSTART_CACHE" in told[0]
        log = (tmp_path / "run" / "log.jsonl").read_text()
        assert "Works without the cache" in log
    assert hs.evaluate(str(made.path)).metrics["test"]["figures"] == usual
    if way == "a file":  # as advised: a folder that can be written
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "elsewhere"))
        again: list[object] = []
        with events.listen(lambda kind, fields: again.append(fields.get("text"))):
            _run(photos, tmp_path / "again")
        assert not [text for text in again if str(text).startswith("Works without")]
        for text in told:
            heard(text)


def test_the_commands_on_the_cache_say_that_there_is_none(monkeypatch, tmp_path, heard):
    monkeypatch.delenv("HEADSTART_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(hs.errors.DataError, match=r"no home folder.*Set HEADSTART_CACHE") as told:
        hs.cache()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert hs.cache().entries == ()
    heard(told.value)
    found = hs.doctor(seconds=0.2)
    assert any("runs work without a cache" in problem for problem in found.problems)


# A disk that fills up ---------------------------------------------------------------------------

SMALL = """
import sys, os, json
from pathlib import Path
import headstart as hs
from headstart import events
from headstart.errors import RunFolderError
photos, disk, strategy = sys.argv[1:]
data = hs.load(photos)
said = dict(start="scratch/simple-cnn", strategy=strategy, out=disk + "/run", device="cpu")
if strategy == "full":
    said["num_steps"] = 12
ballast = Path(disk) / "someone elses"
ballast.write_bytes(bytes(int(os.environ["BALLAST"])))
try:
    made = hs.finetune(data, **said)
    print(json.dumps("no error"))
except RunFolderError as error:
    print(json.dumps(str(error)))
    ballast.unlink()
    made = hs.finetune(data, **said, resume="--resume" in str(error))
print(json.dumps(made.metrics["test"]["figures"]))
"""


@pytest.mark.parametrize(
    ("strategy", "ballast"),
    [
        ("head", 2_095_000),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("full", 1_950_000),
                ("full", 2_095_000),
                ("full", 2_090_000),
                ("head", 2_090_000),
            )
        ),
    ],
)
def test_a_run_on_a_full_disk_ends_in_a_sentence_whose_advice_works(
    photos, tmp_path, strategy, ballast
):
    """A file system of two megabytes, in a mount namespace of its own; needs root."""
    mount = ["unshare", "--mount", "sh", "-c"]
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=2m none "{disk}" && exec "$@"'
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*mount, script, "sh", "true"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        [*mount, script, "sh", sys.executable, "-c", SMALL, str(photos), str(disk), strategy],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BALLAST": str(ballast), "HEADSTART_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    sentence, figures = map(json.loads, done.stdout.splitlines()[-2:])
    assert "is full" in sentence
    assert figures["accuracy"]["value"] is not None
