"""A model as the network that is exported: from the arrays of its preprocessing to its logits.

Pixels come as uint8 and are normalised inside. Inputs of no numbers at all (the codes of a table
without categories) are left out, since a graph cannot ask for nothing. Trees, whose own way down
looks at what it has reached, go down by a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from headstart.model import Model
from headstart.preprocessing import NamedInput
from headstart.starts.lora import merge_lora
from headstart.starts.tables.trees import SET_WORDS, TreeEnsemble
from headstart.starts.texts.networks import TextNetwork

_WORD_BITS = 32


class ExportedNetwork(nn.Module):
    """A model that takes its inputs as arrays have them.

    Args:
        model: In eval mode, on the CPU; taken as it is.
        inputs: What it takes; all of its preprocessing's when not given.
    """

    def __init__(self, model: Model, inputs: Sequence[NamedInput] | None = None) -> None:
        super().__init__()
        self.model = model
        own = model.encoder.preprocess.exported_inputs
        self._inputs: Sequence[NamedInput] = own if inputs is None else inputs

    @property
    def inputs(self) -> list[NamedInput]:
        """What ``forward`` takes, in this order."""
        return [one for one in self._inputs if 0 not in one.shape]

    def forward(self, *arrays: Tensor) -> Tensor:
        """Return logits, float32 (B, K), or (B, T, K) of each token."""
        left, given = list(arrays), []
        for one in self._inputs:
            if 0 in one.shape:
                dtype = getattr(torch, one.dtype)
                given.append(torch.zeros((arrays[0].shape[0], 0), dtype=dtype))
                continue
            array = left.pop(0)
            if one.dtype == "uint8":  # pixels (B, S, S, C), as tensors.to_float reads them
                array = array.permute(0, 3, 1, 2).to(torch.float32) / 255
            given.append(array)
        logits: Tensor = self.model(*given)
        return logits


class SteppedTrees(nn.Module):
    """Trees that all rows go down in as many steps as the deepest leaf is deep.

    The comparisons are those of ``TreeEnsemble``, and leaves are added in float64 as there. Splits
    of categories look their answer up in a table of one byte a category.

    Args:
        trees: What it answers as.
    """

    features: Tensor
    thresholds: Tensor
    branches: Tensor
    sets: Tensor
    is_inside: Tensor
    values: Tensor
    roots: Tensor
    columns: Tensor

    def __init__(self, trees: TreeEnsemble) -> None:
        super().__init__()
        self.trees = trees
        for name in ("features", "branches", "sets", "roots"):
            self.register_buffer(name, trees.get_buffer(name).long())
        self.branches = self.branches.reshape(-1)
        self.register_buffer("thresholds", trees.thresholds.clone())
        self.register_buffer("values", trees.values.double())
        bits = torch.arange(_WORD_BITS, dtype=torch.int32)
        inside = (trees.categories.unsqueeze(-1) >> bits) & 1
        self.register_buffer("is_inside", inside.to(torch.float32).reshape(-1))
        hot = nn.functional.one_hot(trees.columns.long(), trees.num_features)
        self.register_buffer("columns", hot.double())  # (T, K)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return logits, float32 (B, K), of numbers (B, F) and codes (B, G)."""
        own, cells = self.trees, numbers
        if own.sizes:
            folded = own.folded[codes + own.offsets].to(numbers.dtype)
            cells = torch.cat([numbers, folded], dim=1)
        nodes = self.roots.unsqueeze(0).expand(cells.shape[0], -1)
        for _ in range(own.depth):
            found = cells.gather(1, self.features[nodes])
            goes_right = found > self.thresholds[nodes]
            if len(own.categories):
                sets = self.sets[nodes]
                # where the split is none of categories, any place will do: it is not looked at
                at = sets.clamp(min=0) * (SET_WORDS * _WORD_BITS) + self._category(found)
                is_out, of_sets = self.is_inside[at] < 0.5, sets >= 0
                goes_right = (of_sets & is_out) | (~of_sets & goes_right)
            nodes = self.branches[nodes * 2 + goes_right.long()]
        leaves = self.values[nodes]  # (B, T, V)
        summed = leaves.squeeze(2) @ self.columns if leaves.shape[2] == 1 else leaves.sum(dim=1)
        logits: Tensor = own.link_logits(own.base + summed).float()
        return logits

    @staticmethod
    def _category(found: Tensor) -> Tensor:
        return found.clamp(0, SET_WORDS * _WORD_BITS - 1).long()


def exported_network(model: Model) -> ExportedNetwork:
    """Return a model as the network to export; the model itself is left as it is.

    Adapters are merged, and attention takes its plain way: fused with a bias it has no words in
    ONNX.

    Args:
        model: On any device.
    """
    whole = deepcopy(model).cpu().eval()
    merge_lora(whole.encoder)
    network = whole.encoder.network
    if isinstance(network, TreeEnsemble):
        whole.encoder.network = SteppedTrees(network)
    for module in whole.modules():
        if isinstance(module, TextNetwork):
            module.window = None  # what it is given are windows
        if getattr(module, "fused_attn", None) is True:
            module.fused_attn = False  # type: ignore[assignment]
    return ExportedNetwork(whole.requires_grad_(False))
