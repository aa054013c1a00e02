"""The libraries that a run can be handed to, a row each. Nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ExportError
from headstart.types import Modality

if TYPE_CHECKING:
    from headstart.model import Model
    from headstart.model.pretrained import Pretrained


@dataclass(frozen=True)
class Exporter:
    """A library that loads what headstart writes.

    Attributes:
        modality: What its models read.
        write: Writes a model into a new folder, and returns it after a check that the library's
            own logits are the model's.
    """

    modality: Modality
    write: Callable[[Model, str | Path], Path]


def _transformers(model: Model, folder: str | Path) -> Path:
    from headstart.exporting.causal_folder import export_causal, writes_on
    from headstart.exporting.transformers_folder import export_transformers

    return export_causal(model, folder) if writes_on(model) else export_transformers(model, folder)


def _gguf(model: Model, folder: str | Path) -> Path:
    from headstart.exporting.gguf_file import export_gguf

    return export_gguf(model, folder)


def _timm(model: Model, folder: str | Path) -> Path:
    from headstart.exporting.timm_folder import export_timm

    return export_timm(model, folder)


EXPORTERS: dict[str, Exporter] = {
    "transformers": Exporter("text", _transformers),
    "timm": Exporter("image", _timm),
    "gguf": Exporter("text", _gguf),
}


@dataclass(frozen=True)
class StartExporter:
    """A library that loads pretrained starts of an objective.

    Attributes:
        library: Its name, as in ``EXPORTERS``.
        write: Writes a start into a new folder, and returns it after a check that the library
            computes the same.
    """

    library: str
    write: Callable[[Pretrained, str | Path], Path]


def _timm_start(found: Pretrained, folder: str | Path) -> Path:
    from headstart.exporting.timm_start import export_timm_start

    return export_timm_start(found, folder)


def _language_start(found: Pretrained, folder: str | Path) -> Path:
    from headstart.exporting.language_folder import export_language

    return export_language(found, folder)


START_EXPORTERS: dict[str, StartExporter] = {
    "mae": StartExporter("timm", _timm_start),
    "mlm": StartExporter("transformers", _language_start),
    "clm": StartExporter("transformers", _language_start),
}
# These are of every modality, and of ensembles too: a bundle for ONNX Runtime (``onnx_bundle``),
# programs of torch.export (``pt2_folder``), plain weights (``weights_folder``).
ONNX, PT2, WEIGHTS = "onnx", "pt2", "safetensors"
OF_ALL = (ONNX, PT2, WEIGHTS)


def export_choices() -> tuple[str, ...]:
    """Return what may be said of where a run goes, as the table now is."""
    return ("auto", *EXPORTERS, *OF_ALL)


def refuse_matching(task: object, what: str) -> None:
    """Refuse what matches images and texts.

    Args:
        task: As of ``refuse_written``.
        what: The same.

    Raises:
        ExportError: If it does.
    """
    from headstart.tasks import TASKS

    found = TASKS.get(task) if isinstance(task, str) else None
    if found is not None and found.matches_texts:
        raise ExportError(
            f"A model that matches images and texts ({task}) {what}: it is two networks. "
            "Expected a run that answers for single samples. Hand it over as a bundle of both, "
            "which 'headstart serve' serves: headstart export RUN --to onnx."
        )


def refuse_written(task: object, what: str) -> None:
    """Refuse what writes texts where a whole run is exported, before it is loaded.

    Args:
        task: Its name, as a record holds it; what is none is left to whoever reads the record.
        what: What is not done with it: ``is watched for drift``.

    Raises:
        ExportError: If it does.
    """
    from headstart.tasks import TASKS

    refuse_matching(task, what)
    found = TASKS.get(task) if isinstance(task, str) else None
    if found is not None and found.tells_texts:
        raise ExportError(
            f"A model that writes texts ({task}) {what}: it is run once for every token. "
            "Expected a run that answers for whole samples. Hand it over as a bundle, which "
            "'headstart serve' serves: headstart export RUN --to onnx; or to transformers: "
            "headstart export RUN --to transformers."
        )
