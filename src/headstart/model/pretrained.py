"""A pretrained start on disk: an encoder, and what learned beside it, without a head.

The files are those of a run (``folder``), so that the folder is a start as a run is one; its
``model.json`` names an objective where a run has a schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from headstart.errors import RunFolderError, StartError
from headstart.model.folder import library_versions
from headstart.starts import Encoder, rebuild_encoder
from headstart.storage.records import FORMAT, find_record, refuse_other_format
from headstart.storage.tensor_names import refuse_names_twice

_ENCODER = "encoder."


@dataclass(frozen=True)
class Pretrained:
    """A pretrained start, opened.

    Attributes:
        encoder: In eval mode, on the CPU.
        own: What learned beside it, by the names of its objective: a decoder, a head over words.
        record: The content of ``model.json``.
    """

    encoder: Encoder
    own: Mapping[str, Tensor]
    record: Mapping[str, object]


def write_pretrained(
    module: nn.Module, write: Callable[[str, bytes], None], about: Mapping[str, object]
) -> None:
    """Write ``model.safetensors``, the files of the preprocessing, and then ``model.json``.

    Args:
        module: What has learned; ``module.encoder`` is the encoder.
        write: Writes a file of a name atomically.
        about: What a reader wants to know besides: the objective, the data, how far it came.
    """
    encoder = module.encoder
    assert isinstance(encoder, Encoder)
    state = {n: t.detach().cpu().contiguous().clone() for n, t in module.state_dict().items()}
    write("model.safetensors", save(state))
    for name, content in encoder.preprocess.files().items():
        write(name, content)
    record = {
        "format": FORMAT,
        "start": asdict(encoder.start),
        "architecture": encoder.architecture,
        "versions": library_versions(),
        **about,
    }
    write("model.json", json.dumps(record, indent=2).encode())


def open_pretrained(path: Path) -> Pretrained:
    """Open a pretrained start.

    Args:
        path: A folder that ``headstart pretrain`` has written.

    Raises:
        RunFolderError: If it holds something else, or a file is missing or damaged.
    """
    record = find_record(path, "model.json")
    if record is None or "objective" not in record:
        raise RunFolderError(
            f"{path} is no pretrained start; expected a folder that headstart pretrain has "
            f"written. Give one."
        )
    refuse_other_format(path, record["format"], record.get("versions"))
    try:
        encoder = rebuild_encoder(record["architecture"], folder=path)
        state = load_file(str(path / "model.safetensors"))
        refuse_names_twice(path / "model.safetensors")
        inside = {n[len(_ENCODER) :]: t for n, t in state.items() if n.startswith(_ENCODER)}
        encoder.load_state_dict(inside, strict=True)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, StartError) as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}: {error}); expected what headstart wrote. "
            f"Run the pretraining again with --overwrite."
        ) from error
    own = {n: t for n, t in state.items() if not n.startswith(_ENCODER)}
    return Pretrained(encoder.eval(), own, record)
