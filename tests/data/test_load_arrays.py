"""Arrays and tensors: which shapes and ranges are images, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.data import load
from headstart.errors import DataError
from headstart.preprocessing import decode, decode_one
from headstart.preprocessing.arrays import image_array
from headstart.preprocessing.levels import choose_range

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (40, 9, 8), np.uint8)
Y = np.tile([0, 1], 20)


def pixels(data, name="train"):
    return data.split(name).samples.images


def test_a_printed_data_set_is_one_line_that_names_it():
    rows = np.random.default_rng(0).random((60, 5))
    data = load((rows, np.arange(60) % 2))
    assert repr(data) == "<Dataset 'arrays': table, train 41, val 7, test 12, 2 classes>"


def test_load_splits_arrays_with_their_targets():
    data = load((X, Y))
    assert data.source is None
    assert (data.image_size, data.image_channels) == ((9, 8), 1)
    for split in (data.train, data.val, data.test):
        for i in range(len(split)):
            position = int(split.samples.name(i)[2:-1])
            assert np.array_equal(split.samples.read(i)[..., 0], X[position])
            assert split.targets[i] == Y[position]
    assert load((X, Y)).fingerprint == data.fingerprint
    changed = X.copy()
    changed[7, 0, 0] ^= 1
    assert load((changed, Y)).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    "same",
    [
        X[..., None],
        X[:, None],
        X / 255,
        (X / 255).astype(np.float32),
        torch.from_numpy(X),
        torch.from_numpy(X[:, None] / 255).requires_grad_(),
        X.tolist(),
    ],
    ids=["last", "first", "float64", "float32", "tensor", "float tensor", "list"],
)
def test_load_reads_the_same_images_in_any_form(same, spec):
    if isinstance(same, list):  # int64: what of it is black and white is learned, here 0 and 255
        data = load((same, Y))
        known, _ = choose_range(data.grey_levels)
        stored = [
            decode_one(image, replace(spec(8, 1), value_range=known)) for image in pixels(data)
        ]
        assert np.array_equal(stored, decode(load((X, Y)), "train", spec(8, 1)).images)
        assert data.notes == load((X, Y)).notes
        return
    assert load((same, Y)).fingerprint == load((X, Y)).fingerprint


def test_load_reads_colour_arrays_with_channels_first_or_last():
    colours = RNG.integers(0, 256, (40, 9, 8, 3), np.uint8)
    last, first = load((colours, Y)), load((colours.transpose(0, 3, 1, 2), Y))
    assert last.fingerprint == first.fingerprint
    assert last.image_channels == 3
    assert load((np.repeat(X[..., None], 3, axis=3), Y)).image_channels == 1


def test_load_takes_string_targets_and_torch_targets():
    assert load((X, np.where(Y, "b", "a"))).schema.classes == ("a", "b")
    assert load((X, torch.from_numpy(Y))).fingerprint == load((X, Y)).fingerprint
    assert load((X, Y * 10 + 2)).schema.classes == ("2", "12")


def test_image_array_makes_no_copy_of_uint8():
    assert np.shares_memory(image_array(X), X)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (X[0], r"X has shape \(9, 8\)"),
        (X[:0], r"X is empty, of shape \(0, 9, 8\)"),
        (np.zeros((4, 2, 8, 8), np.uint8), "no axis of 1 or 3 channels"),
        (np.zeros((4, 3, 8, 3), np.uint8), "channels first or last"),
        (X.astype(bool), r"X holds bool.*example .astype\('uint8'\)"),
        (X.astype(float), r"floats from 0 on that are not in \[0, 1\] \(0 to 255\)"),
        (X / 255 - 0.5, r"not in \[0, 1\] \(-0.5 to 0.5\)"),
        (np.full((4, 8, 8), np.nan), r"not in \[0, 1\] \(NaN\)"),
        ([[0.5, 0.25], [0.5]], "parts differ in shape"),
    ],
)
def test_load_refuses_arrays_that_are_no_images(images, words):
    with pytest.raises(DataError, match=words):
        load((images, Y[: len(images)]))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (Y[:-1], "X has 40 images and y 39 targets"),
        (np.eye(2)[Y], r"y has shape \(40, 2\).*y.argmax\(axis=1\)"),
        (np.where(np.arange(40) == 5, np.nan, Y), r"y is empty or NaN in y\[5\]"),
        (np.zeros(40, int), "one class only"),
    ],
)
def test_load_refuses_targets_that_are_no_classes(targets, words):
    with pytest.raises(DataError, match=words):
        load((X, targets))


def test_decode_passes_arrays_through_without_copy_or_cache(spec, cache):
    square = RNG.integers(0, 256, (40, 8, 8, 3), np.uint8)
    data = load((square, Y))
    decoded = decode(data, "train", spec(8, 3))
    assert decoded.images is pixels(data)
    assert decoded.names == [data.train.samples.name(i) for i in range(len(data.train))]
    some = decode(data, "train", spec(8, 3), indices=np.array([5, 2]))
    assert np.array_equal(some.images, pixels(data)[[5, 2]])
    assert np.array_equal(some.ids, data.train.ids[[5, 2]])
    assert not list(cache.iterdir())


def test_decode_resizes_arrays_of_another_shape(spec):
    data = load((X, Y))
    assert decode(data, "test", spec(8, 1)).images.shape == (8, 8, 8, 1)
    assert decode(data, "test", spec(4, 3)).images.shape == (8, 4, 4, 3)
