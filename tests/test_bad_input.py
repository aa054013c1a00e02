"""A careless person at the command line: one sentence, the right exit code, nothing left behind.

What each reader of data refuses is tested in tests/data; here the whole command is run, as typed.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli import main

TINY = ["--start", "scratch/simple-cnn", "--num-steps", "3", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _quiet_and_offline(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def jpeg(seed: int, side: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def photos(root: Path, counts: dict[str, int]) -> Path:
    for label, count in counts.items():
        folder = root / label
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.jpg").write_bytes(jpeg(number + 1000 * len(label)))
    return root


def refused(words: list[str], capsys, code: int, out: str = "run") -> str:
    """Run a command that must fail; return its sentence, with line breaks as blanks."""
    before = sorted(os.listdir(out)) if os.path.isdir(out) else None
    assert main(words) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert (sorted(os.listdir(out)) if os.path.isdir(out) else None) == before
    sentence = re.sub(r"\s+", " ", captured.err[captured.err.index("error:") :])
    assert sentence.strip().endswith((".", ")", "…"))
    return sentence


def test_a_path_that_does_not_exist(tmp_path, capsys):
    photos(tmp_path / "photos", {"cat": 9, "dog": 9})
    said = refused(["finetune", "photo", *TINY, "--out", "run"], capsys, 3)
    assert "photo" in said
    assert "Did you mean" in said


@pytest.mark.parametrize(
    ("counts", "words"),
    [({}, "is empty"), ({"cat": 9}, "cat"), ({"cat": 9, "dog": 1}, "'dog'")],
    ids=["empty folder", "one class", "class with one image"],
)
def test_a_folder_that_cannot_be_learned_from(tmp_path, capsys, counts, words):
    photos(tmp_path / "photos", counts)
    (tmp_path / "photos").mkdir(exist_ok=True)
    assert words in refused(["finetune", "photos", *TINY, "--out", "run"], capsys, 3)


def test_an_unknown_start_names_the_nearest_one(capsys):
    words = ["finetune", "digits-8x8", "--start", "timm/resnt18", "--out", "run"]
    assert "Did you mean 'timm/resnet18'?" in refused(words, capsys, 4)


def test_an_unreachable_hub_names_what_is_usable_offline(capsys):
    words = ["finetune", "digits-8x8", "--start", "timm/resnet18", "--out", "run"]
    said = refused(words, capsys, 4)
    assert "hub" in said
    assert "pip/efficientnet-lite0" in said


def test_bad_options_are_reported_all_at_once(capsys):
    words = ["finetune", "digits-8x8", "--start", "scratch/simple-cnn", "--strategy", "lpft"]
    said = refused([*words, "--bath-size", "8", "--num-epochs", "many"], capsys, 2)
    assert "Did you mean 'lp-ft'?" in said
    assert "Did you mean '--batch-size'?" in said
    assert "many" in said


def test_numbers_out_of_range_are_reported_all_at_once(capsys):
    words = ["finetune", "digits-8x8", *TINY, "--learning-rate", "-1", "--dropout", "2"]
    said = refused([*words, "--out", "run"], capsys, 2)
    assert "learning_rate is -1" in said
    assert "dropout is 2" in said


def test_a_missing_label_column(tmp_path, capsys):
    photos(tmp_path / "photos", {"cat": 9, "dog": 9})
    rows = [f"photos/{k}/{i}.jpg,{k},{i % 2}" for k in ("cat", "dog") for i in range(9)]
    Path("table.csv").write_text("\n".join(["image,kind,side", *rows]))
    said = refused(["finetune", "table.csv", *TINY, "--out", "run"], capsys, 3)
    assert "Column 'label' is missing in table.csv (found: 'image', 'kind', 'side')" in said
    assert "--label" in said


def test_a_folder_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    words = ["finetune", "digits-8x8", *TINY, "--out", "run"]
    assert "is not empty" in refused(words, capsys, 5)
    assert "did not write (thesis.txt)" in refused([*words, "--overwrite"], capsys, 5)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


def test_bad_files_are_listed_and_the_run_goes_on(tmp_path, capsys):
    root = photos(tmp_path / "photos", {"cat": 60, "dog": 60})
    (root / "cat" / "page.jpg").write_text("<!DOCTYPE html><html>not found</html>")
    words = ["finetune", "photos", *TINY, "--out", "run"]
    assert main(words) == 0
    data = Path("run/data.json").read_text()
    assert "cat/page.jpg" in data
    assert "page.jpg" in capsys.readouterr().err
    assert "HTML" in data


def test_too_many_bad_files_stop_the_run(tmp_path, capsys):
    root = photos(tmp_path / "photos", {"cat": 20, "dog": 20})
    for number in range(3):
        path = root / "cat" / f"{number}.jpg"
        path.write_bytes(path.read_bytes()[:200])  # truncated: only a full decode finds it
    (root / "dog" / "0.jpg").write_bytes(b"")
    words = ["finetune", "photos", *TINY, "--out", "run"]
    assert "--max-bad-fraction" in refused(words, capsys, 3)
    assert main([*words, "--max-bad-fraction", "0.2"]) == 0
    listed = Path("run/data.json").read_text()
    assert all(name in listed for name in ("cat/0.jpg", "cat/1.jpg", "cat/2.jpg", "dog/0.jpg"))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs a small disk")
def test_a_full_disk(tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        words = ["finetune", "digits-8x8", *TINY, "--out", str(disk / "run")]
        assert main(words) == 5  # what stands there can be gone on with, or begun again
        assert "is full" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_predict_with_no_run_and_with_a_wrong_file(tmp_path, capsys):
    assert "is not a run folder" in refused(["predict", "nowhere", "x.jpg"], capsys, 5)
    assert main(["finetune", "digits-8x8", *TINY, "--out", "run"]) == 0
    capsys.readouterr()
    assert "does not exist" in refused(["predict", "run", "x.jpg"], capsys, 3)
    Path("page.jpg").write_text("<html>")
    assert "page.jpg" in refused(["predict", "run", "page.jpg"], capsys, 3)


def test_ctrl_c_keeps_the_state_and_resume_goes_on(tmp_path, capsys):
    words = ["finetune", "digits-8x8", "--start", "scratch/simple-cnn", "--num-epochs", "100000"]
    command = [sys.executable, "-m", "headstart", *words, "--patience", "0", "--out", "run"]
    log = tmp_path / "run" / "log.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 200
        while not (log.exists() and '"kind": "check"' in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "--resume" in said
    assert list((tmp_path / "run" / "state").glob("step_*"))
    # the options are part of the run: other ones are refused, with the difference
    assert main([*command[3:], "--resume", "--seed", "1"]) == 5
    assert "seed" in capsys.readouterr().err


def test_options_are_checked_before_the_data_is_read(capsys):
    words = ["finetune", "no-such-data", "--start", "scratch/simple-cnn", "--out", "run"]
    assert "budget" in refused([*words, "--budget", "soon"], capsys, 2)
    assert "Did you mean" in refused([*words[:3], "scratch/simple-cn", *words[4:]], capsys, 4)
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("precious")
    assert "is not empty" in refused([*words[:-1], "full"], capsys, 5)
