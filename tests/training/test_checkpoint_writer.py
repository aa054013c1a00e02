"""Saving in the background: what is on the disk is what was, and nothing goes wrong in silence."""

import os
import threading

import pytest
import torch

from headstart.errors import RunFolderError
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.state.writer import CheckpointWriter


class Gate:
    """A disk that waits at the first fsync of a save until it is let go."""

    def __init__(self, monkeypatch):
        self.reached, self.open = threading.Event(), threading.Event()
        self.fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor):
        self.reached.set()
        assert self.open.wait(200)
        self.fsync(descriptor)


@pytest.fixture
def gate(monkeypatch):
    made = Gate(monkeypatch)
    yield made
    made.open.set()


def test_save_returns_before_it_is_written_and_keeps_what_was(tmp_path, gate):
    folder = CheckpointFolder(tmp_path)
    writer = CheckpointWriter(folder)
    weights = torch.arange(50_000.0)
    writer.save(3, {"w": weights}, {"step": 3})
    weights.zero_()  # the training goes on
    assert gate.reached.wait(200)
    assert writer.is_busy
    assert writer.written() == []
    assert not list(tmp_path.glob("step_*"))
    gate.open.set()
    assert writer.wait() == [3]
    assert not writer.is_busy
    assert torch.equal(folder.newest().tensors["w"], torch.arange(50_000.0))


def test_a_second_save_waits_in_memory_of_its_own_and_a_third_for_the_first(tmp_path, gate):
    folder = CheckpointFolder(tmp_path)
    writer = CheckpointWriter(folder)
    weights = torch.zeros(100)
    for step in (1, 2):
        weights.fill_(step)
        writer.save(step, {"w": weights}, {})
    assert not gate.open.is_set()  # neither waited for the disk
    assert gate.reached.wait(200)
    threading.Timer(0.3, gate.open.set).start()
    weights.fill_(3)
    writer.save(3, {"w": weights}, {})
    assert gate.open.is_set()  # this one did
    writer.wait()
    assert sorted(os.listdir(tmp_path)) == ["step_00000002", "step_00000003"]
    assert folder.newest().tensors["w"].eq(3).all()
    (tmp_path / "step_00000003" / "state.json").write_text("damaged")
    assert folder.newest().tensors["w"].eq(2).all()


def test_one_piece_of_memory_does_where_saves_do_not_meet(tmp_path):
    writer = CheckpointWriter(CheckpointFolder(tmp_path))
    for step in range(4):
        writer.save(step, {"w": torch.ones(100)}, {})
        writer.wait()
    assert sorted(file.num_bytes > 0 for file in writer._free) == [False, True]


def test_a_failed_write_is_raised_at_the_next_question_and_only_once(tmp_path, monkeypatch, heard):
    folder = CheckpointFolder(tmp_path)
    writer = CheckpointWriter(folder)
    writer.save(1, {"w": torch.ones(10)}, {})
    assert writer.wait() == [1]

    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        writer.save(2, {"w": torch.ones(1_000_000)}, {})  # returns: nothing is known yet
        writer.settle()
        with pytest.raises(
            RunFolderError, match=r"step 2 cannot.*No space left.*4\.0 MB are need"
        ) as told:
            writer.written()
    assert writer.written() == []
    assert os.listdir(tmp_path) == ["step_00000001"]
    writer.save(3, {"w": torch.ones(10)}, {})
    assert writer.wait() == [3]  # with space again, as advised
    heard(told.value)


def test_a_step_saved_before_is_refused_in_the_background_too(tmp_path):
    writer = CheckpointWriter(CheckpointFolder(tmp_path))
    for _ in range(2):
        writer.save(1, {"w": torch.ones(1)}, {})
    with pytest.raises(FileExistsError, match="saved once"):
        writer.wait()


def test_memory_made_ready_before_is_what_the_first_save_uses(tmp_path):
    writer = CheckpointWriter(CheckpointFolder(tmp_path))
    weights = {"w": torch.arange(1000.0)}
    writer.prepare(weights)
    assert writer.wait() == []  # nothing was written
    assert not os.listdir(tmp_path)
    place = writer._free[0]._memory.data_ptr()
    writer.save(5, weights, {})
    assert writer.wait() == [5]
    assert writer._free[0]._memory.data_ptr() == place
    assert torch.equal(writer.folder.newest().tensors["w"], weights["w"])


def test_what_cannot_be_made_ready_is_told_at_the_next_question(tmp_path):
    writer = CheckpointWriter(CheckpointFolder(tmp_path))
    writer.prepare({"z": torch.zeros(1, dtype=torch.complex64)})
    with pytest.raises(TypeError, match="complex64"):
        writer.wait()
