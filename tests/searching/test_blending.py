"""Trainings of one start are averaged where val says so, and only what began alike."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.model import run_batches
from headstart.searching.blending import blend, blendable
from headstart.searching.context import Contender
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import calibrated_loss
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.tune import tune


@pytest.fixture(scope="module")
def data():
    return hs.load("digits-8x8")


@pytest.fixture(scope="module")
def trainings(data, tmp_path_factory):
    """Return trainings of one network with BatchNorm that has learned, each in other batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        learned = trained(data, 3e-3, 0).setup.model.state_dict()
        return [trained(data, 1e-2, seed, learned) for seed in (1, 2, 3)]


def trained(data, rate, seed=0, state=None, start="scratch/simple-cnn"):
    # small batches at a high rate that does not fall: each ends somewhere around the minimum
    options = TrainingOptions(
        strategy="full",
        learning_rate=rate,
        num_steps=60,
        seed=seed,
        batch_size=16,
        schedule="constant",
        label_smoothing=0.0,
    )
    setup = set_up(data, find_start(start), options, device=torch.device("cpu"))
    if state is not None:
        setup.model.load_state_dict(state)
    train, val = (prepare_sample(data, name, setup, 400, seed=0) for name in ("train", "val"))
    return Contender(f"seed {seed}", setup, tune(setup, train, val), train, val)


def loss_of(one):
    model, targets = one.setup.model, one.val.targets
    return calibrated_loss(model, one.tuned.val_logits, model.standard_targets(targets))


def test_an_average_is_no_worse_on_val_than_the_best_of_its_trainings(trainings):
    before = [c.setup.model.head.weight.detach().clone() for c in trainings]
    found = blend(trainings)
    assert found is not None
    losses = {one.name: loss_of(one) for one in trainings}
    assert found.names[0] == min(losses, key=losses.get)
    assert 2 <= len(found.names) <= 3
    assert loss_of(found.made) <= min(losses.values())
    assert found.made.name.startswith(f"average of {len(found.names)} trainings of scratch/")
    model, val = found.made.setup.model, found.made.val
    # what is handed over is what was judged
    assert np.allclose(run_batches(model, val, model), found.made.tuned.val_logits, atol=1e-5)
    taken = [c.setup.model.head.weight for c in trainings if c.name in found.names]
    assert torch.allclose(model.head.weight, torch.stack(taken).mean(0), atol=1e-6)
    after = [c.setup.model.head.weight for c in trainings]
    assert all(map(torch.equal, before, after))


def test_a_training_that_went_astray_is_not_in_it(trainings):
    astray = trainings[2].setup
    state = {n: t.detach().clone() for n, t in astray.model.state_dict().items()}
    with torch.no_grad():
        for parameter in astray.model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    worst = replace(trainings[2].tuned, val_logits=np.zeros_like(trainings[2].tuned.val_logits))
    try:
        found = blend([trainings[0], replace(trainings[2], tuned=worst)])
    finally:
        astray.model.load_state_dict(state)
    assert found is None


def test_only_what_began_alike_is_averaged(data, trainings):
    first, second, _ = trainings
    other = trained(data, 1e-3, start="scratch/quick-cnn-small")
    assert blendable([first, second, other], first) == [first, second]
    solved = replace(first, setup=SimpleNamespace(strategy=SimpleNamespace(loops=False)))
    assert blendable([first, solved], first) == [first]
    adapted = replace(
        first, setup=replace(first.setup, recipe=replace(first.setup.recipe, strategy="lora"))
    )
    assert blendable([first, adapted], adapted) == []
    assert blendable([first, adapted], first) == [first]
    fewer = replace(second, val=SimpleNamespace(ids=second.val.ids[:-1]))
    assert blendable([first, fewer], first) == [first]
