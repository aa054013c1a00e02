"""The dictionary of train as a start: what it says, its folder, handed over as any other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from small_runs import tagged_sentences, written_tags

import headstart as hs
from headstart.bundles import open_bundle, verify_bundle
from headstart.errors import ExportError, StartError
from headstart.evaluation import TagSet, entities_of
from headstart.preprocessing.known_words import FILE_NAME, KnownWords, learn_known_words
from headstart.types import Sentence
from headstart.types.ragged import Ragged

START = "scratch/dictionary"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dictionary")
    data = str(written_tags(folder / "data"))
    return hs.finetune(data, start=START, out=str(folder / "run"), device="cpu", quiet=True)


def _spans(predictions):
    return [[(s.start, s.end, s.label, s.text) for s in one.spans] for one in predictions]


def test_it_says_what_the_baseline_of_that_name_says(run, tmp_path):
    ladder = run.metrics["before_after"]["figures"]
    assert set(ladder) == {"most frequent tag", "linear tagger on word features", START}
    data = str(run.data["source"]["source"])
    other = hs.finetune(
        data, start="scratch/linear-tagger", out=str(tmp_path / "run"), device="cpu", quiet=True
    )
    said = other.metrics["before_after"]["figures"]["dictionary of train"]
    assert ladder[START]["value"] == said["value"] > 0.9
    (told,) = run.predict(["w1 Ada lives  in New York 5, and York"])
    assert {(s.label, s.text) for s in told.spans} == {("PER", "Ada"), ("LOC", "New York")}
    assert all(0.5 < span.probability < 1 for span in told.spans)


def test_whole_texts_with_classes_are_none_for_it(tmp_path, heard):
    frame = pd.DataFrame({"text": [f"{'good' if i % 2 else 'bad'} w{i}" for i in range(80)]})
    frame["label"] = np.arange(80) % 2
    said = {"device": "cpu", "quiet": True, "overwrite": True, "out": str(tmp_path / "run")}
    data = hs.load(frame)
    with pytest.raises(StartError, match=r"something else is told.* scratch/tfidf") as told:
        hs.finetune(data, start=START, **said)
    assert hs.finetune(data, start="scratch/tfidf", **said).metrics["test"]
    heard(told.value)


@pytest.mark.slow
def test_its_folder_holds_weights_and_json_alone_and_a_bundle_tells_the_same(run, tmp_path, heard):
    record = json.loads((run.path / FILE_NAME).read_text())
    assert [["New", "York"], 0] in record["entries"]
    assert not [path.name for path in run.path.rglob("*") if path.suffix in (".pkl", ".pt", ".bin")]
    with pytest.raises(ExportError, match=r"without tokens.* Export it with --to onnx") as told:
        hs.export(str(run.path), to="transformers", out=str(tmp_path / "names"))
    bundle = hs.export(str(run.path), to="onnx", out=str(tmp_path / "names"))
    heard(told.value)
    assert verify_bundle(bundle)[1].holds
    said = ["w1 Ada lives  in New York 5", "never 東京 seen", " ".join(["Bob w2"] * 300)]
    wanted, found = run.predict(said), open_bundle(bundle).predict(said)
    assert _spans(found) == _spans(wanted)
    assert _spans(wanted)[0]
    for one, other in zip(wanted, found, strict=True):
        sure = [span.probability for span in one.spans]
        assert [span.probability for span in other.spans] == pytest.approx(sure, abs=1e-5)


def test_where_it_wins_it_is_what_fit_hands_over(tmp_path):
    """Each name stands in train once, as other rare words do: no letter gives one away."""
    draw = np.random.default_rng(0)
    rare = sorted({"".join(draw.choice(list("abcdefgh"), 7)) for _ in range(1_800)})
    names, folder = set(rare[::2]), tmp_path / "data"
    folder.mkdir()
    for split, some in (("train", rare), ("dev", rare[::9]), ("test", rare[::7])):
        blocks = []
        for word in draw.permutation(some).tolist():
            others = [f"w{int(k)}" for k in draw.integers(0, 40, 4)]
            rows = [(other, "O") for other in others]
            rows.insert(int(draw.integers(0, 5)), (word, "B-X" if word in names else "O"))
            blocks.append("\n".join("\t".join(row) for row in rows))
        (folder / f"{split}.conll").write_text("\n\n".join(blocks) + "\n")
    starts = ["scratch/linear-tagger", START]
    found = hs.fit(str(folder), starts=starts, budget="30s", out=str(tmp_path / "run"), quiet=True)
    assert found.model_record["architecture"]["builder"] == "dictionary"
    figures = found.metrics["before_after"]["figures"]
    assert found.metrics["test"]["figures"]["f1_entities"]["value"] > 0.95
    assert figures["linear tagger on word features"]["value"] < 0.9
    again = hs.evaluate(str(found.path), quiet=True).metrics["test"]["figures"]
    assert again["f1_entities"]["value"] == found.metrics["test"]["figures"]["f1_entities"]["value"]


def test_a_run_of_it_is_a_start_but_not_for_other_tags(run, tmp_path, heard):
    data = str(run.data["source"]["source"])
    again = hs.finetune(data, start=str(run.path), out=str(tmp_path / "run"), quiet=True)
    assert again.metrics["test"]["figures"] == run.metrics["test"]["figures"]
    words = [["Ada", "is", "here", str(i)] for i in range(60)]
    tags = [["B-PER", "O", "O", "O"] for _ in range(60)]
    with pytest.raises(StartError, match=r"by the tags 'O', 'B-LOC'.* scratch/") as told:
        hs.finetune((words, tags), start=str(run.path), out=str(tmp_path / "x"), quiet=True)
    named = [["B-X" if i % 2 else "B-Z", "O", "O", "O"] for i in range(60)]  # as many, others
    with pytest.raises(StartError, match="these data have 'O', 'B-X', 'I-X', 'B-Z', 'I-Z'"):
        hs.finetune((words, named), start=str(run.path), out=str(tmp_path / "z"), quiet=True)
    hs.finetune((words, tags), start=START, out=str(tmp_path / "y"), quiet=True)
    heard(told.value)


def test_whole_texts_are_refused(tmp_path):
    texts = [f"{('good', 'bad')[i % 2]} text {i}" for i in range(60)]
    with pytest.raises(StartError, match=r"a tag of each word.* such as scratch/tfidf"):
        hs.finetune((texts, [i % 2 for i in range(60)]), start=START, out=str(tmp_path / "a"))


def test_the_longest_entry_is_taken_and_single_words_have_their_usual_tag():
    words = [["New", "York", "City"], ["New", "York"], ["York"], ["new", "York", "City", "New"]]
    tags = [[1, 2, 2], [3, 4], [3], [0, 0, 0, 0]]
    sentences = [Sentence.of(row) for row in words]
    meaning = TagSet.of_entities(5)
    targets = Ragged.of([np.array(row) for row in tags])
    known = learn_known_words(sentences, targets, meaning, tags_of="OabcB", is_of_entities=True)
    said = known.tags([Sentence.of(["in", "New", "York", "City", "New", "York", "York"])])
    assert said[0].tolist() == [0, 1, 2, 2, 3, 4, 3]
    assert len(entities_of(said, meaning).row) == 3
    assert known.rows([Sentence("", ())]).shape == (0, 1)
    single = learn_known_words(
        [Sentence.of(row) for row in (["a", "b", "a"], ["a", "c", "d"])],
        Ragged.of([np.array([1, 0, 2]), np.array([1, 2, 2])]),
        TagSet.of_words(3),
        tags_of=["a", "b", "c"],
        is_of_entities=False,
    )
    assert single.tags([Sentence.of(["a", "b", "never"])])[0].tolist() == [1, 0, 2]
    assert KnownWords(single.entries, "abc", is_of_entities=False, usual=2) == single


def test_parts_of_speech_have_a_dictionary_too(tmp_path):
    words, _ = tagged_sentences(120, 0)
    tags = [["NN" if word[:1] == "w" else "XX" for word in row] for row in words]
    found = hs.finetune((words, tags), start=START, out=str(tmp_path / "run"), quiet=True)
    assert found.schema.task == "tagging"
    assert found.metrics["test"]["figures"]["accuracy"]["value"] > 0.85


@pytest.mark.parametrize(
    "change",
    [{"format": 9}, {"tags": ["O"]}, {"tags": [1, 2, 3, 4, 5]}, {"usual": 5},
     {"entries": [[["a"], 2]]}, {"entries": [[[], 0]]},
     {"entries": [[["a"], 0], [["a"], 1]]}, None],
)  # fmt: skip
def test_damaged_entries_are_refused(run, tmp_path, change):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    path = copy / FILE_NAME
    if change is None:
        path.unlink()
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StartError, match=r"Restore the file, or train again"):
        hs.predict(str(copy), ["Ada lives in Rome"])
