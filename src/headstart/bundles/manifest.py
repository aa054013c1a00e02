"""The manifest of a bundle: size and SHA-256 of every file, so that damage and change are seen.

It guards against a file that is not what was exported. It says nothing of who exported it: whoever
can write the folder can write its manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from headstart.errors import ExportError

MANIFEST = "MANIFEST.json"
_FORMAT = 1
_NAME = re.compile(r"(?:members/[1-9][0-9]?/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
_AT_ONCE = 1 << 20


def manifest_bytes(folder: Path) -> bytes:
    """Return the manifest of the files that a folder holds now."""
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    files = {name: _state(folder / name) for name in names if name != MANIFEST}
    return json.dumps({"format": _FORMAT, "files": files}, indent=2).encode()


def check_files(folder: Path) -> str:
    """Check every file of a bundle against its manifest.

    Args:
        folder: The bundle.

    Returns:
        SHA-256 of the manifest itself, in hexadecimal: names exactly this bundle.

    Raises:
        ExportError: If the manifest or a file is missing, or a file is not what was written.
    """
    content = _read_manifest(folder)
    for name, state in _listed(content, folder).items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise ExportError(
                f"{path} is missing, or no plain file; expected what {MANIFEST} lists. Export the "
                "run again."
            )
        if _state(path) != state:
            raise ExportError(
                f"{path} is not what was exported (its SHA-256 is another than in {MANIFEST}). "
                "Expected the file as it was written. Copy the bundle again, or export the run "
                "again."
            )
    return hashlib.sha256(content).hexdigest()


def listed_files(folder: Path) -> list[str]:
    """Return the names of the files that a bundle's manifest lists.

    Raises:
        ExportError: If there is none, or it is damaged.
    """
    return list(_listed(_read_manifest(folder), folder))


def _read_manifest(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ExportError(
            f"{folder} is no bundle: its {MANIFEST} cannot be read ({error.strerror or error}). "
            "Expected a folder that 'headstart export RUN --to onnx' has written. Export the run."
        ) from error


def _listed(content: bytes, folder: Path) -> dict[str, Any]:
    """Return what a manifest says of each file; names that lead elsewhere are refused."""
    try:
        record = json.loads(content)
        files = record["files"]
        if record["format"] != _FORMAT or not isinstance(files, dict) or not files:
            raise ValueError(f"format {record['format']!r}")
        odd = [name for name in files if not _NAME.fullmatch(name)]
        if odd:
            raise ValueError(f"a file '{odd[0]}'")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(
            f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}); expected the list "
            "of files that headstart wrote. Export the run again."
        ) from error
    return files


def _state(path: Path) -> dict[str, object]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_AT_ONCE):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
