"""A package that is missing is said before data are looked for, with one exit code everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from advised import in_extra

import headstart as hs
from headstart import errors, extras
from headstart.cli import main
from headstart.errors import DataError, ExportError, OptionError, PackageMissing, StartError
from headstart.exporting import onnx_file

NOWHERE = "no/such/data.csv"  # whoever reads data first would say that they are not there
CASES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "a text start": (("transformers",), ["finetune", NOWHERE, "--start", "scratch/bert-tiny"]),
    "starts of a fit": (("tokenizers",), ["fit", NOWHERE, "--starts", "pip/all-minilm-l6-v2"]),
    "trees of a library": (("lightgbm",), ["finetune", NOWHERE, "--start", "scratch/lightgbm"]),
    "hidden words": (("transformers",), ["pretrain", NOWHERE, "--objective", "mlm"]),
    "an engine": (("onnxruntime",), ["fit", NOWHERE, "--engine", "onnxruntime"]),
    "a server": (("uvicorn",), ["serve", NOWHERE]),
}


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages be missing."""
    real = extras.find_spec

    def find(name: str, *args: Any) -> Any:
        return None if name in names else real(name, *args)

    for module in ("extras", "engines.table"):
        monkeypatch.setattr(f"headstart.{module}.find_spec", find)


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_before_data_are_read(name, monkeypatch, capsys, tmp_path, heard) -> None:
    monkeypatch.chdir(tmp_path)
    missing, words = CASES[name]
    hide(monkeypatch, *missing)
    assert main(words) == PackageMissing.exit_code == 10
    told = capsys.readouterr().err
    assert f"'{missing[0]}'" in told
    assert "Install it: " in told
    assert "no/such" not in told
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(words) != 10  # with the package, it is the data that are missing
    assert "no/such" in capsys.readouterr().err
    heard(told)


def test_weights_of_a_package_are_asked_for_first(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headstart.starts.images.lite._package_dir", lambda model: None)
    assert main(["finetune", NOWHERE, "--start", "pip/efficientnet-lite0"]) == 10
    assert "install" in capsys.readouterr().err


def test_an_export_asks_before_it_loads_data(mlp_bundle, monkeypatch, tmp_path, heard) -> None:
    run, _ = mlp_bundle
    hide(monkeypatch, "onnxscript")
    monkeypatch.setattr("headstart.recipes.bundling.own_data", lambda run: pytest.fail("too late"))
    with pytest.raises(PackageMissing, match=r"'onnxscript'.*headstart\[onnx\]") as refused:
        hs.export(str(run.path), to="onnx", out=str(tmp_path / "out"))
    monkeypatch.undo()
    onnx_file.require_onnx()
    assert in_extra("onnxscript", "onnx")
    heard(refused.value)


def test_a_run_that_is_served_needs_what_exports_it(mlp_bundle, monkeypatch, tmp_path) -> None:
    hide(monkeypatch, "onnx")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    with pytest.raises(PackageMissing, match=r"which is exported first, needs 'onnx'"):
        hs.serve([str(mlp_bundle[0].path)], port=0)


@pytest.mark.parametrize("kind", [OptionError, DataError, StartError, ExportError])
def test_whoever_handles_what_needed_it_handles_it_too(kind: Callable[..., Any]) -> None:
    assert issubclass(PackageMissing, kind)
    assert "PackageMissing" in (errors.__doc__ or "")


def test_a_run_says_which_audit_it_cannot_make_before_it_trains(
    monkeypatch, capsys, tmp_path: Path
) -> None:
    monkeypatch.setattr("headstart.auditing.doubtful_labels.find_spec", lambda name: None)
    words = ["finetune", "digits-8x8", "--start", "scratch/simple-cnn", "--num-steps", "1"]
    assert main([*words, "--device", "cpu", "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().err
    assert told.count("cleanlab is missing") == 1
    assert told.index("cleanlab is missing") < told.index("Fine-tuning")
