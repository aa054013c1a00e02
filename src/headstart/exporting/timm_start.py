"""A pretrained image start as a folder that timm loads: features, and no classifier.

``timm.create_model("local-dir:<folder>", pretrained=True)`` gives the encoder's features; with
``num_classes=10`` timm puts a classifier of its own on them. What learned beside the encoder is
left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied, unreadable
from headstart.exporting.timm_folder import (
    NUM_CHECKED,
    build_in_timm,
    preprocessing_of,
    recipe_of,
)
from headstart.model.pretrained import Pretrained
from headstart.preprocessing import ImagePreprocess
from headstart.starts.rebuild import read_architecture
from headstart.tensors import evaluating


def export_timm_start(found: Pretrained, folder: str | Path) -> Path:
    """Write a pretrained image start as a folder that timm loads.

    Args:
        found: The start; its encoder is left as it is.
        folder: A new or empty folder.

    Returns:
        The folder.

    Raises:
        ExportError: If the network is none of timm's, the folder is occupied or not writable, or
            what was written does not give the same features; then nothing is left behind.
    """
    import timm

    target, encoder = Path(folder), found.encoder
    address, preprocess = encoder.start.address, encoder.preprocess
    parts = read_architecture(encoder.architecture)
    recipe = recipe_of(parts.builder, parts.options)
    if recipe is None or not isinstance(preprocess, ImagePreprocess):
        raise ExportError(
            f"The start from '{address}' (builder '{parts.builder}') is no architecture of timm. "
            f"Expected one. Fine-tune from its own folder instead: headstart finetune DATA --start "
            f"FOLDER."
        )
    refuse_occupied(target)
    state = {n: t.contiguous().clone() for n, t in encoder.network.state_dict().items()}
    network: Any = build_in_timm(recipe, 0, address)
    whole = network.state_dict()
    if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in whole.items()}:
        raise ExportError(
            f"The weights of '{address}' are not those of timm's '{recipe.name}'. Nothing was "
            f"kept. Please report this with the start's name."
        )
    spec = preprocess.spec
    record = {
        "architecture": recipe.name,
        "num_classes": 0,
        "num_features": encoder.num_features,
        "model_args": recipe.options,
        "pretrained_cfg": {
            **preprocessing_of(spec, is_bound=recipe.is_bound),
            "num_classes": 0,
            "classifier": network.pretrained_cfg.get("classifier"),
            "license": encoder.start.licence,
        },
        "headstart": {"start": address, "pretraining": found.record.get("pretraining")},
    }
    with building(target) as partial:
        save_file(state, partial / "model.safetensors", metadata={"format": "pt"})
        (partial / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        draw = torch.Generator().manual_seed(0)
        images = torch.randn(NUM_CHECKED, spec.channels, spec.size, spec.size, generator=draw)
        try:
            with torch.random.fork_rng(devices=[]):
                loaded = timm.create_model(f"local-dir:{partial}", pretrained=True).eval()
        except Exception as error:
            # timm's builders fail in every way Python knows.
            raise unreadable("timm", target, error) from error
        with evaluating(encoder):
            check_same(loaded(images), encoder(images), target)
    return target
