"""A folder that holds one table, and texts of a table whose rows could be samples as well."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from test_questions_read import rows, squad_of

import headstart as hs
from headstart.data.corpora import open_corpus
from headstart.errors import DataError
from headstart.pretraining.texts import read_texts

NUM = 60
PROSE = [
    f"The guest of room {n} said that the view was fine and breakfast late." for n in range(NUM)
]


def wide(**more):
    """Return rows with a column of prose, two of numbers, and one of categories."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "stars": draw.integers(1, 6, NUM),
            "nights": draw.integers(1, 20, NUM),
            "country": [("AT", "CH", "DE")[n % 3] for n in range(NUM)],
            "review": PROSE,
            **more,
        }
    )


@pytest.mark.parametrize("name", ["train-v2.0.json", "train-v1.1.json", "cmrc2018_train.json"])
def test_questions_alone_in_a_folder_are_split(name, tmp_path):
    (tmp_path / name).write_text(json.dumps(squad_of(rows())))
    (tmp_path / "README.md").write_text("questions")
    data = hs.load(str(tmp_path))
    counts = [len(split) for split in (data.train, data.val, data.test)]
    assert sum(counts) == len(rows())
    assert min(counts) > 0
    # what is asked of one context stays on one side
    contexts = [
        {str(split.samples.read(i).second) for i in range(len(split))}
        for split in (data.train, data.val, data.test)
    ]
    assert sum(map(len, contexts)) == len(set().union(*contexts))


@pytest.mark.parametrize("name", ["reviews.csv", "export.jsonl", "all_rows.parquet"])
def test_a_lone_table_of_any_name_is_what_the_folder_holds(name, tmp_path):
    frame = pd.DataFrame({"text": PROSE, "label": [("ant", "bee")[n % 2] for n in range(NUM)]})
    path = tmp_path / name
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    elif name.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    data = hs.load(str(tmp_path))
    assert data.schema.classes == ("ant", "bee")
    assert len(data.train) + len(data.val) + len(data.test) == NUM


def test_a_lone_test_is_not_learned_from(tmp_path):
    frame = pd.DataFrame({"text": PROSE, "label": [("ant", "bee")[n % 2] for n in range(NUM)]})
    frame.to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError):
        hs.load(str(tmp_path))


WITHOUT_CLASSES = {
    "two tables": ["a.csv", "b.csv"],
    "a lone test": ["test.csv"],
    "a table in a folder": ["sub/rows.csv"],
    "a table two folders down": ["2025/may/rows.csv"],
}


@pytest.mark.parametrize("kind", WITHOUT_CLASSES)
@pytest.mark.parametrize("said", [{}, {"label": "label"}, {"label": "label", "text": "text"}])
def test_of_tables_in_a_folder_the_path_of_one_is_told_and_no_class_folders(
    kind, said, tmp_path, heard
):
    frame = pd.DataFrame({"text": PROSE, "label": [("ant", "bee")[n % 2] for n in range(NUM)]})
    for name in WITHOUT_CLASSES[kind]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(tmp_path / name, index=False)
    with pytest.raises(DataError, match="no class folders with images, but a table") as refused:
        hs.load(str(tmp_path), **said)
    path = str(refused.value).rpartition("give its path: ")[2]
    assert hs.load(path, **said).schema.classes == ("ant", "bee")
    heard(refused.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ""])
@pytest.mark.parametrize("label", [None, "label"])
def test_a_language_is_learned_from_the_one_column_of_prose(suffix, label, tmp_path):
    more = {} if label is None else {label: [("ant", "bee")[n % 2] for n in range(NUM)]}
    frame, source = wide(**more), None
    path = tmp_path / f"reviews{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix:
        frame.to_parquet(path)
    else:
        source = frame
    corpus = read_texts(str(path) if source is None else source, None)
    assert corpus.column == "review"
    assert set(corpus.learned()) < set(PROSE)


@pytest.mark.parametrize("name", ["stuff-v2.csv", "dump_final.jsonl", "everything.parquet"])
def test_a_language_is_learned_from_the_one_table_of_a_folder(name, tmp_path):
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    (path.parent / "README.md").write_text("# Rooms")
    write = {".csv": "to_csv", ".jsonl": "to_json", ".parquet": "to_parquet"}[path.suffix]
    said = {"orient": "records", "lines": True} if write == "to_json" else {"index": False}
    getattr(wide(), write)(path, **said)
    corpus = read_texts(str(path.parent), None)
    assert corpus.column == "review"
    assert set(corpus.learned()) < set(PROSE)
    assert open_corpus(str(path.parent)).column == "review"


def test_two_columns_of_prose_stay_a_question(tmp_path):
    path = tmp_path / "reviews.csv"
    wide(answer=[f"Thank you, guest of room {n}, we hope to see you." for n in range(NUM)]).to_csv(
        path, index=False
    )
    with pytest.raises(DataError, match=r"--text"):
        open_corpus(str(path))
    assert open_corpus(str(path), text="answer").column == "answer"
