"""Containers and formats: JSON, sheets, statistics programs, Arrow, arrays, lines, archives."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from headstart.data import load
from headstart.errors import DataError

N = 40
TEXTS = [
    f"the {['soup', 'hotel', 'clerk'][i % 3]} was really quite good, day {i}" for i in range(N)
]
LABELS = [["neg", "pos"][i % 2] for i in range(N)]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})
WANTED = dict(zip(TEXTS, LABELS, strict=True))
RNG = np.random.default_rng(0)
NUMBERS = {f"x{i}": RNG.normal(size=N).round(4).tolist() for i in range(3)}


def truth(data):
    schema = data.schema
    return {
        part.samples.read(i): schema.classes[part.targets[i]]
        for part in (data.train, data.val, data.test)
        for i in range(len(part))
    }


def size(data):
    return len(data.train) + len(data.val) + len(data.test)


@pytest.mark.parametrize("orient", ["records", "columns", "split", "index", "table"])
def test_json_as_pandas_writes_it(tmp_path, orient):
    FRAME.to_json(tmp_path / "a.json", orient=orient)
    assert truth(load(tmp_path / "a.json")) == WANTED


@pytest.mark.parametrize(
    "value",
    [
        {"version": 1, "data": FRAME.to_dict("records")},
        FRAME.to_dict("list"),
        WANTED,
        [[text, label] for text, label in WANTED.items()],
        [FRAME[:30].to_dict("records"), FRAME[30:].to_dict("records")],
    ],
)
def test_json_of_other_forms(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert truth(load(tmp_path / "a.json")) == WANTED


def test_json_lines_whose_cells_are_of_several_kinds(tmp_path):
    rows = [
        {"text": t, "label": v, "meta": {"a": 1} if i % 2 else "b"}
        for i, (t, v) in enumerate(WANTED.items())
    ]
    for name in ("a.jsonl", "a.json"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert truth(load(tmp_path / name)) == WANTED


def test_json_that_is_not_known_says_what_it_should_be(tmp_path):
    (tmp_path / "a.json").write_text('{"a": {"b": [1]}, "c": 2}')
    with pytest.raises(
        DataError, match=r"form that is not known \(found: 'a', 'c'\). Expected a list"
    ):
        load(tmp_path / "a.json")
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(DataError, match="is COCO, whose annotations are boxes"):
        load(tmp_path / "coco.json")


@pytest.mark.parametrize("place", [".", "images", "trees"])
def test_coco_that_names_the_classes_of_whole_images_is_read(tmp_path, encode, place):
    (tmp_path / place).mkdir(exist_ok=True)
    for i in range(N):
        image = np.full((5, 5, 3), i, np.uint8)
        (tmp_path / place / f"{i:03}.png").write_bytes(encode(image))
    value = {
        "images": [{"id": 7 * i, "file_name": f"{i:03}.png", "width": 5} for i in range(N)],
        "annotations": [{"id": i, "image_id": 7 * i, "category_id": 3 + i % 2} for i in range(N)],
        "categories": [{"id": 3, "name": "oak"}, {"id": 4, "name": "fir"}],
    }
    (tmp_path / "trees.json").write_text(json.dumps(value))
    data = load(tmp_path / "trees.json")
    assert data.schema.classes == ("fir", "oak")
    assert size(data) == N
    for part in (data.train, data.val, data.test):
        numbers = [int(part.samples.name(i).split("/")[-1][:3]) for i in range(len(part))]
        assert [data.schema.classes[k] for k in part.targets] == [
            ("oak", "fir")[number % 2] for number in numbers
        ]
    value["annotations"][0]["bbox"] = [1, 1, 2, 2]
    (tmp_path / "trees.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="annotations are boxes"):
        load(tmp_path / "trees.json")


def test_columns_beside_images_that_are_not_used_are_named(tmp_path, encode):
    for i in range(N):
        (tmp_path / f"{i}.png").write_bytes(encode(np.full((5, 5, 3), i, np.uint8)))
    lines = [f"{i}.png,{'ab'[i % 2]},lens {i % 3},p{i // 4}" for i in range(N)]
    (tmp_path / "a.csv").write_text("\n".join(["file,label,camera,patient", *lines]) + "\n")
    said = [f.sentence for f in load(tmp_path / "a.csv").findings if f.kind == "unused"]
    offer = "To learn from them, too: --beside camera"
    assert said == [f"Columns that are not used: 'camera', 'patient'. {offer} patient."]
    grouped = load(tmp_path / "a.csv", group="patient")
    said = [f.sentence for f in grouped.findings if f.kind == "unused"]
    assert said == [f"Columns that are not used: 'camera'. {offer}."]
    dropped = load(tmp_path / "a.csv", drop=["camera", "patient"])
    assert "unused" not in [f.kind for f in dropped.findings]


def test_fiftyone_datumaro_and_cvat(tmp_path, encode):
    (tmp_path / "data").mkdir()
    names = [f"{i:03}.png" for i in range(N)]
    for i, name in enumerate(names):
        image = np.full((5, 5, 3), i, np.uint8)
        (tmp_path / "data" / name).write_bytes(encode(image))
    fiftyone = {"classes": ["neg", "pos"], "labels": {n[:-4]: i % 2 for i, n in enumerate(names)}}
    (tmp_path / "labels.json").write_text(json.dumps(fiftyone))
    data = load(tmp_path / "labels.json")
    assert load(tmp_path).fingerprint == data.fingerprint  # the folder as FiftyOne writes it
    assert data.schema.classes == ("neg", "pos")
    assert size(data) == N
    assert all(
        int(part.samples.name(i).split("/")[-1][:3]) % 2 == part.targets[i]
        for part in (data.train, data.test)
        for i in range(len(part))
    )
    items = [
        {
            "id": name[:-4],
            "annotations": [{"type": "label", "label_id": i % 2}] if i >= 4 else [],
            "image": {"path": f"data/{name}"},
        }
        for i, name in enumerate(names)
    ]
    categories = {"label": {"labels": [{"name": "neg"}, {"name": "pos"}]}}
    text = json.dumps({"categories": categories, "items": items})
    (tmp_path / "datumaro.json").write_text(text)
    assert size(load(tmp_path / "datumaro.json")) == N - 4
    project = tmp_path / "project"
    for split in ("train", "test"):  # the folder as datumaro writes it
        (project / "images" / split).mkdir(parents=True)
        (project / "annotations").mkdir(exist_ok=True)
        chosen = [dict(item) for i, item in enumerate(items) if (i >= 30) == (split == "test")]
        for item in chosen:
            name = f"{item['id']}.png"
            content = (tmp_path / "data" / name).read_bytes()
            (project / "images" / split / name).write_bytes(content)
            item["image"] = {"path": name}
        text = json.dumps({"categories": categories, "items": chosen})
        (project / "annotations" / f"{split}.json").write_text(text)
    data = load(project)
    assert (size(data), len(data.test), len(data.bad_samples)) == (N - 4, 10, 0)
    xml = "".join(
        f'<image id="{i}" name="{n}"><tag label="{LABELS[i]}"/></image>'
        for i, n in enumerate(names)
    )
    (tmp_path / "annotations.xml").write_text(f"<annotations>{xml}</annotations>")
    assert load(tmp_path / "annotations.xml").schema.classes == ("neg", "pos")
    (tmp_path / "bad.xml").write_text("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>")
    with pytest.raises(DataError, match="declares entities"):
        load(tmp_path / "bad.xml")


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather(tmp_path, compression):
    feather.write_feather(FRAME, tmp_path / "a.feather", compression=compression)
    assert truth(load(tmp_path / "a.feather")) == WANTED


def saved(folder, frame, names=None):
    """Write what ``save_to_disk`` writes: a stream in a file, and what it is."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(about)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def test_a_folder_of_save_to_disk(tmp_path):
    coded = FRAME.assign(label=[i % 2 for i in range(N)])
    saved(tmp_path / "one", coded, ["neg", "pos"])
    assert truth(load(tmp_path / "one")) == WANTED
    for split, part in (("train", coded[:30]), ("test", coded[30:])):
        saved(tmp_path / "two" / split, part, ["neg", "pos"])
    (tmp_path / "two" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    data = load(tmp_path / "two")
    assert truth(data) == WANTED
    assert len(data.test) == 10
    (tmp_path / "two" / "train" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match=r"lacks 'data-00000-of-00001.arrow'. Copy the whole"):
        load(tmp_path / "two")


def test_excel(tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx", engine="openpyxl") as writer:
        pd.DataFrame().to_excel(writer, sheet_name="empty")
        FRAME.to_excel(writer, sheet_name="reviews", index=False)
    assert truth(load(tmp_path / "a.xlsx")) == WANTED
    (tmp_path / "b.xlsx").write_bytes(b"no workbook")
    with pytest.raises(DataError, match="cannot be read as an Excel workbook"):
        load(tmp_path / "b.xlsx")


@pytest.mark.parametrize(
    ("suffix", "write"), [("sav", "write_sav"), ("dta", "write_dta"), ("por", "write_por")]
)
def test_value_labels_are_the_classes(tmp_path, suffix, write):
    pyreadstat = pytest.importorskip("pyreadstat")
    frame = pd.DataFrame({**NUMBERS, "label": [float(i % 2 + 1) for i in range(N)]})
    path = tmp_path / f"survey.{suffix}"
    labels = {} if suffix == "por" else {"variable_value_labels": {"label": {1: "neg", 2: "pos"}}}
    getattr(pyreadstat, write)(frame, str(path), **labels)
    data = load(path, label="LABEL" if suffix == "por" else None)
    assert data.schema.classes == (("1", "2") if suffix == "por" else ("neg", "pos"))
    assert len(data.column_kinds) == 3


def test_sas_transport(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    frame = pd.DataFrame({**NUMBERS, "label": LABELS})
    pyreadstat.write_xport(frame, str(tmp_path / "a.xpt"))
    assert load(tmp_path / "a.xpt").schema.classes == ("neg", "pos")


@pytest.mark.parametrize("is_sparse", [False, True])
def test_arff(tmp_path, is_sparse):
    pytest.importorskip("arff")
    rows = []
    for i in range(N):
        cells = [*(NUMBERS[f"x{k}"][i] for k in range(3)), LABELS[i]]
        if is_sparse:  # the first value of a nominal attribute may be left out
            shown = ", ".join(f"{k} {c}" for k, c in enumerate(cells) if c != "neg")
            rows.append(f"{{{shown}}}")
        else:
            rows.append(", ".join(map(str, cells)))
    header = "".join(f"@ATTRIBUTE x{k} NUMERIC\n" for k in range(3))
    header = f"@RELATION r\n{header}@ATTRIBUTE class {{neg,pos}}\n@DATA\n"
    (tmp_path / "a.arff").write_text(header + "\n".join(rows) + "\n")
    data = load(tmp_path / "a.arff")
    assert (data.schema.label, data.schema.classes) == ("class", ("neg", "pos"))
    assert int((data.train.targets == 0).sum() + (data.test.targets == 0).sum()) > 5
    assert set(data.column_kinds) == {"x0", "x1", "x2"}


def test_a_missing_package_is_a_sentence_and_the_advice_works(tmp_path):
    (tmp_path / "a.arff").write_text("@RELATION r\n")
    code = (
        "import sys; sys.modules['arff'] = None\n"
        "from headstart.data import load\n"
        f"try: load({str(tmp_path / 'a.arff')!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PackageMissing" in done.stdout  # a DataError, too
    assert " install 'headstart[formats]'; or save the table as CSV" in done.stdout


@pytest.mark.parametrize(
    "names",
    [
        {"train": ("train_images", "train_labels"), "test": ("test_images", "test_labels")},
        {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    ],
)
def test_npz_with_splits(tmp_path, names):
    images = RNG.integers(0, 256, (N, 6, 6, 3), np.uint8)
    labels = np.arange(N)[:, None] % 2
    parts = {"train": slice(0, 30), "test": slice(30, N)}
    arrays = {}
    for split, (x, y) in names.items():
        arrays |= {x: images[parts[split]], y: labels[parts[split]]}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz")
    assert (len(data.test), data.schema.classes) == (10, ("0", "1"))
    assert load(**data.source).fingerprint == data.fingerprint


def test_npz_of_several_labels_and_what_is_refused(tmp_path):
    images = RNG.integers(0, 256, (N, 6, 6), np.uint8)
    labels = RNG.integers(0, 2, (N, 3))
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    assert load(tmp_path / "a.npz").schema.task == "multi-label"
    np.savez(tmp_path / "o.npz", images=images, labels=np.array([{}] * N, object))
    with pytest.raises(DataError, match=r"holds Python objects.*numpy.savez\(path, images"):
        load(tmp_path / "o.npz")
    np.savez(tmp_path / "v.npz", images=np.zeros((N, 5, 5, 5), np.uint8), labels=np.arange(N) % 2)
    with pytest.raises(DataError, match="holds volumes"):
        load(tmp_path / "v.npz")
    np.savez(tmp_path / "n.npz", a=images)
    with pytest.raises(DataError, match=r"holds 'a \(40, 6, 6\)'; expected train_images"):
        load(tmp_path / "n.npz")


def test_fasttext_lines(tmp_path):
    lines = [f"__label__{label} {text}" for text, label in WANTED.items()]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    assert truth(load(tmp_path / "a.txt")) == WANTED
    lines[3] = "__label__neg __label__pos both of them"
    (tmp_path / "b.train").write_text("\n".join(lines))
    assert load(tmp_path / "b.train").schema.task == "multi-label"
    (tmp_path / "c.txt").write_text("\n".join([*lines, "no label here"]))
    with pytest.raises(DataError, match=r"Line 41 of c.txt does not begin with __label__"):
        load(tmp_path / "c.txt")


def test_libsvm_as_scikit_learn_writes_it(tmp_path):
    from sklearn.datasets import dump_svmlight_file

    X = np.round(RNG.normal(size=(N, 4)) * (RNG.random((N, 4)) > 0.3), 3)
    for name, y in (("a.svm", np.arange(N) % 2 * 2 - 1), ("b", np.arange(N) % 3)):
        dump_svmlight_file(X, y, str(tmp_path / name), zero_based=False)
        data = load(tmp_path / name)
        assert set(data.column_kinds) == {"x1", "x2", "x3", "x4"}
        assert len(data.schema.classes) == len(set(y))


# Archives ----------------------------------------------------------------------------------------


def pictures(encode):
    for label in ("cat", "dog"):
        for i in range(10):
            yield f"{label}/{i}.png", encode(RNG.integers(0, 256, (5, 5, 3), np.uint8))


def pack(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:" + {".tgz": "gz", ".xz": "xz"}.get(path.suffix, "")) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", ["zip", "tar", "tgz", "tar.xz"])
def test_archives_of_class_folders(tmp_path, encode, suffix):
    members = [(f"pets/{name}", content) for name, content in pictures(encode)]
    members += [("__MACOSX/pets/._cat", b"x"), ("pets/.DS_Store", b"x")]
    path = pack(tmp_path / f"pets.{suffix}", members)
    data = load(path)
    assert (data.schema.classes, size(data)) == (("cat", "dog"), 20)
    assert data.source["source"] == str(path)
    assert load(**data.source).fingerprint == data.fingerprint


def test_an_archive_of_one_table(tmp_path):
    path = pack(tmp_path / "a.zip", [("reviews.csv", FRAME.to_csv(index=False).encode())])
    assert truth(load(path)) == WANTED


@pytest.mark.parametrize(
    "name", ["../out.png", "/tmp/headstart-out.png", "a/../../out.png", "..\\out.png"]
)
@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_archives_that_lead_outside_are_refused(tmp_path, encode, name, suffix):
    path = pack(tmp_path / f"a.{suffix}", [*pictures(encode), (name, b"x")])
    with pytest.raises(DataError, match="leads out of the folder"):
        load(path)


def test_links_in_archives_are_not_followed(tmp_path, encode):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in pictures(encode):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert size(load(path)) == 20


def test_damaged_archives_are_a_sentence(tmp_path, encode):
    path = pack(tmp_path / "a.zip", pictures(encode))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be unpacked.*download it again"):
        load(path)


def test_webdataset_shards(tmp_path, encode):
    def shard(start, number):
        for i in range(start, start + number):
            yield f"{i:05}.png", encode(RNG.integers(0, 256, (5, 5, 3), np.uint8))
            yield f"{i:05}.cls", str(i % 2).encode()
            yield f"{i:05}.json", b'{"source": "x"}'

    pack(tmp_path / "train-000000.tar", shard(0, 12))
    assert size(load(tmp_path / "train-000000.tar")) == 12
    pack(tmp_path / "train-000001.tar", shard(12, 12))
    pack(tmp_path / "test-000000.tar", shard(24, 8))
    data = load(tmp_path)
    assert (size(data), len(data.test), data.schema.classes) == (32, 8, ("0", "1"))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("a.xls", r"Save it as .xlsx or CSV"),
        ("a.pkl", "may run code"),
        ("a.rds", "write_parquet"),
        ("a.7z", "Unpack it and give the folder"),
        ("a.bin", "expected a folder, an archive"),
    ],
)
def test_what_is_not_read_says_the_one_next_step(tmp_path, name, step):
    (tmp_path / name).write_bytes(b"\0\1\2\3 nothing")
    with pytest.raises(DataError, match=step):
        load(tmp_path / name)


@pytest.mark.parametrize("kind", ["xlsx", "feather", "json", "jsonl"])
def test_predict_reads_the_formats_that_training_reads(tmp_path, kind):
    import headstart as hs

    if kind == "xlsx":
        pytest.importorskip("openpyxl")
    path = tmp_path / f"new.{kind}"
    write = {
        "xlsx": lambda frame: frame.to_excel(path, index=False),
        "feather": lambda frame: feather.write_feather(frame, path),
        "json": lambda frame: frame.to_json(path, orient="records"),
        "jsonl": lambda frame: frame.to_json(path, orient="records", lines=True),
    }[kind]
    write(FRAME)
    run = hs.finetune(path, start="scratch/tfidf", out=tmp_path / "run", device="cpu")
    write(FRAME[["text"]])
    assert len(hs.predict(run, path)) == N
    write(FRAME)
    assert hs.evaluate(run, path).metrics["test"]["num_items"] > 0
