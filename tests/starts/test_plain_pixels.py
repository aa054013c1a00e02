"""``scratch/pixels``: small pictures and edges, without a network, for a linear head."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import headstart as hs
from headstart.starts import BuildRequest, build_encoder, find_start, rebuild_encoder
from headstart.starts.images.plain_pixels import PlainPixels


def by_hand(image, window, cell):
    """Return the features of one image (C, S, S), a loop over pixels and directions."""
    side = image.shape[-1]
    grey = np.pad(image.mean(axis=0), 1, mode="edge")
    edges = np.zeros((8, side, side))
    for row in range(side):
        for column in range(side):
            across = grey[row + 1, column + 2] - grey[row + 1, column]
            down = grey[row + 2, column + 1] - grey[row, column + 1]
            strength = np.sqrt(across**2 + down**2 + 1e-6)
            for turn in range(8):
                angle = 2 * np.pi * turn / 8
                cosine = (across * np.cos(angle) + down * np.sin(angle)) / strength
                edges[turn, row, column] = strength * max(0.0, cosine) ** 6

    def means(maps, size):
        starts = range(0, side, size)
        return [m[r : r + size, c : c + size].mean() for m in maps for r in starts for c in starts]

    return np.array([*means(image, window), *np.sqrt(np.array(means(edges, cell)) + 1e-6)])


@pytest.mark.parametrize(("channels", "side", "window", "cell"), [(1, 8, 1, 1), (3, 20, 2, 3)])
def test_features_are_those_of_the_formula(channels, side, window, cell):
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    network = PlainPixels(channels, side)
    found = network(images).numpy()
    expected = np.stack([by_hand(one, window, cell) for one in images.numpy().astype(float)])
    assert found.shape == (2, network.num_features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("image_size", "side"), [((8, 8), 8), ((28, 28), 28), ((60, 40), 32), ((480, 640), 32)]
)
def test_larger_images_are_brought_to_32_pixels(image_size, side):
    request = BuildRequest(image_size=image_size, image_channels=3)
    encoder = build_encoder(find_start("scratch/pixels"), request)
    assert encoder.preprocess.size == side
    assert encoder.num_features <= 3 * 16**2 + 8 * 8**2
    assert not list(encoder.parameters())
    again = rebuild_encoder(encoder.architecture)
    images = torch.randn(2, 3, side, side)
    assert torch.equal(again(images), encoder(images))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    images, targets = load_digits(return_X_y=True)
    rows = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)[:900], targets[:900]
    out = tmp_path_factory.mktemp("pixels") / "run"
    return hs.finetune(hs.load(rows), start="scratch/pixels", out=str(out), device="cpu")


def test_a_linear_model_of_pixels_learns_digits_and_is_handed_over_like_any(run, tmp_path):
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    assert run.options["recipe"]["strategy"] == "head"
    assert run.options["recipe"]["augment"] == "none"  # nothing is drawn for a head
    assert "augment" not in {choice["name"] for choice in run.options["choices"]}
    images, targets = load_digits(return_X_y=True)
    said = run.predict([(images[1000].reshape(8, 8) * 15).astype(np.uint8)])
    assert said[0].label == str(targets[1000])
    assert "scratch/pixels" in run.report()


@pytest.mark.slow
def test_a_linear_model_of_pixels_is_exported_and_answers_the_same(run, tmp_path):
    pytest.importorskip("onnxruntime")
    hs.export(run, to="onnx", out=str(tmp_path / "bundle"))  # refused unless the logits agree
    assert (tmp_path / "bundle" / "bundle.json").exists()
