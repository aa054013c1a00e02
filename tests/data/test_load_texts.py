"""Texts: which column they are in, every file layout, encodings, and texts that cannot be used."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headstart.data import load
from headstart.data.roles import prose_kind
from headstart.data.sources import folder_tree
from headstart.errors import DataError, OptionError
from headstart.preprocessing import rows as rows_module

NUM_ROWS = 40
WORDS = ["plot", "actor", "scene", "music", "camera", "ending", "story", "pace"]
HAN = "这家酒店的房间非常干净服务员态度很好早餐丰富位置方便下次还会再来"


def review(i):
    return f"the {WORDS[i % 8]} of film number {i} was rather {'good' if i % 2 else 'bad'} to me"


def chinese(i):
    return f"{HAN[i % 9 :]}{HAN[: i % 7]}第{i}次"


def frame(text=review, **columns):
    labels = ["pos" if i % 2 else "neg" for i in range(NUM_ROWS)]
    texts = [text(i) for i in range(NUM_ROWS)]
    return pd.DataFrame({"id": range(NUM_ROWS), "review": texts, "label": labels, **columns})


def write(folder, table, kind="csv", encoding="utf-8"):
    path = folder / f"reviews.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind.startswith("jsonl"):
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in table.to_dict("records"))
        path.write_bytes(gzip.compress(lines.encode()) if kind.endswith("gz") else lines.encode())
    else:
        sep = "\t" if kind.startswith("tsv") else ","
        table.to_csv(path, index=False, sep=sep, encoding=encoding)
    return path


def contents(data):
    """Return {text: class} over all splits."""
    return {
        split.samples.read(i): data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


def expected(table, column="review"):
    return dict(zip(table[column], table["label"], strict=True))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet"])
@pytest.mark.parametrize("text", [review, chinese])
def test_load_finds_the_text_column_of_every_kind_of_file(tmp_path, kind, text):
    table = frame(text)
    data = load(write(tmp_path, table, kind))
    assert contents(data) == expected(table)
    assert (data.schema.modality, data.schema.task) == ("text", "classification")
    assert (data.image_size, data.image_channels, data.column_kinds) == (None, None, None)
    assert data.notes[:2] == (
        "Texts come from column 'review'.",
        "Columns that are not used: 'id'.",
    )
    assert load(**data.source).fingerprint == data.fingerprint
    assert json.loads(json.dumps(data.source)) == data.source


def test_load_gives_texts_the_same_identity_in_every_form(tmp_path):
    table = frame(chinese)
    data = load(table)
    assert load(pa.Table.from_pandas(table)).fingerprint == data.fingerprint
    assert load(write(tmp_path, table)).fingerprint == data.fingerprint
    assert np.array_equal(load(table).train.ids, data.train.ids)
    changed = table.assign(review=[*table["review"][:-1], "一句完全不同的话在这里写着不一样的内容"])
    assert load(changed).fingerprint != data.fingerprint


def test_load_reads_texts_with_targets_beside_them():
    table = frame()
    data = load((table["review"].tolist(), table["label"].tolist()))
    assert contents(data) == expected(table)
    assert data.train.samples.name(0).startswith("X[")
    same = load((table["review"].to_numpy(), table["label"].to_numpy()))
    assert same.fingerprint == data.fingerprint
    assert load((table["review"], table["label"])).fingerprint == data.fingerprint
    short = load((["ja", "nee"] * 10, [1, 0] * 10))
    assert short.schema.modality == "text"
    with pytest.raises(DataError, match="X has 2 texts and y 3 targets"):
        load((["a", "b"], [0, 1, 0]))


def test_load_names_the_text_column_when_told(tmp_path):
    table = frame(title=[f"title {review(i)}" for i in range(NUM_ROWS)])
    path = write(tmp_path, table)
    with pytest.raises(DataError) as caught:
        load(path)
    assert "2 columns that could hold the texts ('review', 'title'). Name one" in str(caught.value)
    data = load(path, text="title")
    assert contents(data) == expected(table, "title")
    assert data.source["text"] == "title"
    assert load(path, drop=["title"]).notes[0] == "Texts come from column 'review'."
    with pytest.raises(DataError, match=r"'titel' is missing .* Did you mean 'title'.* --text rev"):
        load(path, text="titel")
    with pytest.raises(OptionError, match="contradict each other"):
        load(path, text="title", image_column="id")
    with pytest.raises(OptionError, match="--numeric id cannot be used: the inputs are not a tab"):
        load(path, text="title", numeric="id")


def test_load_asks_whether_long_texts_beside_many_columns_are_a_table():
    more = {name: [i % 5 for i in range(NUM_ROWS)] for name in ("stars", "age", "visits")}
    long = [review(i) * 3 for i in range(NUM_ROWS)]
    with pytest.raises(DataError) as caught:
        load(frame(review=long, **more))
    message = str(caught.value)
    assert "can be read as texts (column 'review') or as a table (columns 'stars', 'age'" in message
    assert message.endswith(
        "Say which: --text review, --drop review for the table without it, or --text review "
        "--beside all for both together."
    )
    assert load(frame(review=long, **more), text="review").schema.modality == "text"
    table = load(frame(review=long, **more), drop="review")
    assert table.schema.modality == "table"
    assert "review" not in table.column_kinds


def test_load_takes_a_lone_column_of_different_words_as_texts():
    names = [f"{WORDS[i % 8]}{i}" for i in range(NUM_ROWS)]
    data = load(frame(review=names).drop(columns="id"))
    assert data.schema.modality == "text"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([review(i) for i in range(20)], "long"),
        ([f"{chinese(i)}{HAN}" for i in range(20)], "long"),
        ([f"{i}{chinese(i)[:14]}" for i in range(20)], "short"),
        ([f"ขอบคุณมากครับสำหรับบริการที่ดีเยี่ยมครั้งที่{i}" for i in range(20)], "short"),
        ([f"Braund, Mr. Owen Harris {i}" for i in range(20)], "short"),
        ([f"https://example.org/a/very/long/path/number/{i}.html" for i in range(20)], ""),
        ([f"{i:064x}" for i in range(20)], ""),
        (["a sentence that is long but always the very same"] * 20, ""),
        ([f"red {i}" for i in range(20)], ""),
        ([1.5, 2.5], ""),
        ([None, "", float("nan")], ""),
    ],
    ids=[
        *("english", "chinese", "chinese short", "thai", "names", "links", "hashes"),
        *("repeated", "words", "numbers", "nothing"),
    ],
)
def test_prose_kind_tells_texts_from_words_links_and_codes(values, kind):
    assert prose_kind(values) == kind


def test_load_reads_a_folder_of_text_files_per_class(tmp_path):
    for split in ("train", "test"):
        for label in ("neg", "pos", "unsup") if split == "train" else ("neg", "pos"):
            folder = tmp_path / "imdb" / split / label
            folder.mkdir(parents=True)
            for i in range(12):
                (folder / f"{i}_7.txt").write_text(f"\ufeff{label} {split} {chinese(i)}", "utf-8")
    (tmp_path / "imdb" / "train" / "urls.txt").write_text("x")
    (tmp_path / "imdb" / "train" / "neg" / "a.feat").write_text("x")
    data = load(tmp_path / "imdb")
    assert data.schema.classes == ("neg", "pos")
    assert (data.schema.modality, data.schema.label) == ("text", None)
    assert [len(split) for split in (data.train, data.val, data.test)] == [20, 4, 24]
    assert data.test.samples.name(0) == "test/neg/0_7.txt"
    assert data.test.samples.read(0) == f"neg test {chinese(0)}"
    assert "Skipped folders of samples without a label: 'unsup'." in data.notes
    assert "Skipped files that are not texts by their name: 1 .feat." in data.notes
    assert load(**data.source).fingerprint == data.fingerprint
    with pytest.raises(OptionError, match=r"the class folders of .* give one class a sample"):
        load(tmp_path / "imdb", task="regression")


def test_load_looks_into_each_folder_of_texts_once(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(12):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} is what number {i} says")
    looked = []

    def look(folder, read=folder_tree._contents):
        looked.append(folder)
        return read(folder)

    monkeypatch.setattr(folder_tree, "_contents", look)
    assert load(tmp_path).schema.modality == "text"
    assert sorted(looked) == [tmp_path, tmp_path / "a", tmp_path / "b"]


def test_load_reads_files_named_train_dev_and_test(tmp_path):
    for name, number in (("train", 20), ("dev", 6), ("test", 8)):
        lines = [f'{review(i)} "{name}\t{i % 2}' for i in range(number)]  # a stray quote stays
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    data = load(tmp_path, header=["sentence", "label"])
    assert [len(split) for split in (data.train, data.val, data.test)] == [20, 6, 8]
    assert data.val.samples.read(1) == f'{review(1)} "dev'
    assert data.test.samples.name(7) == "test.tsv row 8"
    assert data.source["header"] == ["sentence", "label"]
    assert load(**data.source).fingerprint == data.fingerprint
    with pytest.raises(DataError, match="If the first row is data and no header, name all columns"):
        load(tmp_path)


def spoiled():
    table = frame()
    bad = {3: "", 4: None, 5: "  \n", 6: "a\0b", 7: "half \ud800"}
    values = [bad.get(i, text) for i, text in enumerate(table["review"])]
    table["review"] = pd.Series(values, dtype=object)
    return table


def test_load_lists_texts_that_cannot_be_used():
    data = load(spoiled(), max_bad_fraction=0.2)
    assert [(bad.name, bad.reason) for bad in data.bad_samples] == [
        ("row 4", "the text is empty"),
        ("row 5", "the text is missing (NaN)"),
        ("row 6", "the text is empty"),
        ("row 7", "the text holds a NUL character (position 1)"),
        ("row 8", "the text holds half a surrogate pair (position 5)"),
    ]
    assert len(contents(data)) == NUM_ROWS - 5
    assert any(note.startswith("5 of 40 texts left out: row 4: ") for note in data.notes)
    with pytest.raises(DataError, match=r"5 of 40 texts of DataFrame \(12.5%\) cannot be used"):
        load(spoiled())


def test_load_lists_cells_that_are_no_texts():
    table = frame()
    table["review"] = table["review"].astype(object)
    table.loc[9, "review"] = 3.5
    data = load(table, text="review", max_bad_fraction=0.1)
    assert data.bad_samples[0].reason == "it is a float, not a text"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_load_keeps_a_text_of_ten_megabytes(tmp_path, kind):
    huge = "много " * 900_000  # 10 MB in UTF-8
    table = frame()
    table.loc[11, "review"] = huge
    data = load(write(tmp_path, table, kind), text="review")
    assert huge in contents(data)
    assert not data.bad_samples


def test_load_leaves_out_a_text_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(rows_module, "MAX_TEXT_BYTES", 2**20)
    table = frame()
    table.loc[11, "review"] = "x y " * 2**19
    data = load(table, max_bad_fraction=0.1)
    assert data.bad_samples[0].reason == "the text has 2.1 MB, the limit is 1.0 MB"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_load_reads_utf8_with_and_without_byte_order_mark(tmp_path, encoding):
    table = frame(chinese).drop(columns="id")  # the mark stands before the first name
    data = load(write(tmp_path, table, encoding=encoding))
    assert contents(data) == expected(table)


def test_load_refuses_gb18030_until_it_is_named(tmp_path):
    table = frame(chinese)
    path = write(tmp_path, table, encoding="gb18030")
    first = path.read_bytes().index(chinese(0).encode("gb18030"))
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert f"reviews.csv is not UTF-8: byte {first:,} (0xd5), line 2." in message
    assert "for example --encoding gb18030, or convert the file to UTF-8" in message
    data = load(path, encoding="gb18030")
    assert contents(data) == expected(table)
    assert data.source["encoding"] == "gb18030"


def test_load_refuses_latin_1_and_utf_16_with_their_place(tmp_path):
    table = frame(lambda i: f"{review(i)} in the café über" if i == 20 else review(i))
    path = write(tmp_path, table, encoding="latin-1")
    with pytest.raises(DataError, match=r"\(0xe9\), line 22. .*--encoding cp1252, or conv"):
        load(path)
    assert contents(load(path, encoding="latin-1")) == expected(table)
    path = write(tmp_path, table, encoding="utf-16")
    with pytest.raises(DataError, match=r"looks like UTF-16. Say --encoding utf-16"):
        load(path)
    assert contents(load(path, encoding="utf-16")) == expected(table)
    with pytest.raises(DataError, match=r"is not shift_jis: byte .*Say another --encoding"):
        load(path, encoding="shift_jis")


def test_load_refuses_an_unknown_encoding(tmp_path):
    with pytest.raises(OptionError, match=r"encoding is 'gb18003', .* Did you mean 'gb18030'\?"):
        load(tmp_path, encoding="gb18003")
    with pytest.raises(OptionError, match="--encoding gb18030 cannot be used: data in memory"):
        load(frame(), encoding="gb18030")


def test_load_reads_text_file_folders_in_other_encodings(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(6):
            (tmp_path / label / f"{i}.txt").write_bytes(chinese(i).encode("gb18030"))
    with pytest.raises(DataError, match=r"a/0.txt is not UTF-8: byte 0 \(0x"):
        load(tmp_path)
    data = load(tmp_path, encoding="gb18030")
    assert {data.train.samples.read(i) for i in range(len(data.train))} <= {
        chinese(i) for i in range(6)
    }


def test_load_keeps_groups_of_texts_on_one_side():
    table = frame(author=[f"a{i // 4}" for i in range(NUM_ROWS)])
    data = load(table, group="author")
    sides = [
        {table["author"][int(part.samples.name(i)[4:]) - 1] for i in range(len(part))}
        for part in (data.train, data.val, data.test)
    ]
    assert sum(map(len, sides)) == NUM_ROWS // 4


def test_text_samples_stay_whole_when_taken():
    samples = rows_module.TextSamples(["a", "b", "c"], ["1", "2", "3"]).take(np.array([2, 0]))
    assert (len(samples), samples.read(0), samples.name(1)) == (2, "c", "1")
