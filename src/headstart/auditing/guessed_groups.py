"""Groups that file names tell of and nobody has named: ``dog12_001.jpg``, ``subject03-017.png``.

A name is read as fields between marks; each field, each beginning of several, and a word with its
number may be a group where many files share it and it is not the class. Counters are such fields,
too, and so are years and sizes. So it is measured: of three samples of one class, two of one guess
and one of another, how often are the two nearer to one another, by the features of a frozen start?
Half of the time by chance, and what is told is beyond that by more than noise, counted by groups.

Nothing is done about a guess: a person knows what the names mean. Left out: folders, of which
loading asks; samples without file names, whose columns ``group_leaks`` looks at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Suspect
from headstart.auditing.out_of_fold import standardised
from headstart.auditing.pool import SPLITS, Pool, pooled, with_features
from headstart.auditing.together import variance_of_sum
from headstart.errors import quoted
from headstart.evaluation.intervals import normal_interval
from headstart.preprocessing.samples import ArraySamples
from headstart.tasks import find_task
from headstart.types import MODALITIES, Dataset, Finding, Severity

LEAST_GROUPS, LEAST_MEAN = 5, 2.0  # groups, and files of one
MOST_SHARE = 0.5  # of all files: the largest group
LEAST_NEARER, ERRORS = 0.6, 3.3  # one false alarm in a thousand
NEARLY_AS_NEAR = 0.1  # a coarser guess counts where it is no worse than this
MOST_JUDGED, MOST_FIELDS = 3_000, 6
GRAVE_SHARE = 0.05  # of test that has its group in train
_MARKS = r"_. \-"
_NUMBERED = re.compile(r"[A-Za-z]+[0-9]+")


@dataclass(frozen=True)
class _Guess:
    """What a pattern makes of the names: the group of each, int64, shape (N,)."""

    pattern: str
    codes: np.ndarray
    names: Sequence[str]


def _applies(dataset: Dataset) -> bool:
    is_file = MODALITIES[dataset.schema.modality].is_file or dataset.source is not None
    is_named = not isinstance(dataset.train.samples, ArraySamples) and is_file
    return is_named and dataset.train.groups is None and _has_suffix(dataset.train.samples.name(0))


def _has_suffix(name: str) -> bool:
    return bool(re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{0,4}", PurePosixPath(name).suffix))


def guessed_groups(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return the groups that file names tell of, where samples of one are nearer than others.

    Args:
        dataset: Samples with file names.
        tools: With features.
    """
    whole = pooled(dataset)
    samples = whole.samples(dataset)
    names = [samples[s].name(p) for s, p in zip(whole.splits, whole.places, strict=True)]
    guesses = list(guesses_of(names, _labels(dataset, whole)))
    if not guesses:
        return []
    pool, features = with_features(whole, tools)
    starts = np.cumsum([0, *(len(dataset.split(name)) for name in SPLITS[:-1])])
    places = starts[pool.splits] + pool.places
    labels = _labels(dataset, whole)[places]
    told: list[tuple[_Guess, float, float]] = []
    for guess in guesses:
        if tools.is_over():
            break
        value, error = nearer(features, guess.codes[places], labels, seed=tools.seed)
        if value >= LEAST_NEARER and value - ERRORS * error > 0.5:
            told.append((guess, value, error))
    if not told:
        return []
    best = max(value for _, value, _ in told)
    good = [one for one in told if one[1] >= best - NEARLY_AS_NEAR]
    chosen = min(good, key=lambda one: len(one[0].names))
    return [_told(dataset, whole, names, *chosen)]


def guesses_of(names: Sequence[str], labels: np.ndarray) -> Iterator[_Guess]:
    """Return what may be groups, each partition once, by the simplest pattern.

    Args:
        names: Paths below the folder of the data.
        labels: int64, shape (N,), the class of each: a group that says just that is none.
    """
    seen = set[bytes]()
    for pattern in _patterns(names):
        guess = _read(pattern, names)
        if guess is None or not _is_grouped(guess.codes, labels):
            continue
        key = guess.codes.tobytes()
        if key not in seen:
            seen.add(key)
            yield _plainest(guess, names)


def _patterns(names: Sequence[str]) -> list[str]:
    """Return patterns of one field of a name, of its first fields, and of a word with a number."""
    stems = [PurePosixPath(name).stem for name in names]
    fewest = min(len(_fields(stem)) for stem in stems)
    most = min(fewest, MOST_FIELDS)
    field, mark = f"[^/{_MARKS}]+", f"[{_MARKS}]+"
    begin = f"(?:^|/){mark[:-1]}*"
    found = []
    for number in range(1, most + 1):
        more = f"{mark}{field}" * (number - 1)
        # behind it another field, or the suffix
        found.append(f"{begin}({field}{more})(?:{mark}[^/]*)?$")
    found += [f"{begin}(?:{field}{mark}){{{k}}}({field})(?:{mark}[^/]*)?$" for k in range(1, most)]
    found += [rf"([^/]+?){mark}?[0-9]+\.[^./]+$", r"([A-Za-z]+[0-9]+)[^/]*$"]
    return found


def _fields(stem: str) -> list[str]:
    return [part for part in re.split(f"[{_MARKS}]+", stem) if part]


def _read(pattern: str, names: Sequence[str]) -> _Guess | None:
    """Return what a pattern makes of names; None where one lacks it."""
    compiled, found = re.compile(pattern), []
    for name in names:
        match = compiled.search(name)
        if match is None or not match[1]:
            return None
        found.append(match[1])
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(value, len(numbers)) for value in found], np.int64)
    return _Guess(pattern, codes, list(numbers))


def _is_grouped(codes: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether a partition may be one of groups: many, several of each, not the classes."""
    sizes = np.bincount(codes)
    if len(sizes) < LEAST_GROUPS or sizes.mean() < LEAST_MEAN:
        return False
    if sizes.max() > MOST_SHARE * len(codes):
        return False
    # a class must hold several groups, and these more than one sample of it
    pairs = np.unique(np.stack([labels, codes]), axis=1, return_counts=True)
    several = np.bincount(pairs[0][0][pairs[1] > 1])
    return bool((several > 1).any())


def _plainest(guess: _Guess, names: Sequence[str]) -> _Guess:
    """Return the same groups by a pattern that a person reads more easily, where there is one."""
    words = {re.sub("[0-9]+$", "", value) for value in guess.names}
    plain = ["([A-Za-z]+[0-9]+)", r"([^/]+)_[0-9]+\.", r"([^/_]+)_[^/]*$"]
    if len(words) == 1 and (word := words.pop()) and re.fullmatch(r"[\w. -]*[A-Za-z_. -]", word):
        plain = [f"({_escaped(word)}[0-9]+)", *plain]
    for pattern in plain:
        other = _read(pattern, names)
        if other is not None and np.array_equal(other.codes, guess.codes):
            return other
    return guess


def _escaped(word: str) -> str:
    return re.escape(word).replace(r"\-", "-").replace(r"\ ", " ")


def nearer(
    features: np.ndarray, codes: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> tuple[float, float]:
    """Return how often two samples of a group are nearer than one of another, and its error.

    All three are of one class; 0.5 is chance. Every group counts as one.

    Args:
        features: Shape (N, D).
        codes: int64, shape (N,), the groups.
        labels: int64, shape (N,), the classes.
        seed: Of the groups that are looked at where there are very many.
    """
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    sizes = np.bincount(codes, minlength=len(order))
    kept = order[np.cumsum(sizes[order]) <= max(MOST_JUDGED, sizes[order[0]])]
    chosen = np.flatnonzero(np.isin(codes, kept))
    rows, codes, labels = standardised(features[chosen]), codes[chosen], labels[chosen]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    shares, of = [], []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        alike, own = rows[places] @ rows[places].T, codes[places]
        for i in range(len(places)):
            is_mate = own == own[i]
            others = np.sort(alike[i][~is_mate])
            is_mate[i] = False
            if not len(others) or not is_mate.any():
                continue
            low = np.searchsorted(others, alike[i][is_mate], "left")
            high = np.searchsorted(others, alike[i][is_mate], "right")
            shares.append(float((low + high).mean()) / (2 * len(others)))
            of.append(own[i])
    groups, counts = np.unique(of, return_inverse=True, return_counts=True)[1:]
    if len(counts) < LEAST_GROUPS:
        return 0.5, 0.5
    means = np.bincount(groups, weights=shares) / counts
    value = float(means.mean())
    # never less than what so few groups could show by luck
    error = (variance_of_sum(means - value, None) / (len(means) * (len(means) - 1))) ** 0.5
    return value, max(error, 0.25 / len(means))


def _labels(dataset: Dataset, pool: Pool) -> np.ndarray:
    """Return the class of each sample; 0 where there is not one class a sample."""
    task = find_task(dataset.schema.task)
    problems = task.plain_problems(pool.targets(dataset), len(dataset.schema.classes))
    if len(problems) == 1 and problems[0].num_classes:
        return problems[0].targets.astype(np.int64)
    return np.zeros(len(pool), np.int64)


def _told(
    dataset: Dataset,
    pool: Pool,
    names: Sequence[str],
    guess: _Guess,
    value: float,
    error: float,
) -> Audited:
    is_test, is_train = pool.splits == 2, pool.splits == 0
    is_known = is_test & np.isin(guess.codes, guess.codes[is_train])
    share = float(is_known.sum() / max(1, is_test.sum()))
    nouns = dataset.schema.facts.nouns
    told = normal_interval(value, error, highest=1.0)
    torn = f"{share:.0%} of test has others of its group in train, so that figures speak of these"
    if not is_known.any():
        torn = "none of test has its group in train, but figures count each alone"
    sentence = (
        f"Names of files tell of groups: {len(names):,} {nouns} of {len(guess.names):,} "
        f"({quoted(list(guess.names), limit=3)}). Two of one are nearer to one another than to "
        f"one of another in {value:.0%} [{told.low:.0%}, {told.high:.0%}] of comparisons within "
        f"a class, where chance gives half; {torn}. If these are animals, patients, scenes or the "
        f"like, say --group {shlex.quote(guess.pattern)}: each then stays on one side, and figures "
        "count groups."
    )
    suspects = [
        Suspect(pool.spot(int(i)), f"of '{guess.names[guess.codes[i]]}'")
        for i in np.flatnonzero(is_known)[:100]
    ]
    items = [names[int(i)] for i in np.flatnonzero(is_known)[:100]]
    grave: Severity = "warning" if share >= GRAVE_SHARE else "note"
    return Audited(Finding("group", grave, items, sentence), suspects)


GUESSED_GROUPS = Audit(
    name="guessed groups",
    question="Do names of files tell of groups that nobody has named?",
    applies=_applies,
    run=guessed_groups,
    has_features=True,
)
