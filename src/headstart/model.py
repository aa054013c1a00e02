"""A model: encoder, head, preprocessing, classes and calibration, saved as one pickle-free pair.

``model.safetensors`` holds the weights, ``model.json`` all the rest. Opening rebuilds the
architecture with random weights and then demands exactly the tensors it expects.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import RunFolderError
from headstart.events import emit
from headstart.starts import Encoder, rebuild_encoder
from headstart.types import ImageSpec, Schema

_FORMAT = 1


class Model(nn.Module):
    """An encoder with a linear head.

    Args:
        encoder: Images (B, C, S, S) to features (B, D).
        schema: What is predicted.
        dropout: Dropped share of the features while training.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, encoder: Encoder, schema: Schema, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.num_features, len(schema.classes))
        self.schema = schema
        self.temperature: float = 1.0
        self._dropout = dropout
        spec = encoder.spec
        self.register_buffer("_mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits.

        Args:
            images: Float images, shape (B, C, H, W), in [0, 1], C 1 or 3, of any size.

        Returns:
            Shape (B, K).
        """
        features = self.features(images)
        if self._dropout and self.training:
            features = functional.dropout(features, self._dropout)
        logits: Tensor = self.head(features)
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return features, shape (B, D), of float images, shape (B, C, H, W), in [0, 1]."""
        spec = self.encoder.spec
        if images.shape[1] == 1 and spec.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[-1] != spec.size or images.shape[-2] != spec.size:
            images = functional.interpolate(
                images, size=(spec.size, spec.size), mode=spec.interpolation, align_corners=False
            )
        features: Tensor = self.encoder((images - self._mean) / self._std)
        return features

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device

    def save(self, write: Callable[[str, bytes], None], about: Mapping[str, object]) -> None:
        """Write ``model.safetensors`` and then ``model.json``.

        Args:
            write: Writes a file of a name atomically.
            about: What a reader wants to know besides (strategy, data name …).
        """
        # clones: safetensors refuses tensors that share memory, as tied weights do
        state = {n: t.detach().cpu().contiguous().clone() for n, t in self.state_dict().items()}
        write("model.safetensors", save(state))
        record = {
            "format": _FORMAT,
            "start": asdict(self.encoder.start),
            "architecture": self.encoder.architecture,
            "spec": asdict(self.encoder.spec),
            "schema": asdict(self.schema),
            "temperature": self.temperature,
            "versions": library_versions(),
            **about,
        }
        write("model.json", json.dumps(record, indent=2).encode())


def open_model(path: Path, module: nn.Module | None = None) -> tuple[Model, dict[str, object]]:
    """Open a saved model.

    Args:
        path: A run folder.
        module: The user's own module, where the run was started from one.

    Returns:
        The model in eval mode, and the content of ``model.json``.

    Raises:
        RunFolderError: If a file is missing, damaged, or does not fit the other.
    """
    try:
        record = json.loads((path / "model.json").read_text())
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']!r}, this headstart reads {_FORMAT}")
        schema = Schema(**{**record["schema"], "classes": tuple(record["schema"]["classes"])})
        spec = record["spec"]
        spec = ImageSpec(**{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])})
        # a copy: two runs opened with the same module must not share its weights
        encoder = rebuild_encoder(record["architecture"], deepcopy(module))
        if not schema.classes:
            raise ValueError("no classes")
        if spec != encoder.spec:
            raise ValueError("spec and architecture tell two preprocessings")
        state = load_file(str(path / "model.safetensors"))
        temperature: float = float(record["temperature"])
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{path} has no {Path(error.filename).name if error.filename else 'model'}; expected a "
            f"run folder with model.json and model.safetensors. Give the --out of a finished run."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}: {error}); expected what headstart wrote. "
            f"Run the training again with --overwrite."
        ) from error
    model = Model(encoder, schema)
    expected = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    found = {n: tuple(t.shape) for n, t in state.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise RunFolderError(
            f"{path}/model.safetensors does not fit model.json: '{wrong[0]}' has shape "
            f"{found.get(wrong[0])}, expected {expected.get(wrong[0])}. Run the training again."
        )
    unfinite = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if unfinite:
        raise RunFolderError(
            f"{path}/model.safetensors holds numbers that are not finite in '{unfinite[0]}'; "
            f"expected finite weights. Run the training again."
        )
    model.load_state_dict(state, strict=True)
    model.temperature = temperature
    return model.eval(), record


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode without gradients inside the block; modes are restored after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def run_batches(
    model: Model,
    images: np.ndarray,
    compute: Callable[[Tensor], Tensor],
    *,
    name: str | None = None,
    batch_size: int = 128,
) -> np.ndarray:
    """Compute something for every image, batch by batch, in eval mode.

    Args:
        model: Gives the device.
        images: uint8, shape (N, S, S, C).
        compute: Float images (B, C, S, S) in [0, 1] to a tensor of B rows.
        name: Name of the progress line; None shows none.
        batch_size: Images a pass.

    Returns:
        float32, N rows.
    """
    rows = []
    with evaluating(model):
        for start in range(0, len(images), batch_size):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
            floats = pixels.to(model.device).permute(0, 3, 1, 2).to(torch.float32).div_(255)
            rows.append(compute(floats).float().cpu().numpy())
            if name:
                emit(
                    "task", name=name, done=min(start + batch_size, len(images)), total=len(images)
                )
    return np.concatenate(rows)


def library_versions() -> dict[str, str]:
    """Return the versions that decide what a model computes."""
    names = ("headstart", "torch", "torchvision", "timm", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
