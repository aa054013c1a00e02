"""Hand a run over to others: a folder for transformers or timm, or a bundle that serves."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.events import emit, hushes
from headstart.exporting.exporters import (
    EXPORTERS,
    OF_ALL,
    ONNX,
    PT2,
    START_EXPORTERS,
    WEIGHTS,
    export_choices,
    refuse_matching,
    refuse_written,
)
from headstart.recipes.run import Run
from headstart.reporting.console import attached
from headstart.tasks import argument_of
from headstart.types import rows_of

# What a command line may give for it is asked of the function.
Library = Annotated[str, export_choices]


@hushes
def export(
    run: str,
    *,
    out: str | None = None,
    to: Library = "auto",
    int8: bool = False,
    quiet: bool = False,
) -> Path:
    """Export a run to a folder that others load, and check that it answers the same.

    A text run becomes a folder for transformers' AutoModelForSequenceClassification and
    pipeline("text-classification"), an image run one for timm.create_model("local-dir:…"). The
    folder is loaded again and its logits compared with the run's own before it is left behind;
    adapters are merged. A pretrained start of hidden patches becomes a folder for timm without a
    classifier.
    With --to onnx any run, ensembles too, becomes a bundle: an ONNX network
    whose batch varies, preprocessing, labels, calibration, golden samples, a model card and the
    digest of every file; it is compared with the run from raw samples to logits, of what writes
    texts token by token, and is what 'headstart serve' serves without PyTorch. With --to pt2 the
    network is a program of torch.export, with --to safetensors plain weights that 'headstart
    predict' opens.

    Args:
        run: A run folder.
        out: Folder to write; RUN-transformers, RUN-timm, RUN-onnx … when not given.
        to: What shall load it; auto takes the library that fits the run, onnx for tables.
        quiet: Show no progress.
        int8: Have the network of a bundle compute in whole numbers of eight bits, where on this
            machine that is quicker and loses at most half a point on val; else it is refused, with
            the figures.

    Returns:
        The folder.

    Raises:
        RunFolderError: If the run folder holds no model.
        OptionError: If the library is unknown, or does not fit what the run reads, or int8 is for
            another than onnx.
        ExportError: If the library has no such model, a package is missing, the exported one
            answers otherwise, or int8 is no gain.

    Example:
        >>> import headstart as hs
        >>> hs.export("runs/reviews", to="transformers")  # doctest: +SKIP
    """
    opened = run if isinstance(run, Run) else Run(run)
    if "objective" in opened.model_record:
        return _export_start(opened, out, to)
    fitting = _fitting(opened, to)
    if int8 and fitting != ONNX:
        raise OptionError(
            f"int8 is for bundles, and this export is for {fitting}; expected to {ONNX}. Say --to "
            f"{ONNX}, or leave --int8 out."
        )
    beside = opened.path.with_name(f"{opened.path.resolve().name}-{fitting}")
    folder = Path(out) if out is not None else beside
    if fitting != ONNX:
        refuse_matching(opened.schema.task, f"is not exported to {fitting}")
    with attached():
        if fitting in OF_ALL:
            _export_whole(opened, folder, fitting, int8=int8)
            return folder
        EXPORTERS[fitting].write(opened.model, folder)
        emit("note", text=f"Loaded again with {fitting}: same logits to 1e-5. Written to {folder}.")
        _tell_lost(opened, fitting)
        argument = argument_of(opened.model.schema)
        emit("next", command=f"headstart predict {shlex.quote(str(opened.path))} {argument}")
    return folder


def _export_whole(run: Run, folder: Path, to: str, *, int8: bool) -> None:
    """Export a run to one of what every run can become.

    Raises:
        ExportError: As ``export``.
    """
    from headstart.recipes import bundling

    if to == ONNX:
        agreement = bundling.write_bundle(run, folder, int8=int8)
    else:
        refuse_written(run.schema.task, "becomes no program or plain weights")
        write = bundling.write_program if to == PT2 else bundling.write_weights
        agreement = write(run, folder)
    what = "Before its weights became whole numbers it answered" if int8 else "Answers"
    text = (
        f"{what} as the run does: logits differ by at most {agreement.largest:.2g} in "
        f"batches of every size (allowed {agreement.allowed:.2g}). Written to {folder}."
    )
    emit("note", text=text)
    place, argument = shlex.quote(str(folder)), argument_of(run.schema)
    told = {ONNX: f"headstart serve {place}", WEIGHTS: f"headstart predict {place} {argument}"}
    if to in told:
        emit("next", command=told[to])


def _export_start(run: Run, out: str | None, to: str) -> Path:
    """Export a pretrained start.

    Raises:
        OptionError: If the library is another than the one that loads such starts.
        ExportError: As ``export``.
    """
    from headstart.model.pretrained import open_pretrained
    from headstart.pretraining.table import command_after

    objective = str(run.model_record["objective"])
    exporter = START_EXPORTERS[objective]
    if to not in ("auto", exporter.library):
        raise OptionError(
            f"to '{to}' does not fit {run.path}, a start of objective {objective}; expected "
            f"'{exporter.library}'. Leave --to out."
        )
    beside = run.path.with_name(f"{run.path.resolve().name}-{exporter.library}")
    folder = Path(out) if out is not None else beside
    with attached():
        exporter.write(open_pretrained(run.path), folder)
        text = f"Loaded again with {exporter.library}: the same to 1e-5. Written to {folder}."
        emit("note", text=text)
        emit("next", command=command_after(objective, run.path))
    return folder


def _tell_lost(run: Run, library: str) -> None:
    """Say what the library knows nothing of."""
    scale = run.model.temperature
    if scale != 1:
        text = (
            f"Probabilities there are uncalibrated: {library} knows no temperature. For those "
            f"of headstart divide the logits by {scale:.4g} (config.json holds it)."
        )
        emit("note", text=text)
    if text := _lost_range(run, library):
        emit("note", text=text)


def _lost_range(run: Run, library: str) -> str:
    """Return how to bring images to 8 bits where the library does not; empty where they have."""
    from headstart.preprocessing import ImagePreprocess
    from headstart.preprocessing.levels import EIGHT_BITS

    read = run.model.encoder.preprocess.main
    if not isinstance(read, ImagePreprocess) or read.spec.value_range in (None, EIGHT_BITS):
        return ""
    assert read.spec.value_range is not None
    low, high = read.spec.value_range
    return (
        f"{library} knows no range for images of more than 8 bits: bring them to 8 before, as "
        f"headstart does: numpy.rint((values.astype(float).clip({low:g}, {high:g}) - {low:g}) * "
        f"(255 / {high - low:g})).astype('uint8') (config.json holds the range)."
    )


def _fitting(run: Run, to: str) -> str:
    """Return the library that is asked for, or the one that fits.

    Raises:
        OptionError: If it is unknown, or none fits.
    """
    known = export_choices()
    if to not in known:
        raise OptionError(
            f"to is '{to}'; expected one of {quoted(known)}.{did_you_mean(to, known)}"
        )
    modality = run.schema.modality
    # no library knows of columns beside texts and images
    libraries = {} if run.schema.beside else rows_of(EXPORTERS, modality)
    fitting = [*libraries, *OF_ALL]
    if to not in ("auto", *fitting):
        raise OptionError(
            f"to '{to}' does not fit {run.path}, which reads {modality}s; expected "
            f"{quoted(fitting)}. Say --to {ONNX}, which takes every run."
        )
    from headstart.tasks import find_task

    if to == "auto" and find_task(run.schema.task).matches_texts:
        return ONNX
    return fitting[0] if to == "auto" else to
