"""Signed bundles: what is signed is what is there, by whose key; others' tool says the same."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import headstart as hs
from headstart import cli
from headstart.bundles import manifest_bytes
from headstart.bundles.signing import SIGNATURE
from headstart.errors import ExportError, OptionError
from headstart.events import listen

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from serving_process import ServingProcess

for package in ("model_signing", "OpenSSL"):
    pytest.importorskip(package)


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a private key and its public one."""
    from cryptography.hazmat.primitives import serialization as ways
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    form = (ways.Encoding.PEM, ways.PrivateFormat.PKCS8)
    private.write_bytes(key.private_bytes(*form, ways.NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(ways.Encoding.PEM, ways.PublicFormat.SubjectPublicKeyInfo)
    )
    secret = ways.BestAvailableEncryption(b"secret")
    (folder / f"{name}.locked").write_bytes(key.private_bytes(*form, secret))
    return private, public


@pytest.fixture
def signed(mlp_bundle, tmp_path):
    private, public = make_keys(tmp_path, "ours")
    folder = tmp_path / "rows"
    shutil.copytree(mlp_bundle[1], folder)
    assert hs.sign(str(folder), key=str(private), quiet=True) == folder / SIGNATURE
    return folder, private, public


def test_a_signature_holds_wherever_the_bundle_lies(signed, tmp_path, capsys):
    folder, private, public = signed
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(folder, moved)
    said = ["verify", str(moved), "--signed-by", str(public), "--quiet"]
    assert cli.main(said) == 0
    assert f"signed with the key of {public}" in " ".join(capsys.readouterr().out.split())
    assert cli.main([*said, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signed_by"] == str(public)
    assert cli.main(["sign", str(moved), "--key", str(private), "--quiet"]) == 0  # once more
    hs.verify(str(moved), signed_by=str(public))
    hs.verify(str(moved))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(moved), "--signature"]
    done = subprocess.run(
        [*command, str(moved / SIGNATURE), "--public_key", str(public)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_next_command_of_sign_checks_the_signature(signed, heard):
    folder, private, public = signed
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        hs.sign(str(folder), key=str(private))
    (command,) = [fields["command"] for kind, fields in told if kind == "next"]
    words = shlex.split(command.replace("PUBLIC", str(public)))
    assert words[0] == "headstart"
    assert cli.main([*words[1:], "--quiet"]) == 0
    heard(command)


def relabelled(folder: Path) -> None:
    """Change what a bundle says, as somebody would who can write all of its files."""
    record = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(record.replace('"temperature"', '"temperature" ', 1))
    (folder / "MANIFEST.json").write_bytes(
        manifest_bytes(folder)  # which lists the signature, too: so be it
    )


CHANGES = {
    "a file and the manifest": relabelled,
    "a file more": lambda folder: (folder / "more.txt").write_text("x"),
    "a hidden file more": lambda folder: (folder / ".gitattributes").write_text("x"),
    "a file less": lambda folder: (folder / "README.md").unlink(),
    "a link": lambda folder: (folder / "linked").symlink_to("/etc/hostname"),
    "no signature": lambda folder: (folder / SIGNATURE).unlink(),
    "no JSON": lambda folder: (folder / SIGNATURE).write_text("no"),
    "an empty object": lambda folder: (folder / SIGNATURE).write_text("{}"),
    "a cut signature": lambda folder: (folder / SIGNATURE).write_bytes(
        (folder / SIGNATURE).read_bytes()[:-40]
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_changed_is_refused(signed, kind, heard):
    folder, private, public = signed
    CHANGES[kind](folder)
    with pytest.raises(ExportError, match=r"not what was signed|is not signed") as refused:
        hs.verify(str(folder), signed_by=str(public))
    if kind in ("no signature", "no JSON"):  # the advice: sign it again
        hs.sign(str(folder), key=str(private))
        hs.verify(str(folder), signed_by=str(public))
        heard(refused.value)


def test_another_key_is_refused(signed, tmp_path):
    folder, _, public = signed
    other, strangers = make_keys(tmp_path, "theirs")
    with pytest.raises(ExportError, match="not what was signed with the key of"):
        hs.verify(str(folder), signed_by=str(strangers))
    hs.sign(str(folder), key=str(other))
    hs.verify(str(folder), signed_by=str(strangers))
    with pytest.raises(ExportError, match="not what was signed with the key of"):
        hs.verify(str(folder), signed_by=str(public))


def test_what_is_no_key_is_refused(signed, tmp_path, heard):
    from cryptography.hazmat.primitives import serialization as ways
    from cryptography.hazmat.primitives.asymmetric import ed25519

    folder, private, public = signed
    edwards = tmp_path / "edwards.pem"
    edwards.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            ways.Encoding.PEM, ways.PrivateFormat.PKCS8, ways.NoEncryption()
        )
    )
    refusals = []
    for path in (tmp_path / "none", tmp_path, public, private.with_suffix(".locked"), edwards):
        with pytest.raises(OptionError, match=r"key .* (holds|cannot be read)") as refused:
            hs.sign(str(folder), key=str(path))
        refusals.append(refused.value)
    for path in (tmp_path / "none", private, folder / "model.onnx"):
        with pytest.raises(OptionError, match=r"signed_by .* (holds|cannot be read)") as refused:
            hs.verify(str(folder), signed_by=str(path))
        refusals.append(refused.value)
    commands = str(refusals[0]).partition("Make a pair: ")[2].removesuffix(".")
    made = []
    for _ in range(2):  # what is there is the key of something: it is not written over
        subprocess.run(["bash", "-ec", commands], cwd=tmp_path, check=True, capture_output=True)
        made.append((tmp_path / "private.pem").read_bytes())
    assert made[0] == made[1]
    hs.sign(str(folder), key=str(tmp_path / "private.pem"))
    hs.verify(str(folder), signed_by=str(tmp_path / "public.pem"))
    for one in refusals:
        heard(one)


def test_a_changed_bundle_is_not_signed(signed):
    folder, private, _ = signed
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match="is not what was exported"):
        hs.sign(str(folder), key=str(private))


def test_a_server_takes_what_is_signed_alone(signed, mlp_bundle, tmp_path):
    folder, _, public = signed
    with pytest.raises(ExportError, match="is not signed"):
        hs.serve([str(mlp_bundle[1])], port=0, signed_by=str(public))
    place = tmp_path / "served"
    place.symlink_to(folder.name)
    with ServingProcess(place, options=("--signed-by", str(public))) as server:
        shutil.copytree(mlp_bundle[1], tmp_path / "newer")
        (tmp_path / "next").symlink_to("newer")
        os.replace(tmp_path / "next", place)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("Not swapped, the former bundles go on: .* is not signed")
        assert server.get("/v2/health/ready") == {"ready": True}
