"""Copies stay on one side of a split that is drawn, are told where the data tears them, and are not
confused with rows and texts that are alike by chance."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data import load


def tickets(number, seed=0):
    draw = np.random.default_rng(seed)
    texts = [
        f"ticket {i} of shop {draw.integers(999)} from day {draw.integers(999)}"
        for i in range(number)
    ]
    return pd.DataFrame({"text": texts, "label": draw.choice(["a", "b"], number)})


def rows(number, seed=0):
    draw = np.random.default_rng(seed)
    columns = {name: draw.normal(size=number).round(3) for name in "xyz"}
    return pd.DataFrame({**columns, "label": draw.choice(["a", "b"], number)})


def sides(data):
    return {name: set(data.split(name).contents.tolist()) for name in ("train", "val", "test")}


def stay_together(data):
    found = sides(data)
    return not (
        found["train"] & found["test"]
        or found["train"] & found["val"]
        or found["val"] & found["test"]
    )


def found_of(data, kind):
    return [found for found in data.findings if found.kind == kind]


def make_photos(folder, number, draw):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(number):
            Image.fromarray(draw.integers(0, 255, (12, 12, 3), np.uint8)).save(
                folder / label / f"{i}.png"
            )


def case_blanks(tmp_path):
    frame = tickets(60)
    again = frame.assign(text=frame.text.str.upper().str.replace(" ", "  "))
    return pd.concat([frame, again])


def case_ids(tmp_path):
    frame = pd.concat([rows(60)] * 3)
    return frame.assign(id=np.arange(len(frame)))


def case_photos(tmp_path):
    make_photos(tmp_path / "photos", 30, np.random.default_rng(0))
    for path in sorted((tmp_path / "photos").rglob("*.png")):
        (path.parent / f"copy of {path.name}").write_bytes(path.read_bytes())
    return tmp_path / "photos"


def case_arrays(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (50, 8, 8), np.uint8)
    return np.concatenate([images] * 2), np.arange(100) % 50 % 2


def case_numbers(tmp_path):
    frame = pd.concat([rows(100)] * 2).sample(frac=1, random_state=0)
    return frame.drop(columns="label").assign(label=(frame.x * frame.y - frame.z).round(4))


@pytest.mark.parametrize("make", [case_blanks, case_ids, case_photos, case_arrays, case_numbers])
def test_copies_stay_on_one_side_and_are_counted(make, tmp_path):
    data = load(make(tmp_path))
    assert stay_together(data)
    total = len(data.train) + len(data.val) + len(data.test)
    assert 0.15 < len(data.test) / total < 0.25
    assert 0.08 < len(data.val) / total < 0.17
    told = found_of(data, "copies")
    assert len(told) == 1
    assert "of another" in told[0].sentence
    assert told[0].items
    assert not found_of(data, "leak")


def test_a_split_without_copies_is_the_one_it_was():
    data = load(tickets(100))
    assert not found_of(data, "copies")
    assert stay_together(data)


def test_copies_join_the_groups_of_the_user():
    frame = rows(80).assign(patient=[f"p{i // 4}" for i in range(80)])
    frame = pd.concat([frame, frame.iloc[:8].assign(patient="p19")])
    data = load(frame, group="patient")
    assert stay_together(data)


def narrow(seed=0, number=300):
    draw = np.random.default_rng(seed)
    sex, plan = draw.choice(["m", "f"], number), draw.choice(["x", "y", "z"], number)
    town = draw.choice(["Ulm", "Bonn"], number)
    code = np.where(town == "Ulm", "89073", "53111")  # the same in other words
    return pd.DataFrame(
        {
            "sex": sex,
            "plan": plan,
            "town": town,
            "code": code,
            "label": draw.choice(["a", "b"], number),
        }
    )


def dependent(number=600):
    """People of few kinds, whose columns depend on one another."""
    draw = np.random.default_rng(0)
    kind = draw.integers(0, 3, number)
    fare = np.round(np.array([8.0, 20.0, 60.0])[kind] + draw.integers(0, 4, number) / 4, 2)
    age = np.where(draw.random(number) < 0.3, np.nan, draw.integers(20, 50, number))
    port = np.where(draw.random(number) < 0.8, np.array(["S", "C", "Q"])[kind], "S")
    return pd.DataFrame(
        {
            "kind": kind,
            "fare": fare,
            "age": age,
            "port": port,
            "label": draw.choice(["a", "b"], number),
        }
    )


def one_column(number=200):
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"sex": draw.choice(["m", "f"], number), "label": draw.choice(["a", "b"], number)}
    )


@pytest.mark.parametrize("make", [narrow, dependent, one_column])
def test_rows_of_few_categories_are_no_copies(make):
    data = load(make())
    assert data.alike_by_chance
    assert "as many as chance makes" in found_of(data, "copies")[0].sentence
    counts = {name: len(data.split(name)) for name in ("train", "val", "test")}
    assert counts["test"] == pytest.approx(0.2 * sum(counts.values()), abs=2)


def test_short_texts_are_written_again_and_long_ones_are_copied():
    draw = np.random.default_rng(0)
    short = draw.choice(["ok", "thanks", "great app", "no"], 300)
    long = tickets(60)
    frame = pd.DataFrame(
        {"text": [*short, *long.text, *long.text], "label": draw.choice(["a", "b"], 420)}
    )
    told = found_of(load(frame, text="text"), "copies")
    assert told[0].sentence.startswith("60 of 420 texts")


def test_data_that_tears_copies_apart_is_told_and_the_advice_helps(tmp_path):
    train, test = rows(100), rows(30, seed=1)
    test = pd.concat([test, train.iloc[:10]])
    train.to_csv(tmp_path / "train.csv", index=False)
    test.to_csv(tmp_path / "test.csv", index=False)
    leaks = found_of(load(tmp_path), "leak")
    assert any("test rows are also in train" in leak.sentence for leak in leaks)
    assert {leak.severity for leak in leaks} == {"error"}
    assert sum(len(leak.items) for leak in leaks) == 10
    assert "test.csv row 31" in str([leak.items for leak in leaks])
    both = load(pd.concat([train, test]))  # together, without marks
    assert not found_of(both, "leak")
    assert stay_together(both)
    test.iloc[:30].to_csv(tmp_path / "test.csv", index=False)  # removed from test
    assert not found_of(load(tmp_path), "leak")


@pytest.mark.parametrize("how", ["photos", "column", "val"])
def test_the_same_sample_on_both_sides_is_a_leak_in_every_form(how, tmp_path):
    if how == "photos":
        make_photos(tmp_path / "d" / "train", 20, np.random.default_rng(0))
        make_photos(tmp_path / "d" / "test", 8, np.random.default_rng(1))
        copied = (tmp_path / "d" / "train" / "cat" / "3.png").read_bytes()
        (tmp_path / "d" / "test" / "cat" / "other name.png").write_bytes(copied)
        data = load(tmp_path / "d")
    else:
        held = "val" if how == "val" else "test"
        frame = tickets(90).assign(split=["train"] * 70 + [held] * 20)
        data = load(pd.concat([frame, frame.iloc[:3].assign(split=held)]))
    told = found_of(data, "leak")
    assert told
    assert "also in train" in told[0].sentence or "also in val" in told[0].sentence


def test_the_same_sample_with_two_labels_is_said(tmp_path):
    frame = tickets(60)
    other = frame.iloc[:5].assign(label=np.where(frame.label.iloc[:5] == "a", "b", "a"))
    told = found_of(load(pd.concat([frame, other])), "contradiction")
    assert "several labels, 5 times" in told[0].sentence
    assert "1 and row 61: '" in told[0].sentence
    make_photos(tmp_path / "photos", 20, np.random.default_rng(0))
    (tmp_path / "photos/cat/x.png").write_bytes((tmp_path / "photos/dog/1.png").read_bytes())
    assert len(found_of(load(tmp_path / "photos"), "contradiction")) == 1
    assert not found_of(load(pd.concat([frame] * 2)), "contradiction")


def test_a_class_of_one_picture_is_tested_all_the_same_and_said_to_leak():
    images = np.zeros((60, 8, 8), np.uint8)
    images[30:] = np.random.default_rng(0).integers(0, 255, (30, 8, 8))
    data = load((images, np.arange(60) // 30))
    assert (data.test.targets == 0).any()
    assert (data.train.targets == 0).any()
    assert "too few different images" in found_of(data, "leak")[0].sentence


@pytest.mark.parametrize("times", [2, 3, 4, 5])
@pytest.mark.parametrize("num_columns", [2, 3, 6])
def test_a_table_that_stands_several_times_in_itself_is_full_of_copies(times, num_columns):
    x = np.random.default_rng(times).normal(size=(40, num_columns))
    rows = pd.DataFrame(np.vstack([x] * times), columns=[f"c{i}" for i in range(num_columns)])
    rows["label"] = ["u", "v"] * (20 * times)
    data = load(rows)
    (copies,) = [f.sentence for f in data.findings if f.kind == "copies"]
    assert "are copies of another row" in copies
    sides = [set(split.contents.tolist()) for split in (data.train, data.val, data.test)]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
