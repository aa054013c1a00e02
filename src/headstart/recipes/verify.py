"""Check a bundle: files against digests, answers against golden samples, and who signed it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.events import emit, hushes
from headstart.reporting.console import attached
from headstart.reporting.terminal import fitted

if TYPE_CHECKING:
    from headstart.bundles import Agreement, BundleRecord


@dataclass(frozen=True)
class VerifyReport:
    """What was found of a bundle that is as it was exported.

    Attributes:
        path: Its folder.
        record: What it says of itself.
        version: The first digits of the SHA-256 of its manifest.
        agreement: How far its golden answers are from those that were exported.
        signed_by: The key that it was signed with, as a file; None where none was asked for.
    """

    path: Path
    record: BundleRecord
    version: str
    agreement: Agreement
    signed_by: Path | None = None

    def report(self) -> str:
        """Return what a person wants to know, as plain text."""
        record, found = self.record, self.agreement
        schema = record.schema
        signed = f"  signed with the key of {self.signed_by}\n" if self.signed_by else ""
        return fitted(
            f"{self.path}: {record.name}, version {self.version}, {schema.kind}"
            f"{f' of {len(schema.classes):,} classes' if schema.classes else ''}\n"
            "  every file is as it was exported (SHA-256)\n"
            f"{signed}"
            f"  golden answers are the same: logits differ by {found.largest:.2g}, allowed "
            f"{found.allowed:.2g}\n"
            f"  compared before export on {record.parity.get('samples', 'nothing')}"
        )


@hushes
def verify(bundle: str, *, signed_by: str | None = None, quiet: bool = False) -> VerifyReport:
    """Check that a bundle is what was exported, and still answers as it did.

    Every file is compared with the SHA-256 in its manifest, and the golden samples in it are
    answered by ONNX Runtime and compared with what they gave. PyTorch is not needed.

    Args:
        bundle: A folder that 'headstart export RUN --to onnx' has written.
        signed_by: File with the public key, in PEM, that it has to be signed with ('headstart
            sign').
        quiet: Show no progress.

    Returns:
        What was compared.

    Raises:
        ExportError: If a file is missing or was changed, an answer is another, or it is not signed
            with that key.
        OptionError: If the file holds no public key.
        PackageMissing: If one is that signatures need.

    Example:
        >>> import headstart as hs
        >>> print(hs.verify("runs/digits-onnx").report())  # doctest: +SKIP
    """
    from headstart.bundles.kinds import verify_any

    with attached():
        key = None if signed_by is None else Path(signed_by)
        opened, agreement = verify_any(Path(bundle), signed_by=key)
        told = "" if key is None else f" --signed-by {shlex.quote(str(key))}"
        emit("next", command=f"headstart serve {bundle}{told}")
    return VerifyReport(Path(bundle), opened.record, opened.version, agreement, key)


@hushes
def sign(bundle: str, *, key: str, quiet: bool = False) -> Path:
    """Sign a bundle with a private key.

    The signature covers every file of the bundle and is a file in it. 'headstart verify' and
    'headstart serve' check it where --signed-by names the public key, and so does model_signing of
    OpenSSF. A manifest alone shows that a file has changed, not who wrote it.

    Args:
        bundle: A folder that 'headstart export RUN --to onnx' has written.
        key: File with the private key: on a curve of NIST, in PEM, without a password.
        quiet: Show no progress.

    Returns:
        The signature's file.

    Raises:
        PackageMissing: If one is that signing needs.
        OptionError: If the file holds no such key.
        ExportError: If the bundle is not what was exported.

    Example:
        >>> import headstart as hs
        >>> hs.sign("runs/digits-onnx", key="private.pem")  # doctest: +SKIP
    """
    from headstart.bundles.signing import sign_bundle

    with attached():
        path = sign_bundle(Path(bundle), Path(key))
        emit("next", command=f"headstart verify {bundle} --signed-by PUBLIC")
    return path
