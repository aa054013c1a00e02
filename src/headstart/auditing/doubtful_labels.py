"""Labels that a probe doubts which has not seen them: confident learning.

Of every sample, in whatever split, a probe of frozen features says what it is, learned from other
samples alone (``out_of_fold``), none of which belongs to it (``together``); cleanlab names the
labels that this contradicts and ranks them by the probability of the label as given
(self-confidence).

What a probe contradicts is mostly its own mistake where classes are hard to tell: on clean data
with an accuracy of 0.70 cleanlab doubts one label of six. So each doubt gets a certainty. Of all
pairs of a sample and a class, those tenth that the probe finds least likely show how often a label
is wrong whatever the sample is like; where samples are labelled so no more often than that, it is
the label that is wrong. The certainty is the ratio of the two rates, and a label is reported from
0.6 on. On clean data the rate in the least likely tenth is next to none, and nothing is reported;
where it is more than half of what guessing would give, the probe knows too little. Numbers: the
residual in units of the spread of residuals of like samples (1.4826 times the median of absolute
ones), since cleanlab's scores of regressions are ranks without a threshold.

Nothing of it is left out by itself: without its hard samples a test split would flatter. Left out:
classes of fewer samples than folds; labels of parts of a sample.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.doubts import MAX_SUSPECTS, Doubt, Extent, doubts_told, too_small
from headstart.auditing.out_of_fold import (
    NUM_FOLDS,
    FoldSums,
    Judged,
    assign_folds,
    boosted_voice,
    judge,
    neighbours_voice,
    standardised,
    tempered,
    terms_voice,
)
from headstart.auditing.pool import Pool, pooled, with_features
from headstart.auditing.together import is_one, together_of
from headstart.errors import PackageMissing
from headstart.extras import install_command
from headstart.preprocessing import TermPreprocess
from headstart.starts import find_start, learn_preprocess
from headstart.tasks import PlainProblem, find_task
from headstart.types import Dataset, Finding

LEAST_SAMPLES = 50
FLOOR_SHARE = 0.1  # of all pairs: those that the probe finds least likely
FLOOR_HITS = 10  # more of them where they hold fewer labels than this
MOST_FLOOR = 0.5  # of the pairs of a sample and a class that it was not given, on the average
MOST_OF_GUESSED = 0.5  # of that rate if labels were guessed: above it nothing is certain
MAX_CELLS = 20_000_000  # samples times classes
MAX_JUDGED = 200_000  # samples
MOST_GROWN = 50  # classes: each is a tree a round, and lines tell more of them as quickly
MAX_COMPARED = 20_000  # samples whose neighbours are asked, too
MAX_TERM_TEXTS = 20_000  # that the vocabulary is learned from
FAR = 8.0  # spreads: a normal residual is never there, and a heavy tail seldom
_BINS = 240
_LEAST_LOG, _ROWS_AT_ONCE = -12.0, 4_096
_LIKE_SAMPLES = 500  # whose residuals a spread is taken from


def _applies(dataset: Dataset) -> bool:
    task = find_task(dataset.schema.task)
    return bool(task.plain_problems(dataset.train.targets[:1], len(dataset.schema.classes)))


def require_cleanlab() -> None:
    """Refuse to look for doubtful labels where cleanlab is not installed.

    Raises:
        PackageMissing: Saying how to install it.
    """
    if find_spec("cleanlab") is None:
        raise PackageMissing(
            "Doubtful labels cannot be looked for: cleanlab is missing. Install it: "
            f"{install_command('headstart[check]')}."
        )


def doubtful_labels(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return the labels that look wrong, the most certain first.

    Args:
        dataset: The data; every split is looked at.
        tools: With features.
    """
    require_cleanlab()
    pool, features = with_features(pooled(dataset), tools)
    if len(pool) < LEAST_SAMPLES:
        sentence = (
            f"Doubtful labels were not looked for: {len(pool):,} samples are too few to learn from "
            f"some of them what the others are; expected {LEAST_SAMPLES} or more."
        )
        return [] if tools.is_quiet else [Audited(Finding("doubtful label", "note", (), sentence))]
    num_classes = max(1, len(dataset.schema.classes))
    most = min(MAX_JUDGED, MAX_CELLS // num_classes, tools.most_samples or MAX_JUDGED)
    if len(pool) > (most := max(LEAST_SAMPLES, most)):
        draw = np.random.default_rng(tools.seed)
        chosen = np.sort(draw.choice(len(pool), most, replace=False))
        pool, features = pool.take(chosen), features[chosen]
    task = find_task(dataset.schema.task)
    problems = task.plain_problems(pool.targets(dataset), len(dataset.schema.classes))
    probe = _Probe(dataset, pool, features, tools)
    if is_one(probe.together):
        sentence = (
            "Doubtful labels were not looked for: all samples belong together, as copies or by "
            "--group, so that none can be judged by what others say."
        )
        return [] if tools.is_quiet else [Audited(Finding("doubtful label", "note", (), sentence))]
    doubts: list[Doubt] = []
    untold: list[str] = []
    looked = done = 0
    for number, problem in enumerate(problems):
        if number and tools.is_over():
            break
        judged, judgeable = probe.judged(problem)
        looked = max(looked, int(judged.is_done.sum()))
        found = _of_numbers if problem.num_classes == 0 else _of_classes
        doubts += found(number, problem, judged, judgeable)
        if problem.num_classes and not judgeable.all():
            untold += too_small(dataset, problem, number, len(problems), judgeable)
        done += 1
    extent = Extent(looked, done, len(problems))
    return doubts_told(dataset, pool, doubts, untold, extent, is_quiet=tools.is_quiet)


class _Probe:
    """What judges the samples of a pool, problem by problem; what problems share is made once."""

    def __init__(
        self, dataset: Dataset, pool: Pool, features: np.ndarray, tools: AuditTools
    ) -> None:
        self.features, self.tools = features, tools
        self.together = together_of(dataset, pool, tools)
        self.is_table = dataset.schema.facts.is_plain_column
        self.terms = None
        if dataset.schema.facts.has_words:
            self.terms = _terms(dataset, pool, tools.seed)
        self._sums: FoldSums | None = None
        self._of: np.ndarray | None = None

    def judged(self, problem: PlainProblem) -> tuple[Judged, np.ndarray]:
        """Return what is said of each sample, and which samples can be judged, bool, shape (N,)."""
        targets, num_classes = problem.targets, problem.num_classes
        strata = targets if num_classes else np.zeros(len(targets), np.int64)
        if self._of is None:  # the same folds for all labels of a sample: their sums are shared
            self._of = assign_folds(strata, self.together, seed=self.tools.seed)
        folds, sums = self._of, self._sums_of(self._of)
        judgeable = np.ones(len(targets), dtype=bool)
        shrinkage = sums.best_shrinkage(targets, num_classes) if num_classes else 0.0
        speakers = []
        if self.is_table and num_classes <= MOST_GROWN:
            speakers.append(boosted_voice(self.features, targets, num_classes, seed=0))
        elif num_classes and self.terms is not None:
            speakers.append(terms_voice(self.terms, targets, num_classes, seed=0))
        elif num_classes and len(targets) <= MAX_COMPARED:
            rows = self._sums_of(self._of).features
            speakers.append(neighbours_voice(rows, targets, num_classes, seed=0))

        def voices(fold: int) -> list[np.ndarray]:
            learned, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            said = [speak(learned, asked) for speak in speakers]
            if num_classes == 0:
                return said or [sums.values(targets, fold)[:, None]]
            return [*said, sums.logits(targets, num_classes, fold, shrinkage)]

        if num_classes:
            judgeable = _num_elsewhere(targets, folds, num_classes) >= NUM_FOLDS - 1
        return judge(voices, folds, max(1, num_classes), self.tools.is_over), judgeable

    def _sums_of(self, folds: np.ndarray) -> FoldSums:
        if self._sums is None:
            self._sums = FoldSums(standardised(self.features, seed=self.tools.seed), folds)
        return self._sums


def _num_elsewhere(targets: np.ndarray, folds: np.ndarray, num_classes: int) -> np.ndarray:
    """Return of each sample how many of its class its fold is judged from, shape (N,)."""
    table = np.zeros((int(folds.max()) + 1, num_classes), np.int64)
    np.add.at(table, (folds, targets), 1)
    found: np.ndarray = table.sum(axis=0)[targets] - table[folds, targets]
    return found


def _terms(dataset: Dataset, pool: Pool, seed: int) -> object:
    """Return the terms of texts, CSR, as many rows as the pool has."""
    samples = pool.samples(dataset)
    texts = [samples[s].read(p) for s, p in zip(pool.splits, pool.places, strict=True)]
    some = np.random.default_rng(seed).permutation(len(texts))[:MAX_TERM_TEXTS]
    learned = learn_preprocess(find_start("scratch/tfidf"), [texts[i] for i in some.tolist()])
    assert isinstance(learned, TermPreprocess)
    return learned.weights(texts)


def certainties(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return how certain it is of each label that it is wrong, shape (N,), in [0, 1].

    Args:
        probabilities: Calibrated, out of fold, shape (N, K).
        given: int64, shape (N,).
    """
    from sklearn.isotonic import IsotonicRegression

    edges = np.linspace(_LEAST_LOG, 0.0, _BINS + 1)[1:-1]
    pairs, guessed, of_given = np.zeros(_BINS), np.zeros(_BINS), np.empty(len(given), np.int64)
    shares = np.bincount(given, minlength=probabilities.shape[1]) / len(given)
    for start in range(0, len(given), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        bins = np.digitize(np.log10(np.maximum(probabilities[part], 10**_LEAST_LOG)), edges)
        of_given[part] = bins[np.arange(len(bins)), given[part]]
        pairs += np.bincount(bins.reshape(-1), minlength=_BINS)
        guessed += np.bincount(bins.reshape(-1), np.tile(shares, len(bins)), _BINS)
    hits = np.bincount(of_given, minlength=_BINS).astype(np.float64)
    below, found_below = np.cumsum(pairs), np.cumsum(hits)
    # a rate of two in a hundred says little: more pairs, where so many hold few such labels
    last = min(
        max(
            int(np.searchsorted(below, FLOOR_SHARE * below[-1])),
            int(np.searchsorted(found_below, FLOOR_HITS)),
        ),
        int(np.searchsorted(below, MOST_FLOOR * (below[-1] - len(given)))),
    )
    floor = hits[: last + 1].sum() / max(1.0, pairs[: last + 1].sum())
    if hits[: last + 1].sum() > MOST_OF_GUESSED * guessed[: last + 1].sum():
        return np.zeros(len(given))
    used = np.flatnonzero(pairs)
    rising = IsotonicRegression().fit(used, hits[used] / pairs[used], pairs[used])
    rate_of = np.zeros(_BINS)
    rate_of[used] = rising.predict(used)
    found: np.ndarray = np.minimum(1.0, floor / np.maximum(rate_of[of_given], 1e-12))
    return found


def _of_classes(
    number: int, problem: PlainProblem, judged: Judged, judgeable: np.ndarray
) -> list[Doubt]:
    """Return what cleanlab doubts of one class a sample, the most doubtful first."""
    from cleanlab.filter import find_label_issues

    done = np.flatnonzero(judged.is_done)
    given = problem.targets[done]
    chances = tempered(judged, problem.targets)
    seen = np.unique(given)  # cleanlab wants every class to occur
    if len(seen) < 2:
        return []
    renumbered = np.searchsorted(seen, given)
    shares = chances[:, seen] / chances[:, seen].sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small classes the audit itself says what is not judged
        ranked = find_label_issues(
            renumbered, shares, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    certain = certainties(shares, renumbered)
    best = shares.argmax(axis=1)
    return [
        Doubt(
            int(done[i]),
            number,
            float(given[i]),
            float(seen[best[i]]),
            float(shares[i, best[i]]),
            float(certain[i]),
        )
        for i in ranked.tolist()
        if judgeable[done[i]] and best[i] != renumbered[i]
    ]


def _of_numbers(
    number: int, problem: PlainProblem, judged: Judged, judgeable: np.ndarray
) -> list[Doubt]:
    """Return the numbers that are far from what is said of them, the farthest first."""
    done = np.flatnonzero(judged.is_done)
    given, said = problem.targets[done], judged.logits[0, done, 0].astype(np.float64)
    away = np.abs(given - said) / _spreads(said, given - said)
    order = np.argsort(-away, kind="stable")
    return [
        Doubt(
            int(done[i]),
            number,
            float(given[i]),
            float(said[i]),
            float(away[i]),
            float(np.clip(1 - FAR / (2 * away[i]), 0, 1)),
        )
        for i in order[:MAX_SUSPECTS].tolist()
        if away[i] >= FAR / 2
    ]


def _spreads(said: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return the spread of the residuals of samples of which the like is said, shape (N,)."""
    order = np.argsort(said, kind="stable")
    found = np.empty(len(said))
    whole = 1.4826 * float(np.median(np.abs(residuals)))
    for part in np.array_split(order, max(1, len(said) // _LIKE_SAMPLES)):
        found[part] = 1.4826 * float(np.median(np.abs(residuals[part])))
    # where most are met exactly, a spread of next to none would doubt all others
    least = max(0.1 * whole, 1e-9 * float(np.abs(said).max(initial=0.0)), 1e-300)
    return np.maximum(found, least)


DOUBTFUL_LABELS = Audit(
    name="doubtful labels",
    question="Which labels look wrong?",
    applies=_applies,
    run=doubtful_labels,
    has_features=True,
    require=require_cleanlab,
)
