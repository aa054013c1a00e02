"""The verbs from Python, end to end, on real digits and with a network that trains in a second."""

import json
import os
import re
import shutil
import signal
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from small_runs import few_digits
from torch import nn

import headstart as hs
from headstart.cli import main
from headstart.errors import (
    DataError,
    DeviceError,
    Interrupted,
    OptionError,
    RunFolderError,
    StartError,
)
from headstart.events import listen
from headstart.types import ImageSpec

FILES = [
    "README.md",
    "data.json",
    "examples.json",
    "log.jsonl",
    "metrics.json",
    "mistakes.json",
    "model.json",
    "model.safetensors",
    "options.json",
    "predictions.parquet",
    "report.html",
    "views.json",
]
FIGURES = {
    "accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "roc_auc",
    "log_loss",
    "brier",
    "ece",
}
START = "scratch/simple-cnn"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data():
    return hs.load("digits-8x8")


@pytest.fixture(scope="module")
def arrays():
    """Return 200 images of two classes that a stroke tells apart."""
    draws = np.random.default_rng(0)
    targets = np.array(["rows", "columns"])[np.arange(200) % 2]
    images = draws.integers(0, 90, size=(200, 10, 10, 3), dtype=np.uint8)
    for image, target in zip(images, targets, strict=True):
        place = draws.integers(1, 9)
        if target == "rows":
            image[place] += 150
        else:
            image[:, place] += 150
    return images, targets


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Return a finished run of 120 steps on the digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    return hs.finetune(data, start=START, num_steps=120, out=str(out))


def digest(path) -> str:
    return sha256((Path(path) / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_folder_holds_exactly_the_documented_files(run):
    assert sorted(os.listdir(run.path)) == FILES


def check_figure(figure, low=0.0, high=1.0):
    assert figure.keys() == {"value", "low", "high"}
    assert low <= figure["low"] <= figure["value"] <= figure["high"] <= high


def test_metrics_have_the_documented_shape(run):
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert {"test", "val", "before_after", "seconds"} <= metrics.keys()
    for split, num in (("test", 359), ("val", 216)):
        part = metrics[split]
        assert part["num_items"] == num
        assert part["figures"].keys() == FIGURES
        for name, figure in part["figures"].items():
            check_figure(figure, high=10.0 if name in ("log_loss", "brier") else 1.0)
        assert list(part["per_class"]) == [str(k) for k in range(10)]
        support = sum(row["support"] for row in part["per_class"].values())
        matrix = np.array(part["confusion_matrix"])
        assert support == matrix.sum() == num
        accuracy = np.trace(matrix) / num
        assert part["figures"]["accuracy"]["value"] == pytest.approx(accuracy)
    ladder = metrics["before_after"]["figures"]
    expected = ["majority class", "frozen start + linear probe", "pixels + linear", "fine-tuned"]
    assert list(ladder) == expected
    for figure in ladder.values():
        check_figure(figure)
    assert ladder["fine-tuned"]["value"] == metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    for verdict in metrics["before_after"]["comparisons"]:
        assert verdict["after"] == "fine-tuned"
        difference = (verdict["gained"] - verdict["lost"]) / 359
        assert verdict["difference"]["value"] == pytest.approx(difference)
        assert 0 <= verdict["p_value"] <= 1
    assert 0 < metrics["seconds"]["total"] < 120


def test_options_hold_everything_that_was_resolved(run):
    options = json.loads((run.path / "options.json").read_text())
    assert options["verb"] == "finetune"
    assert options["options"]["start"] == START
    assert options["options"]["num_steps"] == 120
    recipe = options["recipe"]
    assert recipe["strategy"] == "full"
    assert "auto" not in recipe.values()
    assert recipe["augment"] == "digits"
    choices = {choice["name"]: choice["value"] for choice in options["choices"]}
    assert choices["strategy"] == "full"
    assert choices["augment"] == "digits"
    assert options["training"]["ended"] in ("finished", "early")


def test_data_json_tells_where_each_sample_went(run, data):
    record = json.loads((run.path / "data.json").read_text())
    assert record["fingerprint"] == data.fingerprint
    assert record["counts"] == {"train": 1222, "val": 216, "test": 359}
    ids = record["split_ids"]
    assert {name: len(found) for name, found in ids.items()} == record["counts"]
    assert len(set().union(*ids.values())) == 1797  # no sample stands on two sides
    assert record["source"]["source"] == "digits-8x8"


def test_predictions_are_the_test_split_and_give_the_accuracy(run, data):
    table = pq.read_table(run.path / "predictions.parquet").to_pydict()
    columns = ["id", "name", "target", "prediction", "probability", "probabilities", "loss"]
    assert list(table) == columns
    assert table["id"] == data.test.ids.tolist()
    right = np.mean([t == p for t, p in zip(table["target"], table["prediction"], strict=True)])
    assert right == pytest.approx(run.metrics["test"]["figures"]["accuracy"]["value"])
    probabilities = np.array(table["probabilities"])
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(probabilities.max(axis=1), table["probability"])
    best = [run.classes[k] for k in probabilities.argmax(axis=1)]
    assert best == table["prediction"]


def test_the_log_holds_events_as_json_lines(run):
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert {"stage", "choice", "check"} <= {line["kind"] for line in lines}
    assert all(line["seconds"] >= 0 for line in lines)


def test_evaluate_reproduces_the_figures(run, data):
    own = hs.evaluate(str(run.path))
    assert own.metrics["test"]["figures"] == run.metrics["test"]["figures"]
    given = hs.evaluate(str(run.path), data)
    assert given.metrics["test"] == own.metrics["test"]
    assert "accuracy" in own.report()


def test_evaluate_refuses_data_with_an_unknown_class(run, arrays):
    with pytest.raises(DataError, match=r"Class 'columns' .*is unknown to"):
        hs.evaluate(str(run.path), arrays)


def test_evaluate_refuses_data_that_has_changed(tmp_path):
    folder = tmp_path / "photos"
    draws = np.random.default_rng(0)
    for name in ("bright", "dark"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = draws.integers(0, 100, size=(16, 16), dtype=np.uint8)
            pixels += 120 if name == "bright" else 0
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    run = hs.finetune(str(folder), start=START, num_steps=20, out=str(tmp_path / "run"))
    assert hs.evaluate(str(run.path)).metrics["test"] == run.metrics["test"]
    files = [folder / "dark" / "0.png", folder / "bright"]
    found = hs.predict(str(run.path), [str(f) for f in files])
    assert len(found) == 21
    assert [p.name for p in found[:2]] == [str(files[0]), str(folder / "bright" / "0.png")]
    assert found[0].probability == max(found[0].probabilities)
    assert sum(found[0].probabilities) == pytest.approx(1, abs=1e-5)
    Image.fromarray(np.full((16, 16), 30, np.uint8)).save(folder / "dark" / "0.png")
    with pytest.raises(
        DataError, match=r"photos has changed since .*1 samples are gone, 1 samples are new"
    ):
        hs.evaluate(str(run.path))


def test_predict_agrees_with_the_predictions_of_the_run(run, data, tmp_path):
    table = pq.read_table(run.path / "predictions.parquet").to_pydict()
    files = []
    for place in range(5):
        files.append(str(tmp_path / f"{place}.png"))
        Image.fromarray(np.squeeze(data.test.samples.read(place))).save(files[-1])
    found = hs.predict(str(run.path), files)
    assert [p.label for p in found] == table["prediction"][:5]
    assert [p.probability for p in found] == pytest.approx(table["probability"][:5], abs=1e-5)
    (alone,) = hs.predict(str(run.path), files[0])  # one path will do
    assert alone.label == found[0].label
    assert alone.probabilities == pytest.approx(found[0].probabilities, abs=1e-6)


def test_predict_names_the_file_that_cannot_be_used(run, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.png does not exist"):
        hs.predict(str(run.path), [str(tmp_path / "nowhere.png")])
    with pytest.raises(OptionError, match="--encoding utf-16 cannot be used: the model reads ima"):
        hs.predict(str(run.path), ["seven.png"], encoding="utf-16")
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"page\.jpg"):
        hs.predict(str(run.path), [str(tmp_path / "page.jpg")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image files"):
        hs.predict(str(run.path), [str(tmp_path / "empty")])
    with pytest.raises(RunFolderError, match="is not a run folder"):
        hs.predict(str(tmp_path / "empty"), [])


@pytest.mark.parametrize("name", ["data.json", "metrics.json"])
def test_records_of_a_run_that_are_no_objects_are_named(run, tmp_path, name):
    copied = Path(shutil.copytree(run.path, tmp_path / "copied"))
    (copied / name).write_text("[]")
    with pytest.raises(RunFolderError, match=f"{name} is damaged .it is no JSON object"):
        getattr(hs.open(copied), name.partition(".")[0])


def test_a_bundle_where_a_run_is_expected_is_said_to_be_one(run, tmp_path, heard):
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(RunFolderError, match="is a bundle, an export that a server") as caught:
        hs.predict(str(tmp_path), ["seven.png"])
    assert hs.predict(str(run.path), [np.zeros((28, 28), np.uint8)])[0].label
    heard(caught.value)


@pytest.mark.parametrize(
    "name", ["a.jfif", "b.JPE", "c.webp", "d.tif", "e.TIFF", "f.avif", "g.jp2"]
)
def test_predict_takes_the_files_of_a_folder_that_training_takes(run, tmp_path, name):
    for label in ("dark", "light"):
        (tmp_path / label).mkdir()
    for number in range(10):
        pixels = np.full((16, 16), 20 * number, np.uint8)
        kind = {".jfif": "JPEG", ".jp2": "JPEG2000"}.get(Path(name).suffix)
        path = tmp_path / ("dark" if number < 5 else "light") / f"{number}{name}"
        Image.fromarray(pixels).save(path, kind)
        path.with_name(f"{number}.png.txt").write_text("no image by its name")
    if name.endswith(".jp2"):  # taken for an image, too, and not left out without a word
        with pytest.raises(DataError, match=r"0g\.jp2: it is a JPEG 2000 image, which is not read"):
            hs.load(tmp_path)
        with pytest.raises(DataError, match=r"No image can be used. .*0g\.jp2: it is a JPEG 2000"):
            hs.predict(str(run.path), [str(tmp_path)])
        return
    data = hs.load(tmp_path)
    taken = [
        split.samples.name(i)
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    ]
    found = hs.predict(str(run.path), [str(tmp_path)])
    assert [p.name for p in found] == sorted(str(tmp_path / each) for each in taken)
    assert len(found) == 10


def test_predict_takes_images_in_any_form_that_training_takes(run, data, tmp_path):
    arrays = [np.squeeze(data.test.samples.read(place)) for place in range(140)]
    stacked = np.stack(arrays)
    expected = [p.probabilities for p in run.predict(arrays)]
    Image.fromarray(arrays[0]).save(tmp_path / "0.png")
    for given in (
        stacked,
        stacked[..., None],
        stacked[:, None],
        torch.from_numpy(stacked),
        stacked / 255,
        [Image.fromarray(array) for array in arrays],
        [array / np.float32(255) for array in arrays],
        [torch.from_numpy(array) for array in arrays],
        [Image.open(tmp_path / "0.png"), str(tmp_path / "0.png"), *arrays[2:]],
    ):
        found = [p.probabilities for p in run.predict(given)]
        assert found[0] == expected[0]
        assert found[2:] == expected[2:]
        assert len(found) == 140
    found = run.predict([arrays[0], str(tmp_path / "0.png")])
    assert [p.name for p in found] == ["image 1", str(tmp_path / "0.png")]
    assert run.predict(stacked)[139].name == "image 140"


def test_predict_says_what_images_it_takes(run):
    image = Image.new("L", (8, 8))
    for given, words in (
        (image, "not one Image: paths, encoded bytes, PIL images"),
        (5, "not one int"),
        ([image, 5], "Image 2 is a int; expected paths"),
        ([np.full((8, 8), 2.0)], r"Image 1 \(as one of N\) holds floats .* not in \[0, 1\]"),
        (np.zeros((8, 8, 3), np.uint8), "looks like one image in colour"),
        (np.zeros((8, 8), np.uint8), r"The array of images has shape \(8, 8\)"),
        ([Image.new("L", (0, 8))], "'image 1' cannot be used: it has 0 x 8 pixels"),
        (pa.table({"a": [1]}), "A Table was given to a model of images"),
    ):
        with pytest.raises(DataError, match=words):
            run.predict(given)


def test_a_run_is_opened_and_told(run):
    opened = hs.open(run.path)
    assert opened.metrics == run.metrics
    assert opened.classes == tuple(str(k) for k in range(10))
    assert "accuracy" in opened.report()


@pytest.mark.parametrize("strategy", ["head", "last-n", "lp-ft", "full"])
def test_a_run_folder_is_a_start_for_each_strategy(run, arrays, tmp_path, strategy):
    """The second run has other classes, another size and three channels."""
    second = hs.finetune(
        arrays,
        start=str(run.path),
        strategy=strategy,
        num_steps=None if strategy == "head" else 10,
        num_last_layers=1 if strategy == "last-n" else None,
        out=str(tmp_path / "second"),
    )
    assert sorted(os.listdir(second.path)) == FILES
    assert second.classes == ("columns", "rows")
    assert second.model_record["strategy"] == strategy
    ladder = second.metrics["before_after"]["figures"]
    # under head the fine-tuned model is the probe: there is nothing in between to compare
    assert ("frozen start + linear probe" in ladder) == (strategy != "head")


class OwnNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 12, 3)
        self.norm = nn.BatchNorm2d(12)

    def forward(self, images):
        return torch.relu(self.norm(self.conv(images))).amax(dim=(2, 3))


OWN_SPEC = ImageSpec(10, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 10, 3)


def test_arrays_and_a_module_of_ones_own(arrays, tmp_path):
    module = OwnNetwork()
    before = {n: t.clone() for n, t in module.state_dict().items()}

    def tune(name):
        return hs.finetune(
            arrays,
            start=module,
            spec=OWN_SPEC,
            strategy="full",
            num_steps=60,
            batchnorm="train",
            learning_rate=0.05,
            out=str(tmp_path / name),
        )

    first, second = tune("a"), tune("b")
    assert first.metrics["test"]["figures"]["accuracy"]["value"] > 0.8
    # the caller's module is left alone, so that both runs began at the same place
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert digest(first.path) == digest(second.path)
    images, _ = arrays
    found = hs.open(first.path, module=module).predict(list(images[:4]))
    assert found == first.predict(list(images[:4]))
    assert hs.evaluate(first, arrays).metrics["test"] == first.metrics["test"]
    with pytest.raises(DataError, match="made from data in memory"):
        hs.evaluate(first)
    with pytest.raises(StartError, match="a module of your own"):
        hs.open(first.path).predict([images[0]])


def test_a_module_without_its_preprocessing_is_refused(arrays, tmp_path):
    with pytest.raises(OptionError, match="spec is missing"):
        hs.finetune(arrays, start=OwnNetwork(), out=str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("start", [None, 3, ["scratch/linear"]])
def test_a_start_that_is_neither_a_name_nor_a_module_is_refused_by_its_value(start, heard):
    with pytest.raises(OptionError, match="expected the name of a start") as caught:
        hs.finetune(hs.load("digits-8x8"), start=start)
    assert "scratch/linear" in {each.address for each in hs.list_starts(like="scratch/linear")}
    heard(caught.value)


def test_a_limit_of_the_cache_that_is_no_size_is_refused_before_anything_is_computed(
    arrays, tmp_path, monkeypatch
):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "plenty")
    with pytest.raises(OptionError, match="is 'plenty'; expected a number of bytes"):
        hs.finetune(arrays, start="scratch/linear", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def finetune_and_stop(data, out, at_check, **options):
    """Fine-tune and press Ctrl-C at a check."""
    seen = []

    def press(kind, fields):
        if kind == "check":
            seen.append(fields["step"])
            if len(seen) == at_check:
                signal.raise_signal(signal.SIGINT)

    with listen(press), pytest.raises(Interrupted) as caught:
        hs.finetune(data, start=START, out=str(out), **options)
    return str(caught.value), seen


EVERYTHING = {
    "num_steps": 170,
    "ema": True,
    "dropout": 0.2,
    "mixup": 0.2,
    "batch_size": 32,
    "micro_batch_size": 16,
    "patience": 0,
}


def test_stopped_and_resumed_it_writes_the_same_model_bit_for_bit(tmp_path):
    data = few_digits()
    whole = hs.finetune(data, start=START, out=str(tmp_path / "whole"), **EVERYTHING)
    # the number of workers may change from life to life, and changes nothing
    message, seen = finetune_and_stop(data, tmp_path / "parts", 2, **EVERYTHING, num_workers=2)
    assert seen == [50, 100]
    assert "--resume" in message
    left = sorted(os.listdir(tmp_path / "parts"))
    assert left == ["log.jsonl", "model.json", "model.safetensors", "options.json", "state"]
    stopped = hs.open(tmp_path / "parts")  # usable already
    assert stopped.predict([data.test.samples.read(0)])[0].label in stopped.classes
    words = {**EVERYTHING, "num_workers": 1, "resume": True}
    resumed = hs.finetune(data, start=START, out=str(tmp_path / "parts"), **words)
    assert digest(resumed.path) == digest(whole.path)
    assert sorted(os.listdir(resumed.path)) == FILES
    assert resumed.options["options"]["num_workers"] == 1
    assert resumed.metrics["test"] == whole.metrics["test"]
    assert resumed.model_record["temperature"] == whole.model_record["temperature"]


def test_resuming_with_other_options_or_data_is_refused_with_the_difference(arrays, tmp_path):
    data = few_digits()
    out = tmp_path / "run"
    finetune_and_stop(data, out, 1, num_steps=150)
    before = sorted(os.listdir(out))
    with pytest.raises(RunFolderError) as caught:
        hs.finetune(data, start=START, out=str(out), num_steps=160, learning_rate=0.1, resume=True)
    said = str(caught.value)
    assert "num_steps: 150 → 160" in said
    assert "learning_rate: None → 0.1" in said
    assert "seed" not in said
    with pytest.raises(RunFolderError, match="data: other samples, or read or divided"):
        hs.finetune(arrays, start=START, out=str(out), num_steps=150, resume=True)
    assert sorted(os.listdir(out)) == before
    with pytest.raises(RunFolderError, match="Add --resume to go on with it"):
        hs.finetune(data, start=START, out=str(out), num_steps=150)


def test_ctrl_c_is_not_lost_where_there_is_no_loop(data, tmp_path):
    def press(kind, fields):
        if kind == "stage" and "probe" in str(fields["text"]):
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    with listen(press), pytest.raises(Interrupted, match="--resume"):
        hs.finetune(data, start=START, strategy="head", out=str(out))
    assert "metrics.json" not in os.listdir(out)
    run = hs.finetune(data, start=START, strategy="head", out=str(out), resume=True)
    assert sorted(os.listdir(run.path)) == FILES


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"start": "scratch/simple-cn"}, StartError, "Did you mean 'scratch/simple-cnn'"),
        ({"strategy": "ful"}, OptionError, "strategy is 'ful', expected 'head'"),
        ({"augment": "digit"}, OptionError, "Did you mean 'digits'"),
        ({"optimizer": "adamq"}, OptionError, "optimizer is 'adamq'"),
        ({"batch_size": 10, "micro_batch_size": 3}, OptionError, "not divisible"),
        ({"learning_rate": float("inf"), "clip": -1}, OptionError, r"learning_rate is inf.*clip"),
        ({"num_workers": -1}, OptionError, "num_workers is -1, expected between 0 and 64"),
        ({"num_workers": 2, "strategy": "head"}, OptionError, "has no use for num_workers"),
        ({"budget": "soon"}, OptionError, "budget 'soon'"),
        ({"device": "cuda:77"}, DeviceError, "is not on this machine"),
        ({"precision": "fp16", "device": "cpu"}, DeviceError, "needs a CUDA device"),
        ({"num_last_layers": 40, "strategy": "last-n"}, OptionError, "expected 1 to 3"),
        ({"drop_path": 0.3}, StartError, "no stochastic depth"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_no_trace(
    data, tmp_path, options, error, sentence
):
    with pytest.raises(error, match=sentence):
        hs.finetune(data, **({"start": START, "out": str(tmp_path / "x")} | options))
    assert os.listdir(tmp_path) == []


def test_fit_refuses_a_number_of_workers_before_it_tries_a_start(data, tmp_path):
    with pytest.raises(OptionError, match="num_workers is 65, expected between 0 and 64"):
        hs.fit(data, num_workers=65, out=str(tmp_path / "x"))
    assert os.listdir(tmp_path) == []


def test_a_run_that_cannot_begin_never_costs_the_one_it_should_replace(data, arrays, tmp_path):
    out = tmp_path / "run"
    run = hs.finetune(arrays, start=START, num_steps=5, out=str(out))
    before = {name: (out / name).read_bytes() for name in FILES}
    refused = [
        ({"learning_rate": -1}, OptionError),
        ({"num_last_layers": 40, "strategy": "last-n"}, OptionError),
        ({"drop_path": 0.3}, StartError),
        ({"start": str(out)}, OptionError),  # the start is what would be overwritten
    ]
    for options, error in refused:
        with pytest.raises(error):
            hs.finetune(data, **({"start": START, "out": str(out), "overwrite": True} | options))
        assert {name: (out / name).read_bytes() for name in os.listdir(out)} == before
    replaced = hs.finetune(arrays, start=START, num_steps=6, out=str(out), overwrite=True)
    assert sorted(os.listdir(out)) == FILES
    assert replaced.options["options"]["num_steps"] == 6
    assert run.path == replaced.path


def test_without_out_the_run_gets_a_name_of_its_own(arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [hs.finetune(arrays, start=START, num_steps=2).path for _ in range(2)]
    assert paths == [Path("runs/arrays"), Path("runs/arrays-2")]


def test_a_loss_that_is_not_finite_ends_in_a_sentence_and_a_report_of_its_steps(arrays, tmp_path):
    with pytest.raises(hs.DivergenceError, match="--learning-rate"):
        hs.finetune(
            arrays,
            start=START,
            learning_rate=1e30,
            optimizer="sgd",
            clip=0,
            num_steps=60,
            out=str(tmp_path / "x"),
        )
    assert os.listdir(tmp_path / "x") == ["nan_report.json"]
    assert "steps" in json.loads((tmp_path / "x" / "nan_report.json").read_text())


@pytest.mark.parametrize("words", ["", "DefaultCPUAllocator: can't allocate memory: "])
def test_running_out_of_memory_is_a_sentence(arrays, tmp_path, monkeypatch, words):
    def refuse(*args, **options):
        error = RuntimeError if words else torch.OutOfMemoryError
        raise error(f"{words}Tried to allocate 2.00 GiB")

    monkeypatch.setattr("headstart.tuning.arm.Arm.advance", refuse)
    with pytest.raises(DeviceError, match=r"Tried to allocate 2.00 GiB.*--micro-batch-size"):
        hs.finetune(arrays, start=START, num_steps=5, out=str(tmp_path / "x"))
    assert os.listdir(tmp_path) == []


def test_a_budget_is_kept_with_everything_in_it(run, data, tmp_path, processor_clock):
    """After another run: what PyTorch imports with the first optimizer is no matter of a budget."""
    processor_clock.slowness = 2.0  # ten seconds pass in five
    check_budget(data, tmp_path / "run")


@pytest.mark.slow
def test_a_budget_is_kept_on_the_wall_too(run, data, tmp_path):
    check_budget(data, tmp_path / "run")


def check_budget(data, out):
    began = time.monotonic()
    run = hs.finetune(data, start=START, num_epochs=100_000, patience=0, budget="10s", out=str(out))
    assert time.monotonic() - began < 10 * 1.05
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    assert run.options["training"]["progress"] > 0.95


def test_imbalance_is_seen_and_told_and_the_loss_stays_plain_unless_asked(data, tmp_path):
    images, targets = np.zeros((240, 8, 8), np.uint8), np.zeros(240, np.int64)
    images[220:, 2:5] = 200
    targets[220:] = 1
    told = []
    words = {"start": START, "num_steps": 3}
    with listen(lambda kind, fields: told.append(fields) if kind == "choice" else None):
        run = hs.finetune((images, targets), out=str(tmp_path / "x"), **words)
    assert run.options["recipe"]["imbalance"] == "none"
    why = next(fields["why"] for fields in told if fields["name"] == "imbalance")
    assert re.search(r"largest class has 1[12] times the samples of the smallest", str(why))
    asked = hs.finetune((images, targets), out=str(tmp_path / "y"), imbalance="weights", **words)
    assert asked.options["recipe"]["imbalance"] == "weights"


def test_the_baseline_is_the_same_under_a_budget(data, tmp_path, processor_clock):
    words = {"start": START, "num_steps": 30, "device": "cpu"}
    free = hs.finetune(data, out=str(tmp_path / "free"), **words)
    bound = hs.finetune(data, out=str(tmp_path / "bound"), budget="60s", **words)
    before = "frozen start + linear probe"
    accuracies = [run.metrics["before_after"]["figures"][before] for run in (free, bound)]
    assert accuracies[0]["value"] == pytest.approx(accuracies[1]["value"], abs=0.01)
    assert accuracies[0]["value"] > 0.8


def test_resume_without_out_finds_the_interrupted_run(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupt(kind, fields):
        if kind == "stage" and str(fields["text"]).startswith("Fine-tuning"):
            raise KeyboardInterrupt

    words = {"start": START, "num_steps": 5, "device": "cpu"}
    with listen(interrupt), pytest.raises(Interrupted, match=r"--out runs/digits-8x8 --resume"):
        hs.finetune(data, **words)
    run = hs.finetune(data, resume=True, **words)
    assert run.path == Path("runs/digits-8x8")
    assert run.metrics


def test_a_module_of_linear_layers_has_a_recipe_too(arrays, tmp_path):
    spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
    run = hs.finetune(
        arrays, start=module, spec=spec, strategy="full", num_steps=5, out=str(tmp_path / "run")
    )
    assert run.options["recipe"]["optimizer"] == "adamw"


def test_options_that_a_strategy_has_no_use_for_are_refused(data, tmp_path):
    words = {"start": START, "out": str(tmp_path / "run")}
    with pytest.raises(OptionError, match=r"'head' has no use for learning_rate, mixup"):
        hs.finetune(data, strategy="head", learning_rate=0.1, mixup=0.2, **words)
    with pytest.raises(OptionError, match=r"num_last_layers is for strategy 'last-n', not 'full'"):
        hs.finetune(data, strategy="full", num_last_layers=2, **words)
    assert not (tmp_path / "run").exists()


def test_an_encoder_can_say_that_its_weights_are_random(arrays, tmp_path):
    spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
    encoder = hs.wrap_module(module, spec, pretrained_on=None)
    run = hs.finetune(arrays, start=encoder, num_steps=5, out=str(tmp_path / "run"))
    assert run.options["recipe"]["strategy"] == "full"
    assert len(run.predict([np.zeros((8, 8), np.uint8)])) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"mixup": 0.2, "cutmix": 1.0},
        {"imbalance": "oversample"},
        {"ema": True, "l1_penalty": 1e-5},
        {"schedule": "constant", "dropout": 0.1, "label_smoothing": 0.0},
    ],
    ids=["mixup and cutmix", "oversample", "average and L1", "constant and dropout"],
)
def test_every_training_option_runs_to_the_end(data, tmp_path, options):
    out = str(tmp_path / "run")
    run = hs.finetune(data, start=START, num_steps=40, micro_batch_size=64, out=out, **options)
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.5


def test_predict_of_a_folder_answers_for_what_it_can_read_and_names_the_others(run, tmp_path):
    for number in range(6):
        Image.fromarray(np.full((16, 16), 20 * number, np.uint8)).save(tmp_path / f"{number}.jpg")
    whole = (tmp_path / "3.jpg").read_bytes()
    (tmp_path / "3.jpg").write_bytes(whole[:-40])
    (tmp_path / "5.jpg").write_bytes(b"")
    notes = []
    with listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        found = hs.predict(str(run.path), [str(tmp_path)])
    assert [Path(p.name).name for p in found] == ["0.jpg", "1.jpg", "2.jpg", "4.jpg"]
    assert any("2 of 6 images left out" in n and "3.jpg" in n and "5.jpg" in n for n in notes)
    assert [Path(one.name).name for one in found.records] == [f"{n}.jpg" for n in range(6)]
    assert found.exit_code == DataError.exit_code
    with pytest.raises(DataError, match=r"5\.jpg' cannot be used"):
        hs.predict(str(run.path), [str(tmp_path / "5.jpg")])


def test_predict_writes_a_record_for_what_it_cannot_read_too(run, tmp_path, capsys):
    Image.fromarray(np.full((16, 16), 20, np.uint8)).save(tmp_path / "b.png")
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"")
    given = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    tables = {}
    for ending in (".csv", ".jsonl", ".parquet"):
        tables[ending] = tmp_path / f"answers{ending}"
        out = str(tables[ending])
        assert main(["predict", str(run.path), *given, "--out", out]) == DataError.exit_code
    said = "".join(capsys.readouterr().out.split())  # a long path breaks anywhere
    assert "".join(f"{tables['.csv']} holds 1 prediction.".split()) in said
    assert "2sampleshavenone,andthereasoninitsplace." in said
    assert main(["predict", str(run.path), *given]) == DataError.exit_code
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = [json.loads(line) for line in tables[".jsonl"].read_text().splitlines()]
    assert shown == written
    assert [one["name"] for one in written] == given
    empty = "the file is empty (0 bytes)"
    assert [one.get("error") for one in written] == [empty, None, empty]
    answers = pq.read_table(tables[".parquet"]).to_pydict()
    assert [one is None for one in answers["prediction"]] == [True, False, True]
    assert answers["probability"][1] == written[1]["probability"]
    lines = tables[".csv"].read_text().splitlines()
    assert [line.endswith(empty) for line in lines[1:]] == [True, False, True]
    assert main(["predict", str(run.path), given[1]]) == 0
