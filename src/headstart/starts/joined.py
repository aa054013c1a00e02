"""An encoder with the columns of a sample's row beside it: two networks, one row of features.

The columns become features without parameters: numbers as they are and in piecewise-linear bins
between quantiles of train, codes one-hot. So nothing beside a pretrained network is random, a head
that is solved for begins where a table's own linear model would stand, and the steps that follow
move both together. Left out: terms that a column and a word share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.preprocessing import TablePreprocess, joined_preprocess
from headstart.starts.encoder import Encoder, group_layers
from headstart.starts.tables.networks import LinearTable, number_edges
from headstart.types import TableSpec

NUM_BINS = 8  # of a number: between every fourth of the quantiles that a spec keeps
_CELLS = 2  # arrays of a row: numbers and codes
_OF_MAIN = "main."
_LENT = ("learn_patches",)


class RowFeatures(nn.Module):
    """Numbers, how far each is through its bins, and one-hot codes; no parameters.

    Args:
        spec: The columns.

    Attributes:
        num_features: D.

    Source:
        Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning",
        NeurIPS 2022, eq. 1 (PLE), without what is learned there.
    """

    lower: Tensor
    width: Tensor
    which: Tensor

    def __init__(self, spec: TableSpec) -> None:
        super().__init__()
        self.linear = LinearTable(spec)
        places, lower, width = list[int](), list[float](), list[float]()
        numbers = [ends for column in spec.columns for ends in number_edges(column)]
        for place, ends in enumerate(numbers):
            if ends is None:
                continue
            chosen = np.unique(np.linspace(0, len(ends) - 1, NUM_BINS + 1).astype(np.int64))
            edges = ends[chosen]
            places += [place] * (len(edges) - 1)
            lower += edges[:-1].tolist()
            width += np.diff(edges).tolist()
        # from the spec alone, so they need not travel with the weights
        self.register_buffer("which", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.register_buffer("lower", torch.tensor(lower), persistent=False)
        self.register_buffer("width", torch.tensor(width), persistent=False)
        self.num_features = self.linear.num_features + len(places)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return features (B, D) of numbers (B, F) and codes (B, G)."""
        plain: Tensor = self.linear(numbers, codes)
        if not len(self.which):
            return plain
        bins = ((numbers[:, self.which] - self.lower) / self.width).clamp(0.0, 1.0)
        return torch.cat([plain, bins], dim=1)


class JoinedNetwork(nn.Module):
    """A network for texts or images, and the features of columns beside its own.

    Args:
        main: The network.
        spec: The columns.
        num_main: Features of the network.

    Attributes:
        num_features: Of both.
        num_main: Of the first.
    """

    def __init__(self, main: nn.Module, spec: TableSpec, num_main: int) -> None:
        super().__init__()
        self.main = main
        self.rows = RowFeatures(spec)
        self.num_main = num_main
        self.num_features = num_main + self.rows.num_features

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features (B, D) of what the network takes, then numbers and codes."""
        features: Tensor = self.main(*inputs[:-_CELLS])
        return torch.cat([features, self.rows(*inputs[-_CELLS:]).to(features.dtype)], dim=1)

    def layer_groups(self) -> list[list[str]]:
        """Return the names of parameters by depth, which are the network's."""
        groups = group_layers(self.main)
        return [[f"{_OF_MAIN}{name}" for name in group] for group in groups]

    def __getattr__(self, name: str) -> Any:
        """Return what the network alone can do."""
        if name in _LENT:
            return getattr(super().__getattr__("main"), name)
        return super().__getattr__(name)


def join_rows(encoder: Encoder, table: TablePreprocess) -> Encoder:
    """Return an encoder of texts or images that reads columns of their rows, too.

    Args:
        encoder: Of the texts or images alone; its network becomes part of the other.
        table: The columns, fitted on train.
    """
    preprocess = joined_preprocess(encoder.preprocess, table)
    # what reads word by word, or writes, is told apart when the data are read
    assert preprocess is not None, f"no columns can stand beside {encoder.preprocess.kind}"
    network = JoinedNetwork(encoder.network, table.spec, encoder.num_features)
    return Encoder(
        network,
        start=encoder.start,
        preprocess=preprocess,
        architecture={**encoder.architecture, "preprocess": preprocess.to_json()},
        num_features=network.num_features,
    )


def main_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a joined network's weights under the names of the network for texts or images."""
    found = {name.removeprefix(_OF_MAIN): t for name, t in tensors.items()}
    return found if all(name.startswith(_OF_MAIN) for name in tensors) else tensors
