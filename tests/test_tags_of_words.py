"""A tag for each word, from files to spans: what a user of a tagger does, on a tiny network."""

from __future__ import annotations

import csv
import json
import re
import shlex
from itertools import chain

import numpy as np
import pytest
import torch
from advised import follow_page
from safetensors.torch import load_file
from small_runs import tag_run, tagged_sentences, written_tags

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError, ExportError, OptionError, RunFolderError, StartError
from headstart.objectives import find_loss
from headstart.objectives.supervised import Wanted
from headstart.training.batches.feed import Feed
from headstart.types import Ragged


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tag_run(tmp_path_factory.mktemp("tags"))


def test_entities_are_found_and_held_against_controls(run):
    test = run.metrics["test"]
    assert test["figures"]["f1_entities"]["value"] > 0.9
    assert set(test["per_class"]) == {"PER", "LOC"}
    ladder = run.metrics["before_after"]["figures"]
    assert set(ladder) == {
        "most frequent tag",
        "dictionary of train",
        "linear tagger on word features",
        "fine-tuned",
    }
    assert ladder["dictionary of train"]["value"] > 0.9
    assert ladder["linear tagger on word features"]["value"] > 0.9
    assert "F1 (entities)" in run.report()


def test_spans_stand_at_their_places_in_the_users_own_text(run):
    text = "w1 Ada lives  in New York 5"
    (told,) = run.predict([text])
    assert {(span.label, span.text) for span in told.spans} == {("PER", "Ada"), ("LOC", "New York")}
    for span in told.spans:
        assert text[span.start : span.end] == span.text
        assert 0 < span.probability <= 1
    assert json.loads(json.dumps(told.to_json()))["spans"][0]["label"] == "PER"


def test_words_may_be_given_and_long_texts_are_told_whole(run):
    words = ["w1", "w2", "w3"] * 60 + ["Ada", "lives", "in", "Rome", "5"] + ["w4", "w5"] * 80
    (given,) = run.predict([words])
    (written,) = run.predict([" ".join(words)])
    assert [span.text for span in given.spans] == [span.text for span in written.spans]
    assert {"Ada", "Rome"} <= {span.text for span in given.spans}
    beside = run.predict(["Ada lives in Oslo 3", " ".join(words)])[0]
    alone = run.predict(["Ada lives in Oslo 3"])[0]
    assert [span.text for span in beside.spans] == [span.text for span in alone.spans]


def test_evaluate_gives_the_same_figures_and_conll_can_be_predicted(run, tmp_path):
    again = hs.evaluate(str(run.path))
    value = run.metrics["test"]["figures"]["f1_entities"]["value"]
    assert again.metrics["test"]["figures"]["f1_entities"]["value"] == pytest.approx(value)
    words, _ = tagged_sentences(5, 9)
    path = tmp_path / "new.conll"
    path.write_text("\n\n".join("\n".join(f"{w}\tO" for w in row) for row in words))
    answers = tmp_path / "answers.csv"
    found = hs.predict(str(run.path), [str(path)], out=str(answers))
    assert len(found) == 5
    with answers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == [one.label for one in found]
    assert [json.loads(row["spans"]) for row in rows] == [one.to_json()["spans"] for one in found]


def test_the_folder_for_transformers_gives_the_same_logits(run, tmp_path):
    from transformers import AutoModelForTokenClassification

    hs.export(str(run.path), to="transformers", out=str(tmp_path / "out"))
    found = AutoModelForTokenClassification.from_pretrained(str(tmp_path / "out"))
    assert list(found.config.id2label.values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_an_export_that_nothing_fits_is_refused_and_a_larger_window_helps(run, tmp_path, heard):
    data = hs.load(str(run.data["source"]["source"]))
    said = {"start": "scratch/bert-tiny", "strategy": "full", "num_steps": 1, "device": "cpu"}
    short = hs.finetune(data, **said, out=str(tmp_path / "short"), max_length=4)
    with pytest.raises(ExportError, match=r"No text fits the 4 tokens .*--max-length") as no:
        hs.export(str(short.path), to="transformers", out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    wide = hs.finetune(data, **said, out=str(tmp_path / "wide"), max_length=32)
    hs.export(str(wide.path), to="transformers", out=str(tmp_path / "out"))
    heard(no.value)


def test_answers_with_a_tag_that_is_not_there_are_made_anew(run, tmp_path, heard):
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = hs.load(str(run.data["source"]["source"]))
    said = {"start": "scratch/bert-tiny", "strategy": "full", "num_steps": 1, "device": "cpu"}
    other = hs.finetune(data, **said, out=str(tmp_path / "other"))
    answers = pq.read_table(other.path / "predictions.parquet")
    place = answers.column_names.index("prediction")
    texts = [f"{text.as_py().rpartition(' ')[0]} B-GOD" for text in answers["prediction"]]
    changed = answers.set_column(place, "prediction", pa.array(texts))
    pq.write_table(changed, other.path / "predictions.parquet")
    with pytest.raises(OptionError, match=r"names a tag 'B-GOD' .* again with --overwrite") as told:
        hs.compare([str(run.path), str(other.path)])
    again = hs.finetune(data, **said, out=str(tmp_path / "other"), overwrite=True)
    assert hs.compare([str(run.path), str(again.path)])
    heard(told.value)


def test_the_page_says_how_this_model_is_used_and_it_can_be(run, tmp_path, heard, capsys):
    lines = follow_page(run.path, tmp_path, capsys)
    assert [line.split()[1] for line in lines] == ["predict", "serve", "export"]
    for line in lines:
        heard(line)  # serve: tests/serving/test_tags_served.py


def test_explanations_of_tags_are_refused_without_a_check_that_would_be_too(run, tmp_path, heard):
    path, said = str(run.path), ["Ada lives in Rome"]
    with pytest.raises(RunFolderError, match="cannot be explained") as told:
        hs.predict(path, said, explain=str(tmp_path / "page.html"))
    with pytest.raises(
        RunFolderError, match="token-classification of texts, which is not done yet"
    ):
        hs.report(path, explain=True)
    assert hs.predict(path, said)
    heard(told.value)


def test_folds_of_tags_are_refused_and_seeds_are_not(tmp_path, heard):
    data = hs.load(str(written_tags(tmp_path / "data")))
    said = {"start": "scratch/bert-tiny", "strategy": "full", "num_steps": 1, "device": "cpu"}
    with pytest.raises(OptionError, match="--folds and --learning-curve divide data anew") as told:
        hs.finetune(data, **said, out=str(tmp_path / "a"), folds=2, learning_curve=True)
    made = hs.finetune(data, **said, out=str(tmp_path / "a"), seeds=2)
    heard(told.value)
    assert len(made.metrics["seeds"]["figures"]["f1_entities"]["each"]) == 2


def test_a_start_without_words_is_refused_and_the_named_one_works(run, tmp_path, heard):
    data = hs.load(str(run.data["source"]["source"]))
    with pytest.raises(StartError, match="gives one vector a text") as told:
        hs.finetune(data, start="scratch/tfidf", out=str(tmp_path / "a"), device="cpu")
    made = hs.finetune(
        data, start="scratch/bert-tiny", num_steps=2, out=str(tmp_path / "b"), device="cpu"
    )
    assert made.metrics["test"]
    heard(told.value)


def test_ranking_starts_for_tags_is_refused_and_the_verb_it_names_chooses_one(
    run, tmp_path, heard, capsys
):
    folder = str(run.data["source"]["source"])
    assert main(["rank", folder, "--starts", "scratch/bert-tiny"]) == DataError.exit_code
    told = capsys.readouterr().err
    command = re.search(r"Run '(headstart fit .*? --budget 10m)' instead", told)[1]
    quick = ["--starts", "scratch/bert-tiny", "--budget", "20s", "--out", str(tmp_path / "run")]
    assert main([*shlex.split(command)[1:-2], *quick]) == 0
    assert (tmp_path / "run" / "model.json").exists()
    heard(told)


def test_parts_of_a_step_add_up_to_the_mean_over_its_words():
    rng = np.random.default_rng(0)
    lengths = (3, 9, 1, 5)
    targets = Ragged.of([rng.integers(0, 4, length) for length in lengths])
    logits = torch.from_numpy(rng.normal(size=(4, 9, 4)).astype(np.float32))
    loss = find_loss("token-classification").of_batch
    whole = loss(logits, Wanted(torch.from_numpy(targets.padded(-100))))
    parts = 0.0
    for rows in ([0, 1], [2, 3]):
        some = targets[np.array(rows)]
        share = len(some.whole) / len(targets.whole)
        width = some.lengths.max()
        part = loss(logits[rows, :width], Wanted(torch.from_numpy(some.padded(-100))))
        parts += share * float(part)
    assert parts == pytest.approx(float(whole), rel=1e-6)


def test_micro_batches_learn_what_whole_batches_learn(run, tmp_path):
    data = hs.load(str(run.data["source"]["source"]))
    weights = []
    for size in (16, 4):
        made = hs.finetune(
            data,
            start="scratch/bert-tiny",
            strategy="full",
            encoder_dropout=0.0,
            optimizer="sgd",
            learning_rate=0.05,
            num_steps=3,
            batch_size=16,
            micro_batch_size=size,
            precision="fp32",
            out=str(tmp_path / str(size)),
            device="cpu",
        )
        weights.append(load_file(made.path / "model.safetensors"))
    for name, whole in weights[0].items():
        torch.testing.assert_close(weights[1][name], whole, rtol=1e-4, atol=1e-6)


def test_texts_of_many_windows_are_learned_from_in_passes_that_hold_no_more(tmp_path, monkeypatch):
    words, tags = tagged_sentences(60, 0)
    rows = range(0, 60, 5)
    long = [[list(chain(*each[i : i + 5])) for i in rows] for each in (words, tags)]
    lists = [*words[:24], *long[0]], [*tags[:24], *long[1]]
    said = {"start": "scratch/bert-tiny", "strategy": "full", "encoder_dropout": 0.0}
    said |= {"optimizer": "sgd", "learning_rate": 0.05, "num_steps": 4, "batch_size": 8}
    said |= {"max_length": 16, "precision": "fp32", "device": "cpu", "quiet": True}
    sizes: list[list[int]] = []

    def learned(name):
        made = hs.finetune(lists, out=str(tmp_path / name), **said)
        return load_file(made.path / "model.safetensors")

    def watch(split):
        def watched(self, places, size):
            for some in split(self, places, size):
                sizes[-1].append(int(self.lengths[some].sum()) if len(some) > 1 else 0)
                yield some

        sizes.append([])
        monkeypatch.setattr(Feed, "_lots", watched)

    watch(Feed._lots)
    parts = learned("parts")
    watch(lambda self, places, size: iter([places]))
    whole = learned("whole")
    assert max(sizes[0]) <= 8 * 16 < max(sizes[1])
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-4, atol=1e-6)
