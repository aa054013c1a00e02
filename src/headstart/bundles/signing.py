"""Who wrote a bundle: a signature over all its files, by a key that whoever serves it trusts.

The manifest shows that a file has changed, and whoever changes a file can write a manifest anew; a
signature they cannot. It is one of OpenSSF's model signing, a Sigstore bundle with a digest of
every file, so that ``model_signing verify key`` of that project checks it as well. Left out:
signing by an account (Sigstore without keys), which asks servers on the network.

Source: https://github.com/sigstore/model-transparency (model_signing 1.1).
"""

from __future__ import annotations

from pathlib import Path

from headstart.bundles.manifest import check_files
from headstart.errors import ExportError, OptionError
from headstart.extras import require_extra

SIGNATURE = "model.sig"
_PACKAGES = ("model_signing", "OpenSSL")
_PAIR = (
    "openssl ecparam -name prime256v1 -genkey -noout -out private.pem; openssl ec -in private.pem "
    "-pubout -out public.pem"
)


def sign_bundle(folder: Path, key: Path) -> Path:
    """Sign the files of a bundle, in place of a signature that it has.

    Args:
        folder: The bundle.
        key: A file with the private key, on a curve of NIST, in PEM.

    Returns:
        The signature's file, in the bundle.

    Raises:
        PackageMissing: If one is not installed that signatures need.
        OptionError: If the file holds no such key.
        ExportError: If the bundle is not what was exported.
    """
    require_extra("sign", "Signing", *_PACKAGES)
    check_files(folder)
    from model_signing import hashing, signing

    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _no_key("key", key, "private", error) from error
    files = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    temporary = folder / f".{SIGNATURE}.tmp"  # there only after all files were read
    try:
        signer.set_hashing_config(files).sign(folder.resolve(), temporary)  # it follows no link
        temporary.replace(folder / SIGNATURE)
    finally:
        temporary.unlink(missing_ok=True)
    return folder / SIGNATURE


def check_signature(folder: Path, key: Path) -> None:
    """Check that a bundle was signed with a key, and that no file has changed or come since.

    Args:
        folder: The bundle.
        key: A file with the public key, in PEM.

    Raises:
        PackageMissing: If one is not installed that signatures need.
        OptionError: If the file holds no such key.
        ExportError: If it was not.
    """
    require_extra("sign", "Checking a signature", *_PACKAGES)
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _no_key("signed_by", key, "public", error) from error
    path = folder / SIGNATURE
    if path.is_symlink() or not path.is_file():
        raise ExportError(
            f"{folder} is not signed (it has no {SIGNATURE}); expected a signature with the key of "
            f"{key}. Sign it where that key is: headstart sign {folder} --key FILE."
        )
    files = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    try:
        verifier.set_hashing_config(files).verify(folder.resolve(), path)
    except InvalidSignature as error:
        raise _not_signed(folder, key, "its signature is not by this key") from error
    except Exception as error:  # of the library, of protobuf and of JSON, without a common class
        told = str(error).rstrip(". ") or type(error).__name__
        raise _not_signed(folder, key, told) from error


def _not_signed(folder: Path, key: Path, reason: str) -> ExportError:
    return ExportError(
        f"{folder} is not what was signed with the key of {key}: {reason}. Expected every file as "
        "it was signed, and no other. Copy the bundle again, or sign it again: headstart sign "
        f"{folder} --key FILE."
    )


def _no_key(option: str, path: Path, kind: str, error: Exception) -> OptionError:
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OptionError(
        f"{option} {path} holds no {kind} key ({told}); expected one on a curve of NIST, in PEM, "
        f"without a password. Make a pair: {_PAIR}."
    )
