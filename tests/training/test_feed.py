"""Batches come from the step number alone, whole or in parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import blob_images, short_recipe

from headstart.preprocessing import Pixels, Tokens
from headstart.tensors import to_float
from headstart.training.batches.sample_feed import SampleFeed
from headstart.types import Ragged
from headstart.types.ragged import IGNORED


def feed_of(recipe, images=None):
    made, targets, ids = blob_images()
    inputs = Pixels(made if images is None else images, targets, ids, [str(i) for i in ids])
    return SampleFeed(inputs, targets, recipe, torch.device("cpu"))


@pytest.mark.parametrize("channels_last", [True, False])
def test_to_float_gives_images_in_zero_to_one_in_the_layout_asked_for(channels_last):
    pixels = torch.randint(0, 256, (4, 5, 6, 3), dtype=torch.uint8)
    images = to_float(pixels, channels_last=channels_last)
    assert images.shape == (4, 3, 5, 6)
    assert torch.equal(images, pixels.permute(0, 3, 1, 2).float() / 255)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=layout)


def test_a_step_gives_the_images_of_its_ids_with_their_targets():
    images, targets, _ = blob_images()
    feed = feed_of(short_recipe())
    for step in (0, 3, 11):
        (batch,) = feed.batches(step)
        places = batch.ids - 1_000
        assert batch.part == 1
        assert np.array_equal(batch.targets.numpy(), targets[places])
        expected = torch.from_numpy(images[places]).permute(0, 3, 1, 2).float() / 255
        assert torch.equal(batch.inputs[0], expected)


def test_micro_batches_are_the_batch_in_parts_however_they_are_cut():
    recipe = short_recipe(augment="light")
    (whole,) = feed_of(recipe).batches(7)
    parts = list(feed_of(replace(recipe, micro_batch_size=6)).batches(7))
    assert [len(p.targets) for p in parts] == [6, 6, 4]
    assert sum(p.part for p in parts) == pytest.approx(1)
    assert torch.allclose(torch.cat([p.inputs[0] for p in parts]), whole.inputs[0], atol=1e-6)
    assert np.array_equal(np.concatenate([p.ids for p in parts]), whole.ids)


def test_a_memory_map_feeds_the_same_batches_as_an_array(tmp_path):
    images, _, _ = blob_images()
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=images.shape)
    mapped[:] = images
    (one,), (other,) = (
        feed_of(short_recipe()).batches(2),
        feed_of(short_recipe(), mapped).batches(2),
    )
    assert torch.equal(one.inputs[0], other.inputs[0])


def test_augmentation_differs_between_epochs_and_not_between_runs():
    recipe = short_recipe(augment="standard", batch_size=96, micro_batch_size=96)
    (first,), (again,) = feed_of(recipe).batches(0), feed_of(recipe).batches(0)
    (later,) = feed_of(recipe).batches(1)
    assert torch.equal(first.inputs[0], again.inputs[0])
    order, later_order = np.argsort(first.ids), np.argsort(later.ids)
    assert not torch.allclose(first.inputs[0][order], later.inputs[0][later_order], atol=0.05)


def test_ragged_targets_come_padded_with_what_a_loss_ignores():
    targets = Ragged.of([[k] * (1 + k % 4) for k in range(96)])
    flat = np.ones(int(targets.offsets[-1]), np.int32)
    tokens = Tokens(flat, targets.offsets, 0, 9, targets, np.arange(96), [""] * 96)
    recipe = short_recipe(micro_batch_size=8, augment="none")
    feed = SampleFeed(tokens, targets, recipe, torch.device("cpu"))
    for step in range(3):
        for batch in feed.batches(step):
            ids, mask = batch.inputs
            assert batch.targets.shape == ids.shape
            assert ((batch.targets != IGNORED) == (mask == 1)).all()
            for row, number in zip(batch.targets, batch.ids, strict=True):
                assert row[row != IGNORED].tolist() == targets[int(number)].tolist()
