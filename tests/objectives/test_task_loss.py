"""Losses of labels and numbers against torch and by hand; the door chooses among them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.errors import OptionError
from headstart.objectives import LOSSES, Wanted, check_score, find_loss, item_losses, task_loss
from headstart.objectives.supervised import binary_cross_entropy, cross_entropy, squared_error
from headstart.tasks import REGRESSION, TASKS, find_task


@pytest.fixture
def labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, generator=generator)
    return logits, torch.randint(0, 2, (12, 4), generator=generator, dtype=torch.uint8)


@pytest.fixture
def values():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 1, generator=generator), torch.randn(12, generator=generator)


def test_labels_by_hand(labels):
    logits, targets = labels
    p = logits.double().sigmoid()
    by_hand = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()
    assert binary_cross_entropy(logits, Wanted(targets)).item() == pytest.approx(
        by_hand.item(), rel=1e-6
    )


def test_smoothing_moves_labels_towards_one_half(labels):
    logits, targets = labels
    soft = torch.where(targets == 1, 0.9, 0.1)
    expected = functional.binary_cross_entropy_with_logits(logits, soft)
    assert torch.allclose(
        binary_cross_entropy(logits, Wanted(targets, label_smoothing=0.2)), expected
    )


def test_class_weights_weigh_positives_alone(labels):
    logits, targets = labels
    weights = torch.tensor([1.0, 3.0, 0.5, 10.0])
    each = functional.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    by_hand = (each * torch.where(targets == 1, weights, 1.0)).mean()
    found = binary_cross_entropy(logits, Wanted(targets, class_weights=weights))
    assert torch.allclose(found, by_hand)
    # so that the parts of a step add up to the whole
    parts = [
        binary_cross_entropy(logits[cut], Wanted(targets[cut], class_weights=weights)) * share
        for cut, share in ((slice(0, 9), 9 / 12), (slice(9, 12), 3 / 12))
    ]
    assert torch.allclose(sum(parts), found)


def test_mixed_labels_share_the_loss(labels):
    logits, targets = labels
    partner = torch.arange(11, -1, -1)
    options = {"label_smoothing": 0.1, "class_weights": torch.tensor([1.0, 3.0, 0.5, 10.0])}
    found = binary_cross_entropy(logits, Wanted(targets, partner=partner, share=0.7, **options))
    own = binary_cross_entropy(logits, Wanted(targets, **options))
    other = binary_cross_entropy(logits, Wanted(targets[partner], **options))
    assert torch.allclose(found, 0.7 * own + 0.3 * other)


def test_values_by_hand(values):
    logits, targets = values
    expected = sum(
        (a - b) ** 2 for a, b in zip(logits[:, 0].tolist(), targets.tolist(), strict=True)
    )
    assert squared_error(logits, Wanted(targets)).item() == pytest.approx(expected / 12)


def test_mixed_values_have_mixed_targets(values):
    logits, targets = values
    partner = torch.arange(11, -1, -1)
    mixed = 0.7 * targets + 0.3 * targets[partner]
    found = squared_error(logits, Wanted(targets, partner=partner, share=0.7))
    assert torch.allclose(found, functional.mse_loss(logits[:, 0], mixed))


@pytest.mark.parametrize("loss", [binary_cross_entropy, squared_error])
def test_half_precision_logits_are_summed_in_full(labels, values, loss):
    logits, targets = labels if loss is binary_cross_entropy else values
    found = loss(logits.bfloat16(), Wanted(targets))
    assert found.dtype == torch.float32
    assert torch.allclose(found, loss(logits.bfloat16().float(), Wanted(targets)))


def test_the_door_leads_to_each_loss(labels, values):
    logits, targets = labels
    classes = torch.from_numpy(np.arange(12) % 4)
    partner = torch.arange(11, -1, -1)
    weights = torch.tensor([1.0, 3.0, 0.5, 10.0])
    mix = {"partner": partner, "share": 0.7}
    classed = Wanted(classes, label_smoothing=0.1, class_weights=weights, **mix)
    labelled = Wanted(targets, label_smoothing=0.1, class_weights=weights, **mix)
    valued = Wanted(values[1], **mix)
    for task, given, wanted, loss in (
        ("classification", logits, classed, cross_entropy),
        ("multi-label", logits, labelled, binary_cross_entropy),
        ("regression", values[0], valued, squared_error),
    ):
        assert torch.equal(task_loss(task, given, wanted), loss(given, wanted))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1, but the task is regression"),
        ({"class_weights": torch.ones(1)}, "weights, but the task is regression"),
    ],
)
def test_a_regression_refuses_what_only_classes_have(values, options, words):
    with pytest.raises(OptionError, match=words):
        task_loss("regression", values[0], Wanted(values[1], **options))


# what is over the whole step is brought together first: tests/training/test_whole_step.py
OVER_SAMPLES = [name for name, loss in LOSSES.items() if not loss.is_over_step]


@pytest.mark.parametrize("task", OVER_SAMPLES)
def test_a_loss_that_says_it_is_a_mean_over_samples_is_one(labels, values, task):
    """Accumulation, several processes and a frozen part that is computed alone rely on it."""
    # each of as many words: what is weighed by words is weighed by samples, too
    words = (labels[0][:, None].expand(-1, 3, -1), (torch.arange(36) % 4).view(12, 3))
    # summed by the network: the loss, how many tokens, how many are right, what smoothing spreads
    loss = labels[0][:, :1].abs()
    sums = (torch.cat([loss, torch.full_like(loss, 3), loss, loss], 1), torch.zeros(12))
    # one window of six tokens each: the first and last of its answer, and which may be told
    ends = torch.tensor([[1, 2, 1, 6]]).expand(12, -1) + 0
    ends[:, :2] += torch.arange(12)[:, None] % 3
    spans = (labels[0][:, :1, None].expand(-1, 6, 2) * torch.arange(12.0).view(6, 2), ends)
    logits, targets = {
        "classification": (labels[0], torch.arange(12) % 4),
        "multi-label": labels,
        "regression": values,
        **dict.fromkeys(("token-classification", "tagging", "seq2seq"), words),
        "text-generation": sums,
        "question-answering": spans,
    }[task]
    assert LOSSES[task].is_sample_mean
    has_weights = find_task(task).has_classes and not find_task(task).tells_words
    weights = torch.tensor([1.0, 3.0, 0.5, 10.0]) if has_weights else None
    parts = [
        task_loss(task, logits[cut], Wanted(targets[cut], class_weights=weights)) * share
        for cut, share in ((slice(0, 9), 9 / 12), (slice(9, 12), 3 / 12))
    ]
    assert torch.allclose(
        sum(parts), task_loss(task, logits, Wanted(targets, None, 1.0, 0.0, weights))
    )


def test_an_unknown_task_has_no_loss_and_no_score(labels):
    logits, targets = labels
    for refused in (
        lambda: find_loss("object-detection"),
        lambda: task_loss("object-detection", logits, Wanted(targets)),
        lambda: check_score("object-detection", logits.numpy(), targets.numpy()),
        lambda: item_losses("object-detection", logits.numpy(), targets.numpy()),
    ):
        with pytest.raises(OptionError, match=r"'object-detection'.*'classification'"):
            refused()


def test_a_task_without_a_loss_is_refused(monkeypatch):
    monkeypatch.setitem(TASKS, "ranking", replace(REGRESSION, name="ranking"))
    with pytest.raises(OptionError, match="Task 'ranking' has no loss"):
        find_loss("ranking")
