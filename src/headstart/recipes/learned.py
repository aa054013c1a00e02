"""Which samples of other data a run has learned from: they are known by their content.

Neither name nor row counts, so that a file in another order and a photo under another name are
seen through. What merely looks alike is no copy: rows of few categories coincide with rows learned
from, and short texts are written again. As many as chance gives are scored, and said to be alike;
more are not. Where chance explains every row, one thing is asked still: whether the rows are, kind
by kind, so near to the run's own that it is the same file.
"""

from __future__ import annotations

import base64

import numpy as np

from headstart.data.chance import likeness, texts_by_chance
from headstart.data.identity import ordinals, row_identity
from headstart.errors import DataError
from headstart.preprocessing import TablePreprocess
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.recipes.findings import tell_findings
from headstart.recipes.run import Run
from headstart.types import Dataset, Finding

MUCH_MORE = 5  # times the number that chance gives, where that is a rough estimate
MANY_DEVIATIONS = 5  # above the number that chance gives, where the run's own data tells it
UNLIKELY = 1e-3


def not_learned_from(run: Run, dataset: Dataset) -> tuple[np.ndarray, list[Finding]]:
    """Return the places in the test split that the run has not seen, and findings on the others.

    Args:
        run: A finished run.
        dataset: Other data, or its own.

    Raises:
        DataError: The run has learned from all of it.
    """
    own, contents = own_contents(run), contents_of(run, dataset)
    if own is None or contents is None:
        return np.arange(len(dataset.test)), []
    learned = np.concatenate([own["train"], own["val"]])
    seen = np.isin(contents, learned)
    left_out = seen & ~_by_chance(run, dataset, contents, seen)
    chosen = np.flatnonzero(~left_out)
    if not len(chosen):
        raise DataError(
            f"All {len(seen):,} samples of {dataset.name} are among those that {run.path} has "
            f"learned from; expected others. Give data that it has not seen."
        )
    findings = []
    for places, severity, sentence in (
        (left_out, "note", "{} of {} samples are left out: the run has learned from them."),
        (
            seen & ~left_out,
            "note",
            "{} of {} samples look like samples that the run has learned from, about as many as "
            "chance makes of so few different ones: they are scored.",
        ),
    ):
        if places.any():
            names = [dataset.test.samples.name(int(i)) for i in np.flatnonzero(places)[:100]]
            said = sentence.format(f"{int(places.sum()):,}", f"{len(seen):,}")
            findings.append(Finding("learned", severity, names, said))  # type: ignore[arg-type]
    tell_findings(findings)
    return chosen, findings


def own_contents(run: Run) -> dict[str, np.ndarray] | None:
    """Return what the samples of each split of a run are; None where that was not kept."""
    kept = run.data.get("split_contents")
    if not kept:
        return None
    return {n: np.frombuffer(base64.b64decode(text), "<u8") for n, text in kept.items()}


def contents_of(run: Run, dataset: Dataset, name: str = "test") -> np.ndarray | None:
    """Return what the samples of a split are, rows by the columns that the model reads."""
    split = dataset.split(name)  # type: ignore[arg-type]
    read = run.preprocess
    if isinstance(split.samples, TableSamples) and isinstance(read, TablePreprocess):
        names = [c.name for c in read.spec.columns if c.name in split.samples.column_names]
        return row_identity(split.samples.table, names).content
    return split.contents


def _by_chance(run: Run, dataset: Dataset, contents: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return which samples, bool (N,), only look like those learned from."""
    none, samples = np.zeros(len(seen), bool), dataset.test.samples
    own = own_contents(run)
    if own is None or not seen.any():
        return none
    if isinstance(samples, TextSamples):
        places = np.flatnonzero(seen)
        alike = none.copy()
        alike[places[texts_by_chance(samples.texts, places)]] = True
    elif isinstance(samples, TableSamples):
        limit = _most_by_chance(run, samples, contents, own)
        alike = seen if int(seen.sum()) <= limit else none
    else:
        return none
    if not alike.any():
        return none
    asked = np.unique(contents[alike])
    everything = np.concatenate(list(own.values()))
    former, new = everything[np.isin(everything, asked)], contents[np.isin(contents, asked)]
    if not is_same_file(former, new):
        return alike
    # of each kind of row, as many as were learned from
    learned = np.concatenate([own["train"], own["val"]])
    values, counts = np.unique(learned, return_counts=True)
    places = np.minimum(np.searchsorted(values, contents), len(values) - 1)
    number = np.where(values[places] == contents, counts[places], 0)
    return alike & (ordinals(contents) >= number)


def _most_by_chance(
    run: Run, samples: TableSamples, contents: np.ndarray, own: dict[str, np.ndarray]
) -> float:
    """Return how many rows at most chance makes like those learned from."""
    total = len(contents)
    if run.data.get("alike_by_chance"):
        everything = np.concatenate(list(own.values()))
        counts = np.unique(everything, return_counts=True)[1]
        # Turing: what stands there once tells how often something new comes
        expected = total * (1 - int((counts == 1).sum()) / len(everything))
        return float(expected + MANY_DEVIATIONS * np.sqrt(expected))
    read = run.preprocess
    names = [c.name for c in read.spec.columns] if isinstance(read, TablePreprocess) else []
    chance = likeness(samples.table, contents, names)
    expected = total * (len(own["train"]) + len(own["val"])) * chance
    return float(min(MUCH_MORE * expected, total / 2))


def is_same_file(former: np.ndarray, new: np.ndarray) -> bool:
    """Return whether two sets of rows are nearer to each other than two draws ever are.

    Of each kind of row, the two numbers differ; the chance of so small a difference between two
    Poisson counts, over all kinds by Fisher's method.

    Args:
        former: uint64, contents.
        new: uint64, contents.
    """
    from scipy.stats import chi2

    kinds, codes = np.unique(np.concatenate([former, new]), return_inverse=True)
    codes = codes.reshape(-1)
    before = np.bincount(codes[: len(former)], minlength=len(kinds))
    after = np.bincount(codes[len(former) :], minlength=len(kinds))
    spread = np.sqrt(2 * np.pi * (before + after))
    chance = np.minimum(1.0, (2 * np.abs(before - after) + 1) / spread)
    return bool(chi2.sf(-2 * np.log(chance).sum(), 2 * len(kinds)) < UNLIKELY)
