"""A model on disk: weights and record as one pickle-free pair.

``model.safetensors`` holds the weights, ``model.json`` all the rest. Opening rebuilds the
architecture with random weights and then demands exactly the tensors it expects.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from headstart.errors import OptionError, RunFolderError
from headstart.model.heads import find_head
from headstart.model.network import Model
from headstart.starts import rebuild_encoder
from headstart.storage.records import FORMAT, num_members, refuse_other_format, refuse_start
from headstart.storage.tensor_names import refuse_names_twice
from headstart.tasks import find_task
from headstart.types import Deciding, Schema

# What reading a record may raise that is not as it was written; an unknown task is an option's.
_DAMAGE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OSError,
    SafetensorError,
    OptionError,
)


def write_model(
    model: Model, write: Callable[[str, bytes], None], about: Mapping[str, object]
) -> None:
    """Write ``model.safetensors``, the files of the preprocessing, and then ``model.json``.

    Args:
        model: What is written.
        write: Writes a file of a name atomically.
        about: What a reader wants to know besides (strategy, data name …).
    """
    # clones: safetensors refuses tensors that share memory, as tied weights do
    state = {n: t.detach().cpu().contiguous().clone() for n, t in model.state_dict().items()}
    write("model.safetensors", save(state))
    for name, content in model.encoder.preprocess.files().items():
        write(name, content)
    record = {
        "format": FORMAT,
        "start": asdict(model.encoder.start),
        "architecture": model.encoder.architecture,
        "schema": asdict(model.schema),
        "head": model.head_name,
        "temperature": model.temperature,
        "target_mean": model.target_mean,
        "target_scale": model.target_scale,
        "deciding": model.task.deciding.to_json(),
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
        refuse_ensemble(path, record)
        refuse_start(path, record)
        refuse_other_format(path, record["format"], record.get("versions"))
        schema = Schema.from_json(record["schema"])
        # a copy: two runs opened with the same module must not share its weights
        encoder = rebuild_encoder(record["architecture"], deepcopy(module), folder=path)
        if not schema.classes and find_task(schema.task).has_classes:
            raise ValueError("no classes")
        head = str(record["head"])
        find_head(head)
        state = load_file(str(path / "model.safetensors"))
        refuse_names_twice(path / "model.safetensors")
        deciding = Deciding.from_json(record.get("deciding"), len(schema.classes))
        numbers = [float(record[n]) for n in ("temperature", "target_mean", "target_scale")]
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{path} has no {Path(error.filename).name if error.filename else 'model'}; expected a "
            f"run folder with model.json and model.safetensors. Give the --out of a finished run."
        ) from error
    except _DAMAGE as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}: {error}); expected what headstart wrote. "
            f"Run the training again with --overwrite."
        ) from error
    model = Model(encoder, schema, head=head)
    _refuse_unfitting(path, model, state)
    model.load_state_dict(state, strict=True)
    model.temperature, model.target_mean, model.target_scale = numbers
    model.decide_by(deciding)
    return model.eval(), record


def _refuse_unfitting(path: Path, model: Model, state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of a model.

    Raises:
        RunFolderError: Naming the first.
    """
    own = model.state_dict()
    expected = {n: tuple(t.shape) for n, t in own.items()}
    found = {n: tuple(t.shape) for n, t in state.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise RunFolderError(
            f"{path}/model.safetensors does not fit model.json: '{wrong[0]}' has shape "
            f"{found.get(wrong[0])}, expected {expected.get(wrong[0])}. Run the training again."
        )
    for name, tensor in state.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise RunFolderError(
                f"{path}/model.safetensors does not fit model.json: '{name}' is {tensor.dtype}, "
                f"expected {own[name].dtype}. Run the training again."
            )
    unfinite = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if unfinite:
        raise RunFolderError(
            f"{path}/model.safetensors holds numbers that are not finite in '{unfinite[0]}'; "
            f"expected finite weights. Run the training again."
        )


def refuse_ensemble(path: Path, record: dict[str, object]) -> None:
    """Refuse a folder that holds several models, with the way to each.

    Raises:
        RunFolderError: Naming the folder of its first member.
    """
    if (num := num_members(record)) > 1:
        raise RunFolderError(
            f"{path} holds an ensemble of {num} models that answer together; expected a single "
            f"model. Give one of its members, which is a run folder of its own: {path}/members/1."
        )


def library_versions() -> dict[str, str]:
    """Return the versions that decide what a model computes."""
    names = ("headstart", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")
    found = {name: _version(name) for name in names}
    for name in ("transformers", "tokenizers", "peft"):  # the extra for texts
        with suppress(PackageNotFoundError):
            found[name] = _version(name)
    return {"python": platform.python_version(), **found}


@cache
def _version(name: str) -> str:
    """Return a package's version; what is installed stays so, and reading it takes 5 ms."""
    return version(name)
