"""Weights at other sizes and channels: the same function, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from headstart.errors import StartError
from headstart.starts import BuildRequest, Encoder, build_encoder, find_start
from headstart.starts.images.adapt import change_channels


def build(path: Path | str, image_size=(200, 200), image_channels=3, **options) -> Encoder:
    return build_encoder(
        find_start(str(path)),
        BuildRequest(image_size=image_size, image_channels=image_channels, **options),
    ).eval()


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_folder_gives_the_features_of_the_saved_network(name, save_timm):
    path, network = save_timm(name)
    encoder = build(path)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder(images), expected)
    assert encoder.preprocess.spec.mean == (0.4, 0.5, 0.6)
    assert encoder.preprocess.spec.interpolation == "bilinear"
    assert encoder.preprocess.spec.size == 160


def test_grey_data_keeps_an_rgb_stem_and_decodes_one_channel(save_timm):
    path, _ = save_timm("test_resnet")
    encoder = build(path, image_channels=1, image_size=(28, 30))
    spec = encoder.preprocess.spec
    assert (spec.channels, spec.decode_channels, spec.size, spec.decode_size) == (3, 1, 160, 28)
    assert encoder.network.conv1[0].weight.shape[1] == 3


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "tresnet_m"])
def test_summed_stem_is_the_same_function_of_a_grey_image(name, save_timm):
    path, _ = save_timm(name)
    rgb, grey = build(path, size=160), build(path, size=160, channels=1, image_channels=1)
    images = torch.rand(2, 1, 160, 160)
    with torch.no_grad():
        # normalised equally, as a grey image repeated: the two are one function
        normalised = (images - 0.5) / 0.25
        wanted = rgb(normalised.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(normalised), wanted, atol=1e-5, rtol=1e-5)
    assert grey.preprocess.spec.mean == pytest.approx((0.5,))
    assert grey.preprocess.spec.std == pytest.approx((0.25,))
    assert (grey.preprocess.spec.channels, grey.preprocess.spec.decode_channels) == (1, 1)


def test_lite_stem_summed_is_the_same_function_with_its_own_normalisation():
    rgb = build("pip/efficientnet-lite0", size=64)
    grey = build("pip/efficientnet-lite0", size=64, channels=1, image_channels=1)
    assert rgb.preprocess.spec.mean[0] == pytest.approx(
        grey.preprocess.spec.mean[0]
    )  # equal in all channels
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        wide = images.expand(-1, 3, -1, -1)
        torch.testing.assert_close(grey(images), rgb(wide), atol=1e-4, rtol=1e-4)


def test_one_channel_weights_take_rgb_by_the_mean_of_the_channels(save_timm):
    path, network = save_timm("test_resnet", in_chans=1)
    grey, rgb = build(path), build(path, channels=3)
    assert (
        grey.preprocess.spec.channels,
        grey.preprocess.spec.decode_channels,
        rgb.preprocess.spec.channels,
    ) == (1, 1, 3)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_features(images.mean(1, keepdim=True)).mean((2, 3))
        torch.testing.assert_close(rgb(images), expected, atol=1e-5, rtol=1e-5)


def test_change_channels_leaves_other_tensors_alone():
    bias, conv = torch.randn(8), torch.randn(8, 5, 3, 3)
    assert change_channels(bias, 3, 1) is bias
    assert change_channels(conv, 3, 1) is conv


def test_position_embeddings_are_resampled_as_timm_does(save_timm):
    path, network = save_timm("test_vit")
    encoder = build(path, size=96)
    network.reset_classifier(0)
    network.set_input_size(img_size=(96, 96))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), network(images))
    assert encoder.network.pos_embed.shape[1] == 1 + 36
    assert encoder.architecture["options"]["size"] == 96  # type: ignore[index]


def test_windows_are_resampled_as_timm_does(tmp_path: Path):
    name = "swin_tiny_patch4_window7_224"
    network = timm.create_model(name, num_classes=0).eval()
    for block in network.layers[0].blocks:
        nn.init.normal_(block.attn.relative_position_bias_table)
    save_file(network.state_dict(), tmp_path / "swin.safetensors")
    same = build(f"timm/{name}:{tmp_path / 'swin.safetensors'}")
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(same(images), network(images))
    smaller = build(f"timm/{name}:{tmp_path / 'swin.safetensors'}", size=128)
    table = smaller.network.layers[0].blocks[0].attn.relative_position_bias_table
    assert table.shape == (49, 3)  # windows of 4 x 4 instead of 7 x 7
    before = network.layers[0].blocks[0].attn.relative_position_bias_table
    torch.testing.assert_close(table[24], before[84])  # zero offset: the centre stays


def test_convnets_take_another_size_unchanged(save_timm):
    path, network = save_timm("test_efficientnet")
    encoder = build(path, size=64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder(images), expected)


def test_networks_bound_to_their_size_are_refused_at_others(tmp_path: Path, heard):
    network = timm.create_model("mixer_s32_224", num_classes=0)
    file = tmp_path / "mixer.safetensors"
    save_file(network.state_dict(), file)
    start = f"timm/mixer_s32_224:{file}"
    with pytest.raises(
        StartError, match=r"works at 224 pixels .* only: at 96 .*Choose size 224"
    ) as refused:
        build(start, size=96)
    assert build(start, size=224).num_features == 512  # as advised
    heard(refused.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.pop("conv1.0.weight"), "'conv1.0.weight' is missing"),
        (lambda t: t.update(extra=torch.zeros(2)), "'extra' is not known"),
        (lambda t: t.update({"conv1.0.weight": torch.zeros(3, 3)}), r"shape \(3, 3\) instead of"),
        (lambda t: t["layer1.0.bn1.weight"].fill_(float("nan")), "NaN or infinity.*bn1.weight"),
        (lambda t: t.update({"bn1.weight": t["bn1.weight"].long()}), "int64 instead of"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(spoil, words, save_timm):
    path, _ = save_timm("test_resnet")
    tensors = load_file(path / "model.safetensors")
    spoil(tensors)
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(StartError, match=words):
        build(path)


def test_half_precision_weights_are_read_as_float32(save_timm):
    path, _ = save_timm("test_resnet")
    tensors = load_file(path / "model.safetensors")
    halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file(halves, path / "model.safetensors")
    encoder = build(path)
    assert encoder.network.conv1[0].weight.dtype == torch.float32
    assert torch.equal(encoder.network.conv1[0].weight, halves["conv1.0.weight"].float())


def test_a_damaged_file_is_refused(save_timm):
    path, _ = save_timm("test_resnet")
    (path / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(StartError, match="cannot be read"):
        build(path)
