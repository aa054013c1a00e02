"""One image to pixels: what each kind becomes, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.preprocessing import UnreadableImage, decode_one
from headstart.preprocessing.images import PILLOW_ERRORS, read_header

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (16, 16, 3), np.uint8)


def png_header(width, height):
    """Return a PNG that claims a size and brings no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    return start + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 100) + b"IDAT"


def test_decode_one_keeps_pixels_of_a_lossless_image_of_the_right_size(spec, encode):
    for kind, options in (("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})):
        assert np.array_equal(decode_one(encode(COLOURS, kind, **options), spec()), COLOURS)


def test_decode_one_agrees_for_path_bytes_and_array(spec, encode, tmp_path):
    large = RNG.integers(0, 256, (50, 70, 3), np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode(large))
    expected = decode_one(large, spec())
    assert np.array_equal(decode_one(path, spec()), expected)
    assert np.array_equal(decode_one(str(path), spec()), expected)
    assert np.array_equal(decode_one(path.read_bytes(), spec()), expected)
    assert expected.dtype == np.uint8
    assert expected.flags.writeable


@pytest.mark.parametrize(("width", "height"), [(64, 32), (32, 64), (32, 32), (96, 32)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_decode_one_equals_resize_then_centre_crop(spec, width, height, interpolation):
    # no noise so loud that bicubic overshoots: Pillow clips between its two passes
    image = Image.fromarray(RNG.integers(64, 192, (height, width, 3), np.uint8))
    resample = Image.Resampling[interpolation.upper()]
    whole = image.resize((width // 2, height // 2), resample)
    left, top = (whole.width - 16) // 2, (whole.height - 16) // 2
    expected = np.asarray(whole.crop((left, top, left + 16, top + 16))).astype(int)
    found = decode_one(np.asarray(image), spec(16, 3, interpolation)).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_one_applies_exif_orientation(spec, encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(COLOURS, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_one(data, spec()), expected)


def test_read_header_turns_the_size_of_a_rotated_image(encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    header = read_header(encode(np.zeros((10, 30, 3), np.uint8), "JPEG", exif=exif))
    assert (header.height, header.width) == (30, 10)


def test_decode_one_composites_transparency_on_white(spec, encode):
    clear = np.dstack([COLOURS, np.zeros((16, 16), np.uint8)])
    assert (decode_one(encode(clear), spec()) == 255).all()
    half = Image.fromarray(np.full((16, 16), 0, np.uint8))
    half.putalpha(Image.fromarray(np.full((16, 16), 128, np.uint8)))
    assert half.mode == "LA"
    assert (decode_one(encode(half), spec()) == 127).all()
    assert (decode_one(clear, spec()) == 255).all()


def test_decode_one_composites_palette_transparency_on_white(spec, encode):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    pixels = decode_one(encode(image, "PNG", transparency=0), spec())
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [40, 50, 60]


def test_decode_one_divides_16_bit_grey_by_257(spec, encode):
    wide = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    pixels = decode_one(encode(wide), spec(channels=1))
    assert np.array_equal(pixels[..., 0], np.arange(256).reshape(16, 16))


def test_decode_one_converts_cmyk_to_rgb(spec, encode):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = decode_one(encode(cyan, "JPEG", quality=100), spec())[8, 8].tolist()
    assert red < 5
    assert green > 250
    assert blue > 250


def test_decode_one_reads_one_bit_images_as_black_and_white(spec, encode):
    image = Image.fromarray(np.arange(256).reshape(16, 16) % 2 == 1)
    assert image.mode == "1"
    pixels = decode_one(encode(image), spec(channels=1))
    assert np.array_equal(pixels[..., 0], np.asarray(image) * 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_decode_one_takes_the_first_frame_of_an_animation(spec, encode, kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode_one(data, spec())[0, 0].tolist() == [255, 0, 0]


def test_decode_one_gives_grey_from_colour_and_colour_from_grey(spec, encode):
    grey = RNG.integers(0, 256, (16, 16), np.uint8)
    three = decode_one(encode(grey), spec(channels=3))
    assert np.array_equal(three, np.repeat(grey[..., None], 3, axis=2))
    assert decode_one(encode(COLOURS), spec(channels=1)).shape == (16, 16, 1)


def test_decode_one_reads_a_large_jpeg_near_its_full_decode(spec, encode):
    smooth = np.linspace(0, 255, 512).astype(np.uint8)
    image = np.dstack([np.tile(smooth, (512, 1)), np.tile(smooth[:, None], (1, 512))] * 2)[..., :3]
    data = encode(np.ascontiguousarray(image), "JPEG", quality=95)
    full = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    difference = decode_one(data, spec()).astype(int) - decode_one(full, spec()).astype(int)
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"\n<!DOCTYPE html><html>", "it is an HTML page, not an image"),
        (b"<svg xmlns=", "SVG text"),
        (b"II*\0 a tiff", "the TIFF file is truncated or damaged"),
        (b"\0" * 128 + b"DICM", "DICOM file, which is not read; write its pixels as 16-bit PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 image, which is not read; write it as PNG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "a video"),
        (b"%PDF-1.7", "PDF"),
        (b"hello", "it is not a JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC image"),
        (b"\xff\xd8\xff\xe0", "file is truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n", "file is truncated or damaged"),
    ],
)
def test_read_header_names_what_is_no_image(data, words):
    with pytest.raises(UnreadableImage) as caught:
        read_header(data)
    assert words in caught.value.reason


def test_read_header_refuses_a_bomb_without_decoding_it(recwarn):
    with pytest.raises(UnreadableImage, match="30000 x 30000 pixels are 900 megapixels"):
        read_header(png_header(30000, 30000))
    with pytest.raises(UnreadableImage, match="more than the limit of 50"):
        read_header(png_header(9000, 9000))
    assert not recwarn.list


def test_decode_one_refuses_an_81_megapixel_image_from_a_small_file(spec, encode):
    data = encode(Image.new("1", (9000, 9000)))
    assert len(data) < 100_000
    with pytest.raises(UnreadableImage, match="9000 x 9000 pixels are 81 megapixels"):
        decode_one(data, spec())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_decode_one_refuses_a_truncated_image(spec, encode, kind):
    data = encode(RNG.integers(0, 256, (64, 64, 3), np.uint8), kind)
    with pytest.raises(UnreadableImage, match="truncated or damaged"):
        decode_one(data[: len(data) // 2], spec())


def test_decode_one_names_the_path_and_what_to_do(spec, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(UnreadableImage) as caught:
        decode_one(tmp_path / "page.jpg", spec())
    assert str(caught.value) == (
        f"Image '{tmp_path}/page.jpg' cannot be used: it is an HTML page, not an image. "
        "Expected a whole JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC image; replace it or leave "
        "it out."
    )
    with pytest.raises(UnreadableImage, match="the image file is missing"):
        decode_one(tmp_path / "none.jpg", spec())
    with pytest.raises(UnreadableImage, match="it is a folder"):
        decode_one(tmp_path, spec())


def test_decode_one_refuses_arrays_that_are_no_images(spec):
    with pytest.raises(UnreadableImage, match=r"the array is bool with shape \(4, 4\)"):
        decode_one(np.zeros((4, 4), bool), spec())
    with pytest.raises(UnreadableImage, match=r"the array is uint16 with shape \(4, 4, 4\)"):
        decode_one(np.zeros((4, 4, 4), np.uint16), spec())
    with pytest.raises(UnreadableImage, match=r"shape \(4, 4, 2\)"):
        decode_one(np.zeros((4, 4, 2), np.uint8), spec())


def test_damaged_bytes_end_in_one_kind_of_error(spec, encode):
    """Flip bytes at random: an image or UnreadableImage, nothing else escapes."""
    outcomes = set()
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"):
        whole = encode(COLOURS, kind)
        for _ in range(60):
            data = bytearray(whole)
            for position in RNG.integers(0, len(data), 4):
                data[position] = RNG.integers(0, 256)
            try:
                assert decode_one(bytes(data), spec()).shape == (16, 16, 3)
                outcomes.add("read")
            except UnreadableImage:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}
    assert OSError in PILLOW_ERRORS


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1", "I;16"])
def test_decode_one_reads_a_pillow_image_as_its_file(spec, mode):
    pixels = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image
    image = image.convert(mode) if mode != "I;16" else image
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    image.save(file, "JPEG" if mode == "CMYK" else "PNG", exif=exif)
    opened = Image.open(io.BytesIO(file.getvalue()))
    found = decode_one(opened, spec())
    assert np.array_equal(found, decode_one(file.getvalue(), spec()))
    assert opened.size == (30, 20)  # the caller's image stays as it was
