"""An arm is advanced in pieces, and ends as if it had run through."""

import json
import subprocess
import sys
import time

import piece
import pytest
import torch
from piece import NUM_STEPS, OPTIONS, digest, make_arm, told

from headstart.training.options.recipe import with_length
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.tune import check


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def run_through(strategy, **known):
    """Return an arm that has run to its end, and what is told of it."""
    arm = make_arm(strategy, **known)
    arm.start()
    found = told(arm, arm.advance()) if not known.get("folder") else None
    arm.finish()
    return arm, found


def same_end(found, whole):
    assert found["step"] == whole["step"] == NUM_STEPS
    assert found["is_ended"]
    assert found["best"] == whole["best"]


@pytest.mark.parametrize(
    ("strategy", "start"),
    # the last has a first layer that is learned from train, and Muon
    [*((name, "scratch/simple-cnn") for name in OPTIONS), ("full", "scratch/quick-cnn-small")],
)
def test_pieces_end_in_the_bits_of_the_whole(tmp_path, strategy, start):
    whole, expected = run_through(strategy, start=start)
    arm = make_arm(strategy, start=start, folder=tmp_path)
    arm.start()
    taken = 0
    for steps in (1, 12, 3, 17):
        score = arm.advance(steps=steps)
        taken += steps
        assert told(arm, score)["step"] == taken
        assert not arm.is_ended
    score = arm.advance()
    same_end(told(arm, score), expected)
    assert digest(arm) == digest(whole)
    tuned, reference = arm.finish(), whole.finish()
    assert (tuned.val_logits == reference.val_logits).all()
    assert arm.advance() == score  # nothing is left to advance
    assert tuned.result.state.step == NUM_STEPS


def test_pieces_in_two_processes_end_in_the_bits_of_the_whole(tmp_path, capsys):
    strategy = "gradual"
    whole, expected = run_through(strategy)
    piece.main(str(tmp_path), strategy, 22)
    assert not json.loads(capsys.readouterr().out.splitlines()[-1])["is_ended"]
    words = [sys.executable, piece.__file__, str(tmp_path), strategy, "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    same_end(found, expected)
    assert found["digest"] == digest(whole)


def test_arms_that_are_advanced_in_turn_know_nothing_of_one_another(tmp_path):
    arms = [make_arm("full", folder=tmp_path / str(seed), seed=seed) for seed in (0, 1, 2)]
    scores = {}
    for arm in arms:
        arm.start()
        scores[arm] = arm.advance(steps=10)
    # as a search would: the worst is dropped after each rung
    while len(arms) > 1:
        arms.remove(min(arms, key=lambda arm: (scores[arm].score, -scores[arm].loss)))
        for arm in arms:
            scores[arm] = arm.advance(steps=15)
    (last,) = arms
    last.advance()
    whole, _ = run_through("full", seed=last.setup.recipe.seed)
    assert digest(last) == digest(whole)


def test_a_score_is_that_of_the_weights_at_hand(tmp_path):
    arm = make_arm("lp-ft", folder=tmp_path)
    arm.start()
    probed = arm.fitted.val_score
    arm.advance(steps=5)
    assert check(arm.setup.model, arm.val).score >= probed  # the best so far, not the last
    arm = make_arm("full", folder=tmp_path / "full")
    arm.start()
    score = arm.advance(steps=5)
    assert score == check(arm.setup.model, arm.val)


def test_an_arm_pauses_when_its_time_has_come(tmp_path, still_clock):
    arm = make_arm("full", folder=tmp_path, stop_requested=lambda: bool(time.sleep(1.0)))
    arm.start()
    arm.advance(until=time.monotonic() + 6.5)  # a step takes a second here
    assert arm.result.ended == "paused"
    assert 6 <= arm.result.state.step <= 7


def test_without_a_folder_for_its_state_an_arm_runs_through_or_not_at_all():
    arm = make_arm("full")
    arm.start()
    with pytest.raises(AssertionError, match="needs a folder for its state"):
        arm.advance(steps=5)
    arm.advance()
    assert arm.is_ended


def test_a_head_alone_has_ended_when_it_has_begun():
    arm = make_arm("head")
    assert not arm.is_ended
    arm.start()
    assert arm.is_ended
    found, again = arm.advance(steps=1), check(arm.setup.model, arm.val)
    assert (found.score, found.metric) == (again.score, again.metric)
    # the probe multiplies by NumPy, the model by torch
    assert found.loss == pytest.approx(again.loss, rel=1e-5)
    assert arm.finish().result is None


def test_a_branch_leaves_the_arm_as_it_was(tmp_path):
    for strategy in ("last-n", "gradual"):
        whole, _ = run_through(strategy)
        arm = make_arm(strategy, folder=tmp_path / strategy)
        arm.start()
        before = {n: t.clone() for n, t in arm.setup.model.state_dict().items()}
        with arm.branch(with_length(arm.setup.recipe, 10), deadline=None) as branch:
            branch.advance()
            now = arm.setup.model.state_dict()
            assert any(not torch.equal(now[n], before[n]) for n in now)
        assert all(torch.equal(now[n], before[n]) for n in now)
        assert branch.result.state.step == 10
        assert len(branch.last_logits) == len(arm.val)
        assert CheckpointFolder(tmp_path / strategy).newest_step() is None
        arm.advance()
        assert digest(arm) == digest(whole)


@pytest.mark.parametrize("strategy", list(OPTIONS))
def test_the_logits_of_the_best_weights_are_those_of_their_own_check(strategy, monkeypatch):
    """Nothing is computed after the deadline of the training that its checks have computed."""
    arm = make_arm(strategy)
    arm.start()
    arm.advance()
    again = arm._opener.val_logits()

    def refuse(*args):
        raise AssertionError("a pass over val after the training")

    monkeypatch.setattr(arm._opener, "val_logits", refuse)
    assert (arm.finish().val_logits == again).all()
