"""The prior: what other data sets say of a start, and what its size says where they say nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from headstart.data import load
from headstart.ranking.aggregate import aggregate
from headstart.ranking.prior import MetaRow, priors, read_table
from headstart.starts import find_start

NAMES = [f"timm/net{i}" for i in range(6)]


@pytest.fixture(scope="module")
def digits():
    return load("digits-8x8")


def start(address, millions):
    known = find_start("pip/efficientnet-lite0")
    return replace(known, address=address, num_parameters=int(millions * 1e6))


def table(*families, order=NAMES):
    """Return sets, one a family, on which starts are as good as they are late in the order."""
    return [
        MetaRow("image", family, family, name, 10 ** (5 + NAMES.index(name)), True, 0.1 * place)
        for family in families
        for place, name in enumerate(order)
    ]


def test_a_start_has_its_mean_rank_drawn_towards_what_its_size_says(digits):
    rows = table("birds", "cars", order=NAMES[::-1])  # the smallest is the best
    best, worst = (
        one.value for one in priors(digits, [start(NAMES[0], 0.1), start(NAMES[5], 1e4)], rows)
    )
    # the line over sizes falls, which no size may say: it is flat at a half
    assert best == pytest.approx((2 * 1.0 + 2 * 0.5) / 4)
    assert worst == pytest.approx((2 * 0.0 + 2 * 0.5) / 4)


def test_a_start_in_no_table_has_what_its_size_says_and_says_so(digits):
    rows = table("birds", "cars")
    small, large = priors(digits, [start("timm/new", 0.2), start("timm/newer", 900)], rows)
    assert 0 <= small.value < large.value <= 1
    assert small.told == "in no table, its size stands for a prior"
    (known,) = priors(digits, [start(NAMES[2], 10)], rows)
    assert known.told.endswith("on 2 other sets")


def test_sets_of_the_source_that_the_data_is_named_after_are_left_out(digits):
    rows = [*table("birds"), *table("digits", order=NAMES[::-1])]
    best = priors(digits, [start(name, 1) for name in NAMES], rows)
    assert {one.num_sets for one in best} == {1}
    assert np.argmax([one.value for one in best]) == 5


def test_without_a_table_the_size_is_the_order_and_random_weights_have_none(digits):
    found = priors(digits, [start("timm/a", 1), start("timm/b", 5), find_start("scratch/mlp")], [])
    assert found[0].value < found[1].value
    assert math.isnan(found[2].value)
    assert found[2].told == ""


def test_the_shipped_table_has_several_sets_and_each_start_once_on_each():
    rows = read_table()
    assert len({row.family for row in rows}) >= 3
    assert len({(row.target, row.start) for row in rows}) == len(rows)
    assert all(0 < row.score <= 1 for row in rows)
    assert {row.start for row in rows if not row.is_pretrained} == {
        "scratch/simple-cnn",
        "scratch/resnet18",
    }


def test_last_blocks_change_places_among_themselves_alone():
    columns = {"head": np.array([0.9, 0.8, 0.7, 0.6])}
    blocks = np.array([0.1, np.nan, 0.2, 0.9])
    found = aggregate(columns, blocks, block_weight=1.0)
    assert np.argsort(-found).tolist() == [3, 1, 2, 0]
    assert sorted(found) == sorted(aggregate(columns))
    assert aggregate(columns, blocks, block_weight=0.0).tolist() == aggregate(columns).tolist()
