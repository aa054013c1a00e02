"""What a person is told of failures that are not of our own: a full disk, no memory, a fault."""

from __future__ import annotations

import errno

from headstart.cores import ROOM_OF_LIBRARIES, told_limit
from headstart.errors import DeviceError, HeadstartError, RunFolderError

# What the loader says where memory is short; torchvision goes on, and then misses its operators.
UNLOADED = (
    "failed to map segment",
    "cannot allocate memory",
    "operator torchvision::nms does not exist",
)


def explained(error: Exception) -> HeadstartError:
    """Return the sentence for a failure that is none of our own."""
    return _of_system(error) if isinstance(error, OSError) else _unexpected(error)


def _of_system(error: OSError) -> HeadstartError:
    """Return the sentence for a full disk or a missing permission."""
    place = f"'{error.filename}'" if error.filename else "the run folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunFolderError(
            f"The disk is full: {place} could not be written. Free some space, or choose a folder "
            f"on another disk with --out."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunFolderError(
            f"No permission to use {place} ({error.strerror}). Change its permissions, or choose "
            f"another folder."
        )
    return _unexpected(error)


def _unexpected(error: Exception) -> HeadstartError:
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return DeviceError(
            f"Memory ran out{told_limit()}{f' ({said})' if said else ''}. Close other programs, "
            "raise the limit (ulimit -v unlimited), or give fewer samples."
        )
    if any(words in said.lower() for words in UNLOADED):
        return DeviceError(
            f"A library could not be loaded ({said}): there is not memory enough{told_limit()}. "
            f"{ROOM_OF_LIBRARIES}, or close other programs."
        )
    return HeadstartError(
        f"Something unexpected went wrong ({type(error).__name__}: {said}). "
        f"Run again with --debug for the traceback."
    )
