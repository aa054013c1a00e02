"""Who takes part: what a launcher must say, and which device each process gets."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributed import HashStore

from headstart.errors import DeviceError, HeadstartError, OptionError
from headstart.recipes.launching import is_worker
from headstart.recipes.processes import (
    _obey,
    after_restart,
    company_of,
    finished_before,
    launch_name,
)
from headstart.training.batches.order import Share
from headstart.training.company import ALONE, Alone
from headstart.training.processes.company import Several
from headstart.training.processes.launch import join, own_device
from headstart.tuning.worker import Worker


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)


def member(store, rank):
    """Return a process of two as far as its messages go."""
    company = object.__new__(Several)
    company.rank, company.size, company._store, company._num_messages = rank, 2, store, 0
    return company


def test_what_the_main_process_says_alone_is_an_error_in_a_worker_and_not_dropped(monkeypatch):
    did = []
    monkeypatch.setattr(Worker, "__init__", lambda self, *args: did.append("data"))
    monkeypatch.setattr(Worker, "build", lambda self, message: did.append(message["start"]))
    store = HashStore()
    main, worker = member(store, 0), member(store, 1)
    main.send("data", fingerprint="abc")
    main.send("setup", start="scratch/linear")
    assert main.agree_on(lambda: 3) == 3  # nobody else is at that place
    main.send("done", path="run")
    data = SimpleNamespace(name="photos", fingerprint="abc")
    with pytest.raises(HeadstartError) as caught:
        _obey(worker, lambda: data, lambda: (None, None), None)
    assert did == ["data", "scratch/linear"]
    assert "says 'value' and this one waits for what to do next; expected" in str(caught.value)
    assert "Start all processes with the same command and version" in str(caught.value)


def test_a_worker_that_has_no_data_yet_is_not_told_to_train():
    store = HashStore()
    main, worker = member(store, 0), member(store, 1)
    main.send("train", limit=None)
    with pytest.raises(HeadstartError, match="says 'train' and this one waits for what"):
        _obey(worker, lambda: None, lambda: (None, None), None)


@pytest.mark.parametrize("last", [{"kind": "done", "path": "run"}, {"kind": "ended", "code": 3}])
def test_the_last_message_ends_a_worker(last):
    store = HashStore()
    main, worker = member(store, 0), member(store, 1)
    main.send(**last)
    assert _obey(worker, lambda: None, lambda: (None, None), None) == last


@pytest.mark.parametrize(("num_samples", "num"), [(63, 2), (64, 4), (5, 5), (7, 3)])
def test_shares_are_neighbours_that_differ_by_one_and_leave_nothing_out(num_samples, num):
    indices = np.random.default_rng(0).permutation(num_samples)
    shares = [Share(rank, num).of(indices) for rank in range(num)]
    assert np.array_equal(np.concatenate(shares), indices)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_a_process_alone_joins_nobody(monkeypatch):
    with company_of("cpu") as company:
        assert isinstance(company, Alone)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with company_of("cpu") as company:
        assert isinstance(company, Alone)
        assert company.device == torch.device("cpu")
    assert not is_worker()


def test_a_launcher_that_says_too_little_is_told_what_is_missing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(OptionError, match="MASTER_ADDR, MASTER_PORT are not set"):
        join("cpu")


@pytest.mark.parametrize(
    ("rank", "said"), [("2", "RANK is 2 and WORLD_SIZE 2"), ("one", "RANK is 'one'")]
)
def test_a_rank_that_makes_no_sense_is_refused(monkeypatch, rank, said):
    variables = {"WORLD_SIZE": "2", "RANK": rank, "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=said):
        join("cpu")


def test_each_process_takes_the_gpu_of_its_number(monkeypatch, heard):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("auto") == own_device("cuda") == torch.device("cuda", 1)
    assert chosen == [torch.device("cuda", 1)] * 2
    assert own_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="expected auto, cuda or cpu") as changed:
        own_device("cuda:1")
    heard(changed.value)  # what it expects was asked for above
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(DeviceError, match=r"has no GPU of its own \(2 found\)") as alone:
        own_device("cuda")
    assert own_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert own_device("cuda") == torch.device("cuda", 0)
    heard(alone.value)


def test_the_first_life_does_what_the_user_said(tmp_path):
    for said in ((False, False), (True, False), (False, True)):
        found = after_restart(tmp_path, {"seed": 0}, resume=said[0], overwrite=said[1])
        assert found == said


def test_a_later_life_goes_on_with_the_same_plan_and_with_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")

    def meant(**said):
        return after_restart(tmp_path / "run", said, resume=False, overwrite=False)

    state = tmp_path / "run" / "state"
    assert meant(seed=0) == (False, False)  # nothing stands there
    state.mkdir(parents=True)
    (state / "lock").write_text("1")
    assert meant(seed=0) == (False, True)  # claimed by the life before, and nothing more
    (state / "plan.json").write_text('{"options": {"seed": 0}}')
    assert meant(seed=0) == (True, False)
    assert meant(seed=1) == (False, False)  # somebody else's: refused as in a first attempt
    assert meant(seed=0, num_workers=2) == (True, False)  # changes no result, as on a resume


def test_a_resumed_run_that_dies_before_it_writes_its_plan_is_resumed_again(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "plan.json").write_text('{"options": {"seed": 1}}')
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    # what differs is for the session to name; to forget --resume would ask for it in vain
    assert after_restart(tmp_path, {"seed": 0}, resume=True, overwrite=False) == (True, False)


def test_a_finished_run_is_found_again_by_the_launch_that_made_it_and_no_other(
    tmp_path, monkeypatch
):
    out = tmp_path / "run"
    out.mkdir()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    record = {"verb": "finetune", "options": {"seed": 0}, "launch": launch_name()}
    (out / "options.json").write_text(json.dumps(record))
    (out / "report.html").write_text("")

    def found(seed=0, verb="finetune"):
        return finished_before(out, verb, {"seed": seed}, ALONE)

    assert found() is None  # a first attempt finds a folder that is occupied
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert found() == out
    assert found(seed=1) is None
    assert found(verb="fit") is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another")
    assert found() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    (out / "state").mkdir()
    assert found() is None  # unfinished: after_restart goes on with it


def test_a_launch_without_a_name_is_named_by_its_launcher(monkeypatch):
    assert launch_name() is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert str(os.getppid()) in str(launch_name())
