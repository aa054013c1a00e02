"""A new kind of start is one object and one row of the table: the whole house works with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.preprocessing import ImagePreprocess
from headstart.starts import BuildRequest, Encoder, build_encoder, find_start, list_starts
from headstart.starts.architecture import write_architecture
from headstart.starts.provider import Provider, matches
from headstart.starts.providers import PROVIDERS
from headstart.tensors import seeded
from headstart.types import ImageSpec, Start


class Flat(nn.Module):
    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size * size, width), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def build_flat(size: int, width: int) -> nn.Module:
    return Flat(size, width)


class ToyProvider(Provider):
    modality = "image"
    prefixes = ("toy/",)
    builders = ("toy-flat",)

    def owns(self, address):
        return address.text.startswith("toy/")

    def addresses(self, text):
        return ["toy/flat"]

    def list(self, like):
        if matches("toy/flat", like):
            yield self.find(None)

    def find(self, address):
        return Start("toy/flat", "mlp", "image", 0, "none", None, None, None, True)

    def build(self, start, address, request, former):
        side, width = request.size or min(request.image_size), 128
        spec = ImageSpec(side, 1, (0.5,), (0.25,), "bilinear", side, 1)
        with seeded(request.seed):
            network = build_flat(side, width)
        options = {"size": side, "width": width}
        preprocess = ImagePreprocess(spec)
        architecture = write_architecture("toy-flat", options, start, preprocess.to_json())
        return Encoder(network, start=start, preprocess=preprocess, architecture=architecture)

    def network_builder(self, builder):
        return build_flat


@pytest.fixture
def _toy(monkeypatch):
    monkeypatch.setitem(PROVIDERS, "toy", ToyProvider())


@pytest.mark.usefixtures("_toy")
def test_it_is_found_listed_and_suggested():
    assert find_start("toy/flat").address == "toy/flat"
    assert "toy/flat" in [start.address for start in list_starts(like="toy")]
    with pytest.raises(hs.StartError, match="Did you mean 'toy/flat'"):
        find_start("toy flat")
    request = BuildRequest(image_size=(8, 8), image_channels=1)
    assert build_encoder(find_start("toy/flat"), request).num_features == 128


@pytest.mark.usefixtures("_toy")
def test_it_is_fine_tuned_evaluated_opened_and_a_start_again(tmp_path):
    out = tmp_path / "run"
    run = hs.finetune("digits-8x8", start="toy/flat", out=str(out), num_epochs=30)
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.5
    assert "toy/flat" in run.report()
    assert hs.evaluate(str(out)).metrics["test"]["num_items"] == 359
    assert len(hs.open(out).predict(np.zeros((2, 8, 8), np.uint8))) == 2
    assert "toy/flat" in (out / "report.html").read_text()
    again = build_encoder(find_start(str(out)), BuildRequest(image_size=(8, 8), image_channels=1))
    assert again.num_features == 128
