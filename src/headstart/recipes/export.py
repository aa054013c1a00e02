"""Hand a finished run over to the libraries that others use: transformers or timm."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headstart.errors import OptionError
from headstart.events import emit
from headstart.recipes.run import Run
from headstart.reporting.console import attached


def export(
    run: str, *, out: str | None = None, to: Literal["auto", "transformers", "timm"] = "auto"
) -> Path:
    """Export a run to a folder that transformers or timm loads, and check that it answers the same.

    A text run becomes a folder for transformers' AutoModelForSequenceClassification and
    pipeline("text-classification"), an image run one for timm.create_model("local-dir:…"). The
    folder is loaded again and its logits compared with the run's own before it is left behind;
    adapters are merged.

    Args:
        run: A run folder.
        out: Folder to write; RUN-transformers or RUN-timm when not given.
        to: Library that shall load it; auto takes the one that fits the run.

    Returns:
        The folder.

    Raises:
        RunFolderError: If the run folder holds no model.
        ExportError: If the library has no such model, or the exported one answers otherwise.

    Example:
        >>> import headstart as hs
        >>> hs.export("runs/reviews", to="transformers")  # doctest: +SKIP
    """
    from headstart.exporting import export_timm, export_transformers

    opened = run if isinstance(run, Run) else Run(run)
    modality = opened.model.schema.modality
    fitting = {"text": "transformers", "image": "timm"}.get(modality)
    if fitting is None or to not in ("auto", fitting):
        wanted = f"'{fitting}'" if fitting else "a run on texts or images"
        raise OptionError(
            f"to '{to}' does not fit {opened.path}, which reads {modality}s; expected {wanted}. "
            f"Tables are served from the run folder itself."
        )
    beside = opened.path.with_name(f"{opened.path.resolve().name}-{fitting}")
    folder = Path(out) if out is not None else beside
    write = export_transformers if fitting == "transformers" else export_timm
    with attached():
        write(opened.model, folder)
        emit("note", text=f"Loaded again with {fitting}: same logits to 1e-5. Written to {folder}.")
        scale = opened.model.temperature
        if scale != 1:
            text = (
                f"Probabilities there are uncalibrated: {fitting} knows no temperature. For those "
                f"of headstart divide the logits by {scale:.4g} (config.json holds it)."
            )
            emit("note", text=text)
        emit("next", command=f"headstart evaluate {opened.path}")
    return folder
