"""Read a checkpoint to which several processes have added the pieces that lay in each.

Its files are safetensors, each with the place of its pieces in the whole, as
``torch.distributed.checkpoint`` writes them: one process alone can read all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.tensor import DTensor

from headstart.training.state.average import own_piece


def read_pieces(
    folder: Path, place: Callable[[str, torch.Size], Tensor | None]
) -> dict[str, Tensor]:
    """Return the tensors in the safetensors files of a folder, whole or what is wanted of them.

    Args:
        folder: The checkpoint of one step.
        place: A tensor's name and shape to where its piece goes, a ``DTensor``; None for a tensor
            that is wanted whole.
    """
    reader = HuggingFaceStorageReader(str(folder))
    wanted: dict[str, Tensor] = {}
    for key, about in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(about, TensorStorageMetadata)
        found = place(key, about.size)
        wanted[key] = torch.empty(about.size) if found is None else found
        wanted[key] = wanted[key].to(about.properties.dtype)
    with warnings.catch_warnings():
        # it warns that it is alone where there is no group of processes: that is meant
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load(wanted, storage_reader=reader, no_dist=True)
    return {key: own_piece(t) if isinstance(t, DTensor) else t for key, t in wanted.items()}
