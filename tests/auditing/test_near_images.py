"""Nearly the same images, planted among tiles of two photographs and among flat and odd ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_image

import headstart as hs
from headstart.auditing.audit import AuditTools, Spot
from headstart.auditing.near_images import near_images
from headstart.auditing.near_pairs import STRONG
from headstart.auditing.pictures import read_pictures
from headstart.auditing.windows import propose

TILES = {
    name: [
        Image.fromarray(load_sample_image(name)).crop((x, y, x + 100, y + 100))
        for y in range(0, 400, 100)
        for x in range(0, 600, 100)
    ]
    for name in ("china.jpg", "flower.jpg")
}


def write(folder, plant=None):
    for name, tiles in TILES.items():
        for side, part in (("train", slice(0, 16)), ("test", slice(16, 24))):
            (folder / side / name[:-4]).mkdir(parents=True)
            for i, tile in enumerate(tiles[part]):
                tile.save(folder / side / name[:-4] / f"{i}.png")
    if plant is not None:
        plant(TILES["flower.jpg"][7], folder / "test" / "flower")
    return hs.load(folder)


def recompressed(tile, target):
    tile.save(target / "planted.jpg", quality=40)


def saved(change):
    return lambda tile, target: change(tile).save(target / "planted.png")


CHANGES = {
    "resized down": saved(lambda tile: tile.resize((48, 48))),
    "resized up": saved(lambda tile: tile.resize((170, 170))),
    "stretched": saved(lambda tile: tile.resize((130, 90))),
    "recompressed": recompressed,
    "mirrored": saved(ImageOps.mirror),
    "grey": saved(lambda tile: tile.convert("L")),
    "brighter": saved(lambda tile: ImageEnhance.Brightness(tile).enhance(1.2)),
    "darker": saved(lambda tile: ImageEnhance.Brightness(tile).enhance(0.8)),
    "cropped all round": saved(lambda tile: tile.crop((10, 10, 90, 90))),
    "cropped at one corner": saved(lambda tile: tile.crop((0, 15, 85, 100))),
    "padded black": saved(lambda tile: ImageOps.expand(tile, 10)),
    "letterboxed": saved(lambda tile: ImageOps.expand(tile, (0, 40), "white")),
    "cropped, mirrored": saved(lambda tile: ImageOps.mirror(tile.crop((8, 4, 96, 92)))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_planted_copy_across_is_found_with_its_original(tmp_path, change):
    data = write(tmp_path, CHANGES[change])
    leak = near_images(data, AuditTools())[0]
    assert (leak.finding.kind, leak.finding.severity) == ("leak", "error")
    assert leak.leave_out
    (suspect,) = leak.suspects
    assert suspect.spot.split == "test"
    assert "planted" in data.test.samples.name(suspect.spot.index)
    assert suspect.beside is not None
    beside = data.split(suspect.beside.split).samples.name(suspect.beside.index)
    assert beside.endswith("flower/7.png")
    assert set(leak.together[0]) == {suspect.spot, suspect.beside}
    assert "planted" in leak.finding.sentence


def test_other_tiles_of_the_same_photographs_are_no_copies(tmp_path):
    (plain,) = near_images(write(tmp_path), AuditTools())
    assert plain.finding.sentence.startswith("5 images are of one colour")  # of the sky
    assert not plain.suspects


def arrays(images, labels):
    """Return data of which all but the last eight are train's."""
    return hs.load((np.stack(images), np.array(labels)))


def tile_arrays():
    tiles = TILES["china.jpg"] + TILES["flower.jpg"]
    return [np.asarray(tile) for tile in tiles], [0] * 24 + [1] * 24


def test_two_labels_of_nearly_one_image_are_shown_side_by_side():
    images, labels = tile_arrays()
    changed = np.asarray(TILES["flower.jpg"][3].resize((90, 90)).resize((100, 100)))
    data = arrays([*images, changed], [*labels, 0])
    found = {each.finding.kind: each for each in near_images(data, AuditTools())}
    odd = found["contradiction"]
    assert odd.finding.severity == "warning"
    (suspect,) = odd.suspects
    assert "here '0' and there '1'" in suspect.reason or "here '1'" in suspect.reason


def test_images_of_one_colour_are_counted_and_not_compared():
    images, labels = tile_arrays()
    plain = [np.full((100, 100, 3), 250 + i % 5, np.uint8) for i in range(30)]
    for i, image in enumerate(plain):
        image[i, i] -= 3  # of other bytes, each
    found = near_images(arrays([*images, *plain], [*labels, *[0, 1] * 15]), AuditTools())
    assert [each.finding.kind for each in found] == ["near copies"]
    assert found[0].finding.sentence.startswith("35 images are of one colour, nearly")


def drawn(kind, draw, size=48):
    """Return a drawing of one or two plain shapes on a plain ground."""
    ground, colour = int(draw.integers(190, 256)), tuple(draw.integers(0, 170, 3).tolist())
    image = Image.new("RGB", (size, size), (ground,) * 3)
    pen, r = ImageDraw.Draw(image), int(draw.integers(6, 15))
    x, y = (int(v) for v in draw.integers(r, size - r, 2))
    box = (x - r, y - r, x + r, y + r)
    if kind == "discs":
        pen.ellipse(box, fill=colour)
    elif kind == "rings":
        pen.ellipse(box, outline=colour, width=int(draw.integers(1, 4)))
    elif kind == "boxes":
        pen.rectangle((x - r, y - r // 2, x + r, y + r // 2), fill=colour)
    elif kind == "triangles":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=colour)
    else:
        across = tuple(int(v) for v in draw.integers(0, size, 4))
        pen.line(across, fill=colour, width=int(draw.integers(2, 5)))
    return np.asarray(image)


@pytest.mark.parametrize("kind", ["discs", "rings", "boxes", "triangles", "lines"])
def test_simple_drawings_are_no_copies_of_one_another(kind):
    draw = np.random.default_rng(1)
    images = [drawn(kind, draw) for _ in range(120)]
    found = near_images(arrays(images, [i % 2 for i in range(120)]), AuditTools())
    assert not [suspect for each in found for suspect in each.suspects]


def test_a_drawing_that_was_resized_or_recompressed_is_found_where_it_lies():
    draw = np.random.default_rng(2)
    images = [drawn("discs", draw) for _ in range(60)]
    file = io.BytesIO()
    Image.fromarray(images[7]).resize((96, 96)).resize((48, 48)).save(file, "JPEG", quality=85)
    again = np.asarray(Image.open(file).convert("RGB"))
    found = near_images(arrays([*images, again], [i % 2 for i in range(61)]), AuditTools())
    pairs = [{s.spot, s.beside} for each in found for s in each.suspects]
    assert len({frozenset(pair) for pair in pairs}) == 1


def test_a_thousand_copies_of_one_image_cost_no_more_than_a_thousand_others():
    draw = np.random.default_rng(0)
    image = np.asarray(TILES["flower.jpg"][7].resize((32, 32))).astype(int)
    crowd = [(image + draw.integers(-6, 7, image.shape)).clip(0, 255) for _ in range(1000)]
    pixels = np.stack(crowd).astype(np.uint8)
    proposed = propose(pixels, np.arange(1000))
    assert len(proposed.first) < 1000 * 200  # of 499,500 pairs
    joined = np.zeros(1000, bool)
    joined[proposed.first] = joined[proposed.second] = True
    assert joined.all()


def test_time_that_is_up_is_said(tmp_path):
    (late,) = near_images(write(tmp_path), AuditTools(is_over=lambda: True))
    assert late.finding.severity == "warning"
    assert "There was no time" in late.finding.sentence


def test_a_margin_of_one_colour_gives_a_second_picture_without_it(tmp_path):
    data = write(tmp_path, CHANGES["padded black"])
    place = next(i for i in range(len(data.test)) if "planted" in data.test.samples.name(i))
    pictures = read_pictures(data.test.samples)
    assert place in pictures.owners[len(data.test) :]


def test_no_suspect_stands_twice(tmp_path):
    (leak, *_) = near_images(write(tmp_path, recompressed), AuditTools())
    spots = [suspect.spot for suspect in leak.suspects]
    assert len(set(spots)) == len(spots)
    assert all(isinstance(spot, Spot) for spot in spots)


def test_where_likeness_is_chance_no_pair_is_certain_enough_for_a_gate(tmp_path, monkeypatch):
    """Two strokes of a pen agree to 0.998 (MNIST); one such pair of 10,000 is no leak."""
    dataset = write(tmp_path, CHANGES["resized up"])
    sure = [s for a in near_images(dataset, AuditTools()) for s in a.suspects]
    monkeypatch.setattr("headstart.auditing.near_images._allowed", lambda *a, **k: 0.03)
    unsure = [s for a in near_images(dataset, AuditTools()) for s in a.suspects]
    assert [s.spot for s in unsure] == [s.spot for s in sure]
    assert max(s.certainty for s in sure) >= STRONG > max(s.certainty for s in unsure)


def test_where_nothing_is_alike_nothing_is_found():
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (24, 24, 3)).astype(np.uint8) for _ in range(12)]
    assert near_images(arrays(images, [i % 2 for i in range(12)]), AuditTools()) == []
