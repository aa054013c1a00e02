"""The network of a start that is grown: decision trees as tensors, answered by PyTorch.

Boosted trees and forests learn no step by step: they are grown from train at once, by
``training.probing``, and become the buffers of this module. So they are saved, opened, served and
evaluated as every other model is, as arrays in ``model.safetensors``; nothing is pickled, and
answering needs no scikit-learn. Its features are the logits themselves; the head hands them on.

All rows go down all trees at once, a split at a time: as many steps as the deepest leaf is deep.
Left out: gradients (there are none), and NaN among the cells, which preparing fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import StartError, quoted
from headstart.starts.tables.networks import category_sizes, num_numbers
from headstart.types import TableSpec

SET_WORDS = 8
LINKS = ("sum", "log", "log-odds")  # of sums; of probabilities; of one probability a label
_LEAST_SHARE = 1e-7  # a forest's probability of what none of its trees has seen
_VISITS = 128_000  # of rows at trees in one step down: more leave the processor's cache
_JIT: Any = torch.jit  # which says nothing of its types
_STEPS_A_LOOK, _WORTH = 3, 0.8  # when rows at leaves are left out, and of how many it is worth it


class TreeEnsemble(nn.Module):
    """Trees whose leaves are added up.

    Args:
        spec: The columns.
        num_outputs: K, what the task wants of a sample.
        num_trees: T.
        num_nodes: N, of all trees.
        num_sets: S, splits of categories.
        num_values: V, numbers of a leaf: 1, or K.
        depth: Splits from a root to the deepest leaf.
        link: How sums become logits: ``sum`` as they are, ``log`` of shares, ``log-odds`` of one.

    Attributes:
        num_features: K.
        is_grown: True: it learns from train at once, and from no gradient.
    """

    is_grown = True
    features: Tensor
    thresholds: Tensor
    branches: Tensor
    sets: Tensor
    categories: Tensor
    values: Tensor
    roots: Tensor
    columns: Tensor
    base: Tensor
    folded: Tensor
    offsets: Tensor

    def __init__(
        self,
        spec: TableSpec,
        num_outputs: int,
        *,
        num_trees: int = 1,
        num_nodes: int = 1,
        num_sets: int = 0,
        num_values: int = 1,
        depth: int = 0,
        link: str = "sum",
    ) -> None:
        super().__init__()
        if link not in LINKS:
            raise StartError(
                f"Unknown link '{link}' of trees. Expected {quoted(LINKS)}. The file is from "
                f"another version of headstart, or damaged."
            )
        self.num_numbers, self.sizes = num_numbers(spec), category_sizes(spec)
        self.num_features, self.depth, self.link = num_outputs, depth, link
        arrays = {
            "features": np.zeros(num_nodes, np.int32),
            "thresholds": np.zeros(num_nodes, np.float32),
            "branches": np.zeros((num_nodes, 2), np.int32),
            "sets": np.full(num_nodes, -1, np.int32),
            "categories": np.zeros((num_sets, SET_WORDS), np.int32),
            "values": np.zeros((num_nodes, num_values), np.float32),
            "roots": np.zeros(num_trees, np.int32),
            "columns": np.zeros(num_trees, np.int32),
            "base": np.zeros(num_outputs, np.float64),
            "folded": np.zeros(sum(self.sizes), np.int64),
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array))
        offsets = np.cumsum([0, *self.sizes], dtype=np.int64)[:-1]
        self.register_buffer("offsets", torch.from_numpy(offsets), persistent=False)
        hook: Any = self.register_load_state_dict_post_hook
        hook(_check_places)

    @property
    def options(self) -> dict[str, Any]:
        """What ``build_table_trees`` needs to build a module of these shapes."""
        return {
            "num_outputs": self.num_features,
            "num_trees": len(self.roots),
            "num_nodes": len(self.features),
            "num_sets": len(self.categories),
            "num_values": self.values.shape[1],
            "depth": self.depth,
            "link": self.link,
        }

    def take(
        self,
        arrays: Mapping[str, np.ndarray],
        folded: Sequence[np.ndarray],
        *,
        depth: int,
        link: str,
    ) -> None:
        """Put grown trees in the place of those that there are.

        Args:
            arrays: By the names of the buffers, as ``training.probing.trees.Trees`` has them.
            folded: For each column of codes the category that each code becomes.
            depth: Of the deepest leaf.
            link: One of ``LINKS``.
        """
        device = self.base.device
        codes = np.concatenate([np.empty(0, np.int64), *folded]).astype(np.int64)
        for name, array in {**arrays, "folded": codes}.items():
            kept = self.get_buffer(name).dtype
            tensor = torch.from_numpy(np.ascontiguousarray(array)).to(kept)
            setattr(self, name, tensor.to(device))
        self.depth, self.link = depth, link

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return logits, float32 (B, K), of numbers (B, F) and codes (B, G)."""
        cells = numbers
        if self.sizes:
            cells = torch.cat([numbers, self.folded[codes + self.offsets].to(numbers.dtype)], dim=1)
        sums = self.base.expand(len(cells), -1).clone()
        at_once = max(1, _VISITS // max(1, len(cells)))
        for first in range(0, len(self.roots), at_once):
            part = slice(first, first + at_once)
            leaves = self._leaves(cells, self.roots[part])
            values = self.values.index_select(0, leaves).double()
            values = values.view(len(cells), -1, values.shape[1])
            if values.shape[2] == 1:
                sums.index_add_(1, self.columns[part], values.squeeze(2))
            else:
                sums += values.sum(dim=1)
        return self.link_logits(sums).float()

    def _leaves(self, cells: Tensor, roots: Tensor) -> Tensor:
        """Return the leaf that each row comes to in each tree, int32 (B * T,).

        Few leaves are as deep as the deepest: what has come to one is left out of further steps.
        """
        num_rows, num_columns = cells.shape
        flat, branches = cells.reshape(-1), self.branches.reshape(-1)
        first = torch.arange(num_rows, dtype=torch.int32, device=cells.device) * num_columns
        rows, nodes = first.repeat_interleave(len(roots)), roots.repeat(num_rows)
        leaves, places = nodes.clone(), torch.arange(len(nodes), device=cells.device)
        is_traced = _JIT.is_tracing()  # a trace has one way for all rows
        for step in range(self.depth):
            found = flat.index_select(0, self.features.index_select(0, nodes).add_(rows))
            goes_right = found > self.thresholds.index_select(0, nodes)
            if len(self.categories):
                goes_right = self._told_by_sets(nodes, found, goes_right)
            nodes = branches.index_select(0, nodes.mul(2).add_(goes_right))
            if step % _STEPS_A_LOOK == _STEPS_A_LOOK - 1 and not is_traced:
                kept = (branches.index_select(0, nodes.mul(2)) != nodes).nonzero().squeeze(1)
                if len(kept) < _WORTH * len(nodes):
                    leaves.index_copy_(0, places, nodes)
                    nodes, rows, places = (x.index_select(0, kept) for x in (nodes, rows, places))
        return leaves.index_copy(0, places, nodes)

    def _told_by_sets(self, nodes: Tensor, found: Tensor, goes_right: Tensor) -> Tensor:
        """Return whether rows go right, those at a split of categories by its set."""
        sets = self.sets.index_select(0, nodes)
        at = (sets >= 0).nonzero().squeeze(1)
        category = found.index_select(0, at).to(torch.int32)
        words = self.categories.reshape(-1).index_select(
            0, sets.index_select(0, at) * SET_WORDS + (category >> 5)
        )
        is_out = ((words >> (category & 31)) & 1) == 0
        return goes_right.index_copy(0, at, is_out)

    def link_logits(self, sums: Tensor) -> Tensor:
        """Return logits, float64 (B, K), of the sums of leaves (B, K)."""
        if self.link == "sum":
            return sums
        shares = sums.clamp(_LEAST_SHARE, 1.0)
        if self.link == "log":
            return shares.log()
        return shares.log() - (1.0 - sums).clamp(_LEAST_SHARE, 1.0).log()


def _check_places(module: TreeEnsemble, incompatible: object) -> None:
    """Refuse trees that point beyond what there is, as a damaged file's may.

    Raises:
        StartError: Naming what does.
    """
    del incompatible
    num_columns = module.num_numbers + len(module.sizes)
    limits = {
        "features": (0, max(1, num_columns)),
        "branches": (0, len(module.features)),
        "sets": (-1, len(module.categories)),
        "roots": (0, len(module.features)),
        "columns": (0, module.num_features),
        "folded": (0, 2**24),
    }
    for name, (low, high) in limits.items():
        tensor = module.get_buffer(name)
        if tensor.numel() and not (low <= int(tensor.min()) and int(tensor.max()) < high):
            raise StartError(
                f"The trees hold {int(tensor.min())} to {int(tensor.max())} in '{name}'; expected "
                f"whole numbers from {low} to {high - 1}. The file is damaged: train again."
            )


def build_table_trees(
    spec: TableSpec,
    num_outputs: int,
    num_trees: int,
    num_nodes: int,
    num_sets: int,
    num_values: int,
    depth: int,
    link: str,
) -> TreeEnsemble:
    """Build a network of trees of these shapes, which answers 0 until it is grown or loaded.

    Args:
        spec: The columns.
        num_outputs: See ``TreeEnsemble``, as all others.
        num_trees: T.
        num_nodes: N.
        num_sets: S.
        num_values: V.
        depth: Of the deepest leaf.
        link: One of ``LINKS``.

    Raises:
        StartError: If the columns contradict themselves, or the link is unknown.
    """
    return TreeEnsemble(
        spec,
        num_outputs,
        num_trees=num_trees,
        num_nodes=num_nodes,
        num_sets=num_sets,
        num_values=num_values,
        depth=depth,
        link=link,
    )
