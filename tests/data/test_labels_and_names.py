"""Labels are tidied by one rule wherever they come from; names that are not UTF-8 break nothing."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.cells import shown
from headstart.tasks import tidy_labels

NFC, NFD = (unicodedata.normalize(form, "caf\xe9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["oak", " oak", "oak\t", "elm"], ["oak", "oak", "oak", "elm"]),
        (["oak\u00a0", "\ufeffoak", "elm\u200b"], ["oak", "oak", "elm"]),
        ([NFC, NFD, "tea"], [NFC, NFC, "tea"]),
        (["\uac00", "\u1100\u1161"], ["\uac00", "\uac00"]),
        (["2", "2.0", "7.00", "-1.0"], ["2", "2", "7", "-1"]),
        (["3.0", "3", "other"], ["3", "3", "other"]),
        (["1.5", "1.0", "2.5"], ["1.5", "1.0", "2.5"]),
        (["01", "1"], ["01", "1"]),
        (["Oak", "oak"], ["Oak", "oak"]),
        (["tigr\udce9", "cat"], ["tigr\\xe9", "cat"]),
    ],
)
def test_labels_are_read_as_they_are_meant(written: list[str], meant: list[str]) -> None:
    assert tidy_labels(written, "Column 'label'")[0] == meant


def test_several_spellings_are_said_with_their_difference() -> None:
    _, findings = tidy_labels([NFC, NFD, NFD, "oak", "oak "], "Column 'kind'")
    assert "'caf\\xe9' (1)" in findings[0].sentence
    assert "'cafe\\u0301' (2)" in findings[0].sentence
    assert "1 more" in findings[0].sentence
    assert tidy_labels(["oak ", "elm "], "Column 'kind'")[1] == []  # nothing became one


def _picture(path: bytes | Path, value: int) -> None:
    noise = np.random.default_rng(value).integers(0, 40, (16, 16, 3)) + value % 2 * 150
    with open(path, "wb") as file:
        Image.fromarray(noise.astype(np.uint8)).save(file, "PNG")


@pytest.mark.parametrize("kind", ["image", "text", "table"])
def test_a_blank_makes_no_class_of_its_own_in_any_modality(tmp_path: Path, kind: str) -> None:
    rows = []
    for i in range(40):
        label = ("elm", "oak")[i % 2] + " " * (i % 5 == 0)
        _picture(tmp_path / f"{i}.png", i)
        value = {
            "image": f"{i}.png",
            "text": f"The sentence of number {i} has quite a few words of its own",
            "table": f"{i * 0.37:.2f}",
        }[kind]
        rows.append(f"{value},{label}")
    head = {"image": "image,label", "text": "text,label", "table": "width,label"}[kind]
    (tmp_path / "all.csv").write_text("\n".join([head, *rows]))
    dataset = hs.load(tmp_path / "all.csv", label="label")
    assert dataset.schema.classes == ("elm", "oak")
    assert any("read as one class" in note for note in dataset.notes)


def test_class_folders_of_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    for split, form in (("train", "NFD"), ("test", "NFC")):
        for place, name in enumerate(("caf\xe9", "th\xe9")):
            folder = tmp_path / split / unicodedata.normalize(form, name)
            folder.mkdir(parents=True)
            for i in range(8):
                _picture(folder / f"{i}.png", 10 * i + place + (split == "test") * 200)
    dataset = hs.load(tmp_path)
    assert dataset.schema.classes == ("caf\xe9", "th\xe9")
    assert len(dataset.test) == 16


@pytest.mark.parametrize("where", ["file", "class"])
def test_names_that_are_not_utf8_go_through_to_the_report(tmp_path: Path, where: str) -> None:
    root = os.fsencode(tmp_path / "data")
    for place, name in enumerate(
        (b"fl\xe8che", b"pl\xfcsch") if where == "class" else (b"a", b"b")
    ):
        os.makedirs(os.path.join(root, name))
        for i in range(12):
            file = b"%d.png" % i if where == "class" else b"%d\xff.png" % i
            _picture(os.path.join(root, name, file), 2 * i + place)
    dataset = hs.load(tmp_path / "data")
    if where == "class":
        assert dataset.schema.classes == ("fl\\xe8che", "pl\\xfcsch")
    else:
        assert dataset.train.samples.name(0).endswith("\\xff.png")
    run = hs.finetune(dataset, start="scratch/simple-cnn", num_epochs=1, out=tmp_path / "run")
    json.loads((run.path / "data.json").read_text("utf-8"))
    (run.path / "report.html").read_text("utf-8")
    files = [os.fsdecode(os.path.join(root, n)) for n in sorted(os.listdir(root))]
    answers = hs.predict(str(run.path), files[:1])
    json.dumps([p.name for p in answers]).encode()
    assert all(p.name.encode() for p in answers)


def test_a_name_is_shown_as_it_is_where_it_can_be() -> None:
    assert shown("plain") == "plain"
    assert shown("caf\xe9 \U0001f600") == "caf\xe9 \U0001f600"
    assert shown("a\udcff") == "a\\xff"
    assert shown("a\ud800").encode() == b"a\\ud800"
