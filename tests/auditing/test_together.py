"""What belongs together shares a fold and counts once: groups by a name, copies, near copies."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from headstart.auditing.audit import AuditTools, Spot
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS
from headstart.auditing.drift import DRIFT
from headstart.auditing.near_images import NEAR_IMAGES
from headstart.auditing.near_texts import NEAR_TEXTS
from headstart.auditing.out_of_fold import assign_folds
from headstart.auditing.pool import pooled
from headstart.auditing.probe_features import ProbeFeatures
from headstart.auditing.running import run_audits
from headstart.auditing.shortcuts import SHORTCUTS, skill_of
from headstart.auditing.together import one_of_each, together_of
from headstart.auditing.two_samples import area_and_error
from headstart.data import load
from headstart.tasks import PlainProblem

NUM_ANIMALS, PHOTOS = 20, 12


@pytest.fixture(autouse=True)
def _no_start(monkeypatch):
    """Let images have their pixels and texts their terms: quick, and the same on every machine."""
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """Photos of twenty animals of two kinds, each of a colour and a texture of its own."""
    root, draw = tmp_path_factory.mktemp("animals"), np.random.default_rng(0)
    for animal in range(NUM_ANIMALS):
        own = draw.integers(30, 220, (1, 1, 3))
        shape = draw.normal(0, 40, (32, 32, 1))
        for photo in range(PHOTOS):
            pixels = own + shape + draw.normal(0, 12, (32, 32, 3))
            path = root / ["cat", "dog"][animal % 2] / f"animal{animal}_{photo}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return root


def _without_groups(dataset):
    parts = {
        n: dataclasses.replace(dataset.split(n), groups=None) for n in ("train", "val", "test")
    }
    return dataclasses.replace(dataset, **parts)


def _told(audit, dataset):
    tools = AuditTools(features=ProbeFeatures(dataset) if audit.has_features else None)
    return [each.finding.sentence for each in audit.run(dataset, tools)]


@pytest.fixture(scope="module")
def by_pattern(animals):
    return load(str(animals), group=r"animal(\d+)_")


def test_a_pattern_of_names_tells_folds_what_belongs_together(by_pattern) -> None:
    pool = pooled(by_pattern)
    together = together_of(by_pattern, pool, AuditTools())
    assert together.max() + 1 == NUM_ANIMALS
    folds = assign_folds(np.zeros(len(pool), np.int64), together)
    names = [
        by_pattern.split(pool.spot(i).split).samples.name(pool.spot(i).index)
        for i in range(len(pool))
    ]
    fold_of = {
        (name.split("animal")[1].split("_")[0], fold)
        for name, fold in zip(names, folds.tolist(), strict=True)
    }
    assert len(fold_of) == NUM_ANIMALS  # each in one fold


@pytest.mark.parametrize("audit", [DRIFT, SHORTCUTS], ids=lambda audit: audit.name)
def test_what_knows_the_animal_is_no_drift_and_no_shortcut_once_groups_are_told(
    audit, by_pattern
) -> None:
    unaware = _told(audit, _without_groups(by_pattern))
    assert any("a probe of features" in s or "its colours" in s for s in unaware), unaware
    assert _told(audit, by_pattern) == []


def test_texts_of_one_shop_do_not_vouch_for_a_wrong_label(tmp_path) -> None:
    pytest.importorskip("cleanlab")
    draw = np.random.default_rng(0)
    for shop in range(30):
        own = draw.integers(0, 10**6, 6)
        for number in range(6):
            word = ["good", "bad"][shop % 2]
            path = tmp_path / ["good", "bad"][(shop == 0) ^ (shop % 2)] / f"shop{shop}"
            path.mkdir(parents=True, exist_ok=True)
            fillers = " ".join(f"w{w}" for w in [*own, *draw.integers(0, 40, 4)])
            (path / f"{number}.txt").write_text(f"{word} {fillers}")
    dataset = load(str(tmp_path), group="folder")
    by_name = {}
    for name, data in (("told", dataset), ("untold", _without_groups(dataset))):
        tools = AuditTools(features=ProbeFeatures(data))
        suspects = [s for a in DOUBTFUL_LABELS.run(data, tools) for s in a.suspects][:6]
        names = [data.split(s.spot.split).samples.name(s.spot.index) for s in suspects]
        by_name[name] = sum("shop0/" in each for each in names)
    assert by_name["told"] >= 5 > 2 > by_name["untold"]


def test_near_copies_share_a_fold_in_the_audits_after(monkeypatch) -> None:
    draw = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in draw.integers(0, 400, 20)) for _ in range(100)]
    texts[50] = texts[3] + " signed"
    seen = {}

    def look(dataset, tools):
        seen["folds"] = together_of(dataset, pooled(dataset), tools)
        return []

    from headstart.auditing import audits

    monkeypatch.setitem(audits.AUDITS, "shortcuts", dataclasses.replace(SHORTCUTS, run=look))
    dataset = load((texts, ["a", "b"] * 50))
    why_not = dict.fromkeys(set(audits.AUDITS) - {NEAR_TEXTS.name, "shortcuts"}, "not asked")
    run_audits(dataset, AuditTools(), seconds=30, why_not=why_not)
    assert seen["folds"].max() + 1 == 99
    run_audits(dataset, AuditTools(), seconds=30, why_not={**why_not, NEAR_TEXTS.name: "no"})
    assert seen["folds"] is None


def test_copies_near_copies_and_groups_are_joined() -> None:
    frame = load((["one", "two", "three", "four", "five", "six"] * 5, ["a", "b"] * 15))
    first = Spot("train", 0)
    tools = AuditTools(near_copies=[[(first, Spot("train", 1))], [(first, Spot("test", 0))]])
    together = together_of(dataclasses.replace(frame, alike_by_chance=True), pooled(frame), tools)
    number = len(frame.train) + len(frame.val)
    assert together[0] == together[1] == together[number]
    assert together.max() + 1 == len(together) - 2


def test_near_copies_of_one_group_do_not_count_more_than_once(tmp_path) -> None:
    draw = np.random.default_rng(0)
    for animal in range(12):
        pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        for photo, quality in enumerate((95, 60, 40)):
            path = tmp_path / "ab"[animal % 2] / f"animal{animal}_{photo}.jpg"
            path.parent.mkdir(exist_ok=True)
            image.save(path, quality=quality)
    dataset = load(str(tmp_path), group=r"animal(\d+)_")
    told = [a.finding.sentence for a in NEAR_IMAGES.run(dataset, AuditTools())]
    assert not any(
        "count more than once" in sentence or "flatters" in sentence for sentence in told
    )
    alone = NEAR_IMAGES.run(_without_groups(dataset), AuditTools())
    assert any("count more than once" in a.finding.sentence for a in alone)


def test_intervals_count_what_belongs_together_once() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    targets = np.repeat(draw.integers(0, 2, 40), 25)
    said = np.where(np.repeat(draw.random(40) < 0.8, 25), targets, 1 - targets)
    problem = PlainProblem(targets, 2)
    wide, narrow = skill_of(said, problem, groups), skill_of(said, problem)
    assert wide.value == narrow.value
    # groups of 25 that are right or wrong as one: five times as wide
    assert (wide.value - wide.low) / (narrow.value - narrow.low) == pytest.approx(5, rel=0.1)
    scores = np.repeat(draw.normal(0, 1, 40), 25)
    area, error = area_and_error(scores, targets == 1, groups)
    once = area_and_error(scores[::25], targets[::25] == 1)
    assert (area, error) == (pytest.approx(once[0]), pytest.approx(once[1], rel=0.05))


def test_one_of_each_group_is_drawn() -> None:
    groups = np.array([3, 3, 3, 1, 1, 0])
    places = one_of_each(groups, 6, seed=1)
    assert sorted(groups[places]) == [0, 1, 3]
    assert one_of_each(None, 4, seed=0).tolist() == [0, 1, 2, 3]
