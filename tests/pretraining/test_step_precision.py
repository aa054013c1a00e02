"""The number format of steps on hidden patches: measured, settled once, and nothing left of it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from own_texts import paragraphs
from tiny_learner import make_learner

from headstart.events import listen
from headstart.pretraining import step_precision
from headstart.pretraining.course import settle_length
from headstart.pretraining.hidden_words import HiddenWordLearner, build_hidden_words
from headstart.pretraining.objective import Givens
from headstart.pretraining.room import settle_micro_batch
from headstart.pretraining.texts import read_texts
from headstart.starts import find_start
from headstart.training.batches.order import Share
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions

CONVNET = {"start": "scratch/test_resnet", "input_size": 16, "decoder_width": 16}


def photos(num=60, side=16):
    return np.random.default_rng(0).integers(0, 256, (num, side, side, 3), dtype=np.uint8)


@pytest.fixture
def narrow_units(monkeypatch):
    """Have a processor that has units for bf16, and trainings that are worth a measurement."""
    monkeypatch.setattr(step_precision, "has_bf16_units", lambda: True)
    monkeypatch.setattr(step_precision, "_WORTH_SECONDS", 0.0)


@pytest.mark.parametrize("said", [{}, CONVNET], ids=["transformer", "convnet"])
@pytest.mark.parametrize(("share", "wanted"), [(0.5, "bf16"), (0.9, "fp32")])
def test_hidden_patches_step_in_bf16_where_that_saves_a_fifth(
    said, share, wanted, narrow_units, monkeypatch
):
    def taken(learner, batch) -> float:
        return share if learner.recipe.stepped_precision == "bf16" else 1.0

    monkeypatch.setattr(step_precision, "_seconds", taken)
    told = []
    with listen(lambda kind, fields: told.append((kind, fields.get("name")))):
        learner = make_learner(photos(), **said)
    assert learner.recipe.stepped_precision == wanted
    assert learner.recipe.precision == "fp32"  # of looks at what is held out
    assert (("choice", "step_precision") in told) == (wanted == "bf16")
    learner = make_learner(photos(), precision="fp32", **said)
    assert learner.recipe.stepped_precision == "fp32"


@pytest.mark.parametrize("said", [{}, CONVNET], ids=["transformer", "convnet"])
def test_measuring_leaves_no_trace(said, narrow_units):
    measured = make_learner(photos(), **said).module.state_dict()
    plain = make_learner(photos(), precision="fp32", **said).module.state_dict()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in measured.items())


@pytest.mark.parametrize("said", [{}, CONVNET], ids=["transformer", "convnet"])
def test_a_step_in_bf16_has_the_loss_and_nearly_the_gradient_of_one_in_fp32(said):
    learner = make_learner(photos(), precision="fp32", **said)
    feed = learner.feed(Share())
    batch = feed.batch_of(np.arange(24))
    feed.close()
    found = []
    plain = learner.recipe
    for precision in ("fp32", "bf16"):
        learner.recipe = step_precision._with(plain, precision, precision == "bf16")
        learner.module.zero_grad()
        learner.module.train()
        loss = learner.compute_loss(batch)
        loss.backward()
        gradients = [p.grad.flatten() for p in learner.module.parameters() if p.grad is not None]
        found.append((float(loss.detach()), torch.cat(gradients)))
    (loss, gradient), (other, moved) = found
    assert other == pytest.approx(loss, rel=5e-3)
    assert float(torch.cosine_similarity(gradient, moved, dim=0)) > 0.98


def test_what_a_step_takes_is_measured_with_as_much_dropout_as_its_training_has(
    narrow_units, monkeypatch
):
    modes = []
    compute = HiddenWordLearner.compute_loss

    def noted(learner, batch):
        dropouts = [m for m in learner.module.modules() if isinstance(m, torch.nn.Dropout)]
        modes.append((len(dropouts) > 0, any(m.training for m in dropouts)))
        return compute(learner, batch)

    monkeypatch.setattr(HiddenWordLearner, "compute_loss", noted)
    options = PretrainingOptions(
        objective="mlm", max_length=32, batch_size=16, vocabulary_size=500, num_steps=50
    )
    start = find_start("scratch/bert-tiny")
    means = Givens(options, start, torch.device("cpu"), Budget(None), Decisions())
    learner = build_hidden_words(read_texts(list(paragraphs()), None), means)
    num = len(modes)
    settle_micro_batch(learner, Conditions())
    assert len(modes) > num > 0
    num = len(modes)
    settle_length(learner, Conditions(), time.monotonic() + 60, is_batch_said=True)
    assert len(modes) > num
    learner.module.train()  # as the loop does
    learner.compute_loss(learner.feed(Share()).batch_of(np.arange(4)))
    assert set(modes) == {(True, False)}
