"""The ConvNet that learns quickly: its first layer is learned from train, and stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import headstart as hs
from headstart.errors import StartError
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.starts.images.quick_cnn import QuickCNN, Whitening, quick_cnn_options
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import set_up

START = "scratch/quick-cnn"


def pictures(num, side, channels=3, seed=0):
    """Smooth images, whose neighbouring pixels are alike as those of photos are."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, channels, 4, 4, generator=generator)
    fine = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    return (fine + 0.05 * torch.rand(fine.shape, generator=generator) - 0.5) / 0.25


@pytest.mark.parametrize(("channels", "kernel_size", "stride"), [(1, 3, 1), (3, 2, 1), (3, 4, 2)])
def test_the_first_layer_sees_directions_of_equal_size_that_know_nothing_of_one_another(
    channels, kernel_size, stride
):
    images = pictures(64, 20, channels)
    stem = Whitening(channels, kernel_size, stride, 8)
    stem.learn(images)
    seen = F.conv2d(images, stem.filters[:8], stride=stride).transpose(0, 1).flatten(1)
    second = (seen @ seen.T / seen.shape[1]).numpy()
    sizes = np.diag(second)
    assert np.abs(second - np.diag(sizes)).max() < 1e-3
    # the strongest as they were meant; those within noise of nothing are not blown up
    assert sizes[0] == pytest.approx(1, abs=1e-3)
    assert ((sizes > 0.5) & (sizes <= 1 + 1e-3)).all()
    assert torch.equal(stem.filters[8:], -stem.filters[:8])


def test_images_without_any_contrast_give_filters_that_are_numbers():
    stem = Whitening(1, 3, 1, 9)
    stem.learn(torch.zeros(4, 1, 8, 8))
    assert torch.isfinite(stem.filters).all()


def test_its_convolutions_begin_by_handing_on_what_comes_in():
    torch.manual_seed(0)
    network = QuickCNN(3, 32, 2, 1, 12)
    images = torch.randn(2, 24, 9, 9)
    assert torch.equal(network.stage1.conv1(images)[:, :24], images)
    assert torch.allclose(network.stage2.conv2(torch.ones(1, 128, 3, 3)), torch.ones(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 9, 12, 28, 32, 40, 41, 64, 80, 96, 128])
def test_it_takes_any_size_and_larger_images_cost_no_more_than_small_ones(size, channels):
    options = quick_cnn_options(size, channels)
    network = QuickCNN(channels, **options)
    images = torch.randn(2, channels, size, size)
    assert network(images).shape == (2, 256)
    assert max(network.stem(images).shape[-2:]) <= 40


def test_no_stochastic_depth_is_refused():
    with pytest.raises(StartError, match=r"no stochastic depth \(drop_path 0.1\)"):
        build_encoder(find_start(START), BuildRequest(image_size=(32, 32), drop_path=0.1))


def made(images, labels, **options):
    data = hs.load((images, labels))
    start = find_start(START)
    return data, set_up(
        data, start, TrainingOptions(strategy="full", **options), device=torch.device("cpu")
    )


def test_it_is_learned_from_train_alone_and_the_same_whatever_the_seed():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(60, 10, 10, 3), dtype=np.uint8)
    labels = np.arange(60) % 2
    data, setup = made(images, labels)
    filters = setup.model.encoder.network.stem.filters
    assert torch.equal(filters, setup.initial["network.stem.filters"])
    again = made(images, labels, seed=1)[1].model.encoder.network
    assert torch.equal(filters, again.stem.filters)
    assert not torch.equal(
        again.stage3.conv1.weight, setup.model.encoder.network.stage3.conv1.weight
    )
    changed = images.copy()
    train = {bytes(data.train.samples.read(i)) for i in range(len(data.train))}
    for place, image in enumerate(images):
        if image.tobytes() not in train:
            changed[place] = 255 - image
    assert (changed != images).any()
    other, elsewhere = made(changed, labels)
    assert len(other.train) == len(data.train)
    assert torch.equal(filters, elsewhere.model.encoder.network.stem.filters)
