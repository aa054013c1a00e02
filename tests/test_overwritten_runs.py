"""A run of any kind is replaced by --overwrite: what it wrote is known for its own."""

from __future__ import annotations

import importlib
import os
import pkgutil

import pytest
from small_runs import written_tags

import headstart as hs
from headstart import preprocessing
from headstart.preprocessing import for_sequences, known_words, tokenizer_files, word_features
from headstart.storage.records import READING_FILES
from headstart.storage.run_folder import RunFolder


def test_what_a_preprocessing_writes_is_of_the_run(tmp_path):
    rooms = [one.name for one in pkgutil.iter_modules(preprocessing.__path__)]
    modules = [importlib.import_module(f"headstart.preprocessing.{room}") for room in rooms]
    names = {module.FILE_NAME for module in modules if hasattr(module, "FILE_NAME")}
    names |= {*tokenizer_files.FILE_NAMES}
    names |= {f"{for_sequences._TOLD}{name}" for name in tokenizer_files.FILE_NAMES}
    assert set(READING_FILES) == names
    for name in (*names, "model.json", "metrics.json"):
        (tmp_path / name).write_text("{}")
    with RunFolder(tmp_path, overwrite=True) as folder:
        folder.write("model.json", b"{}")
    assert not names & set(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("start", "file"),
    [
        ("scratch/linear-tagger", word_features.FILE_NAME),
        ("scratch/dictionary", known_words.FILE_NAME),
    ],
)
def test_a_run_that_keeps_words_is_replaced_by_another_start(start, file, tmp_path):
    data, out = str(written_tags(tmp_path / "data")), tmp_path / "run"
    said = {"out": str(out), "device": "cpu", "quiet": True}
    hs.finetune(data, start=start, **said)
    assert (out / file).is_file()
    hs.finetune(data, start="scratch/bert-tiny", num_epochs=1, overwrite=True, **said)
    assert not (out / file).exists()


def test_a_dictionary_that_was_handed_over_is_gone_on_with(tmp_path, work_clock):
    data, out = str(written_tags(tmp_path / "data")), str(tmp_path / "run")
    words = {"starts": ["scratch/dictionary"], "device": "cpu", "out": out, "quiet": True}
    before = hs.fit(data, budget="20s", **words)
    assert (tmp_path / "run" / known_words.FILE_NAME).is_file()
    after = hs.fit(data, budget="40s", resume=True, **words)
    text = ["Ada lives in New York."]
    assert [one.spans for one in after.predict(text)] == [one.spans for one in before.predict(text)]
