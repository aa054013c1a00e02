"""The decode store: right pixels, decoded once, safe against damage, full disks and rivals."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart import events
from headstart.data import load
from headstart.errors import DataError, DeviceError
from headstart.preprocessing import decode, decode_one, pixel_files
from headstart.preprocessing import decoded as pixels_module
from headstart.preprocessing.images import decode_deep

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def data(photos):
    return load(photos(cat=30, dog=30))


def entries(cache):
    return sorted((cache / "pixels").iterdir())


def forbid_decoding(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("decoded again")

    monkeypatch.setattr(pixel_files, "decode_deep", refuse)


@pytest.mark.parametrize("channels", [1, 3])
def test_decode_equals_decode_one_for_every_image(data, spec, channels):
    for name in ("train", "val", "test"):
        split = data.split(name)
        decoded = decode(data, name, spec(12, channels))
        expected = [
            decode_one(split.samples.read(i), spec(12, channels)) for i in range(len(split))
        ]
        assert np.array_equal(decoded.images, np.stack(expected))
        assert np.array_equal(decoded.targets, split.targets)
        assert np.array_equal(decoded.ids, split.ids)
        assert decoded.names == [split.samples.name(i) for i in range(len(split))]
        assert isinstance(decoded.images, np.memmap)


def test_decode_decodes_once(data, spec, cache, monkeypatch):
    first = decode(data, "train", spec())
    forbid_decoding(monkeypatch)
    again = decode(data, "train", spec())
    assert np.array_equal(again.images, first.images)
    with pytest.raises(AssertionError, match="decoded again"):
        decode(data, "train", spec(size=17))
    with pytest.raises(AssertionError, match="decoded again"):
        decode(data, "train", spec(interpolation="bicubic"))
    with pytest.raises(AssertionError, match="decoded again"):
        decode(data, "val", spec())
    assert len(entries(cache)) == 1


def test_decode_ignores_what_does_not_change_the_pixels(data, spec, monkeypatch):
    decode(data, "train", spec())
    forbid_decoding(monkeypatch)
    decode(data, "train", replace(spec(), mean=(0.0,) * 3, std=(1.0,) * 3, size=224))


def test_decode_some_indices_in_any_order(data, spec):
    indices = np.array([7, 3, 20, 3])
    some = decode(data, "train", spec(), indices=indices)
    whole = decode(data, "train", spec())
    assert np.array_equal(some.images, whole.images[indices])
    assert np.array_equal(some.targets, whole.targets[indices])
    assert some.names == [whole.names[i] for i in indices]
    other = decode(data, "train", spec(), indices=indices[::-1])
    assert np.array_equal(other.arrays(np.arange(4))[0], whole.images[indices[::-1]])
    assert len(other) == 4


def count_decoding(monkeypatch):
    """Return a list that grows by one entry for each image that is decoded."""
    decoded = []

    def count(*arguments):
        decoded.append(1)
        return decode_deep(*arguments)

    monkeypatch.setattr(pixel_files, "decode_deep", count)
    return decoded


def test_no_image_of_a_split_is_decoded_twice_whatever_was_asked_for_first(
    data, spec, cache, monkeypatch
):
    decoded = count_decoding(monkeypatch)
    sample = np.array([9, 2, 30, 11])
    first = decode(data, "train", spec(), indices=sample)
    again = decode(data, "train", spec(), indices=sample)
    more = decode(data, "train", spec(), indices=np.array([2, 4]))
    assert len(decoded) == 5
    whole = decode(data, "train", spec())
    assert len(decoded) == len(data.train)
    part = decode(data, "train", spec(), indices=sample)
    assert len(decoded) == len(data.train)
    assert [folder.name.count("-") for folder in entries(cache)] == [0]  # the parts are gone
    expected = [decode_one(data.train.samples.read(i), spec()) for i in range(len(data.train))]
    assert np.array_equal(whole.images, expected)
    for found, places in ((first, sample), (again, sample), (more, [2, 4]), (part, sample)):
        assert np.array_equal(found.arrays(np.arange(len(places)))[0], whole.images[places])


def test_a_damaged_part_is_decoded_again(data, spec, cache, monkeypatch):
    expected = decode(data, "train", spec()).images.copy()
    shutil.rmtree(cache / "pixels")
    decode(data, "train", spec(), indices=np.arange(10))
    (folder,) = entries(cache)
    content = bytearray((folder / "pixels").read_bytes())
    content[5] ^= 1
    (folder / "pixels").write_bytes(content)
    decoded = count_decoding(monkeypatch)
    assert np.array_equal(decode(data, "train", spec()).images, expected)
    assert len(decoded) == len(data.train)


def test_what_cannot_be_decoded_is_said_of_the_part_and_of_the_whole(photos, spec):
    data = load(photos(cat=60, dog=60), max_bad_fraction=0.05)
    names = truncate(data, "train", [3, 7])
    sample = np.array([7, 1, 3, 8])
    part = decode(data, "train", spec(), indices=sample)
    whole = decode(data, "train", spec())
    later = decode(data, "train", spec(), indices=sample)
    for found in (part, later):
        assert [bad.name for bad in found.bad_samples] == [names[1], names[0]]
        assert found.ids.tolist() == data.train.ids[[1, 8]].tolist()
        assert np.array_equal(found.arrays(np.arange(2))[0], whole.images[[1, 6]])
    assert [bad.name for bad in whole.bad_samples] == names


def test_decode_gives_an_array_that_torch_takes_and_that_cannot_spoil_the_cache(data, spec):
    images = decode(data, "train", spec()).images
    before = images.copy()
    torch.from_numpy(images).zero_()
    assert np.array_equal(decode(data, "train", spec()).images, before)


def test_decode_reports_progress(data, spec):
    heard = []
    with events.listen(lambda kind, fields: heard.append((kind, fields))):
        decode(data, "train", spec())
    kind, fields = heard[-1]
    assert (kind, fields["name"]) == ("task", "decode train")
    assert fields["done"] == fields["total"] == len(data.train)


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty entry", "no entry", "not json"])
def test_decode_rebuilds_a_damaged_entry(data, spec, cache, monkeypatch, damage):
    expected = decode(data, "train", spec()).images.copy()
    (folder,) = entries(cache)
    content = bytearray((folder / "pixels").read_bytes())
    if damage == "flip":
        content[1000] ^= 1
        (folder / "pixels").write_bytes(content)
    elif damage == "shorten":
        (folder / "pixels").write_bytes(content[:-1])
    elif damage == "empty entry":
        (folder / "entry.json").write_text("{}")
    elif damage == "no entry":
        (folder / "entry.json").unlink()
    else:
        (folder / "entry.json").write_text("{")
    assert np.array_equal(decode(data, "train", spec()).images, expected)
    assert entries(cache) == [folder]
    forbid_decoding(monkeypatch)
    decode(data, "train", spec())


def truncate(data, split_name, positions):
    """Cut images of a split short, after load has seen them whole, and say which."""
    split = data.split(split_name)
    names = []
    for i in positions:
        path = Path(split.samples.samples.root) / split.samples.name(i)
        path.write_bytes(path.read_bytes()[:-200])
        names.append(split.samples.name(i))
    return names


def test_decode_leaves_out_truncated_images_with_their_reason(photos, spec, cache):
    root = photos(cat=60, dog=60)
    data = load(root, max_bad_fraction=0.05)
    whole = decode(data, "train", spec()).images.copy()
    shutil.rmtree(cache / "pixels")
    bad = [0, 5, 6, len(data.train) - 1]
    names = truncate(data, "train", bad)
    kept = np.delete(np.arange(len(data.train)), bad)
    for _ in range(2):  # decoded, then from the store
        decoded = decode(data, "train", spec())
        assert [sample.name for sample in decoded.bad_samples] == names
        assert "truncated" in decoded.bad_samples[0].reason
        assert np.array_equal(decoded.images, whole[kept])
        assert np.array_equal(decoded.targets, data.train.targets[kept])
        assert np.array_equal(decoded.ids, data.train.ids[kept])
        assert not set(names) & set(decoded.names)


def test_decode_stops_when_too_many_images_are_bad(photos, spec, cache):
    root = photos(cat=60, dog=60)
    (root / "cat" / "empty.jpg").write_bytes(b"")
    data = load(root)
    names = truncate(data, "train", [4])
    with pytest.raises(DataError) as caught:  # one found by load, one now: 2 of 121
        decode(data, "train", spec())
    message = str(caught.value)
    assert "2 of 121 images" in message
    assert f"(1.7%) cannot be used, more than the limit of 0.01: {names[0]}: the image" in message
    assert "cat/empty.jpg: the file is empty" in message
    assert "--max-bad-fraction" in message
    assert not entries(cache)
    # loaded again, what breaks off is known before anything is decoded
    assert len(load(root, max_bad_fraction=0.02).bad_samples) == 2


def test_decode_names_a_file_that_vanished(data, spec):
    split = data.train
    (Path(split.samples.samples.root) / split.samples.name(0)).unlink()
    with pytest.raises(DataError, match=r"1 of 60 images .*: the image file is missing"):
        decode(data, "train", spec())


def without_cache(data, spec, monkeypatch):
    """Decode a split without the cache, and return what was said of it."""
    gc.collect()  # nothing of another test is in use any more
    heard, decoded = [], count_decoding(monkeypatch)

    def hear(kind, fields):
        heard.extend([fields["text"]] if kind == "note" else [])

    with events.listen(hear):
        part = decode(data, "train", spec(), indices=np.array([5, 3, 4]))
        whole = decode(data, "train", spec())
        again = decode(data, "train", spec())
        few = decode(data, "train", spec(), indices=np.array([1, 2]))
    # what is in use is not decoded again, but for what was begun in vain
    assert 3 + len(data.train) <= len(decoded) <= 2 * (3 + len(data.train))
    assert np.array_equal(again.images, whole.images)
    assert np.array_equal(few.arrays(np.arange(2))[0], whole.images[[1, 2]])
    assert np.array_equal(part.images, whole.images[[5, 3, 4]])
    expected = [decode_one(data.train.samples.read(i), spec()) for i in range(len(data.train))]
    assert np.array_equal(whole.images, np.stack(expected))
    torch.from_numpy(whole.images).zero_()  # an array that may be written
    assert np.array_equal(again.images, np.stack(expected))
    return heard


def test_decode_works_without_a_cache_on_a_disk_that_is_too_small(
    data, spec, cache, monkeypatch, heard
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 9, 1))
    said = without_cache(data, spec, monkeypatch)
    needed = 3 * 16 * 16 * 3  # of the first that had no room; it is said once
    assert f"need {needed:,} bytes in {cache}/pixels, where 1 are free" in said[0]
    assert len(said) == 1
    assert all(s.startswith("Works without the cache") for s in said)
    assert not entries(cache)
    monkeypatch.undo()  # some space is free, as advised
    monkeypatch.setenv("HEADSTART_CACHE", str(cache))
    decode(data, "train", spec())
    assert entries(cache)
    heard(said[0])


def test_decode_works_without_a_cache_whose_disk_fills_up(data, spec, cache, monkeypatch):
    written = os.pwrite

    def full(file, *arguments):
        if str(cache) in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(file, *arguments)

    monkeypatch.setattr(os, "pwrite", full)
    assert without_cache(data, spec, monkeypatch)
    assert not entries(cache)


@pytest.mark.parametrize("way", ["a file", "below a file", "read only", "no home", "no rights"])
def test_decode_works_without_a_cache_that_cannot_be_written(
    data, spec, tmp_path, monkeypatch, way
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "x"))
    if way == "a file":
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    elif way == "no home":
        monkeypatch.setenv("HEADSTART_CACHE", "")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    elif way != "below a file":
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
        made, code = os.mkdir, errno.EROFS if way == "read only" else errno.EACCES

        def refuse(path, *arguments, **options):
            if str(tmp_path / "cache") in str(path):
                raise OSError(code, os.strerror(code))
            return made(path, *arguments, **options)

        monkeypatch.setattr(os, "mkdir", refuse)
    said = without_cache(data, spec, monkeypatch)
    assert len(said) == len(set(said))
    assert len(said) <= 2
    assert all("Set HEADSTART_CACHE to a folder" in sentence for sentence in said)


def test_a_cache_that_may_only_be_read_is_read(data, spec, monkeypatch):
    decode(data, "train", spec())

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    forbid_decoding(monkeypatch)
    decode(data, "train", spec())


def test_decode_says_where_nothing_has_room(data, spec, cache, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    gc.collect()
    with pytest.raises(DataError, match=r"The decoded pixels of .*photos .*Set TMPDIR to a folder"):
        decode(data, "train", spec())
    assert not entries(cache)


def test_decode_leaves_nothing_half_written_on_ctrl_c(data, spec, cache, monkeypatch):
    monkeypatch.setattr(pixel_files, "CHUNK_BYTES", 16 * 16 * 3)

    def interrupt(kind, fields):
        raise KeyboardInterrupt

    with events.listen(interrupt), pytest.raises(KeyboardInterrupt):
        decode(data, "train", spec())
    assert not entries(cache)


def test_pixels_that_cannot_be_mapped_are_a_lack_of_memory_not_damage(
    data, spec, monkeypatch, heard
):
    decode(data, "train", spec())

    def refuse(*args, **options):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr(pixels_module.np, "memmap", refuse)
        words = r"pixels cannot be mapped into memory .*ulimit -v"
        with pytest.raises(DeviceError, match=words) as told:
            decode(data, "train", spec())
    assert decode(data, "train", spec())  # the limit raised, as advised
    heard(told.value)


def test_decode_removes_what_killed_processes_left(data, spec, cache):
    old, new = cache / "pixels" / "a.tmp-1", cache / "pixels" / "b.tmp-1"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    decode(data, "train", spec())
    assert not old.exists()
    assert new.exists()


RIVAL = """
import sys
from headstart.data import load
from headstart.preprocessing import decode
from headstart.types import ImageSpec
spec = ImageSpec(16, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 16, 3)
print(decode(load(sys.argv[1]), "train", spec).images.astype(int).sum())
"""


def test_two_processes_may_decode_the_same(photos, spec, cache):
    root = photos(cat=100, dog=100)
    command = [sys.executable, "-c", RIVAL, str(root)]
    rivals = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [int(rival.communicate(timeout=250)[0]) for rival in rivals]
    expected = int(decode(load(root), "train", spec()).images.astype(int).sum())
    assert sums == [expected, expected]
    (folder,) = entries(cache)
    assert json.loads((folder / "entry.json").read_text())["num_images"] == 136


def test_an_entry_made_by_a_rival_in_the_meantime_is_kept(data, spec, cache, monkeypatch):
    decode(data, "train", spec())
    (folder,) = entries(cache)
    inode = (folder / "pixels").stat().st_ino
    opened = pixels_module._open_entry
    calls = []

    def miss_once(*arguments):
        calls.append(arguments)
        return None if len(calls) == 1 else opened(*arguments)

    monkeypatch.setattr(pixels_module, "_open_entry", miss_once)
    decode(data, "train", spec())
    assert entries(cache) == [folder]
    assert (folder / "pixels").stat().st_ino == inode


def test_decode_memory_does_not_grow_with_the_number_of_images(tmp_path, spec, monkeypatch):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8), (10 * ord(label) % 256, 0, 0)).save(tmp_path / label / "0.png")
        for i in range(1, 200):
            os.link(tmp_path / label / "0.png", tmp_path / label / f"{i}.png")
    data = load(tmp_path)
    monkeypatch.setattr(pixel_files, "CHUNK_BYTES", 2**20)
    monkeypatch.setattr(pixel_files, "usable_cores", lambda: 2)  # however many cores there are
    tracemalloc.start()
    decoded = decode(data, "train", spec(size=128))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Eight chunks of 1 MiB and the check's 16 MiB a worker; the split has 13 MiB of pixels.
    assert decoded.images.nbytes > 12 * 2**20
    assert peak < decoded.images.nbytes * 2.5
