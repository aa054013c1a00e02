"""A linear probe of tokens: what a frozen start knows of where answers begin and end.

Two vectors are fitted to the states of tokens, one for the first token of answers and one for the
last, by the loss that fine-tuning minimises, with L2 whose strength val chooses. It is the head of
``head`` and what ``lp-ft``, ``last-n`` and ``lora`` begin with. A step is a pass over all of it, in
float32 and by L-BFGS, so that it is the same wherever it is fitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from headstart.model import Model, run_batches
from headstart.objectives import check_score
from headstart.tasks import array_of
from headstart.tasks.found_spans import LookedAt
from headstart.training.contract import never, stoppable
from headstart.training.probing.linear import few_threads
from headstart.training.probing.probe import Probe
from headstart.tuning.part import Part
from headstart.types import Inputs
from headstart.types.ragged import Ragged

_MOST_TOKENS = 60_000  # that are learned from: 100 MB of MiniLM's features
_DECAYS = (1.0, 0.1, 0.01, 0.001)  # L2, by the mean loss of a window
_ITERATIONS = 60


class _LateError(Exception):
    """The time is up in the midst of a fit."""


def probe_questions(
    model: Model,
    train: Inputs,
    val: Inputs,
    *,
    deadline: float | None = None,
    stop_requested: Callable[[], bool] = never,
) -> Probe:
    """Fit a linear probe of where answers begin and end.

    Args:
        model: As it stands.
        train: Questions to learn from, the first of which are taken until there are enough tokens.
        val: Questions that the strength is chosen by.
        deadline: ``time.monotonic()`` value after which no pass over the tokens begins and no
            other strength is tried; None for none. One pass there is in any case.
        stop_requested: Whether someone asked to stop.

    Returns:
        The probe; its logits are ragged.

    Raises:
        StopRequested: If someone asked to stop before all features were there.
    """
    began = time.monotonic()
    compute = stoppable(model.features, stop_requested)
    lengths = train.row_lengths
    assert lengths is not None
    num = max(1, int(np.searchsorted(np.cumsum(lengths), _MOST_TOKENS)))
    found = run_batches(
        model, Part(train, np.arange(num)), compute, name="probe features", phase=None
    )
    of_val = run_batches(model, val, compute, phase=None)
    assert isinstance(found, Ragged)
    assert isinstance(of_val, Ragged)
    wanted = array_of(train.targets)[:num]
    looked = LookedAt(found)
    gold, window = looked.gold(wanted), looked.window
    tokens = np.ascontiguousarray(found.whole[:, :-2])
    scale = float(tokens.std()) or 1.0
    tokens /= scale
    best: Probe | None = None
    beginning = np.zeros((2, tokens.shape[1] + 1), np.float32)
    for decay in _DECAYS:  # from the strongest on, each from where the last has ended
        beginning = _fitted(tokens, window, gold, decay, beginning, deadline)
        weight, bias = beginning[:, :-1] / scale, beginning[:, -1]
        logits = Ragged(
            np.concatenate((of_val.flat[:, :-2] @ weight.T + bias, of_val.flat[:, -2:]), axis=1),
            of_val.offsets,
        )
        metric, score, loss, _ = check_score(model.task.name, logits, val.targets)
        fits = Probe(
            weight,
            bias.copy(),
            logits,
            score,
            loss,
            1.0 / decay,
            time.monotonic() - began,
            metric,
        )
        if best is None or (score, -loss) > (best.val_score, -best.val_loss):
            best = fits
        if deadline is not None and time.monotonic() > deadline:
            break
    assert best is not None
    return best


def _fitted(
    tokens: np.ndarray,
    window: np.ndarray,
    gold: np.ndarray,
    decay: float,
    beginning: np.ndarray,
    deadline: float | None,
) -> np.ndarray:
    """Return weights and bias of both ends, float32, shape (2, D + 1).

    Where the time is up before the solver has ended it is the best that a pass has seen: sixty
    passes over as many tokens as may be take five seconds of an idle core, and on a busy one they
    have outlasted what the whole run had left.

    Args:
        tokens: Features of the elements of all windows, float32, shape (T, D).
        window: Of which window each is, rising, int64, shape (T,).
        gold: First and last element of the answer in each window, int64, shape (W, 2).
        decay: Strength of L2.
        beginning: Where to begin, of the shape of the result.
        deadline: As ``probe_questions`` takes it.
    """
    given, of = torch.from_numpy(tokens), torch.from_numpy(window)
    right = torch.from_numpy(gold)
    weights = torch.from_numpy(beginning.copy()).requires_grad_()
    num = len(gold)
    solver = torch.optim.LBFGS(
        [weights], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    best, least = beginning, float("inf")

    def loss() -> Tensor:
        nonlocal best, least
        if deadline is not None and least < float("inf") and time.monotonic() > deadline:
            raise _LateError
        solver.zero_grad()
        numbers = given @ weights[:, :-1].T + weights[:, -1]
        highest = torch.full((num, 2), -torch.inf)
        index = of[:, None].expand(-1, 2)
        highest = highest.scatter_reduce(0, index, numbers.detach(), "amax")
        sums = torch.zeros(num, 2).scatter_add(0, index, torch.exp(numbers - highest[of]))
        told = torch.stack((numbers[right[:, 0], 0], numbers[right[:, 1], 1]), dim=1)
        mean = (highest + torch.log(sums) - told).mean()
        whole: Tensor = mean + decay * weights[:, :-1].square().sum() / 2
        whole.backward()  # type: ignore[no-untyped-call]
        if (now := float(whole.detach())) < least:
            best, least = weights.detach().numpy().copy(), now
        return whole

    with few_threads(tokens, 2), torch.enable_grad():
        try:
            solver.step(loss)  # type: ignore[no-untyped-call]
        except _LateError:
            return best
    found: np.ndarray = weights.detach().numpy()
    return found
