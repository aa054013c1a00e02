"""What people's files mean by a name or a cell that could mean something else."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from advised import TEXTS, N, Y, csv, jsonl, photos

import headstart as hs
from headstart.data.sources import unlabelled
from headstart.data.sources.given_tables import AsTrained


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("Id", "sq_ft"), (range(N), np.arange(N) / 7)),
        (("id", "no"), ([f"a{i}" for i in range(N)], range(N))),
        (("no", "is"), (range(N), ["yes", "no"] * (N // 2))),
        (("to", "fr"), ([f"{i} km" for i in range(N)], np.arange(N))),
    ],
)
def test_columns_that_are_called_like_languages_are_numbers_and_codes_where_they_hold_them(
    tmp_path, names, values
):
    frame = pd.DataFrame(dict(zip(names, values, strict=True))).assign(label=Y, more=range(N))
    found = hs.load(csv(tmp_path, frame))
    assert (found.schema.modality, found.schema.task) == ("table", "classification")


def test_a_sample_submission_beside_such_columns_says_the_target(tmp_path):
    frame = pd.DataFrame({"id": range(N), "sq": np.arange(N) % 7, "price": np.arange(N) / 3})
    csv(tmp_path, frame, "train.csv")
    csv(tmp_path, frame[["id", "sq"]], "test.csv")
    csv(tmp_path, frame[["id", "price"]], "sample_submission.csv")
    found = hs.load(str(tmp_path))
    assert (found.schema.label, found.schema.task) == ("price", "regression")


def test_words_in_columns_called_like_languages_are_still_two_languages(tmp_path):
    frame = pd.DataFrame({"en": [f"the {t}" for t in TEXTS], "de": [f"der {t}" for t in TEXTS]})
    assert hs.load(csv(tmp_path, frame), text="en").schema.task == "seq2seq"


@pytest.mark.parametrize("labels", [("-1", "1"), ("-1", "0", "1"), ("-2", "2", "3"), ("1,5", "15")])
def test_a_minus_or_a_comma_tells_numbers_apart(tmp_path, labels):
    rows = pd.DataFrame({"text": TEXTS, "label": [labels[i % len(labels)] for i in range(N)]})
    said = [f.sentence for f in hs.load(csv(tmp_path, rows), task="classification").findings]
    assert not [sentence for sentence in said if "capitals" in sentence]


@pytest.mark.parametrize(
    "names", [("split_0", "split_1"), ("Split1", "Split2"), ("cv0", "cv1"), ("partition 1", "2")]
)
def test_numbered_splits_are_folds_and_no_classes(tmp_path, names):
    parts = (names[0], names[1] if not names[1].isdigit() else "partition 2")
    classes = ("ant", "bee")
    photos(tmp_path, lambda i: f"{parts[i // 2 % 2]}/{classes[i % 2]}/{i}.png")
    found = hs.load(str(tmp_path))
    assert found.schema.classes == classes
    assert any("are folds" in note for note in found.notes)


@pytest.mark.parametrize("mark", [" ", ",", ", ", "|"])
def test_rows_of_0_and_1_in_a_cell_say_which_labels_apply(tmp_path, mark):
    cells = [("1", "0", "1"), ("0", "1", "0"), ("0", "0", "0")]
    rows = pd.DataFrame({"text": TEXTS, "label": [mark.join(cells[i % 3]) for i in range(N)]})
    found = hs.load(csv(tmp_path, rows))
    assert (found.schema.task, found.schema.classes) == ("multi-label", ("0", "1", "2"))
    assert any("vectors of 3 numbers" in note for note in found.notes)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize("users", [1, 3])
def test_nested_records_of_argilla(tmp_path, suffix, users):
    rows = [
        {
            "id": str(i),
            "status": "completed" if i else "pending",
            "fields": {"review": text},
            "metadata": {"source": "web"},
            "responses": {
                "mood": [
                    {"value": said if user or i % 5 else "no", "user_id": f"u{user}"}
                    for user in range(users)
                ]
            }
            if i
            else {},
            "suggestions": {"mood": {"value": "yes", "score": 0.4, "agent": "a model"}},
        }
        for i, (text, said) in enumerate(zip(TEXTS, Y.tolist(), strict=True))
    ]
    path = jsonl(tmp_path, rows, f"records.{suffix}")
    if suffix == "json":
        (tmp_path / "records.json").write_text(json.dumps(rows))
    found = hs.load(path)
    assert (found.schema.classes, found.input_column) == (("no", "yes"), "review")
    assert sum(len(found.split(name)) for name in ("train", "val", "test")) == N - 1


@pytest.mark.parametrize("words", [("up", "down"), ("so so", "very good", "bad"), ("a", "b", "c")])
@pytest.mark.parametrize("form", ["frame", "csv"])
def test_a_lone_column_called_text_or_a_start_of_texts_makes_texts_of_few_words(
    tmp_path, words, form
):
    said = [words[i % len(words)] for i in range(N)]

    def source(column):
        rows = pd.DataFrame({column: said, "label": Y})
        return rows if form == "frame" else csv(tmp_path, rows, f"{column}.csv")

    assert hs.load(source("text")).schema.modality == "text"
    assert hs.load(source("grade")).schema.modality == "table"
    runs = {
        start: hs.finetune(source("grade"), start=start, out=str(tmp_path / name), device="cpu")
        for name, start in (("a", "scratch/tfidf"), ("b", "scratch/linear"))
    }
    assert [run.schema.modality for run in runs.values()] == ["text", "table"]


@pytest.mark.parametrize(
    "stray", [".hidden.png", "._0.png", ".ipynb_checkpoints/0.png", "__MACOSX/0.png"]
)
def test_predict_lists_the_files_of_a_folder_as_training_does(tmp_path, stray):
    place = tmp_path / "data"
    photos(place, lambda i: f"{'ab'[i % 2]}/{i}.png")
    photos(place, lambda i: f"a/{stray}", number=1)
    (place / "b" / "linked.png").symlink_to(place / "a" / "0.png")
    learned = hs.load(str(place))
    sides = ("train", "val", "test")
    names = {learned.split(s).samples.name(i) for s in sides for i in range(len(learned.split(s)))}
    given = unlabelled.READERS["image"].read([str(place)], AsTrained())
    told = {str(path.relative_to(place)) for files, _ in given for path in files}
    assert told == names
    assert len(names) == N + 1


@pytest.mark.parametrize("labels", [("a", "b"), ("positive", "negative"), ("1star", "2stars")])
def test_a_first_row_that_holds_a_cell_of_its_column_may_be_no_header(tmp_path, labels, heard):
    path = tmp_path / "bare.csv"
    rows = [f"some words of number {i},{labels[i % 2]}" for i in range(N)]
    path.write_text("\n".join(rows))
    with pytest.raises(hs.DataError, match="name all columns with --header") as error:
        hs.load(str(path))
    found = hs.load(str(path), header=["text", "label"])
    assert sum(len(found.split(name)) for name in ("train", "val", "test")) == N
    heard(error.value)
