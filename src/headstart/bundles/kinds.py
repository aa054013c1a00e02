"""Bundles of each kind: those that answer in one pass, that write, that match images and texts."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from headstart.bundles.answering import Bundle
from headstart.bundles.equality import Agreement
from headstart.bundles.golden import verify_bundle
from headstart.bundles.pairing import PairBundle, verify_pair
from headstart.bundles.records import check_is_served, read_bundle_record
from headstart.bundles.writing import WritingBundle
from headstart.bundles.written_golden import verify_writer
from headstart.errors import ExportError
from headstart.tasks import find_task

AnyBundle = Bundle | WritingBundle | PairBundle
Opened = Future[tuple[AnyBundle, Agreement]]


def verify_any(
    folder: Path, *, num_threads: int = 1, signed_by: Path | None = None
) -> tuple[AnyBundle, Agreement]:
    """Check the files of a bundle, open it, and let it answer its golden samples.

    Args:
        folder: The bundle.
        num_threads: Of ONNX Runtime.
        signed_by: A file with the public key that it has to be signed with; None asks for none.

    Raises:
        ExportError: If a file is not what was exported or signed, or an answer is another.
        OptionError: If the file holds no key.
    """
    check_is_served(folder)
    if signed_by is not None:
        from headstart.bundles.signing import check_signature  # its packages come with an extra

        check_signature(folder, signed_by)
    try:
        task = find_task(read_bundle_record(folder).schema.task)
    except ExportError:  # what is wrong with its files is said below, where all are looked at
        return verify_bundle(folder, num_threads=num_threads)
    if task.matches_texts:
        return verify_pair(folder, num_threads=num_threads)
    verify = verify_writer if task.tells_texts else verify_bundle
    return verify(folder, num_threads=num_threads)
