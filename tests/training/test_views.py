import numpy as np
import pytest

from headstart.training.frozen.views import Views, choose_views, speedup, views_at, views_seed

CASE = {
    "flop_share": 0.917,
    "num_epochs": 20,
    "is_augmented": True,
    "sample_flops": 3e8,
    "sample_bytes": 20_000,
    "num_samples": 1000,
    "limit_bytes": 10**9,
}


@pytest.mark.parametrize(
    ("share", "views", "epochs", "runs", "expected"),
    [
        (1.0, 1, 10, 1, 10.0),
        (1.0, 4, 20, 1, 5.0),
        (0.9, 1, 20, 1, 3.5),
        (0.75, 8, 20, 1, 1.43),
        (0.5, 4, 20, 1, 1.25),
        (11 / 12, 1, 10, 1, 3.4),
        (11 / 12, 4, 20, 9, 4.3),
        (1.0, 4, 20, 9, 45.0),
    ],
)
def test_speedup_is_that_of_the_published_table(share, views, epochs, runs, expected):
    assert speedup(share, views, epochs, runs) == pytest.approx(expected, rel=0.02)


def test_augmented_data_gets_four_views_and_other_data_one():
    assert choose_views(**CASE).num == 4
    one = choose_views(**CASE | {"is_augmented": False})
    assert (one.num, one.num_bytes) == (1, 20_000_000)
    assert choose_views(**CASE | {"is_augmented": False, "wanted": 3}).num == 1


def test_the_sentence_holds_the_arithmetic():
    found = choose_views(**CASE)
    load = 20_000 / 2e9 / 0.01
    assert found.speedup == pytest.approx((3 - 2 * 0.917) / (0.917 / 5 + 3 * 0.083 + load))
    assert f"{found.speedup:.1f}x" in found.why
    assert "computed 4 instead of 20 times" in found.why
    assert "80.0 MB" in found.why


def test_a_run_too_short_to_show_a_view_again_keeps_none():
    found = choose_views(**CASE | {"num_epochs": 1.5})
    assert found == Views(0, 1.0, 0, "in 1.5 epochs no sample would show the same view again")


def test_views_that_save_nothing_are_not_kept():
    # four epochs of four views compute the prefix as often as no cache does
    found = choose_views(**CASE | {"num_epochs": 4})
    assert (found.num, found.speedup) == (0, 1.0)
    assert "not worth it" in found.why
    assert choose_views(**CASE | {"num_epochs": 4, "num_runs": 9}).num == 4


def test_reading_counts():
    # a huge map of a cheap prefix costs more to read than to compute again
    slow = CASE | {"sample_bytes": 5_000_000, "sample_flops": 3e7, "limit_bytes": 10**12}
    assert choose_views(**slow).num == 0


def test_fewer_views_are_kept_where_four_do_not_fit():
    found = choose_views(**CASE | {"limit_bytes": 50_000_000})
    assert found.num == 2
    assert "4 views would not fit 50.0 MB" in found.why
    assert choose_views(**CASE | {"limit_bytes": 30_000_000}) == Views(
        0, 1.0, 0, "4 views would take 80.0 MB, the cache may take 30.0 MB"
    )


def test_what_the_user_asks_for_is_done_where_it_fits():
    assert choose_views(**CASE | {"wanted": 8}).num == 8
    assert choose_views(**CASE | {"wanted": 1}).num == 1
    assert choose_views(**CASE | {"wanted": 0}).num == 0
    assert choose_views(**CASE | {"num_epochs": 1, "wanted": 4}).num == 4


def test_every_view_is_shown_once_in_as_many_epochs():
    ids = np.arange(50)
    shown = np.stack([views_at(epoch, ids, 4, seed=3) for epoch in range(8)])
    assert (np.sort(shown[:4], axis=0) == np.arange(4)[:, None]).all()
    assert (shown[:4] == shown[4:]).all()
    assert len({tuple(column) for column in shown[:4].T}) > 10  # each sample in its own order


def test_views_depend_on_the_sample_and_the_seed_only():
    ids = np.arange(50)
    whole = views_at(2, ids, 4, seed=3)
    assert (views_at(2, ids[[9, 4]], 4, seed=3) == whole[[9, 4]]).all()
    assert (views_at(2, ids, 4, seed=4) != whole).any()
    assert (views_at(5, ids, 1, seed=3) == 0).all()


def test_the_seed_of_views_is_that_of_the_data():
    assert views_seed("a") == views_seed("a") != views_seed("b")
    assert 0 <= views_seed("a") < 2**56
