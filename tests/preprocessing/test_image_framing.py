"""Pictures that are no squares: what is seen of them, measured, chosen, kept, and handed on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageOps

import headstart as hs
from headstart.errors import OptionError
from headstart.events import listen
from headstart.preprocessing import decode_one
from headstart.preprocessing.framing import choose_framing, framed_size
from headstart.types import ImageSpec

MEAN = (0.485, 0.456, 0.406)
SPEC = ImageSpec(32, 3, MEAN, (0.25,) * 3, "bilinear", 32, 3)
DRAW = np.random.default_rng(0)


def _folder(root: Path, pictures: dict[str, list[np.ndarray]]) -> Path:
    for name, arrays in pictures.items():
        (root / name).mkdir(parents=True)
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(root / name / f"{i}.png")
    return root


def _noise(shape: tuple[int, ...], top: int = 255, num: int = 12) -> list[np.ndarray]:
    return [DRAW.integers(0, top, shape).astype(np.uint8) for _ in range(num)]


def _marked(
    shape: tuple[int, int], colour: tuple[int, int, int], num: int = 24
) -> list[np.ndarray]:
    """Return long pictures with a mark near one end."""
    found = []
    for picture in _noise((*shape, 3), 60, num):
        height, width = shape
        side = min(shape) // 2
        y = 2 if height > width else int(DRAW.integers(0, height - side))
        x = 2 if width > height else int(DRAW.integers(0, width - side))
        picture[y : y + side, x : x + side] = colour
        found.append(picture)
    return found


@pytest.mark.parametrize("shape", [(20, 90), (90, 20), (33, 47), (400, 16), (32, 32), (1, 50)])
@pytest.mark.parametrize("framing", ["crop", "pad", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_framing_is_what_timm_does(
    shape: tuple[int, int], framing: str, interpolation: str
) -> None:
    mode = {"crop": "center", "pad": "border", "squash": "squash"}[framing]
    transform = timm.data.create_transform(
        (3, 32, 32),
        crop_pct=1.0,
        crop_mode=mode,
        interpolation=interpolation,
        mean=MEAN,
        std=(0.25,) * 3,
    )
    smooth = np.linspace(20, 230, shape[0] * shape[1] * 3).reshape(*shape, 3).astype(np.uint8)
    spec = replace(SPEC, framing=framing, interpolation=interpolation)  # type: ignore[arg-type]
    ours = (decode_one(smooth, spec) / 255 - np.array(MEAN)) / 0.25
    theirs = transform(Image.fromarray(smooth)).permute(1, 2, 0).numpy()
    # timm rounds the place of a centre square to whole pixels of the small picture
    most = 0.05 if framing != "crop" else 0.6
    assert np.abs(ours - theirs).max() < most


def test_grey_is_padded_with_grey_and_a_square_is_left_alone() -> None:
    grey = ImageSpec(32, 1, (0.5,), (0.25,), "bilinear", 32, 1, "pad")
    seen = decode_one(np.full((8, 32), 10, np.uint8), grey)
    assert seen[0, 0, 0] == 128
    assert seen[16, 16, 0] == 10
    for framing in ("crop", "pad", "squash"):
        square = _noise((32, 32, 3))[0]
        spec = replace(SPEC, framing=framing)  # type: ignore[arg-type]
        assert np.array_equal(decode_one(square, spec), square)


def test_sizes_follow_what_is_seen() -> None:
    assert framed_size((40, 200), "crop") == (40, 40)
    assert framed_size((40, 200), "pad") == framed_size((40, 200), "squash") == (200, 200)
    assert framed_size(None, "pad") is None
    assert choose_framing(0.8)[0] == "pad"
    assert choose_framing(0.25) == ("crop", "")


@pytest.mark.parametrize("shape", [(20, 90, 3), (90, 20, 3), (16, 400), (300, 40)])
def test_long_shapes_are_said_and_measured(tmp_path: Path, shape: tuple[int, ...]) -> None:
    root = _folder(tmp_path / "long", {"a": _noise(shape), "b": _noise(shape)})
    data = hs.load(root)
    assert any(
        "centre square" in note and "all of a picture is shown" in note for note in data.notes
    )
    assert data.image_cut == pytest.approx(1 - min(shape[:2]) / max(shape[:2]))
    for file in root.rglob("*.png"):
        ImageOps.pad(Image.open(file), (64, 64)).save(file)
    assert not any("centre square" in note for note in hs.load(root).notes)


def test_photos_are_cropped_and_a_few_long_ones_among_them_are_said(tmp_path: Path) -> None:
    photos = {"a": _noise((90, 120, 3)), "b": _noise((60, 40))}
    data = hs.load(_folder(tmp_path / "photos", photos))
    assert not any("centre square" in note for note in data.notes)
    assert choose_framing(data.image_cut)[0] == "crop"
    mixed = {
        "a": _noise((40, 40, 3), num=20),
        "b": _noise((40, 40, 3)) + _noise((10, 90, 3), num=8),
    }
    data = hs.load(_folder(tmp_path / "mixed", mixed))
    assert choose_framing(data.image_cut)[0] == "crop"
    (note,) = [note for note in data.notes if "centre square" in note]
    assert "--framing pad shows all" in note
    made = hs.finetune(
        data,
        start="scratch/simple-cnn",
        num_steps=2,
        framing="pad",  # as advised
        out=str(tmp_path / "run"),
    )
    assert made.model.encoder.preprocess.spec.framing == "pad"  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(40, 160), pytest.param((160, 40), marks=pytest.mark.slow)])
def test_what_lies_at_an_end_is_learned_and_told_and_goes_with_the_model(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    parts = {"fail": _marked(shape, (220, 40, 40)), "pass": _marked(shape, (40, 160, 220))}
    root, heard = _folder(tmp_path / "belt", parts), list[dict[str, object]]()
    with listen(lambda kind, fields: heard.append({"kind": kind, **fields})):
        run = hs.finetune(
            str(root), start="scratch/simple-cnn", num_epochs=20, out=str(tmp_path / "run")
        )
    (choice,) = [one for one in heard if one.get("name") == "framing"]
    assert choice["value"] == "pad"
    assert "cut away 75%" in str(choice["why"])
    assert run.metrics["test"]["figures"]["accuracy"]["value"] == 1.0
    assert '"framing": "pad"' in json.dumps(json.loads((run.path / "model.json").read_text()))
    assert "framing" in (run.path / "report.html").read_text()
    # predict and evaluate see what training saw
    assert hs.predict(run.path, [str(root / "fail" / "3.png")])[0].label == "fail"
    assert hs.predict(run.path, [str(root / "pass" / "3.png")])[0].label == "pass"
    found = hs.evaluate(run.path).metrics["test"]["figures"]["accuracy"]["value"]
    assert found == 1.0


def test_an_export_to_timm_sees_the_same(tmp_path: Path) -> None:
    shape = (40, 160)
    parts = {"fail": _marked(shape, (220, 40, 40)), "pass": _marked(shape, (40, 160, 220))}
    root = _folder(tmp_path / "belt", parts)
    run = hs.finetune(
        str(root), start="scratch/resnet10t", num_steps=3, input_size=64, out=str(tmp_path / "run")
    )
    folder = hs.export(run.path, out=str(tmp_path / "timm"))
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(loaded)
    assert config["crop_mode"] == "border"
    transform = timm.data.create_transform(**config)
    path = root / "fail" / "0.png"
    with torch.no_grad():
        logits = loaded(transform(Image.open(path).convert("RGB"))[None])
        theirs = (logits / run.model.temperature).softmax(1)[0]
    ours = hs.predict(run.path, [str(path)])[0].probabilities
    assert ours is not None
    assert list(ours) == pytest.approx(theirs.tolist(), abs=1e-3)


def test_a_framing_means_nothing_for_texts_and_is_checked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "good film,a\nbad film,b\n" * 20)
    with pytest.raises(OptionError, match="framing is for images"):
        hs.finetune(
            str(tmp_path / "t.csv"), start="scratch/tfidf", framing="pad", out=str(tmp_path / "r")
        )
    with pytest.raises(OptionError, match="framing is 'padding', expected 'crop', 'pad'"):
        hs.finetune("digits-8x8", start="scratch/simple-cnn", framing="padding", out="r")


def test_records_of_earlier_runs_are_read(tmp_path: Path) -> None:
    from headstart.preprocessing import ImagePreprocess

    record = ImagePreprocess(SPEC).to_json()
    del record["framing"], record["value_range"]
    ImagePreprocess.check_json(record)
    assert ImagePreprocess.from_json(record, None, "x").spec == SPEC
