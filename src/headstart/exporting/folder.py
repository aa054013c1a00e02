"""The target folder of an export: whole and checked, or not there at all.

Everything is written into a temporary folder beside the target, which is renamed at the end. A
target that holds anything is refused before any work; a failure leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from headstart.errors import ExportError, first_line

TOLERANCE = 1e-5


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to write into; it becomes the target when the block succeeds.

    Args:
        folder: The target; made with its parents.

    Raises:
        ExportError: If the target is not an empty or new folder, or the disk refuses.
    """
    refuse_occupied(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
    except OSError as error:
        raise _not_written(folder, error) from error
    try:
        yield partial
        _publish(partial, folder)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already where it was renamed


def refuse_occupied(folder: Path) -> None:
    """Refuse a target that is a file or holds something.

    Raises:
        ExportError: If so.
    """
    if folder.is_dir() and any(folder.iterdir()):
        names = ", ".join(sorted(os.listdir(folder))[:3])
        raise ExportError(
            f"{folder} is not empty ({names}). Expected a new or empty folder. Choose another "
            f"--out, or move these files away."
        )
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file. Expected a folder. Choose another --out.")


def check_same(found: Tensor, expected: Tensor, folder: Path) -> None:
    """Refuse an export whose logits are not those of the model.

    Args:
        found: Logits of what was written, loaded again, shape (B, K).
        expected: The model's, shape (B, K).
        folder: The target, for the refusal.

    Raises:
        ExportError: If they differ by more than 1e-5, relative where they are above 1.
    """
    if found.shape != expected.shape:
        raise ExportError(
            f"The export to {folder} gives logits of shape {tuple(found.shape)}, the model "
            f"{tuple(expected.shape)}. Nothing was kept. Please report this."
        )
    scale = float(expected.abs().max().clamp_min(1.0))
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE * scale:
        raise ExportError(
            f"The export to {folder} is not faithful: its logits differ from the model's by "
            f"{difference:.2g}, expected at most {TOLERANCE * scale:.2g}. Nothing was kept. Please "
            f"report this with the start's name."
        )


def unreadable(library: str, folder: Path, error: Exception) -> ExportError:
    """Return the refusal of an export that the library it is for cannot load."""
    return ExportError(
        f"The export to {folder} cannot be loaded by {library} ({type(error).__name__}: "
        f"{first_line(error)}). Nothing was kept. Please report this with the start's name."
    )


def _publish(partial: Path, folder: Path) -> None:
    """Give a finished folder its name, with the permissions that a new folder would have."""
    mask = os.umask(0)
    os.umask(mask)
    partial.chmod(0o777 & ~mask)
    refuse_occupied(folder)
    partial.rename(folder)  # over an empty folder too


def _not_written(folder: Path, error: OSError) -> ExportError:
    return ExportError(
        f"{folder} cannot be written ({error.strerror or error}). Expected a folder that you may "
        f"write, with room for the weights. Choose another one."
    )
