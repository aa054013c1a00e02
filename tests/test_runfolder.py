"""The run folder: claimed by one process, written atomically, never lost, never half-written."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from headstart.errors import OptionError, RunFolderError
from headstart.storage.records import read_log
from headstart.storage.run_folder import RunFolder, is_claimed_only, write_atomically

FINISHED = ("model.safetensors", "model.json", "metrics.json", "report.html", "log.jsonl")


def make_finished(path: Path, word: str = "old") -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name in FINISHED:
        (path / name).write_text(f'"{word} {name}"')


def make_unfinished(path: Path) -> None:
    (path / "state" / "step_00000003").mkdir(parents=True)
    (path / "state" / "step_00000003" / "state.json").write_text("{}")
    (path / "state" / "plan.json").write_text("{}")


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


class Failure(Exception):
    pass


def fail_after(path: Path, *actions, **options) -> None:
    """Open a run folder, do something in it, and fail."""

    def work():
        with RunFolder(path, **options) as folder:
            for action in actions:
                action(folder)
            raise Failure

    with pytest.raises(Failure):
        work()


def test_a_new_folder_is_made_with_its_parents_and_finished(tmp_path):
    with RunFolder(tmp_path / "a" / "b") as folder:
        folder.write("model.json", b"{}")
        folder.log({"kind": "note"})
        folder.finish()
    assert names(tmp_path / "a" / "b") == ["log.jsonl", "model.json"]


def test_a_folder_that_is_not_empty_is_refused_with_the_ways_out(tmp_path):
    make_finished(tmp_path)
    with pytest.raises(RunFolderError) as caught:
        RunFolder(tmp_path)
    said = str(caught.value)
    assert "is not empty (log.jsonl, metrics.json, model.json)" in said
    assert "--overwrite" in said
    assert "--resume" not in said  # there is nothing to resume
    assert names(tmp_path) == sorted(FINISHED)


def test_an_unfinished_run_is_refused_with_the_hint_to_resume(tmp_path):
    make_unfinished(tmp_path)
    with pytest.raises(RunFolderError, match=r"Add --resume to go on with it, or --overwrite"):
        RunFolder(tmp_path)


def test_resume_goes_on_with_an_unfinished_run_only(tmp_path):
    make_unfinished(tmp_path / "run")
    with RunFolder(tmp_path / "run", resume=True) as folder:
        assert (folder.state / "step_00000003").is_dir()
    make_finished(tmp_path / "done")
    with pytest.raises(RunFolderError, match="holds a finished run"):
        RunFolder(tmp_path / "done", resume=True)
    with pytest.raises(RunFolderError, match="holds no unfinished run"):
        RunFolder(tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_resume_and_overwrite_contradict_each_other(tmp_path):
    make_unfinished(tmp_path)
    with pytest.raises(OptionError, match="resume and overwrite are both set"):
        RunFolder(tmp_path, resume=True, overwrite=True)


def test_overwrite_refuses_files_that_headstart_did_not_write(tmp_path):
    make_finished(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"did not write \(thesis.tex\)"):
        RunFolder(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "model.json").exists()


def test_overwrite_replaces_the_former_run_once_a_new_model_stands(tmp_path):
    make_finished(tmp_path)
    with RunFolder(tmp_path, overwrite=True) as folder:
        assert names(tmp_path) == ["log.jsonl", "state"]  # nothing old and new side by side
        folder.write("model.safetensors", b"new")
        folder.write("model.json", b'"new"')
        folder.finish()
    assert names(tmp_path) == ["log.jsonl", "model.json", "model.safetensors"]
    assert (tmp_path / "model.json").read_text() == '"new"'


def test_an_overwriting_run_that_fails_early_gives_the_former_one_back(tmp_path):
    make_finished(tmp_path)
    fail_after(tmp_path, lambda folder: folder.log({"kind": "note"}), overwrite=True)
    assert names(tmp_path) == sorted(FINISHED)
    assert all((tmp_path / name).read_text() == f'"old {name}"' for name in FINISHED)


def test_an_overwriting_run_that_fails_late_keeps_its_own_model(tmp_path):
    make_finished(tmp_path)
    fail_after(
        tmp_path,
        lambda folder: folder.write("model.safetensors", b"new"),
        lambda folder: folder.write("model.json", b'"new"'),
        overwrite=True,
    )
    assert (tmp_path / "model.json").read_text() == '"new"'
    assert not (tmp_path / "metrics.json").exists()


def test_overwriting_an_unfinished_run_gives_its_state_back_on_failure(tmp_path):
    make_unfinished(tmp_path)
    seen = []
    fail_after(tmp_path, lambda folder: seen.extend(folder.state.glob("step_*")), overwrite=True)
    assert not seen
    assert (tmp_path / "state" / "step_00000003" / "state.json").exists()
    with RunFolder(tmp_path, resume=True) as folder:
        assert folder.read_json("state/plan.json") == {}


def test_overwriting_again_after_a_kill_keeps_the_first_run_until_a_model_stands(tmp_path):
    make_finished(tmp_path)
    program = (
        "import os; from headstart.storage.run_folder import RunFolder\n"
        f"folder = RunFolder({str(tmp_path)!r}, overwrite=True)\n"
        "folder.write('model.safetensors', b'half a run')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert not (tmp_path / "model.json").exists()
    fail_after(tmp_path, overwrite=True)
    assert names(tmp_path) == sorted(FINISHED)
    assert (tmp_path / "model.safetensors").read_text() == '"old model.safetensors"'


def test_what_a_killed_write_left_neither_blocks_nor_stays(tmp_path):
    make_unfinished(tmp_path)
    (tmp_path / ".model.safetensors.tmp-123").write_bytes(b"half")
    with RunFolder(tmp_path, overwrite=True):
        assert names(tmp_path) == ["log.jsonl", "state"]


HOLDER = """
import sys
from headstart.storage.run_folder import RunFolder
with RunFolder(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_use_is_refused_naming_the_process(tmp_path):
    path = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        for option in ("resume", "overwrite"):
            with pytest.raises(RunFolderError, match=f"written by process {holder.pid};"):
                RunFolder(path, **{option: True})
        assert names(path) == ["log.jsonl", "state"]
        holder.stdin.close()
    with RunFolder(path, overwrite=True):  # free again
        pass


MEETING = """
import sys
from headstart.errors import RunFolderError
from headstart.storage.run_folder import RunFolder
sys.stdin.readline()
try:
    with RunFolder(sys.argv[1]):
        print("has it", flush=True)
        sys.stdin.readline()
except RunFolderError as error:
    print(error, flush=True)
"""


def test_of_two_processes_that_meet_one_gets_the_folder_and_the_other_a_sentence(tmp_path):
    path = tmp_path / "a run of two"
    command = [sys.executable, "-c", MEETING, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        for process in (one, other):  # both have imported what they need
            process.stdin.write("go\n")
        for process in (one, other):
            process.stdin.flush()
        said = {process: process.stdout.readline() for process in (one, other)}
        for process in (one, other):
            process.stdin.close()
    first, refused = sorted(said.values(), key=lambda line: line != "has it\n")
    assert first == "has it\n"
    # the later one finds a folder that is being written, or already one with something in it
    assert "expected one process a run folder" in refused or "is not empty" in refused


def test_a_killed_process_holds_nothing_and_its_number_is_not_taken_for_a_holders(tmp_path):
    path = tmp_path / "run"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    assert is_claimed_only(path)
    with RunFolder(path, overwrite=True):
        with pytest.raises(RunFolderError, match=f"written by process {os.getpid()};"):
            RunFolder(path, resume=True)
        assert names(path) == ["log.jsonl", "state"]


def test_what_cannot_be_locked_is_said_as_that_and_not_as_in_use(tmp_path):
    path = tmp_path / "run"
    make_unfinished(path)
    (path / "state" / "lock").mkdir()
    with pytest.raises(RunFolderError, match=r"run cannot be written \(Is a directory\)"):
        RunFolder(path, resume=True)
    assert (path / "state" / "plan.json").exists()


def test_a_failing_run_removes_what_it_made_and_nothing_else(tmp_path):
    (tmp_path / "mine").mkdir()
    fail_after(tmp_path / "mine" / "x" / "y", lambda folder: folder.write("data.json", b"{}"))
    assert names(tmp_path / "mine") == []
    fail_after(tmp_path / "mine", lambda folder: (folder.path / "note.txt").write_text("not ours"))
    assert names(tmp_path / "mine") == ["note.txt"]


def test_a_failing_run_keeps_a_model_or_a_state(tmp_path):
    fail_after(tmp_path / "model", lambda folder: folder.write("model.json", b"{}"))
    assert "model.json" in names(tmp_path / "model")
    fail_after(tmp_path / "state", lambda folder: (folder.state / "step_00000001").mkdir())
    assert (tmp_path / "state" / "state" / "step_00000001").is_dir()
    fail_after(tmp_path / "kept", lambda folder: setattr(folder, "keep", True))
    assert (tmp_path / "kept").is_dir()


@pytest.mark.parametrize("inside", ["", "run"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path, inside):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RunFolderError, match=r"taken.*(is a file|Not a directory).*another --out"):
        RunFolder(tmp_path / "taken" / inside)
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_name_that_no_disk_takes_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="File name too long"):
        RunFolder(tmp_path / ("x" * 300))


READ_ONLY = """
import os, sys
from headstart.errors import RunFolderError
from headstart.storage.run_folder import RunFolder
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere: ask as a user who may not
try:
    RunFolder(sys.argv[1])
except RunFolderError as error:
    print(error)
"""


def test_a_folder_without_permission_is_refused():
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder / "run")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "cannot be written (Permission denied)" in done.stdout
        assert names(folder) == []
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_full_disk_is_a_sentence_and_leaves_what_was_written(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    with RunFolder(tmp_path / "run") as folder:
        folder.write("model.json", b"first")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            for name in ("model.json", "metrics.json"):
                with pytest.raises(RunFolderError, match=r"is full \(6 bytes are needed\).*intact"):
                    folder.write(name, b"second")
    assert (tmp_path / "run" / "model.json").read_bytes() == b"first"
    assert names(tmp_path / "run") == ["log.jsonl", "model.json", "state"]


FULL = """
import sys
from headstart.errors import RunFolderError
from headstart.storage.run_folder import RunFolder
try:
    with RunFolder(sys.argv[1] + "/run") as folder:
        folder.write("model.json", b"{}")
        folder.write("model.safetensors", bytes(4_000_000))
except RunFolderError as error:
    print(error)
"""


def test_a_disk_that_really_is_full_gives_the_same_sentence(tmp_path):
    """A file system of one megabyte, in a mount namespace of its own; needs root."""
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && "$@" && ls -A "{tmp_path}/run"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", FULL]
    can_mount = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if can_mount.returncode:
        pytest.skip("mounting a small file system needs root; the test above covers the sentence")
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    sentence, *left = done.stdout.splitlines()
    assert "is full (4.0 MB are needed); what was saved before is intact" in sentence
    assert left == ["log.jsonl", "model.json", "state"]


def test_an_atomic_write_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_log_line_cut_short_by_a_crash_is_left_out(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.log({"kind": "a"})
        folder.log({"kind": "b", "path": Path("x")})
        with (folder.path / "log.jsonl").open("a") as file:
            file.write('{"kind": "c", "va')
        assert [record["kind"] for record in read_log(folder.path)] == ["a", "b"]


def test_json_is_strict_and_a_damaged_record_is_named(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        with pytest.raises(ValueError, match="not JSON compliant"):
            folder.write_json("metrics.json", {"value": float("nan")})
        folder.write_json("metrics.json", {"value": 1})
        assert json.loads((folder.path / "metrics.json").read_text()) == {"value": 1}
        assert folder.read_json("metrics.json") == {"value": 1}
        assert folder.read_json("missing.json") is None
        (folder.path / "metrics.json").write_text("{")
        with pytest.raises(RunFolderError, match=r"metrics.json is damaged"):
            folder.read_json("metrics.json")


def test_the_report_of_a_run_that_diverged_stays_and_is_in_nobodys_way(tmp_path):
    def diverge(folder):
        folder.write_json("data.json", {})
        folder.write_json("nan_report.json", {"step": 8})

    fail_after(tmp_path / "run", diverge)
    assert names(tmp_path / "run") == ["nan_report.json"]
    with RunFolder(tmp_path / "run") as folder:  # neither --resume nor --overwrite is asked for
        assert names(tmp_path / "run") == ["log.jsonl", "state"]
        folder.write("model.json", b"{}")
        folder.finish()
    fail_after(tmp_path / "run", diverge, overwrite=True)
    assert names(tmp_path / "run") == ["log.jsonl", "model.json", "nan_report.json"]
    assert json.loads((tmp_path / "run" / "nan_report.json").read_text()) == {"step": 8}


def test_a_finished_run_is_claimed_until_its_state_is_gone(tmp_path, monkeypatch):
    seen = []
    rmtree = shutil.rmtree

    def watched(path, **options):
        with pytest.raises(RunFolderError, match=f"by process {os.getpid()};"):
            RunFolder(tmp_path / "run", resume=True)
        seen.append(path)
        rmtree(path, **options)

    with RunFolder(tmp_path / "run") as folder:
        monkeypatch.setattr(shutil, "rmtree", watched)
        folder.finish()
    assert seen == [tmp_path / "run" / "state"]
    assert names(tmp_path / "run") == ["log.jsonl"]
