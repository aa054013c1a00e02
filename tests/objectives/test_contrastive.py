"""The contrastive loss against CLIP's own formula, and what is no negative."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.objectives import Wanted, check_score
from headstart.objectives.contrastive import contrastive_loss, each_image
from headstart.types.captions import Captions, captions_array
from headstart.types.ragged import IGNORED, Ragged


def embedded(num, width=6, seed=0):
    torch.manual_seed(seed)
    return 5 * functional.normalize(torch.randn(num, width), dim=-1)


def numbered(*rows):
    """Return targets: a number of each image, then those of its texts."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[IGNORED] * (width - len(row))] for row in rows])


def test_of_one_caption_each_it_is_clips_loss():
    images, texts = embedded(7), embedded(7, seed=1)
    targets = numbered(*([i, 100 + i] for i in range(7)))
    found = contrastive_loss(torch.cat([images, texts]), Wanted(targets))
    alike, right = images @ texts.T, torch.arange(7)
    both = functional.cross_entropy(alike, right), functional.cross_entropy(alike.T, right)
    assert found == pytest.approx(float(sum(both)) / 2, abs=1e-6)


def test_other_captions_of_an_image_are_no_negatives_of_it():
    images, texts = embedded(3), embedded(4, seed=1)
    targets = numbered([0, 10, 11], [1, 12], [2, 13])
    found = contrastive_loss(torch.cat([images, texts]), Wanted(targets))
    alike = images @ texts.T
    owners = [0, 0, 1, 2]
    losses = torch.zeros(3)
    for j, i in enumerate(owners):
        beside = [k for k in range(4) if k == j or owners[k] != i]
        of_image = torch.logsumexp(alike[i, beside], 0) - alike[i, j]
        of_text = torch.logsumexp(alike[:, j], 0) - alike[i, j]
        losses[i] += (of_image + of_text) / 2 / owners.count(i)
    assert found == pytest.approx(float(losses.mean()), abs=1e-6)


@pytest.mark.parametrize(
    "targets",
    [numbered([0, 10], [0, 11], [2, 13]), numbered([0, 10], [1, 10], [2, 13])],
    ids=["a copy of the image", "the same caption"],
)
def test_what_is_true_of_an_image_does_not_move_it(targets):
    rows = torch.cat([embedded(3), embedded(3, seed=1)]).requires_grad_()
    before = contrastive_loss(rows, Wanted(targets))
    moved = rows.detach().clone()
    moved[4] *= 3  # the text of image 1, against image 0 alone
    alike = moved[:3] @ moved[3:].T
    plain = torch.stack(
        [
            functional.softplus(alike[0, 2] - alike[0, 0]),
            functional.softplus(alike[2, 0] - alike[0, 0]),
        ]
    )
    targets_of_first = contrastive_loss(moved, Wanted(targets))
    assert torch.isfinite(before)
    assert torch.isfinite(targets_of_first)
    whole = 3 * contrastive_loss(moved, Wanted(targets))
    others = _without_first(moved, targets)
    assert float(whole - others) == pytest.approx(float(plain.mean()), abs=1e-5)


def _without_first(rows, targets):
    """Return the summed loss of images 1 and 2 where image 0 is a negative of 2 alone."""
    alike = rows[:3] @ rows[3:].T
    first = functional.softplus(alike[1, 2] - alike[1, 1]) + functional.softplus(
        alike[2, 1] - alike[1, 1]
    )
    second = functional.softplus(torch.logsumexp(alike[2, :2], 0) - alike[2, 2])
    second += functional.softplus(torch.logsumexp(alike[:2, 2], 0) - alike[2, 2])
    return (first + second) / 2


def test_a_step_without_a_negative_has_a_gradient_that_is_finite():
    rows = torch.cat([embedded(2), embedded(2, seed=1)]).requires_grad_()
    contrastive_loss(rows, Wanted(numbered([0, 10], [0, 10]))).backward()
    assert torch.isfinite(rows.grad).all()


def test_items_and_split_tell_the_same_loss():
    images, texts = embedded(5), embedded(7, seed=1)
    captions = [["a", "b"], ["c"], ["d"], ["e", "f"], ["g"]]
    rows, place = [], 0
    for image, told in zip(images.numpy(), captions, strict=True):
        rows.append(np.stack([image, *texts[place : place + len(told)].numpy()]))
        place += len(told)
    targets = captions_array([Captions(one) for one in captions])
    logits = Ragged.of(rows)
    each = each_image(logits, targets)
    metric, score, loss, _ = check_score("retrieval", logits, targets)
    assert (metric, each.shape) == ("mean_recall", (5,))
    assert loss == pytest.approx(each.mean())
    assert 0 <= score <= 1
