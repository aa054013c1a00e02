"""What annotations know beside a label: states, several annotators, lists, vectors, no label."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import load
from headstart.data.sources.answers import majority
from headstart.errors import DataError

N = 60
TEXTS = [
    f"the {['soup', 'hotel', 'clerk'][i % 3]} was really quite good on day {i}" for i in range(N)
]
CLASSES = ["neg", "pos"]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def truth(data):
    """Return {text: class} over all splits."""
    schema = data.schema
    return {
        part.samples.read(i): schema.classes[part.targets[i]]
        for part in (data.train, data.val, data.test)
        for i in range(len(part))
    }


def said(data, words):
    return any(words in note for note in data.notes)


def wanted(places=range(N)):
    return {TEXTS[i]: CLASSES[i % 2] for i in places}


# Label Studio ------------------------------------------------------------------------------------


def task(i, answers, **more):
    """Return a task; each answer is a label and whether it was cancelled."""
    annotations = [
        {
            "id": 10 * i + k,
            "completed_by": k,
            "was_cancelled": cancelled,
            "ground_truth": False,
            "result": []
            if label is None
            else [
                {
                    "from_name": "mood",
                    "to_name": "text",
                    "type": "choices",
                    "value": {"choices": [label]},
                }
            ],
        }
        for k, (label, cancelled) in enumerate(answers)
    ]
    predictions = [{"result": [{"from_name": "mood", "type": "choices", "value": {}}]}]
    return {
        "id": i,
        "data": {"text": TEXTS[i]},
        "annotations": annotations,
        "predictions": predictions,
        **more,
    }


def test_label_studio_json(tmp_path):
    tasks = []
    for i in range(N):
        right, wrong = CLASSES[i % 2], CLASSES[(i + 1) % 2]
        answers = [(right, False)]
        if i < 6:
            answers = [(wrong, True)]  # skipped
        elif i < 12:
            answers = [(right, False), (wrong, False), (right, False)]
        elif i < 16:
            answers = [(right, False), (wrong, False)]  # a tie
        elif i < 20:
            answers = [(None, False)]
        tasks.append(task(i, answers))
    path = tmp_path / "project.json"
    path.write_text(json.dumps(tasks))
    data = load(path)
    assert data.schema.task == "classification"
    assert truth(data) == wanted([*range(6, 12), *range(20, N)])
    assert said(data, "6 cancelled annotations")
    assert said(data, "4 whose annotators disagree as often as they agree")
    assert said(data, "6 samples of project.json were labelled more than once") or said(
        data, "10 samples of project.json were labelled more than once"
    )
    assert load(**data.source).fingerprint == data.fingerprint


def test_label_studio_asks_which_control(tmp_path):
    tasks = [task(i, [(CLASSES[i % 2], False)]) for i in range(N)]
    for i, one in enumerate(tasks):
        one["annotations"][0]["result"].append(
            {"from_name": "topic", "type": "choices", "value": {"choices": ["ab"[i % 2]]}}
        )
    (tmp_path / "p.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"several controls .*'mood', 'topic'.*--label mood"):
        load(tmp_path / "p.json")
    assert truth(load(tmp_path / "p.json", label="mood")) == wanted()


@pytest.mark.parametrize("form", ["json", "csv", "tsv"])
def test_label_studio_rows(tmp_path, form):
    rows = [
        {
            "id": i,
            "text": TEXTS[i],
            "mood": CLASSES[(i + k) % 2],
            "annotator": k,
            "annotation_id": 10 * i + k,
            "created_at": "2024-05-01T10:00:00Z",
            "updated_at": "2024-05-01T10:00:00Z",
            "lead_time": 3.5,
        }
        for i in range(N)
        for k in ((0, 1, 2) if i < 5 else (0,))
    ]
    path = tmp_path / f"min.{form}"
    if form == "json":
        path.write_text(json.dumps(rows))
    else:
        pd.DataFrame(rows).to_csv(path, index=False, sep="," if form == "csv" else "\t")
    data = load(path)
    assert truth(data) == wanted()
    assert said(data, "5 samples")
    assert data.schema.label == "mood"


def test_label_studio_several_choices_in_a_csv_cell(tmp_path):
    chosen = [
        {"choices": ["a", "b"]} if i % 3 == 0 else "a" if i % 3 == 1 else "b" for i in range(N)
    ]
    rows = {
        "text": TEXTS,
        "id": range(N),
        "choice": [json.dumps(c) if isinstance(c, dict) else c for c in chosen],
        "annotator": 1,
        "annotation_id": range(N),
        "created_at": "x",
        "updated_at": "x",
        "lead_time": 1.0,
    }
    pd.DataFrame(rows).to_csv(tmp_path / "ls.csv", index=False)
    data = load(tmp_path / "ls.csv")
    assert data.schema.task == "multi-label"
    assert data.schema.classes == ("a", "b")


# Prodigy, Argilla --------------------------------------------------------------------------------


def test_prodigy_one_label_asked_about_is_a_yes_or_no(tmp_path):
    rows = [
        {
            "text": text,
            "_input_hash": i,
            "_task_hash": -i,
            "label": "SPAM",
            "answer": "ignore" if i < 4 else "accept" if i % 2 else "reject",
        }
        for i, text in enumerate(TEXTS)
    ]
    data = load(jsonl(tmp_path / "spam.jsonl", rows))
    assert data.schema.classes == ("SPAM", "not SPAM")
    assert truth(data) == {TEXTS[i]: ["not SPAM", "SPAM"][i % 2] for i in range(4, N)}
    assert said(data, "4 ignored answers")


def test_prodigy_choices_of_several_annotators(tmp_path):
    rows = [
        {
            "text": TEXTS[i],
            "_input_hash": i,
            "_task_hash": i,
            "options": [{"id": c, "text": c} for c in CLASSES],
            "accept": [CLASSES[(i + k // 2) % 2]],
            "answer": "accept",
            "_annotator_id": f"ann-{k}",
        }
        for i in range(N)
        for k in range(3)
    ]
    data = load(jsonl(tmp_path / "choice.jsonl", rows))
    assert truth(data) == wanted()
    assert data.schema.label == "accept"
    assert said(data, f"{N} samples of choice.jsonl were labelled more than once")


def test_argilla_responses_by_majority_and_without_naming_them(tmp_path):
    rows = [
        {
            "id": str(i),
            "status": "completed",
            "text": TEXTS[i],
            "mood.responses": [CLASSES[i % 2], CLASSES[(i + 1) % 2], CLASSES[i % 2]],
            "mood.responses.users": ["a", "b", "c"],
            "mood.responses.status": ["submitted", "submitted", "draft" if i < 10 else "submitted"],
            "mood.suggestion": "neg",
        }
        for i in range(N)
    ]
    data = load(jsonl(tmp_path / "argilla.jsonl", rows))
    assert truth(data) == wanted(range(10, N))
    assert said(data, "10 draft responses")
    assert said(data, "10 whose annotators disagree")


def test_argilla_1_records_count_where_validated():
    rows = [
        {
            "text": TEXTS[i],
            "annotation": CLASSES[i % 2],
            "annotation_agent": "me",
            "prediction": None,
            "status": "Discarded" if i < 10 else "Validated",
        }
        for i in range(N)
    ]
    data = load(pd.DataFrame(rows))
    assert truth(data) == wanted(range(10, N))
    assert said(data, "10 records with the status discarded")


# doccano, spaCy, others --------------------------------------------------------------------------


def test_doccano_jsonl_of_one_label_is_one_class_and_unlabelled_texts_are_left_out(tmp_path):
    rows = [
        {"id": i, "text": t, "label": [] if i < 3 else [CLASSES[i % 2]], "Comments": []}
        for i, t in enumerate(TEXTS)
    ]
    data = load(jsonl(tmp_path / "doccano.jsonl", rows))
    assert data.schema.task == "classification"
    assert truth(data) == wanted(range(3, N))
    assert said(data, "3 of 60 rows of doccano.jsonl have no label (an empty list in 'label')")
    several = load(tmp_path / "doccano.jsonl", task="multi-label")
    assert len(several.train) + len(several.val) + len(several.test) == N


def test_doccano_csv_separates_labels_with_a_hash(tmp_path):
    labels = ["neg#pos" if i % 5 == 0 else CLASSES[i % 2] for i in range(N)]
    pd.DataFrame({"id": range(N), "text": TEXTS, "label": labels}).to_csv(
        tmp_path / "d.csv", index=False
    )
    data = load(tmp_path / "d.csv")
    assert (data.schema.task, data.schema.classes) == ("multi-label", ("neg", "pos"))
    names = ["C#" if i % 2 else "F#" for i in range(N)]
    pd.DataFrame({"id": range(N), "text": TEXTS, "label": names}).to_csv(
        tmp_path / "c.csv", index=False
    )
    assert load(tmp_path / "c.csv").schema.classes == ("C#", "F#")


def test_spacy_categories(tmp_path):
    rows = [
        {"text": t, "cats": {"neg": 1.0 - i % 2, "pos": float(i % 2)}} for i, t in enumerate(TEXTS)
    ]
    assert truth(load(jsonl(tmp_path / "a.jsonl", rows))) == wanted()
    pairs = [[row["text"], {"cats": row["cats"]}] for row in rows]
    (tmp_path / "b.json").write_text(json.dumps(pairs))
    assert truth(load(tmp_path / "b.json")) == wanted()
    rows[7]["cats"] = {"neg": 0.3, "pos": 0.7}
    with pytest.raises(DataError, match=r"'cats' .* 'neg' the value 0.3 in row 8.*Say --task"):
        load(jsonl(tmp_path / "a.jsonl", rows))
    data = load(jsonl(tmp_path / "a.jsonl", rows), task="classification")  # as advised
    assert truth(data) == wanted()


def test_vertex_and_ground_truth(tmp_path):
    vertex = [
        {
            "textContent": t,
            "classificationAnnotation": {"displayName": CLASSES[i % 2]},
            "dataItemResourceLabels": {
                "aiplatform.googleapis.com/ml_use": "test" if i < 20 else "training"
            },
        }
        for i, t in enumerate(TEXTS)
    ]
    data = load(jsonl(tmp_path / "vertex.jsonl", vertex))
    assert truth(data) == wanted()
    assert len(data.test) == 20
    manifest = [
        {
            "source": t,
            "moods": i % 2,
            "moods-metadata": {"class-name": CLASSES[i % 2], "type": "groundtruth/text"},
        }
        for i, t in enumerate(TEXTS)
    ]
    path = jsonl(tmp_path / "output.manifest", manifest)
    assert truth(load(path)) == wanted()


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("status", "approved", "rejected"),
        ("answer", "accept", "ignore"),
        ("review_status", "done", "skipped"),
        ("was_cancelled", False, True),
        ("is_discarded", "no", "yes"),
    ],
)
def test_rows_whose_answer_was_refused_are_left_out_and_said(tmp_path, column, good, bad):
    states = [bad if i < 8 else good for i in range(N)]
    labels = [CLASSES[i % 2] for i in range(N)]
    frame = pd.DataFrame({"text": TEXTS, "label": labels, column: states})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert truth(data) == wanted(range(8, N))
    assert said(data, f"8 of 60 rows of a.csv are left out: column '{column}' says")
    assert truth(load(tmp_path / "a.csv", drop=[column])) == wanted()  # as the note says


def test_a_status_of_a_table_stays_a_category():
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=N) for i in range(4)}
    status = ["approved" if i % 3 else "rejected" for i in range(N)]
    frame = pd.DataFrame({**columns, "status": status, "label": ["a", "b"] * (N // 2)})
    data = load(frame)
    assert len(data.train) + len(data.val) + len(data.test) == N
    assert "status" in data.column_kinds


def test_majority():
    assert majority([["a"], ["b"], ["a"]]) == ["a"]
    assert majority([["a", "b"], ["b", "a"], ["a"]]) == ["a", "b"]
    assert majority([["a"], ["b"]]) is None


# Lists in cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        repr,
        lambda labels: str(np.array(labels)),
        lambda labels: json.dumps({"choices": labels}),
    ],
)
def test_lists_written_into_cells(write):
    sets = [["a", "b"] if i % 3 == 0 else ["b"] if i % 3 == 1 else ["c"] for i in range(N)]
    frame = pd.DataFrame({"text": TEXTS, "label": [write(labels) for labels in sets]})
    data = load(frame)
    assert (data.schema.task, data.schema.classes) == ("multi-label", ("a", "b", "c"))
    frame["label"] = [write([CLASSES[i % 2]]) for i in range(N)]
    assert truth(load(frame)) == wanted()


@pytest.mark.parametrize("write", [json.dumps, repr, lambda v: str(np.array(v)), list])
def test_vectors_of_one_place_each_are_classes(write):
    vectors = [[1, 0] if i % 2 else [0, 1] for i in range(N)]
    data = load(pd.DataFrame({"text": TEXTS, "label": [write(v) for v in vectors]}))
    assert (data.schema.task, data.schema.classes) == ("classification", ("0", "1"))
    assert truth(data) == {t: "01"[(i + 1) % 2] for i, t in enumerate(TEXTS)}
    assert said(data, "vectors of 2 numbers, 0 or 1: one class a sample")


@pytest.mark.parametrize("write", [json.dumps, repr, lambda v: str(np.array(v)), list])
def test_soft_labels_are_refused_and_the_advice_works(write):
    shares = [[0.9, 0.1] if i % 2 else [0.25, 0.75] for i in range(N)]
    frame = pd.DataFrame({"text": TEXTS, "label": [write(v) for v in shares]})
    with pytest.raises(DataError, match=r"'label' holds soft labels such as \[0.25, 0.75\]"):
        load(frame)
    with pytest.raises(DataError, match="Say --task classification"):
        load(frame, task="multi-label")
    data = load(frame, task="classification")  # as it says
    assert truth(data) == {t: "10"[i % 2] for i, t in enumerate(TEXTS)}
    assert said(data, "the class of a sample is the place of the largest")


def test_soft_labels_of_which_some_are_missing_or_tied():
    shares: list = [[0.5, 0.5, 0.0] if i % 2 else [0.1, 0.2, 0.7] for i in range(N)]
    frame = pd.DataFrame({"text": TEXTS, "label": shares})
    assert said(load(frame, task="classification"), f"In {N // 2} the largest stands twice")
    frame.loc[3, "label"] = None
    with pytest.raises(DataError, match="remove rows without any, such as row 4"):
        load(frame, task="classification")
    assert load(frame.drop(index=3), task="classification").schema.classes == ("0", "2")


def test_the_largest_of_the_categories_of_spacy_is_the_class(tmp_path):
    rows = [{"text": t, "cats": {"A": 0.3 + 0.4 * (i % 2), "B": 0.5}} for i, t in enumerate(TEXTS)]
    (tmp_path / "soft.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="Say --task classification"):
        load(tmp_path / "soft.jsonl")
    data = load(tmp_path / "soft.jsonl", task="classification")
    assert truth(data) == {t: "BA"[i % 2] for i, t in enumerate(TEXTS)}


def test_words_in_brackets_are_words():
    labels = ["[a]" if i % 2 else "plain" for i in range(N)]
    data = load(pd.DataFrame({"text": TEXTS, "label": labels}))
    assert data.schema.classes == ("[a]", "plain")


# Names that files state --------------------------------------------------------------------------


def label_file(path, numbers, names, texts=TEXTS):
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": texts[: len(numbers)], "label": pa.array(numbers)})
    pq.write_table(table.replace_schema_metadata(about), path)


def test_one_odd_number_does_not_drop_the_names(tmp_path):
    label_file(tmp_path / "a.parquet", [7 if i % 6 == 0 else i % 2 for i in range(N)], CLASSES)
    data = load(tmp_path / "a.parquet")
    assert data.schema.classes == ("neg", "pos", "7")
    assert said(data, "holds '7', for which no name is stated")
    assert all(truth(data)[t] == c for t, c in wanted().items() if truth(data)[t] != "7")


def test_names_of_lists_are_read_by_each_file(tmp_path):
    for split, names in (("train", ["a", "b", "c"]), ("test", ["c", "b", "a"])):
        sets = [
            [names.index("a"), names.index("b")] if i % 2 else [names.index("c")] for i in range(N)
        ]
        features = {
            "label": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
        }
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        texts = [f"{split} {t}" for t in TEXTS]
        table = pa.table({"text": texts, "label": pa.array(sets)}).replace_schema_metadata(about)
        pq.write_table(table, tmp_path / f"{split}.parquet")
    data = load(tmp_path)
    assert data.schema.classes == ("a", "b", "c")
    for part in (data.train, data.test):
        for i in range(len(part)):
            is_odd = int(part.samples.read(i).rpartition(" ")[2]) % 2
            assert part.targets[i].tolist() == ([1, 1, 0] if is_odd else [0, 0, 1])


def test_minus_one_without_names(tmp_path):
    def read(labels):
        return load(pd.DataFrame({"text": TEXTS, "label": labels}))

    data = read([-1 if i < 6 else i % 3 for i in range(N)])
    assert data.schema.classes == ("0", "1", "2")
    assert said(data, "6 of 60 rows of the DataFrame have no label (-1 in 'label')")
    mood = read([i % 3 - 1 for i in range(N)])
    assert mood.schema.classes == ("-1", "0", "1")
    assert said(mood, "If -1 means that there is no label, remove")
    assert read([1 if i % 2 else -1 for i in range(N)]).schema.classes == ("-1", "1")


def test_a_hidden_test_file_is_not_used(tmp_path):
    label_file(tmp_path / "train.parquet", [i % 2 for i in range(N)], CLASSES)
    label_file(tmp_path / "test.parquet", [-1] * N, CLASSES, [f"new {t}" for t in TEXTS])
    data = load(tmp_path)
    assert truth(data) == wanted()
    assert said(data, "test.parquet is not used: its labels are hidden")


@pytest.mark.parametrize("name", ["no_label", "_unlabeled", "unlabelled", "No Labels"])
def test_folders_without_a_label_are_no_classes(tmp_path, name):
    for folder in ("cat", "dog", name):
        (tmp_path / folder).mkdir()
        for i in range(8):
            (tmp_path / folder / f"{i}.txt").write_text(f"{folder} number {i} is here")
    data = load(tmp_path)
    assert data.schema.classes == ("cat", "dog")
    assert said(data, f"Skipped folders of samples without a label: '{name}'")


def test_one_text_under_two_labels_is_said(tmp_path):
    texts = [*TEXTS, *TEXTS[:4]]
    labels = [CLASSES[i % 2] for i in range(N)] + [CLASSES[(i + 1) % 2] for i in range(4)]
    data = load(pd.DataFrame({"text": texts, "label": labels}))
    assert said(data, "The same text stands under several labels, 4 times")


SPARK = {
    "type": "struct",
    "fields": [{"name": "label", "metadata": {"ml_attr": {"vals": CLASSES, "type": "nominal"}}}],
}


@pytest.mark.parametrize(
    "about",
    [
        {"org.apache.spark.sql.parquet.row.metadata": json.dumps(SPARK)},
        {"id2label": json.dumps({"0": "neg", "1": "pos"})},
        {"label_names": json.dumps(CLASSES)},
        {"huggingface": json.dumps({"info": {"features": {"label": {"names": CLASSES}}}})},
    ],
)
def test_names_in_the_metadata_of_a_file(tmp_path, about):
    numbers = pa.array([float(i % 2) for i in range(N)])
    table = pa.table({"text": TEXTS, "label": numbers}).replace_schema_metadata(about)
    pq.write_table(table, tmp_path / "a.parquet")
    assert truth(load(tmp_path / "a.parquet", task="classification")) == wanted()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "neg\npos\n"),
        ("classes.txt", "neg\r\npos"),
        ("id2label.json", '{"0": "neg", "1": "pos"}'),
        ("label_map.json", '{"neg": 0, "pos": 1}'),
        ("config.json", '{"id2label": {"0": "neg", "1": "pos"}, "model_type": "bert"}'),
    ],
)
def test_names_in_a_file_beside_the_table(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    frame = pd.DataFrame({"text": TEXTS, "label": [i % 2 for i in range(N)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert truth(load(tmp_path / "a.csv")) == wanted()
    frame["label"] = [CLASSES[i % 2] for i in range(N)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert truth(load(tmp_path / "a.csv")) == wanted()


def test_pictures_at_addresses_are_found_beside_the_table_or_asked_for(tmp_path, encode):
    rows = [
        {"image_url": f"azureml://store/paths/{i}.png", "label": CLASSES[i % 2]} for i in range(N)
    ]
    path = jsonl(tmp_path / "azure.jsonl", rows)
    with pytest.raises(DataError, match=r"addresses such as azureml://.*Download the pictures"):
        load(path)
    (tmp_path / "images").mkdir()
    for i in range(N):  # as advised
        content = encode(np.full((5, 5, 3), i, np.uint8))
        (tmp_path / "images" / f"{i}.png").write_bytes(content)
    data = load(path)
    assert len(data.train) + len(data.val) + len(data.test) == N
    assert not data.bad_samples


def test_addresses_that_are_not_the_inputs_are_left_alone(tmp_path):
    rows = [
        {"text": t, "thumb": f"https://a.b/{i}.jpg", "label": CLASSES[i % 2]}
        for i, t in enumerate(TEXTS)
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=r"If they are not the inputs, say --drop thumb"):
        load(path)
    assert truth(load(path, drop=["thumb"])) == wanted()
    assert truth(load(path, text="text")) == wanted()


def test_columns_of_zero_and_one_are_labels(tmp_path, encode):
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(N)]
    for name in names:
        (tmp_path / name).write_bytes(encode(rng.integers(0, 256, (5, 5, 3), np.uint8)))
    columns = {" cat": rng.integers(0, 2, N), " dog": rng.integers(0, 2, N)}
    frame = pd.DataFrame({"filename": names, **columns})
    frame.to_csv(tmp_path / "_classes.csv", index=False)
    data = load(tmp_path / "_classes.csv")
    assert (data.schema.task, data.schema.classes) == ("multi-label", ("cat", "dog"))


@pytest.mark.parametrize("column", ["annotator", "rater_id", "worker id", "Coder"])
def test_rows_of_several_annotators_are_one_sample(tmp_path, column):
    rows = [
        {
            "text": TEXTS[i],
            column: f"person {k}",
            "label": CLASSES[(i + (k == 2) + (i < 4 and k == 1)) % 2] if k < 2 or i >= 4 else None,
        }
        for i in range(N)
        for k in range(3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert truth(data) == wanted(range(4, N))
    assert said(data, "4 whose annotators disagree as often as they agree")
    assert said(data, "60 samples of a.csv were labelled more than once")


def test_lists_of_one_number_are_numbers():
    frame = pd.DataFrame({"text": TEXTS, "label": [[i + 0.5] for i in range(N)]})
    assert load(frame).schema.task == "regression"


def test_a_sample_that_its_raters_put_into_two_splits_is_refused(tmp_path, heard):
    rows = [
        {"text": TEXTS[i], "rater": k, "label": CLASSES[i % 2], "split": ("train", "test")[i > 20]}
        for i in range(N)
        for k in range(2)
    ]
    path = tmp_path / "rated.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    assert len(load(path).test) == N - 21
    rows[1]["split"] = "test"
    pd.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(DataError, match="puts one sample on two sides: 'train' in row 1") as caught:
        load(path)
    assert truth(load(path, drop="split")) == wanted()
    heard(caught.value)
