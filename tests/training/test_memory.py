"""How much memory is free: the machine's own word, and that of every control group around us."""

import os

import numpy as np
import pytest
import torch

from headstart.training.machine.memory import (
    free_memory_bytes,
    free_swap_bytes,
    give_back_freed_memory,
    is_out_of_memory,
    keep_freed_memory,
)

MB = 2**20


def machine(root, available_mb=4_000, groups="0::/\n", swap_mb=0):
    """Write what the kernel tells of a machine."""
    (root / "proc" / "self").mkdir(parents=True)
    table = f"MemTotal: {2**24} kB\nMemAvailable: {available_mb * 1024} kB\n"
    (root / "proc" / "meminfo").write_text(f"{table}SwapFree: {swap_mb * 1024} kB\n")
    (root / "proc" / "self" / "cgroup").write_text(groups)


def group(root, path, limit, used, cache=0, version=2):
    """Write what a control group tells; sizes in MB."""
    top = root / "sys" / "fs" / "cgroup"
    folder = top / path if version == 2 else top / "memory" / path
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else V1
    said = limit if isinstance(limit, str) else str(limit * MB)
    (folder / names[0]).write_text(said + "\n")
    (folder / names[1]).write_text(f"{used * MB}\n")
    prefix = "" if version == 2 else "total_"
    stat = f"anon 1\n{prefix}inactive_file {cache * MB}\n{prefix}active_file {cache * MB}\n"
    (folder / "memory.stat").write_text(stat)


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_without_limits_it_is_what_the_machine_has(tmp_path):
    machine(tmp_path, swap_mb=7)
    group(tmp_path, "", "max", 100)
    assert free_memory_bytes(tmp_path) == 4_000 * MB
    assert free_swap_bytes(tmp_path) == 7 * MB


def test_a_containers_limit_counts_and_its_file_cache_does_not(tmp_path):
    machine(tmp_path)
    group(tmp_path, "", 1_000, 700, cache=50)
    assert free_memory_bytes(tmp_path) == 400 * MB


def test_the_tightest_group_around_the_process_counts(tmp_path):
    machine(tmp_path, groups="0::/slurm/job_7/step_0\n")
    group(tmp_path, "slurm", "max", 3_000)
    group(tmp_path, "slurm/job_7", 2_000, 500)
    group(tmp_path, "slurm/job_7/step_0", "max", 400)
    assert free_memory_bytes(tmp_path) == 1_500 * MB


def test_a_group_of_version_1_is_read_too_and_no_limit_is_none(tmp_path):
    machine(tmp_path, groups="3:cpuset:/\n4:cpu,memory:/pod\n0::/\n")
    group(tmp_path, "pod", 900, 400, cache=10, version=1)
    group(tmp_path, "", str(2**63 - 4096), 400, version=1)
    assert free_memory_bytes(tmp_path) == 520 * MB


def test_a_group_named_by_the_world_outside_is_found_at_the_top(tmp_path):
    """As in a container whose /proc/self/cgroup tells the host's path."""
    machine(tmp_path, groups="0::/kubepods/pod1/abc\n")
    group(tmp_path, "", 600, 100)
    assert free_memory_bytes(tmp_path) == 500 * MB


def test_the_tightest_limit_on_swap_counts(tmp_path):
    machine(tmp_path, groups="0::/pod/one\n", swap_mb=900)
    limits = {"": ("max", 500), "pod": (300, 100), "pod/one": (250, 20)}
    for path, (limit, used) in limits.items():
        group(tmp_path, path, "max", 0)
        folder = tmp_path / "sys" / "fs" / "cgroup" / path
        said = limit if isinstance(limit, str) else limit * MB
        (folder / "memory.swap.max").write_text(f"{said}\n")
        (folder / "memory.swap.current").write_text(f"{used * MB}\n")
    assert free_swap_bytes(tmp_path) == 200 * MB
    (folder / "memory.swap.max").write_text("0\n")  # as Kubernetes has it
    assert free_swap_bytes(tmp_path) == 0
    assert free_memory_bytes(tmp_path) == 4_000 * MB


def test_what_is_used_beyond_the_limit_leaves_nothing(tmp_path):
    machine(tmp_path)
    group(tmp_path, "", 100, 130)
    assert free_memory_bytes(tmp_path) == 0


def test_where_the_system_does_not_tell_it_is_unknown(tmp_path, monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown, raising=False)
    assert free_memory_bytes(tmp_path) is None
    assert free_swap_bytes(tmp_path) == 0
    monkeypatch.setattr(os, "sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.get)
    assert free_memory_bytes(tmp_path) == 40_960


def test_this_machine_tells_something_plausible():
    found = free_memory_bytes()
    assert found is None or 2**20 < found < 2**50


@pytest.mark.skipif(not keep_freed_memory(), reason="glibc alone keeps and gives back")
def test_what_was_freed_is_given_back():
    import torch

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    keep_freed_memory()
    blocks = [torch.ones(2**20) for _ in range(50)]
    del blocks
    before = resident()
    give_back_freed_memory()
    assert resident() < before - 100 * MB


def test_a_lack_of_memory_is_known_by_type_or_by_words():
    for allocate in (lambda: torch.empty(2**60, dtype=torch.uint8), lambda: np.empty(2**60, "u1")):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(MemoryError())
    for words in ("MPS backend out of memory (MPS allocated", "CUDA error: out of memory\nsome"):
        assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
