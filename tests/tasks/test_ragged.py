"""Targets and outputs of different lengths, through every door that indexes them by places.

The task is a toy: a tag for each word of a text. Reading, splitting, preparing, batching, passes,
decisions and the table of predictions take it; what a real one needs beside that is its scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn
from torch.nn import functional

from headstart.data import load
from headstart.errors import OptionError
from headstart.evaluation import softmax
from headstart.model import run_batches
from headstart.objectives import LOSSES, Loss, check_score, item_losses
from headstart.preprocessing import TokenPreprocess
from headstart.preprocessing.unread import Unread
from headstart.storage.run_folder import RunFolder
from headstart.tasks import CLASSIFICATION, TASKS, Targets, order_classes
from headstart.tasks.classification import Classification
from headstart.tuning.hooks import refuse_parts
from headstart.tuning.part import Part
from headstart.tuning.setup import subsample
from headstart.tuning.test_items import write_predictions
from headstart.types import Ragged
from headstart.types.ragged import IGNORED

WORDS = {"red": 1, "blue": 2, "dog": 3, "cat": 4, "runs": 5, "sleeps": 6}
TAG_OF = {"red": "ADJ", "blue": "ADJ", "dog": "NOUN", "cat": "NOUN", "runs": "VERB"}
TAG_OF["sleeps"] = "VERB"


@dataclass(frozen=True, eq=False, kw_only=True)
class Tags(Classification):
    """A tag for each word: targets ragged int64, logits and outputs ragged (T, K)."""

    def read(self, column):
        classes = order_classes({tag for row in column.values for tag in row})
        rows = [[classes.index(tag) for tag in row] for row in column.values]
        return Targets(self.name, Ragged.of(rows), classes, [])

    def strata(self, targets):
        return targets.lengths

    def class_counts(self, targets, num_classes):
        return np.array([sum(k in row for row in targets) for k in range(num_classes)])

    def align(self, targets, places, num_classes):
        return Ragged(places[targets.flat], targets.offsets)

    def plain_problems(self, targets, num_classes):
        return ()

    def outputs(self, logits, schema, *, temperature=1.0, target_mean=0.0, target_scale=1.0):
        return Ragged(softmax(logits.flat, temperature), logits.offsets)

    def decisions(self, outputs):
        return Ragged(outputs.flat.argmax(axis=1), outputs.offsets)

    def validation_score(self, logits, targets):
        return float((self.decisions(logits).whole == targets.whole).mean()), 0.01

    def item_columns(self, targets, outputs, schema):
        named = [
            [[schema.classes[k] for k in row] for row in rows]
            for rows in (targets, self.decisions(outputs))
        ]
        return {"target": named[0], "prediction": named[1]}


TAGS = Tags(**{**vars(CLASSIFICATION), "name": "tags", "is_exclusive": False})


def _tag_loss(logits, wanted):
    """Return the mean over samples of the mean over their words."""
    each = functional.cross_entropy(
        logits.transpose(1, 2), wanted.targets, ignore_index=IGNORED, reduction="none"
    )
    return (each.sum(dim=1) / (wanted.targets != IGNORED).sum(dim=1)).mean()


def _tag_losses(logits, targets):
    return np.array(
        [
            float(functional.cross_entropy(torch.from_numpy(z), torch.from_numpy(y)))
            for z, y in zip(logits, targets, strict=True)
        ]
    )


class Tokenizer:
    """One id a word."""

    pad_id, max_length, unknown_id = 0, 16, None

    def encode(self, texts):
        rows = [np.array([WORDS[word] for word in text.split()], np.int32) for text in texts]
        return rows, np.array([len(row) for row in rows])

    def unread(self, parts, names):
        return Unread(num_texts=len(parts))

    def files(self):
        return {}


class Network(nn.Module):
    """Logits of each token by its id alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(len(WORDS) + 1, 3)

    def forward(self, ids, mask):
        return self.table(ids)

    @property
    def device(self):
        return self.table.weight.device


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setitem(TASKS, "tags", TAGS)
    loss = Loss(_tag_loss, _tag_losses, lambda z, y: float(_tag_losses(z, y).mean()))
    monkeypatch.setitem(LOSSES, "tags", loss)


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(list(WORDS), rng.integers(1, 9))) for _ in range(60)]


def _tagged(texts, task="tags"):
    tags = [[TAG_OF[word] for word in text.split()] for text in texts]
    return load((texts, tags), task=task)


def _inputs(data, name):
    return TokenPreprocess(Tokenizer()).prepare(data, name)


def _is_of(text, row, data):
    return [data.schema.classes[k] for k in row] == [TAG_OF[word] for word in text.split()]


def test_a_split_keeps_the_tags_of_each_text(texts):
    data = _tagged(texts)
    assert data.schema.classes == ("ADJ", "NOUN", "VERB")
    assert sum(map(len, (data.train, data.val, data.test))) == 60
    for split in (data.train, data.val, data.test):
        assert isinstance(split.targets, Ragged)
        assert len(split.targets) == len(split) == len(split.samples)
        for place in range(len(split)):
            assert _is_of(split.samples.read(place), split.targets[place], data)


def test_the_fingerprint_sees_tags_and_where_one_text_ends(texts):
    tags = [[TAG_OF[word] for word in text.split()] for text in texts]
    found = load((texts, tags), task="tags").fingerprint
    assert found == load((texts, tags), task="tags").fingerprint
    changed = [["VERB" if tag == "ADJ" else tag for tag in tags[0]], *tags[1:]]
    moved = [tags[0] + tags[1][:1], tags[1][1:], *tags[2:]]  # the same tags in a row
    others = [load((texts, rows), task="tags").fingerprint for rows in (changed, moved)]
    assert len({found, *others}) == 3 if changed[0] != tags[0] else found != others[1]


def test_a_text_that_cannot_be_used_takes_its_tags_with_it(texts):
    tags = [[TAG_OF[word] for word in text.split()] for text in texts]
    data = load(([*texts, " "], [*tags, ["NOUN", "VERB"]]), task="tags", max_bad_fraction=0.1)
    assert sum(len(split.targets) for split in (data.train, data.val, data.test)) == 60
    assert len(data.bad_samples) == 1


def test_prepared_texts_parts_and_samples_of_them_keep_their_tags(texts):
    data = _tagged(texts)
    train = _inputs(data, "train")
    places = subsample(train.targets, 10, seed=0)
    assert len(places) == 10
    part = Part(train, places)
    chosen = TokenPreprocess(Tokenizer()).prepare(data, "train", places)
    assert part.targets == chosen.targets == train.targets[places]
    assert part.targets != train.targets[places + 1 - places % 2]
    assert (part.targets.lengths == part.lengths).all()


def test_outputs_of_tokens_come_back_ragged_and_in_the_order_of_the_texts(texts):
    data = _tagged(texts)
    test, network = _inputs(data, "train"), Network()
    found = run_batches(network, test, network, batch_size=7)
    assert isinstance(found, Ragged)
    assert (found.lengths == test.lengths).all()
    for place in range(len(test)):
        own = network.table.weight.detach().numpy()[test.arrays(np.array([place]))[0][0]]
        assert np.array_equal(found[place], own)


def test_decisions_scores_and_losses_of_ragged_logits(texts, tmp_path):
    data = _tagged(texts)
    test, network = _inputs(data, "test"), Network()
    with torch.no_grad():  # a word is of its tag: one of three
        right = [data.schema.classes.index(TAG_OF[word]) for word in WORDS]
        network.table.weight[1:] = torch.eye(3)[right] * 5
    logits = run_batches(network, test, network)
    outputs = TAGS.outputs(logits, data.schema)
    assert TAGS.decisions(outputs) == test.targets
    metric, score, loss, _ = check_score("tags", logits, test.targets)
    assert (metric, score) == ("accuracy", 1.0)
    losses = item_losses("tags", logits, test.targets)
    assert losses.shape == (len(test),)
    assert losses.mean() == pytest.approx(loss)
    assert (item_losses("tags", logits, test.targets, temperature=5.0) > losses).all()
    with RunFolder(tmp_path / "run") as folder:
        write_predictions(folder, test, data.schema, outputs, losses.astype(np.float32))
    table = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert len(table) == len(test)
    assert all(row["target"] == row["prediction"] for row in table)
    assert [len(row["target"]) for row in table] == test.lengths.tolist()


def test_tags_of_other_data_are_brought_into_the_models_order(texts):
    rows = Ragged.of([[0, 1], [1]])
    assert TAGS.align(rows, np.array([2, 0]), 3) == Ragged.of([[2, 0], [0]])


def test_a_loss_that_is_no_mean_over_samples_is_not_taken_in_parts(monkeypatch, heard):
    refuse_parts("tags", in_parts=True)
    monkeypatch.setitem(LOSSES, "tags", replace(LOSSES["tags"], is_sample_mean=False))
    with pytest.raises(OptionError, match="no mean over samples") as told:
        refuse_parts("tags", in_parts=True)
    refuse_parts("tags", in_parts=False)  # as advised: no micro-batches, one process
    heard(told.value)


def test_rows_are_found_by_number_slice_places_and_mask():
    rows = [[1, 2], [], [3, 4, 5], [6]]
    ragged = Ragged.of(rows)
    assert [row.tolist() for row in ragged] == rows
    assert ragged[-1].tolist() == [6]
    with pytest.raises(IndexError):
        ragged[4]
    assert ragged[1:3] == Ragged.of(rows[1:3])
    assert ragged[np.array([3, 0, 0])] == Ragged.of([[6], [1, 2], [1, 2]])
    assert ragged[np.array([True, False, False, True])] == Ragged.of([[1, 2], [6]])
    assert ragged[np.zeros(0, np.int64)] == Ragged.of([])
    assert ragged[2:][np.array([1, 0])] == Ragged.of([[6], [3, 4, 5]])
    assert ragged != Ragged.of([[1], [2], [3, 4, 5], [6]])
    assert ragged != rows


def test_rows_are_joined_and_padded():
    ragged = Ragged.of([[1, 2], [3]])
    assert Ragged.joined([ragged, ragged[1:]]) == Ragged.of([[1, 2], [3], [3]])
    assert ragged.padded(IGNORED).tolist() == [[1, 2], [3, IGNORED]]
    assert ragged[:0].padded(0).shape == (0, 0)
    wide = Ragged.of([np.ones((2, 3)), np.zeros((1, 3))])
    assert wide.padded(-1).shape == (2, 2, 3)
    assert wide.padded(-1)[1, 1].tolist() == [-1, -1, -1]
