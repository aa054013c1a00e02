"""Checkpoints to which every process adds the pieces that lie in it.

``torch.distributed.checkpoint`` plans who writes what and finds for each process what it needs,
however many there are and however their weights are split; its files are safetensors
(``shard-00001-model-00001-of-00001.safetensors`` and so on), each with the place of its pieces in
the whole, so nothing is pickled and one process alone can read all of them. Round that stands the
rule of every checkpoint: a temporary name, a digest of each file, the manifest last, a rename.

Each process copies its pieces and goes on training; planning and writing happen in a thread, over a
group of processes of its own. All must be able to write to, and read from, the same folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_saver import save

from headstart.errors import RunFolderError
from headstart.training.processes.shards import Shards
from headstart.training.state.average import own_piece
from headstart.training.state.checkpoint import CheckpointFolder, digest_file
from headstart.training.state.pieces import read_pieces
from headstart.training.state.tensor_file import TensorFile


class ShardFolder(CheckpointFolder):
    """The checkpoints of one run, as a process sees them that has a part of the weights.

    All processes make it at the same time, and call its methods in the same order.

    Args:
        path: The folder that holds the step folders, the same for all processes.
        shards: The network in pieces.
    """

    def __init__(self, path: Path, shards: Shards) -> None:
        super().__init__(path)
        self.shards, self.company = shards, shards.company
        self._group = shards.company.new_group()

    def write(self, step: int, tensors: TensorFile, state: bytes) -> None:
        """Write this process's pieces; when all have, the main process makes it a checkpoint.

        Args:
            step: The optimizer step.
            tensors: Copies of the pieces; nobody may fill it again before this returns.
            state: JSON; the main process's counts.

        Raises:
            FileExistsError: If this step was saved before.
            RunFolderError: If any process cannot write; older checkpoints are untouched.
            ProcessLost: If another process has left.
        """
        company, final = self.company, self.final(step)
        partial = self.path / f".tmp-{final.name}-shards"  # a name that all know
        try:
            with self._telling(step, tensors.num_bytes * company.size):
                writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
                pieces = self.shards.described(tensors.tensors)
                save(pieces, storage_writer=writer, process_group=self._group)
                names = partial.glob(f"shard-{company.rank + 1:05d}-*.safetensors")
                own = {path.name: digest_file(path) for path in names}
                all_files = self._gather(own)
                if company.is_main:
                    self.seal(partial, final, all_files, state)
        except BaseException:
            if company.is_main:
                shutil.rmtree(partial, ignore_errors=True)
            raise

    def newest_step(self) -> int | None:
        """Return the step of the newest checkpoint that the main process has verified, or None."""
        return self.company.agree_on(super().newest_step)

    def read_tensors(self, folder: Path) -> dict[str, Tensor]:
        """Return this process's pieces, whoever wrote the checkpoint."""

        def place(key: str, size: torch.Size) -> Tensor | None:
            like = self.shards.split_like(key)
            if like is None or like.shape != size:
                return None
            return self.shards.on_host(torch.empty(own_piece(like).shape), like)

        try:
            return read_pieces(folder, place)
        except OSError as error:
            raise RunFolderError(
                f"{folder} cannot be read here ({error.strerror or error}); expected the same "
                f"folder in every process. Put --out on a disk that all machines share."
            ) from error

    def _gather(self, own: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        """Return the entries of all processes' files, in the main process."""
        found: list[dict[str, dict[str, object]]] | None = None
        if self.company.is_main:
            found = [{} for _ in range(self.company.size)]
        dist.gather_object(own, found, 0, group=self._group)
        return {name: entry for each in found or [] for name, entry in each.items()}

    @contextmanager
    def _telling(self, step: int, num_bytes: int) -> Iterator[None]:
        """Say in a sentence why a checkpoint could not be written.

        Raises:
            RunFolderError: If the disk is full or not writable, in whichever process.
            ProcessLost: If another process has left.
        """
        try:
            with self.company.noticing_loss():
                yield
        except CheckpointException as error:
            rank, (first, _) = min(error.failures.items())
            why = f"process {rank}: {getattr(first, 'strerror', None) or first}"
            raise self.unwritten(step, why, num_bytes) from error
        except OSError as error:
            raise self.unwritten(step, error.strerror or str(error), num_bytes) from error
