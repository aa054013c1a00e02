"""A ConvNet computes where an image is seen: as if by hand, place by place, and nowhere else."""

from __future__ import annotations

import json
import math
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import headstart as hs
from headstart.cli import main
from headstart.errors import Interrupted, OptionError, StartError
from headstart.events import listen
from headstart.model.map_reconstruction import SparseAutoencoder
from headstart.model.seen_places import SeenPlaces, UnevenMaps, seen_only
from headstart.objectives.masked_pixels import images_of, patches_of
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.training.batches.masked_feed import mask_order

TINY = "scratch/test_resnet"  # half a million weights: BatchNorm, maxima, means, shortcuts


def autoencoder(address=TINY, size=16, channels=3):
    request = BuildRequest(image_size=(size, size), image_channels=channels, size=size)
    encoder = build_encoder(find_start(address), request)
    return SparseAutoencoder(encoder, decoder_width=16, decoder_blocks=1)


def images_and_order(model, num=3, channels=3, seed=0):
    size = model.encoder.preprocess.spec.size
    draws = torch.Generator().manual_seed(seed)
    images = torch.randn(num, channels, size, size, generator=draws)
    return images, torch.from_numpy(mask_order(0, 0, torch.arange(num).numpy(), model.num_patches))


def with_other_hidden_pixels(model, images, order, num_seen):
    patches = patches_of(images, model.side).clone()
    hidden = order[:, num_seen:, None].expand(-1, -1, patches.shape[-1])
    patches.scatter_(1, hidden, 9.0)
    return images_of(patches, model.side, images.shape[1])


# By hand ------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Each kind of layer that looks at neighbours, and a BatchNorm."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3, momentum=0.5)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv2 = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.mean = nn.AvgPool2d(2, 2)

    def forward(self, x):
        return self.mean(self.conv2(self.pool(self.norm(self.conv1(x)))))


def neighbours(seen, row, column, kernel, stride, padding):
    """Return the seen places in a window, each with its place in the kernel."""
    found = []
    for i in range(kernel):
        for j in range(kernel):
            y, x = row * stride - padding + i, column * stride - padding + j
            if 0 <= y < seen.shape[0] and 0 <= x < seen.shape[1] and seen[y, x]:
                found.append((y, x, i, j))
    return found


def by_place(x, seen_in, seen_out, kernel, stride, padding, of_window):
    """Return a map of which each seen place is a function of the seen places in its window."""
    out = []
    for image, inside, outside in zip(x, seen_in[:, 0], seen_out[:, 0], strict=True):
        side = outside.shape[0]
        rows = {}
        for r in range(side):
            for c in range(side):
                if outside[r, c]:
                    window = neighbours(inside, r, c, kernel, stride, padding)
                    rows[r, c] = of_window(image, window)
        blank = torch.zeros_like(next(iter(rows.values())))
        every = [rows.get((r, c), blank) for r in range(side) for c in range(side)]
        out.append(torch.stack(every, dim=1).view(-1, side, side))
    return torch.stack(out)


def convolved(layer):
    def of_window(image, window):
        bias = 0 if layer.bias is None else layer.bias
        return sum((layer.weight[:, :, i, j] @ image[:, y, x] for y, x, i, j in window), bias)

    return of_window


def test_it_is_what_a_gather_of_seen_places_gives():
    torch.manual_seed(0)
    network = Plain().train()
    cells = torch.rand(2, 1, 4, 4) < 0.5
    seen = SeenPlaces(cells)
    images = torch.randn(2, 2, 16, 16)
    statistics = nn.BatchNorm2d(3, momentum=0.5)
    before = {n: b.clone() for n, b in network.named_buffers()}
    with torch.no_grad(), seen_only(network, {"norm": statistics}, seen):
        ours = network(images)
    with torch.no_grad():
        x = by_place(images, seen.at(16), seen.at(16), 3, 1, 1, convolved(network.conv1))
        rows = x.permute(0, 2, 3, 1)[seen.at(16)[:, 0]]
        mean, variance = rows.mean(0), rows.var(0, unbiased=False)
        scaled = (x - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
        x = scaled * seen.at(16)
        most = lambda image, window: torch.stack([image[:, y, x] for y, x, _, _ in window]).amax(0)  # noqa: E731
        x = by_place(x, seen.at(16), seen.at(8), 3, 2, 1, most)
        x = by_place(x, seen.at(8), seen.at(4), 3, 2, 1, convolved(network.conv2))
        mid = lambda image, window: torch.stack([image[:, y, x] for y, x, _, _ in window]).mean(0)  # noqa: E731
        x = by_place(x, seen.at(4), seen.at(2), 2, 2, 0, mid)
    assert torch.allclose(seen.only(ours), x, atol=1e-5)
    # statistics are those of seen places, kept apart: the network's own are as they were
    assert torch.allclose(statistics.running_mean, mean / 2, atol=1e-6)
    spread = rows.var(0, unbiased=True)
    assert torch.allclose(statistics.running_var, 0.5 + spread / 2, atol=1e-5)
    assert all(torch.equal(b, before[n]) for n, b in network.named_buffers())
    plain = network(images)
    assert not torch.allclose(plain, ours, atol=1e-2)  # outside the block it is what it was


def test_coarser_places_are_seen_where_something_under_them_is():
    cells = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    cells[0, 0, 6, 3] = True
    seen = SeenPlaces(cells)
    assert seen.at(28).sum() == 16
    assert seen.at(28)[0, 0, 24:28, 12:16].all()
    assert seen.at(4).nonzero().tolist() == [[0, 0, 3, 1]]
    assert seen.at(2).nonzero().tolist() == [[0, 0, 1, 0]]
    assert seen.at(1).all()
    for side in (3, 5, 10):
        with pytest.raises(UnevenMaps, match=rf"7 x 7 patches .* of {side} x {side} places"):
            seen.at(side)


# Networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "size", "channels", "along", "is_training"),
    [
        (TINY, 32, 3, 8, True),
        (TINY, 32, 3, 8, False),
        ("scratch/resnet18", 28, 1, 7, False),
        ("scratch/mobilenetv2_035", 64, 3, 8, True),
        ("scratch/convnext_atto", 64, 3, 8, False),
    ],
)
def test_nothing_hidden_is_seen_and_where_all_is_seen_the_network_is_itself(
    address, size, channels, along, is_training
):
    model = autoencoder(address, size, channels).train(is_training)
    assert (model.num_patches, model.side) == (along**2, size // along)
    images, order = images_and_order(model, channels=channels)
    num_seen = along**2 * 2 // 5
    other = with_other_hidden_pixels(model, images, order, num_seen)
    with torch.no_grad():
        told = model(images, order, num_seen)
        assert told.shape == (3, along**2 - num_seen, channels * model.side**2)
        assert torch.equal(model(other, order, num_seen), told)  # to the bit
        # what is seen counts, and not the order in which patches stand
        assert not torch.allclose(model(images + 1, order, num_seen), told, atol=1e-3)
        network = model.encoder.network
        seen = SeenPlaces(torch.ones(3, 1, along, along, dtype=torch.bool))
        whole = network.forward_features(images.contiguous(memory_format=torch.channels_last))
        found = model.visible(images, seen)[-1]
        assert torch.allclose(found, whole, atol=1e-4 * float(whole.abs().max()))


def test_hidden_pixels_get_no_gradient_and_all_that_learns_gets_one():
    model = autoencoder().train()
    images, order = images_and_order(model)
    images.requires_grad_(True)
    model(images, order, 6).square().mean().backward()
    gradient = patches_of(images.grad, model.side)
    rows = torch.arange(3)[:, None]
    assert (gradient[rows, order[:, 6:]] == 0).all()
    assert (gradient[rows, order[:, :6]].abs().sum(dim=-1) > 0).all()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_features_have_statistics_of_whole_images_once_they_are_renewed():
    model = autoencoder().train()
    images, order = images_and_order(model, num=8)
    network = model.encoder.network
    first = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    before = first.running_mean.clone()
    with torch.no_grad():
        model(images, order, 6)
    assert torch.equal(first.running_mean, before)
    assert not torch.equal(model.seen[0].running_mean, before)
    model.renew(iter([images]))
    hooked = []
    hook = first.register_forward_hook(lambda _module, given, _out: hooked.append(given[0]))
    with torch.no_grad():
        model.eval().encoder(images)
    hook.remove()
    assert torch.allclose(first.running_mean, hooked[0].mean(dim=(0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("address", "size", "told"),
    [
        ("scratch/mobilenetv3_small_050", 64, "a layer of it that is no convolution mixes places"),
        ("scratch/convnextv2_atto", 64, "a layer of it that is no convolution mixes places"),
        ("scratch/quick-cnn", 32, "it gives no feature maps by name"),
        (TINY, 9, "takes 9 x 9 pixels, and no feature map divides that into 4 patches"),
        (TINY, 10, "2 x 2 patches do not lie in its map of 5 x 5 places"),
    ],
)
def test_a_convnet_that_lets_hidden_patches_through_is_refused(address, size, told):
    with pytest.raises(StartError, match=told) as refused:
        autoencoder(address, size)
    assert "scratch/vit-tiny" in str(refused.value)
    if "--input-size" in str(refused.value):
        assert autoencoder(address, 32).num_patches >= 4  # as it advises


# A start ------------------------------------------------------------------------------------------

SAID = {
    "objective": "mae",
    "start": TINY,
    "input_size": 16,
    "decoder_width": 16,
    "decoder_blocks": 1,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "num_steps": 20,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Return a ConvNet pretrained for a moment on digits."""
    out = tmp_path_factory.mktemp("work") / "runs" / "mine"
    return hs.pretrain("digits-8x8", out=str(out), **SAID)


def test_a_convnet_becomes_a_start_with_every_figure(own):
    found = own.metrics["pretraining"]
    assert [check["step"] for check in found["checks"]] == list(range(0, 21, 2))
    assert all("probe_accuracy" in check for check in found["checks"])
    assert list(found["trivial"]) == ["the mean patch of train", "each patch's own mean, given"]
    losses = [check["val_loss"] for check in found["checks"]]
    assert losses[-1] < losses[0]
    assert found["loss"]["low"] < found["loss"]["value"] < found["loss"]["high"]
    page = (own.path / "report.html").read_text()
    for caption in ("original", "seen", "told"):
        assert page.count(f'<img alt="{caption}" src="data:image/png;base64,') == 8
    record = json.loads((own.path / "model.json").read_text())
    assert math.isclose(record["pretraining"]["mask_fraction"], 10 / 16)
    start = find_start(str(own.path))
    assert (start.objective, start.family) == ("mae", "convnet")


@pytest.mark.slow
def test_it_competes_as_any_other_start(own, monkeypatch, tmp_path):
    monkeypatch.chdir(own.path.parents[1])
    assert [s.address for s in hs.list_starts(like="runs/mine")] == ["runs/mine"]
    ranked = hs.rank(
        "digits-8x8", starts=["runs/mine", "scratch/simple-cnn"], out=str(tmp_path), budget="30s"
    )
    assert "runs/mine" in ranked.report()
    run = hs.finetune(
        "digits-8x8",
        start="runs/mine",
        strategy="lp-ft",
        num_steps=2,
        out=str(tmp_path / "run"),
        device="cpu",
    )
    assert run.model_record["start"]["objective"] == "mae"
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.7
    folder = hs.export("runs/mine", out=str(tmp_path / "timm"))
    assert (folder / "model.safetensors").exists()


def test_a_stop_ends_in_the_same_bits(own, tmp_path):
    stopped = str(tmp_path / "stopped")

    def stop(kind, fields):
        if kind == "check" and fields["step"] == 8:
            os.kill(os.getpid(), signal.SIGINT)

    with listen(stop), pytest.raises(Interrupted, match=r"--resume"):
        hs.pretrain("digits-8x8", out=stopped, **SAID)
    assert find_start(stopped).objective == "mae"
    resumed = hs.pretrain("digits-8x8", out=stopped, resume=True, **SAID)
    one, other = (load_file(str(run.path / "model.safetensors")) for run in (own, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_few_images_and_constant_ones_are_learned_from_and_one_alone_is_refused(tmp_path):
    images = np.full((5, 16, 16), 7, np.uint8)
    images[:3] += np.arange(3, dtype=np.uint8)[:, None, None]
    images[3, 4:9] = 200
    said = {**SAID, "num_steps": 2}
    run = hs.pretrain(images, out=str(tmp_path / "few"), **said)
    assert math.isfinite(run.metrics["pretraining"]["loss"]["value"])
    with pytest.raises(OptionError, match=r"one image at a time, .* BatchNorm") as refused:
        hs.pretrain(images[2:4], out=str(tmp_path / "two"), **said)
    assert "choose scratch/vit-tiny" in str(refused.value)
    with pytest.raises(OptionError, match=r"Raise --batch-size and --micro-batch-size"):
        hs.pretrain(images, out=str(tmp_path / "one"), **said | {"micro_batch_size": 1})


def test_compiling_one_is_refused_and_without_it_there_is_a_start(tmp_path, capsys):
    words = ["pretrain", "digits-8x8", "--objective", "mae", "--start", TINY, "--num-steps", "1"]
    words += ["--input-size", "16", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main([*words, "--compile"]) == 2
    assert "Leave --compile out." in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
