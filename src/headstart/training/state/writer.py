"""Write checkpoints while the training goes on.

``save`` returns after a copy into kept memory; digest, fsync and rename happen in a thread of their
own. What goes wrong there is raised at the next call, so at the next step, never swallowed. One
write is in flight at a time: a second copy waits behind it in a second piece of memory, which is
allocated only where that ever happens; a third waits for the first.

Daemon threads: a process that leaves at once does not wait for them, and what they leave half
written is swept up by the next attempt.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.state.tensor_file import TensorFile

_NUM_FILES = 2


class CheckpointWriter:
    """Saves into a folder in the background.

    Args:
        folder: Where the checkpoints go.

    Attributes:
        seconds: What the last write took.
        is_prepared: Whether there is memory for a save, or will soon be.
    """

    def __init__(self, folder: CheckpointFolder) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.is_prepared = False
        self._free = [TensorFile() for _ in range(_NUM_FILES)]
        self._in_flight: list[threading.Thread] = []
        self._written: list[int] = []
        self._error: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a write is in flight."""
        return any(thread.is_alive() for thread in self._in_flight)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        """Copy the tensors and write them in the background.

        Raises:
            RunFolderError: If an earlier checkpoint could not be written.
            FileExistsError: If an earlier step had been saved before.
        """
        self._sweep()
        if not self._free:
            self._in_flight[0].join()
            self._sweep()
        file = self._free.pop(0)
        file.fill(tensors)
        content = json.dumps(dict(state)).encode()
        self.is_prepared = True
        self._start(file, partial(self._write, step, file, content))

    def prepare(self, tensors: Mapping[str, Tensor]) -> None:
        """Make memory ready in the background for a first save of such tensors."""
        self.is_prepared = True
        file = self._free.pop(0)
        self._start(file, partial(file.prepare, tensors))

    def written(self) -> list[int]:
        """Return the steps that have reached the disk since this was asked last.

        Raises:
            RunFolderError: If a checkpoint could not be written.
            FileExistsError: If a step had been saved before.
        """
        self._sweep()
        found, self._written = self._written, []
        return found

    def wait(self) -> list[int]:
        """Wait until everything has been written; otherwise as ``written``."""
        self.settle()
        return self.written()

    def settle(self) -> None:
        """Wait until everything has been written or has failed; raise nothing."""
        for thread in self._in_flight:
            thread.join()

    def _sweep(self) -> None:
        """Forget threads that have ended; raise what went wrong in one."""
        self._in_flight = [thread for thread in self._in_flight if thread.is_alive()]
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _start(self, file: TensorFile, work: Callable[[], None]) -> None:
        """Do something with a file in a thread of its own, after what is in flight."""
        before = self._in_flight[-1] if self._in_flight else None
        thread = threading.Thread(target=self._do, args=(file, work, before), daemon=True)
        self._in_flight.append(thread)
        thread.start()

    def _do(
        self, file: TensorFile, work: Callable[[], None], before: threading.Thread | None
    ) -> None:
        if before is not None:
            before.join()
        try:
            work()
        except BaseException as error:  # raised again in the training's own thread
            self._error = self._error or error
        finally:
            # the memory used last is taken first: the other may never be needed
            self._free.insert(0, file)

    def _write(self, step: int, file: TensorFile, state: bytes) -> None:
        began = time.monotonic()
        self.folder.write(step, file, state)
        self.seconds = time.monotonic() - began
        self._written.append(step)
