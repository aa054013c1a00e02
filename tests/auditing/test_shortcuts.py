import numpy as np
import pytest
from PIL import Image
from planted import digits

from headstart.auditing.audit import AuditTools
from headstart.auditing.shortcut_columns import SHORTCUT_COLUMNS
from headstart.auditing.shortcuts import SHORTCUTS, skill_of
from headstart.data import load
from headstart.tasks import PlainProblem

RNG = np.random.default_rng(0)


def _folder(root, make):
    """Write 60 pictures of each of two classes, each as ``make`` draws it for its class."""
    for label in ("cat", "dog"):
        (root / label).mkdir()
        for number in range(60):
            image, form = make(label)
            image.save(root / label / f"{number}.{form}", quality=90)
    return load(str(root))


def _noise(width=40, height=40):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _bordered(label):
    pixels = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    pixels[:2] = pixels[-2:] = 250 if label == "cat" else 5
    pixels[:, :2] = pixels[:, -2:] = 250 if label == "cat" else 5
    return Image.fromarray(pixels), "png"


def _tinted(label):
    scale = np.array([1.0, 0.4, 0.4] if label == "cat" else [0.4, 0.4, 1.0])
    return Image.fromarray((RNG.integers(0, 256, (40, 40, 3)) * scale).astype(np.uint8)), "png"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda k: (_noise(40 if k == "cat" else 44), "png"), "how the file is made"),
        (lambda k: (_noise(), "png" if k == "cat" else "jpg"), "how the file is made"),
        (lambda k: (_noise().convert("L" if k == "cat" else "RGB"), "png"), "colour mode"),
        (_bordered, "its border"),
        (_tinted, "its colours"),
    ],
    ids=["size", "format", "grey", "border", "tint"],
)
def test_a_label_that_the_file_gives_away_is_told(tmp_path, make, word) -> None:
    found = SHORTCUTS.run(_folder(tmp_path, make), AuditTools())
    assert any(word in a.finding.sentence for a in found)
    assert {a.finding.kind for a in found} == {"shortcut"}


def test_real_digits_and_noise_have_no_shortcut(tmp_path) -> None:
    assert SHORTCUTS.run(digits(), AuditTools()) == []
    assert SHORTCUTS.run(_folder(tmp_path, lambda k: (_noise(), "png")), AuditTools()) == []


_WORDS = ["film", "plot", "scene", "we", "they", "saw", "that", "day", "some", "old", "house"]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda k, t: ("WASHINGTON (Reuters) - " if k else "") + t, "word"),
        (lambda k, t: t + (" [agency]" if k else " [blog]"), "last word"),
        (lambda k, t: t * 6 if k else t, "its length"),
        (lambda k, t: ("#spam: " if k else "#ham: ") + t, "first word"),
        (lambda k, t: f"{t} seen by agency {RNG.integers(99)}" if k else t, "'agency'"),
    ],
    ids=["source", "tag at the end", "length", "tag", "word within"],
)
def test_a_label_that_the_source_of_a_text_gives_away_is_told(make, word) -> None:
    labels = RNG.integers(0, 2, 300)
    texts = [make(k, " ".join(RNG.choice(_WORDS, RNG.integers(5, 12)))) for k in labels]
    dataset = load((texts, ["b" if k else "a" for k in labels]))
    found = SHORTCUTS.run(dataset, AuditTools())
    assert any(word in a.finding.sentence for a in found)


def test_what_chance_gives_texts_is_no_shortcut() -> None:
    texts = [" ".join(RNG.choice(_WORDS, RNG.integers(5, 12))) for _ in range(300)]
    labels = RNG.choice(["a", "b", "c"], 300)
    assert SHORTCUTS.run(load((texts, list(labels))), AuditTools()) == []


def _rows(**columns):
    import pandas as pd

    return pd.DataFrame({"x": RNG.normal(size=400), "y": RNG.normal(size=400), **columns})


def test_a_cell_that_is_there_only_after_the_outcome_is_told() -> None:
    died = RNG.integers(0, 2, 400)
    boat = np.where((died == 1) | (RNG.random(400) < 0.1), None, RNG.choice(["B2", "C"], 400))
    found = SHORTCUT_COLUMNS.run(load(_rows(boat=boat, died=died), label="died"), AuditTools())
    assert any(
        "Whether column 'boat' has a cell" in a.finding.sentence
        and "--drop boat" in a.finding.sentence
        for a in found
    )


def test_a_number_that_nearly_is_the_target_is_told() -> None:
    price = RNG.gamma(2, 100, 400)
    dataset = load(_rows(tax=price * RNG.normal(0.19, 0.003, 400), price=price), label="price")
    assert any("'tax'" in str(f) for f in dataset.findings) or any(
        "Column 'tax' alone" in a.finding.sentence
        for a in SHORTCUT_COLUMNS.run(dataset, AuditTools())
    )


def test_parts_of_a_total_are_told() -> None:
    casual, registered = RNG.integers(0, 300, 400), RNG.integers(0, 900, 400)
    frame = _rows(casual=casual, registered=registered, total=casual + registered)
    found = SHORTCUT_COLUMNS.run(load(frame, label="total"), AuditTools())
    sums = [a.finding for a in found if "weighted sum" in a.finding.sentence]
    assert [f.kind for f in sums] == ["leak"]
    assert "'registered', 'casual'" in sums[0].sentence


def test_columns_of_real_tables_have_no_shortcut_but_real_ones() -> None:
    from sklearn.datasets import load_diabetes, load_wine

    for maker in (load_diabetes, load_wine):
        dataset = load(maker(as_frame=True).frame, label="target")
        assert SHORTCUT_COLUMNS.run(dataset, AuditTools()) == []


def test_columns_not_looked_at_are_said() -> None:
    dataset = load(_rows(z=RNG.integers(0, 2, 400)), label="z")
    found = SHORTCUT_COLUMNS.run(dataset, AuditTools(is_over=lambda: True))
    assert "the last 1 column" in found[0].finding.sentence


def test_nothing_is_told_more_than_certainly() -> None:
    targets = np.arange(60) % 2
    found = skill_of(targets.astype(float), PlainProblem(targets, 2))
    assert (found.value, found.high) == (1.0, 1.0)
