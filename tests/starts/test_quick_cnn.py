"""The ConvNet that learns quickly: its first layer is learned from train, and stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import headstart as hs
from headstart.starts import find_start
from headstart.starts.images.quick_cnn import QuickCNN, Whitening, quick_cnn_options
from headstart.training.contract import Pause
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import Arm
from headstart.tuning.budget import Budget
from headstart.tuning.conditions import Conditions
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.decisions import Decisions
from headstart.tuning.mirrored import settle_mirrored
from headstart.tuning.setup import prepare_sample, set_up

START = "scratch/quick-cnn"


def pictures(num, side, channels=3, seed=0):
    """Smooth images, whose neighbouring pixels are alike as those of photos are."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, channels, 4, 4, generator=generator)
    fine = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    return (fine + 0.05 * torch.rand(fine.shape, generator=generator) - 0.5) / 0.25


@pytest.mark.parametrize(("channels", "kernel_size", "stride"), [(1, 3, 1), (3, 2, 1), (3, 4, 2)])
def test_the_first_layer_sees_directions_of_equal_size_that_know_nothing_of_one_another(
    channels, kernel_size, stride
):
    images = pictures(64, 20, channels)
    stem = Whitening(channels, kernel_size, stride, 8)
    stem.learn(images)
    seen = F.conv2d(images, stem.filters[:8], stride=stride).transpose(0, 1).flatten(1)
    second = (seen @ seen.T / seen.shape[1]).numpy()
    sizes = np.diag(second)
    assert np.abs(second - np.diag(sizes)).max() < 1e-3
    # the strongest as they were meant; those within noise of nothing are not blown up
    assert sizes[0] == pytest.approx(1, abs=1e-3)
    assert ((sizes > 0.5) & (sizes <= 1 + 1e-3)).all()
    assert torch.equal(stem.filters[8:], -stem.filters[:8])


def test_images_without_any_contrast_give_filters_that_are_numbers():
    stem = Whitening(1, 3, 1, 9)
    stem.learn(torch.zeros(4, 1, 8, 8))
    assert torch.isfinite(stem.filters).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 9, 12, 28, 32, 40, 41, 64, 80, 96, 128])
def test_it_takes_any_size_and_larger_images_cost_no_more_than_small_ones(size, channels):
    options = quick_cnn_options("quick-cnn", size, channels)
    network = QuickCNN(channels, **options)
    images = torch.randn(2, channels, size, size)
    assert network(images).shape == (2, 256)
    assert max(network.stem(images).shape[-2:]) <= 40


def made(images, labels, **options):
    data = hs.load((images, labels))
    start = find_start(START)
    return data, set_up(
        data, start, TrainingOptions(strategy="full", **options), device=torch.device("cpu")
    )


def test_it_is_learned_from_train_alone_and_the_same_whatever_the_seed():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(60, 10, 10, 3), dtype=np.uint8)
    labels = np.arange(60) % 2
    data, setup = made(images, labels)
    filters = setup.model.encoder.network.stem.filters
    assert torch.equal(filters, setup.initial["network.stem.filters"])
    again = made(images, labels, seed=1)[1].model.encoder.network
    assert torch.equal(filters, again.stem.filters)
    assert not torch.equal(
        again.stage3.conv1.weight, setup.model.encoder.network.stage3.conv1.weight
    )
    changed = images.copy()
    train = {bytes(data.train.samples.read(i)) for i in range(len(data.train))}
    for place, image in enumerate(images):
        if image.tobytes() not in train:
            changed[place] = 255 - image
    assert (changed != images).any()
    other, elsewhere = made(changed, labels)
    assert len(other.train) == len(data.train)
    assert torch.equal(filters, elsewhere.model.encoder.network.stem.filters)


@pytest.fixture(scope="module")
def objects():
    """Return 90 small colour pictures of three kinds, which no mirror changes."""
    draws = np.random.default_rng(0)
    targets = np.array(["sky", "sea", "wood"])[np.arange(90) % 3]
    images = draws.integers(0, 80, size=(90, 12, 12, 3), dtype=np.uint8)
    for image, target in zip(images, targets, strict=True):
        image[..., ["wood", "sea", "sky"].index(target)] += 120
    return images, targets


@pytest.fixture(scope="module")
def run(objects, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "objects"
    return hs.finetune(objects, start=START, num_steps=6, batch_size=30, out=str(out))


def test_a_model_that_learned_from_mirror_images_answers_by_both(run, objects):
    encoder = run.model.encoder
    assert run.options["recipe"]["augment"] == "light"
    assert encoder.mirrors
    images = objects[0][:8]
    found = [p.probabilities for p in run.predict(list(images))]
    mirrored = [p.probabilities for p in run.predict([i[:, ::-1].copy() for i in images])]
    assert found == mirrored
    given = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        both = encoder(given)
        encoder.network.mirrors = False
        each = [encoder(given), encoder(given.flip(3))]
        encoder.network.mirrors = True
    assert not torch.equal(*each)
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_what_was_settled_is_evaluated_and_is_settled_anew_for_a_run_that_begins_there(
    run, objects, tmp_path
):
    again = hs.evaluate(str(run.path), objects)
    for name, figure in run.metrics["test"]["figures"].items():
        assert again.metrics["test"]["figures"][name] == pytest.approx(figure, abs=1e-6)
    options = {"start": str(run.path), "num_steps": 4, "batch_size": 30}
    # a frozen part is kept of one view
    last = hs.finetune(objects, strategy="last-n", out=str(tmp_path / "last"), **options)
    assert not last.model.encoder.mirrors
    grey = (objects[0][..., 0], objects[1])  # might be digits
    assert not hs.finetune(grey, out=str(tmp_path / "grey"), **options).model.encoder.mirrors


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_mirror_images_of_test_take_a_twenty_fifth_of_what_is_left_at_the_most(
    objects, limit, monkeypatch
):
    data = hs.load(objects)
    setup = set_up(
        data,
        find_start(START),
        TrainingOptions(strategy="full", augment="light"),
        device=torch.device("cpu"),
    )
    budget = Budget(limit)
    monkeypatch.setattr("headstart.tuning.cost.measure_pass", lambda *_: 2.0)  # seconds a pass
    decisions = Decisions()
    settle_mirrored(setup, data, budget, decisions)
    assert setup.model.encoder.mirrors == (limit == 1e6)
    assert seconds_per_sample(setup, data, budget) == 2.0 or limit == 1e6
    # then a validation takes twice as long, and comes half as often
    train, val = (prepare_sample(data, name, setup, None, seed=0) for name in ("train", "val"))
    arm = Arm(setup, train, val, Conditions())
    arm.start()
    assert arm._loop_options(Pause()).steps_per_check == (100 if limit == 1e6 else 50)
    # an attempt that resumes does as it was settled, whatever time is left
    setup.model.encoder.set_mirrors(False)
    settle_mirrored(setup, data, Budget(None), decisions)
    assert setup.model.encoder.mirrors == (limit == 1e6)


PLACES = np.arange(160)
TARGETS = {
    "two classes": ("classification", PLACES % 2),
    "many classes": ("classification", np.array([f"kind {i}" for i in PLACES % 40])),
    "numbers": ("regression", PLACES * 0.7 + 0.05),
    "several labels": (
        "multi-label",
        np.stack([PLACES % 2, PLACES % 3 == 0, PLACES % 5 < 2], axis=1),
    ),
}


@pytest.mark.parametrize("kind", list(TARGETS))
def test_it_learns_every_task_from_grey_images_that_are_no_squares(kind, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(160, 9, 14), dtype=np.uint8)
    task, targets = TARGETS[kind]
    run = hs.finetune(
        hs.load((images, targets), task=task),
        start=START,
        num_steps=3,
        batch_size=16,
        out=str(tmp_path / "run"),
    )
    again = hs.open(run.path)
    first, second = (r.predict([images[0]])[0] for r in (run, again))
    assert first == second
    for mine, its in zip(
        run.model.state_dict().values(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, its)
