"""Tables with an image column: files, split files, DataFrames, pyarrow Tables."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import load
from headstart.data.sources import samples as samples_module
from headstart.errors import DataError, OptionError

RNG = np.random.default_rng(0)
NUM_ROWS = 24


@pytest.fixture
def pngs(encode):
    return [encode(RNG.integers(0, 256, (6, 7, 3), np.uint8)) for _ in range(NUM_ROWS)]


@pytest.fixture
def folder(tmp_path, pngs):
    """Return a folder with images/0.png …, the other half of every table here."""
    (tmp_path / "images").mkdir()
    for i, data in enumerate(pngs):
        (tmp_path / "images" / f"{i}.png").write_bytes(data)
    return tmp_path


def rows(**columns):
    return {
        "image": [f"images/{i}.png" for i in range(NUM_ROWS)],
        "label": ["cat", "dog"] * (NUM_ROWS // 2),
        **columns,
    }


def write(folder, table, kind="csv", name="data"):
    path = folder / f"{name}.{kind}"
    frame = pd.DataFrame(table)
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        lines = [json.dumps(row) for row in frame.to_dict("records")]
        path.write_text("\n".join(lines))
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


def contents(data):
    """Return {content: class} over all splits."""
    return {
        split.samples.read(i): data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_load_reads_a_table_of_paths(folder, pngs, kind):
    data = load(write(folder, rows(note="hello"), kind))
    assert contents(data) == dict(zip(pngs, rows()["label"], strict=True))
    assert data.schema.label == "label"
    assert data.train.samples.name(0).startswith("images/")
    assert load(**data.source).fingerprint == data.fingerprint


def huggingface(pngs, names=None, **columns):
    image = pa.array(
        [{"bytes": png, "path": f"{i}.png"} for i, png in enumerate(pngs)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": image, **columns})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    return table


def test_load_reads_a_hugging_face_parquet_row_group_by_row_group(tmp_path, pngs, monkeypatch):
    table = huggingface(pngs, ["cat", "dog"], label=[0, 1] * (NUM_ROWS // 2))
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=5)
    monkeypatch.setattr(samples_module, "ROW_GROUP_CACHE_BYTES", 1500)
    data = load(tmp_path / "data.parquet")
    assert contents(data) == dict(zip(pngs, rows()["label"], strict=True))
    assert pngs[int(data.train.samples.name(3)[:-4])] == data.train.samples.read(3)
    parquet = data.train.samples.samples
    assert isinstance(parquet, samples_module.ParquetSamples)
    assert sum(group.nbytes for group in parquet._cache.values()) <= 1500


def test_load_reads_a_folder_of_split_files(tmp_path, pngs):
    labels = [7, 10] * (NUM_ROWS // 2)
    pq.write_table(
        huggingface(pngs[:10], label=labels[:10]), tmp_path / "train-00000-of-00002.parquet"
    )
    pq.write_table(
        huggingface(pngs[10:16], label=labels[10:16]), tmp_path / "train-00001-of-00002.parquet"
    )
    pq.write_table(huggingface(pngs[16:], label=labels[16:]), tmp_path / "test.parquet")
    data = load(tmp_path)
    assert data.schema.classes == ("7", "10")
    assert len(data.test) == 8
    assert {data.test.samples.read(i) for i in range(8)} == set(pngs[16:])
    assert data.split_origin["test"] == "one file a split"
    assert data.split_origin["val"].endswith("% of train, stratified, seed 0")


def test_load_names_integer_classes_by_the_column_that_names_them(tmp_path, pngs):
    names = ["zebra", "ant"] * (NUM_ROWS // 2)
    table = huggingface(pngs, label=[0, 1] * (NUM_ROWS // 2))
    pq.write_table(table.append_column("class", [names]), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    assert data.schema.classes == ("zebra", "ant")
    assert "Class names come from column 'class'." in data.notes
    names[0] = "ant"  # no longer one name for each number
    pq.write_table(table.append_column("class", [names]), tmp_path / "b.parquet")
    assert load(tmp_path / "b.parquet").schema.classes == ("0", "1")


def test_load_honours_a_split_column(folder):
    split = ["train"] * 16 + ["validation"] * 4 + ["test"] * 4
    data = load(write(folder, rows(split=split)))
    assert [len(part) for part in (data.train, data.val, data.test)] == [16, 4, 4]
    assert data.split_origin["test"] == "column 'split'"
    with pytest.raises(DataError, match=r"holds 'tset' in row 24 of data.csv; expected train, val"):
        load(write(folder, rows(split=[*split[:-1], "tset"])))


def test_load_keeps_groups_on_one_side(folder):
    group = [f"p{i // 4}" for i in range(NUM_ROWS)]
    data = load(write(folder, rows(patient=group)), group="patient")
    sides = [
        {group[int(part.samples.name(i).split("/")[1][:-4])] for i in range(len(part))}
        for part in (data.train, data.val, data.test)
    ]
    assert sum(map(len, sides)) == 6
    assert load(**data.source).fingerprint == data.fingerprint
    with pytest.raises(DataError, match=r"Column 'patient' is empty in row 3 of data.csv"):
        load(write(folder, rows(patient=["a", "b", None, *group[3:]])), group="patient")


def test_load_reads_a_dataframe(folder, pngs, monkeypatch):
    monkeypatch.chdir(folder)
    paths = load(pd.DataFrame(rows()))
    assert set(contents(paths)) == set(pngs)
    assert paths.source is None
    assert paths.name == "DataFrame"
    in_memory = load(pd.DataFrame(rows(image=pngs, label=[0.0, 1.0] * (NUM_ROWS // 2))))
    assert in_memory.schema.classes == ("0", "1")
    row = int(in_memory.train.samples.name(0).removeprefix("row "))
    assert pngs[row - 1] == in_memory.train.samples.read(0)
    assert set(contents(in_memory)) == set(pngs)


def test_load_reads_a_pyarrow_table(pngs):
    data = load(huggingface(pngs, ["cat", "dog"], label=[0, 1] * (NUM_ROWS // 2)))
    assert data.schema.classes == ("cat", "dog")
    assert set(contents(data)) == set(pngs)


def test_load_lists_missing_files_and_empty_cells(folder):
    table = rows()
    table["image"][3] = "images/none.png"
    table["image"][4] = None
    data = load(write(folder, table), max_bad_fraction=0.1)
    assert [(bad.name, bad.reason) for bad in data.bad_samples] == [
        ("images/none.png", "the image file is missing"),
        ("row 5", "the row holds no image"),
    ]
    with pytest.raises(
        DataError, match=r"2 of 24 images .* images/none.png: the image file is miss"
    ):
        load(write(folder, table))


def test_load_gives_a_path_listed_twice_two_ids(folder):
    table = rows()
    table["image"][2] = "images/0.png"
    data = load(write(folder, table))
    ids = np.concatenate([data.train.ids, data.val.ids, data.test.ids])
    assert len(np.unique(ids)) == NUM_ROWS
    assert ids.dtype == np.int64
    assert (ids >= 0).all()


def test_load_keeps_leading_zeros_and_text_classes_of_a_csv(folder):
    data = load(write(folder, rows(label=["01", "1"] * (NUM_ROWS // 2))))
    assert data.schema.classes == ("01", "1")


def test_load_says_the_label_column_is_missing(folder):
    table = rows()
    table = {"id": range(NUM_ROWS), "image": table["image"], "category": table["label"]}
    path = write(folder, table)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == (
        "Column 'label' is missing in data.csv (found: 'id', 'image', 'category'). "
        "Name the target column, for example --label category (label='category' of load)."
    )
    with pytest.raises(DataError, match="Did you mean 'category'"):
        load(path, label="categroy")
    assert load(path, label="category").schema.label == "category"


@pytest.mark.parametrize(("kind", "empty"), [("csv", ""), ("csv", "NaN"), ("parquet", None)])
def test_load_names_the_row_of_an_empty_label(folder, kind, empty):
    table = rows()
    table["label"][2] = table["label"][7] = empty
    with pytest.raises(DataError) as caught:
        load(write(folder, table, kind))
    assert str(caught.value).startswith(
        f"Column 'label' is empty or NaN in row 3 of data.{kind} and 1 more."
    )


def test_load_names_the_row_of_a_nan_label_in_a_dataframe(pngs):
    labels = [0.0, 1.0] * (NUM_ROWS // 2)
    for missing in (float("nan"), pd.NA, None, pd.NaT):
        frame = pd.DataFrame(
            {"image": pngs, "label": pd.Series([*labels[:-1], missing], dtype=object)}
        )
        with pytest.raises(DataError, match="empty or NaN in row 24 of the DataFrame"):
            load(frame)


def test_real_numbers_beside_images_are_seen_as_regression(folder):
    prices = [i + 0.5 for i in range(NUM_ROWS)]
    for kind in ("csv", "parquet"):
        data = load(write(folder, rows(label=prices), kind))
        assert data.schema.task == "regression"
        assert any("say --task classification otherwise" in note for note in data.notes)


def test_load_refuses_labels_that_are_no_classes(folder, pngs):
    with pytest.raises(DataError, match="DataFrame has one class only"):  # a list of one is one
        load(pd.DataFrame({"image": pngs, "label": [["a"]] * NUM_ROWS}))


def test_load_asks_for_the_image_column(folder):
    path = write(folder, rows(thumbnail=rows()["image"]))
    with pytest.raises(
        DataError,
        match=r"data.csv has 2 columns .* \('image', 'thumbnail'\). Name one, .*--image-co",
    ):
        load(path)
    assert len(load(path, image_column="thumbnail").train) > 0
    with pytest.raises(DataError, match=r"Column 'imgae' is missing .* Did you mean 'image'"):
        load(path, image_column="imgae")
    path = write(folder, {"words": ["a"] * NUM_ROWS, "label": rows()["label"]})
    with pytest.raises(
        DataError, match=r"has no column of image bytes or of paths .*'words', 'label'"
    ):
        load(path)


def test_load_refuses_damaged_tables(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty.csv is empty \(0 bytes\)"):
        load(tmp_path / "empty.csv")
    (tmp_path / "head.csv").write_text("image,label\n")
    with pytest.raises(DataError, match=r"head.csv has no rows"):
        load(tmp_path / "head.csv")
    (tmp_path / "ragged.csv").write_text("image,label\na.png,x\nb.png\n")
    with pytest.raises(DataError, match=r"ragged.csv cannot be read as CSV: .*correct the file"):
        load(tmp_path / "ragged.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad.parquet cannot be read as PARQUET"):
        load(tmp_path / "bad.parquet")
    (tmp_path / "bad.jsonl").write_text('{"image": ')
    with pytest.raises(DataError, match=r"bad.jsonl cannot be read as JSONL"):
        load(tmp_path / "bad.jsonl")


def test_load_refuses_a_row_group_that_is_too_large(tmp_path, pngs, monkeypatch):
    pq.write_table(huggingface(pngs, label=["a", "b"] * (NUM_ROWS // 2)), tmp_path / "a.parquet")
    monkeypatch.setattr(samples_module, "MAX_ROW_GROUP_BYTES", 100)
    with pytest.raises(DataError, match="at most 100 bytes are read at once"):
        load(tmp_path / "a.parquet")


def test_load_refuses_what_it_does_not_know():
    with pytest.raises(DataError, match="Data of type int cannot be read; expected a path, a name"):
        load(3)
    with pytest.raises(OptionError, match=r"--label y cannot be used: \(X, y\) arrays have no col"):
        load((np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1]), label="y")
