"""A frozen part is computed once, and the training that follows is the same bit for bit."""

import os
import signal
import time

import numpy as np
import pytest
import torch
from small_runs import few_digits

import headstart as hs
from headstart.data import load
from headstart.events import listen
from headstart.model import run_batches
from headstart.starts import find_start
from headstart.training.contract import StopRequested
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.probe import fit_probe
from headstart.tuning.conditions import Conditions
from headstart.tuning.features import features_of
from headstart.tuning.part import Part
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.tune import tune

VIT = "scratch/vit-tiny"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data():
    return load("digits-8x8")


def setup_of(data, address="scratch/simple-cnn", strategy="last-n", **changes):
    options = {"num_steps": 12, "batch_size": 16} | changes
    return set_up(
        data,
        find_start(address),
        TrainingOptions(strategy=strategy, **options),
        device=torch.device("cpu"),
    )


def trained(data, address="scratch/simple-cnn", **changes):
    """Return the weights after a short training, and what was told."""
    setup = setup_of(data, address, **changes)
    train = prepare_sample(data, "train", setup, 96, seed=0)
    val = prepare_sample(data, "val", setup, 48, seed=0)
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        tuned = tune(setup, train, val, Conditions(seconds_per_sample=1e-3))
    state = {n: t.clone() for n, t in setup.model.state_dict().items()}
    return state, tuned.val_logits, told


def names_of(told, kind):
    return [fields.get("name") for found, fields in told if found == kind]


def are_equal(one, other):
    return all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize(
    ("address", "views"),
    [
        ("scratch/simple-cnn", 3),
        ("scratch/resnet18", 1),
        (VIT, 3),
        pytest.param("scratch/simple-cnn", 1, marks=pytest.mark.slow),
        pytest.param("scratch/resnet18", 3, marks=pytest.mark.slow),
        pytest.param(VIT, 1, marks=pytest.mark.slow),
    ],
)
def test_cached_training_equals_online_training_on_the_same_views(
    data, address, views, monkeypatch
):
    options = {"views": views, "augment": "light", "dropout": 0.1, "num_steps": 8}
    cached, logits, told = trained(data, address, **options)
    assert any(str(name).startswith("frozen part") for name in names_of(told, "task"))
    # the same views without a cache: the frozen part runs in every step
    monkeypatch.setattr("headstart.tuning.opening.freeze_prefix", lambda *args, **options: None)
    online, online_logits, told = trained(data, address, **options)
    assert not any(str(name).startswith("frozen part") for name in names_of(told, "task"))
    assert are_equal(cached, online)
    assert np.array_equal(logits, online_logits)


def test_without_augmentation_nothing_but_time_changes(data):
    cached, _, told = trained(data)
    online, _, _ = trained(data, views=0)
    assert "views" in names_of(told, "choice")
    assert are_equal(cached, online)


def probed(data, monkeypatch, **changes):
    """Return the features that a probe was fitted on, and on how many samples a pass was made."""
    met, passed = [], []

    def fit(features, targets, val_features, *rest, **options):
        met.append((features, val_features))
        return fit_probe(features, targets, val_features, *rest, **options)

    def pass_over(model, inputs, **options):
        passed.append(len(inputs))
        return run_batches(model, inputs, model.features)

    monkeypatch.setattr("headstart.tuning.solving.fit_probe", fit)
    monkeypatch.setattr("headstart.tuning.solving.features_of", pass_over)
    trained(data, VIT, **changes)
    return *met[0], passed


@pytest.mark.parametrize("options", [{}, {"views": 2, "augment": "light"}])
def test_the_probe_reads_what_is_kept_and_sees_samples_as_they_are(data, monkeypatch, options):
    train, val, passed = probed(data, monkeypatch, **options)
    assert passed == []  # the first view is the sample as it is
    plain, plain_val, passed = probed(data, monkeypatch, views=0)
    assert passed == [96, 48]
    assert np.array_equal(train, plain)
    assert np.array_equal(val, plain_val)


@pytest.mark.parametrize(
    "address", ["scratch/simple-cnn", pytest.param(VIT, marks=pytest.mark.slow)]
)
def test_gradual_unfreezing_computes_the_frozen_part_of_each_phase_once(data, address, monkeypatch):
    # ten epochs of six steps: phases long enough for a kept part to pay
    options = {"strategy": "gradual", "num_steps": 60, "augment": "light", "views": 2}
    cached, logits, told = trained(data, address, **options)
    filled = [str(n) for n in names_of(told, "task") if str(n).startswith("frozen part")]
    chosen = [f["value"] for kind, f in told if kind == "choice" and f["name"] == "views"]
    assert len(chosen) >= 2  # a phase each, but the last, which freezes nothing
    assert set(chosen) == {2}
    assert filled
    monkeypatch.setattr("headstart.tuning.opening.freeze_prefix", lambda *args, **options: None)
    online, online_logits, told = trained(data, address, **options)
    assert not any(str(n).startswith("frozen part") for n in names_of(told, "task"))
    assert are_equal(cached, online)
    assert np.array_equal(logits, online_logits)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_layers_that_begin_later_have_an_optimizer_of_their_own(data, optimizer):
    # one rate for all: only the phase tells the groups apart
    options = {"optimizer": optimizer, "bottom_multiplier": 1.0, "learning_rate": 1e-3}
    _, _, told = trained(data, strategy="gradual", num_steps=12, **options)
    taken = [f["done"] for kind, f in told if kind == "task" and f["name"] == "fine-tune"]
    assert max(taken) == 12


def test_a_frozen_part_in_bf16_is_validated_in_bf16(data):
    """What is kept is bf16, which weights of full precision refuse outside the steps' format."""
    options = {"augment": "none", "precision": "bf16"}
    kept, logits, told = trained(data, views=1, **options)
    plain, others, _ = trained(data, views=0, **options)
    assert "views" in names_of(told, "choice")
    assert logits.dtype == others.dtype == np.float32
    assert np.abs(logits - others).max() < 0.05 * np.abs(others).max()
    assert kept.keys() == plain.keys()


def test_a_signal_stops_the_computing_of_a_frozen_part(data):
    setup = setup_of(data)
    train = prepare_sample(data, "train", setup, 600, seed=0)
    val = prepare_sample(data, "val", setup, 48, seed=0)
    told = []
    stop = Conditions(stop_requested=lambda: 256 in told, seconds_per_sample=1e-3)
    with listen(lambda kind, fields: told.append(fields.get("done"))), pytest.raises(StopRequested):
        tune(setup, train, val, stop)
    assert max(done for done in told if done) == 256
    # what was half computed is not taken for whole
    _, _, told = trained(data)
    assert any(str(n).startswith("frozen part") for n in names_of(told, "task"))


def test_a_second_run_reads_what_the_first_computed(data):
    _, _, first = trained(data)
    _, _, second = trained(data, learning_rate=0.01)
    assert any(str(n).startswith("frozen part") for n in names_of(first, "task"))
    assert not any(str(n).startswith("frozen part") for n in names_of(second, "task"))


def test_a_damaged_entry_is_computed_again(data, tmp_path):
    first, _, _ = trained(data)
    for rows in (tmp_path / "cache" / "activations").glob("*/rows"):
        content = bytearray(rows.read_bytes())
        content[len(content) // 2] ^= 1
        rows.write_bytes(content)
    again, _, told = trained(data)
    assert any(str(n).startswith("frozen part") for n in names_of(told, "task"))
    assert are_equal(first, again)


def test_what_does_not_fit_the_time_trains_uncached_and_says_so(data):
    setup = setup_of(data)
    train = prepare_sample(data, "train", setup, 96, seed=0)
    val = prepare_sample(data, "val", setup, 48, seed=0)
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        slow = Conditions(deadline=time.monotonic() + 20, seconds_per_sample=1.0)
        tune(setup, train, val, slow)
    (choice,) = [f for kind, f in told if kind == "choice" and f["name"] == "views"]
    assert choice["value"] == 0
    assert "s left" in choice["why"]


def test_mixing_needs_whole_images(data):
    _, _, told = trained(data, mixup=0.2, num_steps=2)
    notes = [fields["text"] for kind, fields in told if kind == "note"]
    assert "It trains uncached: mixup and cutmix mix images before the frozen part." in notes


def test_full_training_has_nothing_frozen_and_says_nothing(data, tmp_path):
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        hs.finetune(
            data, start="scratch/simple-cnn", num_steps=2, out=str(tmp_path / "run"), device="cpu"
        )
    assert "views" not in names_of(told, "choice")


def test_features_are_kept_where_they_took_long(data, monkeypatch):
    setup = setup_of(data)
    train = prepare_sample(data, "train", setup, 64, seed=0)
    plain = run_batches(setup.model, train, setup.model.features)
    monkeypatch.setattr("headstart.tuning.features._WORTH_SECONDS", 0.0)
    assert np.array_equal(features_of(setup.model, train), plain)

    def refuse(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("headstart.tuning.features.run_batches", refuse)
    assert np.array_equal(features_of(setup.model, train), plain)
    with pytest.raises(AssertionError, match="computed again"):  # other samples, other features
        features_of(setup.model, Part(train, np.arange(10)))
    with torch.no_grad():
        next(setup.model.encoder.parameters()).mul_(2)
    with pytest.raises(AssertionError, match="computed again"):  # other weights
        features_of(setup.model, train)


SHORT = {"start": "scratch/simple-cnn", "batch_size": 16, "augment": "light", "device": "cpu"}


def test_a_faster_or_slower_moment_changes_neither_views_nor_weights(tmp_path, monkeypatch):
    options = SHORT | {"strategy": "last-n", "num_steps": 80}
    runs = [hs.finetune(few_digits(), out=str(tmp_path / "usual"), **options)]
    for seconds in (1e-9, 10.0):
        monkeypatch.setattr("headstart.tuning.cost.measure_pass", lambda *_, s=seconds, **__: s)
        runs.append(hs.finetune(few_digits(), out=str(tmp_path / str(seconds)), **options))
    found = [{row["name"]: row for row in run.options["choices"]}["views"] for run in runs]
    assert found[0] == found[1] == found[2]
    assert found[0]["value"] >= 2
    assert len({(run.path / "model.safetensors").read_bytes() for run in runs}) == 1


@pytest.mark.parametrize(
    ("strategy", "num_steps", "views", "stops_at"),
    [
        pytest.param("last-n", 80, None, (25,), marks=pytest.mark.slow),
        ("gradual", 60, 2, (3, 40)),
    ],
)
def test_an_interrupted_run_goes_on_with_the_same_views(
    tmp_path, strategy, num_steps, views, stops_at
):
    options = SHORT | {"strategy": strategy, "num_steps": num_steps, "views": views}
    whole = hs.finetune(few_digits(), out=str(tmp_path / "whole"), **options)
    choices = {row["name"]: row["value"] for row in whole.options["choices"]}
    assert choices["views"] >= 2
    for stop_at in stops_at:

        def stop(kind, fields, stop_at=stop_at):
            if kind == "task" and fields.get("name") == "fine-tune" and fields["done"] >= stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        out = str(tmp_path / str(stop_at))
        with listen(stop), pytest.raises(hs.Interrupted):
            hs.finetune(few_digits(), out=out, **options)
        cut = hs.finetune(few_digits(), out=out, resume=True, **options)
        one, other = ((run.path / "model.safetensors").read_bytes() for run in (whole, cut))
        assert one == other
