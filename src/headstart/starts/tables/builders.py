"""Starts for tables: a linear model, trees, and an MLP with numeric embeddings; none pretrained.

``scratch/linear`` learns nothing itself: it hands the numbers on, beside a one-hot vector for each
code. Code 0 is all zeros, the reference level, so that an unknown category adds nothing to what
the head says. With the head it is ordinary least squares or logistic regression.
``scratch/mlp`` turns each number into piecewise-linear bins between the quantiles of train, embeds
these and the codes, and puts dense layers behind.
``scratch/boosting``, ``scratch/forest`` and ``scratch/lightgbm`` are trees, without any until they
are grown from train; on many tables they win.

The networks themselves, and the arrays they take, are in ``networks`` and ``trees``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from headstart.errors import StartError
from headstart.preprocessing import TablePreprocess
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.tables.networks import LinearTable, TableMLP, number_names, scaling
from headstart.starts.tables.trees import TreeEnsemble, build_table_trees
from headstart.tensors import seeded
from headstart.types import GROWN, Column, Start, TableSpec

MLP_OPTIONS: Mapping[str, int | float] = {
    "width": 256,
    "num_blocks": 2,
    "embedding_size": 16,
    "dropout": 0.1,
}


def build_table_encoder(
    start: Start, preprocess: TablePreprocess, num_outputs: int = 1, *, seed: int = 0
) -> Encoder:
    """Build the encoder of a table start for some columns.

    Args:
        start: ``scratch/linear``, ``scratch/mlp``, or one whose trees are grown.
        preprocess: The columns, fitted on train.
        num_outputs: Logits of a sample; trees give these themselves.
        seed: Seeds the random weights.

    Returns:
        The encoder, in train mode; it takes numbers (B, F) and codes (B, G).

    Raises:
        StartError: If a column cannot be what it says.
    """
    spec, name = preprocess.spec, start.address.removeprefix("scratch/")
    options: dict[str, Option] = dict(MLP_OPTIONS) if name == "mlp" else {}
    network: LinearTable | TableMLP | TreeEnsemble
    with seeded(seed):
        if name == "linear":
            network = build_table_linear(spec)
        elif start.family in GROWN:
            network = TreeEnsemble(spec, num_outputs)
            name, options = "trees", network.options
        else:
            network = build_table_mlp(
                spec,
                width=int(MLP_OPTIONS["width"]),
                num_blocks=int(MLP_OPTIONS["num_blocks"]),
                embedding_size=int(MLP_OPTIONS["embedding_size"]),
                dropout=float(MLP_OPTIONS["dropout"]),
            )
    architecture = write_architecture(f"table-{name}", options, start, preprocess.to_json())
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=architecture,
        num_features=network.num_features,
    )


def build_table_linear(spec: TableSpec) -> LinearTable:
    """Build the features of a linear model: numbers and one-hot codes.

    Raises:
        StartError: If the spec has no columns, or a column contradicts itself.
    """
    return LinearTable(spec)


def build_table_mlp(
    spec: TableSpec, width: int, num_blocks: int, embedding_size: int, dropout: float
) -> TableMLP:
    """Build an MLP with numeric and categorical embeddings.

    Args:
        spec: The columns; numbers without quantiles (``edges``) go in as they are.
        width: Features of every dense layer, D.
        num_blocks: Dense layers.
        embedding_size: Features of an embedded number or code.
        dropout: Dropped share of each dense layer's output while training.

    Raises:
        StartError: If the spec has no columns, or a column contradicts itself.
    """
    return TableMLP(spec, width, num_blocks, embedding_size, dropout)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "table-linear": build_table_linear,
    "table-trees": build_table_trees,
    "table-mlp": build_table_mlp,
}


def coefficients(
    weight: np.ndarray,
    bias: float,
    spec: TableSpec,
    *,
    target_mean: float = 0.0,
    target_scale: float = 1.0,
) -> tuple[dict[str, float], float]:
    """Return a linear regression in the units of the columns and of the target.

    Args:
        weight: The head's weight for its one output, shape (1, D) or (D,).
        bias: The head's bias.
        spec: The columns, whose scaling is taken out.
        target_mean: Mean of the target, added back.
        target_scale: Scale of the target, multiplied back.

    Returns:
        A weight for each number (target per unit of the column) and each category
        (``"column=category"``, target above an unknown one), and the intercept. A missing cell
        counts as the column's ``fill`` and adds the weight of ``"column is missing"``.

    Raises:
        StartError: If the weights are not one for each feature of the spec.
    """
    means, scales, names = [], [], []
    for column in spec.columns:
        mean, scale = scaling(column)
        means += mean
        scales += scale
        names += number_names(column)
    categories = [c for c in spec.columns if c.kind == "categorical"]
    names += [_category_name(column, word) for column in categories for word in column.categories]
    values = np.asarray(weight, dtype=np.float64)
    if values.size != len(names) or values.shape[-1:] != (len(names),):
        raise StartError(
            f"The weights have shape {values.shape}; expected (1, {len(names)}), one output with a "
            f"weight for each feature of the table. Only a regression by 'scratch/linear' has them."
        )
    values = values.reshape(-1) * target_scale
    num = len(means)
    values[:num] /= np.asarray(scales)
    intercept = target_mean + target_scale * float(bias) - float(values[:num] @ np.asarray(means))
    return dict(zip(names, values.tolist(), strict=True)), intercept


def _category_name(column: Column, category: str) -> str:
    """Return the name of a category's weight; a missing cell is the category ``""``."""
    return f"{column.name}={category}" if category else f"{column.name} is missing"
