"""A run whose passes another engine computes: settled once, kept apart, within the tolerance.

The engine is a stand-in that rounds as another one would; the real ones are in ``tests/engines``.
"""

import json

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.data import load
from headstart.engines import Choice, PassRule, passes_by
from headstart.engines.table import ENGINES, Engine
from headstart.errors import OptionError
from headstart.events import listen
from headstart.model import run_batches
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.engine_rule import engine_rule
from headstart.tuning.features import features_of
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.tune import tune

NOISE = 1e-6  # of a number


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data():
    return load("digits-8x8")


@pytest.fixture
def passes(monkeypatch):
    """Put a stand-in beside the engines; return what it has computed, by the number of samples."""
    sizes = []

    def build(network, example, choice):
        def run(*inputs):
            sizes.append(len(inputs[0]))
            made = network(*inputs)
            if isinstance(made, torch.Tensor):
                return made * (1 + NOISE)
            return tuple(one * (1 + NOISE) for one in made)

        return run

    engine = Engine("stand-in", build, lambda: ("fp32",))
    for where in ("headstart.engines.table", "headstart.engines.trial", "headstart.engines"):
        monkeypatch.setattr(f"{where}.ENGINES", {**ENGINES, engine.name: engine})
    monkeypatch.setattr("headstart.tuning.engine_rule.ENGINES", {**ENGINES, engine.name: engine})
    return sizes


def setup_of(data, strategy="last-n", **changes):
    options = {"num_steps": 8, "batch_size": 16, "views": 1, "augment": "none"} | changes
    return set_up(
        data,
        find_start("scratch/simple-cnn"),
        TrainingOptions(strategy=strategy, **options),
        device=torch.device("cpu"),
    )


def trained(data, rule, **changes):
    """Return the weights after a short training under a rule, and what was told."""
    setup, told = setup_of(data, **changes), []
    train = prepare_sample(data, "train", setup, 96, seed=0)
    val = prepare_sample(data, "val", setup, 48, seed=0)
    with listen(lambda kind, fields: told.append((kind, fields))), passes_by(rule):
        tune(setup, train, val, Conditions(seconds_per_sample=1e-3))
    return {n: t.clone() for n, t in setup.model.state_dict().items()}, told


def asked(decisions=None, engine="stand-in", precision="auto"):
    return engine_rule(engine, precision, budget_seconds=None, decisions=decisions or Decisions())


def test_a_frozen_part_by_another_engine_trains_alike_within_the_tolerance(data, passes):
    plain, _ = trained(data, PassRule())
    assert passes == []
    other, told = trained(data, asked())
    assert sum(passes) >= 96 + 48
    chosen = [fields for kind, fields in told if kind == "choice" and "engine" in fields["name"]]
    assert ("engine of the frozen part", "stand-in fp32") in [
        (fields["name"], fields["value"]) for fields in chosen
    ]
    assert not all(torch.equal(plain[n], other[n]) for n in plain)
    for name, tensor in plain.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-4)


def test_engine_torch_in_fp32_gives_the_bits_of_a_run_without_engines(data, passes):
    plain, _ = trained(data, PassRule())
    other, _ = trained(data, asked(engine="torch", precision="fp32"))
    assert all(torch.equal(plain[n], other[n]) for n in plain)
    assert passes == []


def test_what_pytorch_has_kept_serves_any_engine_that_nobody_named(data, passes):
    plain, _ = trained(data, PassRule())
    other, told = trained(data, asked(engine="auto"))
    assert all(torch.equal(plain[n], other[n]) for n in plain)
    assert not any("engine" in str(fields.get("name")) for kind, fields in told if kind == "choice")


def test_what_an_engine_has_kept_is_not_taken_for_pytorchs(data, passes):
    trained(data, asked())
    done = len(passes)
    plain, told = trained(data, PassRule())
    assert len(passes) == done
    assert any(kind == "task" and "frozen part" in fields["name"] for kind, fields in told)
    again, _ = trained(data, asked())
    assert len(passes) == done, "it is read, and not even compiled to be checked"
    assert not all(torch.equal(plain[n], again[n]) for n in plain)


def test_a_run_that_goes_on_computes_as_it_began(data, passes):
    decisions = Decisions()
    first, _ = trained(data, asked(decisions))
    kept = json.loads(json.dumps(decisions.records))
    value = kept["engine of the frozen part"]["value"]
    assert value == Choice("stand-in", "fp32").to_json()
    again, told = trained(data, asked(Decisions(kept), engine="auto"))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(
        fields["why"] == "chosen before the run was interrupted"
        for kind, fields in told
        if kind == "choice" and fields["name"] == "engine of the frozen part"
    )


def test_features_of_another_engine_have_a_place_of_their_own(data, passes, monkeypatch):
    monkeypatch.setattr("headstart.tuning.features._WORTH_SECONDS", 0.0)
    setup = setup_of(data)
    inputs = prepare_sample(data, "train", setup, 100, seed=0)
    with passes_by(asked()):
        other = features_of(setup.model, inputs)
    computed = len(passes)
    assert computed > 0
    with passes_by(asked()):
        assert np.array_equal(features_of(setup.model, inputs), other)
    plain = features_of(setup.model, inputs)
    assert not np.array_equal(plain, other)
    np.testing.assert_allclose(plain, other, rtol=1e-4, atol=1e-5)


def test_weights_that_have_changed_are_compiled_anew(data, passes):
    setup = setup_of(data)
    inputs = prepare_sample(data, "train", setup, 70, seed=0)
    with passes_by(asked()):
        before = run_batches(setup.model, inputs, setup.model.features)
        with torch.no_grad():
            for parameter in setup.model.parameters():
                parameter.mul_(1.5)
        after = run_batches(setup.model, inputs, setup.model.features)
    expected = run_batches(setup.model, inputs, setup.model.features)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-5)


def test_a_run_tells_its_engine_and_evaluate_and_predict_take_one(data, passes, tmp_path):
    run = hs.finetune(
        data,
        start="scratch/simple-cnn",
        engine="torch",
        precision="fp32",
        num_steps=4,
        out=str(tmp_path / "run"),
    )
    told = hs.evaluate(str(run.path), engine="torch", precision="fp32").metrics["test"]
    assert told["figures"] == run.metrics["test"]["figures"]
    assert json.loads((run.path / "options.json").read_text())["options"]["engine"] == "torch"
    assert passes == []
    with pytest.raises(OptionError, match=r"headstart\[openvino\]"):
        _without(hs.evaluate, str(run.path), engine="openvino")
    with pytest.raises(OptionError, match=r"headstart\[onnx\]"):
        _without(hs.predict, str(run.path), ["seven.png"], engine="onnxruntime")
    with pytest.raises(OptionError, match=r"headstart\[openvino\]"):
        _without(hs.finetune, data, start="scratch/simple-cnn", engine="openvino")


def _without(verb, *args, **options):
    """Call a verb as if no package of an engine were installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.engines.table.find_spec", lambda name: None)
        return verb(*args, **options)
