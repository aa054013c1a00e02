"""A run of any kind is replaced by --overwrite: what it wrote is known for its own."""

from __future__ import annotations

import os

from small_runs import written_tags

import headstart as hs
from headstart.preprocessing import for_sequences, terms, tokenizer_files, word_features
from headstart.storage.records import READING_FILES
from headstart.storage.run_folder import RunFolder


def test_what_a_preprocessing_writes_is_of_the_run(tmp_path):
    names = {terms.FILE_NAME, word_features.FILE_NAME, *tokenizer_files.FILE_NAMES}
    names |= {f"{for_sequences._TOLD}{name}" for name in tokenizer_files.FILE_NAMES}
    assert set(READING_FILES) == names
    for name in (*names, "model.json", "metrics.json"):
        (tmp_path / name).write_text("{}")
    with RunFolder(tmp_path, overwrite=True) as folder:
        folder.write("model.json", b"{}")
    assert not names & set(os.listdir(tmp_path))


def test_a_linear_tagger_is_replaced_by_another_start(tmp_path):
    data, out = str(written_tags(tmp_path / "data")), tmp_path / "run"
    said = {"out": str(out), "device": "cpu", "quiet": True}
    hs.finetune(data, start="scratch/linear-tagger", **said)
    assert (out / word_features.FILE_NAME).is_file()
    hs.finetune(data, start="scratch/bert-tiny", num_epochs=1, overwrite=True, **said)
    assert not (out / word_features.FILE_NAME).exists()
