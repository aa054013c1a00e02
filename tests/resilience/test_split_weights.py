"""Weights split over two processes: what one process learns, half of the memory, no shard lost."""

import hashlib
import json
import signal
import time

import numpy as np
import pytest
from networks import save_bert, small_vit
from processes import NUM_STEPS, assert_close, elastic, end, start, told

from headstart.recipes.run import open_run

SPLIT = {"network": "vit", "recipe": "averaged", "options": {"fsdp": True}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for all runs of this file: the pixels are decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def tiny_bert(tmp_path_factory):
    """A small BERT in a local folder, known to all processes that are started."""
    folder = tmp_path_factory.mktemp("bert")
    save_bert(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_BERT", str(folder))
        yield


@pytest.fixture(scope="module")
def alone(cache, tmp_path_factory):
    """A run of one process: several passes a step, averaged weights, two looks."""
    out = tmp_path_factory.mktemp("alone") / "run"
    codes, said = end(start(cache, out, 1, network="vit", recipe="averaged"))
    assert codes == [0], said
    return out


@pytest.fixture(scope="module")
def split(cache, tmp_path_factory):
    """The same run of two processes that split the weights."""
    out = tmp_path_factory.mktemp("split") / "run"
    codes, said = end(start(cache, out, 2, **SPLIT))
    assert codes == [0, 0], said
    return out


def digest(out):
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def stop_at(cache, out, fate, signal_number, *, rank, num=2):
    """Stop all by a signal to one in the middle of the run; return the step that was saved."""
    both = start(cache, out, num, **fate, slow_from=10, signalled=rank)
    until = time.monotonic() + 200
    while not out.with_name(f"{out.name}.{rank}.begun").exists():
        assert time.monotonic() < until
        assert [each.poll() for each in both] == [None] * num
        time.sleep(0.05)
    both[rank].send_signal(signal_number)
    codes, said = end(both)
    assert codes == [128 + signal_number] * num, said
    assert not any(said[1:])  # the main process says it for all
    saved = sorted(out.glob("state/step_*"))
    return int(saved[-1].name.removeprefix("step_"))


def test_split_weights_learn_what_one_process_learns_in_half_of_the_memory(alone, split):
    assert_close(split, alone)
    one, first, second = told(alone, "0.0"), told(split, "0.0"), told(split, "1.0")
    assert first["loss"] == pytest.approx(one["loss"], abs=1e-5)
    for step in map(str, range(NUM_STEPS)):
        assert first["ids"][step] + second["ids"][step] == one["ids"][step]
    whole = one["bytes"]
    for what in ("here", "optimizer"):
        parts = [each["bytes"][what] for each in (first, second)]
        assert sum(parts) == whole[what]
        assert max(parts) < 0.53 * whole[what]
    assert not (split / "state").exists()


def test_the_run_folder_of_split_weights_is_like_any_other(alone, split):
    assert {p.name for p in split.iterdir()} == {p.name for p in alone.iterdir()}
    images = [np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8) for i in (0, 1)]
    found, expected = (open_run(p, module=small_vit()).predict(images) for p in (split, alone))
    for one, other in zip(found, expected, strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    recorded = json.loads((split / "options.json").read_text())
    assert recorded["recipe"]["fsdp"] is True
    assert recorded["processes"] == 2


@pytest.mark.slow
def test_a_signal_keeps_the_shards_and_one_process_goes_on_with_the_whole(cache, tmp_path, alone):
    out = tmp_path / "run"
    saved = stop_at(cache, out, SPLIT, signal.SIGTERM, rank=1)
    assert 10 <= saved < NUM_STEPS
    (folder,) = out.glob("state/step_*")
    names = [f"shard-0000{n}-model-00001-of-00001.safetensors" for n in (1, 2)]
    assert {p.name for p in folder.iterdir()} == {*names, "state.json", "MANIFEST.json"}
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    for name in names:
        assert manifest[name]["bytes"] == (folder / name).stat().st_size
    codes, said = end(start(cache, out, 1, network="vit", recipe="averaged", resume=True))
    assert codes == [0], said
    one, resumed = told(alone, "0.0"), told(out, "0.0")
    assert sorted(map(int, resumed["ids"])) == list(range(saved, NUM_STEPS))
    for step, ids in resumed["ids"].items():
        assert ids == one["ids"][step]
    assert_close(out, alone)
    assert json.loads((out / "options.json").read_text())["recipe"]["fsdp"] is False


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_process_killed_under_torchrun_changes_no_bit(cache, tmp_path, split):
    out = tmp_path / "run"
    fate = {**SPLIT, "killed": {"0": [1, 15]}, "checkpoint_seconds": 0.0}
    done = elastic(cache, out, restarts=1, **fate)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in (0, 1):
        life = told(out, f"{rank}.1")
        assert life["last"] == told(split, f"{rank}.0")["last"]
        assert "0" not in life["ids"]  # it did not begin anew
    assert digest(out) == digest(split)


def test_two_processes_that_compute_each_block_together_learn_what_one_learns(
    cache, tmp_path, alone
):
    out = tmp_path / "run"
    fate = {**SPLIT, "options": {"tensor_parallel_size": 2}}
    codes, said = end(start(cache, out, 2, **fate))
    assert codes == [0, 0], said
    assert_close(out, alone)
    one, first, second = told(alone, "0.0"), told(out, "0.0"), told(out, "1.0")
    assert first["ids"] == second["ids"] == one["ids"]  # both see all samples
    assert first["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert 0.5 < first["bytes"]["optimizer"] / one["bytes"]["optimizer"] < 0.6
    images = [np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8) for i in (0, 1)]
    found, expected = (open_run(p, module=small_vit()).predict(images) for p in (out, alone))
    for this, other in zip(found, expected, strict=True):
        assert this.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["vit", "bert"])
@pytest.mark.parametrize(
    ("num", "options"),
    [
        (2, {"fsdp": True}),
        (2, {"tensor_parallel_size": 2}),
        (4, {"tensor_parallel_size": 2}),
        (4, {"tensor_parallel_size": 2, "fsdp": True}),
    ],
    ids=["fsdp", "tensor", "tensor and data", "tensor and fsdp"],
)
def test_every_way_to_split_is_stopped_and_one_process_goes_on(
    cache, tmp_path, network, num, options
):
    fate = {"network": network, "recipe": "averaged"}
    whole, out = tmp_path / "whole", tmp_path / "run"
    codes, said = end(start(cache, whole, 1, **fate))
    assert codes == [0], said
    saved = stop_at(cache, out, {**fate, "options": options}, signal.SIGTERM, rank=1, num=num)
    codes, said = end(start(cache, out, 1, **fate, resume=True))
    assert codes == [0], said
    one, resumed = told(whole, "0.0"), told(out, "0.0")
    assert sorted(map(int, resumed["ids"])) == list(range(saved, NUM_STEPS))
    for step, ids in resumed["ids"].items():
        assert ids == one["ids"][step]
    assert_close(out, whole)


@pytest.mark.slow
def test_who_has_fewer_samples_runs_as_many_passes(cache, tmp_path):
    one, out = tmp_path / "one", tmp_path / "run"
    fate, sizes = {"network": "vit", "recipe": "averaged"}, {"batch_size": 7, "micro_batch_size": 1}
    codes, said = end(start(cache, one, 1, **fate, options=sizes))
    assert codes == [0], said
    codes, said = end(start(cache, out, 2, **fate, options={**sizes, "fsdp": True}))
    assert codes == [0, 0], said
    parts = [told(out, f"{rank}.0")["ids"]["3"] for rank in (0, 1)]
    assert parts[0] + parts[1][:3] == told(one, "0.0")["ids"]["3"]
    assert parts[1][3:] == parts[1][2:3]  # once more, of no weight
    assert_close(out, one)


@pytest.mark.slow
def test_too_little_memory_ends_all_with_a_sentence(cache, tmp_path):
    codes, said = end(start(cache, tmp_path / "run", 2, **SPLIT, memory=[1, 3]))
    assert codes == [9, 6], said
    assert "a smaller --micro-batch-size" in said[1]
    assert "2 processes that train together has left" in said[0]


@pytest.mark.slow
def test_adapters_and_the_last_layers_learn_too_where_weights_are_split(cache, tmp_path):
    for strategy in ("lora", "last-n", "gradual"):
        # a probe on random features has huge weights: a larger rate blows up the last bits
        learned = {
            "views": 0,
            "strategy": strategy,
            "learning_rate": 1e-5,
            "bottom_multiplier": 0.5,
        }
        losses = []
        for num, options in ((1, {}), (2, {"fsdp": True})):
            out = tmp_path / f"{strategy}-{num}"
            fate = {"network": "vit", "recipe": "averaged", "options": {**learned, **options}}
            codes, said = end(start(cache, out, num, **fate))
            assert codes == [0] * num, said
            losses.append(told(out, "0.0")["losses"])
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        assert losses[0][-1] < losses[0][0]


@pytest.mark.slow
def test_the_same_with_all_that_has_a_state_and_two_kills(cache, tmp_path):
    fate = {**SPLIT, "recipe": "everything", "poison": [1, 5], "checkpoint_seconds": 0.0}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = elastic(cache, whole, restarts=0, **fate)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Step 5 gave a loss that is not finite" in (whole / "log.jsonl").read_text()
    done = elastic(cache, killed, restarts=2, killed={"0": [1, 15], "1": [0, 27]}, **fate)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in (0, 1):
        assert told(killed, f"{rank}.2")["last"] == told(whole, f"{rank}.0")["last"]
    assert digest(killed) == digest(whole)


@pytest.mark.slow
def test_a_damaged_shard_is_named_and_stepped_over_by_all(cache, tmp_path, split):
    out = tmp_path / "run"
    fate = {**SPLIT, "checkpoint_seconds": 0.0}
    stop_at(cache, out, fate, signal.SIGTERM, rank=0)
    former, newest = sorted(out.glob("state/step_*"))
    shard = newest / "shard-00002-model-00001-of-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    codes, said = end(start(cache, out, 2, **SPLIT, resume=True))
    assert codes == [0, 0], said
    log = (out / "log.jsonl").read_text()
    assert f"{newest.name} is damaged ({shard.name} has the wrong digest)" in log
    began = int(former.name.removeprefix("step_"))
    assert min(map(int, told(out, "1.0")["ids"])) == began
    assert digest(out) == digest(split)
