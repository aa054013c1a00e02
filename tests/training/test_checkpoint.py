"""A checkpoint is whole and verified, or it is not there."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from headstart.errors import RunFolderError
from headstart.events import listen
from headstart.training.state.checkpoint import (
    CheckpointFolder,
    _verify,
    optimizer_tensors,
    restore_optimizer,
)


def save(folder, step):
    folder.save(step, {"weight": torch.full((4, 4), float(step))}, {"loop": {"step": step}})


def notes_of(action):
    notes = []
    with listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        result = action()
    return result, notes


def test_newest_gives_back_what_was_saved(tmp_path):
    folder = CheckpointFolder(tmp_path / "state")
    tensors = {
        "a": torch.arange(6, dtype=torch.float32).view(2, 3).t(),
        "b": torch.tensor(3),
        "c": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    folder.save(7, tensors, {"loop": {"best": float("-inf")}, "name": "é"})
    found = folder.newest()
    assert found.step == 7
    assert found.state == {"loop": {"best": float("-inf")}, "name": "é"}
    for name, value in tensors.items():
        assert torch.equal(found.tensors[name], value)
        assert found.tensors[name].dtype == value.dtype


def test_an_empty_or_missing_folder_has_no_checkpoint(tmp_path):
    assert CheckpointFolder(tmp_path).newest() is None
    assert CheckpointFolder(tmp_path / "missing").newest() is None


def test_only_the_newest_two_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 5, 9, 200):
        save(folder, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000009", "step_00000200"]
    assert folder.newest().step == 200


def test_a_step_is_saved_once(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 3)
    with pytest.raises(FileExistsError, match="saved once"):
        save(folder, 3)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("damage", [flip, cut, os.remove, lambda p: p.write_bytes(b"")])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "MANIFEST.json"])
def test_a_damaged_checkpoint_is_named_and_stepped_over(tmp_path, damage, name):
    folder = CheckpointFolder(tmp_path)
    save(folder, 1)
    save(folder, 2)
    damage(tmp_path / "step_00000002" / name)
    found, notes = notes_of(folder.newest)
    assert found.step == 1
    assert torch.equal(found.tensors["weight"], torch.ones(4, 4))
    assert len(notes) == 1
    assert "step_00000002" in notes[0]
    assert "damaged" in notes[0]
    save(folder, 2)  # the run takes this step again
    assert folder.newest().step == 2


def test_a_manifest_that_names_nothing_does_not_verify(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 1)
    (tmp_path / "step_00000001" / "MANIFEST.json").write_text("{}")
    found, notes = notes_of(folder.newest)
    assert found is None
    assert "files are missing" in notes[0]


def test_what_a_crash_left_is_swept_up(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 1)
    left = tmp_path / ".tmp-step_00000002-999"
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    assert folder.newest().step == 1
    assert not left.exists()


def test_a_full_disk_is_told_and_leaves_earlier_checkpoints(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    save(folder, 1)

    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(RunFolderError, match=r"step 2 cannot be written.*No space left.*resum"):
            save(folder, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["step_00000001"]
    assert folder.newest().step == 1


def test_a_disk_that_really_is_full_gives_the_same_sentence(tmp_path):
    # the kernel's own limit on the size of a file, set in a process of its own
    program = f"""
import resource, signal, torch
from pathlib import Path
from headstart.errors import RunFolderError
from headstart.training.state.checkpoint import CheckpointFolder
folder = CheckpointFolder(Path({str(tmp_path)!r}))
folder.save(1, {{"w": torch.ones(10)}}, {{}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    folder.save(2, {{"w": torch.ones(100_000)}}, {{}})
except RunFolderError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "step 2 cannot be written" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["step_00000001"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_a_restored_optimizer_goes_on_exactly_as_the_first(tmp_path, kind, layout):
    """The fused kernels walk raw memory: a restored state must also lie there as it did."""

    def build(module):
        if kind == "sgd":
            return torch.optim.SGD(
                module.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True
            )
        cls = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        return cls(module.parameters(), lr=0.1, fused=True)

    def step(module, optimizer, seed):
        images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        module(images.to(memory_format=layout)).square().mean().backward()
        optimizer.step()

    torch.manual_seed(0)
    first = nn.Conv2d(3, 5, 3).to(memory_format=layout)
    optimizer = build(first)
    for seed in range(3):
        step(first, optimizer, seed)
    folder = CheckpointFolder(tmp_path)
    folder.save(3, optimizer_tensors(optimizer), {})
    second = copy.deepcopy(first)
    other = build(second)
    restore_optimizer(other, folder.newest().tensors)
    for (name, value), (_, restored) in zip(
        sorted(optimizer_tensors(optimizer).items()),
        sorted(optimizer_tensors(other).items()),
        strict=True,
    ):
        assert torch.equal(value, restored), name
        assert value.dtype == restored.dtype
    for seed in range(3, 6):
        step(first, optimizer, seed)
        step(second, other, seed)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_the_manifest_holds_size_and_digest_of_each_file(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 1)
    manifest = json.loads((tmp_path / "step_00000001" / "MANIFEST.json").read_text())
    assert manifest.keys() == {"tensors.safetensors", "state.json"}
    size = (tmp_path / "step_00000001" / "state.json").stat().st_size
    assert manifest["state.json"]["bytes"] == size


def test_the_step_decides_which_is_newest_whatever_the_clocks_say(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 99_999_999)
    save(folder, 100_000_000)  # one digit more than the names are wide
    os.utime(tmp_path / "step_99999999", (2e9, 2e9))
    os.utime(tmp_path / "step_100000000", (0, 0))
    assert folder.newest().step == 100_000_000
    save(folder, 100_000_001)
    assert sorted(os.listdir(tmp_path)) == ["step_100000000", "step_100000001"]


def test_an_empty_step_folder_is_named_and_stepped_over(tmp_path):
    folder = CheckpointFolder(tmp_path)
    save(folder, 4)
    (tmp_path / "step_00000009").mkdir()
    (tmp_path / "step_of_someone_else").mkdir()
    found, notes = notes_of(folder.newest)
    assert found.step == 4
    assert len(notes) == 1
    assert "step_00000009 is damaged (FileNotFoundError" in notes[0]
    assert (tmp_path / "step_of_someone_else").is_dir()


def test_every_single_flipped_byte_is_found(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(1, {"w": torch.arange(3.0)}, {"a": 1})
    for path in sorted((tmp_path / "step_00000001").iterdir()):
        if path.name == "MANIFEST.json":
            continue
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert _verify(path.parent) == f"{path.name} has the wrong digest"
        path.write_bytes(content)
    assert _verify(tmp_path / "step_00000001") is None
