"""What cannot be signed is refused before anything is computed, and without the packages for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import headstart as hs
from headstart.bundles import manifest_bytes, signing
from headstart.bundles.signing import SIGNATURE, check_signature, sign_bundle
from headstart.errors import ExportError


def other_export(folder: Path, *names: str) -> Path:
    """Return a folder with a manifest, as ``export --to safetensors`` and ``--to pt2`` write it."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(json.dumps({"of": name}))
    (folder / "MANIFEST.json").write_bytes(manifest_bytes(folder))
    return folder


KINDS = {
    "weights": ("model.safetensors", "model.json"),
    "a program": ("model.pt2", "bundle.json"),
    "a network alone": ("model.onnx",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_nothing_verifies_is_not_signed(kind, tmp_path, mlp_bundle, heard):
    folder = other_export(tmp_path / "export", *KINDS[kind])
    key = str(tmp_path / "none.pem")
    for refused in (
        lambda: sign_bundle(folder, Path(key)),
        lambda: check_signature(folder, Path(key)),
        lambda: hs.verify(str(folder)),
    ):
        with pytest.raises(ExportError, match="export of another kind") as found:
            refused()
    signing.check_is_served(mlp_bundle[1])  # the advice: --to onnx
    heard(found.value)


def test_of_a_run_it_is_said_that_it_is_no_bundle_and_not_that_it_should_be_signed(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ExportError, match=r"is no bundle: its MANIFEST\.json"):
        hs.verify(str(tmp_path), signed_by=str(tmp_path / "public.pem"))


def test_a_server_of_signed_bundles_exports_no_run(mlp_bundle, tmp_path, monkeypatch, heard):
    monkeypatch.setattr("headstart.recipes.serve._export", pytest.fail)
    run = mlp_bundle[0].path
    with pytest.raises(ExportError, match="a run is not signed") as found:
        hs.serve([str(mlp_bundle[1]), str(run)], port=0, signed_by=str(tmp_path / "public.pem"))
    # the advice: what is exported can be signed
    signing.check_is_served(mlp_bundle[1])
    heard(found.value)


def test_what_is_not_signed_is_said_before_packages_are_asked_for(mlp_bundle, tmp_path):
    folder = tmp_path / "rows"
    shutil.copytree(mlp_bundle[1], folder)
    (folder / SIGNATURE).unlink(missing_ok=True)
    with pytest.raises(ExportError, match="is not signed"):
        check_signature(folder, tmp_path / "public.pem")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "[\"Extra files found in model 'm': a b.txt, it's.txt\"]",
            "'a b.txt' has come, 'it's.txt' has come",
        ),
        ("[\"Missing files in model 'm': README.md\"]", "'README.md' is missing"),
        (
            str([f"Hash mismatch for 'f{n}': Expected 'D(b\"\\x86'\")'" for n in range(7)]),
            "'f0' has changed, 'f1' has changed, 'f2' has changed, 'f3' has changed, 'f4' has "
            "changed and 2 more",
        ),
    ],
)
def test_files_that_differ_are_named_without_their_digests(told, reason):
    assert signing._reason(ValueError(f"Signature mismatch: {told}")) == reason
