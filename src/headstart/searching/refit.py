"""Fit what is solved for again, on train and val together, where more samples help.

A head on frozen features, or terms, has nothing to choose by val but its penalty, which is kept. So
once it is chosen, val's samples are worth more as something to learn from. Whether they are is seen
on val first: a head fitted to as much less of train as val would add must be no better than one
fitted to all of it. Temperature and val figures stay those of the model before, which has not seen
val; the report says so.

Trees are grown again with the settings and as many trees as val had chosen.

Left out: what was trained by steps, whose length and best weights val decides.
"""

from __future__ import annotations

import copy
import time
from typing import Any, cast

import numpy as np

from headstart.events import unheard
from headstart.model import Model
from headstart.searching.context import Contender
from headstart.training.probing.probe import Probe, fit_probe
from headstart.tuning.features import features_of, sparse_features
from headstart.tuning.grown import grow_again
from headstart.tuning.part import Part
from headstart.tuning.setup import install, subsample
from headstart.tuning.solving import TREES, solver_of
from headstart.types import Inputs, Rows

_LEAST_VAL, _LEAST_PART = 5, 20  # samples


def refit_on_all(found: Contender, *, deadline: float | None) -> str | None:
    """Fit a head again on train and val; return why, or None where that is not done.

    Args:
        found: Solved for; its model's head is replaced.
        deadline: ``time.monotonic()`` value by which it has ended; None for no limit.
    """
    fitted, setup = found.tuned.fitted, found.setup
    train, val = found.train, found.val
    num_fewer = len(train) - len(val)
    task = setup.model.task
    is_solved = not setup.strategy.loops and task.head == "linear" and not task.parts
    can = fitted is not None and is_solved
    if not can or len(val) < _LEAST_VAL or num_fewer < _LEAST_PART:
        return None
    assert fitted is not None
    if solver_of(setup) is TREES:
        return _grow_on_all(found, fitted, num_fewer, deadline)
    began, limit = time.monotonic(), setup.strategy.num_probe_samples
    if len(train) + len(val) > limit:
        return None
    features, val_features = (_features(setup.model, one) for one in (train, val))
    places = subsample(train.targets, num_fewer, seed=setup.recipe.seed)
    fewer = _fit(found, features[places], train.targets[places], val_features, fitted.strength)
    took = time.monotonic() - began
    if deadline is not None and time.monotonic() + 2 * took > deadline:
        return None
    if fitted.val_loss > fewer.val_loss:
        return None
    both = _joined(features, val_features)
    targets = np.concatenate([np.asarray(train.targets), np.asarray(val.targets)])
    again = _fit(found, both, targets, val_features, fitted.strength)
    install(setup.model, again)
    return _told(fewer, fitted, len(places), len(train))


def _told(fewer: Probe, fitted: Probe, num_fewer: int, num_train: int) -> str:
    return (
        f"loss on val {fewer.val_loss:.4g} when it learns from {num_fewer:,} samples, "
        f"{fitted.val_loss:.4g} from {num_train:,}"
    )


def _grow_on_all(
    found: Contender, fitted: Probe, num_fewer: int, deadline: float | None
) -> str | None:
    """Grow trees again on train and val; return why, or None where that is not done."""
    setup, train, val = found.setup, found.train, found.val
    if fitted.settled is None:
        return None
    # twice: from less of train, to see whether more helps, and from all there is
    if deadline is not None and time.monotonic() + 2 * fitted.seconds > deadline:
        return None

    def grown(model: Model, samples: Inputs) -> Probe:
        recipe = setup.recipe
        return grow_again(model, samples, val, fitted, imbalance=recipe.imbalance, seed=recipe.seed)

    places = subsample(train.targets, num_fewer, seed=setup.recipe.seed)
    with unheard():
        fewer = grown(copy.deepcopy(setup.model), Part(train, places))
        if fitted.val_loss > fewer.val_loss:
            return None
        grown(setup.model, cast(Inputs, Joined(train, val)))
    return _told(fewer, fitted, len(places), len(train))


class Joined:
    """The rows of two prepared splits as one, as trees are grown from them.

    Args:
        first: Rows.
        second: Other rows.
    """

    def __init__(self, first: Inputs, second: Inputs) -> None:
        self.parts = first, second
        self.targets = np.concatenate([np.asarray(first.targets), np.asarray(second.targets)])

    def __len__(self) -> int:
        return len(self.parts[0]) + len(self.parts[1])

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return some of the rows, in the order that is asked for."""
        first, second = self.parts
        every = [part.arrays(np.arange(len(part))) for part in (first, second)]
        return tuple(np.concatenate(pair)[places] for pair in zip(*every, strict=True))


def _features(model: Model, inputs: Inputs) -> Any:
    """Return the features of samples; of terms they are sparse."""
    sparse = sparse_features(model, inputs)
    return features_of(model, inputs) if sparse is None else sparse


def _fit(
    found: Contender, features: Any, targets: Rows, val_features: Any, strength: float
) -> Probe:
    """Fit the head with the penalty that was chosen."""
    model = found.setup.model
    return fit_probe(
        features,
        model.standard_targets(targets),
        val_features,
        model.standard_targets(found.val.targets),
        task=model.schema.task,
        num_outputs=model.num_outputs,
        imbalance=found.setup.recipe.imbalance,
        strengths=(strength,),
    )


def _joined(features: Any, others: Any) -> Any:
    """Return rows and other rows as one matrix, dense or CSR."""
    if isinstance(features, np.ndarray):
        return np.concatenate([features, others])
    from scipy.sparse import vstack

    return vstack([features, others], format="csr")
