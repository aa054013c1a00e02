"""What a person is told of failures that are not of our own: a full disk, no memory, a fault."""

from __future__ import annotations

import errno

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


def _memory_limit() -> str:
    """Return the limit of memory that was set for this process, as words to follow."""
    try:
        import resource
    except ImportError:  # not on Windows
        return ""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return "" if limit == resource.RLIM_INFINITY else f" (a limit of {limit / 1e9:.1f} GB is set)"


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
    if any(words in said.lower() for words in UNLOADED):
        return DeviceError(
            f"A library could not be loaded ({said}): there is not memory enough{_memory_limit()}. "
            "PyTorch alone takes 4 GB of addresses, with the libraries of a GPU. Raise the limit "
            "(ulimit -v unlimited), or close other programs."
        )
    return HeadstartError(
        f"Something unexpected went wrong ({type(error).__name__}: {said}). "
        f"Run again with --debug for the traceback."
    )
