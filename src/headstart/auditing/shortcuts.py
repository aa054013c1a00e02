"""Whether a label can be read off something that is not what the label is about.

Images: small trees are asked, out of fold, for the class by how the file is made (size, shape,
format, colour mode), by its colours and by its border alone. Texts: by length, by writing and
script, by the first and the last words, and by any single word. Said from where a tree is so far
on the way from guessing (0) to certainty (1), as balanced accuracy of classes and R² of numbers;
the lower end of its interval counts, in which what belongs together counts once. How a file is made
is no part of what it shows, so a fifth of the way is enough there; roses are red, so colours must
nearly decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.out_of_fold import NUM_FOLDS, assign_folds
from headstart.auditing.plain_measures import (
    BORDER,
    COLOUR,
    LENGTH,
    MADE,
    SCRIPT,
    WRITING,
    Measures,
    measured,
)
from headstart.auditing.together import is_one, one_of_each, together_in, variance_of_sum
from headstart.evaluation.intervals import normal_interval
from headstart.tasks import PlainProblem, find_task
from headstart.types import Dataset, Finding

# How far on the way from guessing to certainty something may go before it is said.
BOUNDS = {MADE: 0.2, BORDER: 0.6, COLOUR: 0.8, LENGTH: 0.8, WRITING: 0.95, SCRIPT: 0.8}
MIN_ROWS = 60
MOST_CLASSES = 200
WORD_BOUND = 0.9  # correlation of having a word with having a class
ENDS_BOUND = 0.8
MOST_WORDS = 20_000
MIN_WITH_WORD = 20
_ENDS = (1, 2, 3)  # words
_LONGEST_MEAN_WORD = 14  # characters, with the blank after it


@dataclass(frozen=True)
class Skill:
    """How far something leads from guessing (0) to certainty (1), with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def skill_of(said: np.ndarray, problem: PlainProblem, groups: np.ndarray | None = None) -> Skill:
    """Return the skill of out-of-fold answers: of classes by balanced accuracy, of numbers by R².

    Args:
        said: Classes or numbers, shape (N,).
        problem: The truth.
        groups: int64, shape (N,), the same for samples that belong together, which the interval
            counts once; None where each stands alone.
    """
    targets = problem.targets
    if problem.num_classes == 0:
        errors, spread = (targets - said) ** 2, (targets - targets.mean()) ** 2
        if not (whole := float(spread.sum())) > 0:
            return Skill(0.0, 0.0, 0.0)
        value = 1 - float(errors.sum()) / whole
        parts = errors - (1 - value) * spread
        error = variance_of_sum(parts, groups) ** 0.5 / whole
    else:
        seen = [said[targets == k] == k for k in np.unique(targets)]
        chance = 1 / max(2, len(seen))
        rates = np.array([float(right.mean()) for right in seen])
        # one more right and one more wrong, so that none of three wrong is no certainty
        variances = [(r.sum() + 1) * (len(r) - r.sum() + 1) / (len(r) + 2) ** 3 for r in seen]
        value = (float(rates.mean()) - chance) / (1 - chance)
        variance = float(np.sum(variances))
        if groups is not None:
            _, of = np.unique(targets, return_inverse=True)
            right = (said == targets) - rates[of]
            variance = max(variance, variance_of_sum(right / np.bincount(of)[of], groups))
        error = variance**0.5 / len(seen) / (1 - chance)
    found = normal_interval(value, error, highest=1.0)
    return Skill(value, found.low, found.high)


def tree_skill(
    values: np.ndarray,
    problem: PlainProblem,
    folds: np.ndarray,
    groups: np.ndarray | None = None,
) -> Skill:
    """Return the out-of-fold skill of a small tree on a few numbers.

    Args:
        values: float32, shape (N, M); NaN where something is missing.
        problem: What is asked.
        folds: int64, shape (N,).
        groups: As ``skill_of`` takes them.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    targets, num_classes = problem.targets, problem.num_classes
    said = np.full(len(targets), np.nan)
    for fold in range(int(folds.max(initial=0)) + 1):
        is_asked = folds == fold
        learned = np.flatnonzero(~is_asked)
        if not is_asked.any() or not len(learned):
            continue
        shape = {"max_leaf_nodes": max(16, 4 * num_classes), "min_samples_leaf": 3}
        if num_classes:
            tree = DecisionTreeClassifier(class_weight="balanced", random_state=0, **shape)
        else:
            tree = DecisionTreeRegressor(random_state=0, **shape)
        said[is_asked] = tree.fit(values[learned], targets[learned]).predict(values[is_asked])
    return skill_of(said, problem, groups)


def large_classes(problem: PlainProblem) -> np.ndarray:
    """Return which samples are of a class that has enough for every fold, bool, shape (N,)."""
    if problem.num_classes == 0:
        return np.ones(len(problem.targets), dtype=bool)
    counts = np.bincount(problem.targets, minlength=problem.num_classes)
    found: np.ndarray = counts[problem.targets] >= 2 * NUM_FOLDS
    return found


def part_of(problem: PlainProblem, places: np.ndarray) -> PlainProblem:
    """Return the problem of these samples alone."""
    return PlainProblem(problem.targets[places], problem.num_classes)


def _applies(dataset: Dataset) -> bool:
    return not dataset.schema.facts.is_plain_column and bool(_problems(dataset))


def _problems(dataset: Dataset) -> Sequence[PlainProblem]:
    task = find_task(dataset.schema.task)
    return task.plain_problems(dataset.train.targets, len(dataset.schema.classes))


def shortcuts(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return by what trivial aspect of a sample its label can be told.

    Args:
        dataset: Images or texts; train is looked at.
        tools: Gives seed and time.
    """
    measures = measured(dataset, "train", seed=tools.seed, is_over=tools.is_over)
    is_read = np.isfinite(measures.values).any(axis=1)
    findings: list[Finding] = []
    for number, problem in enumerate(_problems(dataset)[:MOST_CLASSES]):
        if number and tools.is_over():
            break
        asked = part_of(problem, measures.places)
        is_used = is_read & large_classes(asked)
        used = np.flatnonzero(is_used)
        if len(used) < MIN_ROWS or len(np.unique(asked.targets[used])) < 2:
            continue
        asked = part_of(asked, used)
        together = together_in(dataset, "train", measures.places[used], tools)
        if is_one(together):
            continue
        findings += _by_measures(dataset, measures, used, asked, number, together)
        if dataset.schema.facts.has_words:
            texts = [dataset.train.samples.read(int(measures.places[i])) for i in used]
            findings += _by_words(dataset, texts, asked, number, together)
    if len(measures.places) < min(len(dataset.train), MIN_ROWS):
        sentence = "Shortcuts were not looked for: the time for audits was up."
        findings.append(Finding("shortcut", "note", (), sentence))
    return [Audited(found) for found in findings]


def _by_measures(
    dataset: Dataset,
    measures: Measures,
    used: np.ndarray,
    asked: PlainProblem,
    number: int,
    together: np.ndarray | None,
) -> list[Finding]:
    strata = asked.targets if asked.num_classes else np.zeros(len(used), np.int64)
    folds = assign_folds(strata, together)
    found = []
    for group in dict.fromkeys(measures.groups):
        values = measures.of(group)[used]
        varied = [v for v in range(values.shape[1]) if np.ptp(np.nan_to_num(values[:, v])) > 0]
        if not varied:
            continue
        skill = tree_skill(values[:, varied], asked, folds, together)
        if skill.low < BOUNDS[group]:
            continue
        noun = dataset.schema.facts.noun
        names = [
            name
            for name, own in zip(measures.columns, measures.groups, strict=True)
            if own == group
        ]
        shown = ", ".join(
            name for name, v in zip(names, range(len(names)), strict=True) if v in varied
        )
        sentence = (
            f"{_target(dataset, number)} can be told from {group} alone ({shown}), without looking "
            f"at what the {noun} {dataset.schema.facts.says}: {skill} of the way "
            "from guessing to certainty, on samples not learned from. A model may learn just that, "
            f"and fail on {noun}s made another way. Make the {noun}s of all classes alike in it."
        )
        found.append(Finding("shortcut", "warning", (), sentence))
    return found


def _by_words(
    dataset: Dataset,
    texts: Sequence[str],
    asked: PlainProblem,
    number: int,
    together: np.ndarray | None,
) -> list[Finding]:
    """Return what the first and the last words, or a single word, tell alone."""
    if asked.num_classes == 0:
        return []
    found = []
    split = [_words_of(text) for text in texts]
    target = _target(dataset, number)
    for side, where in ((slice(None), "first"), (slice(None, None, -1), "last")):
        best: tuple[Skill, int, str] | None = None
        for length in _ENDS:
            ends = [" ".join(words[side][:length][side]) for words in split]
            skill, example = _by_ends(ends, asked, together)
            if best is None or skill.low > best[0].low:
                best = skill, length, example
        assert best is not None
        if best[0].low >= ENDS_BOUND:
            skill, length, example = best
            words = "word" if length == 1 else f"{length} words"
            sentence = (
                f"{target} can be told from the {where} {words} of a text alone (such as "
                f"'{example[:40]}'): {skill} of the way from guessing to certainty. If that names "
                "the source and not the matter, take it off the texts."
            )
            found.append(Finding("shortcut", "warning", (), sentence))
    counted = one_of_each(together, len(split), 0)
    word = _telling_word([split[i] for i in counted], part_of(asked, counted))
    if word is not None:
        name, k, phi = word
        classes = dataset.schema.classes
        which = f"class '{classes[k]}'" if asked.num_classes == len(classes) else target
        sentence = (
            f"The word '{name[:40]}' alone tells {which}: having the one goes with having the "
            f"other (correlation {phi:.2f}). If it names the source and not the matter, take it "
            "off the texts."
        )
        found.append(Finding("shortcut", "warning", (), sentence))
    return found


def _words_of(text: str) -> list[str]:
    """Return the words of a text; its characters where blanks do not part words."""
    words = text.split()
    return words if len(text) <= _LONGEST_MEAN_WORD * max(1, len(words)) else list(text)


def _by_ends(
    ends: Sequence[str], asked: PlainProblem, together: np.ndarray | None
) -> tuple[Skill, str]:
    """Return the skill of the usual class of an end among all others of it, and the usual end."""
    names, of = np.unique(np.array(ends, dtype=object).astype(str), return_inverse=True)
    counts = np.zeros((len(names), asked.num_classes))
    np.add.at(counts, (of, asked.targets), 1)
    shares = np.bincount(asked.targets, minlength=asked.num_classes) + 1e-9
    # neither its own label counts, nor those of samples that it belongs together with
    groups = np.arange(len(of)) if together is None else together
    own = np.unique(of * (int(groups.max()) + 1) + groups, return_inverse=True)[1].reshape(-1)
    own_counts = np.zeros((int(own.max()) + 1, asked.num_classes))
    np.add.at(own_counts, (own, asked.targets), 1)
    without = counts[of] - own_counts[own]
    weighed = without / shares
    # an end that nobody else has says nothing: it counts as wrong
    said = np.where(without.sum(axis=1) > 0, weighed.argmax(axis=1), -1)
    return skill_of(said, asked, together), str(names[np.bincount(of).argmax()])


def _telling_word(
    split: Sequence[Sequence[str]], asked: PlainProblem
) -> tuple[str, int, float] | None:
    """Return the word that goes most with a class, that class and their correlation."""
    from sklearn.feature_extraction.text import CountVectorizer

    reader = CountVectorizer(
        analyzer=lambda words: {word.strip(".,;:!?\"'").lower() for word in words} - {""},
        binary=True,
        min_df=min(MIN_WITH_WORD, max(2, len(split) // 10)),
        max_features=MOST_WORDS,
    )
    try:
        has = reader.fit_transform(split).astype(np.float64)
    except ValueError:  # no word is in so many texts
        return None
    num = len(split)
    hot = np.eye(asked.num_classes)[asked.targets]
    both = np.asarray(has.T @ hot)
    with_word, with_class = np.asarray(has.sum(axis=0)).reshape(-1, 1), hot.sum(axis=0)
    spread = np.sqrt(with_word * (num - with_word) * with_class * (num - with_class))
    phi = (num * both - with_word * with_class) / np.maximum(spread, 1e-9)
    best = np.unravel_index(int(phi.argmax()), phi.shape)
    if phi[best] < WORD_BOUND:
        return None
    return str(reader.get_feature_names_out()[best[0]]), int(best[1]), float(phi[best])


def _target(dataset: Dataset, number: int) -> str:
    """Return what is told, in words."""
    task = find_task(dataset.schema.task)
    if task.has_classes and not task.is_exclusive:
        return f"Label '{dataset.schema.classes[number]}'"
    return "The class" if task.has_classes else "The target"


SHORTCUTS = Audit(
    name="shortcuts",
    question="Can the label be told without looking at what a sample shows or says?",
    applies=_applies,
    run=shortcuts,
    measures=True,
)
