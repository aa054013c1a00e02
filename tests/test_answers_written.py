"""Answers that a decoder writes, from a file of chats to a folder for others, on a tiny network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("transformers")

import headstart as hs
from headstart.errors import (
    DataError,
    ExportError,
    HeadstartError,
    Interrupted,
    OptionError,
    StartError,
)
from headstart.events import listen
from headstart.exporting import gguf_file
from headstart.objectives import find_loss
from headstart.objectives.supervised import Wanted

START = "scratch/gpt-tiny"
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SMALL = {
    "start": START,
    "device": "cpu",
    "batch_size": 8,
    "encoder_dropout": 0.0,
    "precision": "fp32",
}


def _chats(path: Path, num: int = 60) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(num):
        number, times = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        asked = f"What comes after {NUMBERS[number - 1]}, {times} times?"
        said = " ".join([NUMBERS[number]] * times)
        turns = [("user", asked), ("assistant", said)]
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return hs.load(str(_chats(tmp_path_factory.mktemp("chats") / "chats.jsonl")))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("answers") / "run"
    return hs.finetune(data, **SMALL, num_steps=60, learning_rate=3e-3, out=str(out))


def test_answers_are_judged_by_their_tokens_and_by_what_is_written(run):
    figures = run.metrics["test"]["figures"]
    assert 1 < figures["byte_perplexity"]["value"] < 2
    assert figures["perplexity"]["low"] <= figures["perplexity"]["value"]
    assert figures["token_accuracy"]["value"] > 0.5
    assert 0 <= figures["exact_match"]["value"] <= 1
    assert figures["rouge_l"]["value"] > 0.3
    assert "rouge-score" in run.metrics["test"]["signature"]["rouge_l"]
    ladder = run.metrics["before_after"]["figures"]
    assert ladder["fine-tuned"]["value"] == figures["byte_perplexity"]["value"]
    assert ladder["how often train has each byte"]["value"] > 5
    shown = run.metrics["written"][0]
    assert shown["text"].startswith("What comes after")
    assert {"target", "after"} <= set(shown)
    report = run.report()
    assert "Perplexity a byte" in report
    assert "Written before and after" in report
    page = (run.path / "report.html").read_text()
    assert shown["target"] in page
    assert "Least expected" in page


def test_predict_writes_as_it_is_told_and_hands_on_what_is_written(run):
    asked = "What comes after three, 2 times?"
    heard = []
    with listen(lambda kind, fields: heard.append((kind, fields))):
        (told,) = hs.predict(str(run.path), [asked])
    pieces = [fields["text"] for kind, fields in heard if kind == "written"]
    assert "".join(pieces) == told.text
    assert len(pieces) > 2
    assert json.loads(json.dumps(told.to_json())) == {"name": "text 1", "text": told.text}
    short = hs.predict(str(run.path), [asked], max_tokens=2)[0].text
    assert told.text.startswith(short)
    drawn = [
        hs.predict(str(run.path), [asked], temperature=3.0, seed=seed)[0].text for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert hs.predict(str(run.path), [asked], num_beams=3)[0].text
    several = run.predict([asked, "What comes after one, 4 times?"])
    assert several[0].text == told.text


def test_files_of_conversations_are_answered_as_they_are_learned_from(run, tmp_path):
    asked = "What comes after three, 2 times?"
    told = hs.predict(str(run.path), [asked])[0].text
    turns = [{"role": "user", "content": asked}]
    answered = [*turns, {"role": "assistant", "content": "never read"}]
    forms = [{"messages": answered}, {"messages": turns}, {"prompt": turns}, {"question": asked}]
    for number, form in enumerate(forms):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(form))
        assert [one.text for one in hs.predict(str(run.path), [str(path)])] == [told], form


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"top_p": 0.5}, "say --temperature 1"),
        ({"seed": 3}, "say --temperature 1"),
        ({"temperature": 0.0}, "temperature is 0, expected above 0"),
        ({"num_beams": 0}, "num_beams is 0, expected 1 to 16"),
        ({"max_tokens": 0}, "max_tokens is 0, expected 1"),
        ({"temperature": 1.0, "num_beams": 2}, "say one"),
    ],
)
def test_what_means_nothing_of_writing_is_refused(run, said, words):
    with pytest.raises(OptionError, match=words):
        hs.predict(str(run.path), ["Hi"], **said)


def test_evaluate_gives_the_same_figures(run):
    again = hs.evaluate(str(run.path)).metrics["test"]["figures"]
    for name, figure in run.metrics["test"]["figures"].items():
        assert again[name]["value"] == pytest.approx(figure["value"], rel=1e-5), name


def test_two_runs_are_compared_by_what_they_told(run, data, tmp_path):
    less = hs.finetune(data, **SMALL, num_steps=2, seed=1, out=str(tmp_path / "less"))
    found = hs.compare([str(less.path), str(run.path)])
    (pair,) = found.record["comparisons"]
    losses = [
        pq.read_table(one.path / "predictions.parquet").to_pandas().set_index("id")["loss"]
        for one in (less, run)
    ]
    moved = losses[1] - losses[0]  # a byte, of each text
    assert (pair["gained"], pair["lost"]) == (int((moved < 0).sum()), int((moved > 0).sum()))
    assert pair["difference"]["value"] == pytest.approx(float(moved.mean()), rel=1e-5)
    assert pair["judgement"] == "better"
    assert pair["figures"]["byte_perplexity"]["value"] < 0
    assert {one["target"] for one in pair["gained_items"]} <= set(
        pq.read_table(run.path / "predictions.parquet")["target"].to_pylist()
    )
    assert "difference in log loss a byte" in " ".join(found.report().split())


def test_others_load_it_with_the_same_logits(run, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = str(tmp_path / "out")
    hs.export(str(run.path), to="transformers", out=out)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    asked = "What comes after three, 2 times?"
    messages = [{"role": "user", "content": asked}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
    written = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1] :]
    said = tokenizer.decode(written, skip_special_tokens=True)
    assert said == run.predict([asked])[0].text
    pytest.importorskip("gguf")
    hs.export(str(run.path), to="gguf", out=str(tmp_path / "gguf"))
    assert (tmp_path / "gguf" / "model.gguf").stat().st_size > 1_000_000
    with pytest.raises(ExportError, match="--to transformers"):
        hs.export(str(run.path), to="pt2", out=str(tmp_path / "pt2"))


def test_ids_that_are_cut_inside_a_character_are_no_fault_of_the_vocabulary(
    run, tmp_path, monkeypatch
):
    def cut(preprocess):
        torn = preprocess.tokenizer.encode_plain(["\U0001f9ed"])[0][:-1]  # four bytes, three ids
        return torch.from_numpy(torn).to(torch.int64)[None]

    monkeypatch.setattr(gguf_file, "sample_ids", cut)
    hs.export(str(run.path), to="gguf", out=str(tmp_path / "gguf"))


def test_a_run_and_an_own_pretraining_are_starts(run, data, tmp_path):
    own = {**SMALL, "start": str(run.path), "learning_rate": 0.0}
    again = hs.finetune(data, **own, num_steps=1, out=str(tmp_path / "a"))
    value = run.metrics["test"]["figures"]["perplexity"]["value"]
    assert again.metrics["test"]["figures"]["perplexity"]["value"] == pytest.approx(value, rel=1e-4)
    texts = [f"{a} {b} {a} {b}" for a in NUMBERS for b in NUMBERS]
    own = hs.pretrain(texts, objective="clm", num_steps=2, device="cpu", out=str(tmp_path / "own"))
    made = hs.finetune(
        data, **{**SMALL, "start": str(own.path)}, num_steps=2, out=str(tmp_path / "b")
    )
    assert "start as it is" in made.metrics["before_after"]["figures"]


def test_texts_alone_are_learned_and_gone_on_with(tmp_path):
    rows = [{"text": f"{a} and {b} and {a} and {b}."} for a in NUMBERS for b in NUMBERS]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    made = hs.finetune(
        hs.load(str(path), task="text-generation"),
        **SMALL,
        num_steps=30,
        learning_rate=3e-3,
        out=str(tmp_path / "run"),
    )
    figures = made.metrics["test"]["figures"]
    assert figures["byte_perplexity"]["value"] < 3
    assert "exact_match" not in figures  # nothing is asked of a text
    assert made.predict(["one and two"])[0].text


def test_parts_of_a_step_add_up_to_the_mean_over_its_tokens():
    sums = torch.tensor([[6.0, 3, 1, 9], [2.0, 1, 0, 2], [10.0, 6, 2, 20]])
    loss = find_loss("text-generation").of_batch
    wanted = Wanted(torch.zeros(3, 6), label_smoothing=0.1)
    whole = loss(sums, wanted)
    assert whole == pytest.approx((0.9 * 18 + 0.1 * 31) / 10)
    parts = 0.3 * loss(sums[:1], wanted) + 0.7 * loss(sums[1:], wanted)
    assert parts == pytest.approx(whole)


def _weights(data, out, **more):
    said = {**SMALL, "num_steps": 3, "optimizer": "sgd", "learning_rate": 0.05, **more}
    return load_file(hs.finetune(data, **said, out=str(out)).path / "model.safetensors")


def test_micro_batches_and_blocks_computed_again_learn_the_same(data, tmp_path):
    whole = _weights(data, tmp_path / "whole")
    for name, said in (
        ("parts", {"micro_batch_size": 2}),
        ("again", {"checkpoint_blocks": True}),
    ):
        other = _weights(data, tmp_path / name, **said)
        for key, value in whole.items():
            torch.testing.assert_close(other[key], value, rtol=1e-4, atol=1e-6)


def test_a_part_learns_where_a_part_is_asked_for(data, tmp_path):
    before = _weights(data, tmp_path / "before", learning_rate=0.0)
    after = _weights(data, tmp_path / "after", strategy="last-n", num_last_layers=1)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".h.3." in name or ".ln_f." in name for name in moved)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"strategy": "head"}, OptionError, "has its vocabulary in place of a head"),
        ({"strategy": "lp-ft"}, OptionError, "Expected 'full', 'last-n' or 'lora'"),
        ({"strategy": "lora"}, StartError, "LoRA finds no linear layers"),
        ({"strategy": "qlora"}, HeadstartError, r"needs 'bitsandbytes'|LoRA finds no linear"),
        ({"start": "scratch/bert-tiny"}, StartError, "writes no texts"),
        ({"start": "scratch/seq2seq-tiny"}, StartError, "such as --start scratch/gpt-tiny"),
        ({"max_length": 6}, DataError, "its prompt has .* tokens, and 6 are read at once"),
        ({"max_length": 9_999}, StartError, "max_length 9999 is not possible"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(data, tmp_path, said, error, words):
    with pytest.raises(error, match=words):
        hs.finetune(data, **{"start": START, **said}, device="cpu", out=str(tmp_path / "run"))


def test_a_decoder_is_no_start_of_classes(tmp_path, data):
    rows = [
        {"text": f"this is {'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(40)
    ]
    path = tmp_path / "classes.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(StartError, match="reads a text one way"):
        hs.finetune(str(path), start=START, device="cpu", out=str(tmp_path / "run"))


def test_stopped_and_resumed_it_learns_the_same_to_the_bit(data, tmp_path):
    said = {**SMALL, "num_steps": 60, "encoder_dropout": 0.1}

    def stop(kind, fields):
        if kind == "check":
            os.kill(os.getpid(), signal.SIGINT)

    whole = hs.finetune(data, **said, out=str(tmp_path / "whole"))
    with listen(stop), pytest.raises(Interrupted):
        hs.finetune(data, **said, out=str(tmp_path / "parts"))
    parts = hs.finetune(data, **said, out=str(tmp_path / "parts"), resume=True)
    one, other = (load_file(r.path / "model.safetensors") for r in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.metrics["test"]["figures"] == parts.metrics["test"]["figures"]


def test_fit_scores_and_tunes_a_decoder(tmp_path):
    path = _chats(tmp_path / "chats.jsonl")
    made = hs.fit(str(path), budget="60s", device="cpu", out=str(tmp_path / "run"))
    assert made.model_record["start"]["address"] == START
    assert made.metrics["test"]["figures"]["byte_perplexity"]["value"] > 1


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    path = _chats(tmp_path / "chats.jsonl")
    weights = []
    for num in ("1", "2"):
        out = tmp_path / num
        words = [
            *("finetune", str(path), "--start", START, "--device", "cpu", "--num-steps", "3"),
            *("--batch-size", "8", "--optimizer", "sgd", "--learning-rate", "0.05"),
            *("--encoder-dropout", "0", "--precision", "fp32", "--num-processes", num),
            *("--out", str(out)),
        ]
        subprocess.run(
            [sys.executable, "-m", "headstart", *words],
            check=True,
            capture_output=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        weights.append(load_file(out / "model.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)
