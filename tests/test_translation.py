"""A text for a text, from files to answers: what a user of a translator does, on a toy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pairs_of_texts import pairs_of, write_pairs

transformers = pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")

import pyarrow.parquet as pq  # noqa: E402

import headstart as hs  # noqa: E402
from headstart.cli import main  # noqa: E402
from headstart.errors import ExportError  # noqa: E402
from headstart.events import listen  # noqa: E402
from headstart.recipes.predict import _tell_empty  # noqa: E402
from headstart.reporting import render_text  # noqa: E402
from headstart.starts import find_start  # noqa: E402
from headstart.tasks import find_task  # noqa: E402
from headstart.training.options.training_options import TrainingOptions  # noqa: E402
from headstart.training.state.checkpoint import CheckpointFolder  # noqa: E402
from headstart.tuning.arm import Arm  # noqa: E402
from headstart.tuning.conditions import Conditions  # noqa: E402
from headstart.tuning.setup import set_up  # noqa: E402
from headstart.types import Prediction, Schema  # noqa: E402
from headstart.types.texts import TOLD, text_array  # noqa: E402

START = "scratch/seq2seq-tiny"
SIZES = {"train": 240, "val": 30, "test": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("texts") / "toy-en-de", SIZES)


@pytest.fixture(scope="module")
def run(folder):
    return hs.finetune(
        str(folder),
        start=START,
        num_steps=120,
        batch_size=24,
        learning_rate=5e-4,
        encoder_dropout=0.0,
        label_smoothing=0.0,
        out=str(folder.parent / "run"),
        device="cpu",
    )


def test_it_learns_to_write_and_stands_beside_what_needs_no_model(run):
    test = run.metrics["test"]
    assert test["figures"]["bleu"]["value"] > 60
    assert test["figures"]["bleu"]["low"] < test["figures"]["bleu"]["value"]
    assert test["figures"]["perplexity"]["value"] < 2
    assert "tok:13a" in test["signature"]["bleu"]
    ladder = run.metrics["before_after"]["figures"]
    assert set(ladder) == {
        "most frequent text",
        "the text itself",
        "translation memory (nearest text of train)",
        "fine-tuned",
    }
    against = {one["before"]: one for one in run.metrics["before_after"]["comparisons"]}
    assert against["the text itself"]["p_value"] < 0.01
    assert against["the text itself"]["difference"]["low"] > 20
    assert "BLEU" in run.report()


def test_answers_are_texts(run):
    texts, wanted = pairs_of(6, seed=77)
    found = run.predict(texts)
    assert [set(one.to_json()) for one in found] == [{"name", "text"}] * 6
    shared = [
        len({*one.text.split()} & {*text.split()}) for one, text in zip(found, wanted, strict=True)
    ]
    assert np.mean(shared) > 3


def test_the_items_hold_both_texts(run):
    columns = pq.read_table(run.path / "predictions.parquet").to_pydict()
    assert set(columns) == {"id", "name", "target", "prediction", "loss"}
    assert set(columns["target"]) == set(pairs_of(40, 2)[1])
    page = (run.path / "report.html").read_text()
    worst = json.loads((run.path / "mistakes.json").read_text())["items"]
    if worst:
        assert {"text", "target", "prediction"} <= set(worst[0])
        assert worst[0]["text"] in page.replace("&#39;", "'")


def test_the_command_line_writes_and_evaluates(run, folder, capsys, tmp_path):
    assert main(["predict", str(run.path), "the red dog sees the man."]) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("{"))
    assert json.loads(line)["text"]
    out = tmp_path / "answers.csv"
    (tmp_path / "new.txt").write_text((folder / "test.en").read_text().splitlines()[0])
    assert main(["predict", str(run.path), str(tmp_path / "new.txt"), "--out", str(out)]) == 0
    capsys.readouterr()
    for side, texts in zip(("en", "de"), pairs_of(25, seed=9), strict=True):
        (tmp_path / f"more.{side}").write_text("\n".join(texts))
    assert main(["evaluate", str(run.path), str(tmp_path / "more.de")]) == 0
    assert "BLEU" in capsys.readouterr().out


def test_runs_are_compared_text_by_text(run, folder, tmp_path, capsys):
    other = hs.finetune(
        str(folder), start=START, num_steps=4, out=str(tmp_path / "other"), device="cpu"
    )
    found = hs.compare([str(other.path), str(run.path)])
    record = found.record if hasattr(found, "record") else found
    assert "bleu" in json.dumps(record)
    assert main(["compare", str(other.path), str(run.path)]) == 0
    assert "BLEU" in capsys.readouterr().out


def test_what_was_trained_is_transformers_own(run, tmp_path):
    target = tmp_path / "exported"
    assert main(["export", str(run.path), "--to", "transformers", "--out", str(target)]) == 0
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(target))
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(target))
    texts = pairs_of(3, seed=5)[0]
    given = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        ids = model.generate(given["input_ids"], attention_mask=given["attention_mask"])
    said = [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert said == [one.text for one in run.predict(texts)]
    for kind in ("pt2", "safetensors"):
        with pytest.raises(ExportError, match=r"becomes no program.*--to transformers"):
            hs.export(str(run.path), to=kind, out=str(tmp_path / kind))
    with pytest.raises(ExportError, match=r"writes texts .*is not watched for drift"):
        hs.monitor(str(run.path), texts)


def test_answers_that_are_empty_are_counted(run):
    schema = Schema("text", "seq2seq", ())
    rows = np.zeros(4, TOLD)
    rows["text"] = ["a b c d", " ", "", None]  # the last was not asked for
    scores = find_task("seq2seq").scores(rows, text_array(["a b c d"] * 4), schema)
    assert (scores.num_items, scores.to_json()["num_empty"]) == (3, 2)
    test = {**run.metrics["test"], "num_empty": 2}
    about = {"model": run.model_record, "data": run.data, "options": run.options}
    told = render_text(metrics={**run.metrics, "test": test}, **about)
    num = test["num_items"]
    assert f"Empty answers: 2 of {num} items." in " ".join(told.split())
    heard = []
    with listen(lambda kind, fields: heard.append(fields.get("text"))):
        _tell_empty([Prediction("", text, np.nan, (), text=text) for text in ("a", "")])
    assert heard == ["1 of 2 answers is empty: nothing was written."]


def test_a_run_is_a_start_with_its_own_vocabulary(run, folder, tmp_path):
    again = hs.finetune(
        str(folder), start=str(run.path), num_steps=1, out=str(tmp_path / "more"), device="cpu"
    )
    own = (run.path / "tokenizer.json").read_bytes()
    assert (again.path / "tokenizer.json").read_bytes() == own
    ladder = again.metrics["before_after"]["figures"]
    assert ladder["start as it is"]["value"] == run.metrics["test"]["figures"]["bleu"]["value"]


def _tuned(data, folder, pieces):
    """Train in pieces, each by a new arm, as after an interruption."""
    options = TrainingOptions(strategy="full", num_steps=9, batch_size=16, encoder_dropout=0.2)
    result = None
    for steps in pieces:
        setup = set_up(data, find_start(START), options, device=torch.device("cpu"))
        train, val = (setup.preprocess.prepare(data, name) for name in ("train", "val"))
        conditions = Conditions(checkpoints=CheckpointFolder(folder))
        arm = Arm(setup, train, val, conditions)
        arm.start()
        arm.advance(steps=steps)
        result = arm.finish()
    return setup.model.state_dict(), result


def test_what_was_interrupted_ends_in_the_same_bits(folder, tmp_path):
    data = hs.load(str(folder))
    whole, first = _tuned(data, tmp_path / "whole", [None])
    parts, second = _tuned(data, tmp_path / "parts", [2, 4, None])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert first.val_logits["loss"].tolist() == second.val_logits["loss"].tolist()
    assert first.val_logits["text"].tolist() == second.val_logits["text"].tolist()


@pytest.mark.slow
def test_fit_scores_the_starts_by_what_they_tell_untrained(run, folder, tmp_path, capsys):
    found = hs.fit(
        str(folder), starts=[START, str(run.path)], budget="60s", out=str(tmp_path / "fit")
    )
    tried = found.options["candidates"]
    assert [one["start"] for one in tried] == [str(run.path), START]
    assert tried[0]["score"] < tried[1]["score"]
    assert tried[0]["metric"] == "bits a byte"
    assert found.metrics["test"]["figures"]["bleu"]["value"] > 50


@pytest.mark.parametrize("strategy", ["last-n", "lora"])
def test_other_strategies_learn_too(run, folder, tmp_path, strategy):
    data = hs.load(str(folder))
    options = TrainingOptions(strategy=strategy, num_steps=6, batch_size=16)
    setup = set_up(data, find_start(str(run.path)), options, device=torch.device("cpu"))
    train, val = (setup.preprocess.prepare(data, name) for name in ("train", "val"))
    before = {name: p.detach().clone() for name, p in setup.model.named_parameters()}
    arm = Arm(setup, train, val, Conditions())
    arm.start()
    arm.advance()
    moved = [n for n, p in setup.model.named_parameters() if not torch.equal(p, before[n])]
    assert 0 < len(moved) < len(before)
    mark = "lora_" if strategy == "lora" else "decoder.layers.2"
    assert all(mark in name or "decoder.layer_norm" in name for name in moved)
    assert replace(setup.recipe, seed=1) != setup.recipe
