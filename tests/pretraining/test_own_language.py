"""``headstart pretrain`` on texts: hidden words and next words, from the corpus to a start."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from own_texts import paragraphs
from safetensors.torch import load_file

import headstart as hs
from headstart.cli import main
from headstart.errors import (
    DataError,
    ExportError,
    Interrupted,
    OptionError,
    RunFolderError,
    StartError,
)
from headstart.events import listen
from headstart.model.pretrained import open_pretrained
from headstart.preprocessing import segments
from headstart.preprocessing.vocabulary import load_tokenizer
from headstart.pretraining import step_precision
from headstart.pretraining.beginnings import next_words
from headstart.pretraining.hidden_words import build_hidden_words
from headstart.pretraining.objective import Givens
from headstart.pretraining.table import command_after
from headstart.pretraining.texts import read_texts
from headstart.pretraining.word_learner import mean_and_error
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

pytest.importorskip("transformers")

QUICK = {"max_length": 32, "batch_size": 16, "device": "cpu", "vocabulary_size": 500}


def pretrained(out: Path, objective: str = "mlm", **said) -> hs.Run:
    options = {**QUICK, "num_steps": 2, **said}
    if options["vocabulary_size"] is None:
        del options["vocabulary_size"]
    return hs.pretrain(list(paragraphs()), objective=objective, out=str(out), **options)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory) -> hs.Run:
    out = tmp_path_factory.mktemp("hidden") / "mine"
    return pretrained(out, num_steps=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def following(tmp_path_factory) -> hs.Run:
    out = tmp_path_factory.mktemp("following") / "mine"
    return pretrained(out, "clm", num_steps=16, learning_rate=2e-3)


@pytest.mark.parametrize("which", ["hidden", "following"])
def test_the_loss_falls_and_stands_beside_that_of_frequencies(which, request):
    found = request.getfixturevalue(which).metrics["pretraining"]
    checks = [check["val_loss"] for check in found["checks"]]
    assert checks[-1] < checks[0] - 0.5
    assert math.exp(found["loss"]["value"]) == pytest.approx(
        found["figures"]["perplexity"]["value"]
    )
    assert found["loss"]["low"] < found["loss"]["value"] < found["loss"]["high"]
    (trivial,) = found["trivial"].values()
    assert 3 < trivial < math.log(500)
    assert found["gain"] == pytest.approx(1 - found["loss"]["value"] / trivial)


def test_the_report_shows_texts_with_words_hidden_and_told(hidden):
    (shown, *_) = json.loads((hidden.path / "views.json").read_text())["shown"]
    parts = {part["caption"]: part["content"] for part in shown["passages"]}
    assert list(parts) == ["original", "hidden", "told", "right"]
    assert "[MASK]" in parts["hidden"]
    assert "[MASK]" not in parts["original"] + parts["told"]
    assert parts["hidden"] in unescape((hidden.path / "report.html").read_text())


def test_the_report_shows_how_texts_were_written_on(following):
    shown = json.loads((following.path / "views.json").read_text())["shown"]
    parts = {part["caption"]: part["content"] for part in shown[0]["passages"]}
    assert list(parts) == ["given", "written", "original"]
    whole = parts["given"] + parts["original"]
    assert any(text.startswith(whole[:60]) for text in paragraphs())


def test_an_own_encoder_is_a_start_whose_weights_are_taken(hidden, tmp_path):
    start = find_start(str(hidden.path))
    assert (start.objective, start.family, start.modality) == ("mlm", "bert", "text")
    encoder = build_encoder(start, BuildRequest(texts=list(paragraphs())))
    state = load_file(str(hidden.path / "model.safetensors"))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, state[f"encoder.{name}"])
    texts = list(paragraphs())[:60]
    labels = ["long" if len(text) > 150 else "short" for text in texts]
    run = hs.finetune(
        (texts, labels), start=str(hidden.path), num_steps=2, out=str(tmp_path / "run")
    )
    assert run.metrics["test"]["num_items"] > 0
    assert run.model_record["start"]["address"] == str(hidden.path)


def test_a_second_pretraining_goes_on_where_the_first_ended(hidden, tmp_path):
    again = pretrained(
        tmp_path / "on", start=str(hidden.path), vocabulary_size=None, learning_rate=1e-6
    )
    first, last = (run.metrics["pretraining"] for run in (hidden, again))
    # head and encoder: with either of them random the loss would begin near log(500)
    begun = first["loss"]["value"]
    assert last["checks"][0]["val_loss"] == pytest.approx(begun, abs=1e-3)


@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_transformers_loads_what_is_exported_and_one_goes_on_from_there(
    objective, request, tmp_path
):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    run = request.getfixturevalue({"mlm": "hidden", "clm": "following"}[objective])
    folder = hs.export(str(run.path), out=str(tmp_path / "folder"))
    auto = AutoModelForMaskedLM if objective == "mlm" else AutoModelForCausalLM
    model, report = auto.from_pretrained(str(folder), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    reader = AutoTokenizer.from_pretrained(str(folder))
    found = open_pretrained(run.path)
    text = paragraphs()[3]
    ids, _ = found.encoder.preprocess.tokenizer.encode([text])
    inputs = reader(text, truncation=True, return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == ids[0].tolist()
    own = found.own["head.whole.cls.predictions.bias"] if objective == "mlm" else None
    with torch.no_grad():
        states = found.encoder.tokens(inputs["input_ids"], inputs["attention_mask"])
        table = found.encoder.network.model.get_input_embeddings().weight
        if own is None:
            logits = states @ table.T
        else:
            logits = model.cls.predictions.transform(states) @ table.T + own
        assert torch.allclose(model(**inputs).logits, logits, atol=1e-5)
    again = pretrained(
        tmp_path / "on",
        objective,
        start=str(folder),
        vocabulary_size=None,
        learning_rate=1e-6,
        num_steps=1,
    )
    begun = again.metrics["pretraining"]["checks"][0]["val_loss"]
    assert begun == pytest.approx(run.metrics["pretraining"]["loss"]["value"], abs=1e-3)


def test_what_was_stopped_and_resumed_ends_in_the_same_bits(tmp_path, monkeypatch):
    said = {"whole_words": True, "replacement": "bert", "num_steps": 6, "micro_batch_size": 4}
    whole = pretrained(tmp_path / "whole", **said)

    def stop(kind: str, fields: dict[str, object]) -> None:
        if kind == "check" and fields["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)), listen(stop):
        pretrained(tmp_path / "halves", **said)
    halves = pretrained(tmp_path / "halves", resume=True, **said)
    first, second = (load_file(str(run.path / "model.safetensors")) for run in (whole, halves))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def givens(**said) -> Givens:
    options = PretrainingOptions(objective="mlm", **{**QUICK, **said})
    start = find_start(options.start or "scratch/bert-tiny")
    return Givens(options, start, torch.device("cpu"), Budget(None), Decisions())


def test_a_test_split_gives_no_token_to_what_is_learned_from():
    texts = list(paragraphs())[:100]
    dataset = hs.load((texts, ["even", "odd"] * 50))
    learner = build_hidden_words(read_texts(dataset, None), givens())
    tokens = learner.words.tokens
    tested = {dataset.test.samples.read(i) for i in range(len(dataset.test))}
    learned = [t for t in texts if t not in tested]
    assert len(tokens) == len(learned) == 80
    ids, lengths = learner.words.tokenizer.encode(learned)
    assert len(tokens.ids) == sum(length - 2 for length in lengths)
    del ids


def test_fewer_documents_are_read_where_the_budget_has_no_time_for_all(monkeypatch):
    from headstart.pretraining import tokenizing

    corpus = read_texts(list(paragraphs()), None)
    monkeypatch.setattr(tokenizing, "_seconds_per_character", lambda job, texts: 1.0)
    monkeypatch.setattr(tokenizing, "is_encoded", lambda job: False)
    means = givens()
    few = Givens(means.options, means.start, means.device, Budget(30_000.0), Decisions())
    words = tokenizing.tokenize(
        corpus, build_hidden_words(corpus, means).words.tokenizer, list(paragraphs()), few
    )
    assert 0.1 < words.share < 0.5
    assert len(words.tokens) == pytest.approx(words.share * len(paragraphs()), abs=3)
    assert words.tokens.is_held_out.any()
    assert not words.tokens.is_held_out.all()


@pytest.mark.parametrize(
    ("seconds", "said", "chosen"),
    [(0.5, "auto", "bf16"), (0.9, "auto", "fp32"), (0.5, "fp32", "fp32")],
)
def test_steps_run_in_bf16_where_that_is_measured_to_save_a_fifth(
    seconds, said, chosen, monkeypatch
):
    def taken(learner, batch) -> float:
        return seconds if learner.recipe.stepped_precision == "bf16" else 1.0

    monkeypatch.setattr(step_precision, "has_bf16_units", lambda: True)
    monkeypatch.setattr(step_precision, "_seconds", taken)
    learner = build_hidden_words(read_texts(list(paragraphs()), None), givens(precision=said))
    assert learner.recipe.stepped_precision == chosen
    assert learner.recipe.precision == "fp32"  # of passes over what is held out
    monkeypatch.setattr(step_precision, "_seconds", lambda learner, batch: 1e-6 * seconds)
    learner = build_hidden_words(read_texts(list(paragraphs()), None), givens(precision=said))
    assert learner.recipe.stepped_precision == "fp32"  # the run is over in no time


def test_a_vocabulary_larger_than_the_texts_support_is_said(tmp_path):
    told: list[str] = []
    with listen(lambda kind, fields: told.append(str(fields.get("text", "")))):
        run = pretrained(tmp_path / "run", vocabulary_size=20_000, num_steps=1)
    size = run.model_record["pretraining"]["vocabulary_size"]
    assert size < 5_000
    assert any(f"has {size:,} tokens, not 20,000" in text for text in told)


def test_a_corpus_shorter_than_one_batch_is_learned_from(tmp_path):
    texts = [f"{n} little words and no more of them" for n in range(4)]
    run = hs.pretrain(
        texts,
        objective="mlm",
        num_steps=2,
        batch_size=64,
        vocabulary_size=300,
        out=str(tmp_path / "run"),
    )
    assert run.metrics["pretraining"]["loss"]["value"] > 0
    num = run.options["recipe"]["batch_size"]
    assert num < 4
    chosen = [choice for choice in run.options["choices"] if choice["name"] == "batch_size"]
    assert chosen[0]["why"] == f"64 were asked for, and {num} are all there are"


def refused(error, out: Path, **said) -> str:
    with pytest.raises(error) as caught:
        pretrained(out, **said)
    return str(caught.value)


def test_what_does_not_fit_is_refused_by_name(hidden, following, tmp_path):
    out = tmp_path / "run"
    told = refused(StartError, out, start="scratch/tfidf", vocabulary_size=None, max_length=None)
    assert "'scratch/tfidf' counts words and reads no text" in told
    told = refused(StartError, out, start="scratch/vit-tiny")
    assert "reads images, and objective mlm learns from texts" in told
    told = refused(StartError, out, objective="clm", start=str(hidden.path))
    assert "is no decoder, which tells the next word" in told
    told = refused(StartError, out, start=str(following.path))
    assert "is a decoder: it reads a text one way" in told
    told = refused(StartError, out, max_length=4_000)
    assert "max_length 4000 is not possible" in told
    told = refused(OptionError, out, objective="clm", whole_words=True)
    assert "whole_words" in told
    assert not out.exists()


def test_a_decoder_is_no_start_of_a_fine_tuning(following, tmp_path):
    texts = list(paragraphs())[:40]
    with pytest.raises(StartError, match="Expected an encoder to tell something of a whole text"):
        hs.finetune((texts, ["a", "b"] * 20), start=str(following.path), out=str(tmp_path / "r"))


def test_a_decoder_of_an_older_folder_is_refused_with_what_can_be_done(following, tmp_path, heard):
    folder = shutil.copytree(following.path, tmp_path / "older")
    record = json.loads((folder / "model.json").read_text())
    del record["is_encoder"]
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match="headstart export") as told:
        hs.predict(str(folder), ["a text"])
    assert "finetune" not in str(told.value).replace("fine-tuned", "")
    assert hs.export(str(folder), out=str(tmp_path / "folder"))
    heard(told.value)


def test_what_is_said_to_come_next_can_be_done(hidden, following, capsys):
    after = {}
    for run in (hidden, following):
        hs.report(run)
        after[run.model_record["objective"]] = capsys.readouterr().err.split("next: ")[1].strip()
    assert after["mlm"] == f"headstart finetune DATA --start {hidden.path}"
    assert after["clm"] == f"headstart pretrain DATA --objective clm --start {following.path}"


def test_a_tokenizer_that_does_not_fit_its_encoder_is_refused(hidden, tmp_path):
    folder = hs.export(str(hidden.path), out=str(tmp_path / "folder"))
    config = json.loads((folder / "config.json").read_text())
    tokenizer = load_tokenizer(folder, "folder")
    record = json.loads((folder / "tokenizer.json").read_text())
    added = {
        "id": config["vocab_size"], "content": "[NEW]", "single_word": False, "lstrip": False,
        "rstrip": False, "normalized": False, "special": True,
    }  # fmt: skip
    record["added_tokens"].append(added)
    (folder / "tokenizer.json").write_text(json.dumps(record))
    told = refused(StartError, tmp_path / "run", start=str(folder), vocabulary_size=None)
    assert f"has {tokenizer.vocab_size + 1:,} tokens, its network only" in told


def test_a_tokenizer_without_a_mask_hides_nothing_and_is_refused(hidden, tmp_path):
    folder = hs.export(str(hidden.path), out=str(tmp_path / "folder"))
    path = folder / "tokenizer_config.json"
    config = {k: v for k, v in json.loads(path.read_text()).items() if k != "mask_token"}
    path.write_text(json.dumps(config))
    told = refused(StartError, tmp_path / "run", start=str(folder), vocabulary_size=None)
    assert "has no mask_token, so that nothing can be hidden" in told


def test_chinese_words_are_hidden_as_a_whole():
    pytest.importorskip("jieba")
    texts = [f"第{n}家酒店的服务很好，房间也很干净，下次还会再来这里住。" for n in range(40)]
    assert segments.is_chinese(texts)
    assert not segments.is_chinese(["ホテルのサービスはとても良かった"])
    learner = build_hidden_words(read_texts(texts, None), givens(whole_words=True))
    assert learner.words.whole == "jieba"
    tokens, tokenizer = learner.words.tokens, learner.words.tokenizer
    first = slice(0, int(tokens.offsets[1]))
    begins = np.flatnonzero(tokens.begins[first])
    words = [
        "".join(tokenizer.token(i) for i in tokens.ids[a:b])
        for a, b in zip(begins, [*begins[1:], first.stop], strict=True)
    ]
    assert {"酒店", "服务", "房间", "干净"} <= set(words)


def test_chinese_words_without_their_extra_are_refused_with_the_command(monkeypatch):
    monkeypatch.setattr(segments, "find_spec", lambda name: None)
    texts = [f"第{n}家酒店的服务很好，房间也很干净。" for n in range(40)]
    with pytest.raises(DataError, match="'jieba', which is not installed") as caught:
        build_hidden_words(read_texts(texts, None), givens(whole_words=True))
    assert "headstart[zh]" in str(caught.value)
    assert build_hidden_words(read_texts(texts, None), givens()).words.whole is None


def test_the_error_of_a_mean_counts_what_belongs_together_once():
    draws = np.random.default_rng(0)
    values = draws.normal(size=4_000)
    alone = mean_and_error(values, np.arange(4_000))
    assert alone[1] == pytest.approx(values.std() / math.sqrt(4_000), rel=1e-3)
    copied = mean_and_error(np.repeat(values, 5), np.repeat(np.arange(4_000), 5))
    assert copied == pytest.approx(alone, rel=1e-3)
    assert mean_and_error(values, np.zeros(4_000)) == pytest.approx(alone)
    assert mean_and_error(values[:1], np.zeros(1)) == (values[0], abs(values[0]))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_two_processes_learn_the_words_that_one_learns(objective, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(paragraphs()))
    words = ["-m", "headstart", "pretrain", str(texts), "--objective", objective]
    words += ["--num-steps", "4", "--batch-size", "15", "--micro-batch-size", "5"]
    words += ["--vocabulary-size", "400", "--max-length", "32", "--device", "cpu"]
    kept = {n: v for n, v in os.environ.items() if n not in ("RANK", "WORLD_SIZE")}
    for number in ("1", "2"):
        done = subprocess.run(
            [sys.executable, *words, "--num-processes", number, "--out", str(tmp_path / number)],
            env={**kept, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
    runs = [hs.open(str(tmp_path / number)) for number in ("1", "2")]
    one, two = (load_file(str(run.path / "model.safetensors")) for run in runs)
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=2e-4), name
    losses = [run.metrics["pretraining"]["loss"]["value"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_decoder_decides_nothing_and_is_handed_over_instead(following, tmp_path, heard):
    for ask in (
        lambda: hs.predict(str(following.path), ["a text"]),
        lambda: hs.evaluate(str(following.path)),
    ):
        with pytest.raises(RunFolderError, match=r"cannot be made of it\. Export it") as refused:
            ask()
        assert "finetune" not in str(refused.value)
    assert hs.export(str(following.path), out=str(tmp_path / "out")).is_dir()
    heard(refused.value)


def test_the_next_command_of_a_decoder_can_be_typed(following, tmp_path, monkeypatch, heard):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(paragraphs()))
    command = command_after("clm", following.path)
    words = shlex.split(command.replace("DATA", "texts.txt"))[1:]
    assert main([*words, "--num-steps", "1", "--device", "cpu", "--dry-run"]) == 0
    heard(command)


def test_a_start_whose_words_are_lost_is_made_again(following, tmp_path, heard):
    from safetensors.torch import save_file

    damaged = Path(shutil.copytree(following.path, tmp_path / "damaged"))
    weights = load_file(str(damaged / "model.safetensors"))
    headless = {n: t for n, t in weights.items() if n.startswith("encoder.")}
    save_file({**headless, "head.other": torch.zeros(1)}, damaged / "model.safetensors")
    with pytest.raises(ExportError, match=r"does not fit .* Run the pretraining again") as unfit:
        hs.export(str(damaged), out=str(tmp_path / "out"))
    encoder = open_pretrained(following.path).encoder
    (damaged / "model.safetensors").write_bytes(b"cut short")
    start = replace(encoder.start, address=str(damaged))
    with pytest.raises(RunFolderError, match=r"cannot be read .* Run the pretraining again") as cut:
        next_words(encoder, start)
    again = pretrained(tmp_path / "again", "clm", num_steps=1)  # as both advise
    assert hs.export(str(again.path), out=str(tmp_path / "written")).is_dir()
    assert next_words(encoder, replace(encoder.start, address=str(again.path))) is not None
    heard(unfit.value)
    heard(cut.value)
