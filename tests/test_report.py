"""What a finished folder holds of its test items, and the page that is made of it alone."""

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes

import headstart as hs
from headstart.cli import main
from headstart.errors import RunFolderError

NEEDED = {"metrics.json", "model.json", "data.json", "options.json", "mistakes.json", "log.jsonl"}
SHOWN = {*NEEDED, "examples.json", "views.json"}  # there where there are classes, or images


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a finished run a modality and task, each with mistakes, and its data."""
    root = tmp_path_factory.mktemp("runs")
    draws = np.random.default_rng(0)
    words = np.array(["fine", "good", "plain", "poor", "dull", "<b>loud</b>"])
    texts = [" ".join(draws.choice(words, 5)) for _ in range(160)]
    stars = ["up" if "good" in text or draws.random() < 0.3 else "down" for text in texts]
    tags = [";".join(w for w in words if w in text and draws.random() < 0.9) for text in texts]
    houses = load_diabetes(as_frame=True).frame.head(200).copy()
    houses.loc[houses.index[::3], "bmi"] = np.nan
    data = {
        "images": hs.load("digits-8x8"),
        "texts": hs.load(pd.DataFrame({"text": texts, "label": stars}), label="label"),
        "tags": hs.load(pd.DataFrame({"text": texts, "tags": tags}), label="tags", separator=";"),
        "rows": hs.load(houses, label="target", task="regression"),
    }
    starts = {"images": "scratch/simple-cnn", "rows": "scratch/linear"}
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(root / "cache"))
        for name, dataset in data.items():
            steps = {"num_steps": 30} if name == "images" else {}
            run = hs.finetune(
                dataset, start=starts.get(name, "scratch/tfidf"), out=str(root / name), **steps
            )
            made[name] = run, dataset
    return made


def items_of(run) -> list[dict]:
    return json.loads((run.path / "mistakes.json").read_text())["items"]


def table_of(run) -> dict:
    return pq.read_table(run.path / "predictions.parquet").to_pydict()


@pytest.mark.parametrize("name", ["images", "texts"])
def test_the_loss_of_a_class_is_its_calibrated_log_loss(runs, name):
    run, _ = runs[name]
    table = table_of(run)
    places = [run.classes.index(target) for target in table["target"]]
    expected = [-np.log(p[k]) for p, k in zip(table["probabilities"], places, strict=True)]
    assert table["loss"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    if name == "images":  # the texts have too few val items to say anything against 1
        assert run.model_record["temperature"] != 1
    log_loss = run.metrics["test"]["figures"]["log_loss"]["value"]
    assert np.mean(table["loss"]) == pytest.approx(log_loss, rel=1e-4)


def test_the_loss_of_several_labels_is_their_mean(runs):
    run, dataset = runs["tags"]
    table, wanted = table_of(run), dataset.test.targets.astype(bool)
    given = np.array(table["probabilities"], np.float64)
    expected = -np.log(np.where(wanted, given, 1 - given)).mean(axis=1)
    assert table["loss"] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_loss_of_a_number_is_its_squared_error_in_standard_units(runs):
    run, dataset = runs["rows"]
    table, scale = table_of(run), dataset.train.targets.std()
    expected = (np.subtract(table["prediction"], table["target"]) / scale) ** 2
    assert table["loss"] == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["images", "texts", "tags", "rows"])
def test_the_worst_mistakes_are_kept_with_their_samples(runs, name):
    run, dataset = runs[name]
    table, items = table_of(run), items_of(run)
    assert 0 < len(items) <= 12
    assert len({item["id"] for item in items}) == len(items)
    for item in items:
        place = table["id"].index(item["id"])
        assert {k: item[k] for k in ("name", "target", "prediction", "loss")} == {
            k: table[k][place] for k in ("name", "target", "prediction", "loss")
        }
        assert item["target"] != item["prediction"]
        sample = dataset.test.samples.read(dataset.test.ids.tolist().index(item["id"]))
        if name == "images":
            picture = Image.open(io.BytesIO(base64.b64decode(item["image_png_base64"])))
            assert np.array_equal(np.asarray(picture), np.squeeze(sample))
        elif name == "rows":
            missing = {column for column, value in sample.items() if value is None}
            assert {column for column, value in item["row"].items() if value is None} == missing
            assert item["row"].keys() == sample.keys()
        else:
            assert item["text"] == sample
    if name == "rows":
        off = [abs(item["prediction"] - item["target"]) for item in items]
        worst = np.sort(np.abs(np.subtract(table["prediction"], table["target"])))[::-1]
        assert off == pytest.approx(worst[:12])
    else:
        sure = [item["probability"] for item in items]
        assert sure == sorted(sure, reverse=True)


def test_a_long_text_is_kept_in_part(tmp_path):
    words = ["long " * 1_000 + str(number) for number in range(60)]
    frame = pd.DataFrame({"words": words, "x": np.arange(60.0) % 7, "y": np.arange(60.0) ** 2})
    data = hs.load(frame, label="y", categorical=["words"], numeric=["x"], task="regression")
    run = hs.finetune(data, start="scratch/linear", out=str(tmp_path / "run"))
    assert {len(item["row"]["words"]) for item in items_of(run)} == {2_000}


@pytest.mark.parametrize("name", ["images", "texts", "tags", "rows"])
def test_a_page_made_again_is_the_page_of_the_run(runs, name, tmp_path):
    run, _ = runs[name]
    own = (run.path / "report.html").read_bytes()
    for item in items_of(run):
        picture = item.get("image_png_base64")
        assert picture is None or picture.encode() in own
    alone = tmp_path / "alone"  # neither weights nor predictions nor the former page
    alone.mkdir()
    for file in SHOWN:
        if file in NEEDED or (run.path / file).exists():
            shutil.copy(run.path / file, alone)
    assert hs.report(str(alone)) == alone / "report.html"
    assert (alone / "report.html").read_bytes() == own
    assert hs.report(run, out=str(tmp_path / "page.html")) == tmp_path / "page.html"
    assert (tmp_path / "page.html").read_bytes() == own


def test_a_page_is_made_again_without_torch(runs, tmp_path):
    run, _ = runs["images"]
    code = (
        "import sys, headstart.reporting, headstart.recipes.report\n"
        "import headstart as hs\n"
        "hs.report(sys.argv[1], out=sys.argv[2])\n"
        "print([m for m in ('torch', 'timm', 'sklearn', 'pyarrow', 'PIL') if m in sys.modules])"
    )
    page = tmp_path / "page.html"
    found = subprocess.run(
        [sys.executable, "-c", code, str(run.path), str(page)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_the_command_prints_the_page_and_the_next_command(runs, tmp_path, capsys):
    run, _ = runs["texts"]
    page = tmp_path / "page.html"
    assert main(["report", str(run.path), "--out", str(page)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{page}\n"
    assert said.err == f"next: headstart predict {run.path} 'SOME TEXT'\n"


def copy_of(run, folder: Path) -> Path:
    return Path(shutil.copytree(run.path, folder / "run"))


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    with pytest.raises(RunFolderError, match=r"photos is not a run folder .*no model\.json"):
        hs.report(str(tmp_path / "photos"))
    assert main(["report", str(tmp_path)]) == 5
    assert "is not a run folder" in capsys.readouterr().err


def test_an_unfinished_run_is_refused_with_the_way_on(runs, tmp_path):
    folder = copy_of(runs["images"][0], tmp_path)
    (folder / "state").mkdir()
    with pytest.raises(RunFolderError, match=r"unfinished run; .* --out \S+run --resume"):
        hs.report(str(folder))
    (folder / "state").rmdir()
    hs.report(str(folder))
    (folder / "metrics.json").unlink()
    with pytest.raises(RunFolderError, match=r"has no metrics\.json; expected a finished run"):
        hs.report(str(folder))


@pytest.mark.parametrize("name", sorted(NEEDED - {"model.json", "metrics.json"}))
def test_a_file_that_is_missing_is_named(runs, tmp_path, name):
    folder = copy_of(runs["rows"][0], tmp_path)
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=f"run has no {name}; expected"):
        hs.report(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metrics.json", "{", r"metrics\.json is damaged"),
        ("mistakes.json", "[]", r"mistakes\.json is damaged \(it is no JSON object"),
        ("data.json", '{"counts": 3}', r"is damaged \(AttributeError"),
        ("metrics.json", '{"task": "chess", "test": {}}', r"is damaged .*Unknown task 'chess'"),
        ("model.json", '{"format": 1}', r"by an older version in format 1; expected format 4"),
        ("model.json", '{"model_type": "bert"}', r"another version in format None"),
    ],
)
def test_what_headstart_did_not_write_is_refused(runs, tmp_path, name, content, told):
    folder = copy_of(runs["texts"][0], tmp_path)
    own = (folder / "report.html").read_bytes()
    (folder / name).write_text(content)
    with pytest.raises(RunFolderError, match=told):
        hs.report(str(folder))
    assert (folder / "report.html").read_bytes() == own


def test_a_page_that_cannot_be_written_is_a_sentence(runs, tmp_path):
    with pytest.raises(RunFolderError, match=r"nowhere/page\.html cannot be written"):
        hs.report(str(runs["rows"][0].path), out=str(tmp_path / "nowhere" / "page.html"))
