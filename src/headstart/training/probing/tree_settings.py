"""How boosted trees are grown: the settings that are tried, in the order in which time is spent.

Measured: docs/experiments.md, "Which trees".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_TREES = 500  # at scikit-learn's own learning rate


@dataclass(frozen=True)
class Setting:
    """How trees are grown; without options scikit-learn's defaults.

    Attributes:
        options: Of scikit-learn's estimator.
        most_trees: No more boosting steps than that.
        patience: Steps without a gain on val that end it; scikit-learn's n_iter_no_change is 10.
    """

    options: Mapping[str, Any]
    most_trees: int = MOST_TREES
    patience: int = 10


DEFAULT = Setting({})
# The order is that in which time is spent.
SETTINGS = (
    DEFAULT,
    Setting({"learning_rate": 0.05, "max_features": 0.5}, 1_000, 20),
    Setting(
        {
            "learning_rate": 0.05,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 10,
            "l2_regularization": 1.0,
            "max_features": 0.5,
        },
        1_000,
        20,
    ),
    Setting(
        {
            "learning_rate": 0.03,
            "max_leaf_nodes": 63,
            "min_samples_leaf": 5,
            "max_features": 0.3,
        },
        1_500,
        30,
    ),
)
