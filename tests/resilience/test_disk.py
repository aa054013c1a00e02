"""The disk: what a save asks of the kernel, and a disk that is full in the middle of a run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAVE = """
from pathlib import Path
import sys, torch
from headstart.training.state.checkpoint import CheckpointFolder
folder = CheckpointFolder(Path(sys.argv[1]))
print("saving", file=sys.stderr, flush=True)
folder.save(7, {"w": torch.ones(1000)}, {"loop": {}})
"""


def test_the_kernel_sees_files_synced_then_the_folder_then_the_rename_then_the_parent(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not on this machine")
    trace = tmp_path / "trace"
    calls = "trace=openat,fsync,rename,renameat,renameat2"
    command = [strace, "-f", "-y", "-o", str(trace), "-e", calls, sys.executable, "-c", SAVE]
    done = subprocess.run([*command, str(tmp_path / "state")], capture_output=True, check=False)
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("this container forbids ptrace")
    assert done.returncode == 0, done.stderr
    seen = []
    for line in trace.read_text().splitlines():
        if found := re.search(r"fsync\(\d+<(.+?)>\)", line):
            seen.append(("fsync", found[1]))
        elif found := re.search(r"rename\w*\(.*?, .*?\"(.+?/state/.+?)\"", line):
            seen.append(("rename", found[1]))
    root = str(tmp_path / "state")
    partial = re.escape(root) + r"/\.tmp-step_00000007-\d+"
    names = ("tensors.safetensors", "state.json", "MANIFEST.json")
    expected = [
        *[("fsync", partial + "/" + re.escape(name)) for name in names],
        ("fsync", partial),
        ("rename", re.escape(root) + "/step_00000007"),
        ("fsync", re.escape(root)),
    ]
    assert len(seen) == len(expected), seen
    for (call, path), (wanted, pattern) in zip(seen, expected, strict=True):
        assert call == wanted
        assert re.fullmatch(pattern, path), (path, pattern)


FULL = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
from tiny_training import Training, short_recipe
from headstart.errors import RunFolderError
from headstart.training.state.checkpoint import CheckpointFolder

class Wide(Training):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        # two and a half of these fit the disk, so neither a third checkpoint nor a half one
        self.module.register_buffer("ballast", torch.zeros(100_000))

folder = Path(sys.argv[1])
first = Wide(short_recipe())
first.stop_at = 3
first.run(CheckpointFolder(folder / "state"))
(folder / "someone elses").write_bytes(bytes(300_000))
try:
    Wide(short_recipe()).run(CheckpointFolder(folder / "state"), checkpoint_seconds=0.0)
except RunFolderError as error:
    print(error)
    print(*sorted(os.listdir(folder / "state")))
(folder / "someone elses").unlink()
resumed = Wide(short_recipe())
result = resumed.run(CheckpointFolder(folder / "state"))
print(result.ended, result.state.step, resumed.digest())
whole = Wide(short_recipe())
whole.run()
print(whole.digest())
"""


def test_a_disk_that_fills_up_keeps_the_checkpoint_before_and_the_run_goes_on_from_it(tmp_path):
    """A file system of one megabyte, in a mount namespace of its own; needs root."""
    mount = ["unshare", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*mount, script, "sh", "true"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    training = str(Path(__file__).parents[1] / "training")
    done = subprocess.run(
        [*mount, script, "sh", sys.executable, "-c", FULL, str(tmp_path), training],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    sentence, kept, resumed, whole = done.stdout.splitlines()
    assert re.search(
        r"step 4 cannot be written to .*state \(No space left on device; [\d.]+ kB are needed\); "
        r"earlier ones are intact.*--resume",
        sentence,
    )
    assert kept == "step_00000003"
    assert resumed.split() == ["finished", "20", whole]
