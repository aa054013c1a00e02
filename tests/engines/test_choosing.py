"""What computes a pass is measured, checked, remembered, and left alone where it is short."""

import pytest
import torch
from tiny_networks import Counted, a_job, matrix_alone, stand_in

from headstart.engines import PLAIN, Choice, PassRule, RefusedError, choose_pass, trial
from headstart.engines.equality import difference
from headstart.engines.table import ENGINES
from headstart.events import listen


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))


@pytest.fixture
def engines(monkeypatch):
    """Put stand-ins in the place of the engines; PyTorch stays, in float32."""

    def put(*others):
        plain = stand_in("torch", ENGINES["torch"].build, is_compiled=False)
        table = {one.name: one for one in (*others, plain)}
        monkeypatch.setattr("headstart.engines.trial.ENGINES", table)
        monkeypatch.setattr("headstart.engines.table.ENGINES", table)

    return put


def auto(**changes) -> PassRule:
    return PassRule("auto", "auto", **changes)


def said(run):
    notes = []
    with listen(lambda kind, fields: notes.append(fields.get("text", ""))):
        found = run()
    return found, notes


def test_the_quickest_that_is_equal_is_chosen_and_why_is_told(engines):
    engines(stand_in("quick", matrix_alone))
    chosen = choose_pass(a_job(Counted(0.0004)), auto())
    assert chosen.choice == Choice("quick")
    assert "ms a sample of rows" in chosen.why


def test_what_was_measured_is_not_measured_again(engines):
    engines(stand_in("quick", matrix_alone))
    choose_pass(a_job(Counted(0.0004)), auto())
    network, rule = Counted(0.0004), auto()
    assert choose_pass(a_job(network), rule).choice == Choice("quick")
    assert rule.trial_seconds == auto().trial_seconds
    assert network.num_passes == 1  # the check, with the weights at hand


def test_a_short_pass_stays_with_pytorch_and_nothing_is_measured(engines, tmp_path):
    built = []

    def build(*of):
        built.append(of)
        return matrix_alone(*of)

    engines(stand_in("quick", build))
    assert choose_pass(a_job(Counted(0.0004), num_samples=500), auto()).choice == PLAIN
    network = Counted(0.0004)
    assert choose_pass(a_job(network, num_samples=50), auto()).choice == PLAIN
    assert (built, network.num_passes) == ([], 0)
    assert not (tmp_path / "measured").exists()


def test_an_engine_that_compiles_longer_than_it_saves_is_not_taken(engines, monkeypatch):
    engines(stand_in("quick", matrix_alone))
    monkeypatch.setattr(trial, "_COMPILE_SECONDS", 100.0)
    assert choose_pass(a_job(Counted(0.0004)), auto()).choice == PLAIN


def test_trials_end_with_their_time(engines):
    engines(stand_in("quick", matrix_alone))
    assert choose_pass(a_job(Counted(0.0004)), auto(trial_seconds=0.0)).choice == PLAIN


def test_what_is_not_equal_is_not_taken_and_that_is_said(engines):
    def wrong_alone(network, example, choice):
        return lambda rows: network.matrix(rows) * (2.0 if len(rows) == 1 else 1.0)

    engines(stand_in("quick", wrong_alone))
    chosen, notes = said(lambda: choose_pass(a_job(Counted(0.0004)), auto()))
    assert chosen.choice == PLAIN
    assert any("at a batch of 1 it differs" in note for note in notes)


def test_what_an_engine_refuses_is_said_and_the_next_one_is_taken(engines):
    def refuse(network, example, choice):
        raise RefusedError("it knows no rows")

    engines(stand_in("first", refuse), stand_in("second", matrix_alone))
    chosen, notes = said(lambda: choose_pass(a_job(Counted(0.0004)), auto()))
    assert chosen.choice == Choice("second")
    assert notes == ["rows is not computed by first fp32: it knows no rows."]


def test_fp32_allows_no_narrower_format(engines):
    asked = []

    def build(network, example, choice):
        asked.append(choice.precision)
        return matrix_alone(network, example, choice)

    engines(stand_in("quick", build, ("bf16", "fp32")))
    chosen = choose_pass(a_job(Counted(0.0004)), PassRule("auto", "fp32"))
    assert chosen.choice == Choice("quick", "fp32")
    assert asked == ["fp32"]


def test_an_engine_that_is_asked_for_is_taken_however_short_the_pass(engines):
    engines(stand_in("quick", matrix_alone))
    chosen = choose_pass(a_job(Counted(), num_samples=40), PassRule("quick", "auto"))
    assert chosen.choice == Choice("quick")


def test_weights_that_change_are_never_compiled(engines):
    engines(stand_in("quick", matrix_alone))
    job = a_job(Counted(0.0004), is_fixed=False)
    assert choose_pass(job, auto()).choice == PLAIN
    assert choose_pass(job, PassRule("quick", "auto")).choice == PLAIN


def test_torch_and_fp32_is_what_there_always_was(engines):
    engines(stand_in("quick", matrix_alone))
    network = Counted(0.0004)
    assert choose_pass(a_job(network), PassRule("torch", "fp32")).choice == PLAIN
    assert network.num_passes == 0


def test_fp32_may_differ_by_rounding_and_no_more():
    one = torch.randn(20, 5)
    assert difference((one,), (one + 1e-5,), precision="fp32") == ""
    assert "of the largest number" in difference((one,), (one + 1e-2,), precision="fp32")
    assert "not finite" in difference((one,), (one * float("nan"),), precision="fp32")
    assert "instead of" in difference((one,), (one[:, :4],), precision="fp32")


def test_bf16_may_not_change_directions_or_decisions():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(60, 6, generator=generator)
    targets = one.argmax(dim=1).numpy()
    rounded = one.bfloat16().float()
    assert difference((one,), (rounded,), precision="bf16", targets=targets) == ""
    turned = one + 0.8 * torch.randn(60, 6, generator=generator)
    assert "directions differ" in difference((one,), (turned,), precision="bf16")
    # the same directions nearly, and yet other decisions: what decides is small beside the rest
    shifted = torch.cat([one, torch.full((60, 1), 40.0)], dim=1)
    noise = torch.randn(60, 6, generator=generator)
    other = shifted.clone()
    other[:, :6] += noise
    said_of = difference((shifted,), (other,), precision="bf16", targets=targets)
    assert "decisions differ" in said_of
    readout = lambda rows: rows[:, :6]  # noqa: E731
    assert "decisions differ" in difference((shifted,), (other,), precision="bf16", readout=readout)
