"""Who wrote a bundle: a signature over all its files, by a key that whoever serves it trusts.

The manifest shows that a file has changed, and whoever changes a file can write a manifest anew; a
signature they cannot. It is one of OpenSSF's model signing, a Sigstore bundle with a digest of
every file, so that ``model_signing verify key`` of that project checks it as well. Left out:
signing by an account (Sigstore without keys), which asks servers on the network.

Source: https://github.com/sigstore/model-transparency (model_signing 1.1).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from headstart.bundles.manifest import check_files
from headstart.bundles.records import check_is_served
from headstart.errors import ExportError, OptionError
from headstart.extras import require_extra

SIGNATURE = "model.sig"
_PACKAGES = ("model_signing", "OpenSSL")
_PAIR = (
    "[ -e private.pem ] || openssl ecparam -name prime256v1 -genkey -noout -out private.pem; "
    "openssl ec -in private.pem -pubout -out public.pem"
)
# What the library says of files that are others than were signed.
_MISMATCH = "Signature mismatch: "
_DIFFERENCES = {  # what it calls them, and what is said of each file
    re.compile(r"Hash mismatch for '(.+?)': Expected"): "has changed",
    re.compile(r"Missing files in model '.*?': (.+)"): "is missing",
    re.compile(r"Extra files found in model '.*?': (.+)"): "has come",
}
_MOST_NAMED = 5


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
        ExportError: If the bundle is not what was exported, or is of a kind that is not verified.
    """
    check_files(folder)
    check_is_served(folder)
    require_extra("sign", "Signing", *_PACKAGES)
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
    check_is_served(folder)  # what is no bundle is said to be none
    path = folder / SIGNATURE
    if path.is_symlink() or not path.is_file():
        raise ExportError(
            f"{folder} is not signed (it has no {SIGNATURE}); expected a signature with the key of "
            f"{key}. Sign it where that key is: headstart sign {folder} --key FILE."
        )
    require_extra("sign", "Checking a signature", *_PACKAGES)
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _no_key("signed_by", key, "public", error) from error
    files = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    try:
        verifier.set_hashing_config(files).verify(folder.resolve(), path)
    except InvalidSignature as error:
        raise _not_signed(folder, key, "its signature is not by this key") from error
    except Exception as error:  # of the library, of protobuf and of JSON, without a common class
        raise _not_signed(folder, key, _reason(error)) from error


def _reason(error: Exception) -> str:
    """Say why files are not those that were signed, without the bytes of their digests."""
    told = str(error).rstrip(". ") or type(error).__name__
    if "key hash" in told and "not match" in told:
        return "it was signed with another key"
    if not told.startswith(_MISMATCH):
        return f"its signature cannot be checked ({told})"
    found: list[str] = []
    for one in ast.literal_eval(told.removeprefix(_MISMATCH)):
        for pattern, what in _DIFFERENCES.items():
            if names := pattern.match(one):
                found += [f"'{name}' {what}" for name in names[1].split(", ")]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return (", ".join(found[:_MOST_NAMED]) + more) or told


def _not_signed(folder: Path, key: Path, reason: str) -> ExportError:
    return ExportError(
        f"{folder} is not what was signed with the key of {key}: {reason}. Expected every file as "
        "it was signed, and no other. Copy the bundle again, or sign what is exported anew: "
        f"headstart sign {folder} --key FILE."
    )


def _no_key(option: str, path: Path, kind: str, error: Exception) -> OptionError:
    told = str(error)
    if isinstance(error, OSError):
        wrong = f"cannot be read ({error.strerror or error})"
    elif isinstance(error, AttributeError) or "curve" in told:  # RSA, Ed25519; secp256k1
        wrong = f"holds no {kind} key of these curves: P-256, P-384, P-521"
    elif isinstance(error, TypeError):
        wrong = f"holds a {kind} key that has a password"
    else:
        wrong = f"holds no {kind} key"
    return OptionError(
        f"{option} {path} {wrong}; expected a {kind} key on a curve of NIST, in PEM, without a "
        f"password. Make a pair: {_PAIR}."
    )
