"""Entities in rows of tags against what one counts by hand, and the likeliest row by trying all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from headstart.evaluation import TagSet, decode, entities_of, entity_f1, score_entities
from headstart.types import Ragged

TAGS = TagSet.of_entities(5)  # O B-a I-a B-b I-b


def _by_hand(row: list[int]) -> set[tuple[int, int, int]]:
    """Return first word, end and type of each entity: a B- and the I- of its type behind it."""
    found, at = set(), 0
    while at < len(row):
        if row[at] % 2 == 1:
            end = at + 1
            while end < len(row) and row[end] == row[at] + 1:
                end += 1
            found.add((at, end, (row[at] - 1) // 2))
        at += 1
    return found


def _draw(rng: np.random.Generator, lengths: list[int]) -> list[list[int]]:
    return [rng.integers(0, 5, length).tolist() for length in lengths]


def test_entities_are_those_that_one_counts_by_hand():
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows = _draw(rng, rng.integers(0, 9, 6).tolist())
        found = entities_of(Ragged.of(rows), TAGS)
        told = set(
            zip(
                found.row.tolist(),
                found.start.tolist(),
                found.end.tolist(),
                found.type.tolist(),
                strict=True,
            )
        )
        assert told == {(i, *one) for i, row in enumerate(rows) for one in _by_hand(row)}


def test_f1_is_strict_over_all_entities():
    rng = np.random.default_rng(1)
    for _ in range(50):
        lengths = rng.integers(1, 8, 12).tolist()
        wanted, said = _draw(rng, lengths), _draw(rng, lengths)
        hits = sum(len(_by_hand(a) & _by_hand(b)) for a, b in zip(wanted, said, strict=True))
        total = sum(len(_by_hand(row)) for row in [*wanted, *said])
        value, error = entity_f1(Ragged.of(said), Ragged.of(wanted), TAGS)
        assert value == pytest.approx(2 * hits / total if total else 0.0, abs=1e-12)
        assert error >= 0.0


def test_figures_are_those_of_seqeval_in_strict_mode():
    seqeval = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme")
    names = ["O", "B-a", "I-a", "B-b", "I-b"]
    rng, absent = np.random.default_rng(2), 0
    for case in range(200):
        lengths = rng.integers(1, 8, 10).tolist()
        wanted, said = _draw(rng, lengths), _draw(rng, lengths)
        if case % 4 == 0:  # a type that is only said, or is nowhere at all
            wanted = [[tag if tag < 3 else 0 for tag in row] for row in wanted]
        if case % 8 == 0:
            said = [[tag if tag < 3 else 0 for tag in row] for row in said]
        told = [[[names[k] for k in row] for row in rows] for rows in (wanted, said)]
        how = {"scheme": scheme.IOB2, "mode": "strict", "zero_division": 0}
        targets, decided = Ragged.of(wanted), Ragged.of(said)
        flat = rng.dirichlet(np.ones(5), len(targets.whole))
        outputs = Ragged(flat, targets.offsets)
        scores = score_entities(outputs, decided, targets, TAGS, ("a", "b"), num_resamples=0)
        of_target = flat[np.arange(len(flat)), targets.whole]
        expected = {
            "f1_entities": seqeval.f1_score(*told, **how),
            "precision_entities": seqeval.precision_score(*told, **how),
            "recall_entities": seqeval.recall_score(*told, **how),
            "f1_macro": seqeval.f1_score(*told, average="macro", **how),
            "accuracy": seqeval.accuracy_score(*told),
            "exact_match": np.mean([a == b for a, b in zip(wanted, said, strict=True)]),
            "log_loss": -np.log(of_target).mean(),
        }
        assert set(expected) == set(scores.figures)
        for name, value in expected.items():
            assert scores.figures[name].value == pytest.approx(value, abs=1e-9), (name, case)
        assert entity_f1(decided, targets, TAGS)[0] == pytest.approx(expected["f1_entities"])
        seen = seqeval.classification_report(*told, output_dict=True, **how)
        for kind in set(seen) & {"a", "b"}:
            mine = scores.per_class[kind]
            assert mine.f1.value == pytest.approx(seen[kind]["f1-score"], abs=1e-9)
            assert mine.precision.value == pytest.approx(seen[kind]["precision"], abs=1e-9)
            assert mine.recall.value == pytest.approx(seen[kind]["recall"], abs=1e-9)
            assert mine.support == seen[kind]["support"]
        absent += len(seen) < 5  # two types and three means
    assert absent >= 20


def test_the_likeliest_allowed_row_is_the_best_of_all_allowed_ones():
    rng = np.random.default_rng(3)
    allowed = TAGS.allowed()
    rows = [rng.normal(size=(length, 5)) for length in (1, 2, 4, 4, 3)]
    found = decode(Ragged.of(rows), TAGS)
    for scores, told in zip(rows, found, strict=True):
        best = max(
            (
                path
                for path in product(range(5), repeat=len(scores))
                if all(allowed[before, tag] for before, tag in zip((5, *path), path, strict=False))
            ),
            key=lambda path: sum(scores[i, tag] for i, tag in enumerate(path)),
        )
        assert told.tolist() == list(best)


def test_no_entity_of_a_decoded_row_goes_on_with_nothing():
    rng = np.random.default_rng(4)
    scores = Ragged.of([rng.normal(size=(length, 5)) for length in (30, 7, 1)])
    for row in decode(scores, TAGS):
        for before, tag in zip([0, *row.tolist()], row.tolist(), strict=False):
            assert tag % 2 == 1 or tag == 0 or before in (tag, tag - 1)


def test_tags_of_single_words_are_scored_by_their_accuracy():
    tags = TagSet.of_words(3)
    wanted, said = Ragged.of([[0, 1, 2], [2]]), Ragged.of([[0, 2, 2], [2]])
    assert entity_f1(said, wanted, tags)[0] == pytest.approx(0.75)


def test_intervals_count_sentences_and_hold_the_value():
    rng = np.random.default_rng(5)
    lengths = rng.integers(3, 12, 60).tolist()
    wanted = _draw(rng, lengths)
    said = [[tag if rng.random() < 0.8 else 0 for tag in row] for row in wanted]
    targets, decided = Ragged.of(wanted), Ragged.of(said)
    flat = np.full((len(targets.whole), 5), 0.05)
    flat[np.arange(len(flat)), decided.whole] = 0.8
    scores = score_entities(Ragged(flat, targets.offsets), decided, targets, TAGS, ("a", "b"))
    assert scores.num_items == 60
    assert set(scores.per_class) == {"a", "b"}
    for figure in scores.figures.values():
        assert figure.low <= figure.value <= figure.high
    doubled = score_entities(
        Ragged.joined([Ragged(flat, targets.offsets)] * 2),
        Ragged.joined([decided] * 2),
        Ragged.joined([targets] * 2),
        TAGS,
        ("a", "b"),
        groups=np.tile(np.arange(60), 2),
    )
    one, both = (found.figures["f1_entities"] for found in (scores, doubled))
    assert both.value == pytest.approx(one.value)
    assert both.high - both.low == pytest.approx(one.high - one.low, rel=0.05)
