"""Sign a bundle, so that whoever serves it knows who wrote it."""

from __future__ import annotations

from pathlib import Path

from headstart.events import emit, hushes
from headstart.reporting.console import attached


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
