"""The networks with random weights, and the sizes they take from the data."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.starts.images.scratch import SimpleCNN


def spec_of(name, image_size, image_channels=3, **options):
    encoder = build_encoder(
        find_start(f"scratch/{name}"),
        BuildRequest(image_size=image_size, image_channels=image_channels, **options),
    )
    return encoder, encoder.preprocess.spec


def test_simple_cnn_is_the_textbook_network_at_28_pixels():
    encoder, spec = spec_of("simple-cnn", (28, 28), 1)
    net = encoder.network
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes == [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 1600), (128,)]
    textbook = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(),
    )  # fmt: skip
    textbook.load_state_dict(dict(zip(textbook.state_dict(), net.state_dict().values(),
                                      strict=True)))  # fmt: skip
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(encoder(images), textbook(images))
    assert (spec.size, spec.channels, spec.mean, spec.std) == (28, 1, (0.5,), (0.25,))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [4, 5, 8, 11, 12, 13, 28, 32, 37, 64, 65, 96, 128, 224, 500])
def test_simple_cnn_takes_any_size_and_stays_bounded(size, channels):
    net = SimpleCNN(channels, size)
    assert net(torch.randn(2, channels, size, size)).shape == (2, 128)
    assert net.dense.in_features <= 64 * 49
    assert (net.conv1.padding == (1, 1)) == (size < 12)


def test_simple_cnn_pools_what_is_large_by_the_mean():
    net = SimpleCNN(1, 224)
    images = torch.randn(1, 1, 224, 224)
    x = F.max_pool2d(F.relu(net.conv1(images)), 2)
    x = F.max_pool2d(F.relu(net.conv2(x)), 2)
    assert x.shape[-1] == 54
    windows = [x[..., 8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean((2, 3)) for i in range(7)
               for j in range(7)]  # fmt: skip
    pooled = torch.stack(windows, dim=2).flatten(1)
    torch.testing.assert_close(net(images), F.relu(net.dense(pooled)), atol=1e-5, rtol=1e-4)


def test_resnet18_has_the_cifar_stem_for_small_images_only():
    small, spec = spec_of("resnet18", (32, 32))
    assert spec.size == 32
    assert small.network.conv1.kernel_size == (3, 3)
    assert small.network.conv1.stride == (1, 1)
    assert isinstance(small.network.maxpool, nn.Identity)
    assert small.network.forward_features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 4, 4)
    large, spec = spec_of("resnet18", (200, 300))
    assert spec.size == 128
    assert large.network.conv1.kernel_size == (7, 7)
    assert large.network.forward_features(torch.zeros(1, 3, 128, 128)).shape == (1, 512, 4, 4)


@pytest.mark.parametrize(
    ("image_size", "size", "patch", "num_blocks"),
    [((8, 8), 8, 4, 6), ((28, 28), 28, 4, 12), ((30, 30), 32, 4, 12), ((64, 64), 64, 8, 12),
     ((100, 120), 96, 16, 12), ((400, 300), 128, 16, 12)],
)  # fmt: skip
def test_vit_tiny_takes_its_patches_from_the_size(image_size, size, patch, num_blocks):
    encoder, spec = spec_of("vit-tiny", image_size)
    assert spec.size == size
    assert spec.decode_size == min(size, *image_size)
    assert encoder.network.patch_embed.patch_size == (patch, patch)
    assert len(encoder.network.blocks) == num_blocks
    assert encoder.num_features == 192
    assert encoder.network.blocks[0].attn.num_heads == 3


@pytest.mark.parametrize(
    ("image_size", "image_channels", "options", "expected"),
    [
        ((28, 28), 1, {}, (28, 1, 28, 1)),
        ((5, 5), 1, {}, (8, 1, 5, 1)),
        ((480, 640), 3, {}, (128, 3, 128, 3)),
        ((480, 640), 3, {"size": 224}, (224, 3, 224, 3)),
        ((28, 28), 1, {"size": 56}, (56, 1, 28, 1)),
        ((28, 28), 1, {"channels": 3}, (28, 3, 28, 1)),
        ((28, 28), 3, {"channels": 1}, (28, 1, 28, 1)),
        (None, None, {"size": 40}, (40, 3, 40, 3)),
    ],
)
def test_preprocessing_follows_the_data(image_size, image_channels, options, expected):
    _, spec = spec_of("simple-cnn", image_size, image_channels, **options)
    assert (spec.size, spec.channels, spec.decode_size, spec.decode_channels) == expected
    assert len(spec.mean) == len(spec.std) == spec.channels


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_vit", 32), ("resnet10t", 32), ("eva02_tiny_patch14_224", 42), ("test_convnext", 32)],
)
def test_any_timm_architecture_takes_a_size_near_the_data(name, size):
    encoder, spec = spec_of(name, (28, 28), 1)
    assert spec.size == size
    assert encoder(torch.randn(2, 1, size, size)).shape == (2, encoder.num_features)
