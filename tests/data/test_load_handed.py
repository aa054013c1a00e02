"""Data handed over in Python: y as a frame, lazy columns, pictures in lists, splits given apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.data import load
from headstart.errors import DataError

RNG = np.random.default_rng(0)
X = pd.DataFrame({"x": RNG.normal(size=60), "z": RNG.normal(size=60)})
Y = np.where(X.x > 0, "up", "down")
TEXTS = [f"a {'good' if i % 2 else 'bad'} film number {i}" for i in range(60)]
LABELS = ["pos" if i % 2 else "neg" for i in range(60)]


class Lazy(Sequence):
    """A column as of the library datasets: neither a list nor an array."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        return self.values[key]


class Pairs:
    """A map-style data set as of torch: items by number, nothing else."""

    def __init__(self, items, classes=None):
        self.items, self.classes = items, classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def pictures():
    return [
        Image.fromarray(RNG.integers(0, 256, (8 + i % 3, 9, 3), np.uint8), "RGB") for i in range(40)
    ]


@pytest.mark.parametrize(
    "y",
    [
        pd.DataFrame({"way": Y}),
        pa.table({"way": Y}),
        Y[:, None],
        pa.array(Y),
        pa.chunked_array([Y]),
        Lazy(Y.tolist()),
    ],
    ids=["frame", "table", "column vector", "arrow", "chunked", "lazy"],
)
@pytest.mark.parametrize("inputs", [X, X.to_numpy(), TEXTS], ids=["frame", "array", "texts"])
def test_y_of_one_column_is_that_column(y, inputs):
    schema = load((inputs, y)).schema
    assert (schema.task, schema.classes) == ("classification", ("down", "up"))


def test_numbers_in_a_frame_of_one_column_are_numbers_to_foretell():
    for y in (pd.DataFrame({"price": X.x * 9.5}), (X.x * 9.5).to_numpy()[:, None]):
        assert load((X, y)).schema.task == "regression"


def test_y_of_several_columns_is_refused_with_the_way_to_one():
    y = pd.DataFrame({"a": Y, "b": Y})
    with pytest.raises(DataError, match=r"y is a DataFrame of 2 columns \(a, b\).*y\['a'\]"):
        load((X, y))
    assert load((X, y["a"])).schema.classes == ("down", "up")


def test_lists_of_pictures_are_images_in_every_form(tmp_path):
    given = pictures()
    labels = [i % 2 for i in range(40)]
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for image, path in zip(given, paths, strict=True):
        image.save(path)
    forms = {
        "PIL": given,
        "lazy": Lazy(given),
        "arrays": [np.asarray(image) for image in given],
        "tensors": [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in given],
        "Path": paths,
        "str": [str(path) for path in paths],
        "series": pd.Series([str(path) for path in paths]),
        "bytes": [path.read_bytes() for path in paths],
        "object array": np.array([str(path) for path in paths], dtype=object),
    }
    for name, form in forms.items():
        data = load((form, labels))
        assert data.schema.modality == "image", name
        sizes = sum(len(data.split(split)) for split in ("train", "val", "test"))
        assert sizes == 40, name


def test_paths_of_other_files_are_refused_and_the_advice_works(tmp_path):
    paths = [tmp_path / f"{i}.txt" for i in range(60)]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text)
    for form in (paths, [str(path) for path in paths]):
        with pytest.raises(DataError, match=r"X holds paths.*Path\(path\).read_text\(\)"):
            load((form, LABELS))
    data = load(([Path(path).read_text() for path in paths], LABELS))
    assert data.schema.modality == "text"


@pytest.mark.parametrize("kind", ["pairs", "pairs of lists", "frames", "tables", "dict", "dict of"])
def test_splits_given_apart_stay_apart(kind):
    frame = X.assign(label=Y)
    cuts = [slice(0, 36), slice(36, 45), slice(45, 60)]
    forms = {
        "pairs": tuple((X[c], Y[c]) for c in cuts),
        "pairs of lists": tuple((TEXTS[c], LABELS[c]) for c in cuts),
        "frames": tuple(frame[c] for c in cuts),
        "tables": tuple(pa.table(frame[c].to_dict("list")) for c in cuts),
        "dict": dict(zip(("train", "validation", "test"), (frame[c] for c in cuts), strict=True)),
        "dict of": dict(zip(("train", "dev", "test"), ((X[c], Y[c]) for c in cuts), strict=True)),
    }
    data = load(forms[kind])
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [36, 9, 15]


def test_a_test_split_given_apart_as_keras_gives_it_is_test():
    images = RNG.integers(0, 256, (50, 8, 8), np.uint8)
    labels = np.arange(50) % 2
    data = load(((images[:40], labels[:40]), (images[40:], labels[40:])))
    assert (data.schema.modality, len(data.test)) == ("image", 10)


def test_a_split_of_another_name_is_refused():
    frame = X.assign(label=Y)
    with pytest.raises(DataError, match="'unsupervised' of the dict given is no split"):
        load({"train": frame, "unsupervised": frame})


def test_a_torch_data_set_of_pairs_is_read_with_its_class_names():
    items = [(torch.rand(3, 8, 8), i % 2) for i in range(40)]
    data = load(Pairs(items, ["cat", "dog"]))
    assert (data.schema.modality, data.schema.classes) == ("image", ("cat", "dog"))
    subset = torch.utils.data.Subset(Pairs(items, ["cat", "dog"]), range(30))
    assert load(subset).schema.classes == ("cat", "dog")
    tensors = torch.utils.data.TensorDataset(torch.rand(40, 4), torch.arange(40) % 2)
    assert load(tensors).schema.modality == "table"
    with pytest.raises(DataError, match=r"gives batches.*loader\.dataset"):
        load(torch.utils.data.DataLoader(subset))
    with pytest.raises(DataError, match="expected items \\(input, target\\)"):
        load(Pairs([{"a": 1}] * 4))


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_predict_reads_pictures_of_a_table(tmp_path, kind):
    labels = ["a", "b"] * 20
    for i, image in enumerate(pictures()):
        image.save(tmp_path / f"{i}.png")
    table = pd.DataFrame(
        {"n": range(40), "image": [f"{i}.png" for i in range(40)], "label": labels}
    )
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        cells = [{"bytes": (tmp_path / f"{i}.png").read_bytes(), "path": None} for i in range(40)]
        pq.write_table(pa.table({"image": cells, "label": labels}), path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    run = hs.finetune(
        load(path), start="scratch/simple-cnn", num_epochs=1, out=tmp_path / "run", device="cpu"
    )
    answers = hs.predict(str(run.path), [str(path)])
    assert len(answers) == 40
    again = hs.predict(str(run.path), [str(tmp_path / "3.png")])
    assert again[0].label == answers[3].label
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="one column that holds images"):
        hs.predict(str(run.path), [str(tmp_path / "no.csv")])


class Transformed:
    """A Hugging Face ``Dataset`` with ``set_transform``, by its face."""

    def __init__(self):
        self.features, self.format = {}, {"type": "custom"}

    def with_format(self, kind):
        raise AssertionError("not to be read")

    def __len__(self):
        return 3


def test_a_lazy_transform_is_refused_with_both_ways_out():
    ways = r"with_format\(None\) .*Dataset\.from_list\(list\(source"
    with pytest.raises(DataError, match=r"source\." + ways):
        load(Transformed())
    with pytest.raises(DataError, match=r"source\['train'\]\." + ways):
        load({"train": Transformed(), "test": Transformed()})


class LazyColumn(Sequence):
    """A ``Column`` of Hugging Face datasets, by its face."""

    def __init__(self, values, names):
        self.values, self.column_name = values, "label"
        self.source = SimpleNamespace(features={"label": SimpleNamespace(names=names)})

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]


def test_a_lazy_column_keeps_the_names_of_its_classes():
    texts = [f"the long text of number {i} about what was seen" for i in range(40)]
    numbers = [i % 2 for i in range(40)]
    assert load((texts, LazyColumn(numbers, ("ant", "bee")))).schema.classes == ("ant", "bee")
    assert load((texts, LazyColumn(numbers, None))).schema.classes == ("0", "1")
    assert load((texts, LazyColumn(numbers, ("ant",)))).schema.classes == ("0", "1")


def test_real_data_sets_of_the_library():
    datasets = pytest.importorskip("datasets")
    texts = [f"number {i}: a long sentence about what was seen" for i in range(60)]
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["film", "play"])}
    )
    rows = {"text": texts, "label": [i % 2 for i in range(60)]}
    source = datasets.Dataset.from_dict(rows, features=features)
    for given in (source, source.shuffle(seed=1), (source["text"], source["label"])):
        assert load(given).schema.classes == ("film", "play")
    lazy = source.with_transform(lambda b: {**b, "text": [t.upper() for t in b["text"]]})
    with pytest.raises(DataError, match="with a transform"):
        load(lazy)
    assert load(lazy.with_format(None)).schema.classes == ("film", "play")
    made = load(datasets.Dataset.from_list(list(lazy)))
    assert made.train.samples.read(0).isupper()
    stream = source.to_iterable_dataset()
    with pytest.raises(DataError, match="can only be iterated"):
        load(stream)
    again = datasets.Dataset.from_list(list(stream), features=stream.features)
    assert load(again).schema.classes == ("film", "play")
