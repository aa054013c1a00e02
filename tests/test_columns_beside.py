"""Texts and images with columns of their rows: read, trained, told, handed on."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import headstart as hs
from headstart.bundles import open_bundle
from headstart.cli import main
from headstart.errors import DataError, Interrupted, OptionError, RunFolderError, StartError
from headstart.events import listen
from headstart.model import Ensemble, Member, model_outputs
from headstart.preprocessing import JoinedInputs, given_of, rows_of, without_rows
from headstart.serving.forms import form_of
from headstart.serving.limits import ServerLimits
from headstart.starts import find_start, rebuild_encoder
from headstart.starts.joined import RowFeatures
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.baselines import Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.column_worth import column_worth, columns_at, stand_ins
from headstart.tuning.setup import set_up
from headstart.tuning.together import Together
from headstart.types import Column, TableSpec

WORDS = "staff was kind and we had a long quiet night near the old station"
QUICK = {"device": "cpu", "quiet": True}


def reviews(num: int, seed: int = 0) -> pd.DataFrame:
    """Return texts with a price and a city; the label needs the text and the price."""
    draw = np.random.default_rng(seed)
    good = draw.random(num) < 0.5
    price = draw.normal(100, 30, num).round(1)
    texts = [
        " ".join(
            [
                *draw.choice(WORDS.split(), 8),
                "lovely" if one else "awful",
                *draw.choice(WORDS.split(), 3),
            ]
        )
        for one in good
    ]
    frame = pd.DataFrame({"review": texts, "price": price})
    frame["city"] = draw.choice(["Rome", "Bonn", "Lima"], num)
    frame["label"] = np.where(good & (price < 110), "again", "never")
    frame.loc[draw.random(num) < 0.1, "price"] = np.nan
    return frame


def pictures(num: int) -> pd.DataFrame:
    """Return real digits as PNG, with a column that decides half of the label."""
    digits, draw = load_digits(), np.random.default_rng(0)
    places = draw.permutation(len(digits.images))[:num]

    def png(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray((image * 15).astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    ink = digits.images[places].mean(axis=(1, 2)).round(2)
    side = draw.choice(["left", "right"], num)
    odd = digits.target[places] % 2
    names = np.where(side == "left", np.where(odd, "left odd", "left even"), "right")
    images = [png(digits.images[place]) for place in places]
    return pd.DataFrame({"image": images, "ink": ink, "side": side, "label": names})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("beside")
    reviews(400).to_csv(base / "reviews.csv", index=False)
    data = hs.load(str(base / "reviews.csv"), text="review", beside=["price", "city"])
    return hs.finetune(data, start="scratch/tfidf", out=str(base / "run"), **QUICK)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A transformer trained by steps on the same reviews."""
    base = tmp_path_factory.mktemp("steps")
    data = hs.load(reviews(160), text="review", beside=["all"])
    words = {"num_steps": 30, "batch_size": 32, "micro_batch_size": 8, "max_length": 16}
    return hs.finetune(data, start="scratch/bert-tiny", out=str(base / "run"), **words, **QUICK)


# What is read -------------------------------------------------------------------------------------


def test_texts_alone_say_which_columns_could_be_learned_from_too():
    data = hs.load(reviews(100), text="review")
    assert data.schema.beside == ()
    unused = [note for note in data.notes if "not used" in note]
    assert unused == [
        "Columns that are not used: 'price', 'city'. To learn from them, too: --beside price city."
    ]


def test_columns_are_read_as_those_of_a_table_and_what_is_joined_is_said():
    data = hs.load(reviews(200), text="review", beside=["all"])
    assert data.schema.modality == "text"
    assert data.schema.beside == ("price", "city")
    assert data.beside_kinds == {"price": "numeric", "city": "categorical"}
    assert data.column_kinds is None
    assert data.notes[0] == (
        "Learned from together: texts (column 'review') and the columns 'price', 'city' of their "
        "rows."
    )
    assert any("Missing cells" in note for note in data.notes)
    for name in ("train", "val", "test"):
        split = data.split(name)
        assert len(split.beside) == len(split)
        row = given_of(data, name, [3])[0]
        assert row["review"] == split.samples.read(3)
        assert list(row) == ["price", "city", "review"]
    table = rows_of(data)
    assert (table.schema.modality, table.column_kinds) == ("table", data.beside_kinds)
    alone = without_rows(data)
    assert (alone.schema.beside, alone.train.beside) == ((), None)


def test_a_table_with_a_long_text_and_many_columns_offers_all_three_readings():
    frame = reviews(100).assign(a=np.arange(100) % 7, b=np.arange(100) % 5)
    frame["review"] = frame["review"] + " " + frame["review"]
    with pytest.raises(DataError, match=r"--text review --beside all for both together"):
        hs.load(frame)
    assert hs.load(frame, beside=["all"]).schema.beside == ("price", "city", "a", "b")


def test_another_cell_is_another_fingerprint_and_the_same_text_stays_on_one_side():
    frame = reviews(200)
    one = hs.load(frame, text="review", beside=["all"])
    assert hs.load(frame, text="review", beside=["all"]).fingerprint == one.fingerprint
    changed = frame.copy()
    changed.loc[7, "city"] = "Bonn" if changed.loc[7, "city"] != "Bonn" else "Rome"
    assert hs.load(changed, text="review", beside=["all"]).fingerprint != one.fingerprint
    copied = pd.concat([frame, frame.assign(price=1.0, city="Lima")])
    data = hs.load(copied, text="review", beside=["all"])
    sides = [
        {data.split(name).samples.read(i) for i in range(len(data.split(name)))}
        for name in ("train", "val", "test")
    ]
    assert len(set.union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"text": "review", "beside": ["label"]}, DataError, "cannot stand beside 'review'"),
        ({"text": "review", "beside": ["review"]}, DataError, "cannot stand beside 'review'"),
        ({"text": "review", "beside": ["town"]}, OptionError, "'town' of --beside is missing"),
        ({"drop": ["review"], "beside": ["all"]}, DataError, "no column of texts or images"),
    ],
)
def test_what_cannot_stand_beside_is_refused(said, error, words):
    with pytest.raises(error, match=words):
        hs.load(reviews(60), **said)


def test_a_column_that_tells_the_target_is_left_out_of_those_beside_as_advised(heard):
    frame = reviews(120)
    frame["price"] = frame["label"].factorize()[0]
    said = {"text": "review", "beside": ["price", "city"]}
    (told,) = [note for note in hs.load(frame, **said).notes if "almost perfectly" in note]
    left = hs.load(frame, **said, drop=["price"])
    assert [note for note in left.notes if "and the columns 'city' of their rows" in note]
    assert not [note for note in left.notes if "almost perfectly" in note]
    heard(told)
    with pytest.raises(DataError, match="No column of the DataFrame is left to stand") as caught:
        hs.load(frame, text="review", beside=["price"], drop=["price"])
    assert hs.load(frame, text="review", drop=["price"]).train.beside is None
    heard(caught.value)


def test_arrays_and_words_have_nothing_beside_them():
    frame = reviews(60)
    with pytest.raises(OptionError, match="X has no columns with names"):
        hs.load((list(frame["review"]), list(frame["label"])), beside=["all"])
    frame["label"] = [f"{text} told" for text in frame["review"]]
    with pytest.raises(DataError, match="Leave --beside out"):
        hs.load(frame, text="review", task="seq2seq", beside=["city"])


def test_a_text_that_cannot_be_used_takes_its_cells_along():
    frame = reviews(300)
    frame.loc[[5, 50, 250], "review"] = ["", " ", None]
    data = hs.load(frame, text="review", beside=["all"], max_bad_fraction=0.05)
    assert len(data.bad_samples) == 3
    prices = dict(zip(frame["review"], frame["price"], strict=True))
    split = data.train
    for place in range(len(split)):
        own, wanted = split.beside.read(place)["price"], prices[split.samples.read(place)]
        assert own == wanted or (own is None and wanted != wanted)


# What becomes of it -------------------------------------------------------------------------------


def test_row_features_are_numbers_bins_and_one_hot_codes():
    number = Column("x", "numeric", mean=(10.0,), scale=(2.0,), edges=tuple(range(0, 17)))
    letter = Column("c", "categorical", categories=("a", "b"))
    network = RowFeatures(TableSpec((number, letter)))
    assert network.num_features == 1 + 2 + 8
    standard = (torch.tensor([[5.0], [16.0]]) - 10) / 2
    made = network(standard, torch.tensor([[1], [0]]))
    assert made[0].tolist() == [-2.5, 1.0, 0.0, 1, 1, 0.5, 0, 0, 0, 0, 0]
    assert made[1, 1:3].tolist() == [0.0, 0.0]  # unknown
    assert made[1, 3:].tolist() == [1.0] * 8
    assert not list(network.parameters())


def test_inputs_are_those_of_the_text_then_numbers_and_codes(network):
    preprocess = network.preprocess
    assert [one.name for one in preprocess.inputs] == [
        *("input_ids", "attention_mask", "numbers", "codes"),
    ]
    rows = reviews(5, seed=3).drop(columns="label")
    found = preprocess.read(rows)
    assert isinstance(found, JoinedInputs)
    ids, mask, numbers, codes = found.arrays(np.arange(5))
    assert ids.shape == mask.shape
    assert (numbers.shape, codes.shape) == ((5, 2), (5, 1))  # price, and whether it is missing
    (column, _) = preprocess.rows.spec.columns
    assert numbers[0, 0] == pytest.approx((rows["price"][0] - column.mean[0]) / column.scale[0])


def test_the_folder_rebuilds_the_same_network(network):
    encoder = network.model.encoder
    again = rebuild_encoder(network.model_record["architecture"], folder=network.path)
    assert again.state_dict().keys() == encoder.state_dict().keys()
    assert again.layers == encoder.layers
    assert again.num_features == encoder.num_features == 128 + encoder.network.rows.num_features
    rows = given_of(hs.load(reviews(160), text="review", beside=["all"]), "test", range(20))
    told = [one.probabilities for one in network.predict(rows)]
    opened = hs.open(network.path)
    assert [one.probabilities for one in opened.predict(rows)] == told


def test_it_learns_what_neither_says_alone_and_says_what_each_is_worth(run):
    metrics = json.loads((run.path / "metrics.json").read_text())
    accuracy = metrics["test"]["figures"]["accuracy"]["value"]
    ladder = metrics["before_after"]["figures"]
    alone = ladder["columns alone: gradient boosting"]["value"]
    assert accuracy > ladder["text or image alone: frozen start + linear probe"]["value"]
    assert accuracy > alone
    left_out = metrics["left_out"]
    names = ["without 'review'", "without 'price'", "without 'city'"]
    assert list(left_out["figures"]) == [*names, "scratch/tfidf"]
    drops = {one["before"]: one["difference"] for one in left_out["comparisons"]}
    assert drops["without 'review'"]["low"] > 0
    assert drops["without 'price'"]["value"] > 0
    assert abs(drops["without 'city'"]["value"]) <= 0.05
    text = run.report()
    assert "What each column is worth" in text
    page = (run.path / "report.html").read_text()
    for told in (page, (run.path / "README.md").read_text()):
        assert re.search(r" RUN FILE\.csv\b| FOLDER FILE\.csv\b", told)  # rows, no texts
    assert "What each column is worth" in page
    assert "每一列的作用" in hs.report(run.path, language="zh").read_text()


def test_what_stands_for_a_column_is_trains_own(network):
    data = hs.load(reviews(160), text="review", beside=["all"])
    model = network.model
    train = model.encoder.preprocess.prepare(data, "train")
    assert columns_at(model) == [(slice(0, 2), None), (slice(2, 2), 0)]
    numbers, codes = stand_ins(model, train)
    assert numbers.tolist() == [0.0, 0.0]
    known = model.encoder.preprocess.rows.spec.columns[1].categories
    counts = train.cells.codes[:, 0]
    assert codes[0] == np.bincount(counts).argmax()
    assert known[codes[0] - 1] in ("Rome", "Bonn", "Lima")


def test_of_models_that_answer_together_each_does_without_the_column(run, network):
    data = hs.load(reviews(160), text="review", beside=["price", "city"])
    ensemble = Ensemble([Member(run.model), Member(network.model)])
    val, test = (ensemble.prepare(data, name) for name in ("val", "test"))
    train = run.preprocess.prepare(data, "train")
    items = Items(data, train, val[0], test[0])
    together = Together(ensemble, ensemble.run_each(val, phase="val"), test)
    logits = ensemble.run(test, phase="test")
    model = Rival("both", ensemble.task.decisions(model_outputs(ensemble, logits)))
    setup = SimpleNamespace(model=run.model, recipe=SimpleNamespace(seed=0))
    found = column_worth(items, setup, ensemble, model, budget=Budget(None), together=together)
    figures = found["left_out"]["figures"]
    assert figures["without 'review'"]["value"] < figures["both"]["value"]
    alone = column_worth(items, setup, run.model, model, budget=Budget(None))
    assert list(alone["left_out"]["figures"]) == list(figures)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["head", "last-n", "lp-ft", "lora"])
def test_every_strategy_takes_both(tmp_path, strategy):
    data = hs.load(reviews(100), text="review", beside=["all"])
    words = {} if strategy == "head" else {"num_steps": 6, "batch_size": 16}
    found = hs.finetune(
        data, start="scratch/bert-tiny", strategy=strategy, max_length=16, out=str(tmp_path / "r"),
        **words, **QUICK,
    )  # fmt: skip
    assert np.isfinite(found.metrics["test"]["figures"]["log_loss"]["value"])
    rows = given_of(data, "test", [0])
    assert hs.open(found.path).predict(rows)[0].label in found.classes


@pytest.mark.slow
def test_stopped_and_resumed_it_is_the_same_bit_for_bit(tmp_path):
    data = hs.load(reviews(160), text="review", beside=["all"])
    words = {"num_steps": 60, "batch_size": 16, "micro_batch_size": 4, "patience": 0}
    words |= {"strategy": "last-n", "max_length": 16, "start": "scratch/bert-tiny", **QUICK}
    whole = hs.finetune(data, out=str(tmp_path / "whole"), **words)

    def press(kind, fields):
        if kind == "check":
            signal.raise_signal(signal.SIGINT)

    with listen(press), pytest.raises(Interrupted):
        hs.finetune(data, out=str(tmp_path / "parts"), **words)
    parts = hs.finetune(data, out=str(tmp_path / "parts"), resume=True, **words)
    first, second = (
        sha256((one.path / "model.safetensors").read_bytes()).hexdigest() for one in (whole, parts)
    )
    assert first == second
    assert parts.metrics["left_out"] == whole.metrics["left_out"]


# New samples --------------------------------------------------------------------------------------


def test_new_rows_in_every_form_say_what_train_never_had(run, tmp_path, capsys):
    frame = reviews(6, seed=9).drop(columns="label").fillna({"price": 90.0})
    frame.loc[2, "city"] = "Atlantis"
    expected = [one.probabilities for one in run.predict(frame)]
    rows = frame.to_dict("records")
    assert [one.probabilities for one in run.predict(rows)] == expected
    frame.assign(extra=1).to_csv(tmp_path / "new.csv", index=False)
    told = hs.predict(str(run.path), [str(tmp_path / "new.csv")])
    assert [one.probabilities for one in told] == expected
    said = capsys.readouterr().err
    assert "Column 'city' holds categories unknown to the model" in said
    assert "Columns that the model does not know are ignored: 'extra'." in said
    with pytest.raises(DataError, match="The rows lack 'city'"):
        run.predict(frame.drop(columns="city"))
    with pytest.raises(DataError, match="'row 2' cannot be used: the text is empty"):
        run.predict([rows[0], {**rows[1], "review": ""}])


def test_it_is_evaluated_on_other_rows_and_refuses_texts_alone(run, tmp_path):
    reviews(80, seed=5).to_csv(tmp_path / "later.csv", index=False)
    found = hs.evaluate(str(run.path), str(tmp_path / "later.csv"))
    assert found.metrics["test"]["figures"]["accuracy"]["value"] > 0.7
    alone = reviews(40)[["review", "label"]].rename(columns={"review": "text"})
    with pytest.raises(DataError):
        hs.evaluate(str(run.path), alone)


def test_runs_with_other_columns_or_none_are_compared_on_the_same_items(run, tmp_path, heard):
    path = run.path.parent / "reviews.csv"
    words = {"start": "scratch/tfidf", **QUICK}
    text = hs.load(str(path), text="review")
    alone = hs.finetune(text, out=str(tmp_path / "alone"), **words)
    priced = hs.load(str(path), text="review", beside=["price"])
    price = hs.finetune(priced, out=str(tmp_path / "price"), **words)
    runs = [each.path for each in (alone, run, price)]
    tables = [pd.read_parquet(each / "predictions.parquet").set_index("name") for each in runs]
    assert len({tuple(sorted(each.index)) for each in tables}) == 1  # one split, whatever is beside
    right = [(each["prediction"] == each["target"]).sort_index() for each in tables]
    for order in ([0, 1, 2], [2, 0, 1]):
        found = hs.compare([str(runs[place]) for place in order]).record["comparisons"]
        pairs = [(order[i], order[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        for (i, j), told in zip(pairs, found, strict=True):
            assert told["gained"] == (right[j] & ~right[i]).sum()
            assert told["lost"] == (right[i] & ~right[j]).sum()
    listed = hs.list_runs(str(tmp_path)).rows
    assert {row["run"] for row in listed} == {"alone", "price"}
    assert len({row["fingerprint"] for row in listed}) == 2
    assert len({row["tested_on"] for row in listed}) == 1  # one table of what compare takes
    former = pd.read_parquet(runs[1] / "predictions.parquet").drop(columns="id_alone")
    old = shutil.copytree(runs[1], tmp_path / "old")
    former.to_parquet(old / "predictions.parquet")
    assert hs.compare([str(runs[1]), str(old)]).record["comparisons"][0]["gained"] == 0
    with pytest.raises(RunFolderError, match=r"a former version wrote it. .* --overwrite") as told:
        hs.compare([str(alone.path), str(old)])
    heard(told.value)
    again = [str(path), "--text", "review", "--beside", "price", "city", "--overwrite"]
    said = ["--start", "scratch/tfidf", "--device", "cpu", "--out", str(old)]
    assert main(["finetune", *again, *said]) == 0
    assert hs.compare([str(alone.path), str(old)]).record["num_items"] == len(former)


def test_a_joined_run_is_a_start_for_texts_alone(network, tmp_path):
    data = hs.load(reviews(80)[["review", "label"]], text="review")
    words = {"num_steps": 3, "out": str(tmp_path / "next")}
    found = hs.finetune(data, start=str(network.path), **words, **QUICK)
    assert found.preprocess.kind == "tokens"
    with pytest.raises(StartError, match="reads image"):
        hs.finetune(data, start="scratch/simple-cnn", out=str(tmp_path / "x"), **QUICK)


def test_a_bundle_reads_rows_of_a_body_as_the_run_does(network, tmp_path):
    bundle = open_bundle(hs.export(network, to="onnx", out=str(tmp_path / "bundle")))
    rows = json.loads(reviews(4, seed=2).drop(columns="label").to_json(orient="records"))
    form = form_of(bundle.schema)
    limits = ServerLimits()
    samples, names = form.read("application/json", json.dumps(rows).encode(), bundle, limits)
    assert names == ["row 1", "row 2", "row 3", "row 4"]
    expected = [one.probabilities for one in network.predict(rows)]
    found = [one.probabilities for one in bundle.predict(samples)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    csv = pd.DataFrame(rows).to_csv(index=False).encode()
    samples, _ = form.read("text/csv", csv, bundle, limits)
    np.testing.assert_allclose(
        [one.probabilities for one in bundle.predict(samples)], expected, atol=1e-5
    )
    assert [one.name for one in form.inputs(bundle.preprocess)] == ["review", "price", "city"]
    parts, _ = form.cover(rows[:1], bundle)
    assert parts["parts"][-1] == "city"
    _, example = form.example(bundle.preprocess)
    assert bundle.predict(json.loads(example))[0].label in bundle.schema.classes


# Images -------------------------------------------------------------------------------------------


def test_images_with_a_row_are_learned_from_together(tmp_path):
    data = hs.load(pictures(300), image_column="image", beside=["all"])
    assert (data.schema.modality, data.schema.beside) == ("image", ("ink", "side"))
    words = {"num_epochs": 8, "batch_size": 16, "learning_rate": 0.01, "mixup": 0.0}
    run = hs.finetune(data, start="scratch/simple-cnn", out=str(tmp_path / "run"), **words, **QUICK)
    figures = run.metrics["left_out"]["figures"]
    full = figures["fine-tuned"]["value"]
    assert full > figures["without 'side'"]["value"]
    assert full > figures["without 'image'"]["value"]
    assert (run.path / "views.json").is_file()
    frame = pictures(4).drop(columns="label")
    rows = frame.to_dict("records")
    told = run.predict(rows)
    assert [one.label for one in told] == [one.label for one in run.predict(frame)]
    broken = [rows[0], {**rows[1], "image": b"no image"}, rows[2]]
    found, bad = run.predict_usable(broken)
    np.testing.assert_allclose(
        [one.probabilities for one in found],
        [told[0].probabilities, told[2].probabilities],
        atol=1e-6,
    )
    assert [one.name for one in bad] == ["row 2"]
    for row in rows:
        name = f"{len(list(tmp_path.glob('*.png')))}.png"
        (tmp_path / name).write_bytes(row["image"])
        row["image"] = name
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    said = hs.predict(str(run.path), [str(tmp_path / "new.csv")])
    assert [one.label for one in said] == [one.label for one in told]
    bundle = open_bundle(hs.export(run, to="onnx", out=str(tmp_path / "bundle")))
    np.testing.assert_allclose(
        [one.probabilities for one in bundle.predict(frame.to_dict("records"))],
        [one.probabilities for one in told],
        atol=1e-5,
    )
    # as a start it brings the images' part, and the audits look at these alone
    words = {"num_steps": 4, "out": str(tmp_path / "next"), **QUICK}
    after = hs.finetune(data, start=str(run.path), **words)
    assert after.preprocess.kind == "image_joined"
    assert "image alone" in " ".join(after.metrics["before_after"]["figures"])
    with pytest.raises(OptionError, match=r"to 'timm' does not fit .* Say --to onnx"):
        hs.export(run, to="timm", out=str(tmp_path / "timm"))
    with pytest.raises(OptionError, match="columns stand beside these, which cannot be mixed"):
        hs.finetune(data, start="scratch/simple-cnn", mixup=0.2, out=str(tmp_path / "x"), **QUICK)


def test_a_first_layer_is_learned_from_the_images_whatever_stands_beside():
    def filters(beside: list[str]) -> torch.Tensor:
        data = hs.load(pictures(40), image_column="image", beside=beside)
        start, options = find_start("scratch/quick-cnn-small"), TrainingOptions(strategy="full")
        network = set_up(data, start, options, device=torch.device("cpu")).model.encoder.network
        return (network.main if beside else network).stem.filters

    np.testing.assert_array_equal(filters(["all"]), filters([]))
