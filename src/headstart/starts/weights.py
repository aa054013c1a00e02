"""Weights: read from safetensors files and the hub, and checked before anything uses them.

Only safetensors is read (the pip packages' pickles are the one exception, pinned by hash in
``lite.py``). Every tensor is checked against the network it goes into: names, shapes, number
types, finite values. A file that does not fit is refused with the first few reasons; nothing is
loaded partly, and nothing falls back to a pickle. What a tensor means is not decided here.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from headstart.errors import StartError, first_line, quoted
from headstart.events import emit
from headstart.starts.addresses import WEIGHTS_NAME, refuse_pickle
from headstart.storage.tensor_names import refuse_names_twice

PROBE_SECONDS = 8.0
OFFLINE_STARTS = ("pip/efficientnet-lite0", "scratch/simple-cnn", "scratch/resnet18")


def read_safetensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, and check that every value is finite.

    Args:
        path: The file.
        prefix: Only tensors whose name starts so are read; the prefix is taken off.

    Returns:
        Tensors on the CPU by name.

    Raises:
        StartError: If the file is a pickle, cannot be read, is empty, or holds NaN or infinity.
    """
    from safetensors import SafetensorError, safe_open

    refuse_pickle(path)
    tensors = {}
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  (a safetensors handle is not a mapping)
                if name.startswith(prefix):
                    tensors[name.removeprefix(prefix)] = file.get_tensor(name)
        refuse_names_twice(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StartError(
            f"The weights file '{path}' cannot be read ({error}). Expected a safetensors file. "
            f"Copy or convert it again."
        ) from error
    if not tensors:
        what = f"no tensor named '{prefix}…'" if prefix else "no tensors"
        raise StartError(f"The weights file '{path}' holds {what}. Give a file with weights.")
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise StartError(
            f"The weights file '{path}' holds NaN or infinity in {quoted(bad, 3)}. Expected finite "
            f"numbers. The file is damaged or its training diverged: use another one."
        )
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file's header, empty where it has none.

    Raises:
        StartError: If the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise StartError(
            f"The weights file '{path}' cannot be read ({error}). Expected a safetensors file. "
            f"Copy or convert it again."
        ) from error


def find_mismatches(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return every reason why tensors do not fit a network, empty when they fit.

    The counters of BatchNorm (``num_batches_tracked``) may be missing: older files lack them and
    no result depends on them.

    Args:
        tensors: What a file holds, by name.
        expected: The network's state dict.
    """
    reasons = [
        f"'{name}' is missing"
        for name in expected
        if name not in tensors and not name.endswith("num_batches_tracked")
    ]
    reasons += [f"'{name}' is not known" for name in tensors if name not in expected]
    for name, want in expected.items():
        have = tensors.get(name)
        if have is None:
            continue
        if have.shape != want.shape:
            reasons.append(f"'{name}' has shape {tuple(have.shape)} instead of {tuple(want.shape)}")
        elif have.is_floating_point() != want.is_floating_point():
            reasons.append(f"'{name}' is {have.dtype} instead of {want.dtype}")
    return reasons


def load_checked(
    network: torch.nn.Module, tensors: Mapping[str, Tensor], address: str, advice: str
) -> None:
    """Load tensors into a network, or refuse them whole.

    Args:
        network: Receives the values, converted to its own number types.
        tensors: Values by name.
        address: Names the start in a refusal.
        advice: Last sentence of a refusal.

    Raises:
        StartError: If a name, shape or number type differs.
    """
    state = network.state_dict()
    reasons = find_mismatches(tensors, state)
    if reasons:
        shown = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if reasons[3:] else "")
        raise StartError(f"The weights of '{address}' do not fit the network: {shown}. {advice}")
    network.load_state_dict({**state, **tensors})


def cached_hub_file(repo_id: str, filename: str = WEIGHTS_NAME) -> Path | None:
    """Return a hub file that lies in the local cache, or None; never uses the network.

    Args:
        repo_id: ``owner/name`` with an optional ``@revision``.
        filename: The file inside the repository.
    """
    from huggingface_hub import try_to_load_from_cache

    name, _, revision = repo_id.partition("@")
    found = try_to_load_from_cache(name, filename, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def has_cached_hub_files(owner: str) -> bool:
    """Return whether anything of an owner on the hub lies in the local cache.

    Where there is nothing, nobody need ask about each of its repositories, whose names may be known
    only to a library that takes a second to import.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    return any(Path(HF_HUB_CACHE).glob(f"models--{owner}--*"))


def fetch_hub_file(repo_id: str, address: str) -> Path:
    """Return the safetensors file of a hub repository, downloaded unless it is in the cache.

    Args:
        repo_id: ``owner/name`` with an optional ``@revision``.
        address: Names the start in a refusal.

    Raises:
        StartError: If the hub cannot be reached, or the repository has no safetensors file.
    """
    cached = cached_hub_file(repo_id)
    if cached is not None:
        return cached
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    reason = why_unreachable()
    if reason is not None:
        raise _unreachable(address, reason)
    name, _, revision = repo_id.partition("@")
    emit("stage", text=f"Downloading the weights of {address} from the hub")
    try:
        return Path(hf_hub_download(name, WEIGHTS_NAME, revision=revision or None, etag_timeout=5))
    except LocalEntryNotFoundError as error:
        raise _unreachable(address, first_line(error).rstrip(".")) from error
    except EntryNotFoundError as error:
        raise StartError(
            f"The hub repository '{repo_id}' of '{address}' has no {WEIGHTS_NAME}, perhaps only a "
            f"pickle, which is not opened. Choose another start, or convert the weights to "
            f"safetensors and give them as '{address}:<file.safetensors>'."
        ) from error
    except Exception as error:
        # The hub client raises errors of whichever HTTP library its version uses.
        raise _unreachable(address, first_line(error).rstrip(".")) from error


def _unreachable(address: str, reason: str) -> StartError:
    return StartError(
        f"The weights of '{address}' are not on this machine and the hub cannot be reached "
        f"({reason}). Usable offline: {quoted(OFFLINE_STARTS)}; 'headstart starts' lists more."
    )


def why_unreachable() -> str | None:
    """Return why the hub cannot be reached, or None when it answers.

    The hub client retries a dead network for half a minute and name resolution has no time limit
    of its own, so one request is made first, in a thread that is given up after ``PROBE_SECONDS``.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in (
        "1",
        "ON",
        "YES",
        "TRUE",
    ):
        return "HF_HUB_OFFLINE is set"
    outcome: list[str | None] = []
    probe = threading.Thread(target=_ask_hub, args=(constants.ENDPOINT, outcome), daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return outcome[0] if outcome else f"no answer within {PROBE_SECONDS:.0f} s"


def _ask_hub(endpoint: str, outcome: list[str | None]) -> None:
    """Append None when the hub answers at all, otherwise the reason."""
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            outcome.append(None)
    except urllib.error.HTTPError as error:
        error.close()
        outcome.append(None)  # any answer means that it is there; the download says the rest
    except urllib.error.URLError as error:
        outcome.append(str(error.reason))
    except OSError as error:
        outcome.append(str(error))
