"""What test nearly holds is not pretrained on, and that is said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from own_texts import paragraphs
from PIL import Image
from scipy.ndimage import gaussian_filter

import headstart as hs
from headstart.data.corpora import corpus_of
from headstart.data.dividing import pooled_data, without_train
from headstart.errors import DataError
from headstart.pretraining.apart import NEAR_TEST, apart_from_test
from headstart.tuning.decisions import Decided, Decisions

FEW = {"num_steps": 2, "batch_size": 16, "device": "cpu"}


def scene(seed: int) -> Image.Image:
    """Draw something with outlines and details of its own."""
    noise = np.random.default_rng(seed)
    layers = [gaussian_filter(noise.normal(size=(48, 48, 3)), (s, s, 0)) * s for s in (1, 3, 8)]
    picture = sum(layers)
    picture = (picture - picture.min()) / np.ptp(picture)
    return Image.fromarray((255 * picture).astype(np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Write pictures of two classes; three of train are test ones, recompressed and smaller."""
    root = tmp_path_factory.mktemp("photos")
    for split, first, num in (("train", 0, 48), ("test", 100, 16)):
        for number in range(first, first + num):
            folder = root / split / ("odd" if number % 2 else "even")
            folder.mkdir(parents=True, exist_ok=True)
            scene(number).save(folder / f"{number}.png")
    for number in (100, 103, 106):
        small = scene(number).resize((40, 40))
        jpeg = io.BytesIO()
        small.save(jpeg, "jpeg", quality=80)
        name = "odd" if number % 2 else "even"
        (root / "train" / name / f"copy-{number}.jpg").write_bytes(jpeg.getvalue())
    return root


def test_near_copies_of_test_images_are_not_learned_from(photos, tmp_path):
    words = {"objective": "mae", "start": "scratch/vit-mini", "input_size": 48, **FEW}
    words |= {"decoder_width": 32, "decoder_blocks": 1}
    run = hs.pretrain(hs.load(str(photos), val_fraction=0.2), out=str(tmp_path / "run"), **words)
    (told,) = (f for f in run.data["findings"] if f["kind"] == "near copies")
    left_out = {Path(name).name for name in told["items"]}
    assert left_out <= {"copy-100.jpg", "copy-103.jpg", "copy-106.jpg"}
    assert left_out  # what val holds of them is judged by, and not learned from
    counts = run.data["counts"]
    assert counts["train"] + counts["val"] + len(left_out) == 51
    assert "not learned from" in told["sentence"]


def test_near_copies_of_test_texts_are_not_learned_from(tmp_path):
    texts = [text for text in paragraphs() if len(text) > 200][:60]
    frame = {"text": texts, "label": [str(i % 2) for i in range(len(texts))]}
    frame["split"] = ["test" if i < 12 else "train" for i in range(len(texts))]
    for number in (0, 5):
        frame["text"].append(texts[number] + " And so on.")
        frame["label"].append("0")
        frame["split"].append("train")
    data = hs.load(frame, label="label")
    words = {"objective": "clm", "max_length": 32, "vocabulary_size": 300, **FEW}
    run = hs.pretrain(data, out=str(tmp_path / "run"), **words)
    (told,) = (f for f in run.data["findings"] if f["kind"] == "near copies")
    assert 1 <= len(told["items"]) <= 2
    assert run.data["counts"]["train"] == len(data.train) - len(told["items"])


def drawn_folder(root: Path) -> Path:
    noise = np.random.default_rng(0)
    for split, num in (("train", 30), ("test", 10)):
        for number in range(num):
            path = root / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    for number in (0, 2, 4):  # to the bit, under other names
        copied = (root / "test" / "a" / f"{number}.png").read_bytes()
        (root / "train" / "b" / f"again-{number}.png").write_bytes(copied)
    return root


def texts_with_copies(root: Path) -> dict[str, list[str]]:
    del root
    texts = [f"{text.split()[0]} {number}" for number, text in enumerate(paragraphs()[:40])]
    texts += texts[:3]
    splits = ["test"] * 10 + ["train"] * 33
    return {"text": texts, "label": [str(i % 2) for i in range(43)], "split": splits}


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (drawn_folder, {"objective": "mae", "start": "scratch/vit-mini"}),
        (texts_with_copies, {"objective": "mlm", "max_length": 8, "vocabulary_size": 300}),
    ],
)
def test_what_given_splits_hold_on_both_sides_is_not_learned_from(make, more, tmp_path):
    source = make(tmp_path / "data")
    named = {} if isinstance(source, Path) else {"label": "label", "text": "text"}
    data = hs.load(source if isinstance(source, dict) else str(source), val_fraction=0.2, **named)
    twins = np.isin(data.train.contents, data.test.contents)
    assert twins.any()
    run = hs.pretrain(data, out=str(tmp_path / "run"), **FEW, **more)
    (told,) = (f for f in run.data["findings"] if f["kind"] == "near copies")
    assert len(told["items"]) >= twins.sum()
    assert f"{len(told['items'])} of {len(data.train)} training" in told["sentence"]
    assert run.data["counts"]["train"] == len(data.train) - len(told["items"])


@pytest.mark.parametrize("kind", ["tags", "pairs", "several", "texts"])
def test_what_is_labelled_in_any_way_can_be_left_out_and_pooled(kind):
    texts = [text for text in paragraphs() if len(text) > 100][:40]
    words = [text.split()[: 3 + n % 5] for n, text in enumerate(texts)]
    tags = [[("O", "B-x")[(n + i) % 2] for i in range(len(row))] for n, row in enumerate(words)]
    labels = [str(n % 2) for n in range(40)]
    data = {
        "tags": lambda: hs.load({"words": words, "tags": tags}, label="tags"),
        "pairs": lambda: hs.load(
            {"a": texts, "b": texts[::-1], "label": labels}, text="a,b", label="label"
        ),
        "several": lambda: hs.load(
            {"text": texts, "one": labels, "two": [float(n) for n in range(40)]},
            label="one,two",
        ),
        "texts": lambda: hs.load(
            {"text": texts, "told": texts[::-1]}, text="text", label="told", task="seq2seq"
        ),
    }[kind]()
    left = data.train.ids[:3].tolist()
    kept = without_train(data, left).train
    wanted = {int(i): row for i, row in zip(data.train.ids, data.train.targets, strict=True)}
    assert len(kept) == len(data.train) - 3
    for number, row in zip(kept.ids.tolist(), kept.targets, strict=True):
        assert np.array_equal(row, wanted[number])
    pool = pooled_data(data, ("train", "val", "test")).train
    assert len(pool) == len(pool.targets) == len(data.train) + len(data.val) + len(data.test)
    assert np.array_equal(pool.targets[len(pool) - 1], data.test.targets[len(data.test) - 1])


def test_workers_leave_out_what_the_main_process_has_settled():
    texts = [text for text in paragraphs() if len(text) > 100][:40]
    data = hs.load({"text": texts, "label": [str(i % 2) for i in range(40)]}, label="label")
    settled, corpus = Decisions(), corpus_of(data)
    assert apart_from_test(corpus, settled) is corpus
    ids = [int(data.train.ids[3])]
    settled.settle(NEAR_TEST, lambda: Decided(ids))
    kept = apart_from_test(corpus, settled)
    assert kept.labelled is not None
    assert len(kept.labelled.train) == len(data.train) - 1
    assert ids[0] not in kept.labelled.train.ids
    assert kept.fingerprint != corpus.fingerprint  # tokens in the cache are of other texts
    with pytest.raises(DataError, match="would be left out"):
        without_train(data, data.train.ids.tolist())
