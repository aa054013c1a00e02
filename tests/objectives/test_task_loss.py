"""Losses of labels and numbers against torch and by hand; the door chooses among them."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.errors import OptionError
from headstart.objectives import classification_loss, multi_label_loss, regression_loss, task_loss


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
    assert multi_label_loss(logits, targets).item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_smoothing_moves_labels_towards_one_half(labels):
    logits, targets = labels
    soft = torch.where(targets == 1, 0.9, 0.1)
    expected = functional.binary_cross_entropy_with_logits(logits, soft)
    assert torch.allclose(multi_label_loss(logits, targets, label_smoothing=0.2), expected)


def test_positive_weights_weigh_positives_alone(labels):
    logits, targets = labels
    weights = torch.tensor([1.0, 3.0, 0.5, 10.0])
    each = functional.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    by_hand = (each * torch.where(targets == 1, weights, 1.0)).mean()
    found = multi_label_loss(logits, targets, positive_weights=weights)
    assert torch.allclose(found, by_hand)
    # so that the parts of a step add up to the whole
    parts = [
        multi_label_loss(logits[cut], targets[cut], positive_weights=weights) * share
        for cut, share in ((slice(0, 9), 9 / 12), (slice(9, 12), 3 / 12))
    ]
    assert torch.allclose(sum(parts), found)


def test_mixed_labels_share_the_loss(labels):
    logits, targets = labels
    partner = torch.arange(11, -1, -1)
    options = {"label_smoothing": 0.1, "positive_weights": torch.tensor([1.0, 3.0, 0.5, 10.0])}
    found = multi_label_loss(logits, targets, partner=partner, share=0.7, **options)
    own = multi_label_loss(logits, targets, **options)
    other = multi_label_loss(logits, targets[partner], **options)
    assert torch.allclose(found, 0.7 * own + 0.3 * other)


def test_values_by_hand(values):
    logits, targets = values
    expected = sum(
        (a - b) ** 2 for a, b in zip(logits[:, 0].tolist(), targets.tolist(), strict=True)
    )
    assert regression_loss(logits, targets).item() == pytest.approx(expected / 12)


def test_mixed_values_have_mixed_targets(values):
    logits, targets = values
    partner = torch.arange(11, -1, -1)
    mixed = 0.7 * targets + 0.3 * targets[partner]
    found = regression_loss(logits, targets, partner=partner, share=0.7)
    assert torch.allclose(found, functional.mse_loss(logits[:, 0], mixed))


@pytest.mark.parametrize("loss", [multi_label_loss, regression_loss])
def test_half_precision_logits_are_summed_in_full(labels, values, loss):
    logits, targets = labels if loss is multi_label_loss else values
    found = loss(logits.bfloat16(), targets)
    assert found.dtype == torch.float32
    assert torch.allclose(found, loss(logits.bfloat16().float(), targets))


def test_the_door_leads_to_each_loss(labels, values):
    logits, targets = labels
    classes = torch.from_numpy(np.arange(12) % 4)
    partner = torch.arange(11, -1, -1)
    weights = torch.tensor([1.0, 3.0, 0.5, 10.0])
    mix = {"partner": partner, "share": 0.7}
    assert torch.equal(
        task_loss(
            "classification", logits, classes, label_smoothing=0.1, class_weights=weights, **mix
        ),
        classification_loss(logits, classes, label_smoothing=0.1, class_weights=weights, **mix),
    )
    assert torch.equal(
        task_loss(
            "multi-label", logits, targets, label_smoothing=0.1, class_weights=weights, **mix
        ),
        multi_label_loss(logits, targets, label_smoothing=0.1, positive_weights=weights, **mix),
    )
    assert torch.equal(task_loss("regression", *values, **mix), regression_loss(*values, **mix))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1, but the task is regression"),
        ({"class_weights": torch.ones(1)}, "weights, but the task is regression"),
    ],
)
def test_a_regression_refuses_what_only_classes_have(values, options, words):
    with pytest.raises(OptionError, match=words):
        task_loss("regression", *values, **options)
