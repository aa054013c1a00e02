"""Bundles of either kind: those that answer in one pass, and those that write."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from headstart.bundles.answering import Bundle
from headstart.bundles.equality import Agreement
from headstart.bundles.golden import verify_bundle
from headstart.bundles.records import read_bundle_record
from headstart.bundles.writing import WritingBundle
from headstart.bundles.written_golden import verify_writer
from headstart.errors import ExportError

AnyBundle = Bundle | WritingBundle
Opened = Future[tuple[AnyBundle, Agreement]]


def verify_any(folder: Path, *, num_threads: int = 1) -> tuple[AnyBundle, Agreement]:
    """Check the files of a bundle, open it, and let it answer its golden samples.

    Args:
        folder: The bundle.
        num_threads: Of ONNX Runtime.

    Raises:
        ExportError: If a file is not what was exported, or an answer is another.
    """
    try:
        writes = read_bundle_record(folder).writing is not None
    except ExportError:  # what is wrong with its files is said below, where all are looked at
        writes = False
    verify = verify_writer if writes else verify_bundle
    return verify(folder, num_threads=num_threads)
