"""How rankings are judged: by hand, and on published tables where these are at hand."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from headstart.ranking.agreement import (
    mean_ranks,
    noise_ceiling,
    regret,
    static_ranks,
    weighted_tau,
)

TRUTH = np.array([0.90, 0.80, 0.85, 0.60])


def test_regret_is_what_the_best_of_the_shortlist_loses():
    assert regret(TRUTH, TRUTH) == 0
    assert regret(-TRUTH, TRUTH) == pytest.approx(0.30)
    assert regret(-TRUTH, TRUTH, 2) == pytest.approx(0.10)
    assert regret(-TRUTH, TRUTH, 4) == regret(-TRUTH, TRUTH, 9) == 0


@pytest.mark.parametrize("scores", [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]])
@pytest.mark.parametrize("shortlist", [1, 2, 3])
def test_ties_lose_what_they_lose_on_average(scores, shortlist):
    lost = []
    for order in itertools.permutations(range(4)):
        listed = sorted(order, key=lambda place: -scores[place])[:shortlist]
        lost.append(TRUTH.max() - max(TRUTH[place] for place in listed))
    assert regret(np.array(scores), TRUTH, shortlist) == pytest.approx(np.mean(lost))


def test_weighted_tau_counts_the_best_most():
    assert weighted_tau(TRUTH, TRUTH) == pytest.approx(1)
    assert weighted_tau(-TRUTH, TRUTH) == pytest.approx(-1)
    first = np.array([0.85, 0.80, 0.90, 0.60])  # the two best are swapped
    last = np.array([0.90, 0.60, 0.85, 0.80])  # the two worst
    assert weighted_tau(first, TRUTH) < weighted_tau(last, TRUTH) < 1
    assert np.isnan(weighted_tau(np.zeros(4), TRUTH))


def test_a_static_list_never_looks_at_its_own_data_set():
    truth = np.array([[0.9, 0.5, 0.7], [0.8, 0.6, 0.7], [0.1, 0.9, 0.5]])
    assert static_ranks(truth)[2].tolist() == [3, 1, 2]
    changed = truth.copy()
    changed[2] = [0.3, 0.2, 0.1]
    assert static_ranks(changed)[2].tolist() == [3, 1, 2]
    missing = np.array([[0.9, np.nan, 0.7], [0.8, 0.6, 0.7], [0.1, 0.9, 0.5]])
    assert np.isfinite(static_ranks(missing)).all()
    assert static_ranks(missing)[2].tolist() == [2.5, 1, 1.5]


def test_mean_ranks_do_not_depend_on_units():
    one, other = np.array([1.0, 2, 3]), np.array([300.0, 100, 200])
    assert mean_ranks(one, other).tolist() == [2, 1.5, 2.5]
    assert mean_ranks(10 * one, other**2).tolist() == [2, 1.5, 2.5]


def test_noise_lowers_what_can_be_reached():
    reached = [noise_ceiling(TRUTH, noise) for noise in (0.0, 0.02, 0.2)]
    assert reached[0] == pytest.approx(1)
    assert reached == sorted(reached, reverse=True)
    assert noise_ceiling(TRUTH, 0.1) == noise_ceiling(TRUTH, 0.1)


# weighted tau, regret of one and of three in points: computed from the table by its readers
PUBLISHED = {
    "static": (0.733, 0.38, 0.11),
    "ncti": (0.663, 0.32, 0.16),
    "logme": (0.353, 4.46, 0.88),
    "hscore": (0.091, 7.48, 4.11),
    "reg_h": (-0.094, 7.76, 4.82),
    "nleep": (0.430, 0.50, 0.23),
    "gbc": (0.457, 0.74, 0.41),
}


@pytest.fixture
def tables():
    folder = Path(os.environ.get("HEADSTART_TABLES", "nowhere"))
    if not (folder / "tmlr.txt").is_file():
        pytest.skip("HEADSTART_TABLES names no folder of published tables")
    return folder


def test_published_tables_give_published_figures(tables):
    rows = {}
    for line in (tables / "tmlr.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            _, scorer, values = line.split()
            rows.setdefault(scorer, []).append([float(v) for v in values.split(",")])
    truth = np.array(rows.pop("acc"))
    scorers = {name: np.array(values) for name, values in rows.items()}
    scorers["static"] = static_ranks(truth)
    for name, wanted in PUBLISHED.items():
        pairs = list(zip(scorers[name], truth, strict=True))
        tau = np.mean([weighted_tau(s, t) for s, t in pairs])
        lost = [np.mean([100 * regret(s, t, k) for s, t in pairs]) for k in (1, 3)]
        assert tau == pytest.approx(wanted[0], abs=0.001), name
        assert lost == pytest.approx(wanted[1:], abs=0.02), name


@pytest.mark.parametrize(
    ("name", "tau", "lost"),
    [("NLP", 0.411, (5.29, 2.86, 2.67, 1.24)), ("CV", 0.505, (1.88, 1.40, 0.65, 0.05))],
)
def test_published_checkpoints_have_the_regret_of_a_static_list(name, tau, lost, tables):
    path = tables / f"coarse_recall_{name}_coarse_recall_matrix.txt"
    lines = path.read_text().splitlines()[1:]
    truth = np.array([[float(v) for v in line.split("\t")] for line in lines if line.strip()])
    listed = static_ranks(truth)
    pairs = list(zip(listed, truth, strict=True))
    assert np.mean([weighted_tau(s, t) for s, t in pairs]) == pytest.approx(tau, abs=0.001)
    for shortlist, points in zip((1, 3, 5, 10), lost, strict=True):
        found = np.mean([100 * regret(s, t, shortlist) for s, t in pairs])
        assert found == pytest.approx(points, abs=0.02)
