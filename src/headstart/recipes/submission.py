"""Write predictions: as a table, or in the form of a sample, with its columns and order of ids."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import DataError, OptionError, RunFolderError, quoted
from headstart.recipes.findings import tell_findings
from headstart.storage.run_folder import write_atomically
from headstart.tasks import find_task
from headstart.types import BadSample, Finding, Prediction, Predictions, Schema

SEPARATORS = (";", "|", ",", " ")
SHOWN = 3
FORMS = (".csv", ".tsv", ".jsonl", ".parquet")  # of predictions without a sample
Answer = Callable[[Prediction], list[str]]


@dataclass(frozen=True)
class Submission:
    """The sample of a submission.

    Attributes:
        where: The file.
        header: Its column names, that of the ids first.
        rows: Its cells.
        delimiter: What stands between cells.
        ending: What ends a line.
    """

    where: str
    header: list[str]
    rows: list[list[str]]
    delimiter: str
    ending: str


def read_sample(like: str) -> Submission:
    """Read the sample of a submission.

    Raises:
        DataError: It is no CSV or TSV with ids and at least one column of answers.
    """
    from headstart.data.sources.text_source import read_text_bytes

    try:
        text = read_text_bytes(Path(like), like, None).decode()
    except OSError as error:
        raise DataError(
            f"{like} cannot be read ({error.strerror or error}); expected the CSV of a sample "
            "submission. Check the path."
        ) from error
    first = text.split("\n", 1)[0]
    delimiter = next((mark for mark in ("\t", ";") if mark in first), ",")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    odd = next((row for row in rows if len(row) != len(rows[0])), None)
    if len(rows) < 2 or len(rows[0]) < 2 or odd is not None:
        seen = f"a row of {len(odd)} cells" if odd is not None else f"{len(rows)} lines"
        raise DataError(
            f"{like} is no sample of a submission (found {seen}); expected CSV with a header, a "
            "column of ids and one or more of answers. Give the sample that the competition has."
        )
    return Submission(like, rows[0], rows[1:], delimiter, "\r\n" if "\r\n" in text else "\n")


def write_submission(
    predictions: Sequence[Prediction],
    sample: Submission,
    out: str,
    schema: Schema,
    ids: Mapping[str, str],
) -> None:
    """Write predictions in the form of a sample.

    Args:
        predictions: Of all samples.
        sample: What to write like.
        out: The file to write; one that is there is replaced.
        schema: What the model tells.
        ids: The id of a prediction by its name, where a table states it.

    Raises:
        DataError: An id has no prediction or several, or a column is none that the model tells.
    """
    found = _by_id(predictions, sample, ids)
    answers = _answers(sample, schema)
    with io.StringIO(newline="") as text:
        writer = csv.writer(text, delimiter=sample.delimiter, lineterminator=sample.ending)
        writer.writerow(sample.header)
        writer.writerows([row[0], *answers(found[row[0]])] for row in sample.rows)
        content = text.getvalue().encode(errors="surrogateescape")
    _write(out, content)
    _say(f"{out} holds {len(sample.rows):,} rows in the form of {sample.where}.")


def _by_id(
    predictions: Sequence[Prediction], sample: Submission, ids: Mapping[str, str]
) -> dict[str, Prediction]:
    """Return the prediction of each id of the sample; say which predictions it does not ask for."""
    wanted = [row[0] for row in sample.rows]
    if twice := [one for one, number in Counter(wanted).items() if number > 1]:
        raise DataError(
            f"{sample.where} has the id '{twice[0]}' in several rows; expected a row a sample."
            " Give a sample of that form."
        )
    named: dict[str, list[int]] = {}
    for number, prediction in enumerate(predictions):
        for key in _keys(prediction.name, ids.get(prediction.name)):
            named.setdefault(key, []).append(number)
    asked = {one: named.get(one) or named.get(Path(one).stem) or [] for one in wanted}
    if lacking := [one for one, numbers in asked.items() if not numbers]:
        raise DataError(
            f"{len(lacking):,} of {len(wanted):,} ids of {sample.where} have no prediction "
            f"({quoted(lacking, limit=SHOWN)}; predictions are named such as "
            f"'{predictions[0].name if predictions else ''}'). Give the files of these, too; a "
            f"table needs its column '{sample.header[0]}'. Nothing was written."
        )
    several = next((one for one, numbers in asked.items() if len(numbers) > 1), None)
    if several is not None:
        names = [predictions[number].name for number in asked[several]]
        raise DataError(
            f"The id '{several}' of {sample.where} is that of {quoted(names, limit=SHOWN)}. Give "
            "the files of the test alone. Nothing was written."
        )
    used = {numbers[0] for numbers in asked.values()}
    if left := [p.name for number, p in enumerate(predictions) if number not in used]:
        sentence = (
            f"{len(left):,} predictions are not written, since {sample.where} does not ask for "
            f"them: {quoted(left, limit=SHOWN)}."
        )
        tell_findings([Finding("unused", "warning", left, sentence)])
    return {one: predictions[numbers[0]] for one, numbers in asked.items()}


def _keys(name: str, stated: str | None) -> set[str]:
    if stated is not None:
        return {stated}
    path = Path(name)
    return {name, path.name, path.stem}


def _answers(sample: Submission, schema: Schema) -> Answer:
    """Return what makes the cells of a prediction, as the sample shows them."""
    columns = sample.header[1:]
    if schema.parts:
        return _of_parts(sample, columns, schema)
    if len(columns) > 1:
        return _of_columns(sample, columns, schema)
    cells = [row[1].strip() for row in sample.rows]
    if not schema.classes:
        return lambda p: [repr(float(p.label if p.value is None else p.value))]
    if find_task(schema.task).has_label_sets:
        return _of_sets(cells, schema)
    numbers = [float(cell) for cell in cells if re.fullmatch(r"-?\d+(\.\d*)?", cell)]
    if len(numbers) < len(cells) or {*cells} <= {*schema.classes}:
        return lambda p: [p.decided]
    if all(number == int(number) for number in numbers) and not any("." in c for c in cells):
        return _of_numbers(sample, schema)
    if len(schema.classes) == 2:
        _say(f"Column '{columns[0]}' holds the probability of '{schema.classes[1]}'.")
        return lambda p: [repr(float(p.probabilities[1]))]
    raise DataError(
        f"Column '{columns[0]}' of {sample.where} holds numbers such as {cells[0]}, and the model "
        f"tells {len(schema.classes)} classes ({quoted(schema.classes, limit=SHOWN)}). Expected a "
        "class, its number, or a column a class. Write one of these into the sample."
    )


def _of_numbers(sample: Submission, schema: Schema) -> Answer:
    """Return the number of the class: itself where it is one, else its place in their order."""
    if all(re.fullmatch(r"-?\d+", name) for name in schema.classes):
        return lambda p: [p.decided]
    places = {name: str(place) for place, name in enumerate(schema.classes)}
    shown = ", ".join(f"{place} is {name}" for name, place in list(places.items())[:SHOWN])
    _say(
        f"{sample.where} shows numbers, and the classes are written as theirs, counted from 0: "
        f"{shown}. If yours count otherwise, write a name into the sample to get names.",
        is_warning=True,
    )
    return lambda p: [places[p.decided]]


def _of_parts(sample: Submission, columns: Sequence[str], schema: Schema) -> Answer:
    """Return the answer to the target of each column."""
    labels = [str(part.label) for part in schema.parts]
    if unknown := [column for column in columns if column not in labels]:
        raise DataError(
            f"Columns {quoted(unknown, limit=SHOWN)} of {sample.where} are no targets of the model "
            f"({quoted(labels, limit=SHOWN)}). Rename them in the sample, or take them out."
        )
    return lambda p: [_cell((p.parts or {})[column]) for column in columns]


def _cell(prediction: Prediction) -> str:
    return prediction.decided if prediction.value is None else repr(float(prediction.value))


def _of_sets(cells: Sequence[str], schema: Schema) -> Answer:
    known = set(schema.classes)
    parts = {mark: [cell.split(mark) for cell in cells] for mark in SEPARATORS}
    marks = [m for m, all_ in parts.items() if any(len(p) > 1 and {*p} <= known for p in all_)]
    mark = (marks or [" "])[0]

    def answer(p: Prediction) -> list[str]:
        pairs = zip(schema.classes, p.probabilities, strict=True)
        likely = [name for name, probability in pairs if probability > 0.5]
        if ", ".join(likely) != p.decided:  # thresholds of its own
            from headstart.tasks.multi_label import labels_in

            likely = [schema.classes[k] for k in labels_in(p.decided, schema.classes)]
        return [mark.join(likely)]

    return answer


def _of_columns(sample: Submission, columns: Sequence[str], schema: Schema) -> Answer:
    """Return the probability of the class of each column."""
    place = {name: i for i, name in enumerate(schema.classes)}
    if unknown := [column for column in columns if column not in place]:
        raise DataError(
            f"Columns {quoted(unknown, limit=SHOWN)} of {sample.where} are no classes of the model "
            f"({quoted(schema.classes, limit=SHOWN)}). Expected a column a class, or one column of "
            "answers. Rename them in the sample, or take them out."
        )
    if left := [name for name in schema.classes if name not in columns]:
        _say(
            f"{sample.where} has no column for the classes {quoted(left, limit=SHOWN)}: their "
            "probabilities are left out.",
            is_warning=True,
        )
    return lambda p: [repr(float(p.probabilities[place[column]])) for column in columns]


def _say(sentence: str, *, is_warning: bool = False) -> None:
    tell_findings([Finding("reading", "warning" if is_warning else "note", (), sentence)])


def write_predictions(predictions: Predictions, out: str, schema: Schema) -> None:
    """Write predictions as a table or as lines of JSON, in the order given.

    Args:
        predictions: Of all samples; those that could not be used are written with the reason.
        out: The file to write, which ends in one of ``FORMS``; one that is there is replaced.
        schema: What the model tells.

    Raises:
        RunFolderError: It cannot be written.
    """
    ending = Path(out).suffix.lower()
    if ending == ".jsonl":
        lines = [json.dumps(one.to_json(), ensure_ascii=False) for one in predictions.records]
        content = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    elif ending == ".parquet":
        content = _parquet(_columns(predictions, schema))
    else:
        with io.StringIO(newline="") as text:
            writer = csv.writer(text, delimiter="\t" if ending == ".tsv" else ",")
            columns = _columns(predictions, schema)
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                told = (repr(cell) if isinstance(cell, float) else cell for cell in row)
                writer.writerow("" if cell is None else cell for cell in told)
            content = text.getvalue().encode(errors="surrogateescape")
    _write(out, content)


def _columns(predictions: Predictions, schema: Schema) -> dict[str, list[Any]]:
    """Return the columns of a table of predictions; None where a sample has none."""
    records = predictions.records
    good = [one if isinstance(one, Prediction) else None for one in records]
    columns: dict[str, list[Any]] = {"sample": [one.name for one in records]}
    if schema.parts:
        for one in schema.parts:
            label = str(one.label)
            own = [each and (each.parts or {})[label] for each in good]
            told = [each and (each.label if each.value is None else each.value) for each in own]
            columns[label] = told
            for place, name in enumerate(one.classes):
                shares = [each and float(each.probabilities[place]) for each in own]
                columns[f"probability of {label} {name}"] = shares
    elif find_task(schema.task).tells_texts:
        columns["prediction"] = [one and one.text for one in good]
    elif find_task(schema.task).matches_texts:
        columns["prediction"] = [one and one.label for one in good]
        columns["probability"] = [one and float(one.probability) for one in good]
    elif find_task(schema.task).finds_texts:
        columns["prediction"] = [one and one.text for one in good]
        columns["probability"] = [one and float(one.probability) for one in good]
        places = [one.spans[0] if one and one.spans else None for one in good]
        columns["start"] = [place and place.start for place in places]
        columns["end"] = [place and place.end for place in places]
    elif find_task(schema.task).tells_words:
        columns["prediction"] = [one and one.label for one in good]
        columns["spans"] = [
            one and json.dumps(one.to_json()["spans"], ensure_ascii=False) for one in good
        ]
    elif find_task(schema.task).has_classes and schema.classes:
        columns["prediction"] = [one and one.label for one in good]
        columns["probability"] = [one and float(one.probability) for one in good]
        for place, name in enumerate(schema.classes):
            shares = [one and float(one.probabilities[place]) for one in good]
            columns[f"probability of {name}"] = shares
        if any(one and one.guess is not None for one in good):
            columns["guess"] = [one and one.decided for one in good]
        if any(one and one.possible for one in good):
            columns["possible"] = [one and "; ".join(one.possible) for one in good]
    else:
        columns["prediction"] = [one and _value(one) for one in good]
        if any(one and one.low is not None for one in good):
            columns["low"] = [one and one.low for one in good]
            columns["high"] = [one and one.high for one in good]
    if len(predictions) < len(records):
        columns["error"] = [one.reason if isinstance(one, BadSample) else None for one in records]
    return columns


def _value(prediction: Prediction) -> float:
    return float(prediction.label if prediction.value is None else prediction.value)


def _parquet(columns: Mapping[str, list[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue().to_pybytes())


def _write(out: str, content: bytes) -> None:
    try:
        write_atomically(Path(out), content)
    except OSError as error:
        raise RunFolderError(
            f"{out} could not be written ({error.strerror or error}). Say another file with --out."
        ) from error


def check_form(like: str | None, out: str | None, given: Sequence[str] = ()) -> None:
    """Refuse a sample without a file to write, and a file that cannot be what is asked for.

    Args:
        like: The sample, or None.
        out: The file to write, or None.
        given: What is predicted.

    Raises:
        OptionError: One is missing, two are one file, or the form of the file is unknown.
    """
    if like is not None and out is None:
        raise OptionError(f"--like {like} needs a file to write. Add --out submission.csv.")
    if out is not None and like is None and not out.lower().endswith(FORMS):
        raise OptionError(
            f"--out {out} ends in none of {quoted(FORMS)}, which say what to write; expected a "
            "table of the answers, or with --like sample_submission.csv its form. Say --out "
            "answers.csv."
        )
    if out is not None and (same := [one for one in given if _is_same_file(str(one), out)]):
        raise OptionError(
            f"--out {out} is among what is predicted ({same[0]}), and would be replaced by the "
            "answers. Say another file, such as --out answers.csv."
        )
    if like is not None and out is not None and _is_same_file(like, out):
        raise OptionError(
            f"--like and --out both name {out}, which would replace the sample by the answers; "
            "expected two files. Give another --out, such as submission.csv."
        )


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return False
