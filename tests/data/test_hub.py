"""Data sets of the Hugging Face hub, through a stand-in for the package ``datasets``."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pyarrow as pa
import pytest

from headstart.data import load
from headstart.errors import DataError, OptionError
from headstart.extras import install_command

CALLS = []


class Part:
    """A split as ``datasets`` gives it: an Arrow table behind ``with_format``, and features."""

    def __init__(self, labels, **features):
        texts = [
            f"this sentence number {i} is about the plot of a film" for i in range(len(labels))
        ]
        self.table = pa.table({"text": texts, "label": labels})
        self.features = {"text": SimpleNamespace(dtype="string"), **features}

    def with_format(self, kind):
        assert kind == "arrow"
        return self

    def __getitem__(self, rows):
        assert rows == slice(None)
        return self.table


def install(monkeypatch, parts):
    def load_dataset(name, configuration=None):
        CALLS.append((name, configuration))
        if isinstance(parts, Exception):
            raise parts
        return parts

    module = ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)


NAMED = SimpleNamespace(names=["negative", "positive"])


@pytest.mark.parametrize("address", ["hf/glue:sst2", "hub:glue:sst2"])
def test_load_reads_a_data_set_of_the_hub(monkeypatch, address):
    parts = {
        "train": Part([0, 1] * 20, label=NAMED),
        "validation": Part([1, 0] * 5, label=NAMED),
        "test": Part([-1] * 9, label=NAMED),
        "unsupervised": Part([-1] * 9, label=NAMED),
    }
    install(monkeypatch, parts)
    data = load(address)
    assert CALLS[-1] == ("glue", "sst2")
    assert data.schema.classes == ("negative", "positive")
    assert [len(part) for part in (data.train, data.val, data.test)] == [32, 10, 8]
    assert data.val.samples.name(0) == f"{address} (validation) row 1"
    assert "Split 'test' is not used: its labels are hidden." in data.notes
    assert "Split 'unsupervised' is not used." in data.notes
    assert load(**data.source).fingerprint == data.fingerprint


def test_load_names_labels_in_lists(monkeypatch):
    feature = SimpleNamespace(feature=NAMED)
    install(monkeypatch, {"train": Part([[0], [0, 1], []] * 10, label=feature)})
    data = load("hf/emotions")
    assert CALLS[-1] == ("emotions", None)
    assert (data.schema.task, data.schema.classes) == ("multi-label", ("negative", "positive"))


def test_load_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as caught:
        load("hf/imdb")
    assert str(caught.value) == (
        "'hf/imdb' is read through the package datasets, which is not installed. "
        f"Install it: {install_command('headstart[hub]')}."
    )


@pytest.mark.parametrize(
    "error",
    [ConnectionError("Couldn't reach\nthe hub."), ValueError("BuilderConfig 'x' not found.")],
)
def test_load_says_why_the_hub_gives_nothing(monkeypatch, error):
    install(monkeypatch, error)
    with pytest.raises(DataError) as caught:
        load("hf/imdb")
    reason = " ".join(str(error).split()).rstrip(".")
    assert f"'hf/imdb' cannot be read from the hub: {reason}. Check" in str(caught.value)


def test_load_refuses_hub_data_without_train_and_file_options(monkeypatch):
    install(monkeypatch, {"test": Part([0, 1] * 9, label=NAMED)})
    with pytest.raises(DataError, match=r"'hf/x' has no train split \(found: 'test'\)"):
        load("hf/x")
    with pytest.raises(OptionError, match="--encoding gb18030 cannot be used: data on the hub"):
        load("hf/x", encoding="gb18030")


def test_load_prefers_a_folder_of_that_path(monkeypatch, tmp_path, photos):
    install(monkeypatch, RuntimeError("must not be asked"))
    photos("hf/birds", wren=5, owl=5)
    monkeypatch.chdir(tmp_path)
    assert load("hf/birds").schema.classes == ("owl", "wren")
