"""Images with captions in the forms that people have them: one sample an image."""

import json

import pandas as pd
import pytest
from small_captions import pictures, write_flickr, write_pictures

from headstart.data import load
from headstart.errors import DataError, OptionError


def held(data):
    """Return the captions of each image of all splits, by its name."""
    found = {}
    for split in (data.train, data.val, data.test):
        names = [split.samples.name(i) for i in range(len(split))]
        for name, told in zip(names, split.targets, strict=True):
            assert name not in found
            found[name.rpartition("/")[2]] = told.texts
    return found


EXPECTED = {f"{i:03d}.png": captions for i, (_, captions) in enumerate(pictures(30))}


def as_table(folder):
    rows = write_pictures(folder, 30)
    pd.DataFrame(rows, columns=["file_name", "caption"]).to_csv(folder / "set.csv", index=False)
    return folder / "set.csv"


def as_lists(folder):
    rows = write_pictures(folder, 30)
    frame = pd.DataFrame(rows, columns=["image", "captions"])
    lists = frame.groupby("image", as_index=False).agg(list)
    lists.to_json(folder / "set.jsonl", orient="records", lines=True)
    return folder / "set.jsonl"


def as_numbered(folder):
    rows = write_pictures(folder, 30)
    lines = [f"{name}#{i % 2}\t{caption}" for i, (name, caption) in enumerate(rows)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines))
    return folder


def as_metadata(folder):
    rows = write_pictures(folder, 30)
    lines = [json.dumps({"file_name": name, "text": caption}) for name, caption in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def as_coco(folder):
    rows = write_pictures(folder / "images", 30)
    names = sorted({name for name, _ in rows})
    told = [
        {"id": i, "image_id": names.index(name), "caption": caption}
        for i, (name, caption) in enumerate(rows)
    ]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    (folder / "annotations").mkdir()
    record = json.dumps({"images": images, "annotations": told})
    (folder / "annotations" / "captions_train2017.json").write_text(record)
    return folder


FORMS = [lambda f: write_flickr(f, 30), as_table, as_lists, as_numbered, as_metadata, as_coco]
NAMES = ["captions.txt", "csv", "lists", "token.txt", "metadata.jsonl", "coco"]


@pytest.mark.parametrize("written", FORMS, ids=NAMES)
def test_all_captions_of_an_image_are_one_sample(tmp_path, written):
    data = load(str(written(tmp_path)))
    assert (data.schema.modality, data.schema.task) == ("image", "retrieval")
    assert held(data) == EXPECTED
    assert any("60 of 30 images" in note for note in data.notes)


def test_columns_of_other_names_are_said(tmp_path):
    path = as_table(tmp_path)
    frame = pd.read_csv(path).rename(columns={"file_name": "where", "caption": "note"})
    frame.to_csv(path, index=False)
    assert held(load(str(path), image_column="where", text="note")) == EXPECTED
    assert held(load(str(path), task="retrieval", text="note")) == EXPECTED
    again = load(str(path), image_column="where", text="note")
    assert load(**again.source).fingerprint == again.fingerprint


def test_a_comma_that_nobody_has_quoted_is_one_of_the_caption(tmp_path):
    folder = write_flickr(tmp_path, 30)
    text = (folder / "captions.txt").read_text().replace("red above blue", "red, above blue")
    (folder / "captions.txt").write_text(text)
    assert ("red, above blue" in str(held(load(str(folder))))) is ("red, above blue" in text)
    assert "red, above blue" in text


def test_an_image_that_is_not_there_is_left_out_and_named(tmp_path):
    folder = write_flickr(tmp_path, 60)
    (folder / "Images" / "007.png").unlink()
    data = load(str(folder), max_bad_fraction=0.1)
    assert [bad.name.endswith("007.png") for bad in data.bad_samples] == [True]
    assert len(held(data)) == 59


def test_a_label_beside_a_caption_is_what_is_learned(tmp_path):
    path = as_table(tmp_path)
    frame = pd.read_csv(path).drop_duplicates("file_name")
    frame["label"] = [("a", "b")[i % 2] for i in range(len(frame))]
    frame.to_csv(path, index=False)
    assert load(str(path), image_column="file_name").schema.task == "classification"


def test_bad_captions_are_refused_by_their_row_and_the_advice_is_followed(tmp_path, heard):
    path = as_table(tmp_path)
    whole = pd.read_csv(path)
    for column, said in (("caption", "holds no caption in row 3"), ("file_name", "empty in row 3")):
        broken = whole.copy()
        broken.loc[2, column] = None
        broken.to_csv(path, index=False)
        with pytest.raises(DataError, match=said) as caught:
            load(str(path))
        broken.drop(index=2).to_csv(path, index=False)
        assert len(held(load(str(path)))) == 30
        heard(caught.value)
    same = whole.assign(caption="a picture", note=whole["caption"])
    same.to_csv(path, index=False)
    with pytest.raises(DataError, match="one and the same caption for every image") as caught:
        load(str(path))
    assert held(load(str(path), image_column="file_name", text="note")) == EXPECTED
    heard(caught.value)


def test_columns_that_contradict_are_refused_and_the_advice_is_followed(tmp_path, heard):
    path = as_table(tmp_path)
    frame = pd.read_csv(path)
    frame.assign(label=[("a", "b")[i % 2] for i in range(len(frame))]).to_csv(path, index=False)
    said = {"image_column": "file_name", "text": "caption"}
    with pytest.raises(OptionError, match="contradict each other where") as caught:
        load(str(path), **said)
    assert held(load(str(path), **said, task="retrieval")) == EXPECTED
    heard(caught.value)
    with pytest.raises(OptionError, match="or images with captions, which have no label") as caught:
        load(str(path), **said, label="label")
    assert load(str(path), image_column="file_name", label="label").schema.classes == ("a", "b")
    heard(caught.value)
    frame.rename(columns={"caption": "note"}).to_csv(path, index=False)
    with pytest.raises(OptionError, match="has no column of images with one") as caught:
        load(str(path), task="retrieval", text="caption")
    assert held(load(str(path), image_column="file_name", text="note")) == EXPECTED
    heard(caught.value)
    frame.assign(place=range(len(frame))).to_csv(path, index=False)
    with pytest.raises(DataError, match="Columns beside images") as caught:
        load(str(path), beside=["place"], image_column="file_name", text="caption")
    heard(caught.value)
    heard(load(str(path)).notes[0])


def test_a_caption_of_an_image_that_is_not_listed_is_refused(tmp_path, heard):
    folder = as_coco(tmp_path)
    path = folder / "annotations" / "captions_train2017.json"
    record = json.loads(path.read_text())
    left, *record["images"] = record["images"]
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="which 'images' does not list") as caught:
        load(str(folder))
    record["images"].insert(0, left)
    path.write_text(json.dumps(record))
    assert held(load(str(folder))) == EXPECTED
    heard(caught.value)


def test_files_of_which_some_have_no_captions_are_refused(tmp_path, heard):
    rows = write_pictures(tmp_path, 30)
    frame = pd.DataFrame(rows, columns=["image", "caption"])
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[["image"]].assign(label="a").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"with captions and test\.csv holds") as caught:
        load(str(tmp_path))
    (tmp_path / "test.csv").unlink()
    assert held(load(str(tmp_path))) == EXPECTED
    heard(caught.value)


@pytest.mark.parametrize("column", ["split", "subset"])
def test_an_image_in_two_given_splits_is_refused_and_the_advice_is_followed(
    tmp_path, heard, column
):
    path = as_table(tmp_path)
    frame = pd.read_csv(path)
    images = frame["file_name"].unique().tolist()
    sides = [("train", "test")[images.index(name) >= 20] for name in frame["file_name"]]
    torn = frame.assign(**{column: [*sides[:-1], "train"]})
    torn.to_csv(path, index=False)
    with pytest.raises(DataError, match="puts one image on two sides: 'test' in row 59") as caught:
        load(str(path))
    assert held(load(str(path), drop=column)) == EXPECTED
    heard(caught.value)
    frame.assign(**{column: sides}).to_csv(path, index=False)
    assert len(load(str(path)).test) == 10
