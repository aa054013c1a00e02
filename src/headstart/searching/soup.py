"""Soups: the average of the weights of several trainings of one start, which costs one pass.

Weights that were tuned from the same start lie in one valley as often as not, and their middle is
then better than each. Where it is not, the greedy soup finds out on val. BatchNorm's running
statistics are those of no network that was averaged: they are computed anew from samples
(``training.state.norms``).

Left out: weights of different starts or architectures, whose average means nothing.

Source: M. Wortsman et al., 2022, Model soups, ICML, section 2 (uniform) and recipe 1 (greedy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import OptionError

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Soup:
    """What a greedy soup was made of.

    Attributes:
        state: The average.
        taken: Places of the ingredients, the best first.
        score: What the judge said of the average; of one ingredient its own score.
    """

    state: dict[str, Tensor]
    taken: tuple[int, ...]
    score: float


def average_states(states: Sequence[State]) -> dict[str, Tensor]:
    """Return the mean of several states; whole numbers (counters) are those of the first.

    Args:
        states: Of one architecture, as ``state_dict`` gives them.

    Returns:
        Tensors of their own, each of its former type; the mean is taken in float64.

    Raises:
        OptionError: If there is none, or names or shapes differ, naming a tensor.
    """
    if not states:
        raise OptionError("There is no state to average; expected one or more.")
    first = states[0]
    for number, other in enumerate(states[1:], start=2):
        wrong = [
            n for n in sorted(first.keys() | other.keys()) if _shape(first, n) != _shape(other, n)
        ]
        if wrong:
            raise OptionError(
                f"State {number} has '{wrong[0]}' of shape {_shape(other, wrong[0])} and the first "
                f"one {_shape(first, wrong[0])}; expected trainings of one start and architecture."
            )
    return {name: _mean([state[name] for state in states]) for name in first}


def _shape(state: State, name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0].detach()
    if len(tensors) == 1 or not first.is_floating_point():
        return first.clone()
    total = torch.zeros_like(first, dtype=torch.float64, device="cpu")
    for tensor in tensors:
        total += tensor.detach().to("cpu", torch.float64)
    return (total / len(tensors)).to(first.dtype).to(first.device)


def greedy_soup(
    states: Sequence[State], scores: Sequence[float], judge: Callable[[State], float]
) -> Soup:
    """Average what helps: the best state, and every further one that does not lower the score.

    Args:
        states: Of one architecture.
        scores: What each of them reaches on val, higher is better; not finite is the worst.
        judge: The same of an average. It puts it into a model, computes BatchNorm's statistics anew
            (``recompute_norms``), and validates. Asked once for each state but the best.

    Raises:
        OptionError: As ``average_states``.
    """
    average_states(states)  # whether they go together at all, before anything is judged
    known = [_finite(score) for score in scores]
    order = sorted(range(len(states)), key=lambda place: -known[place])
    taken, score = [order[0]], known[order[0]]
    for place in order[1:]:
        found = _finite(judge(average_states([states[one] for one in (*taken, place)])))
        if found >= score:
            taken, score = [*taken, place], found
    return Soup(average_states([states[one] for one in taken]), tuple(taken), score)


def _finite(score: float) -> float:
    return score if score == score else float("-inf")
