"""One fine-tuning put together: setup, probe, loop, and the weights that are left at the end."""

import time

import numpy as np
import pytest
import torch

from headstart.data import load
from headstart.errors import OptionError
from headstart.events import listen
from headstart.preprocessing import Pixels
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.conditions import Conditions
from headstart.tuning.cost import measure_pass
from headstart.tuning.setup import install, set_up, subsample
from headstart.tuning.solving import probe
from headstart.tuning.tune import better, check, tune


@pytest.fixture(scope="module")
def data():
    return load("digits-8x8")


def small_setup(data, strategy="full", seed=0, **changes):
    return set_up(
        data,
        find_start("scratch/simple-cnn"),
        TrainingOptions(strategy=strategy, seed=seed, **({"num_steps": 30} | changes)),
        device=torch.device("cpu"),
    )


def pixels_of(data, setup, num=300) -> tuple[Pixels, Pixels]:
    train = setup.preprocess.prepare(data, "train", np.arange(num))
    return train, setup.preprocess.prepare(data, "val")


def run(data, setup, **options):
    train, val = pixels_of(data, setup)
    tuned = tune(setup, train, val, Conditions(**options))
    return tuned, val


@pytest.mark.parametrize("strategy", ["head", "last-n", "lp-ft", "full"])
def test_each_strategy_changes_what_it_says_and_nothing_else(data, strategy):
    setup = small_setup(data, strategy)
    tuned, val = run(data, setup)
    after = setup.model.encoder.state_dict()
    is_changed = {n: not torch.equal(t, after[n]) for n, t in setup.initial.items()}
    layers = setup.model.encoder.layers
    learns = {"head": [], "last-n": layers[-1:], "lp-ft": layers, "full": layers}[strategy]
    free = {name for names in learns for name in names}
    assert is_changed == {name: name in free for name in setup.initial}
    assert (tuned.fitted is None) == (strategy == "full")
    assert (tuned.result is None) == (strategy == "head")
    assert tuned.val_logits.shape == (len(val.targets), 10)
    if strategy != "full":  # the probe is the first candidate: it never ends below it
        assert check(setup.model, val).score >= tuned.fitted.val_score


def test_the_model_ends_with_the_best_weights_that_a_check_saw(data):
    setup = small_setup(data, num_steps=120, learning_rate=0.02, patience=0)
    found = []
    with listen(lambda kind, fields: found.append(fields) if kind == "check" else None):
        _, val = run(data, setup)
    best = max(fields["val_score"] for fields in found)
    assert len(found) >= 2
    assert check(setup.model, val).score == best


def test_equal_seeds_give_equal_weights_and_two_seeds_differ(data):
    def weights(seed):
        setup = small_setup(data, seed=seed, num_steps=5)
        run(data, setup)
        return setup.model.head.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_an_l1_penalty_makes_weights_smaller(data):
    def size(**changes):
        setup = small_setup(data, **changes)
        run(data, setup)
        return float(setup.model.head.weight.detach().abs().sum())

    assert size(l1_penalty=0.01) < 0.8 * size()


def test_bf16_trains_close_to_fp32(data):
    losses = {}
    for precision in ("fp32", "bf16"):
        setup = small_setup(data, precision=precision, num_steps=40)
        _, val = run(data, setup)
        losses[precision] = check(setup.model, val).loss
        assert setup.model.head.weight.dtype == torch.float32
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)


def test_a_deadline_holds_for_probe_and_loop_together(data, processor_clock):
    setup = small_setup(data, "lp-ft", num_steps=1_000_000, patience=0)
    began = time.monotonic()
    each = measure_pass(setup, data)
    tuned, _ = run(data, setup, deadline=began + 3.0, seconds_per_sample=each)
    assert time.monotonic() - began < 3.0 * 1.05 + 0.1
    assert tuned.fitted.seconds < 1.4
    assert tuned.result.state.progress > 0.9


def test_the_probe_is_told_before_the_loop_begins(data):
    order = []
    setup = small_setup(data, "lp-ft", num_steps=3)
    with listen(lambda kind, fields: order.append(fields.get("text"))):
        run(data, setup, on_usable=lambda: order.append("usable"))
    assert "usable" in order[: order.index("Fine-tuning (lp-ft)")]
    assert order.count("usable") == 1


def test_without_a_probe_the_model_is_usable_from_the_first_check(data):
    told = []
    run(data, small_setup(data, "full", num_steps=3), on_usable=lambda: told.append("usable"))
    assert told == ["usable"]


def test_the_better_of_the_fine_tuned_model_and_its_rival_is_kept(data):
    setup, rival = small_setup(data, "full", num_steps=2), small_setup(data, "head")
    _, val = pixels_of(data, setup)
    tuned = run(data, setup)[0]
    run(data, rival)
    kept, shown = better(setup, tuned, rival, val)
    assert kept is rival  # two steps from random weights are worth less than a probe
    assert shown.val_logits.shape == tuned.val_logits.shape
    assert better(rival, shown, setup, val)[0] is rival


def test_check_by_hand(data):
    setup = small_setup(data)
    _, val = pixels_of(data, setup)
    images = torch.from_numpy(np.asarray(val.images)).permute(0, 3, 1, 2).float() / 255
    setup.model.eval()
    with torch.no_grad():
        logits = setup.model(images)
    targets = torch.from_numpy(val.targets)
    found = check(setup.model, val)
    assert found.score == pytest.approx(float((logits.argmax(1) == targets).float().mean()))
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)))


def test_a_probe_installed_is_the_head(data):
    setup = small_setup(data, "head")
    train, val = pixels_of(data, setup)
    fitted = probe(setup, train, val, imbalance="none", limit=200, deadline=None)
    install(setup.model, fitted)
    assert check(setup.model, val).score == pytest.approx(fitted.val_score, abs=0.005)


def test_a_subsample_keeps_shares_and_every_class():
    targets = np.repeat(np.arange(4), [600, 300, 98, 2])
    np.random.default_rng(0).shuffle(targets)
    places = subsample(targets, 100, seed=0)
    counts = np.bincount(targets[places], minlength=4)
    assert np.array_equal(places, np.unique(places))
    assert abs(counts[0] - 60) <= 2
    assert abs(counts[1] - 30) <= 2
    assert counts[3] >= 1
    assert np.array_equal(subsample(targets, 100, seed=0), places)
    assert not np.array_equal(subsample(targets, 100, seed=1), places)
    assert np.array_equal(subsample(targets, 5_000, seed=0), np.arange(1_000))


def test_a_subsample_of_numbers_or_label_rows_is_plain_random():
    for targets in (np.linspace(0, 1, 1_000), np.eye(10, dtype=np.uint8).repeat(100, axis=0)):
        places = subsample(targets, 50, seed=0)
        assert len(np.unique(places)) == 50
        assert np.array_equal(subsample(targets, 50, seed=0), places)


def test_more_last_layers_than_there_are_is_refused(data):
    with pytest.raises(OptionError, match="num_last_layers is 9, expected 1 to 3"):
        small_setup(data, "last-n", num_last_layers=9)
