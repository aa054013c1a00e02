"""A model: encoder, head, preprocessing, classes and calibration, saved as one pickle-free pair.

``model.safetensors`` holds the weights, ``model.json`` all the rest. Opening rebuilds the
architecture with random weights and then demands exactly the tensors it expects.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
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
from headstart.tensors import to_tensors
from headstart.types import ImageSpec, Inputs, Schema

_FORMAT = 1


class Model(nn.Module):
    """An encoder with a linear head.

    Args:
        encoder: What ``Inputs.arrays`` gives, as tensors (images normalised), to features (B, D).
        schema: What is predicted.
        dropout: Dropped share of the features while training.

    Attributes:
        temperature: Divides logits before they become probabilities; fitted on validation data.
        target_mean: Under regression, the mean of train's targets.
        target_scale: Under regression, their standard deviation: logits are in these units.
    """

    def __init__(self, encoder: Encoder, schema: Schema, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.num_features, schema.num_outputs)
        self.schema = schema
        self.temperature: float = 1.0
        self.target_mean: float = 0.0
        self.target_scale: float = 1.0
        self._dropout = dropout
        spec = encoder.spec
        self._normalise = _Normalise(spec) if isinstance(spec, ImageSpec) else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits.

        Args:
            inputs: By modality. Images: floats (B, C, H, W) in [0, 1], C 1 or 3, of any size.
                Texts: token ids and mask, int64 (B, T), or term weights (B, V). Tables: numbers
                (B, F) and codes, int64 (B, G).

        Returns:
            Shape (B, K); (B, 1) under regression.
        """
        features = self.features(*inputs)
        if self._dropout and self.training:
            features = functional.dropout(features, self._dropout)
        logits: Tensor = self.head(features)
        return logits

    def features(self, *inputs: Tensor) -> Tensor:
        """Return features, shape (B, D), of the same inputs as ``forward`` takes."""
        if self._normalise is not None:
            inputs = (self._normalise(*inputs),)
        features: Tensor = self.encoder(*inputs)
        return features

    def standard_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return targets as the loss takes them: under regression float32 in standard units."""
        if self.schema.task != "regression":
            return targets
        standard: np.ndarray = (targets - self.target_mean) / self.target_scale
        return standard.astype(np.float32)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device

    def save(self, write: Callable[[str, bytes], None], about: Mapping[str, object]) -> None:
        """Write ``model.safetensors``, the encoder's own files, and then ``model.json``.

        Args:
            write: Writes a file of a name atomically.
            about: What a reader wants to know besides (strategy, data name …).
        """
        # clones: safetensors refuses tensors that share memory, as tied weights do
        state = {n: t.detach().cpu().contiguous().clone() for n, t in self.state_dict().items()}
        write("model.safetensors", save(state))
        for name, content in self.encoder.files().items():
            write(name, content)
        record = {
            "format": _FORMAT,
            "start": asdict(self.encoder.start),
            "architecture": self.encoder.architecture,
            "spec": asdict(self.encoder.spec),
            "schema": asdict(self.schema),
            "temperature": self.temperature,
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
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
        # a copy: two runs opened with the same module must not share its weights
        encoder = rebuild_encoder(record["architecture"], deepcopy(module), folder=path)
        if not schema.classes and schema.task != "regression":
            raise ValueError("no classes")
        if json.loads(json.dumps(asdict(encoder.spec))) != record["spec"]:
            raise ValueError("spec and architecture tell two preprocessings")
        state = load_file(str(path / "model.safetensors"))
        numbers = [float(record[n]) for n in ("temperature", "target_mean", "target_scale")]
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
    model.temperature, model.target_mean, model.target_scale = numbers
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
    inputs: Inputs,
    compute: Callable[..., Tensor],
    *,
    name: str | None = None,
    batch_size: int = 128,
) -> np.ndarray:
    """Compute something for every sample, batch by batch, in eval mode.

    Samples of like length share a batch, so that little is computed on padding; the rows come back
    in the order of the samples.

    Args:
        model: Gives the device.
        inputs: The samples.
        compute: What a model's forward takes, B rows, to a tensor of B rows.
        name: Name of the progress line; None shows none.
        batch_size: Samples a pass.

    Returns:
        float32, N rows.
    """
    num = len(inputs)
    lengths = inputs.lengths
    order = np.arange(num) if lengths is None else np.argsort(lengths, kind="stable")
    rows = []
    with evaluating(model):
        for start in range(0, num, batch_size):
            arrays = inputs.arrays(order[start : start + batch_size])
            rows.append(compute(*to_tensors(arrays, model.device)).float().cpu().numpy())
            if name:
                emit("task", name=name, done=min(start + batch_size, num), total=num)
    found = np.concatenate(rows)
    if lengths is None:
        return found
    back = np.empty_like(found)
    back[order] = found
    return back


class _Normalise(nn.Module):
    """Bring float images (B, C, H, W) in [0, 1] to the channels, size and scale of a spec."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised images (B, C, S, S)."""
        spec = self.spec
        if images.shape[1] == 1 and spec.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[-1] != spec.size or images.shape[-2] != spec.size:
            images = functional.interpolate(
                images, size=(spec.size, spec.size), mode=spec.interpolation, align_corners=False
            )
        normalised: Tensor = (images - self.mean) / self.std
        return normalised


def library_versions() -> dict[str, str]:
    """Return the versions that decide what a model computes."""
    names = ("headstart", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")
    found = {name: version(name) for name in names}
    for name in ("transformers", "tokenizers", "peft"):  # the extra for texts
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return {"python": platform.python_version(), **found}
