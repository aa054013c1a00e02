import json
from dataclasses import asdict

import pytest
from huggingface_hub import ModelCard

from headstart.reporting.card import render_card
from headstart.tasks import TASKS
from headstart.types import Schema


@pytest.fixture
def card_of(make_run):
    """Return a function that makes the card of a run, some of its records changed."""

    def make(**changed):
        run = make_run()
        for name, record in changed.items():
            run[name].update(record)
        return render_card(**run), run

    return make


def test_the_hub_reads_the_card(card_of):
    text, run = card_of()
    card = ModelCard(text)
    data = card.data
    assert (data.license, data.library_name) == ("apache-2.0", "headstart")
    assert data.pipeline_tag == "image-classification"
    assert data.tags == ["headstart", "image", "classification", "lp-ft"]
    assert data.model_name == "flowers"
    found = {one.metric_type: one.metric_value for one in data.eval_results}
    figures = run["metrics"]["test"]["figures"]
    assert found == {key: figures[key]["value"] for key in found}
    assert found["accuracy"] == figures["accuracy"]["value"]
    assert {one.dataset_split for one in data.eval_results} == {"test"}
    assert "| fine-tuned |" in card.text
    assert "Class 'daisy' has 3 images." in card.text


def test_a_card_says_what_the_hub_does_not_know_by_a_name_of_its_own(card_of):
    start = {"address": "timm/resnet18.a1_in1k", "licence": "Very Own 2.0"}
    data = ModelCard(card_of(model={"start": start})[0]).data
    assert (data.license, data.to_dict()["license_name"]) == ("other", "Very Own 2.0")
    assert data.base_model == "timm/resnet18.a1_in1k"
    nothing = {"address": "scratch/x", "licence": "none (random weights)"}
    data = ModelCard(card_of(model={"start": nothing})[0]).data
    assert data.license == "unknown"
    assert data.base_model is None


def test_a_card_of_numbers_and_of_labels(make_task_run):
    numbers = render_card(**make_task_run(Schema("table", "regression", (), label="price")))
    assert ModelCard(numbers).data.pipeline_tag == "tabular-regression"
    labels = render_card(**make_task_run(Schema("text", "multi-label", ("a", "b"))))
    assert ModelCard(labels).data.pipeline_tag == "text-classification"
    pictures = render_card(**make_task_run(Schema("image", "regression", (), label="age")))
    assert ModelCard(pictures).data.pipeline_tag is None


@pytest.mark.parametrize("task", TASKS)
def test_a_card_of_words_and_of_written_texts_says_what_the_hub_calls_it(card_of, task):
    schema = asdict(Schema("text", task, ("a", "b")))
    data = ModelCard(card_of(metrics={"task": task}, model={"schema": schema})[0]).data
    wanted = {
        "tagging": "token-classification",
        "seq2seq": "text2text-generation",
        "classification": "text-classification",
        "multi-label": "text-classification",
    }
    hubs = {"token-classification", "question-answering", "text-generation"}
    expected = wanted.get(task) or (task if task in hubs else None)
    assert data.pipeline_tag == expected
    if data.eval_results:
        assert {one.task_type for one in data.eval_results} == {expected or "other"}


def test_no_name_breaks_out_of_the_front_matter_or_names_a_private_folder(card_of):
    evil = '"\n---\nlicense: mit\n<script>'
    text, _ = card_of(
        data={"name": f"/home/someone/{evil}"},
        model={"start": {"address": "/home/someone/start.safetensors", "licence": "MIT"}},
        options={"command": ["fit", "/home/someone/photos", "--budget", "2m"]},
    )
    card = ModelCard(text)
    assert card.data.license == "mit"
    assert json.dumps(card.data.model_name) == json.dumps(evil)
    assert "<script>" not in card.text
    assert "/home/" not in text
    assert "headstart fit photos --budget 2m" in card.text


def test_a_run_that_nobody_has_measured_says_so(make_run):
    run = make_run()
    text = render_card({}, run["model"], run["data"], run["options"])
    assert "Nobody has measured it." in ModelCard(text).text
    assert ModelCard(text).data.eval_results is None
