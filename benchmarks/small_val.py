"""What few val items may choose: the penalty of a probe and its temperature, before and after.

    HEADSTART_DATA=… python benchmarks/small_val.py            # minutes on one core
    HEADSTART_DATA=… python benchmarks/small_val.py digits trec --sizes 20 36 --draws 5

Each draw deals a set's samples anew: so many val items, four times as many to learn from, at most
2,000 others as test. *Before*: the penalty with the smallest loss on val, and the likeliest
temperature of val. *After*: as ``fit_probe`` and ``fit_temperature`` have it, the penalty
cross-validated over train and val, the temperature with its prior. Shown are means over the draws,
the mean difference with its 95 % interval (Student's t over the draws, paired), and the log loss
where only one of the two is changed.

Features: of digits and breast cancer their columns, of flowers5 those of EfficientNet-Lite0 at 128
pixels, of trec and sms TF-IDF learned from the draw's train alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from results import sms_file
from scipy.stats import t as student
from timing import markdown_table

import headstart as hs
from headstart.evaluation import fit_temperature
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing import probe as probing
from headstart.tuning.features import features_of
from headstart.tuning.setup import set_up

Arrays = tuple[Any, np.ndarray]
Split = tuple[Arrays, Arrays, Arrays]
MOST_TEST, LEAST_TEST = 2_000, 50
TRAIN_A_VAL = 4


def arrays_of(features: Any, targets: np.ndarray) -> Callable[[int, int], Split]:
    """Return the function from val size and seed to train, val and test of features at hand."""

    def deal(num_val: int, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(len(targets))
        ends = np.cumsum([num_val, TRAIN_A_VAL * num_val, MOST_TEST])
        val, train, test = np.split(order, ends)[:3]
        return tuple((features[part], targets[part]) for part in (train, val, test))  # type: ignore[return-value]

    return deal


def scikit_learn(name: str) -> Callable[[int, int], Split]:
    """Return how a set that scikit-learn brings is dealt."""
    from sklearn import datasets

    found = getattr(datasets, name)()
    return arrays_of(found.data.astype(np.float32), found.target.astype(np.int64))


def flowers(root: Path) -> Callable[[int, int], Split]:
    """Return how the frozen features of flowers5 are dealt."""
    data = hs.load(str(root / "flowers5"), val_fraction=0.3)
    options = TrainingOptions(strategy="head", input_size=128)
    start = find_start("pip/efficientnet-lite0")
    setup = set_up(data, start, options, device=torch.device("cpu"))
    parts = [setup.preprocess.prepare(data, name) for name in ("train", "val", "test")]  # type: ignore[arg-type]
    features = np.concatenate([features_of(setup.model, part) for part in parts])  # type: ignore[arg-type]
    return arrays_of(features, np.concatenate([np.asarray(part.targets) for part in parts]))


def terms(source: str, **options: Any) -> Callable[[int, int], Split]:
    """Return how the texts of a set are dealt, as terms learned from train."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    data = hs.load(source, **options)
    splits = [data.train, data.val, data.test]
    texts = np.array([str(s.samples.read(i)) for s in splits for i in range(len(s))], dtype=object)
    targets = np.concatenate([np.asarray(split.targets) for split in splits])
    places = arrays_of(np.arange(len(texts)), targets)

    def deal(num_val: int, seed: int) -> Split:
        parts = places(num_val, seed)
        learned = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(texts[parts[0][0]])
        return tuple(  # type: ignore[return-value]
            (learned.transform(texts[where]).astype(np.float32), y) for where, y in parts
        )

    return deal


SETS: dict[str, Callable[[Path], Callable[[int, int], Split]]] = {
    "digits": lambda _: scikit_learn("load_digits"),
    "breast-cancer": lambda _: scikit_learn("load_breast_cancer"),
    "flowers5": flowers,
    "trec": lambda root: terms(str(root / "text" / "trec-qc"), label="coarse", text="text"),
    "sms": lambda root: terms(sms_file(root / "text"), header=["label", "text"], label="label"),
}


def measure(split: Split) -> Iterator[tuple[float, float]]:
    """Yield accuracy and log loss on test: before; penalty; temperature; both."""
    train, val, test = split
    num_outputs = int(max(part[1].max() for part in split)) + 1
    for is_crossed, is_shrunk in ((False, False), (True, False), (False, True), (True, True)):
        with patch.object(probing, "FEW_SAMPLES", 10**9 if is_crossed else 0):
            fitted = probing.fit_probe(*train, *val, task="classification", num_outputs=num_outputs)
        temperature = fit_temperature(fitted.val_logits, val[1], is_shrunk=is_shrunk)
        logits = fitted.logits(test[0]).astype(np.float64) / temperature
        logits -= logits.max(axis=1, keepdims=True)
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(test[1])), test[1]]
        yield float((logits.argmax(axis=1) == test[1]).mean()), float(loss.mean())


def interval(differences: np.ndarray, digits: int) -> str:
    """Return the mean with its 95 % interval over draws."""
    num = len(differences)
    half = student.ppf(0.975, num - 1) * differences.std(ddof=1) / num**0.5
    mean = differences.mean()
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[20, 36, 60, 100, 200])
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    root = Path(os.environ.get("HEADSTART_DATA", "data"))
    head = ["data", "val", "accuracy", "difference, points", "log loss", "difference"]
    rows = []
    for name in asked.sets:
        deal = SETS[name](root)
        for num_val in asked.sizes:
            if len(deal(num_val, 0)[2][1]) < LEAST_TEST:
                continue
            found = np.array([list(measure(deal(num_val, s))) for s in range(asked.draws)])
            (accuracy, loss), (before, after) = found.mean(axis=0).T, (0, 3)
            rows.append(
                [
                    name,
                    str(num_val),
                    f"{accuracy[before]:.3f} → {accuracy[after]:.3f}",
                    interval(100 * (found[:, after, 0] - found[:, before, 0]), 2),
                    f"{loss[before]:.3f} → {loss[after]:.3f}",
                    interval(found[:, after, 1] - found[:, before, 1], 3),
                    f"{loss[1]:.3f}",
                    f"{loss[2]:.3f}",
                ]
            )
            print(rows[-1], flush=True)
    print(markdown_table([*head, "penalty alone", "temperature alone"], rows))


if __name__ == "__main__":
    main()
