"""Weights of transformers encoders: found in a package, a folder or the hub, and checked.

Only safetensors is read. Reading goes through transformers' own ``from_pretrained``, which knows
the names that older releases used; what it reports as missing, of another shape or not finite is
refused, except for the layers between encoder and classifier, which a language model does not
bring: those start random, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from headstart.errors import StartError, did_you_mean, first_line, quoted
from headstart.events import emit
from headstart.extras import quiet_transformers
from headstart.starts.addresses import PICKLE_SUFFIXES, WEIGHTS_NAME, Address
from headstart.starts.texts.catalog import CURATED, cached_folder, require_pip_folder
from headstart.starts.texts.configs import (
    Pooling,
    attention_of,
    classifier_name,
    model_class_of,
    read_config,
    without_pooler,
)
from headstart.starts.texts.networks import TextNetwork, mean_network, native_network
from headstart.starts.weights import why_unreachable

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

OFFLINE_TEXT_STARTS = ("pip/all-minilm-l6-v2", "scratch/bert-tiny", "scratch/tfidf")
# What a transformers start needs of a repository: no pickles, no ONNX, nothing in folders.
HUB_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)


def find_folder(address: Address) -> Path:
    """Return the transformers folder that an address names, downloaded where need be.

    Args:
        address: Of kind ``pip``, ``hub`` or ``transformers``.

    Raises:
        StartError: If it is not to be had.
    """
    if address.kind == "pip":
        return require_pip_folder(address.text)
    if address.kind == "hub":
        return _hub_folder(address.name)
    assert address.path is not None
    return address.path


def load_network(
    folder: Path, config: Mapping[str, object], pooling: Pooling, origin: str
) -> TextNetwork:
    """Load the network of a transformers folder; what it lacks is drawn from the random state.

    Args:
        folder: Holds ``config.json`` and safetensors.
        config: The configuration to build, perhaps with another dropout.
        pooling: How features come about.
        origin: Names the start in a refusal.

    Raises:
        StartError: If weights are missing, of another shape, or not finite.
    """
    read = read_config(config, origin)
    model_class = model_class_of(read, pooling)
    base = f"{model_class.base_model_prefix}." if pooling == "native" else ""
    classifier = f"{classifier_name(read, origin)}." if pooling == "native" else ""
    model, random = read_weights(
        model_class,
        folder,
        read,
        origin,
        may_lack=lambda name: not _is_encoder(name, base),
        may_differ=lambda name: bool(classifier) and name.startswith(classifier),
        **(without_pooler(model_class) if pooling == "mean" else {}),
    )
    model.train()
    network = native_network(model) if pooling == "native" else mean_network(model)
    _tell_random(network, random, origin)
    return network


def read_weights(
    model_class: type[PreTrainedModel],
    folder: Path,
    config: PretrainedConfig,
    origin: str,
    *,
    may_lack: Callable[[str], bool] = lambda _: False,
    may_differ: Callable[[str], bool] = lambda _: False,
    **options: bool,
) -> tuple[PreTrainedModel, list[str]]:
    """Read a model of transformers in float32; what the folder lacks is drawn at random.

    Args:
        model_class: Of transformers.
        folder: Holds safetensors.
        config: The configuration to build.
        origin: Names the start in a refusal.
        may_lack: Whether the folder may have no weights of a parameter's name.
        may_differ: Whether they may have another shape.
        **options: Of the model's class.

    Returns:
        The model, and the names of the parameters that are random, sorted.

    Raises:
        StartError: If weights are missing, of another shape, or not finite.
    """
    try:
        with quiet_transformers():
            model, report = model_class.from_pretrained(
                str(folder),
                config=config,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # refused below, but where they may differ
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation=attention_of(model_class),
                **options,
            )
    except Exception as error:
        # Readers fail in every way: missing files, damaged headers, errors of their own kinds.
        raise StartError(
            f"The weights of '{origin}' in '{folder}' cannot be loaded ({first_line(error)}). "
            f"Expected safetensors that fit config.json; pickles are not opened. Get them again."
        ) from error
    for parameter in model.parameters():
        # what was read may lie anywhere in a mapped file: kernels round by how memory is aligned
        parameter.data = parameter.data.clone()
    missing, changed = _names(report, "missing_keys"), _names(report, "mismatched_keys")
    reasons = [f"'{name}' is missing" for name in missing if not may_lack(name)]
    reasons += [f"'{name}' has another shape" for name in changed if not may_differ(name)]
    _refuse(reasons + _names(report, "error_msgs"), origin)
    _check_finite(model, origin)
    _tell_left_out(model, _names(report, "unexpected_keys"), origin)
    return model, sorted({*missing, *changed})


def _refuse(reasons: list[str], origin: str) -> None:
    """Refuse weights for some reasons."""
    if reasons:
        more = f"; and {len(reasons) - 3} more" if reasons[3:] else ""
        raise StartError(
            f"The weights of '{origin}' do not fit its config.json: {'; '.join(reasons[:3])}"
            f"{more}. Expected weights of that network. Get both files again."
        )


def _is_encoder(name: str, base: str) -> bool:
    """Return whether a parameter belongs to the encoder and not to what pools its states."""
    return name.startswith(base) and ".pooler." not in f".{name}"


def _names(report: Mapping[str, object], key: str) -> list[str]:
    """Return the names in one part of transformers' report, sorted."""
    value = report.get(key) or ()
    assert isinstance(value, list | tuple | set | frozenset | dict)
    return sorted(str(item[0]) if isinstance(item, tuple | list) else str(item) for item in value)


def _check_finite(model: nn.Module, origin: str) -> None:
    bad = [name for name, tensor in model.named_parameters() if not tensor.isfinite().all()]
    if bad:
        raise StartError(
            f"The weights of '{origin}' hold NaN or infinity in {quoted(bad, 3)}. Expected finite "
            f"numbers. The file is damaged or its training diverged: use another one."
        )


def _tell_random(network: TextNetwork, missing: Sequence[str], origin: str) -> None:
    """Say which parameters a start does not bring."""
    sizes = {name: p.numel() for name, p in network.model.named_parameters()}
    random = [name for name in missing if name in sizes]
    if random:
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in random))
        emit(
            "note",
            text=f"'{origin}' brings no weights for {quoted(layers, 3)} "
            f"({sum(sizes[name] for name in random):,} of {sum(sizes.values()):,} parameters), "
            f"which its classification head needs: they start random.",
        )


def _tell_left_out(model: nn.Module, unexpected: Sequence[str], origin: str) -> None:
    """Say that weights are left out which are like the network's own, of further layers."""
    own = {_any_layer(name) for name, _ in model.named_parameters()}
    base = f"{getattr(model, 'base_model_prefix', '')}."  # which a folder may leave out
    layers = [n for n in unexpected if {_any_layer(n), base + _any_layer(n)} & own]
    if layers:
        emit(
            "note",
            text=f"'{origin}' brings weights of layers that its config.json does not name, which "
            f"are left out: {quoted(layers, 2)}.",
        )


def _any_layer(name: str) -> str:
    """Return a parameter's name with a sign for each number in it."""
    return re.sub(r"\d+", "#", name)


def _hub_folder(repo_id: str) -> Path:
    """Return the snapshot of a hub repository, from the cache or downloaded."""
    cached = cached_folder(repo_id)
    if cached is not None:
        return cached
    reason = why_unreachable()
    if reason is not None:
        raise _unreachable(repo_id, reason)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = repo_id.partition("@")
    emit("stage", text=f"Downloading {repo_id} from the hub")
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision or None, allow_patterns=list(HUB_FILES), etag_timeout=5
            )
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise StartError(
            f"The hub has no '{repo_id}' that you may read.{did_you_mean(name, CURATED)} Expected "
            f"owner/name or owner/name@revision, or a folder (there is none of that name here). "
            f"'headstart starts --modality text' lists well-known ones."
        ) from error
    except Exception as error:
        # The hub client raises errors of whichever HTTP library its version uses.
        raise _unreachable(repo_id, first_line(error).rstrip(".")) from error
    if not any(folder.glob("model*.safetensors")) or not (folder / "config.json").is_file():
        raise StartError(
            f"The hub repository '{repo_id}' has no config.json with {WEIGHTS_NAME}, perhaps only "
            f"a pickle ({', '.join(PICKLE_SUFFIXES[:3])}), which is not opened. Name a revision "
            f"that has one ('{name}@refs/pr/<number>', where a bot has converted it), or choose "
            f"another start."
        )
    return folder


def _unreachable(repo_id: str, reason: str) -> StartError:
    near = did_you_mean(repo_id, CURATED) if repo_id not in CURATED else ""
    return StartError(
        f"'{repo_id}' is neither a folder here nor in the hub's cache, and the hub cannot be "
        f"reached ({reason}).{near} Usable offline: {quoted(OFFLINE_TEXT_STARTS)}, or a folder "
        f"with config.json and safetensors."
    )
