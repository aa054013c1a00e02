"""The run folder: claimed by one process, written atomically, never lost and never half-written.

A new folder that ends in an error before anything usable stands in it is removed again. A folder
that is not empty is refused, unless it holds the same run (``resume``) or ``overwrite``.
``overwrite`` sets the former run aside and deletes it only when a new model stands in its place: a
run that fails early gives the former one back. What stays of a run whose loss stopped being a
number is ``nan_report.json``; it occupies nothing, the next run into the folder removes it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from rich.filesize import decimal

from headstart.errors import OptionError, RunFolderError
from headstart.storage.records import (
    READING_FILES,
    SHOWN_FILES,
    find_record,
    has_search,
    nothing_to_resume,
    planned_options,
)

if TYPE_CHECKING:
    from filelock import FileLock

_OWN_FILES = frozenset(
    (
        "model.safetensors",
        "model.json",
        "members",
        *READING_FILES,
        "options.json",
        "data.json",
        "metrics.json",
        "predictions.parquet",
        *SHOWN_FILES,
        "evaluation.json",
        "log.jsonl",
        "scalars.csv",
        "tensorboard",
        "nan_report.json",
        "repeats",
        "search",
        "state",
    )
)
_CLAIM = frozenset(("lock", "owner"))  # in the state: the lock, and who holds it
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))  # there is no room for it
_REMAINS = frozenset(("nan_report.json",))  # of a failed run: neither undone nor in the way


class RunFolder:
    """A folder being written; use it as a context manager.

    Args:
        path: The folder; made with its parents when it does not exist.
        resume: Go on with the unfinished run in it.
        overwrite: Replace the former run in it.

    Raises:
        OptionError: If ``resume`` and ``overwrite`` are both said.
        RunFolderError: If it is occupied, in use, not writable, or there is nothing to resume.
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.resume = resume
        self.keep = False  # whether to keep the folder although it holds no model yet
        self._log: IO[str] | None = None
        self._lock: FileLock | None = None
        self._made: list[Path] = []
        refuse_occupied(self.path, resume=resume, overwrite=overwrite)
        self._claim(overwrite=overwrite)

    @property
    def state(self) -> Path:
        """The folder of the resume state."""
        return self.path / "state"

    @property
    def _former(self) -> Path:  # where ``overwrite`` sets the former run aside
        return self.state / "former"

    @property
    def _way(self) -> str:
        """What to do once a full disk has space again."""
        is_planned = self.resume or planned_options(self.path)
        return "go on with --resume" if is_planned else "begin again"

    def write(self, name: str, content: bytes) -> None:
        """Write a file, and the folder that its name may hold, atomically.

        Raises:
            RunFolderError: If the disk is full or the folder not writable.
        """
        place = self.path / name
        with disk_errors(self.path, len(content), self._way):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, content)
        if name == "model.json":  # a usable model stands here: the one before has had its day
            shutil.rmtree(self._former, ignore_errors=True)

    def remove(self, *names: str) -> None:
        """Remove files or folders of this run that nothing reads any more."""
        for name in names:
            assert name in _OWN_FILES, f"{name} is none of a run's own files"
            _remove(self.path / name)

    def write_json(self, name: str, record: object) -> None:
        """Write a record as indented JSON."""
        self.write(name, json.dumps(record, indent=2, allow_nan=False).encode())

    def read_json(self, name: str) -> dict[str, object] | None:
        """Return a JSON file's record, or None where the file does not exist.

        Raises:
            RunFolderError: If the file is damaged.
        """
        return find_record(self.path, name)

    def log(self, record: Mapping[str, object]) -> None:
        """Append one line to ``log.jsonl``."""
        if self._log is not None:
            with disk_errors(self.path, 0, self._way):
                self._log.write(json.dumps(record, default=str) + "\n")
                self._log.flush()

    def finish(self) -> None:
        """Remove the resume state: the run is complete."""
        shutil.rmtree(self.state, ignore_errors=True)
        self._release()  # last: nobody may claim a folder that is still being swept

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()
        has_model = (self.path / "model.json").exists()
        has_state = self.keep or self.resume or any(self.state.glob("step_*"))
        has_state = has_state or (_is_full(error) and planned_options(self.path) is not None)
        if error is not None and not has_model and not has_state:
            self._undo()
        elif error is not None and has_search(self.path) and set(_entries(self.state)) <= _CLAIM:
            shutil.rmtree(self.state, ignore_errors=True)  # a finished run stays what it was

    def _claim(self, *, overwrite: bool) -> None:
        self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        with disk_errors(self.path, 0, self._way):
            try:
                self.state.mkdir(parents=True, exist_ok=True)
                self._take_lock()
            except OSError:
                self._release()
                self._remove_empty()
                raise
            try:
                self._tidy(overwrite=overwrite)
                (self.state / "owner").write_text(str(os.getpid()))
                self._log = (self.path / "log.jsonl").open("a")
            except OSError:
                self._release()
                if not self.resume:
                    self._undo()
                raise

    def _take_lock(self) -> None:
        """Lock the folder for this process, or say which process has it.

        Its number stands in a file of its own: filelock may empty the one that it locks, and on
        Windows nobody else can read that.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.state / "lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderError(
                f"{self.path} is being written by process {self._read_owner()}; expected one "
                f"process a run folder. Wait for it, or choose another --out."
            ) from error
        self._lock = lock

    def _read_owner(self) -> str:
        """Return the number of the process that has claimed the folder, where it can be read."""
        try:
            return (self.state / "owner").read_text().strip() or "unknown"
        except OSError:
            return "unknown"

    def _tidy(self, *, overwrite: bool) -> None:
        """Sweep up what a killed process left; under ``overwrite`` set the former run aside."""
        for partial in filter(_is_partial, os.listdir(self.path)):
            (self.path / partial).unlink(missing_ok=True)
        if overwrite:
            self._set_aside()
        for remains in _REMAINS:
            (self.path / remains).unlink(missing_ok=True)

    def _set_aside(self) -> None:
        """Move the former run into the state; what a killed ``overwrite`` began is deleted."""
        top = [self.path / name for name in _OWN_FILES - {"state"} - _REMAINS]
        inner = [e for e in self.state.iterdir() if e.name not in _CLAIM | {"former"}]
        found = [e for e in (*top, *inner) if e.exists()]
        is_begun = self._former.exists()
        for entry in found:
            if is_begun:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            else:
                place = self._former / entry.relative_to(self.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                entry.replace(place)

    def _release(self) -> None:
        if self._log is not None:
            # a full disk may refuse the last flush; what was promised is already fsynced
            with contextlib.suppress(OSError):
                self._log.close()
        if self._lock is not None:
            self._lock.release()
        self._log = self._lock = None

    def _undo(self) -> None:
        """Remove what this process made, and nothing else; give a former run back."""
        for name in _OWN_FILES - {"state"} - _REMAINS:
            _remove(self.path / name)
        former = [e for e in self._former.rglob("*") if e.is_file()]
        for entry in self.state.iterdir():
            if entry.name not in _CLAIM | {"former"}:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for file in former:
            place = self.path / file.relative_to(self._former)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        if {e.name for e in self.state.iterdir()} <= _CLAIM | {"former"}:
            shutil.rmtree(self.state, ignore_errors=True)
        else:
            shutil.rmtree(self._former, ignore_errors=True)
        self._remove_empty()

    def _remove_empty(self) -> None:
        """Remove the folders that this process made, where they are empty."""
        for made in self._made:
            with contextlib.suppress(OSError):
                made.rmdir()


def _remove(entry: Path) -> None:
    """Remove a file or a folder, where there is one."""
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)


def is_claimed_only(folder: Path) -> bool:
    """Return whether a process has claimed a folder and died before it wrote anything of use."""
    state = folder / "state"
    names = {*_entries(folder), *(f"state/{name}" for name in _entries(state))}
    claim = {f"state/{name}" for name in _CLAIM}
    return "state/lock" in names and names <= {"state", "log.jsonl", *claim}


def _is_partial(name: str) -> bool:
    """Return whether a file is what ``write_atomically`` leaves when it is killed."""
    return any(name.startswith(f".{own}.tmp-") for own in _OWN_FILES)


def refuse_occupied(folder: str | Path | None, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a run may not be written into; nothing is touched.

    Args:
        folder: The run folder; None is a name that does not exist yet.
        resume: Go on with the unfinished run in it.
        overwrite: Replace the former run in it.

    Raises:
        OptionError: If ``resume`` and ``overwrite`` are both said.
        RunFolderError: If it is occupied, unreadable, or there is nothing to resume.
    """
    if resume and overwrite:
        raise OptionError(
            "resume and overwrite are both set; expected one of them. Leave --overwrite out to "
            "go on with the run, or --resume to replace it."
        )
    if folder is None:
        return
    path = Path(folder)
    entries = _entries(path)
    if resume and "state" not in entries and not has_search(path):
        raise nothing_to_resume(path, is_finished="metrics.json" in entries)
    if set(entries) - _REMAINS and not resume and not overwrite:
        hint = "--resume to go on with it, or " if "state" in entries else ""
        raise RunFolderError(
            f"{path} is not empty ({', '.join(entries[:3])}); expected a new or empty "
            f"folder. Add {hint}--overwrite to replace it, or choose another --out."
        )
    foreign = [e for e in entries if e not in _OWN_FILES and not _is_partial(e)]
    if overwrite and foreign:
        raise RunFolderError(
            f"{path} holds files that headstart did not write ({', '.join(foreign[:3])}); "
            f"expected a run folder. Choose another --out, or move these files away."
        )


def _entries(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path)) if path.exists() else []
    except NotADirectoryError as error:
        raise RunFolderError(
            f"{path} is a file; expected a folder. Choose another --out."
        ) from error
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be read ({error.strerror}); expected a folder of your own. "
            f"Choose another --out."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it has either its old content or the whole new one."""
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: BaseException | None) -> bool:
    """Return whether a full disk has ended a run: it goes on from what stands there, if little."""
    cause = getattr(error, "__cause__", None)
    return isinstance(cause, OSError) and cause.errno in _FULL


@contextlib.contextmanager
def disk_errors(path: Path, num_bytes: int, way: str = "go on with --resume") -> Iterator[None]:
    """Turn a full disk, a refused permission and the like inside the block into a sentence.

    Args:
        path: The run folder.
        num_bytes: Bytes that were to be written; 0 if not known.
        way: What to do once there is space.

    Raises:
        RunFolderError: In place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            need = f"{decimal(num_bytes)} are needed" if num_bytes else "more is needed"
            full, free = f"The disk that holds {path} is full ({need})", "Free some space"
            if error.errno == errno.EFBIG:
                full = f"A file in {path} is larger than this process may write (ulimit -f)"
                free = "Raise the limit (ulimit -f unlimited)"
            told = f"{full}; what was saved before is intact. {free} and {way}."
            raise RunFolderError(told) from error
        raise RunFolderError(
            f"{path} cannot be written ({error.strerror or error}); expected a folder that you may "
            f"write. Choose another --out."
        ) from error


def claimed_place(out: Path) -> Path:
    """Make a folder for results, and see that it can be written before minutes are spent."""
    with disk_errors(out, 0):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".headstart-probe"
        probe.touch()
        probe.unlink()
    return out
