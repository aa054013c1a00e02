"""Starts for tests of rankings: small networks whose weights no file holds, so nothing is loaded.

``toy/narrow`` and ``toy/wide`` are random features of few and of many dimensions, which is what
makes one worse than the other; ``toy/masked`` says that it was pretrained to reconstruct.
``install`` puts them into the table of providers. Run as a program, this is one process of several
that rank them.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from headstart.preprocessing import ImagePreprocess
from headstart.starts import Encoder
from headstart.starts.architecture import write_architecture
from headstart.starts.provider import Provider, matches
from headstart.starts.providers import PROVIDERS
from headstart.tensors import seeded
from headstart.types import ImageSpec, Start

BUDGET = "1h"  # no machine is so slow that it would decide anything
WIDTHS = {"toy/narrow": 3, "toy/wide": 96, "toy/masked": 24, "toy/dead": 8, "toy/broken": 8}


class Layer(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, values):
        return torch.relu(self.linear(values))


class Toy(nn.Module):
    def __init__(self, size, width, is_dead):
        super().__init__()
        self.layers = nn.ModuleList([Layer(size * size, width), Layer(width, width)])
        if is_dead:
            for parameter in self.parameters():
                nn.init.zeros_(parameter)

    def forward(self, images):
        values = images.flatten(1)
        for layer in self.layers:
            values = layer(values)
        return values


class Toys(Provider):
    modality = "image"
    prefixes = ("toy/",)
    builders = ("toy",)

    def owns(self, address):
        return address.text in WIDTHS

    def addresses(self, text):
        return list(WIDTHS)

    def list(self, like):
        yield from (self._start(name) for name in WIDTHS if matches(name, like))

    def find(self, address):
        return self._start(address.text)

    def _start(self, name):
        objective = "mae" if name == "toy/masked" else "supervised"
        spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
        return Start(name, "mlp", "image", 0, "mit", "toy data", objective, spec, True)

    def build(self, start, address, request, former):
        if start.address == "toy/broken":
            raise RuntimeError("the file of its weights is damaged")
        with seeded(0):
            network = Toy(8, WIDTHS[start.address], start.address == "toy/dead")
        preprocess = ImagePreprocess(start.image)
        architecture = write_architecture("toy", {}, start, preprocess.to_json())
        return Encoder(network, start=start, preprocess=preprocess, architecture=architecture)


def install():
    PROVIDERS["toy"] = Toys()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from small_runs import few_digits

    import headstart as hs

    install()
    out = Path(sys.argv[1])
    ranked = hs.rank(few_digits(), starts=sys.argv[2:], budget=BUDGET, device="cpu", out=str(out))
    handle, name = tempfile.mkstemp(dir=out.parent, prefix="told-", suffix=".json")
    Path(name).write_text(json.dumps(ranked.record))
