"""Files made to harm: whatever path takes them, no code of theirs runs, and weights are checked."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch

from headstart import cli
from headstart.bundles import manifest_bytes
from headstart.errors import RunFolderError, StartError
from headstart.model import open_model
from headstart.starts.weights import read_safetensors


class Canary:
    """Writes a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self):
        return Path.write_text, (self._place, "sung")


@pytest.fixture
def canary(tmp_path):
    place = tmp_path / "sung"
    harm = pickle.dumps(Canary(place))
    pickle.loads(harm)
    assert place.exists()  # the harm is real
    place.unlink()
    yield place, harm
    assert not place.exists()


FORMS = ["plain.pkl", "weights.pt", "weights.bin", "zipped.pt", "weights.safetensors", "data.csv"]


def written(folder: Path, name: str, place: Path, harm: bytes) -> str:
    path = folder / name
    if name == "zipped.pt":
        torch.save({"weight": Canary(place)}, path)
    else:
        path.write_bytes(harm)
    return str(path)


@pytest.mark.parametrize("name", FORMS)
def test_no_path_that_a_verb_takes_runs_a_pickle(name, canary, mlp_bundle, tmp_path, capsys):
    path = written(tmp_path, name, *canary)
    run, out = str(mlp_bundle[0].path), str(tmp_path / "out")
    commands = [
        ["finetune", "digits", "--start", path, "--num-steps", "1", "--out", out],
        ["finetune", path, "--num-steps", "1", "--out", out],
        ["check", path],
        ["rank", path],
        ["predict", run, path],
        ["predict", path, path],
        ["evaluate", run, path],
        ["evaluate", path],
        ["report", path],
        ["export", path, "--out", out],
        ["compare", path, path],
        ["verify", path],
        ["monitor", path],
        ["serve", path, "--port", "0"],
    ]
    for words in commands:
        assert cli.main([*words, "--quiet"] if words[0] != "compare" else words) > 0, words
        assert "Traceback" not in capsys.readouterr().err, words


def test_no_folder_runs_a_pickle(canary, mlp_bundle, tmp_path, capsys):
    place, harm = canary
    for name in ("pytorch_model.bin", "model.pt", ".metadata", "optimizer.pkl"):
        folder = tmp_path / f"hub-{name}"
        folder.mkdir()
        (folder / "config.json").write_text('{"architecture": "resnet18", "model_type": "bert"}')
        written(folder, name, place, harm)
        for words in (
            ["finetune", "digits", "--start", str(folder), "--num-steps", "1"],
            ["predict", str(folder), str(folder)],
            ["verify", str(folder)],
            ["evaluate", str(folder)],
        ):
            assert cli.main([*words, "--quiet"]) > 0, words
    # and in places where headstart's own files lie
    folder = tmp_path / "run"
    shutil.copytree(mlp_bundle[0].path, folder)
    for path in sorted(folder.rglob("*.safetensors")):
        path.write_bytes(harm)
    (folder / ".metadata").write_bytes(harm)
    for words in (["predict", str(folder), str(folder)], ["evaluate", str(folder)]):
        assert cli.main([*words, "--quiet"]) > 0, words
    bundle = tmp_path / "bundle"
    for name in ("golden.npz", "model.onnx", "bundle.json", "MANIFEST.json"):
        for is_listed in (False, True):
            shutil.copytree(mlp_bundle[1], bundle)
            assert (bundle / name).is_file()
            (bundle / name).write_bytes(harm)
            if is_listed and name != "MANIFEST.json":  # whoever writes a file can list it, too
                (bundle / "MANIFEST.json").write_bytes(manifest_bytes(bundle))
            assert cli.main(["verify", str(bundle), "--quiet"]) > 0, (name, is_listed)
            shutil.rmtree(bundle)
    assert "Traceback" not in capsys.readouterr().err


def repacked(path: Path, change) -> None:
    """Write a file of tensors anew with its header changed: text to text, data to data."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    head, data = content[8 : 8 + length].decode(), content[8 + length :]
    head, data = change(head, data)
    path.write_bytes(struct.pack("<Q", len(head.encode())) + head.encode() + data)


def _with(head: str, **changes: object) -> str:
    record = json.loads(head)
    name = next(one for one in record if one != "__metadata__" and "weight" in one)
    record[name] |= changes
    return json.dumps(record)


def _twice(head: str) -> str:
    record = json.loads(head)
    name = next(one for one in record if "weight" in one)
    return head.rstrip()[:-1] + f", {json.dumps(name)}: {json.dumps(record[name])}}}"


HARM = {
    "a header beyond the file": lambda p: p.write_bytes(
        struct.pack("<Q", 2**40) + p.read_bytes()[8:]
    ),
    "a header of 200 MB": lambda p: repacked(p, lambda h, d: (h + " " * 200_000_000, d)),
    "data that is short": lambda p: repacked(p, lambda h, d: (h, d[:-4])),
    "data that is long": lambda p: repacked(p, lambda h, d: (h, d + b"\0" * 4)),
    "offsets that overlap": lambda p: repacked(
        p, lambda h, d: (_with(h, data_offsets=[0, 4], shape=[1]), d)
    ),
    "offsets that overflow": lambda p: repacked(
        p, lambda h, d: (_with(h, data_offsets=[0, 2**63]), d)
    ),
    "a shape that overflows": lambda p: repacked(
        p, lambda h, d: (_with(h, shape=[2**32, 2**32]), d)
    ),
    "a negative shape": lambda p: repacked(p, lambda h, d: (_with(h, shape=[-1, 4]), d)),
    "another type": lambda p: repacked(p, lambda h, d: (_with(h, dtype="I32"), d)),
    "an unknown type": lambda p: repacked(p, lambda h, d: (_with(h, dtype="PICKLE"), d)),
    "a key twice": lambda p: repacked(p, lambda h, d: (_twice(h), d)),
    "deep nesting": lambda p: repacked(p, lambda h, d: ("[" * 100_000, d)),
}


@pytest.mark.parametrize("kind", HARM)
def test_weights_made_to_harm_are_refused_in_a_sentence(kind, mlp_bundle, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(mlp_bundle[0].path, folder)
    open_model(folder)
    HARM[kind](folder / "model.safetensors")
    with pytest.raises(RunFolderError):
        open_model(folder)
    if kind != "another type":  # which a start says where its network is built
        with pytest.raises(StartError, match="cannot be read"):
            read_safetensors(folder / "model.safetensors")
