"""Whether the ensembles that are chosen on val are better on test, and how often none is.

    python benchmarks/ensembles.py                # minutes on one core
    python benchmarks/ensembles.py --draws 5

Each draw deals a set of scikit-learn's anew into train, val and test. Five models of different
kinds learn from train; the probabilities of each are calibrated as ``fit_temperature`` does. The
best by val log loss is the single model; ``choose_ensemble`` says who answers with it, at equal
costs: two at most. Shown: how often an ensemble was taken, and the gains on test over all draws,
with 95 % intervals (Student's t); beside it what greedy selection without the check gives.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import t as student
from sklearn import datasets
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timing import markdown_table

from headstart.evaluation import fit_temperature, softmax
from headstart.searching import ensembling
from headstart.tasks import find_task

TASK = find_task("classification")
SETS = {"digits": "load_digits", "breast-cancer": "load_breast_cancer"}


def models(seed: int) -> list:
    """Return five kinds of model."""
    scaled = StandardScaler
    return [
        make_pipeline(scaled(), LogisticRegression(C=0.1, max_iter=300)),
        make_pipeline(scaled(), MLPClassifier((64,), max_iter=150, random_state=seed)),
        ExtraTreesClassifier(150, random_state=seed),
        HistGradientBoostingClassifier(max_iter=60, random_state=seed),
        make_pipeline(scaled(), KNeighborsClassifier(7)),
    ]


def noisy(features: np.ndarray, seed: int) -> np.ndarray:
    """Return features with noise, so that the sets are not solved."""
    rng = np.random.default_rng(10_000 + seed)
    return features + 0.8 * features.std(axis=0) * rng.normal(size=features.shape)


def draw(name: str, seed: int, num_val: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return calibrated probabilities of each model, val's before test's; targets of both."""
    found = getattr(datasets, SETS[name])()
    features, targets = noisy(found.data, seed), found.target
    order = np.random.default_rng(seed).permutation(len(targets))
    num_train = min(2 * num_val, (len(targets) - num_val) // 2)
    train, val, test = np.split(order, [num_train, num_train + num_val])
    outputs = []
    for model in models(seed):
        model.fit(features[train], targets[train])
        each = [np.log(np.maximum(model.predict_proba(features[p]), 1e-4)) for p in (val, test)]
        temperature = fit_temperature(each[0], targets[val])
        outputs.append(np.concatenate([softmax(one, temperature) for one in each]))
    return outputs, targets[val], targets[test]


def judged(probabilities: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return log loss and accuracy."""
    said = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(said).mean()), float((probabilities.argmax(axis=1) == targets).mean())


def gains(name: str, seed: int, num_val: int) -> tuple[bool, np.ndarray, np.ndarray]:
    """Return whether an ensemble was taken, and gains on test: of it, and without the check."""
    outputs, val, test = draw(name, seed, num_val)
    inner, outer = [one[: len(val)] for one in outputs], [one[len(val) :] for one in outputs]
    single = int(np.argmin([judged(one, val)[0] for one in inner]))
    alone = np.array(judged(outer[single], test))
    found = []
    for noise in (ensembling.NOISE, -np.inf):
        former, ensembling.NOISE = ensembling.NOISE, noise
        chosen = ensembling.choose_ensemble(inner, val, [1] * 5, task=TASK, single=single)
        ensembling.NOISE = former
        mean = sum(w * outer[p] for p, w in zip(chosen.places, chosen.weights, strict=True))
        now = np.array(judged(mean, test))
        found.append((len(chosen.places) > 1, (now - alone) * (-1, 100)))
    return found[0][0], found[0][1], found[1][1]


def interval(values: np.ndarray, digits: int) -> str:
    """Return the mean with its 95 % interval over draws."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    mean = values.mean()
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    rows = []
    for name, num_val in (
        ("breast-cancer", 120),
        ("digits", 120),
        ("digits", 300),
        ("digits", 550),
    ):
        found = [gains(name, seed, num_val) for seed in range(asked.draws)]
        checked, greedy = (np.array([one[k] for one in found]) for k in (1, 2))
        rows.append(
            [
                name,
                str(num_val),
                f"{sum(one[0] for one in found)} of {asked.draws}",
                interval(checked[:, 0], 4),
                interval(checked[:, 1], 2),
                interval(greedy[:, 0], 4),
                interval(greedy[:, 1], 2),
            ]
        )
        print(rows[-1], flush=True)
    columns = ["data", "val", "taken", "log loss gained", "points", "unchecked: gained", "points"]
    print(markdown_table(columns, rows))


if __name__ == "__main__":
    main()
