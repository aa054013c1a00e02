"""Images that are nearly the same: resized, mirrored, recompressed, cropped, brightened, padded.

A hash of windows proposes pairs (``windows``), the pixels decide once one picture is laid over the
other (``alignment``). Two photographs of one scene are no copies: their outlines may agree, their
details do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from headstart.auditing.alignment import Likeness, align
from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.near_pairs import Everyone, NearPairs, describe_pairs
from headstart.auditing.pictures import LEAST_CONTRAST, Pictures, is_bare, read_pictures
from headstart.auditing.windows import Proposals, propose, window_ends
from headstart.cores import usable_cores
from headstart.preprocessing.levels import range_of
from headstart.preprocessing.samples import take
from headstart.types import Dataset, Finding

WRONG, LEAST_WRONG = 0.06, 0.001  # 1 - correlation of grey levels that a copy may have
DETAIL, COLOUR = 0.8, 0.7  # least correlations of a copy that is as wrong as may be
SPARED = (
    3.0  # of detail for each part of the grey levels that is less wrong: smooth images have none
)
# Where likeness is chance, there are many times more pairs up to twice as far apart (eight times,
# if pictures vary in six ways); copies stand alone.
GROWTH, LEAST_GROWTH = 3, 10  # times, and pairs, that are too many more
PAIRS_AN_IMAGE = 2  # that are laid over one another, on average
BY_CHANCE = 0.96  # the most that is certain where likeness is chance: below ``near_pairs.STRONG``
BLOCK = 4096  # pairs whose pixels are held at once


def near_images(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return images that are nearly the same, across splits first.

    Args:
        dataset: Of images.
        tools: Its clock is looked at.
    """
    everyone = Everyone(dataset)
    first, node_of = everyone.nodes()
    value_range = range_of(dataset.grey_levels)
    pictures = read_pictures(take(everyone, first), tools.is_over, value_range)
    if pictures is None:
        return [_too_late(len(everyone))]
    proposals = _proposals(pictures, tools.is_over)
    if proposals is None:
        return [_too_late(len(everyone))]
    nearest = _nearest(proposals, len(first))
    likeness = _compare(pictures.pixels, nearest, tools.is_over)
    if likeness is None:
        return [_too_late(len(everyone))]
    allowed = _allowed(likeness, is_cut=len(nearest.first) < len(proposals.first))
    pairs = _decided(pictures.owners, nearest, likeness, allowed)
    found = describe_pairs(dataset, everyone, node_of, pairs)
    found += _unlooked(pictures, everyone, first) + _by_chance(likeness, allowed)
    return _in_one(found + _crowd(proposals, nearest, pictures.owners))


def image_pairs(pictures: Pictures, num_images: int) -> tuple[NearPairs, float]:
    """Return pairs of images that are nearly the same, and how wrong such a pair may be.

    Args:
        pictures: Of so many images.
        num_images: That number.
    """
    proposals = _proposals(pictures, lambda: False)
    assert proposals is not None  # nobody stops it
    nearest = _nearest(proposals, num_images)
    likeness = _compare(pictures.pixels, nearest)
    assert likeness is not None  # nobody stops it
    allowed = _allowed(likeness, is_cut=len(nearest.first) < len(proposals.first))
    return _decided(pictures.owners, nearest, likeness, allowed), allowed


def _proposals(pictures: Pictures, is_over: Callable[[], bool]) -> Proposals | None:
    """Return pairs of pictures that may show the same, those of one colour left out.

    Of a shape on a plain ground there is no picture without the ground, which all would share.
    """
    _, whole = np.unique(pictures.owners, return_index=True)
    is_cut = np.ones(len(pictures.owners), bool)
    is_cut[whole] = False
    is_left_out = is_cut & is_bare(pictures.pixels[whole])[pictures.owners]
    chosen = np.flatnonzero(~(is_left_out | pictures.is_plain[pictures.owners]))
    found = propose(pictures.pixels[chosen], pictures.owners[chosen], is_over)
    if found is None:
        return None
    is_crowded = np.zeros(len(pictures.owners), bool)
    is_crowded[chosen] = found.is_crowded
    return replace(
        found, first=chosen[found.first], second=chosen[found.second], is_crowded=is_crowded
    )


def _nearest(proposals: Proposals, num_images: int) -> Proposals:
    """Return as many pairs as can be laid over one another, the nearest; mostly, all."""
    number = PAIRS_AN_IMAGE * num_images
    if len(proposals.first) <= number:
        return proposals
    return proposals.take(np.sort(np.argpartition(proposals.apart, number)[:number]))


def _compare(
    pixels: np.ndarray, proposals: Proposals, is_over: Callable[[], bool] = lambda: False
) -> Likeness | None:
    """Return how alike the proposed pairs are; None if the time is up before."""

    def compare(start: int) -> Likeness | None:
        if is_over():
            return None
        part = slice(start, start + BLOCK)
        second, is_mirrored = pixels[proposals.second[part]], proposals.is_mirrored[part]
        second[is_mirrored] = second[is_mirrored][:, :, ::-1]
        windows = proposals.windows[part]
        down, across = zip(*(window_ends(windows[:, i]) for i in (0, 1)), strict=True)
        turned = np.where(is_mirrored[:, None], 1 - across[1][:, ::-1], across[1])
        return align(pixels[proposals.first[part]], second, down, (across[0], turned))

    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(pool.map(compare, range(0, len(proposals.first), BLOCK)))
    done = [part for part in parts if part is not None]
    return Likeness.joined(done) if len(done) == len(parts) else None


def _fits(likeness: Likeness) -> np.ndarray:
    """Return which pairs agree in detail and colour, bool (P,)."""
    spared = SPARED * np.maximum(0, WRONG - (1 - likeness.grey))
    is_alike = (likeness.detail >= DETAIL - spared) & (likeness.colour >= COLOUR)
    return np.asarray(is_alike & (likeness.contrast >= LEAST_CONTRAST) & likeness.is_told)


def _allowed(likeness: Likeness, *, is_cut: bool) -> float:
    """Return how wrong a copy may be among these images: as far as copies stand alone.

    Args:
        likeness: Of pairs.
        is_cut: Whether there were so many pairs alike in outline that only the nearest were
            compared: then likeness is chance until the opposite is seen, from the nearest on.
    """
    wrong = 1 - likeness.grey[_fits(likeness)]

    def is_lone(allowed: float) -> bool:
        near, wider = (int((wrong <= limit).sum()) for limit in (allowed, 2 * allowed))
        return wider - near < LEAST_GROWTH or wider <= GROWTH * near

    limits = WRONG / 2.0 ** np.arange(int(np.log2(WRONG / LEAST_WRONG)) + 1)
    if is_cut:
        limits = limits[::-1]
        lone = [is_lone(limit) for limit in limits]
        return float(limits[max(0, lone.index(False) - 1)]) if False in lone else WRONG
    return float(next((limit for limit in limits if is_lone(limit)), LEAST_WRONG))


def _decided(
    owners: np.ndarray, proposals: Proposals, likeness: Likeness, allowed: float
) -> NearPairs:
    """Return the pairs that are copies, each once, the best of their pictures."""
    wrong = 1 - likeness.grey
    chosen = np.flatnonzero(_fits(likeness) & (wrong <= allowed))
    ends = np.sort(np.column_stack([owners[proposals.first], owners[proposals.second]])[chosen])
    order = np.lexsort((-likeness.grey[chosen], ends[:, 1], ends[:, 0]))
    ends, chosen = ends[order], chosen[order]
    is_first = np.ones(len(ends), bool)
    is_first[1:] = (ends[1:] != ends[:-1]).any(1)
    ends, chosen = ends[is_first], chosen[is_first]
    grey, mirrored = likeness.grey[chosen], proposals.is_mirrored[chosen]
    common = likeness.common[chosen]

    def how(number: int) -> str:
        told = f"pixels agree to {grey[number]:.3f}"
        if common[number] < 0.97:
            told += f" on the {common[number]:.0%} that both show"
        return told + (", mirrored" if mirrored[number] else "")

    means = "resized, mirrored, recompressed, cropped or brightened"
    most = 1.0 if allowed == WRONG else BY_CHANCE  # two strokes of a pen are no leak
    return NearPairs(ends[:, 0], ends[:, 1], np.minimum(grey, most), how, means)


def _unlooked(pictures: Pictures, everyone: Everyone, first: np.ndarray) -> list[Audited]:
    """Return how many images of one colour were not compared."""
    plain = np.flatnonzero(pictures.is_plain)
    if not len(plain):
        return []
    names = [everyone.name(int(first[i])) for i in plain[:100]]
    sentence = (
        f"{len(plain):,} images are of one colour, nearly, or cannot be read, such as {names[0]}: "
        "they were not looked at for near copies."
    )
    if len(plain) == 1:
        sentence = (
            f"{names[0]} is of one colour, nearly, or cannot be read: it was not looked at for "
            "near copies."
        )
    return [Audited(Finding("near copies", "note", names, sentence))]


def _by_chance(likeness: Likeness, allowed: float) -> list[Audited]:
    """Return that pairs are alike by chance, where fewer are counted for it."""
    alike = int((_fits(likeness) & (1 - likeness.grey <= WRONG)).sum())
    if allowed == WRONG or not alike:
        return []
    sentence = (
        f"{alike:,} pair{'' if alike == 1 else 's'} of images look nearly the same (they agree to "
        f"{1 - WRONG:.2f} or more), as digits and drawings do by chance: only what agrees to "
        f"{1 - allowed:.4f} counts as a near copy here."
    )
    return [Audited(Finding("near copies", "note", (), sentence))]


def _crowd(proposals: Proposals, nearest: Proposals, owners: np.ndarray) -> list[Audited]:
    """Return how many images are alike in outline, where not all pairs of these were looked at."""
    crowded = len(np.unique(owners[proposals.is_crowded]))
    if not crowded and len(nearest.first) == len(proposals.first):
        return []
    sentence = (
        f"{crowded:,} images have the outline of many others, as drawings and digits do; of "
        f"{len(proposals.first):,} pairs alike in outline the {len(nearest.first):,} nearest were "
        "looked at for near copies."
    )
    return [Audited(Finding("near copies", "note", (), sentence))]


def _in_one(found: Sequence[Audited]) -> list[Audited]:
    """Return what was found with one note on what was not looked at, or counts for less."""
    notes = [a.finding for a in found if a.finding.severity == "note" and not a.suspects]
    if len(notes) < 2:
        return list(found)
    items = [name for note in notes for name in note.items]
    sentence = " ".join(note.sentence for note in notes)
    others = [audited for audited in found if audited.finding not in notes]
    return [*others, Audited(Finding("near copies", "note", items, sentence))]


def _too_late(number: int) -> Audited:
    sentence = f"There was no time to compare {number:,} images: near copies were not looked for."
    return Audited(Finding("near copies", "warning", (), sentence))


NEAR_IMAGES = Audit(
    name="near images",
    question="Do nearly the same images stand twice, or on both sides of the split?",
    applies=lambda dataset: dataset.schema.facts.is_looked_at,
    run=near_images,
    finds_copies=True,
    # digits, 5,000 of 28 pixels: 1.26 ms of one core; half of it, for faster machines and two cores
    seconds_per_sample=0.6e-3,
)
