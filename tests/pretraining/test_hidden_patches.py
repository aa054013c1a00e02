"""What is hidden of images is a function of counters, and told as MAE has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.errors import StartError
from headstart.model.reconstruction import MaskedAutoencoder, sine_positions
from headstart.objectives.masked_pixels import (
    empty_share,
    images_of,
    patch_losses,
    patch_targets,
    patches_of,
)
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.training.batches.masked_feed import mask_order

IDS = np.array([5, 17, 2**40, 3])


def autoencoder(address="scratch/vit-mini", size=(16, 16), channels=3, **more):
    request = BuildRequest(image_size=size, image_channels=channels, **more)
    encoder = build_encoder(find_start(address), request)
    return MaskedAutoencoder(encoder, decoder_width=32, decoder_blocks=1).eval()


def test_the_mask_of_a_sample_is_a_function_of_seed_step_and_sample():
    order = mask_order(3, 7, IDS, 49)
    assert (np.sort(order, axis=1) == np.arange(49)).all()
    turned = mask_order(3, 7, IDS[::-1].copy(), 49)
    assert (turned[::-1] == order).all()  # whatever batch it stands in
    for other in (mask_order(4, 7, IDS, 49), mask_order(3, 8, IDS, 49)):
        assert (other != order).any(axis=1).all()
    # each patch is seen as often as any other
    many = mask_order(0, 0, np.arange(4_000), 16)[:, :4]
    assert np.bincount(many.ravel(), minlength=16) == pytest.approx(np.full(16, 1_000), rel=0.12)


def test_patches_are_those_of_the_convolution_and_come_back_as_images():
    images = torch.randn(2, 3, 12, 12)
    weight = torch.randn(5, 3, 4, 4)
    ours = patches_of(images, 4) @ weight.flatten(1).T
    theirs = functional.conv2d(images, weight, stride=4).flatten(2).transpose(1, 2)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.equal(images_of(patches_of(images, 4), 4, 3), images)


def test_targets_are_finite_where_a_patch_shows_one_colour():
    patches = torch.cat([torch.full((1, 2, 16), 0.75), torch.randn(1, 2, 16)], dim=1)
    targets = patch_targets(patches, is_normalised=True)
    assert torch.equal(targets[0, :2], torch.zeros(2, 16))
    assert targets[0, 2:].std(dim=-1, unbiased=False) == pytest.approx(torch.ones(2), abs=1e-3)
    assert empty_share(patches) == 0.5
    assert torch.equal(patch_targets(patches, is_normalised=False), patches)


def test_the_loss_is_the_mean_over_what_is_hidden():
    told, wanted = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    by_hand = [float(((told[i] - wanted[i]) ** 2).sum() / 8) for i in range(3)]
    assert patch_losses(told, wanted).tolist() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    ("address", "size", "channels"),
    [
        ("scratch/vit-mini", (28, 28), 1),
        ("scratch/vit_tiny_patch16_224", (64, 64), 3),  # a token for the class
        ("scratch/vit_small_patch16_rope_224", (64, 64), 3),
    ],
)
def test_where_all_patches_are_seen_the_encoder_gives_what_it_always_gives(address, size, channels):
    if "rope" in address:
        with pytest.raises(StartError, match=r"plain vision transformer") as refused:
            autoencoder(address, size, channels)
        assert "Choose scratch/vit-tiny" in str(refused.value)
        autoencoder("scratch/vit-tiny", (16, 16), channels)  # as it advises
        return
    model = autoencoder(address, size, channels)
    side = model.encoder.preprocess.spec.size
    images = torch.randn(2, channels, side, side)
    every = torch.arange(model.num_patches).expand(2, -1)
    network = model.encoder.network
    with torch.no_grad():
        whole = network.fc_norm(network.forward_features(images))[:, network.num_prefix_tokens :]
        turned = every.flip(1)
        assert torch.allclose(model.visible(images, every), whole, atol=1e-5)
        # tokens come in the order in which they are asked for
        assert torch.allclose(model.visible(images, turned), whole.flip(1), atol=1e-5)


def test_what_is_told_depends_on_what_is_seen_and_on_nothing_hidden():
    model = autoencoder()
    images = torch.randn(2, 3, 16, 16)
    order = torch.from_numpy(mask_order(0, 0, IDS[:2], model.num_patches))
    patches = patches_of(images, 4).clone()
    patches.scatter_(1, order[:, 4:, None].expand(-1, -1, 48), 9.0)  # other hidden pixels
    changed = images_of(patches, 4, 3)
    with torch.no_grad():
        told = model(images, order, 4)
        assert told.shape == (2, 12, 48)
        assert torch.equal(model(changed, order, 4), told)
        # the order in which the seen ones stand says nothing
        swapped = torch.cat([order[:, :4].flip(1), order[:, 4:]], dim=1)
        assert torch.allclose(model(images, swapped, 4), told, atol=1e-5)


def test_positions_tell_rows_and_columns_apart():
    places = sine_positions(7, 96)[0]
    assert places.shape == (49, 96)
    distances = torch.cdist(places, places) + torch.eye(49) * 9
    assert distances.min() > 0.1


def test_a_start_that_cannot_leave_patches_out_is_refused():
    with pytest.raises(
        StartError, match=r"'scratch/simple-cnn' is a SimpleCNN, which cannot leave"
    ):
        autoencoder("scratch/simple-cnn", (28, 28), 1)


def test_the_decoder_gives_what_its_blocks_give_on_all_tokens():
    decoder = autoencoder().decoder
    tokens = torch.randn(2, 5, 96)
    order = torch.from_numpy(mask_order(0, 0, IDS[:2], 16))
    with torch.no_grad():
        x = torch.cat([decoder.embed(tokens), decoder.hidden.expand(2, 11, -1)], dim=1)
        x = x + decoder.pos_embed[0][order]
        for block in decoder.blocks:
            x = block(x)
        whole = decoder.pixels(decoder.norm(x))
        assert torch.allclose(decoder(tokens, order), whole[:, 5:], atol=1e-5)
