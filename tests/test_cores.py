"""How many cores may be used: the affinity's, or fewer where a container has a quota."""

import os
import subprocess
import sys

import pytest

from headstart import cores
from headstart.cores import has_bf16_units, limit_threads, too_few_addresses, usable_cores
from headstart.errors import DeviceError
from headstart.recipes import processes


@pytest.fixture(autouse=True)
def _machine_of_eight(monkeypatch):
    monkeypatch.setattr(cores, "_allowed_cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)


def machine(root, groups):
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)


def group(root, path, said):
    """Write a group's quota: a line of version 2, or quota and period of version 1."""
    if isinstance(said, str):
        (root / "sys/fs/cgroup" / path).mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / path / "cpu.max").write_text(f"{said}\n")
        return
    folder = root / "sys/fs/cgroup/cpu" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(("cpu.cfs_quota_us", "cpu.cfs_period_us"), said, strict=True):
        (folder / name).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("said", "num"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),  # rounded up: a core and a half keep two threads busy
        ("10000 100000", 1),
        ("1600000 100000", 8),  # more than there are
        ("", 8),
        ("0 0", 8),
        ("nonsense", 8),
    ],
)
def test_a_quota_of_version_2_counts_in_whole_cores(tmp_path, said, num):
    machine(tmp_path, "0::/\n")
    group(tmp_path, "", said)
    assert usable_cores(tmp_path) == num


@pytest.mark.parametrize(
    ("said", "num"), [((-1, 100_000), 8), ((250_000, 100_000), 3), ((50_000, 0), 8)]
)
def test_a_quota_of_version_1_counts_too(tmp_path, said, num):
    machine(tmp_path, "9:name=systemd:/\n2:cpuacct,cpu:/docker/1f\n4:memory:/x\n0::/\n")
    group(tmp_path, "", said)  # a container shows its own group as the top
    assert usable_cores(tmp_path) == num


def test_the_tightest_group_around_the_process_counts(tmp_path):
    machine(tmp_path, "0::/slurm/job_7/step_0\n")
    group(tmp_path, "slurm", "600000 100000")
    group(tmp_path, "slurm/job_7", "300000 100000")
    group(tmp_path, "slurm/job_7/step_0", "max 100000")
    group(tmp_path, "slurm/job_8", "100000 100000")  # somebody else's
    assert usable_cores(tmp_path) == 3


def test_where_nothing_is_told_it_is_the_affinity(tmp_path):
    assert usable_cores(tmp_path) == 8


def test_this_machine_has_at_least_one_core_and_no_more_than_all(monkeypatch):
    monkeypatch.undo()
    assert 1 <= usable_cores() <= os.cpu_count()


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_of_threads_that_the_user_has_set_stands(tmp_path, monkeypatch, name):
    machine(tmp_path, "0::/\n")
    group(tmp_path, "", "200000 100000")
    monkeypatch.setenv(name, "5")
    limit_threads(tmp_path)
    assert os.environ[name] == "5"
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys() == {name}


def test_without_a_quota_no_number_is_set(tmp_path):
    machine(tmp_path, "0::/\n")
    group(tmp_path, "", "max 100000")
    limit_threads(tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_threads_spin_shortly_unless_the_user_says_how(tmp_path, monkeypatch, name):
    machine(tmp_path, "0::/\n")
    limit_threads(tmp_path)
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv(name, "active")
    limit_threads(tmp_path)
    assert {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() == {name}


STARTED = """
import sys
from pathlib import Path
from headstart import cli, cores
cli.limit_threads = lambda: cores.limit_threads(Path(sys.argv[1]))
cli.main(["--version"])
import torch
print(torch.get_num_threads())
"""


def test_a_command_lowers_the_threads_of_torch_to_the_quota(tmp_path):
    machine(tmp_path, "0::/\n")
    group(tmp_path, "", "70000 100000")  # of any machine with two cores it takes one away
    command = [sys.executable, "-c", STARTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"


def test_units_for_bf16_are_told_by_the_flags_and_a_limit_forbids_them(tmp_path, monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "proc").mkdir()
    told = tmp_path / "proc/cpuinfo"
    assert not has_bf16_units(tmp_path)
    told.write_text("model name : One\nflags : fpu avx512f avx512_vnni\n")
    assert not has_bf16_units(tmp_path)
    for flag in ("avx512_bf16", "amx_bf16"):
        told.write_text(f"model name : One\nflags : fpu avx512f {flag}\n")
        assert has_bf16_units(tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni")
    assert not has_bf16_units(tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core_amx")
    assert has_bf16_units(tmp_path)


def test_a_limit_of_addresses_that_is_nearly_taken_is_refused_and_a_higher_one_is_not(
    tmp_path, monkeypatch, heard
):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    pages = 3 * 10**9 // os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "proc" / "self" / "statm").write_text(f"{pages} 1 1")
    monkeypatch.setattr(cores, "_address_limit", lambda: 3_900_000_000)
    told = too_few_addresses(tmp_path)
    assert "a limit of 3.9 GB is set): 3.0 GB of addresses are taken" in told
    assert too_few_addresses(tmp_path / "elsewhere") is None
    for limit in (4_100_000_000, None):
        monkeypatch.setattr(cores, "_address_limit", lambda limit=limit: limit)
        assert too_few_addresses(tmp_path) is None
    heard(told)
    monkeypatch.setattr(processes, "too_few_addresses", lambda: told)
    with pytest.raises(DeviceError, match="Raise the limit"):
        processes.company_of("cpu")
