"""Answers in a context, from files to places: what a user asks of them, on a tiny network."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_questions import question_run, squad, written_squad
from small_runs import save_bert

import headstart as hs
from headstart.errors import DataError, ExportError, OptionError, StartError
from headstart.objectives import find_loss, item_losses
from headstart.objectives.supervised import Wanted
from headstart.preprocessing import QuestionPreprocess, QuestionTokens
from headstart.preprocessing.vocabulary import load_tokenizer
from headstart.tasks import find_task
from headstart.tasks.found_spans import best_spans
from headstart.types import Ragged, TextPair
from headstart.types.questions import NOWHERE, GoldAnswers

FILLER = " ".join(f"w{i % 30}" for i in range(90))
LONG = f"{FILLER} Ada lives in New York and sells green tea . {FILLER}"
WHERE, AGE = "Where does one live ?", "How old is one ?"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return question_run(tmp_path_factory.mktemp("questions"))


def test_answers_are_found_and_held_against_controls(run):
    figures = run.metrics["test"]["figures"]
    assert figures["f1"]["value"] > 0.9
    assert figures["exact_match_unanswered"]["value"] > 0.9
    assert run.metrics["test"]["num_groups"] == 8  # articles are what intervals count
    ladder = run.metrics["before_after"]["figures"]
    assert set(ladder) == {
        "most frequent answer of train",
        "first sentence of the context",
        "words beside the question's (TF-IDF)",
        "fine-tuned",
    }
    assert max(one["value"] for name, one in ladder.items() if name != "fine-tuned") < 0.6
    mistakes = json.loads((run.path / "mistakes.json").read_text())["items"]
    assert ("Farthest from the answer" in (run.path / "report.html").read_text()) == bool(mistakes)


def test_answers_stand_at_their_places_in_the_users_own_context(run):
    context = "  w1  Ada lives in New York and sells maps ."
    found = run.predict([(WHERE, context), (AGE, context)])
    assert context[found[0].spans[0].start : found[0].spans[0].end] == "New York"
    assert found[0].to_json()["answer"] == "New York"
    assert 0 < found[0].probability <= 1
    assert found[1].label == "no answer"
    told = json.loads(json.dumps(found[1].to_json()))
    assert (told["answer"], told["start"], told["end"]) == (None, None, None)


def test_contexts_of_any_length_are_read_whole(run):
    record = json.loads((run.path / "model.json").read_text())["architecture"]["preprocess"]
    assert len(LONG.split()) > 3 * record["max_length"]
    (found,) = run.predict([(WHERE, LONG)])
    assert found.text.startswith("New York")
    assert LONG[found.spans[0].start : found.spans[0].end] == found.text
    (nothing,) = run.predict([(WHERE, FILLER)])
    assert len(nothing.spans) <= 1  # whatever it says, it says it of the whole


def test_tables_and_squad_are_answered_and_scored_again(run, tmp_path):
    made = squad(4, 9)
    path = tmp_path / "new.json"
    path.write_text(json.dumps(made))
    answers = tmp_path / "answers.csv"
    found = hs.predict(str(run.path), [str(path)], out=str(answers))
    assert len(found) == 24
    with answers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == [one.text for one in found]
    assert {row["start"] == "" for row in rows} == {True, False}
    right = sum(
        one.text in ([told["text"] for told in asked["answers"]] or [""])
        for one, asked in zip(
            found,
            [q for a in made["data"] for p in a["paragraphs"] for q in p["qas"]],
            strict=True,
        )
    )
    assert right >= 22
    again = hs.evaluate(str(run.path))
    value = run.metrics["test"]["figures"]["f1"]["value"]
    assert again.metrics["test"]["figures"]["f1"]["value"] == pytest.approx(value)
    shutil.copytree(run.path, tmp_path / "copy")
    assert hs.compare([str(run.path), str(tmp_path / "copy")])


def test_the_folder_for_transformers_gives_the_same_logits(run, tmp_path):
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    folder = hs.export(str(run.path), to="transformers", out=str(tmp_path / "out"))
    model = AutoModelForQuestionAnswering.from_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    context = "Ada lives in Old Delhi and sells maps ."
    given = tokenizer(WHERE, context, return_tensors="pt")
    own = run.ensemble.first
    inputs = own.encoder.preprocess.read([TextPair(WHERE, context)])
    arrays = [torch.from_numpy(one) for one in inputs.arrays(np.array([0]))]
    with torch.no_grad():
        told, wanted = model(**given), own.eval()(*arrays)
    assert len(wanted) == 1  # one window
    found = torch.stack((told.start_logits, told.end_logits), dim=2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert model.config.headstart["least_lead"] == pytest.approx(
        json.loads((run.path / "model.json").read_text())["deciding"]["least_lead"]
    )


def test_what_means_nothing_for_answers_is_refused(run, tmp_path, heard):
    data = hs.load(str(run.data["source"]["source"]))
    said = {"num_steps": 1, "strategy": "full", "device": "cpu", "start": "scratch/bert-tiny"}
    for place, (wrong, match) in enumerate(
        [
            ({"threshold": "f1"}, "an answer to find"),
            ({"folds": 2}, "has an answer to find"),
            ({"start": "scratch/tfidf", "num_steps": None}, "tells nothing of single tokens"),
        ]
    ):
        out = tmp_path / str(place)
        with pytest.raises((OptionError, StartError), match=match) as told:
            hs.finetune(data, **(said | wrong), out=str(out))
        assert hs.finetune(data, **said, out=str(out), overwrite=True).metrics["test"]
        heard(told.value)
    with pytest.raises(DataError, match="has an answer to find"):
        hs.rank(data)
    with pytest.raises(ExportError, match="it finds answers in contexts") as told:
        hs.export(str(run.path), to="onnx", int8=True, out=str(tmp_path / "int8"))
    heard(told.value)


def test_a_length_of_answers_is_for_those_that_are_found(tmp_path, heard):
    texts = pd.DataFrame({"text": ["a good one", "a bad one"] * 30, "label": ["x", "y"] * 30})
    texts["text"] += [f" {i}" for i in range(60)]
    said = {"start": "scratch/tfidf", "out": str(tmp_path / "a"), "device": "cpu"}
    with pytest.raises(OptionError, match="finds no answers in a context") as told:
        hs.finetune(texts, **said, answer_tokens=5)
    assert hs.finetune(texts, **said).metrics["test"]
    heard(told.value)


def test_answers_are_no_longer_than_was_said(tmp_path):
    data = hs.load(str(written_squad(tmp_path / "data")))
    made = hs.finetune(
        data,
        start="scratch/bert-tiny",
        strategy="full",
        num_steps=1,
        answer_tokens=1,
        out=str(tmp_path / "a"),
        device="cpu",
    )
    kept = json.loads((made.path / "model.json").read_text())["deciding"]
    assert kept["most_tokens"] == 1
    contexts = [(WHERE, f"w{i} Ada lives in Rome and sells maps .") for i in range(20)]
    assert all(len(one.text.split()) <= 1 for one in made.predict(contexts))


def test_answers_that_are_no_list_are_made_anew(run, tmp_path, heard):
    import pyarrow as pa
    import pyarrow.parquet as pq

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    answers = pq.read_table(copy / "predictions.parquet")
    place = answers.column_names.index("prediction")
    changed = answers.set_column(place, "prediction", pa.array(["Rome"] * len(answers)))
    pq.write_table(changed, copy / "predictions.parquet")
    with pytest.raises(OptionError, match="again with --overwrite") as told:
        hs.compare([str(run.path), str(copy)])
    shutil.copyfile(run.path / "predictions.parquet", copy / "predictions.parquet")
    assert hs.compare([str(run.path), str(copy)])
    heard(told.value)


def test_windows_without_room_are_refused_and_larger_ones_help(run, tmp_path, heard):
    data = hs.load(str(run.data["source"]["source"]))
    said = {"start": "scratch/bert-tiny", "strategy": "full", "num_steps": 1, "device": "cpu"}
    with pytest.raises(StartError, match=r"Expected at least 5\. Choose a larger one") as no:
        hs.finetune(data, **said, out=str(tmp_path / "short"), max_length=4)
    short = hs.finetune(data, **said, out=str(tmp_path / "short"), max_length=5, overwrite=True)
    heard(no.value)
    (note,) = (note for note in short.data["notes"] if "longer than half of" in note)
    assert "longer than half of" not in " ".join(run.data["notes"])
    heard(note)
    hs.export(str(short.path), to="transformers", out=str(tmp_path / "out"))


def test_what_transformers_has_no_class_for_is_refused_and_served(
    run, tmp_path, heard, monkeypatch
):
    from transformers import AutoModelForQuestionAnswering

    def unknown(*args, **more):
        raise ValueError("no such configuration")

    for wrong, match in (
        (unknown, "has no question answering for"),
        (lambda *args, **more: torch.nn.Module(), "do not fit transformers' Module"),
    ):
        monkeypatch.setattr(AutoModelForQuestionAnswering, "from_config", wrong)
        with pytest.raises(ExportError, match=match) as told:
            hs.export(str(run.path), to="transformers", out=str(tmp_path / "out"))
        heard(told.value)  # served: tests/serving/test_questions_served.py


def test_a_tokenizer_without_a_first_token_is_refused(run, heard):
    preprocess = run.ensemble.first.encoder.preprocess
    bare = preprocess.tokenizer.with_max_length(30)
    frame = preprocess.tokenizer.pair_frame
    bare.__dict__["pair_frame"] = replace(frame, before=())
    pairs = [TextPair(WHERE, "Ada lives in Rome .")]
    with pytest.raises(StartError, match="puts no token before a text") as told:
        replace(preprocess, tokenizer=bare).read(pairs)
    assert len(preprocess.read(pairs)) == 1  # an encoder such as BERT
    heard(told.value)


def test_what_is_of_another_task_is_refused(heard):
    task = find_task("question-answering")
    targets = np.empty(1, object)
    targets[:] = [GoldAnswers(["Ada"], [0], "Ada")]
    right = Ragged.of([np.array([[0, 0, -1, -1], [1, 1, 0, 3]], np.float32)])
    for wrong, do in (
        (np.zeros((1, 2)), lambda rows: task.outputs(rows, None)),
        (np.zeros((1, 2)), task.decisions),
    ):
        with pytest.raises(OptionError, match="Give what this task's model gives") as told:
            do(wrong)
        heard(told.value)
    assert task.decisions(task.outputs(right, None))["end"][0] == 3
    with pytest.raises(OptionError, match="no answers of train") as told:
        task.baseline(targets[:0], targets, None)
    assert task.baseline(targets, targets, None)[1][0] == "Ada"
    heard(told.value)


# Windows and losses -------------------------------------------------------------------------------


def preprocess_of(folder, max_length):
    words = [f"w{i}" for i in range(40)] + ["who", "lives", "where"]
    save_bert(folder, [" ".join(words)] * 3)
    return QuestionPreprocess(load_tokenizer(folder, "tiny").with_max_length(max_length))


def inputs_of(preprocess, pairs, answers):
    found = preprocess.read(pairs)
    targets = np.empty(len(answers), object)
    targets[:] = answers
    fields = {name: getattr(found, name) for name in QuestionTokens.__dataclass_fields__}
    return QuestionTokens(**(fields | {"targets": targets}))


def test_an_answer_in_one_window_in_several_and_in_none(tmp_path):
    preprocess = preprocess_of(tmp_path, 16)
    context = " ".join(f"w{i}" for i in range(40))
    pairs = [TextPair("who lives where", context)] * 3

    def answer(first, last):
        text = " ".join(f"w{i}" for i in range(first, last + 1))
        return GoldAnswers([text], [context.index(f"w{first}")], context)

    wanted = [answer(1, 2), answer(0, 39), GoldAnswers([], [], context)]
    inputs = inputs_of(preprocess, pairs, wanted)
    num = int(inputs.windows.lengths[0])
    assert num > 2
    ids, mask = inputs.arrays(np.array([0, 1, 2]))[:2]
    assert ids.shape[0] == mask.shape[0] == 3 * num
    assert ids.shape[1] <= 16
    told = inputs.told
    one, whole, none = (told[place].reshape(-1, 4) for place in range(3))
    held = one[one[:, 0] > 0]
    assert 1 <= len(held) < num  # where it stands whole, and nowhere else
    for first, last, _, _ in held.tolist():
        row = int(np.flatnonzero((one[:, 0] == first) & (one[:, 1] == last))[0])
        said = preprocess.tokenizer.decode(ids[row, first : last + 1].tolist())
        assert said.replace(" ", "") == wanted[0].texts[0].replace(" ", "")
    assert not whole[:, :2].any()  # no window holds all of it
    assert not none[:, :2].any()
    # every token of the context is in a window, and is told of at its own place
    made = np.zeros((*ids.shape, 2), np.float32)
    rows = inputs.gathered(np.array([0]), made[:num])
    assert len(rows[0]) == inputs.row_lengths[0]
    covered = {tuple(place) for place in rows[0][:, 2:].astype(int).tolist() if place[0] != NOWHERE}
    assert min(start for start, _ in covered) == 0
    assert max(end for _, end in covered) == len(context)
    for i in range(40):
        start = context.index(f"w{i}")
        assert any(a <= start < b for a, b in covered)


def test_the_best_span_is_that_of_looking_at_every_one():
    draw = np.random.default_rng(0)
    for _ in range(20):
        parts = []
        for _ in range(int(draw.integers(1, 4))):
            size = int(draw.integers(1, 9))
            told = draw.normal(size=(size + 1, 2))
            starts = np.concatenate([[NOWHERE], np.sort(draw.integers(0, 90, size))])
            ends = np.where(starts == NOWHERE, NOWHERE, starts + 1)
            parts.append(np.column_stack([told, starts, ends]).astype(np.float32))
        rows = Ragged.of([np.concatenate(parts)])
        best = max(
            (float(part[i, 0]) + float(part[j, 1]), part[i, 2], part[j, 3])
            for part in parts
            for i in range(1, len(part))
            for j in range(i, min(i + 3, len(part)))
        )
        found = best_spans(rows, 3)[0]
        assert found["score"] == pytest.approx(best[0])
        assert (found["start"], found["end"]) == (best[1], best[2])
        nothing = min(float(part[0, 0]) + float(part[0, 1]) for part in parts)
        assert found["nothing"] == pytest.approx(nothing)
        assert 0 <= found["probability"] <= 1


def test_parts_of_a_step_add_up_and_the_loss_of_items_is_the_same(tmp_path):
    preprocess = preprocess_of(tmp_path, 16)
    context = " ".join(f"w{i}" for i in range(40))
    pairs = [TextPair("who", context), TextPair("who lives", "w1 w2 w3"), TextPair("who", "w9 w8")]
    wanted = [
        GoldAnswers(["w30 w31"], [context.index("w30")], context),
        GoldAnswers(["w2"], [3], "w1 w2 w3"),
        GoldAnswers([], [], "w9 w8"),
    ]
    inputs = inputs_of(preprocess, pairs, wanted)
    loss = find_loss("question-answering").of_batch

    def made(places):
        ids = inputs.arrays(np.array(places))[0]
        draws = [np.random.default_rng(int(row.sum())).normal(size=(16, 2)) for row in ids]
        logits = np.stack(draws)[:, : ids.shape[1]].astype(np.float32)
        told = torch.from_numpy(inputs.told[np.array(places)].padded(-100))
        return logits, float(loss(torch.from_numpy(logits), Wanted(told)))

    logits, whole = made([0, 1, 2])
    weights = inputs.told.lengths
    parts = sum(made([place])[1] * weights[place] for place in range(3)) / weights.sum()
    assert parts == pytest.approx(whole, rel=1e-6)
    rows = inputs.gathered(np.array([0, 1, 2]), logits)
    each = item_losses("question-answering", rows, inputs.targets)
    assert (each * weights).sum() / weights.sum() == pytest.approx(whole, rel=1e-6)
    assert find_loss("question-answering").of_split(rows, inputs.targets) == pytest.approx(whole)


def test_the_lead_of_an_answer_is_tuned_where_some_have_none():
    task = find_task("question-answering")
    context = "Ada lives"
    rows = Ragged.of(
        [
            np.array([[0.0, 0.0, -1, -1], [lead, 0.0, 0, 3], [-9.0, -9.0, 4, 9]], np.float32)
            for lead in (3.0, 2.0, 1.0)
        ]
    )
    targets = np.empty(3, object)
    targets[:] = [GoldAnswers(["Ada"], [0], context)] * 2 + [GoldAnswers([], [], context)]
    found = task.outputs(rows, None)
    tuned = task.deciding_by(task.tuned(found, targets))
    assert tuned.deciding.least_lead == pytest.approx(1.5)
    assert tuned.texts(tuned.decisions(found), targets) == ["Ada", "Ada", ""]
    always = task.deciding_by(task.tuned(found[:2], targets[:2]))
    low = found.copy()
    low["nothing"] = 100.0
    assert always.texts(always.decisions(low), targets) == ["Ada"] * 3
