"""Who should answer where few val items choose: the best, the earliest of those alike, or two.

    python benchmarks/few_val.py                # two minutes on one core
    python benchmarks/few_val.py --draws 5

Each draw deals a set of scikit-learn's anew (``ensembles.py``) into train, a small val and test.
Five models of different kinds learn from train, in the order in which a search would make them: the
linear one first. Shown are mean test accuracy and log loss of what each rule hands over, and the
paired difference in accuracy to the rule ``highest score, then the lowest loss`` with its 95 %
interval (Student's t over draws).
"""

from __future__ import annotations

import argparse

import numpy as np
from ensembles import draw, interval, judged
from timing import markdown_table

from headstart.searching.ensembling import choose_ensemble
from headstart.searching.finalists import Finalist, choose_finalist
from headstart.tasks import find_task

TASK = find_task("classification")
RULES = ("highest score, then the lowest loss", "finalists", "ensemble", "all five")


def finalist(place: int, val: np.ndarray, targets: np.ndarray) -> Finalist:
    """Return a model as the search judges it."""
    losses = -np.log(val[np.arange(len(targets)), targets])
    score = float((val.argmax(axis=1) == targets).mean())
    error = (max(score * (1 - score), 0.25 / len(targets)) / len(targets)) ** 0.5
    return Finalist(str(place), False, score, losses, error)


def chosen(finalists: list[Finalist], outputs: list[np.ndarray], targets: np.ndarray) -> list:
    """Return the places, with weights, that each rule takes."""
    top = max(finalists, key=lambda one: (one.score, -one.loss))
    alike = [one for one in finalists if one.score >= top.score - top.standard_error]
    plain = int(min(alike, key=lambda one: (one.loss, -one.score)).name)
    single = int(choose_finalist(finalists)[0].name)
    together = choose_ensemble(outputs, targets, [1] * 5, task=TASK, single=single)
    pair = dict(zip(together.places, together.weights, strict=True))
    return [{plain: 1.0}, {single: 1.0}, pair, dict.fromkeys(range(5), 0.2)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    rows = []
    for name, num_val in (
        ("digits", 42),
        ("digits", 80),
        ("breast-cancer", 24),
        ("breast-cancer", 42),
    ):
        found = np.zeros((asked.draws, len(RULES), 2))
        for seed in range(asked.draws):
            outputs, val, test = draw(name, seed, num_val)
            inner, outer = (
                [one[p] for one in outputs] for p in (np.s_[: len(val)], np.s_[len(val) :])
            )
            finalists = [finalist(place, one, val) for place, one in enumerate(inner)]
            for rule, members in enumerate(chosen(finalists, inner, val)):
                mean = sum(weight * outer[place] for place, weight in members.items())
                found[seed, rule] = judged(mean, test)
        for rule, told in enumerate(RULES):
            gain = 100 * (found[:, rule, 1] - found[:, 0, 1])
            loss, accuracy = found[:, rule].mean(axis=0)
            shown = interval(gain, 2) if rule else ""
            rows.append([name, str(num_val), told, f"{accuracy:.4f}", f"{loss:.4f}", shown])
            print(rows[-1], flush=True)
    columns = ["data", "val", "rule", "accuracy", "log loss", "points"]
    print(markdown_table(columns, rows))


if __name__ == "__main__":
    main()
