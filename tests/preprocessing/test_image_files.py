"""Kinds of image files: each is read rightly, or refused with the way out."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import DataError
from headstart.preprocessing import UnreadableImage, decode_one
from headstart.preprocessing.for_images import ImagePreprocess
from headstart.preprocessing.image_files import OTHER_SUFFIXES, READ_SUFFIXES
from headstart.preprocessing.images import read_header
from headstart.types import ImageSpec, Schema

SPEC = ImageSpec(16, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 16, 3)
DRAW = np.random.default_rng(0)
COLOURS = DRAW.integers(0, 256, (16, 16, 3), np.uint8)
# 64 x 48 pixels, red beside blue, a white corner at the top left; to be turned by a quarter
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAKEAAgAAAAACjQABAAAAAAAAACQAAAA4aWlu"
    "ZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAB"
    "B2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAA"
    "AAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAa"
    "aXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAM1tZGF0AAAAnSgBrwng48BDiprx8gx1Ldv/3K/A8egOPvH/zhP03wkR"
    "MY3OXbS/+L/pP6gIvIFve0/hcRiSWkIe34crDhnapD8MDC3uun/90TNf1tO7+EGQ9+2hDW//zOvwfxhPz/xJ90UN"
    "MFPbwoEXArxjIglKvTjmMQS3Wm6rsK34mQUWEHwQBu8IBBYlw1+ISX3DeQm+BsIgnej81QET2C5E7KwAAAAGRXhp"
    "ZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "tiff_lzw"},
        {"compression": "tiff_adobe_deflate"},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"big_tiff": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "YCbCr"])
def test_a_tiff_is_read_as_pillow_reads_the_picture(mode: str, options: dict[str, object]) -> None:
    if mode == "YCbCr" and (options.get("compression") or int(PIL.__version__.split(".")[0]) < 13):
        pytest.skip("Pillow does not write it, or before 13 does not read it")
    image = Image.fromarray(COLOURS).convert(mode)
    data = _encoded(image, "TIFF", **options)
    assert np.array_equal(decode_one(data, SPEC), decode_one(_again(data), SPEC))
    if mode in ("RGB", "L", "P", "1"):
        assert np.array_equal(decode_one(data, SPEC), np.asarray(image.convert("RGB")))
    header = read_header(data)
    assert (header.height, header.width, header.num_pages) == (16, 16, 1)


def _again(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_turned_picture_is_turned_once(kind: str, turn: int) -> None:
    scene = np.zeros((40, 60, 3), np.uint8)
    scene[:20, :20] = 250
    scene[20:, 40:, 0] = 250
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"quality": 100} if kind == "AVIF" else {}
    data = _encoded(Image.fromarray(scene), kind, exif=exif, **options)
    angle = {1: None, 3: "ROTATE_180", 6: "ROTATE_270", 8: "ROTATE_90"}[turn]
    upright = Image.fromarray(scene)
    if angle:
        upright = upright.transpose(Image.Transpose[angle])
    header = read_header(data)
    assert (header.width, header.height) == upright.size
    seen, expected = decode_one(data, SPEC), decode_one(np.asarray(upright), SPEC)
    assert np.abs(seen.astype(int) - expected).max() <= 12


def test_a_heic_photo_is_read_upright() -> None:
    pytest.importorskip("pi_heif")
    assert (read_header(HEIC).height, read_header(HEIC).width) == (64, 48)
    seen = decode_one(HEIC, SPEC).astype(int)
    assert seen[0, -1].min() > 200  # the corner that was at the top left
    assert seen[4, 4, 0] > 150  # red is above
    assert seen[12, 8, 2] > 150


def test_without_the_extra_a_heic_photo_is_refused_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from headstart.preprocessing import image_files

    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(image_files, "find_spec", lambda name: None)
    with pytest.raises(UnreadableImage, match=r" install 'headstart\[heic\]'"):
        decode_one(HEIC, SPEC)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.heic").write_bytes(HEIC)
    with pytest.raises(DataError, match=r"x\.heic.*HEIC.* install 'headstart\[heic\]'"):
        hs.load(tmp_path)


def _pages(num: int) -> bytes:
    frames = [Image.fromarray(DRAW.integers(0, 256, (16, 16), np.uint8)) for _ in range(num)]
    return _encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("num", [2, 5, 30])
def test_of_several_pages_the_first_is_used_and_it_is_said(tmp_path: Path, num: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(12):
            (tmp_path / name / f"{i}.tif").write_bytes(_pages(num if i % 2 else 1))
    data = hs.load(tmp_path)
    (found,) = [f for f in data.findings if "pages" in f.sentence]
    assert f"({num})" in found.sentence
    assert all(int(Path(name).stem) % 2 for name in found.items)
    whole = _pages(num)
    assert np.array_equal(decode_one(whole, SPEC), decode_one(_again(whole), SPEC))


@pytest.mark.parametrize("big", [False, True])
def test_pages_are_said_of_new_images_as_of_those_of_training(tmp_path: Path, heard, big) -> None:
    for name in ("a", "b"):
        (tmp_path / "new" / name).mkdir(parents=True)
        for i in range(3):
            path = tmp_path / "new" / name / f"{i}.tif"
            frames = [Image.fromarray(DRAW.integers(0, 256, (16, 16), np.uint8)) for _ in range(4)]
            more = frames[1:] if i == 1 else []
            frames[0].save(path, save_all=True, append_images=more, big_tiff=big)
    schema = Schema("image", "classification", ("a", "b"), None)
    for_test = hs.data.load(tmp_path / "new", schema=schema)  # as evaluate reads it
    listed = [tmp_path / "new" / "a" / f"{i}.tif" for i in range(3)]
    given = ImagePreprocess(SPEC).read(listed)  # as predict and the server do
    for num, found in ((6, for_test.findings), (3, given.findings)):
        (said,) = [f.sentence for f in found if "several pages" in f.sentence]
        assert f" of {num} images have several pages" in said
        assert "(4)" in said
    apart = tmp_path / "apart.tif"
    with Image.open(listed[1]) as first:
        first.save(apart)  # the first page alone
    assert not ImagePreprocess(SPEC).read([apart]).findings
    heard(said)


@pytest.mark.parametrize("suffix", [".dcm", ".DICOM"])
def test_dicom_is_refused_with_the_way_out(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            (tmp_path / name / f"{i}{suffix}").write_bytes(b"\0" * 128 + b"DICM" + bytes(100))
    with pytest.raises(DataError, match=r"DICOM file, which is not read.*pydicom\.dcmread"):
        hs.load(tmp_path)


@pytest.mark.parametrize(
    "kind", ["uint32 planes", "float64", "not a picture", "cut", "no directory"]
)
def test_what_no_reader_takes_ends_in_one_sentence(kind: str) -> None:
    whole = _encoded(Image.fromarray(COLOURS), "TIFF", compression="tiff_lzw")
    data = {
        "uint32 planes": whole.replace(b"\x08\x00\x08\x00\x08\x00", b"\x20\x00\x20\x00\x20\x00"),
        "float64": whole.replace(b"\x08\x00\x08\x00\x08\x00", b"\x40\x00\x40\x00\x40\x00"),
        "not a picture": b"II*\0" + bytes(40),
        "cut": whole[: len(whole) // 3],
        "no directory": b"MM\0*\0\0\0\x08\0\0",
    }[kind]
    with pytest.raises(UnreadableImage) as caught:
        decode_one(data, SPEC)
    reason = caught.value.reason
    expected = "not read" if kind in ("uint32 planes", "float64") else "truncated or damaged"
    assert expected in reason


def test_every_list_of_suffixes_is_the_same(tmp_path: Path) -> None:
    from headstart.data.sources.folder import is_image
    from headstart.data.sources.handed import as_pictures

    for suffix in (*READ_SUFFIXES, *OTHER_SUFFIXES):
        for spelled in (suffix, suffix.upper()):
            assert is_image(f"x{spelled}"), spelled
            assert as_pictures([f"x{spelled}"]) is not None, spelled
