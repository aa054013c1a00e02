"""Zip and tar archives: unpacked member by member into a folder of this process's own, then read.

Nothing is written outside that folder: absolute names, ``..``, links and devices are refused, the
size is asked for first. The folder goes when the process ends. A tar of WebDataset, a file for each
part of a sample, becomes a table.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from rich.filesize import decimal

from headstart.data.sources.folder import is_image
from headstart.data.sources.listed import ListTable, from_rows
from headstart.errors import DataError, first_line

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SPARE_BYTES = 256 * 2**20
MAX_MEMBERS = 20_000_000
LABEL_PARTS = ("cls", "json", "label", "txt")
_unpacked: dict[tuple[str, int, int], Path] = {}


def unpack(path: Path, where: str) -> Path:
    """Return the folder with the files of an archive; the same one for the same archive.

    Raises:
        DataError: It is damaged or encrypted, a name leads outside, or the disk is too small.
    """
    state = path.stat()
    key = (str(path.absolute()), state.st_size, state.st_mtime_ns)
    if key in _unpacked and _unpacked[key].is_dir():
        return _unpacked[key]
    base = Path(tempfile.mkdtemp(prefix="headstart-unpacked-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    folder = base / path.name.partition(".")[0]
    folder.mkdir()
    try:
        is_zip = path.name.lower().endswith(".zip")
        for name, stream in (_zip_members if is_zip else _tar_members)(path, where, folder):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with stream, open(target, "wb") as file:
                shutil.copyfileobj(stream, file, 2**20)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, RuntimeError) as error:
        raise DataError(
            f"{where} cannot be unpacked: {first_line(error)}. It is damaged or has a password; "
            "download it again, or unpack it yourself and give the folder."
        ) from error
    except OSError as error:
        raise DataError(
            f"{where} cannot be unpacked into {base}: {error.strerror or first_line(error)}. "
            "Unpack it yourself and give the folder, or the table in it."
        ) from error
    _unpacked[key] = _inner(folder)
    return _unpacked[key]


def _zip_members(path: Path, where: str, folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_size(sum(entry.file_size for entry in entries), len(entries), where, folder)
        for entry in entries:
            kind = entry.external_attr >> 28
            if kind not in (0, 8):  # not said, or a regular file
                continue
            if name := _safe_name(entry.filename, where):
                yield name, archive.open(entry)


def _tar_members(path: Path, where: str, folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        total = number = 0
        for entry in archive:
            if not entry.isfile():
                continue
            total, number = total + entry.size, number + 1
            _check_size(entry.size, number, where, folder)
            name, stream = _safe_name(entry.name, where), archive.extractfile(entry)
            if name and stream is not None:
                yield name, stream


def _check_size(num_bytes: int, number: int, where: str, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes + SPARE_BYTES > free or number > MAX_MEMBERS:
        raise DataError(
            f"{where} holds {decimal(num_bytes)} in {number:,} files, and {decimal(free)} are free "
            f"in {folder.parent.parent}. Unpack it where there is room and give the folder, or the "
            "table in it; or let TMPDIR name another place."
        )


def _safe_name(name: str, where: str) -> str:
    """Return a member's path inside the folder; empty for what systems add by themselves.

    Raises:
        DataError: The path leads outside.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise DataError(
            f"{where} holds '{name}', which leads out of the folder it is unpacked into; this "
            "archive is not to be trusted, and nothing of it is read. Unpack it yourself if it is."
        )
    is_added = any(part == "__MACOSX" or part.startswith("._") for part in path.parts)
    return "" if is_added or path.name == ".DS_Store" else str(path)


def _inner(folder: Path) -> Path:
    """Return the folder inside where it is all there is, as most archives are made."""
    inside = list(folder.iterdir())
    return _inner(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder


def read_shards(folder: Path, where: str) -> ListTable | None:
    """Return the samples of WebDataset: files that share their name up to its first dot.

    None where no image or text has a label beside it.

    Raises:
        DataError: A label cannot be read.
    """
    parts: dict[str, dict[str, str]] = {}
    for current, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            base, _, suffix = file.partition(".")
            relative = os.path.relpath(os.path.join(current, base), folder)
            parts.setdefault(relative, {})[suffix.lower()] = os.path.join(current, file)
    rows = []
    for key, files_of in parts.items():
        image = next((path for suffix, path in files_of.items() if is_image(f"a.{suffix}")), None)
        has_label = next((part for part in LABEL_PARTS if part in files_of), None)
        if image is None and not (has_label in ("cls", "json") and "txt" in files_of):
            return None
        if has_label is None or (label := _label_of(Path(files_of[has_label]), has_label)) is None:
            return None
        text = (
            None if image else Path(files_of["txt"]).read_text(encoding="utf-8", errors="replace")
        )
        rows.append({"image" if image else "text": image or text, "label": label, "key": key})
    if not rows:
        return None
    for row in rows:
        del row["key"]
    return from_rows(rows, where, folder, target="label")


def _label_of(path: Path, kind: str) -> object:
    """Return the label in a file; None where there is none in it."""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if kind != "json":
        return text or None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path.name} is no JSON: {error}. Correct it.") from error
    if not isinstance(value, dict):
        return value if isinstance(value, (str, int, list)) else None
    return next(
        (value[k] for k in ("label", "cls", "class", "class_name", "target") if k in value), None
    )
