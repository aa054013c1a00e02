"""Tiny weights on disk, of timm's networks and of transformers' encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny_text import TEXTS, tiny_record
from torch import nn

SaveTimm = Callable[..., tuple[Path, nn.Module]]


@pytest.fixture
def save_timm(tmp_path: Path) -> SaveTimm:
    """Return a function that writes a random timm network as timm's local-dir folder."""

    def save(
        name: str, *, folder: str = "weights", num_classes: int = 7, **options: object
    ) -> tuple[Path, nn.Module]:
        torch.manual_seed(5)
        network = timm.create_model(name, num_classes=num_classes, **options).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # statistics that a wrong load would show
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        path = tmp_path / folder
        path.mkdir()
        save_file(network.state_dict(), path / "model.safetensors")
        cfg = network.pretrained_cfg
        record = {
            "architecture": name,
            "num_classes": num_classes,
            "model_args": options,
            "pretrained_cfg": {
                "input_size": list(cfg["input_size"]),
                "mean": [0.4, 0.5, 0.6],
                "std": [0.2, 0.25, 0.3],
                "interpolation": "bilinear",
                "license": "mit",
                "tag": "in1k",
                "classifier": cfg["classifier"],
            },
        }
        (path / "config.json").write_text(json.dumps(record))
        return path, network

    return save


SaveText = Callable[..., Path]


@pytest.fixture
def save_text(tmp_path: Path) -> SaveText:
    """Return a function that writes a random encoder with a tokenizer as transformers does.

    ``auto`` names the class that is saved: a bare encoder, or one with a head of some task.
    """

    def save(kind: str, *, folder: str = "encoder", auto: str = "AutoModel") -> Path:
        transformers = pytest.importorskip("transformers")
        from headstart.preprocessing.vocabulary import train_tokenizer

        tokenizer = train_tokenizer(TEXTS, kind, vocab_size=200)
        record = tiny_record(kind, tokenizer.vocab_size)
        config = transformers.CONFIG_MAPPING[kind](
            **{name: value for name, value in record.items() if name != "model_type"}
        )
        torch.manual_seed(3)
        network = getattr(transformers, auto).from_config(config)
        path = tmp_path / folder
        network.save_pretrained(path)
        for name, content in tokenizer.files().items():
            (path / name).write_bytes(content)
        return path

    return save
