"""Images of more than 8 bits: the range learned from train, the same for new images, or said."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import OptionError
from headstart.events import listen
from headstart.preprocessing import ImagePreprocess, decode_one
from headstart.preprocessing.images import grey_values
from headstart.preprocessing.levels import choose_range, to_eight_bits
from headstart.types import GreyLevels, ImageSpec

SPEC = ImageSpec(24, 1, (0.5,), (0.25,), "bilinear", 24, 1)
COLOUR = replace(SPEC, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3, decode_channels=3)
DRAW = np.random.default_rng(0)


def _encoded(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def _wide_png(array: np.ndarray) -> bytes:
    """Return a PNG of 16-bit colour, which Pillow cannot write."""
    import struct
    import zlib

    height, width, channels = array.shape
    kind = {3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _wide_tiff(array: np.ndarray, order: str = "<") -> bytes:
    """Return an uncompressed TIFF of any numbers, which Pillow writes in part only."""
    import struct

    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    bits, kind = array.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    pixels = array.astype(array.dtype.newbyteorder(order)).tobytes()
    many = struct.pack(f"{order}{channels}H", *[bits] * channels)
    kinds = struct.pack(f"{order}{channels}H", *[kind] * channels)
    after = 8 + 2 + 9 * 12 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits if channels == 1 else after),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if channels == 1 else 2),
        (273, 4, 1, after + 32),
        (277, 3, 1, channels),
        (279, 4, 1, len(pixels)),
        (339, 3, channels, kind if channels == 1 else after + 16),
    ]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}H", len(entries))
    for tag, form, count, value in entries:
        short = form == 3 and count == 1
        body += struct.pack(f"{order}HHI", tag, form, count)
        body += struct.pack(f"{order}HH" if short else f"{order}I", value, *([0] if short else []))
    return head + body + b"\0\0\0\0" + many.ljust(16, b"\0") + kinds.ljust(16, b"\0") + pixels


def _scans(top: float, dtype: type = np.uint16, low: float = 0) -> list[np.ndarray]:
    """Return pictures whose values use all of a range; a brighter square on every second one."""
    found = []
    for i in range(20):
        values = low + (top - low) * (0.02 + 0.5 * DRAW.random((24, 24)))
        values[6:14, 6:14] += (top - low) * 0.4 * (i % 2)
        values[0, 0], values[0, 1] = top, low
        found.append(values.astype(dtype))
    return found


def _folder(root: Path, arrays: list[np.ndarray], kind: str = "png") -> Path:
    for name in ("plain", "square"):
        (root / name).mkdir(parents=True)
    for i, array in enumerate(arrays):
        path = root / ("square" if i % 2 else "plain") / f"{i}.{kind}"
        wide = array.ndim == 3 or array.dtype.kind == "i"
        if kind == "tiff" and wide:
            path.write_bytes(_wide_tiff(array))
        elif wide:
            path.write_bytes(_wide_png(array))
        else:
            Image.fromarray(array).save(path)
    return root


@pytest.mark.parametrize(
    ("top", "low", "dtype", "kind", "expected"),
    [
        (1023, 0, np.uint16, "png", (0, 1023)),
        (2500, 0, np.uint16, "png", (0, 4095)),
        (4095, 0, np.uint16, "tiff", (0, 4095)),
        (16000, 0, np.uint16, "png", (0, 16383)),
        (60000, 0, np.uint16, "tiff", (0, 65535)),
        (200, 0, np.uint16, "png", (0, 255)),
        (3071, -1024, np.int16, "tiff", (-1024, 3071)),
        (900_000, 0, np.int32, "tiff", (0, 900_000)),
        (1.0, 0.0, np.float32, "tiff", (0, 1)),
        (37.5, 0.0, np.float32, "tiff", (0, 37.5)),
        (3000, 0, np.uint16, "arrays", (0, 4095)),
        (2000, -500, np.int16, "arrays", (-500, 2000)),
    ],
)
def test_the_range_is_learned_from_train(
    tmp_path: Path, top: float, low: float, dtype: type, kind: str, expected: tuple[float, float]
) -> None:
    arrays = _scans(top, dtype, low)
    source: object = (np.stack(arrays), ["plain", "square"] * 10)
    if kind != "arrays":
        source = _folder(tmp_path / "data", arrays, kind)
    dataset = hs.load(source)
    assert dataset.grey_levels is not None
    found, _ = choose_range(dataset.grey_levels)
    assert found == pytest.approx(expected, rel=1e-6)
    spec = replace(SPEC, value_range=found)
    pixels = ImagePreprocess(spec).prepare(dataset, "train").arrays(np.arange(len(dataset.train)))
    # what was learned uses most of the grey levels, and the brighter square is brighter
    assert len(np.unique(pixels[0])) > (60 if found[1] == 255 else 100)
    assert not ImagePreprocess(spec).prepare(dataset, "train").findings


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["png", "tiff", "deflate"])
def test_both_bytes_of_16_bit_colour_are_read(kind: str, order: str) -> None:
    colour = DRAW.integers(0, 4096, (24, 24, 3)).astype(np.uint16)
    data = _wide_png(colour) if kind == "png" else _wide_tiff(colour, order)
    if kind == "deflate":
        tifffile = pytest.importorskip("tifffile")
        file = io.BytesIO()
        tifffile.imwrite(file, colour, compression="zlib", byteorder=order)
        data = file.getvalue()
    values = grey_values(data)
    assert values is not None
    assert np.array_equal(values, colour)
    seen = decode_one(data, replace(COLOUR, value_range=(0.0, 4095.0)))
    assert np.array_equal(seen, np.rint(colour / 4095 * 255).astype(np.uint8))
    # without a range of its own it is as before: 65,535 is white
    assert np.abs(decode_one(data, COLOUR).astype(int) - (colour >> 8)).max() <= 1


def test_transparency_of_16_bit_colour_is_kept() -> None:
    colour = np.full((24, 24, 4), 4095, np.uint16)
    colour[..., :3] = (1000, 2000, 3000)
    colour[..., 3] = 65535
    colour[:12, :, 3] = 0
    seen = decode_one(_wide_png(colour), replace(COLOUR, value_range=(0.0, 4095.0)))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[20, 0].tolist() == [62, 125, 187]


@pytest.mark.parametrize("outlier", [4095, 20_000])
def test_a_crammed_range_is_brought_closer_and_an_outlier_does_not_widen_it(outlier: int) -> None:
    values = DRAW.normal(1000, 60, 100_000).clip(700, 1300)
    low, high = np.percentile(values, (0.1, 99.9))
    levels = GreyLevels(700.0, float(outlier), low, high, False)
    (black, white), why = choose_range(levels)
    assert 600 < black < 800
    assert 1200 < white < 1600
    assert "grey levels" in why
    grey, _ = to_eight_bits(values, (black, white))
    assert len(np.unique(grey)) > 100
    # a range that is used is not touched, whatever lies in it
    assert choose_range(GreyLevels(0.0, 4095.0, 10.0, 2000.0, False))[0] == (0.0, 4095.0)


def test_gaps_in_floats_are_black() -> None:
    values = np.full((24, 24), 0.5, np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    assert decode_one(file.getvalue(), SPEC)[0, :4, 0].tolist() == [0, 255, 0, 128]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    root = _folder(tmp_path_factory.mktemp("scans"), _scans(4000) + _scans(4000))
    heard: list[dict[str, object]] = []
    with listen(lambda kind, fields: heard.append({"kind": kind, **fields})):
        made = hs.finetune(
            str(root),
            start="scratch/simple-cnn",
            num_epochs=2,
            out=str(tmp_path_factory.mktemp("runs") / "scans"),
        )
    chosen = [one for one in heard if one.get("name") == "value_range"]
    assert len(chosen) == 1
    assert chosen[0]["value"] == "0 … 4,095"
    return made


def test_the_range_goes_with_the_model(run: hs.Run) -> None:
    spec = run.model.encoder.preprocess.spec  # type: ignore[attr-defined]
    assert spec.value_range == (0.0, 4095.0)
    record = json.loads((run.path / "model.json").read_text())
    assert '"value_range": [0.0, 4095.0]' in json.dumps(record)
    assert "0 … 4,095" in (run.path / "report.html").read_text()


def _said(run: hs.Run, images: list[object]) -> list[str]:
    heard: list[str] = []
    with listen(lambda kind, fields: heard.append(str(fields.get("text", "")))):
        run.predict(images)
    return [text for text in heard if text]


def test_new_images_are_read_by_the_range_of_training_or_it_is_said(run: hs.Run) -> None:
    same = _scans(4000)[:3]
    assert not _said(run, list(same))
    assert not _said(run, [_encoded(array) for array in same])
    assert not _said(run, [Image.fromarray(array) for array in same])
    first = [p.probabilities for p in run.predict(list(same))]
    assert [p.probabilities for p in run.predict([_encoded(a) for a in same])] == first
    assert [p.probabilities for p in run.predict([Image.fromarray(a) for a in same])] == first
    (text,) = _said(run, [same[0], (same[1].astype(np.uint16) * 10)])
    assert "1 of 2 images have more than 1% of their pixels outside 0 … 4,095" in text
    (text,) = _said(run, [(array // 20).astype(np.uint16) for array in same])
    assert "a small part of 0 … 4,095" in text
    (text,) = _said(run, [(array // 16).astype(np.uint8) for array in same])
    assert "None of 3 images holds more than 8 bits" in text


def test_evaluate_says_what_is_beyond_the_range(run: hs.Run, tmp_path: Path) -> None:
    brighter = [(array.astype(np.uint16) * 9) for array in _scans(4000)]
    found = hs.evaluate(run, str(_folder(tmp_path / "new", brighter)))
    assert "outside 0 … 4,095, the range learned from train" in " ".join(found.report().split())
    # read from the cache it is said again
    again = hs.evaluate(run, str(tmp_path / "new"))
    assert "outside 0 … 4,095, the range learned from train" in " ".join(again.report().split())


def test_a_model_of_8_bits_says_that_more_came(tmp_path: Path) -> None:
    arrays = [(array // 16).astype(np.uint8) for array in _scans(4000)]
    made = hs.finetune(
        str(_folder(tmp_path / "data", arrays)),
        start="scratch/simple-cnn",
        num_epochs=1,
        out=str(tmp_path / "run"),
    )
    assert made.model.encoder.preprocess.spec.value_range is None  # type: ignore[attr-defined]
    (text,) = _said(made, list(_scans(4000)[:2]))
    assert "2 of 2 images hold more than 8 bits (0 … 4,000)" in text


@pytest.mark.parametrize("given", [(0, 8000), [100.0, 3000.0], (-1024, 3071)])
def test_a_range_that_is_said_is_used(tmp_path: Path, given: list[float]) -> None:
    root = _folder(tmp_path / "data", _scans(4000))
    made = hs.finetune(
        str(root),
        start="scratch/simple-cnn",
        num_epochs=1,
        value_range=given,
        out=str(tmp_path / "run"),
    )
    assert made.model.encoder.preprocess.spec.value_range == tuple(given)  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [(4095, 0), (1,), (0, float("nan")), "auto", (5, 5)])
def test_a_range_that_is_none_is_refused(tmp_path: Path, given: object) -> None:
    root = _folder(tmp_path / "data", _scans(4000))
    with pytest.raises(OptionError, match=r"value_range is .*expected two ascending numbers"):
        hs.finetune(str(root), start="scratch/simple-cnn", value_range=given, out=tmp_path / "r")


def test_an_export_says_how_to_bring_images_to_8_bits(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", _scans(4000))
    made = hs.finetune(
        str(root), start="scratch/resnet10t", num_steps=1, input_size=32, out=str(tmp_path / "run")
    )
    heard: list[str] = []
    with listen(lambda kind, fields: heard.append(str(fields.get("text", "")))):
        folder = hs.export(made.path, out=str(tmp_path / "timm"))
    config = json.loads((folder / "config.json").read_text())
    assert config["headstart"]["value_range"] == [0.0, 4095.0]
    (text,) = [one for one in heard if "more than 8 bits" in one]
    values = _scans(4000)[0]
    advised = eval(text.split("does: ")[1].split(" (config")[0], {"numpy": np, "values": values})
    assert np.array_equal(advised, to_eight_bits(values, (0.0, 4095.0))[0])
