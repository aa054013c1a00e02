"""evaluate scores nothing that was learned from, and leaves out nothing that was not."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError, RunFolderError

CNN = {"start": "scratch/simple-cnn", "num_steps": 2, "device": "cpu"}


def rows(number, seed):
    draw = np.random.default_rng(seed)
    columns = {name: draw.normal(size=number) for name in "xyz"}
    return pd.DataFrame({**columns, "label": draw.choice(["a", "b"], number)})


def plans(number, seed):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {n: draw.choice(list("uvwx"), number) for n in ("sex", "plan", "town")}
    ).assign(label=draw.choice(["a", "b"], number))


def scored(run, data):
    return hs.evaluate(str(run.path), data).metrics["test"]["num_items"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    frame = (
        rows(200, 0).astype(dict.fromkeys("xyz", np.float32)).astype(dict.fromkeys("xyz", float))
    )
    frame.to_csv(folder / "t.csv", index=False)
    made = hs.finetune(
        hs.load(folder / "t.csv"), start="scratch/linear", out=str(folder / "run"), device="cpu"
    )
    return made, frame


@pytest.mark.parametrize(
    "other",
    [
        lambda f: f.sample(frac=1, random_state=1),
        lambda f: pd.concat([rows(5, 9), f]),
        lambda f: f[["label", "z", "y", "x"]],
        lambda f: f.astype(dict.fromkeys("xyz", np.float32)),
        lambda f: f.assign(id=range(len(f))),
        lambda f: f.assign(label=np.where(f.label == "a", "b", "a")),
    ],
    ids=["shuffled", "added", "columns", "float32", "id", "relabelled"],
)
def test_rows_are_known_in_any_order_and_form(run, other):
    made, frame = run
    assert (
        scored(made, other(frame)) - (5 if len(other(frame)) > 200 else 0)
        == made.metrics["test"]["num_items"]
    )


def test_a_parquet_copy_of_the_file_is_the_file(run, tmp_path):
    made, frame = run
    frame.sample(frac=1, random_state=2).to_parquet(tmp_path / "t.parquet", index=False)
    assert scored(made, str(tmp_path / "t.parquet")) == made.metrics["test"]["num_items"]
    with pytest.raises(DataError, match="has learned from"):
        scored(made, learned_of(made, frame))


def learned_of(made, frame):
    """The rows that a run has learned from: those that evaluate leaves out."""
    names = [
        f["items"]
        for f in hs.evaluate(str(made.path), frame).data["findings"]
        if f["kind"] == "learned"
    ]
    return frame.iloc[[int(name.split()[-1]) - 1 for name in names[0]]]


def test_new_rows_that_merely_look_alike_are_scored_and_said_to_be_alike(tmp_path):
    plans(300, 0).to_csv(tmp_path / "march.csv", index=False)
    made = hs.finetune(
        hs.load(tmp_path / "march.csv"),
        start="scratch/linear",
        out=str(tmp_path / "run"),
        device="cpu",
    )
    found = hs.evaluate(str(made.path), plans(300, 1))
    assert found.metrics["test"]["num_items"] == 300
    assert any("look like samples" in note and "chance" in note for note in found.data["notes"])
    for other in (plans(300, 0).sample(frac=1, random_state=3), plans(300, 0).iloc[2:]):
        assert scored(made, other) < 100  # the same file in another order


def test_short_texts_are_scored_and_long_ones_known(tmp_path):
    draw = np.random.default_rng(0)

    def messages(seed):
        other = np.random.default_rng(seed)
        long = [f"order {i} of shop {other.integers(10**6)} has not come" for i in range(150)]
        texts = [*long, *draw.choice(["ok", "thanks", "no"], 50)]
        return pd.DataFrame({"text": texts, "label": draw.choice(["a", "b"], 200)})

    march = messages(1)
    made = hs.finetune(
        hs.load(march, text="text"), start="scratch/tfidf", out=str(tmp_path / "run"), device="cpu"
    )
    april = messages(2)
    assert scored(made, april) == 200
    april.iloc[:20, 0] = march.text.iloc[:20].str.upper()
    assert 180 <= scored(made, april) < 200


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for label in ("cat", "dog", "owl"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(12):
            pixels = draw.integers(0, 255, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{i}.png")
    return tmp_path / "photos"


def test_photos_under_other_names_are_known(photos, tmp_path):
    made = hs.finetune(hs.load(photos), out=str(tmp_path / "run"), **CNN)
    for path in sorted(photos.rglob("*.png")):
        target = tmp_path / "renamed" / path.parent.name / f"IMG_{900 - int(path.stem)}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert scored(made, str(tmp_path / "renamed")) == made.metrics["test"]["num_items"]
    record = json.loads((made.path / "data.json").read_text())
    assert set(record["split_contents"]) == {"train", "val", "test"}


def test_what_has_changed_is_named_with_the_way_on(photos, tmp_path):
    made = hs.finetune(hs.load(photos), out=str(tmp_path / "run"), **CNN)
    shutil.move(photos / "owl", tmp_path / "owl")
    with pytest.raises(
        DataError, match=r"class 'owl' is gone.*12 samples are gone.*headstart evaluate"
    ):
        hs.evaluate(str(made.path))
    assert 0 < scored(made, str(photos)) < 24  # the way on
    shutil.move(photos / "dog", tmp_path / "dog")
    with pytest.raises(DataError, match=r"cannot be loaded as it was.*'dog'.*gone"):
        hs.evaluate(str(made.path))
    shutil.move(tmp_path / "dog", photos / "dog")
    shutil.move(tmp_path / "owl", photos / "owl")
    shutil.move(photos, tmp_path / "Photos")
    with pytest.raises(
        DataError, match=r"no longer at .*There is 'Photos': the case.*evaluate .* DATA"
    ):
        hs.evaluate(str(made.path))
    assert scored(made, str(tmp_path / "Photos")) == made.metrics["test"]["num_items"]


@pytest.mark.parametrize("name", ["PHOTOS", "photos/CAT"])
def test_another_case_of_a_name_is_said(photos, tmp_path, name):
    made = hs.finetune(hs.load(photos), out=str(tmp_path / "run"), **CNN)
    with pytest.raises(DataError, match=r"does not exist.*the case of its name differs"):
        hs.evaluate(str(made.path), str(tmp_path / name))


def test_another_case_of_a_known_name_is_said(tmp_path):
    made = hs.finetune(hs.load("digits-8x8"), out=str(tmp_path / "run"), **CNN)
    with pytest.raises(DataError, match=r"'digits-8x8': the case of its name differs"):
        hs.evaluate(str(made.path), "DIGITS-8x8")


def test_an_unfinished_run_is_said_to_be_one(photos, tmp_path):
    made = hs.finetune(hs.load(photos), out=str(tmp_path / "run"), **CNN)
    (made.path / "metrics.json").unlink()
    (made.path / "data.json").unlink()
    for data in (None, str(photos)):
        with pytest.raises(RunFolderError, match=r"is unfinished .*--resume"):
            hs.evaluate(str(made.path), data)


def test_predict_says_that_no_figure_stands_for_an_unfinished_run(photos, tmp_path, capsys):
    made = hs.finetune(hs.load(photos), out=str(tmp_path / "run"), **CNN)
    picture = str(next(photos.rglob("*.*")))
    hs.predict(str(made.path), [picture])
    assert "is unfinished" not in capsys.readouterr().err
    (made.path / "metrics.json").unlink()
    assert main(["predict", str(made.path), picture]) == 0
    heard = capsys.readouterr().err
    assert "is unfinished: its model answers, but no figure" in heard
    assert heard.splitlines()[-1] == f"next: headstart watch {made.path}"
