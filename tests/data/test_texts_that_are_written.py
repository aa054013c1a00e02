"""Texts with the texts to be written of them: every form they come in, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from advised import Case, follow
from pairs_of_texts import pairs_of, write_pairs

import headstart as hs
from headstart.errors import DataError, OptionError

SIZES = {"train": 60, "val": 12, "test": 12}


def _frame(num=60, columns=("source", "target"), **changed):
    return pd.DataFrame(dict(zip(columns, pairs_of(num), strict=True)) | changed)


@pytest.mark.parametrize("is_packed", [False, True])
def test_line_aligned_files_are_read_in_the_direction_that_their_folder_names(tmp_path, is_packed):
    data = hs.load(str(write_pairs(tmp_path / "toy-en-de", SIZES, is_packed=is_packed)))
    assert (data.schema.task, data.input_column, data.schema.label) == ("seq2seq", "en", "de")
    assert [len(data.split(name)) for name in SIZES] == list(SIZES.values())
    texts, wanted = pairs_of(60, 0)
    assert [data.train.samples.read(i) for i in range(60)] == texts
    assert data.train.targets.tolist() == wanted
    assert "'de' is to be written of 'en'" in data.notes[0]


def test_a_folder_called_by_the_direction_alone_tells_it(tmp_path, monkeypatch):
    write_pairs(tmp_path / "en-de", SIZES)
    monkeypatch.chdir(tmp_path)
    data = hs.load("en-de/")
    assert (data.input_column, data.schema.label) == ("en", "de")


def test_one_file_of_a_pair_is_the_pair(tmp_path):
    folder = write_pairs(tmp_path / "toy-en-de", SIZES)
    data = hs.load(str(folder / "test.de"))
    assert sum(len(data.split(name)) for name in SIZES) == 12


def test_the_other_direction_can_be_said(tmp_path):
    data = hs.load(str(write_pairs(tmp_path / "toy-en-de", SIZES)), text="de", label="en")
    assert data.train.targets[0] == pairs_of(1)[0][0]
    assert (data.schema.task, data.input_column) == ("seq2seq", "de")


def test_of_two_files_of_a_split_the_first_is_read_and_that_is_said(tmp_path):
    folder = write_pairs(
        tmp_path / "toy-en-de", {"train": 60, "val": 12, "test_2016": 12, "test_2017": 9}
    )
    data = hs.load(str(folder))
    assert len(data.test) == 12
    assert any("test_2017.de and test_2017.en are not read" in note for note in data.notes)


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl", "parquet"])
def test_tables_are_read_by_the_names_of_their_columns(tmp_path, suffix):
    path, frame = tmp_path / f"pairs.{suffix}", _frame(columns=("text", "summary"))
    {
        "tsv": lambda: frame.to_csv(path, sep="\t", index=False),
        "csv": lambda: frame.to_csv(path, index=False),
        "jsonl": lambda: path.write_text(
            "\n".join(json.dumps(row) for row in frame.to_dict("records"))
        ),
        "parquet": lambda: frame.to_parquet(path),
    }[suffix]()
    data = hs.load(str(path))
    assert (data.schema.task, data.input_column, data.schema.label) == (
        "seq2seq",
        "text",
        "summary",
    )
    assert set(data.train.targets.tolist()) <= set(frame["summary"])


def test_columns_of_any_name_are_read_where_they_are_named():
    data = hs.load(_frame(columns=("said", "meant")), text="said", label="meant", task="seq2seq")
    assert data.schema.task == "seq2seq"
    assert sum(len(data.split(name)) for name in SIZES) == 60


def test_numbers_are_targets_as_they_are_written():
    data = hs.load(_frame(target=np.arange(60)), task="seq2seq")
    assert set(data.train.targets.tolist()) <= {str(n) for n in range(60)}


def test_the_fingerprint_changes_with_a_target():
    frame = _frame()
    before = hs.load(frame).fingerprint
    assert hs.load(frame.copy()).fingerprint == before
    frame.loc[3, "target"] += "!"
    assert hs.load(frame).fingerprint != before


def _shorter(folder, side):
    lines = (folder / f"train.{side}").read_text().splitlines()[:-1]
    (folder / f"train.{side}").write_text("\n".join(lines) + "\n")


def _unequal(folder):
    made = write_pairs(folder / "toy-en-de", SIZES)
    _shorter(made, "de")
    return hs.load(str(made))


def _mended(folder):
    made = write_pairs(folder / "toy-en-de", SIZES)
    for side in ("de", "en"):
        _shorter(made, side)
    return hs.load(str(made))


def _without(folder):
    made = write_pairs(folder / "toy-en-de", SIZES)
    (made / "val.en").unlink()
    return hs.load(str(made))


def _taken_away(folder):
    made = write_pairs(folder / "toy-en-de", SIZES)
    for side in ("de", "en"):
        (made / f"val.{side}").unlink()
    return hs.load(str(folder / "toy-en-de"))


ADVICE = {
    "unequal": Case(
        _unequal, "train.de has 59 lines and train.en 60; expected as many", _mended, DataError
    ),
    "alone": Case(_without, "val.de without val.en; expected both sides", _taken_away, DataError),
    "direction": Case(
        lambda folder: hs.load(str(write_pairs(folder / "toy", SIZES))),
        "nothing says which is to be written of which. Say it: --text de --label en",
        lambda folder: hs.load(str(write_pairs(folder / "toy", SIZES)), text="de", label="en"),
        DataError,
    ),
    "empty": Case(
        lambda folder: hs.load(_frame(target=[*pairs_of(59)[1], " "])),
        "Column 'target' is empty in row 60 of the DataFrame; seq2seq expects a text",
        lambda folder: hs.load(_frame(target=[*pairs_of(59)[1], " "]).iloc[:59]),
        DataError,
    ),
    "references": Case(
        lambda folder: hs.load(_frame(target=[[a, a] for a in pairs_of(60)[1]]), task="seq2seq"),
        "holds a list in row 1 of the DataFrame; seq2seq expects one text. Of several references",
        lambda folder: hs.load(_frame(target=[a[0] for a in [[b, b] for b in pairs_of(60)[1]]])),
        DataError,
    ),
    "one text": Case(
        lambda folder: hs.load(_frame(target="ja", other=pairs_of(60)[1])),
        "one and the same text as the target of every sample",
        lambda folder: hs.load(
            _frame(target="ja", other=pairs_of(60)[1]), text="source", label="other"
        ),
        DataError,
    ),
}


@pytest.mark.parametrize("case", ADVICE.values(), ids=ADVICE)
def test_what_is_wrong_is_said_and_the_advice_helps(case, tmp_path, heard):
    follow(case, tmp_path, heard)


def test_dropout_of_features_is_refused(tmp_path):
    data = hs.load(str(write_pairs(tmp_path / "toy-en-de", SIZES)))
    with pytest.raises(OptionError, match=r"dropout is 0\.1, and a seq2seq has no features"):
        hs.finetune(
            data, start="scratch/seq2seq-tiny", dropout=0.1, out=str(tmp_path / "r"), num_steps=1
        )


@pytest.mark.parametrize(
    ("said", "read", "told"),
    [
        ("en,de", "en", "de"),
        ("de,en", "de", "en"),
        ("eng_Latn,deu_Latn", "en", "de"),
        ("de_DE,en_XX", "de", "en"),
        (">>deu<<", "en", "de"),  # starts that are told the target alone
    ],
)
def test_the_languages_that_are_said_tell_which_is_read(tmp_path, said, read, told):
    folder = write_pairs(tmp_path / "mt", {"train": 30, "val": 6, "test": 6})
    data = hs.load(str(folder), languages=said)
    assert (data.schema.label, data.input_column) == (told, read)
    assert hs.load(**data.source).fingerprint == data.fingerprint


def test_languages_win_over_the_name_of_the_folder_and_not_over_a_column(tmp_path, heard):
    folder = str(write_pairs(tmp_path / "toy-en-de", {"train": 30, "val": 6, "test": 6}))
    assert hs.load(folder).schema.label == "de"
    assert hs.load(folder, languages="de,en").schema.label == "en"
    with pytest.raises(DataError, match="Leave --text out, or turn the languages round") as caught:
        hs.load(folder, text="en", languages="de,en")
    assert hs.load(folder, languages="de,en").input_column == "de"
    assert hs.load(folder, text="en", languages="en,de").input_column == "en"
    heard(caught.value)
