"""What a fine-tuning minimises: one row of ``LOSSES`` a task, in torch, and what is told of it.

Each row states whether its loss is a mean over samples. Micro-batches of a step, the parts of
several processes and a frozen part that is computed alone are weighed by their samples; for any
other mean that would be wrong, and is refused.

Beside the loss stands its value on each item of the validation split, whose mean breaks ties of the
score that a training is chosen by. Left out: weight decay, which belongs to the optimizer
(decoupled), where biases and norms escape it; and absolute and Huber errors, which aim at the
median and so lose in the squared error that RMSE and R² measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.errors import OptionError
from headstart.objectives.contrastive import contrastive_loss, each_image, mean_over_images
from headstart.objectives.several import batch_loss, item_means, split_mean, tempered
from headstart.objectives.spans import each_question, span_cross_entropy, whole_split
from headstart.tasks import array_of, find_task
from headstart.tasks.told_texts import told_of
from headstart.types import Ragged, Rows, TaskName
from headstart.types.ragged import IGNORED


@dataclass(frozen=True)
class Wanted:
    """The targets of a batch, and what a recipe does to them.

    Attributes:
        targets: As ``Task.standard`` gives them, B rows; ragged ones padded with ``IGNORED``.
        partner: Index of the sample each one was mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix; its partner's target has the rest.
        label_smoothing: Moves targets towards all classes alike, or each label towards 0.5.
        class_weights: Shape (K,), as ``Task.class_weights`` gives them; None weighs all alike.
        part_weights: Shape (T,), as ``Task.part_weights`` gives them; None weighs all alike.
        judges_pairs: Of images and texts: whether each pair is judged by itself.

    Source:
        Szegedy et al., CVPR 2016 (smoothing); Zhang et al., ICLR 2018 (mixed targets).
    """

    targets: Tensor
    partner: Tensor | None = None
    share: float = 1.0
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    part_weights: Tensor | None = None
    judges_pairs: bool = False


@dataclass(frozen=True)
class Loss:
    """The loss of one task.

    Attributes:
        of_batch: Logits (B, K) and what is wanted to the loss of a batch, shape ().
        of_items: Logits and targets of N items to the loss of each, float64, shape (N,).
        of_split: The same to one loss; what breaks ties, so that it is not a mean of ``of_items``
            but computed as torch computes it.
        is_sample_mean: Whether ``of_batch`` is a mean over samples, or of ragged targets over their
            elements, so that the losses of parts of a batch, weighed by these, add up to that of
            the whole.
        is_over_step: Whether every sample of a step counts for every other one, so that its parts
            are brought together first (``training.whole_step``); then ``is_sample_mean`` says
            nothing, and a step may be taken in parts.
    """

    of_batch: Callable[[Tensor, Wanted], Tensor]
    of_items: Callable[[Rows, Rows], np.ndarray]
    of_split: Callable[[Rows, Rows], float]
    is_sample_mean: bool = True
    is_over_step: bool = False


def task_loss(task: TaskName, logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the loss of a batch.

    Args:
        task: Name of the task.
        logits: Shape (B, K).
        wanted: Targets, mixing, smoothing and weights.

    Raises:
        OptionError: No such task, or none with a loss; or smoothing or class weights where there
            are no classes.
    """
    return find_loss(task).of_batch(logits, wanted)


def check_score(task: TaskName, logits: Rows, targets: Rows) -> tuple[str, float, float, float]:
    """Return how good a model is on the validation split, as the loop chooses by.

    Args:
        task: Name of the task.
        logits: float32, shape (N, K), N at least 1.
        targets: As ``Task.standard`` gives them.

    Returns:
        Name of the score, the score, the loss, and the score's standard error. Score and loss are
        not finite where a logit is not.

    Raises:
        OptionError: No such task, or none with a loss.
    """
    asked = find_task(task)
    loss = find_loss(task).of_split(logits, targets)
    score, error = asked.validation_score(logits, targets)
    return asked.validation_metric, score, loss, error


def item_losses(
    task: TaskName, logits: Rows, targets: Rows, *, temperature: float = 1.0
) -> np.ndarray:
    """Return the loss of each item, for comparing two models item by item.

    Args:
        task: Name of the task.
        logits: float32, shape (N, K).
        targets: As ``Task.standard`` gives them.
        temperature: Divides the logits; of several targets those of classes.

    Returns:
        float64, shape (N,): log loss, of several labels its mean over them; or squared error.

    Raises:
        OptionError: No such task, or none with a loss.
    """
    asked = find_task(task)
    if not asked.has_temperature:
        return find_loss(task).of_items(logits, targets)  # nothing of it is calibrated
    if parts := asked.parts:
        return item_means(parts, tempered(parts, logits, temperature), targets)
    divisor = np.float32(temperature)
    if isinstance(logits, Ragged):
        return find_loss(task).of_items(Ragged(logits.flat / divisor, logits.offsets), targets)
    return find_loss(task).of_items(logits / divisor, targets)


def find_loss(task: TaskName) -> Loss:
    """Return the loss of a task.

    Raises:
        OptionError: There is no such task, or it has no loss.
    """
    if parts := find_task(task).parts:
        return Loss(
            partial(batch_loss, parts), partial(item_means, parts), partial(split_mean, parts)
        )
    if task not in LOSSES:
        raise OptionError(
            f"Task '{task}' has no loss, expected one of its name. Add a row to LOSSES of "
            "headstart.objectives.supervised."
        )
    return LOSSES[task]


def l1_penalty(parameters: Iterable[Tensor]) -> Tensor:
    """Return the sum of absolute values of all weights with two or more dimensions."""
    weights = [p.abs().sum() for p in parameters if p.ndim >= 2 and p.requires_grad]
    return torch.stack(weights).sum() if weights else torch.zeros(())


# One class a sample -----------------------------------------------------------------------------


def cross_entropy(logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean cross-entropy of a batch.

    The weighted losses are divided by B, not by the sum of weights, so that micro-batches of one
    step add up to the loss of the whole.

    Args:
        logits: Shape (B, K).
        wanted: Targets int64, shape (B,).
    """

    def entropy(to: Tensor) -> Tensor:
        each = functional.cross_entropy(
            logits.float(),
            to,
            weight=wanted.class_weights,
            label_smoothing=wanted.label_smoothing,
            reduction="none",
        )
        return each.mean()

    if wanted.partner is None:
        return entropy(wanted.targets)
    own, other = entropy(wanted.targets), entropy(wanted.targets[wanted.partner])
    return wanted.share * own + (1 - wanted.share) * other


def _cross_entropies(logits: Rows, targets: Rows) -> np.ndarray:
    losses = functional.cross_entropy(_tensor(logits), _tensor(targets), reduction="none")
    return losses.double().numpy()


def _split_cross_entropy(logits: Rows, targets: Rows) -> float:
    return float(functional.cross_entropy(_tensor(logits), _tensor(targets)))


# Several labels a sample ------------------------------------------------------------------------


def binary_cross_entropy(logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean binary cross-entropy of a batch, over samples and labels.

    A smoothing of 0.1 makes 0.05 and 0.95 of 0 and 1: of the two classes "has it" and "lacks it".
    The loss is linear in the targets, so that they are mixed, and not the losses.

    Args:
        logits: Shape (B, K).
        wanted: Targets 0 or 1, shape (B, K); weights say how much more an item counts that has the
            label.
    """
    targets = wanted.targets.float()
    if wanted.partner is not None:
        targets = wanted.share * targets + (1 - wanted.share) * targets[wanted.partner]
    if wanted.label_smoothing:
        targets = targets * (1 - wanted.label_smoothing) + 0.5 * wanted.label_smoothing
    return functional.binary_cross_entropy_with_logits(
        logits.float(), targets, pos_weight=wanted.class_weights
    )


def _binary_cross_entropies(logits: Rows, targets: Rows) -> np.ndarray:
    losses = functional.binary_cross_entropy_with_logits(
        _tensor(logits).float(), _tensor(targets).float(), reduction="none"
    )
    return losses.double().mean(dim=1).numpy()


def _split_binary_cross_entropy(logits: Rows, targets: Rows) -> float:
    return float(binary_cross_entropy(_tensor(logits), Wanted(_tensor(targets))))


# A number a sample ------------------------------------------------------------------------------


def squared_error(logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean squared error of a batch.

    On standardised targets, so that one learning rate fits prices and shares alike.

    Args:
        logits: Shape (B, 1), in the units of the targets.
        wanted: Standardised targets, shape (B,).

    Raises:
        OptionError: Smoothing or class weights: numbers have no classes.
    """
    if wanted.label_smoothing or wanted.class_weights is not None:
        smoothing = wanted.label_smoothing
        what = f"label_smoothing is {smoothing}" if smoothing else "There are weights"
        raise OptionError(
            f"{what}, but the task is regression, which has no classes to smooth or to weigh. "
            f"Leave out --label-smoothing and --imbalance."
        )
    targets = wanted.targets.float()
    if wanted.partner is not None:
        targets = wanted.share * targets + (1 - wanted.share) * targets[wanted.partner]
    return functional.mse_loss(logits[:, 0].float(), targets)


def _squared_errors(logits: Rows, targets: Rows) -> np.ndarray:
    values = array_of(logits)[:, 0].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model: the loop judges it
        squares: np.ndarray = (values - array_of(targets).astype(np.float64)) ** 2
    return squares


def _split_squared_error(logits: Rows, targets: Rows) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(_squared_errors(logits, targets).mean())


def _tensor(rows: Rows) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array_of(rows)))


# A tag a word -------------------------------------------------------------------------------------


def word_cross_entropy(logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean cross-entropy of the words of a batch.

    Micro-batches are weighed by their words (``Feed.weights``), so that a step's loss is the mean
    over all of its words.

    Args:
        logits: Shape (B, W, K).
        wanted: Targets int64, shape (B, W), filled up with ``IGNORED``.
    """
    each = functional.cross_entropy(
        logits.float().flatten(0, 1),
        wanted.targets.flatten(),
        label_smoothing=wanted.label_smoothing,
        ignore_index=IGNORED,
        reduction="none",
    )
    return each.sum() / (wanted.targets != IGNORED).sum().clamp_min(1)


def _word_cross_entropies(logits: Rows, targets: Rows) -> np.ndarray:
    """Return the mean over the words of each text."""
    assert isinstance(logits, Ragged)
    assert isinstance(targets, Ragged)
    each = _cross_entropies(logits.whole, targets.whole)
    rows = np.repeat(np.arange(len(targets)), targets.lengths)
    found: np.ndarray = np.bincount(rows, each, len(targets)) / np.maximum(targets.lengths, 1)
    return found


def _split_word_cross_entropy(logits: Rows, targets: Rows) -> float:
    assert isinstance(logits, Ragged)
    assert isinstance(targets, Ragged)
    return float(_cross_entropies(logits.whole, targets.whole).mean())


# Texts ------------------------------------------------------------------------------------------


def _text_losses(told: Rows, targets: Rows) -> np.ndarray:
    """Return the mean over the tokens of each text."""
    rows = told_of(told)
    found: np.ndarray = rows["loss"] / np.maximum(rows["num_tokens"], 1)
    return found


def _split_text_loss(told: Rows, targets: Rows) -> float:
    """Return the mean over the tokens of all texts."""
    rows = told_of(told)
    return float(rows["loss"].sum() / max(1, int(rows["num_tokens"].sum())))


_OF_WORDS = Loss(word_cross_entropy, _word_cross_entropies, _split_word_cross_entropy)
# of every task that tells texts: of a batch the mean over the tokens that are told
OF_TEXTS = Loss(word_cross_entropy, _text_losses, _split_text_loss)


def summed_loss(sums: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean loss of the tokens of a batch, of what a network has summed up itself.

    Args:
        sums: Shape (B, 4), as ``LanguageNetwork`` gives them.
        wanted: Of its targets nothing is needed any more; smoothing spreads a share of each.
    """
    loss, num, _, spread = sums.sum(0)
    smoothing = wanted.label_smoothing
    mean: Tensor = ((1 - smoothing) * loss + smoothing * spread) / num.clamp_min(1)
    return mean


def _byte_losses(told: Rows, targets: Rows) -> np.ndarray:
    """Return the loss a byte of each text."""
    rows = told_of(told)
    found: np.ndarray = rows["loss"] / np.maximum(rows["num_bytes"], 1)
    return found


_OF_SUMS = Loss(summed_loss, _byte_losses, _split_text_loss)

_OF_SPANS = Loss(span_cross_entropy, each_question, whole_split)
LOSSES: dict[TaskName, Loss] = {
    "classification": Loss(cross_entropy, _cross_entropies, _split_cross_entropy),
    "multi-label": Loss(binary_cross_entropy, _binary_cross_entropies, _split_binary_cross_entropy),
    "regression": Loss(squared_error, _squared_errors, _split_squared_error),
    "token-classification": _OF_WORDS,
    "tagging": _OF_WORDS,
    "seq2seq": OF_TEXTS,
    "text-generation": _OF_SUMS,
    "question-answering": _OF_SPANS,
    "retrieval": Loss(contrastive_loss, each_image, mean_over_images, is_over_step=True),
}
