"""Two processes on one machine: one result, whatever befalls one of them."""

import json
import signal
import time

import pytest
from processes import NUM_STEPS, assert_close, elastic, end, start, told


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for all runs of this file: the pixels are decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def alone(cache, tmp_path_factory):
    """A run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    codes, said = end(start(cache, out, 1))
    assert codes == [0], said
    return out


def test_two_processes_share_the_samples_of_each_step_and_learn_what_one_learns(
    cache, tmp_path, alone
):
    out = tmp_path / "run"
    codes, said = end(start(cache, out, 2))
    assert codes == [0, 0], said
    one, first, second = told(alone, "0.0"), told(out, "0.0"), told(out, "1.0")
    assert first["last"] == second["last"]  # the same bits in both
    for step in map(str, range(NUM_STEPS)):
        assert first["ids"][step] + second["ids"][step] == one["ids"][step]
        assert (len(first["ids"][step]), len(second["ids"][step])) == (32, 31)
    assert first["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert_close(out, alone)
    assert not (out / "state").exists()
    assert json.loads((out / "options.json").read_text())["processes"] == 2


def test_a_signal_to_one_process_stops_both_and_one_process_goes_on(cache, tmp_path, alone):
    out = tmp_path / "run"
    both = start(cache, out, 2, slow_from=10, signalled=1, checkpoint_seconds=1e9)
    until = time.monotonic() + 200
    while not (tmp_path / "run.1.begun").exists():
        assert time.monotonic() < until
        assert [each.poll() for each in both] == [None, None]
        time.sleep(0.05)
    both[1].send_signal(signal.SIGTERM)
    codes, said = end(both)
    assert codes == [143, 143], said
    assert "Stopped by SIGTERM" in said[0]
    assert not said[1]  # the main process says it for all
    saved = [int(p.name.removeprefix("step_")) for p in (out / "state").glob("step_*")]
    assert len(saved) == 1
    assert 10 <= saved[0] < NUM_STEPS
    for rank in (0, 1):
        assert sorted(map(int, told(out, f"{rank}.0")["ids"])) == list(range(saved[0]))
    codes, said = end(start(cache, out, 1, resume=True))
    assert codes == [0], said
    one, resumed = told(alone, "0.0"), told(out, "0.0")
    assert sorted(map(int, resumed["ids"])) == list(range(saved[0], NUM_STEPS))
    for step, ids in resumed["ids"].items():
        assert ids == one["ids"][step]
    assert_close(out, alone)


@pytest.mark.parametrize(
    "in_backward",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["forward", "backward"],
)
def test_too_little_memory_in_one_process_halves_in_both_and_changes_nothing(
    cache, tmp_path, alone, in_backward
):
    out = tmp_path / "run"
    codes, said = end(start(cache, out, 2, memory=[1, 3], in_backward=in_backward))
    assert codes == [0, 0], said
    first, second = told(out, "0.0"), told(out, "1.0")
    assert first["last"] == second["last"]
    assert (first["micro"]["2"], second["micro"]["2"]) == (None, None)
    assert first["micro"]["4"] == second["micro"]["4"] == 8  # 31, 16, 8: at most eight had room
    if in_backward:  # gradients had travelled already, and nobody hung
        assert all(num_sent > 0 for num_sent in second["sent"])
    assert_close(out, alone)


@pytest.mark.slow
def test_both_step_in_the_format_that_the_main_process_has_chosen(cache, tmp_path, alone):
    out, chosen = tmp_path / "run", ["bf16", False, True]
    codes, said = end(start(cache, out, 2, format=chosen))
    assert codes == [0, 0], said
    first, second, plain = told(out, "0.0"), told(out, "1.0"), told(alone, "0.0")
    assert first["last"] == second["last"] != plain["last"]
    assert first["layouts"] == second["layouts"] != plain["layouts"]
    assert first["loss"] == pytest.approx(plain["loss"], abs=0.05)
    recipe = json.loads((out / "options.json").read_text())["recipe"]
    assert recipe["step_precision"] == "bf16"
    assert recipe["step_channels_last"] is False


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["frozen", "gradual"])
def test_a_frozen_part_is_computed_once_and_used_by_both(cache, tmp_path, recipe):
    one, out = tmp_path / "one", tmp_path / "run"
    codes, said = end(start(cache, one, 1, recipe=recipe))
    assert codes == [0], said
    entries = sorted((cache / "activations").iterdir())
    codes, said = end(start(cache, out, 2, recipe=recipe))
    assert codes == [0, 0], said
    assert sorted((cache / "activations").iterdir()) == entries  # nobody computed another
    alone, first, second = told(one, "0.0"), told(out, "0.0"), told(out, "1.0")
    assert first["last"] == second["last"] != alone["last"]
    assert first["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    for step, ids in alone["ids"].items():
        assert first["ids"][step] + second["ids"][step] == ids


@pytest.mark.parametrize(
    ("kills", "chosen"),
    [
        ({"0": [1, 15]}, None),
        pytest.param({"0": [0, 15]}, None, marks=pytest.mark.slow),
        pytest.param({"0": [1, 15], "1": [0, 27]}, None, marks=pytest.mark.slow),
        pytest.param({"0": [0, 15]}, ["bf16", False, True], marks=pytest.mark.slow),
    ],
    ids=["worker", "main", "both", "main, bf16"],
)
def test_a_process_killed_under_torchrun_changes_no_bit(cache, tmp_path, kills, chosen):
    """torchrun starts both again, and nobody says --resume."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fate = {"recipe": "everything", "poison": [1, 5], "checkpoint_seconds": 0.0, "format": chosen}
    codes, said = end(start(cache, whole, 2, **fate))
    assert codes == [0, 0], said
    assert "Step 5 gave a loss that is not finite" in (whole / "log.jsonl").read_text()
    done = elastic(cache, killed, restarts=2, killed=kills, **fate)
    assert done.returncode == 0, done.stderr[-3000:]
    lives = [told(killed, f"{rank}.{len(kills)}") for rank in (0, 1)]
    assert lives[0]["last"] == lives[1]["last"] == told(whole, "0.0")["last"]
    # it did not begin anew: steps before the last checkpoint were not taken again
    assert "0" not in lives[0]["ids"]
    assert told(killed, "learned")["digest"] == told(whole, "learned")["digest"]


def test_running_statistics_are_the_main_processes_and_the_same_in_both(cache, tmp_path):
    out = tmp_path / "run"
    codes, said = end(start(cache, out, 2, network="normed"))
    assert codes == [0, 0], said
    first, second = told(out, "0.0"), told(out, "1.0")
    assert first["means"]["0"] != second["means"]["0"]
    # a tenth of the mean of what the main process saw, in the units of the network's input
    expected = 0.1 * (first["means"]["0"] - 0.5) / 0.25
    assert first["running"][0][0] == pytest.approx(expected, abs=1e-5)
    assert first["running"] == second["running"]
    assert first["last"] == second["last"]  # buffers are part of it


@pytest.mark.slow
def test_who_dies_when_the_run_is_complete_does_not_spoil_it(cache, tmp_path):
    """torchrun starts all again; they find the finished run of the same plan and end well."""
    out = tmp_path / "run"
    done = elastic(cache, out, restarts=1, gone_after=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert told(out, "0.1")["ids"] == told(out, "1.1")["ids"] == {}
    assert (out / "report.html").exists()


def test_a_mistake_is_told_once_and_all_leave_with_its_code(cache, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "a letter").write_text("not a run")
    codes, said = end(start(cache, out, 2))
    assert codes == [5, 5], said
    assert "is not empty" in said[0]
    assert not said[1]


def test_an_error_of_the_main_process_within_a_step_is_told_once_and_nobody_hangs(cache, tmp_path):
    codes, said = end(start(cache, tmp_path / "run", 2, broken=[0, 12]))
    assert codes == [6, 6], said
    assert "something broke" in said[0]
    assert not said[1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1], ids=["main", "worker"])
def test_without_a_launcher_who_is_left_behind_leaves_too(cache, tmp_path, rank):
    codes, said = end(start(cache, tmp_path / "run", 2, gone=[rank, 12]))
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 9
    assert "2 processes that train together has left" in said[1 - rank]
    assert ("Process 1 of 2: " in said[1]) == (rank == 0)
