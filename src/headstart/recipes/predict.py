"""Predict new samples with a finished run: images, texts, or the rows of a table."""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import DataError, OptionError
from headstart.events import emit, hushes
from headstart.recipes.answering import tell_as
from headstart.recipes.explained import checked_record, write_explained
from headstart.recipes.findings import tell_findings
from headstart.recipes.matching import check_matching, match_given
from headstart.recipes.run import Run
from headstart.recipes.submission import (
    check_form,
    read_sample,
    write_predictions,
    write_submission,
)
from headstart.reporting.console import attached
from headstart.training.options.common_options import EngineName
from headstart.types import BadSample, Finding, Prediction, Predictions

if TYPE_CHECKING:
    from headstart.data.sources.given_tables import AsTrained


@hushes
def predict(
    run: str,
    files: Sequence[str],
    *,
    encoding: str | None = None,
    like: str | None = None,
    out: str | None = None,
    engine: Literal["auto", EngineName] = "auto",
    precision: Literal["auto", "fp32"] = "auto",
    explain: str | None = None,
    texts: str | None = None,
    images: str | None = None,
    max_tokens: int | None = None,
    num_beams: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Predictions:
    """Predict new samples with a finished run.

    Args:
        run: A run folder.
        files: Images: files, folders of them, or tables that hold or name them. Texts: the texts
            themselves, .txt files, or folders of them. Texts and tables: CSV, TSV, Parquet or JSONL
            files with the columns of the training data, or a folder of the parts of one. What
            exists as a file or folder is never taken as a text itself. From Python also samples in
            memory, as ``Run.predict`` takes them.
        encoding: How bytes of text files stand for characters, for example gb18030; that of the
            training data when not given. For CSV, TSV, JSONL and .txt files.
        like: The sample of a submission, a CSV whose first column holds ids: file names with or
            without suffix, or the cells of the column of that name in a table that is predicted.
        out: The file to write: a CSV, TSV or Parquet with sample, prediction, the probabilities of
            all classes, and why a sample could not be used, or lines of JSON (.jsonl); with like
            in the form of the sample: its columns, its order of ids, and a class name, a class
            number or a probability a class as it shows.
        engine: What computes on a CPU: auto measures the engines that are installed where many
            samples are given, and takes the quickest that gives the same; torch, onnxruntime or
            openvino asks for one.
        precision: Number format: fp32, or auto, which lets an engine take a narrower one where the
            answers stay the same.
        explain: An HTML page to write, which shows where the model looked in the first hundred
            samples: regions of images, words of texts, cells of rows. For runs whose explanations
            were checked (``headstart report RUN --explain``).
        texts: For runs that match images and texts: a file with a text a line, of which the best
            is told for each image.
        images: For the same runs: a folder of images, of which the best is told for each text.
        max_tokens: Tokens of what is written at the most, for runs that write texts; what train's
            answers have when not given. So are the four below.
        num_beams: Beginnings that are followed at once, 1 to 16; 1 takes the likeliest token.
        temperature: Divides the logits before a token is drawn, above 0; no token is drawn when
            not given.
        top_p: Tokens are drawn from the likeliest that have this share together, above 0 to 1.
        seed: Of what is drawn.
        quiet: Show no progress.

    Returns:
        One prediction a sample, in the order given: the class with its calibrated probability and
        those of all classes, or the value. Its name is the path of an image or .txt file, "FILE row
        N" in a table, and "text N" for the Nth of the texts given themselves. Its ``records`` hold
        why a sample could not be used in its place; a command then ends with exit code 3. A command
        with out prints how many of each answer there are; the rows stand in the file.

    Raises:
        OptionError: If the encoding is unknown, nothing given is a file of text, the engine is not
            installed, or out is no file that can be written so.
        RunFolderError: If the run folder holds no model, or explanations that nobody has checked,
            or that name no more than chance would.
        DataError: If a file does not exist, or is not what the model reads. Of several samples,
            those that cannot be read are named and left out.

    Example:
        >>> import headstart as hs
        >>> hs.predict("runs/digits", ["seven.png"])[0].label  # doctest: +SKIP
        '7'
    """
    from headstart.data.options import ReadOptions, option_problems
    from headstart.data.sources.unlabelled import reader_of
    from headstart.engines import passes_by, require_engine
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.engine_rule import engine_rule

    require_engine(engine)
    if problems := option_problems(ReadOptions(encoding=encoding)):
        raise OptionError(" ".join(problems))
    words = _words(files)
    check_form(like, out, words or ())
    sample = None if like is None else read_sample(like)
    opened = run if isinstance(run, Run) else Run(run)
    if check_matching(opened, texts, images):
        with attached():
            _tell_unfinished(opened)
            given, how = files if words is None else words, _as_trained(opened, encoding)
            told = match_given(opened, given, texts, images, how)
        if out is not None:
            write_predictions(told, out, opened.schema)
            told.written = out
        return told
    reader = reader_of(opened.schema)
    given = reader.listed(words or ())
    if encoding is not None:
        _refuse_encoding(encoding, given, is_decoded=reader.is_decoded)
    how = _as_trained(opened, encoding)
    checked = None if explain is None else checked_record(opened)
    from headstart.decoding.writing_options import Writing  # NumPy, which no help waits for

    said = Writing(max_tokens, num_beams, temperature, top_p, seed)
    tell_as(opened, said)
    records: list[Prediction | BadSample] = []
    rule = engine_rule(engine, precision, budget_seconds=None, decisions=Decisions())
    with attached(), passes_by(rule):
        _tell_unfinished(opened)
        parts = [(files, None)] if words is None else reader.read(given, how)
        for samples, names in parts:
            rule.num_expected = len(names or ())
            if names is not None and len(names) > 1:
                records += _predict_usable(opened, samples, names)
            else:
                records += opened.predict(samples, names=names)
                names = names or [one.name for one in records]
            if checked is not None and explain is not None:
                write_explained(opened.ensemble, samples, names, checked, explain)
                checked = None  # the first that are read at once hold the first hundred
        found = Predictions(records)
        _tell_empty(records)
        if sample is not None and out is not None:
            ids = _stated_ids(given, how, sample.header[0])
            write_submission(found, sample, out, opened.schema, ids)
        elif out is not None:
            write_predictions(found, out, opened.schema)
        found.written = out
        return found


def _words(files: object) -> list[Any] | None:
    """Return files, folders and texts one by one; None where samples are given, in memory."""
    if isinstance(files, str | os.PathLike):
        return [files]
    if hasattr(files, "columns") or isinstance(files, Mapping) or not isinstance(files, Iterable):
        return None
    listed = list(files)
    return listed if all(isinstance(one, str | os.PathLike) for one in listed) else None


def _as_trained(run: Run, encoding: str | None) -> AsTrained:
    """Return how the run's data was read, with another encoding where one was said."""
    from headstart.data.sources.given_tables import AsTrained

    source = run.data.get("source") or {}
    return AsTrained(
        column=next(iter(run.preprocess.columns), None),
        second_column=run.preprocess.columns[1] if run.preprocess.is_pair else None,
        of_turns=getattr(run.preprocess, "of_turns", False),
        image_column=source.get("image_column"),
        header=tuple(source["header"]) if source.get("header") else None,
        encoding=encoding or source.get("encoding"),
        tell=tell_findings,
    )


def _stated_ids(given: Sequence[str], how: AsTrained, column: str) -> dict[str, str]:
    """Return the id of each row by its name, of tables that have the column of ids."""
    from headstart.data.sources.given_tables import is_table

    ids: dict[str, str] = {}
    for word in given:
        if not is_table(word) or not os.path.exists(word):
            continue
        for table, rows in replace(how, tell=None).open_tables(word):
            if column in table.columns:
                values = [str(value) for value in table.values(column)]
                ids |= dict(zip(rows, values, strict=True))
    return ids


def _tell_unfinished(run: Run) -> None:
    """Say that a model answers of which no figure says how good it is."""
    if run.metrics or (run.path / "MANIFEST.json").is_file():
        return  # of an export its model card says it
    sentence = (
        f"{run.path} is unfinished: its model answers, but no figure says how good it is. Wait for "
        "it, or repeat the command that began it with "
        f"--out {shlex.quote(str(run.path))} --resume."
    )
    tell_findings([Finding("untested", "warning", (), sentence)])
    emit("next", command=f"headstart watch {shlex.quote(str(run.path))}")  # evaluate refuses it


def _tell_empty(records: Sequence[Prediction | BadSample]) -> None:
    """Say how many of the texts that were to be written hold nothing."""
    texts = [one.text for one in records if isinstance(one, Prediction) and one.text is not None]
    if num := sum(not text.strip() for text in texts):
        are = "is" if num == 1 else "are"
        emit("note", text=f"{num:,} of {len(texts):,} answers {are} empty: nothing was written.")


def _predict_usable(run: Run, samples: Any, names: list[str]) -> list[Prediction | BadSample]:
    """Predict the samples that can be read and name the others; each in its place."""
    found, bad = run.predict_usable(samples, names=names)
    if bad:
        from headstart.preprocessing.bad_samples import first_few

        facts = run.schema.facts
        sentence = f"{len(bad):,} of {len(names):,} {facts.nouns} left out: {first_few(bad)}."
        if not found:
            remedy = (
                "Correct them, or name the column with --categorical when training."
                if facts.is_plain_column
                else f"Give whole {facts.nouns}."
            )
            raise DataError(f"No {facts.noun} can be used. {sentence} {remedy}")
        tell_findings([Finding("unreadable", "warning", [b.name for b in bad], sentence)])
    waiting: dict[str, deque[BadSample]] = {}
    for one in bad:
        waiting.setdefault(one.name, deque()).append(one)
    read = iter(found)
    # of two samples of one name both are read, or neither is
    return [waiting[name].popleft() if waiting.get(name) else next(read) for name in names]


def _refuse_encoding(encoding: str, given: Sequence[str], *, is_decoded: bool) -> None:
    """Refuse an encoding where no bytes are read as characters."""
    from headstart.data.sources.folder import BINARY_SUFFIXES, TABLE_SUFFIXES
    from headstart.data.sources.given_tables import has_parts, is_table

    binary = (".parquet", *BINARY_SUFFIXES)
    decoded = (*(ending for ending in TABLE_SUFFIXES if ending not in binary), ".txt")
    if not is_decoded and not any(map(is_table, given)):
        why = "the model reads images"
    elif any(word.lower().endswith(decoded) or has_parts(word, decoded) for word in given):
        return
    else:
        why = f"nothing given is a file that ends in {', '.join(decoded)}"
    raise OptionError(f"--encoding {encoding} cannot be used: {why}. Leave it out.")
