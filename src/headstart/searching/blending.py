"""A soup of finals: trainings of one start whose averaged weights answer better on val.

It costs one pass, where an ensemble of the same models costs one each. What the soup is made of is
chosen greedily on val (``soup``); whether it is handed over is decided as of every other model
(``finalists``). Its recipe, its curves and the probe that it began with are those of the best
training in it.

Left out: adapters, whose product is no average of products; networks of several sizes, and starts
that were trained at different ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.model import Model, run_batches
from headstart.searching.context import Contender
from headstart.searching.soup import State, greedy_soup
from headstart.tensors import to_tensors
from headstart.training.state.norms import recompute_norms
from headstart.tuning.arm import calibrated_loss
from headstart.tuning.setup import subsample
from headstart.types import Inputs, Rows

NORM_SAMPLES = 512  # of train, by which BatchNorm's statistics are computed anew
_AT_ONCE = 64


@dataclass(frozen=True)
class Blend:
    """A soup that is as good on val as the best training in it.

    Attributes:
        made: The model.
        names: Of the trainings, the best first.
    """

    made: Contender
    names: tuple[str, ...]


def blendable(contenders: Sequence[Contender], best: Contender) -> list[Contender]:
    """Return the trainings that could be averaged with one, itself among them.

    Args:
        contenders: All that were made.
        best: Made by steps.
    """
    if best.setup.strategy.adapters or not best.is_trained:
        return []
    return [one for one in contenders if one is best or _is_alike(one, best)]


def _is_alike(one: Contender, other: Contender) -> bool:
    """Return whether two trainings began with the same network and read the same samples."""
    if not one.is_trained or one.setup.strategy.adapters:
        return False
    encoder, others = one.setup.model.encoder, other.setup.model.encoder
    return (
        encoder.start.address == others.start.address
        and encoder.architecture == others.architecture
        and one.setup.size == other.setup.size
        and np.array_equal(one.val.ids, other.val.ids)
    )


def blend(parts: Sequence[Contender]) -> Blend | None:
    """Return the greedy soup of trainings; None where no average is as good as the best of them.

    Args:
        parts: As ``blendable`` gives them, two at the least.
    """
    val, train = parts[0].val, parts[0].train
    model = copy.deepcopy(parts[0].setup.model)

    def judge(state: State) -> float:
        return -_loss(model, _poured(model, state, train, val), val)

    scores = [-_loss(one.setup.model, one.tuned.val_logits, val) for one in parts]
    states = [one.setup.model.state_dict() for one in parts]
    soup = greedy_soup(states, scores, judge)
    if len(soup.taken) < 2:
        return None
    logits = _poured(model, soup.state, train, val)
    taken = [parts[place] for place in soup.taken]
    seconds = sum(one.tuned.seconds for one in taken)
    made = Contender(
        f"average of {len(taken)} trainings of {model.encoder.start.address}",
        replace(taken[0].setup, model=model),
        replace(taken[0].tuned, val_logits=logits, seconds=seconds),
        taken[0].train,
        val,
    )
    return Blend(made, tuple(one.name for one in taken))


def _loss(model: Model, logits: Rows, val: Inputs) -> float:
    """Return the mean calibrated loss of val."""
    return calibrated_loss(model, logits, model.standard_targets(val.targets))


def _poured(model: Model, state: State, train: Inputs, val: Inputs) -> Rows:
    """Put averaged weights into a model, with the statistics of their own network; validate it."""
    model.load_state_dict(dict(state))
    places = subsample(train.targets, NORM_SAMPLES, seed=0)
    batches = (
        to_tensors(train.arrays(part), model.device)
        for part in np.array_split(places, -(-len(places) // _AT_ONCE))
    )
    recompute_norms(model, batches, model.features)
    return run_batches(model, val, model, is_fixed=False)
