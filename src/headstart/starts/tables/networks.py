"""Networks for tables: the arrays they take, one-hot codes, numeric embeddings, and an MLP.

A table reaches a network as two arrays, whose layout follows from the ``TableSpec`` alone:

- numbers, float32 (B, F), in the order of the columns: numeric and boolean columns give one number,
  dates three, each standardised by the column's ``mean`` and ``scale``; right after them one number
  0/1 that says "missing", where the column has ``has_missing``;
- codes, int64 (B, G), one a categorical column, in the order of the columns: category i has code
  i + 1, a missing cell is the category "", and code 0 is everything else (rare or unknown).

Left out: attention between columns, retrieval, ensembles. Reading and preparing columns belongs to
the data room; nothing here looks at a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import StartError
from headstart.types import Column, TableSpec

# The words of the data room's ``feature_names``; a test holds the two together.
DATE_PARTS = ("days", "month", "weekday", "hour")
NUM_DATE_PARTS = 3  # and the hour, where train has times
_BEYOND = 1.0  # bin widths that the first and the last bin go on


class LinearTable(nn.Module):
    """Numbers beside one-hot codes; no parameters.

    Args:
        spec: The columns.

    Attributes:
        num_features: D, the numbers and one for each known category.
    """

    offsets: Tensor
    known: Tensor

    def __init__(self, spec: TableSpec) -> None:
        super().__init__()
        sizes = category_sizes(spec)
        self.num_numbers = num_numbers(spec)
        self.num_codes = sum(sizes)
        self.num_features = self.num_numbers + self.num_codes - len(sizes)
        offsets = _offsets(sizes)
        known = np.setdiff1d(np.arange(self.num_codes), offsets)
        # from the spec alone, so they need not travel with the weights
        self.register_buffer("offsets", torch.from_numpy(offsets), persistent=False)
        self.register_buffer("known", torch.from_numpy(known), persistent=False)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return features (B, D) of numbers (B, F) and codes (B, G)."""
        if not self.num_codes:
            return numbers
        # not len(): an exporter would take the batch at hand for a constant
        hot = numbers.new_zeros(numbers.shape[0], self.num_codes)
        hot = hot.scatter(1, codes + self.offsets, 1.0)
        return torch.cat([numbers, hot[:, self.known]], dim=1)


class NumericEmbedding(nn.Module):
    """Piecewise-linear encoding between quantiles, then a dense layer and ReLU for each number.

    A number in bin t of T is encoded as t - 1 ones, how far it is through its bin, and zeros.
    Numbers with fewer bins are padded with zeros.

    Args:
        edges: For each number the ends of its bins, ascending, at least two.
        embedding_size: E.

    Source:
        Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning",
        NeurIPS 2022, eq. 1 (PLE) and "PLE-LR". Deviation: the first and the last bin go on for one
        width more and not for ever, so that one absurd cell cannot give an absurd prediction. On
        California housing periodic embeddings overfit where this does not (RMSE on val 50,300
        against 47,500 after 30 epochs), and want a frequency that no default suits.
    """

    lower: Tensor
    width: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, edges: Sequence[np.ndarray], embedding_size: int) -> None:
        super().__init__()
        num, num_bins = len(edges), max(len(e) for e in edges) - 1
        lower, width = np.zeros((num, num_bins)), np.ones((num, num_bins))
        least, most = np.zeros((num, num_bins)), np.zeros((num, num_bins))  # padding stays at 0
        for row, ends in enumerate(edges):
            used = len(ends) - 1
            lower[row, :used], width[row, :used] = ends[:-1], np.diff(ends)
            most[row, :used] = 1.0
            least[row, 0], most[row, used - 1] = -_BEYOND, 1.0 + _BEYOND
        for name, values in (("lower", lower), ("width", width), ("least", least), ("most", most)):
            tensor = torch.from_numpy(values.astype(np.float32))
            self.register_buffer(name, tensor, persistent=False)
        bound = num_bins**-0.5
        self.weight = nn.Parameter(torch.empty(num, num_bins, embedding_size))
        # flat, as biases are, so that no weight decay pulls at it
        self.bias = nn.Parameter(torch.empty(num * embedding_size))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return (B, N * E) of numbers (B, N)."""
        bins = (numbers.unsqueeze(-1) - self.lower) / self.width
        bins = torch.minimum(torch.maximum(bins, self.least), self.most)
        embedded = torch.einsum("bnt,nte->bne", bins, self.weight).flatten(1)
        return F.relu(embedded + self.bias)


class CellEmbedding(nn.Module):
    """Turn numbers and codes into one vector: numeric embeddings, plain numbers, embedded codes.

    Args:
        spec: The columns.
        embedding_size: Features of an embedded number or code.

    Attributes:
        num_features: Length of the vector.
    """

    embedded: Tensor
    plain: Tensor
    offsets: Tensor

    def __init__(self, spec: TableSpec, embedding_size: int) -> None:
        super().__init__()
        edges = [ends for column in spec.columns for ends in number_edges(column)]
        embedded = [place for place, ends in enumerate(edges) if ends is not None]
        plain = [place for place, ends in enumerate(edges) if ends is None]
        sizes = category_sizes(spec)
        self.numeric = (
            NumericEmbedding([e for e in edges if e is not None], embedding_size)
            if embedded
            else None
        )
        self.categories = nn.Embedding(sum(sizes), embedding_size) if sizes else None
        offsets = torch.from_numpy(_offsets(sizes))
        if self.categories is not None:
            with torch.no_grad():
                # train may never show an unknown category, which then must not be noise
                self.categories.weight[offsets] = 0.0
        self.register_buffer("embedded", torch.tensor(embedded).long(), persistent=False)
        self.register_buffer("plain", torch.tensor(plain).long(), persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.num_features = len(plain) + embedding_size * (len(embedded) + len(sizes))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return (B, num_features) of numbers (B, F) and codes (B, G)."""
        parts = []
        if self.numeric is not None:
            parts.append(self.numeric(numbers[:, self.embedded]))
        if len(self.plain):
            parts.append(numbers[:, self.plain])
        if self.categories is not None:
            parts.append(self.categories(codes + self.offsets).flatten(1))
        return torch.cat(parts, dim=1)


class TableMLP(nn.Module):
    """Embedded cells, then blocks of dense layer, ReLU and dropout.

    The children stand in forward order, so that each is one layer to a strategy.

    Args:
        spec: The columns.
        width: D, features of every block.
        num_blocks: Dense layers.
        embedding_size: Features of an embedded number or code.
        dropout: Dropped share of each block's output while training.

    Attributes:
        num_features: D.
    """

    def __init__(
        self, spec: TableSpec, width: int, num_blocks: int, embedding_size: int, dropout: float
    ) -> None:
        super().__init__()
        num_numbers(spec)  # refuses columns that contradict themselves
        self.cells = CellEmbedding(spec, embedding_size)
        self.num_features = width
        self._blocks = [f"block{number}" for number in range(1, num_blocks + 1)]
        num_inputs = self.cells.num_features
        for name in self._blocks:
            block = nn.Sequential(nn.Linear(num_inputs, width), nn.ReLU(), nn.Dropout(dropout))
            self.add_module(name, block)
            num_inputs = width

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return features (B, D) of numbers (B, F) and codes (B, G)."""
        features: Tensor = self.cells(numbers, codes)
        for name in self._blocks:
            features = self.get_submodule(name)(features)
        return features


def number_names(column: Column) -> list[str]:
    """Return a name for each number that a column gives; of categories only their order is one."""
    if column.kind == "categorical":
        return [f"{column.name} (order)"] if column.levels else []
    names = [column.name]
    if column.kind == "date":
        parts = DATE_PARTS[: len(column.mean) or NUM_DATE_PARTS]
        names = [f"{column.name} ({part})" for part in parts]
    return [*names, f"{column.name} is missing"] if column.has_missing else names


def num_numbers(spec: TableSpec) -> int:
    """Return F.

    Raises:
        StartError: If there is no column, or a column has a wrong number of means or scales.
    """
    if not spec.columns:
        raise StartError(
            "The table has no columns beside its target; expected at least one to predict from. "
            "Give a table with more columns."
        )
    return sum(len(scaling(column)[0]) for column in spec.columns)


def category_sizes(spec: TableSpec) -> list[int]:
    """Return the number of codes of each categorical column, code 0 included."""
    return [len(c.categories) + 1 for c in spec.columns if c.kind == "categorical"]


def scaling(column: Column) -> tuple[list[float], list[float]]:
    """Return mean and scale of each number that a column gives; what is not scaled has 0 and 1.

    Raises:
        StartError: If there are neither none, nor one for each number, or a scale is not above 0.
    """
    width = len(number_names(column))
    plain = width - 1 if column.has_missing and width else width
    if {len(column.mean), len(column.scale)} - {0, plain, width} or not all(
        scale > 0 for scale in column.scale
    ):
        raise StartError(
            f"Column '{column.name}' ({column.kind}) has mean {column.mean} and scale "
            f"{column.scale}; expected {plain} of each, and scales above 0. The preprocessing is "
            f"damaged: prepare the table again."
        )
    mean, scale = list(column.mean), list(column.scale)
    return mean + [0.0] * (width - len(mean)), scale + [1.0] * (width - len(scale))


def number_edges(column: Column) -> list[np.ndarray | None]:
    """Return the standardised ends of the bins of each number of a column, None where it has none.

    A column's ``edges`` are in its own units and belong to its first number.
    """
    found: list[np.ndarray | None] = [None] * len(number_names(column))
    if column.kind == "numeric" and column.edges:
        mean, scale = scaling(column)
        standard = (np.asarray(column.edges, dtype=np.float64) - mean[0]) / scale[0]
        ends = np.unique(standard.astype(np.float32))  # close ones fall together in float32
        if len(ends) >= 2:
            found[0] = ends
    return found


def _offsets(sizes: Sequence[int]) -> np.ndarray:
    """Return where the codes of each column begin when all lie in a row, int64, shape (G,)."""
    return np.cumsum([0, *sizes], dtype=np.int64)[:-1]
