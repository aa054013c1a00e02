"""Step checkpoints that survive anything: complete and verified, or not there at all.

A checkpoint is a folder ``step_00000120`` with ``tensors.safetensors``, ``state.json`` and
``MANIFEST.json`` (size and digest of each file). It is written under a temporary name, every file
is fsynced, then the folder; it is renamed and its parent fsynced. A step folder is never
overwritten. The newest one (by its step, whatever the clocks say) whose manifest verifies is used;
a damaged one is named and stepped over.

Writing in the background is ``writer.py``'s business; files in which several processes have put
their pieces of split weights are read here as a whole, by ``pieces.py``.

All tensors that resuming needs lie in it under one name each. Prefixes: ``model`` (parameters that
learn, and buffers), ``optimizer``, ``average``, ``best``. Frozen parameters are the start's and are
not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.filesize import decimal
from safetensors.torch import load_file
from torch import Tensor

from headstart.errors import RunFolderError
from headstart.events import emit
from headstart.training.state.average import WeightAverage, set_tensors
from headstart.training.state.tensor_file import TensorFile

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back: tensors by name, and JSON-able state."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, object]


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        path: The folder that holds the step folders; made when the first one is saved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        """Write the checkpoint of one step, then remove all but the newest two.

        Raises:
            FileExistsError: If this step was saved before.
            RunFolderError: If the disk is full or not writable; older checkpoints are untouched.
        """
        file = TensorFile()
        file.fill(tensors)
        self.write(step, file, json.dumps(dict(state)).encode())

    def write(self, step: int, tensors: TensorFile, state: bytes) -> None:
        """Write a checkpoint whose tensors were copied before; otherwise as ``save``.

        Args:
            step: The optimizer step.
            tensors: Nobody may fill it again before this returns.
            state: JSON.
        """
        final = self.final(step)
        partial = self.path / f".tmp-{final.name}-{os.getpid()}"
        try:
            partial.mkdir(parents=True)
            entry = write_file(partial / "tensors.safetensors", tensors.pieces())
            self.seal(partial, final, {"tensors.safetensors": entry}, state)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            num_bytes = tensors.num_bytes + len(state)
            raise self.unwritten(step, error.strerror or str(error), num_bytes) from error
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def final(self, step: int) -> Path:
        """Return where the checkpoint of a step will stand.

        Raises:
            FileExistsError: If this step was saved before.
        """
        final = self.path / f"step_{step:08d}"
        if final.exists():
            raise FileExistsError(f"Checkpoint {final} exists already; a step is saved once.")
        return final

    def seal(
        self, partial: Path, final: Path, files: Mapping[str, Mapping[str, object]], state: bytes
    ) -> None:
        """Add state and manifest to files that are on the disk; then it is a checkpoint.

        Args:
            partial: The folder under its temporary name.
            final: Its name.
            files: The entry of each file for the manifest.
            state: JSON.
        """
        manifest = {**files, "state.json": write_file(partial / "state.json", [state])}
        write_file(partial / "MANIFEST.json", [json.dumps(manifest).encode()])
        _fsync(partial)
        partial.rename(final)
        _fsync(self.path)
        for old in self._steps()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def unwritten(self, step: int, why: str, num_bytes: int) -> RunFolderError:
        """Return the error that says why a checkpoint cannot be written."""
        return RunFolderError(
            f"The checkpoint of step {step} cannot be written to {self.path} "
            f"({why}; {decimal(num_bytes)} are needed); earlier ones are intact. "
            f"Free some space there, or make it writable, and go on with --resume."
        )

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or None; sweep up what a crash left."""
        step = self.newest_step()
        return None if step is None else self.read(step)

    def newest_step(self) -> int | None:
        """Return the step of the newest checkpoint that verifies; otherwise as ``newest``."""
        if not self.path.is_dir():
            return None
        for stale in self.path.glob(".tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)
        for folder in reversed(self._steps()):
            problem = _verify(folder)
            if problem is None:
                return _step_of(folder)
            emit("note", text=f"Checkpoint {folder} is damaged ({problem}) and was stepped over.")
            folder.rename(folder.with_name(f".bad-{folder.name}-{os.getpid()}"))
        return None

    def read(self, step: int) -> Checkpoint:
        """Return the checkpoint of a step, which has been verified."""
        folder = self.path / f"step_{step:08d}"
        state = json.loads((folder / "state.json").read_text())
        return Checkpoint(step, self.read_tensors(folder), state)

    def read_tensors(self, folder: Path) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint, as a whole."""
        file = folder / "tensors.safetensors"
        if file.exists():
            return load_file(str(file))
        from headstart.training.state.pieces import read_pieces

        return read_pieces(folder, lambda name, size: None)

    def _steps(self) -> list[Path]:
        """Return the step folders, oldest step first."""
        found = (p for p in self.path.glob("step_*") if re.fullmatch(r"step_\d+", p.name))
        return sorted((p for p in found if p.is_dir()), key=_step_of)


def gather(
    learned: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    best: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return the tensors themselves, not copies, by prefix and name."""
    parts: dict[str, Mapping[str, Tensor]] = {
        "model": learned,
        "optimizer": optimizer_tensors(optimizer),
        "average": average.state if average else {},
        "best": best or {},
    }
    return {f"{part}.{n}": t for part, tensors in parts.items() for n, t in tensors.items()}


def give_back(
    tensors: Mapping[str, Tensor],
    learned: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> dict[str, Tensor] | None:
    """Set what learns, optimizer and average to what ``gather`` gave; return the best weights.

    Raises:
        KeyError, RuntimeError, and their like: If the tensors are another model's.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts.setdefault(part, {})[name] = value
    set_tensors(learned, parts["model"])
    restore_optimizer(optimizer, parts.get("optimizer", {}))
    if average:
        set_tensors(average.state, parts["average"])
    if "best" not in parts:
        return None
    return {name: value.to(learned[name].device) for name, value in parts["best"].items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimizer's state to named tensors; pickle-free, unlike ``state_dict``."""
    flat = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if value is not None:
                flat[f"{index}.{name}"] = torch.as_tensor(value)
    return flat


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Load what ``optimizer_tensors`` gave."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # a file keeps no memory layout, and the fused kernels walk a parameter and its state
            # element by element in memory: they must lie there in the same order
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step_"))


def write_file(path: Path, pieces: Iterable[bytes | memoryview]) -> dict[str, object]:
    """Write and fsync a new file; return its entry in the manifest."""
    digest, num_bytes = hashlib.blake2b(digest_size=32), 0
    with path.open("xb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
            num_bytes += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": num_bytes, "blake2b": digest.hexdigest()}


def digest_file(path: Path) -> dict[str, object]:
    """Return the entry in the manifest of a file that is on the disk."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    return {"bytes": path.stat().st_size, "blake2b": found}


def _verify(folder: Path) -> str | None:
    """Return what is wrong with a step folder, or None."""
    try:
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        for name, expected in manifest.items():
            if (folder / name).stat().st_size != expected["bytes"]:
                return f"{name} has the wrong size"
            if digest_file(folder / name)["blake2b"] != expected["blake2b"]:
                return f"{name} has the wrong digest"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    has_tensors = any(name.endswith(".safetensors") for name in manifest)
    return None if has_tensors and "state.json" in manifest else "files are missing"


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
