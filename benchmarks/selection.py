"""How well rankings of starts agree with what fine-tuning all of them found.

``tables`` computes it from tables that others have published (not part of this repository):
``tmlr.txt`` (13 scorers, 10 networks, 11 data sets: Chaves et al. 2024) and the matrices of
checkpoints and tasks of two-phase selection (text: 39 x 21, images: 30 x 6).

    python benchmarks/selection.py tables FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from headstart.ranking.agreement import (
    mean_ranks,
    noise_ceiling,
    regret,
    static_ranks,
    weighted_tau,
)

DIMENSIONS = (1024, 2208, 1664, 1280, 1280, 1280, 512, 512, 2048, 384)  # of the features
PARAMETERS = (8.0, 28.7, 14.1, 5.3, 1.9, 3.4, 11.7, 21.8, 25.6, 22.1)  # millions


def read_scorers(path: Path) -> dict[str, np.ndarray]:
    """Return what ``tmlr.txt`` holds: each scorer, and ``acc``, as (data sets, networks)."""
    rows: dict[str, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            _, scorer, values = line.split()
            rows.setdefault(scorer, []).append([float(v) for v in values.split(",")])
    return {scorer: np.array(values) for scorer, values in rows.items()}


def read_matrix(path: Path) -> np.ndarray:
    """Return accuracies of a matrix of checkpoints, (data sets, checkpoints), as published."""
    lines = path.read_text().splitlines()[1:]
    return np.array([[float(v) for v in line.split("\t")] for line in lines if line.strip()])


def summary(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean and lowest weighted tau, and regret of one and of three in points."""
    taus = [weighted_tau(s, t) for s, t in zip(scores, truth, strict=True)]
    lost = [[100 * regret(s, t, k) for s, t in zip(scores, truth, strict=True)] for k in (1, 3)]
    return float(np.mean(taus)), min(taus), float(np.mean(lost[0])), float(np.mean(lost[1]))


def difference(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Return the mean difference of two weighted taus with its 95 % interval over data sets."""
    gaps = np.array(
        [weighted_tau(a, t) - weighted_tau(b, t) for a, b, t in zip(one, other, truth, strict=True)]
    )
    drawn = np.random.default_rng(0).integers(0, len(gaps), (10_000, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])
    return float(gaps.mean()), float(low), float(high)


def table_of_scorers(scorers: dict[str, np.ndarray]) -> list[tuple[str, tuple[float, ...]]]:
    """Return the rows of the table: a static list, sizes, each scorer, and their mean ranks."""
    truth = scorers["acc"]
    static = static_ranks(truth)
    found = {
        "static list of the others": static,
        "parameter count": np.tile(PARAMETERS, (len(truth), 1)),
        **{name: values for name, values in scorers.items() if name != "acc"},
        "static + ncti": np.array(
            [mean_ranks(a, b) for a, b in zip(static, scorers["ncti"], strict=True)]
        ),
        "random": np.zeros_like(truth),
    }
    rows = []
    for name, values in found.items():
        if name == "random":
            lost = [
                np.mean([100 * regret(v, t, k) for v, t in zip(values, truth, strict=True)])
                for k in (1, 3)
            ]
            rows.append((name, (0.0, 0.0, *lost)))
        else:
            rows.append((name, summary(values, truth)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tables"])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    scorers = read_scorers(args.folder / "tmlr.txt")
    truth = scorers["acc"]
    print("| ranking | weighted tau | lowest | regret@1 | regret@3 |\n|---|---:|---:|---:|---:|")
    for name, (tau, low, one, three) in table_of_scorers(scorers):
        print(f"| {name} | {tau:.3f} | {low:.2f} | {one:.2f} | {three:.2f} |")
    ceiling = float(np.mean([noise_ceiling(row, 0.005) for row in truth]))
    print(f"\nceiling of the weighted tau at 0.5 points of noise: {ceiling:.3f}")
    for name in ("hscore", "reg_h", "sfda", "tmi", "logme", "ncti", "acc"):
        follows = np.mean([spearmanr(row, DIMENSIONS)[0] for row in scorers[name]])
        print(f"{name} follows the number of dimensions: mean Spearman {follows:+.2f}")
    static = static_ranks(truth)
    both = np.array([mean_ranks(a, b) for a, b in zip(static, scorers["ncti"], strict=True)])
    for name, one, other in (
        ("static + ncti minus static", both, static),
        ("logme minus static", scorers["logme"], static),
    ):
        gap, low, high = difference(one, other, truth)
        print(f"{name}: {gap:+.3f} [{low:+.2f}, {high:+.2f}]")
    for name in ("NLP", "CV"):
        matrix = read_matrix(args.folder / f"coarse_recall_{name}_coarse_recall_matrix.txt")
        listed = static_ranks(matrix)
        tau, low, *_ = summary(listed, matrix)
        lost = [
            np.mean([100 * regret(s, t, k) for s, t in zip(listed, matrix, strict=True)])
            for k in (1, 3, 5, 10)
        ]
        told = ", ".join(f"{value:.2f}" for value in lost)
        print(
            f"{name} {matrix.shape}: static tau {tau:.3f} (lowest {low:.2f}), "
            f"regret@1, 3, 5, 10: {told}"
        )


if __name__ == "__main__":
    main()
