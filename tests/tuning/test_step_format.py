"""The format of training steps is chosen by measuring them, once, and leaves no trace."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from piece import make_arm

from headstart.data import load
from headstart.events import listen
from headstart.starts import find_start
from headstart.training.options.defaults import defaults_for
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning import step_format
from headstart.tuning.arm import Arm
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.hooks import let_learn
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.step_format import StepFormat, lay_out, open_formats

CPU = torch.device("cpu")
BOTH = frozenset({"precision", "channels_last"})
FP32, BF16 = StepFormat("fp32", True, False), StepFormat("bf16", True, True)
FIRST = StepFormat("bf16", False, True)


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def units(monkeypatch):
    """Every machine has units for bf16 here, which it computes without them, too; so any start."""
    monkeypatch.setattr(step_format, "has_bf16_units", lambda: True)
    monkeypatch.setattr(
        step_format, "defaults_for", lambda start: replace(defaults_for(start), bf16_steps=True)
    )


@pytest.fixture
def worth(monkeypatch):
    """Every training is long enough."""
    monkeypatch.setattr(step_format, "_WORTH_SECONDS", 0.0)


def as_timed(monkeypatch, seconds):
    """Let steps take what is said; return the formats that were stepped."""
    stepped = []
    own = step_format._Trial._step

    def step(trial, one, batch):
        own(trial, one, batch)
        stepped.append(one)
        return seconds.get(one, 9.0) * len(batch.ids)

    monkeypatch.setattr(step_format._Trial, "_step", step)
    return stepped


def choices_of(arm):
    """Start an arm; return what was told of its format."""
    told = []

    def hear(kind, fields):
        if kind == "choice" and fields["name"] == "step_format":
            told.append((fields["value"], fields["why"]))

    with listen(hear):
        arm.start()
    return told


def format_of(arm):
    recipe = arm.setup.recipe
    return StepFormat(recipe.stepped_precision, recipe.is_stepped_channels_last, recipe.own_kernels)


@pytest.mark.parametrize("best", [FP32, BF16, FIRST], ids=str)
def test_the_quickest_format_is_taken_told_kept_and_remembered(best, monkeypatch, worth):
    stepped = as_timed(monkeypatch, {FP32: 2.0, BF16: 1.8} | {best: 1.0})
    arm = make_arm("full", open_options=BOTH)
    ((value, why),) = choices_of(arm)
    assert format_of(arm) == best
    assert why.startswith("ms a sample of a step, measured: fp32, channels last")
    assert value == best.told(has_layout=True)
    assert arm.conditions.decisions.records["step_format"]["value"] == asdict(best)
    assert {FP32, BF16, FIRST} <= set(stepped)
    weight = next(p for p in arm.setup.model.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last) == best.channels_last
    (batch,) = arm._phases.batches(0)
    is_last = batch.inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert is_last == best.channels_last or batch.inputs[0].shape[1] == 1
    # another run of the same network measures nothing
    stepped.clear()
    again = make_arm("full", open_options=BOTH)
    ((_, why),) = choices_of(again)
    assert not stepped
    assert format_of(again) == best
    assert "as measured before" in why


def test_a_gain_within_the_noise_changes_nothing(monkeypatch, worth):
    as_timed(monkeypatch, {FP32: 1.0, BF16: 0.97})
    arm = make_arm("full", open_options=BOTH)
    arm.start()
    assert format_of(arm) == FP32


def test_a_short_training_is_not_measured(monkeypatch):
    stepped = as_timed(monkeypatch, {})
    arm = make_arm("full", open_options=BOTH)
    assert choices_of(arm) == []
    assert not stepped
    assert format_of(arm) == FP32
    # so that a later attempt on a slower machine does not choose otherwise
    assert arm.conditions.decisions.records["step_format"]["value"] == asdict(FP32)


def test_what_the_user_said_stands(monkeypatch, worth):
    as_timed(monkeypatch, {BF16: 0.1, FIRST: 0.1})
    arm = make_arm("full", open_options=frozenset())
    assert choices_of(arm) == []
    assert format_of(arm) == FP32
    assert "step_format" not in arm.conditions.decisions.records
    assert open_formats({"precision": "auto", "channels_last": None}) == BOTH
    assert open_formats({"precision": "fp32", "channels_last": True}) == frozenset()
    assert open_formats({"precision": "bf16"}) == {"channels_last"}
    # the layout is the user's, the number format is not
    arm = make_arm("full", open_options=frozenset({"precision"}))
    arm.start()
    assert format_of(arm) == BF16


def test_without_units_for_bf16_only_layouts_are_compared(monkeypatch, worth):
    monkeypatch.setattr(step_format, "has_bf16_units", lambda: False)
    stepped = as_timed(monkeypatch, {FP32: 1.0, replace(FP32, channels_last=False): 0.5})
    arm = make_arm("full", open_options=BOTH)
    arm.start()
    assert format_of(arm) == replace(FP32, channels_last=False)
    assert {one.precision for one in stepped} == {"fp32"}


def test_a_frozen_part_that_is_computed_leaves_the_layout_alone(monkeypatch, worth):
    stepped = as_timed(monkeypatch, {FP32: 1.0, BF16: 0.5})
    arm = make_arm("last-n", open_options=BOTH)
    arm.start()
    assert arm._phases.present.is_cut
    assert set(stepped) == {FP32, BF16}
    assert format_of(arm) == BF16
    arm.advance()


@pytest.mark.parametrize("strategy", ["full", "lp-ft", "last-n", "gradual"])
def test_a_trial_leaves_no_trace(strategy, monkeypatch, worth):
    def state(arm):
        model = arm.setup.model
        kept = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return [
            {n: (t.detach().clone(), t.stride(), t.requires_grad) for n, t in kept.items()},
            {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
            [module.training for module in model.modules()],
            torch.get_rng_state(),
        ]

    found = []
    own = step_format._Trial.run

    def run(trial, formats):
        arm = make_arm.arm
        # a gradient that lies there already is nobody's to add to
        parameter = next(p for p in arm.setup.model.parameters() if p.requires_grad)
        parameter.grad = torch.ones_like(parameter)
        before = state(arm)
        times = own(trial, formats)
        found.append((before, state(arm), times[0]))
        parameter.grad = None
        return times

    monkeypatch.setattr(step_format._Trial, "run", run)
    make_arm.arm = make_arm(strategy, open_options=BOTH)
    let_learn(make_arm.arm.setup)
    make_arm.arm.start()
    ((before, after, times),) = found
    assert len(times) > 1
    assert before[0].keys() == after[0].keys()
    for name, (value, stride, learns) in before[0].items():
        assert torch.equal(value, after[0][name][0]), name
        assert (stride, learns) == after[0][name][1:], name
    for name, gradient in before[1].items():
        other = after[1][name]
        assert other is None if gradient is None else torch.equal(gradient, other)
    assert before[2] == after[2]
    assert torch.equal(before[3], after[3])


@pytest.mark.parametrize("best", [BF16, FIRST], ids=str)
@pytest.mark.parametrize("strategy", ["full", "last-n", "gradual"])
def test_pieces_in_a_chosen_format_end_with_the_bits_of_one_run(
    strategy, best, tmp_path, monkeypatch, worth
):
    as_timed(monkeypatch, {FP32: 1.0, BF16: 0.9, best: 0.5})
    whole = make_arm(strategy, folder=tmp_path / "whole", open_options=BOTH)
    whole.start()
    whole.advance()
    chosen = format_of(whole)
    assert chosen.precision == "bf16"
    records = {}
    for steps in (13, 1, None):
        # what is settled stands, whatever a measurement says by now
        as_timed(monkeypatch, {FP32: 0.1})
        records = json.loads(json.dumps(records or whole.conditions.decisions.records))
        arm = make_arm(strategy, folder=tmp_path / "pieces", records=records, open_options=BOTH)
        arm.start()
        assert format_of(arm) == chosen
        arm.advance(steps=steps)
    for name, value in whole.setup.model.state_dict().items():
        assert torch.equal(value, arm.setup.model.state_dict()[name]), name
    # the best weights may be those of the probe: the last ones are seen in the last validation
    assert arm.result.found == whole.result.found
    plain = make_arm(strategy)
    plain.start()
    plain.advance()
    assert plain.result.found != whole.result.found


def test_a_trial_keeps_to_its_time(monkeypatch, worth):
    arm = make_arm("full", open_options=BOTH, seconds_per_sample=10.0)
    stepped = as_timed(monkeypatch, {})
    assert choices_of(arm) == []
    assert not stepped
    assert format_of(arm) == FP32


@pytest.mark.parametrize(("seconds", "best"), [(1.0, FP32), (0.7, BF16)])
def test_where_time_was_short_only_a_clear_gain_counts(seconds, best, monkeypatch, worth):
    as_timed(monkeypatch, {FP32: 1.1, BF16: seconds})
    own = step_format._Trial.run

    def run(trial, formats):
        times, _ = own(trial, formats)
        return times, False

    monkeypatch.setattr(step_format._Trial, "run", run)
    for _ in range(2):  # nor is it remembered
        arm = make_arm("full", open_options=BOTH)
        ((_, why),) = choices_of(arm)
        assert format_of(arm) == best
        assert "measured:" in why


def test_texts_have_no_layout(monkeypatch, worth, tmp_path):
    table = tmp_path / "texts.csv"
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{i % 2}" for i in range(60)]
    table.write_text("\n".join(["text,label", *rows]))
    data = load(table)
    options = TrainingOptions(strategy="full", num_steps=2, batch_size=8)
    setup = set_up(data, find_start("scratch/bert-tiny"), options, device=CPU)
    train, val = (prepare_sample(data, name, setup, None, seed=0) for name in ("train", "val"))
    stepped = as_timed(monkeypatch, {FP32: 1.0, BF16: 0.5})
    arm = Arm(setup, train, val, Conditions(decisions=Decisions(), open_options=BOTH))
    ((value, _),) = choices_of(arm)
    assert value == "bf16"
    assert set(stepped) == {FP32, BF16}
    arm.advance()


def test_lay_out_brings_a_workers_weights_to_the_format_of_the_steps():
    arm = make_arm("full")
    model = arm.setup.model
    weight = next(p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert not weight.is_contiguous()
    lay_out(model, FIRST.into(arm.setup.recipe))
    assert weight.is_contiguous()
