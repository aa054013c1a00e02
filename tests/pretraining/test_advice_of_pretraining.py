"""Advice of ``pretrain`` on images: refused, said, done, and then right (``tests/advice.py``)."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import headstart as hs
from headstart.cli import main
from headstart.errors import (
    DataError,
    HeadstartError,
    OptionError,
    RunFolderError,
    StartError,
)
from headstart.exporting.timm_start import export_timm_start
from headstart.model.pretrained import open_pretrained
from headstart.pretraining.images import read_images
from headstart.pretraining.table import command_after
from headstart.pretraining.texts import read_texts
from headstart.pretraining.worker import obey
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.training.options.pretraining_options import PretrainingOptions

Do = Callable[[Path, Path], Any]  # an empty folder and a pretrained start to what comes of it


@dataclass(frozen=True)
class Advised:
    """What is refused, what is said, and what is then done."""

    wrong: Do
    said: str
    right: Do
    error: type[HeadstartError] = OptionError


def pretrained(folder: Path, data: Any = "digits-8x8", **said: Any) -> Any:
    small = {"start": "scratch/vit-mini", "decoder_width": 32, "decoder_blocks": 1}
    small |= {"num_steps": 1, "batch_size": 8, "device": "cpu", "objective": "mae"}
    return hs.pretrain(data, **{**small, "out": str(folder / "run"), **said})


def images(folder: Path, num: int, kinds: tuple[str, ...] = ("",)) -> str:
    """Write so many digits, in a folder for each kind, and return the folder."""
    for i, digit in enumerate(load_digits().images[:num]):
        place = folder / "photos" / kinds[i % len(kinds)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digit * 15).astype(np.uint8)).save(place / f"{i}.png")
    return str(folder / "photos")


def texts(folder: Path, suffix: str) -> str:
    """Write thirty short texts under names of an ending, and return the folder."""
    place = folder / "notes"
    place.mkdir(exist_ok=True)
    for i in range(30):
        (place / f"{i}.{suffix}").write_text(f"# Note {i}\n" + f"What was said of {i}. " * 9)
    return str(place)


def table(folder: Path) -> str:
    path = folder / "rows.csv"
    path.write_text("x,label\n" + "\n".join(f"{i},{'ab'[i % 2]}" for i in range(40)))
    return str(path)


def emptied(folder: Path) -> str:
    (folder / "photos").mkdir()
    (folder / "photos" / "list.csv").write_text("image\n")
    return str(folder / "photos" / "list.csv")


def shortened(start: Path, folder: Path) -> Path:
    """Return a copy of a start whose weights were cut short."""
    copy = Path(shutil.copytree(start, folder / "copy"))
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    return copy


def of_another_network(start: Path) -> Any:
    """Return a start as if it were of a network that timm has not."""
    request = BuildRequest(image_size=(8, 8), image_channels=1)
    encoder = build_encoder(find_start("scratch/simple-cnn"), request)
    return replace(open_pretrained(start), encoder=encoder)


def told_elsewhere(fingerprint: str) -> Any:
    """Return what a worker says of data that the main process knows by a fingerprint."""
    messages = [{"kind": "data", "fingerprint": fingerprint}, {"kind": "ended"}]
    company: Any = SimpleNamespace(receive=lambda: messages.pop(0))
    return obey(company, "digits-8x8", PretrainingOptions(objective="mae"))


CONVNET = "scratch/test_resnet"

CASES = {
    "no plain transformer": Advised(
        lambda folder, _: pretrained(folder, start="scratch/simple-cnn"),
        r"cannot leave patches out.*Choose scratch/vit-tiny",
        lambda folder, _: pretrained(folder, start="scratch/vit-tiny"),
        StartError,
    ),
    "a size that patches do not lie in": Advised(
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=9),
        r"takes 9 x 9 pixels.*Say another --input-size, a multiple of 32 if in doubt",
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=32),
        StartError,
    ),
    "a ConvNet, one image at a time": Advised(
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=16, batch_size=1),
        r"sees one image at a time.*Raise --batch-size and --micro-batch-size",
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=16, batch_size=8),
    ),
    "a ConvNet, compiled": Advised(
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=16, compile=True),
        r"is a ConvNet, of which other places.*Leave --compile out",
        lambda folder, _: pretrained(folder, start=CONVNET, input_size=16),
    ),
    "a start of texts": Advised(
        lambda folder, _: pretrained(folder, start="scratch/bert-tiny"),
        r"reads texts, and objective mae learns from images\. Choose a vision transformer",
        lambda folder, _: pretrained(folder, start="scratch/vit-tiny"),
        StartError,
    ),
    "a table": Advised(
        lambda folder, _: pretrained(folder, table(folder)),
        r"holds rows; expected images for objective mae",
        lambda folder, _: pretrained(folder, images(folder, 8)),
        DataError,
    ),
    "a folder of texts": Advised(
        lambda folder, _: pretrained(folder, texts(folder, "txt")),
        r"holds 30 text files and no images; .*For texts say --objective mlm or clm",
        lambda folder, _: read_texts(texts(folder, "txt"), None),
        DataError,
    ),
    "a folder of images, for texts": Advised(
        lambda folder, _: read_texts(images(folder, 8), None),
        r"holds 8 images and no texts; .*For images say --objective mae",
        lambda folder, _: pretrained(folder, images(folder, 8)),
        DataError,
    ),
    "a folder of files that are no texts": Advised(
        lambda folder, _: read_texts(texts(folder, "docx"), None),
        r"holds no text files \(endings of its files: 30 '\.docx'\).*rename what is text",
        lambda folder, _: read_texts(texts(folder, "md"), None),
        DataError,
    ),
    "a start that is finished, resumed": Advised(
        lambda _, start: pretrained(start, out=str(start), resume=True),
        r"is a pretrained start that is finished; .*begin with it: --start .* another --out",
        lambda folder, start: pretrained(folder, start=str(start)),
        RunFolderError,
    ),
    "one image": Advised(
        lambda folder, _: pretrained(folder, images(folder, 1)),
        r"has 1 different usable images; expected at least 2.*Add images",
        lambda folder, _: pretrained(folder, images(folder, 2)),
        DataError,
    ),
    "no images": Advised(
        lambda folder, _: pretrained(folder, emptied(folder)),
        r"a header and no rows; expected one row a sample\. Add them",
        lambda folder, _: pretrained(folder, images(folder, 4)),
        DataError,
    ),
    "a test split without labels": Advised(
        lambda folder, _: pretrained(
            folder, partial(hs.load, images(folder, 8), test_fraction=0.3)
        ),
        r"test_fraction is said of data in which nothing says a label.*Leave it out",
        lambda folder, _: pretrained(folder, partial(hs.load, images(folder, 8))),
    ),
    "an option of another objective": Advised(
        lambda folder, _: pretrained(folder, objective="mlm"),
        r"decoder_width.* for objective 'mae', not 'mlm'.*Change these options",
        lambda folder, _: pretrained(folder),
    ),
    "into itself": Advised(
        lambda _, start: pretrained(start, start=str(start), out=str(start)),
        r"is the start itself.*Choose another --out",
        lambda folder, start: pretrained(folder, start=str(start)),
    ),
    "a start decides nothing": Advised(
        lambda _, start: hs.open(str(start)).model,
        r"Make one: headstart finetune DATA --start",
        lambda folder, start: (
            hs.finetune(
                "digits-8x8", start=str(start), strategy="head", out=str(folder / "tuned")
            ).model
            is not None
        ),
        RunFolderError,
    ),
    "no start": Advised(
        lambda folder, _: open_pretrained(folder),
        r"is no pretrained start; expected a folder that headstart pretrain has written\. Give one",
        lambda _, start: open_pretrained(start),
        RunFolderError,
    ),
    "damaged weights": Advised(
        lambda folder, start: open_pretrained(shortened(start, folder)),
        r"is damaged .*Run the pretraining again with --overwrite",
        lambda folder, start: pretrained(folder, out=str(shortened(start, folder)), overwrite=True),
        RunFolderError,
    ),
    "another library": Advised(
        lambda folder, start: hs.export(str(start), to="transformers", out=str(folder / "a")),
        r"expected 'timm'\. Leave --to out",
        lambda folder, start: hs.export(str(start), out=str(folder / "a")),
    ),
    "no architecture of timm": Advised(
        lambda folder, start: export_timm_start(of_another_network(start), folder / "timm"),
        r"is no architecture of timm.*headstart finetune DATA --start FOLDER",
        lambda folder, start: hs.finetune(
            "digits-8x8", start=str(start), strategy="head", out=str(folder / "tuned")
        ),
        HeadstartError,
    ),
    "other data elsewhere": Advised(
        lambda *_: told_elsewhere("another"),
        r"reads differently here .*Put the same files on every machine",
        lambda *_: told_elsewhere(read_images("digits-8x8", None).fingerprint),
        HeadstartError,
    ),
    "an occupied folder": Advised(
        lambda folder, start: export_timm_start(open_pretrained(start), start),
        r"is not empty .*Choose another --out",
        lambda folder, start: export_timm_start(open_pretrained(start), folder / "timm"),
        HeadstartError,
    ),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """Return a start of an hour's first second."""
    return pretrained(tmp_path_factory.mktemp("advice")).path


@pytest.mark.parametrize("name", CASES)
def test_what_pretraining_advises_succeeds(name, start, tmp_path, heard) -> None:
    case = CASES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()
    with pytest.raises(case.error) as refused:
        case.wrong(tmp_path / "wrong", start)
    assert re.search(case.said, str(refused.value)), str(refused.value)
    assert case.right(tmp_path / "right", start) is not False
    heard(refused.value)


def test_the_command_that_is_told_next_can_be_typed(start, tmp_path, monkeypatch, heard) -> None:
    monkeypatch.chdir(tmp_path)
    command = command_after("mae", start)
    words = shlex.split(command.replace("DATA", "digits-8x8"))
    assert words[0] == "headstart"
    assert main([*words[1:], "--device", "cpu", "--dry-run"]) == 0
    heard(command)
