"""Images that are read rightly, or refused, though a plain reader makes something else of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import OptionError
from headstart.preprocessing.images import decode_one
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import ImageSpec

SPEC = ImageSpec(64, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 64, 3)
DRAW = np.random.default_rng(0)
JPEGS: list[dict[str, object]] = [
    {},
    {"progressive": True},
    {"subsampling": 0, "optimize": True},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 5},
]


def _scene() -> np.ndarray:
    y, x = np.mgrid[:200, :260]
    waves = 40 * np.sin(x / 9) + 30 * np.sin(y / 7) + DRAW.integers(-15, 16, (200, 260))
    return (np.array((170, 90, 60)) + waves[..., None]).clip(0, 255).astype(np.uint8)


def _encoded(array: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    image, file = Image.fromarray(array), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_jpeg_that_lost_data_before_its_end_marker_is_refused(
    options: dict[str, object], mode: str
) -> None:
    whole = _encoded(_scene(), "JPEG", mode, quality=90, **options)
    decode_one(whole, SPEC)
    # the last scan of a progressive file refines what is there: its loss cannot be seen
    for share in (0.1, 0.3) if "progressive" in options else (0.2, 0.5, 0.8):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode_one(whole[: int(len(whole) * share)] + b"\xff\xd9", SPEC)


@pytest.mark.parametrize("options", [JPEGS[0], JPEGS[2], JPEGS[3]], ids=str)
def test_a_jpeg_that_lost_data_in_the_middle_is_refused(options: dict[str, object]) -> None:
    whole = _encoded(_scene(), "JPEG", quality=90, **options)
    third = len(whole) // 3
    with pytest.raises(UnreadableImage, match="truncated"):
        decode_one(whole[:third] + whole[-third // 2 :], SPEC)


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_whole_jpeg_that_is_grey_at_its_end_is_read(
    options: dict[str, object], mode: str
) -> None:
    scene = _scene()
    scene[120:] = 128
    decode_one(_encoded(scene, "JPEG", mode, **options), SPEC)
    decode_one(_encoded(np.full((40, 40, 3), 128, np.uint8), "JPEG", mode, **options), SPEC)
    decode_one(_encoded(scene, "JPEG", mode, **options) + b"\0" * 99, SPEC)


def _shape(colour: int, alpha: int = 255) -> np.ndarray:
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[20:40, 10:50] = (colour, colour, colour, alpha)
    return picture


@pytest.mark.parametrize(("colour", "ground"), [(255, 0), (245, 0), (0, 255), (120, 255)])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_shape_on_transparency_is_seen(colour: int, ground: int, kind: str) -> None:
    seen = decode_one(_encoded(_shape(colour), kind, lossless=True), SPEC)
    assert abs(int(seen[0, 0, 0]) - ground) <= 2
    assert abs(int(seen[30, 30, 0]) - colour) <= 2


def test_faint_white_is_seen_and_a_clear_picture_is_blank() -> None:
    faint = decode_one(_shape(255, 90), SPEC)
    assert faint[0, 0, 0] == 0
    assert faint[30, 30, 0] == 90
    hidden = np.dstack([_scene(), np.zeros((200, 260), np.uint8)])
    assert (decode_one(hidden, SPEC) == 255).all()


def test_a_fourth_band_is_no_transparency() -> None:
    scene = _scene()
    band = DRAW.integers(30, 230, scene.shape[:2]).astype(np.uint8)
    expected = decode_one(scene, SPEC)
    assert np.array_equal(decode_one(np.dstack([scene, band]), SPEC), expected)
    # a soft edge is one
    soft = np.clip(np.arange(260) * 2 - 100, 0, 255).astype(np.uint8)
    seen = decode_one(np.dstack([scene, np.tile(soft, (200, 1))]), SPEC)
    assert not np.array_equal(seen, expected)


@pytest.mark.parametrize("turn", [6, 8])
def test_an_image_turned_in_memory_is_not_turned_again(turn: int) -> None:
    scene = _scene()
    exif = Image.Exif()
    exif[0x0112] = turn
    exif.get_ifd(0x8769).update({0xA002: 260, 0xA003: 200})
    stored = _encoded(scene, "JPEG", exif=exif.tobytes(), quality=95)
    opened = Image.open(io.BytesIO(stored))
    angle = Image.Transpose.ROTATE_270 if turn == 6 else Image.Transpose.ROTATE_90
    upright = decode_one(opened.transpose(angle), SPEC)
    assert np.abs(upright.astype(int) - decode_one(opened, SPEC)).max() <= 1
    assert np.abs(upright.astype(int) - decode_one(opened.convert("RGB"), SPEC)).max() <= 1


@pytest.mark.parametrize("place", ["a", "m", "z"])
def test_one_coloured_class_among_grey_ones_keeps_its_colour(tmp_path: Path, place: str) -> None:
    names = {"b": 90, "k": 90, "y": 90, place: 3}
    for name, count in names.items():
        (tmp_path / name).mkdir()
        for i in range(count):
            picture = np.repeat(DRAW.integers(70, 140, (12, 12, 1)), 3, 2).astype(np.uint8)
            if name == place:
                picture[2:6, 2:6] = (20, 90, 200)
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    assert hs.load(tmp_path).image_channels == 3
    for file in (tmp_path / place).iterdir():
        Image.open(file).convert("L").convert("RGB").save(file)
    assert hs.load(tmp_path).image_channels == 1


def _folder(root: Path, pictures: dict[str, list[np.ndarray]]) -> Path:
    for name, arrays in pictures.items():
        (root / name).mkdir(parents=True)
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(root / name / f"{i}.png")
    return root


def _noise(shape: tuple[int, ...], top: int, dtype: type = np.uint8) -> list[np.ndarray]:
    return [DRAW.integers(0, top, shape).astype(dtype) for _ in range(12)]


def test_pictures_of_one_colour_are_named(tmp_path: Path) -> None:
    blank = [np.full((20, 20, 3), 77, np.uint8) + np.uint8(i) for i in range(12)]
    found = hs.load(_folder(tmp_path, {"a": _noise((20, 20, 3), 255), "b": blank})).findings
    constant = [f for f in found if f.kind == "constant"]
    assert len(constant) == 1
    assert all(name.startswith("b/") for name in constant[0].items)


def test_batches_of_one_image_are_refused_where_statistics_are_learned(tmp_path: Path) -> None:
    data = hs.load(_folder(tmp_path / "d", {n: _noise((20, 20, 3), 255) for n in "ab"}))
    options = {"start": "scratch/resnet18", "num_epochs": 1, "batch_size": 8}
    with pytest.raises(OptionError, match=r"micro_batch_size is 1, .*--micro-batch-size 8"):
        hs.finetune(data, **options, micro_batch_size=1, out=tmp_path / "a")
    hs.finetune(data, **options, micro_batch_size=8, out=tmp_path / "b")
