"""Which model is handed over: decided item by item, never by one item more."""

import numpy as np

from headstart.searching.finalists import Finalist, choose_finalist, loss_gain


def finalist(name, losses, score, *, trained=False, error=0.03):
    return Finalist(name, trained, score, np.asarray(losses, float), error)


def test_one_item_of_forty_more_does_not_make_a_training_better():
    losses = np.full(40, 0.2)
    head = finalist("head", losses, 37 / 40)
    lucky = losses + np.linspace(-0.3, 0.4, 40)  # no lower on the whole
    tuned = finalist("tuned", lucky, 38 / 40, trained=True)
    best, why = choose_finalist([head, tuned])
    assert best is head
    assert "not better on val by more than a standard error" in why


def test_a_training_whose_loss_is_surely_lower_is_taken():
    head = finalist("head", np.full(40, 0.5), 0.90)
    tuned = finalist("tuned", np.full(40, 0.3), 0.90, trained=True)
    best, why = choose_finalist([head, tuned])
    assert best is tuned
    assert "better on val than head by more than a standard error" in why


def test_of_a_few_val_items_no_word_is_made_of_their_noise():
    head = finalist("head", np.full(7, 0.0003), 1.0)
    tuned = finalist("tuned", np.full(7, 0.0002) + np.arange(7) * 1e-6, 1.0, trained=True)
    why = choose_finalist([head, tuned])[1]
    assert "7 val items say little" in why
    assert "noise" not in why
    assert "standard error" not in why


def test_a_lower_loss_does_not_pay_for_a_score_that_is_surely_lower():
    head = finalist("head", np.full(400, 0.5), 0.90, error=0.015)
    tuned = finalist("tuned", np.full(400, 0.3), 0.80, trained=True, error=0.02)
    assert choose_finalist([head, tuned])[0] is head


def test_a_loss_that_is_higher_is_told_so():
    head = finalist("head", np.full(40, 0.2), 0.90)
    tuned = finalist("tuned", np.full(40, 0.5), 0.80, trained=True)
    assert "loss higher by 0.3000 ± " in choose_finalist([head, tuned])[1]
    tuned = finalist("tuned", np.full(40, 0.1), 0.90, trained=True)
    assert "loss lower by 0.1000 ± " in choose_finalist([head, tuned])[1]


def test_a_score_that_is_surely_higher_is_taken_at_a_like_loss():
    noise = np.random.default_rng(0).normal(0, 0.3, 400)
    head = finalist("head", np.full(400, 0.5), 0.80, error=0.02)
    tuned = finalist("tuned", 0.5 + noise - noise.mean(), 0.90, trained=True, error=0.015)
    assert choose_finalist([head, tuned])[0] is tuned


def test_among_those_of_a_kind_noise_is_settled_by_the_loss():
    a = finalist("a", np.full(50, 0.4), 0.92)
    b = finalist("b", np.full(50, 0.2), 0.90)
    c = finalist("c", np.full(50, 0.1), 0.70)
    best, why = choose_finalist([a, b, c])
    assert best is b
    assert why.startswith("the best of 3 on val, 0.9000")
    assert choose_finalist([a])[1].startswith("the only one")


def test_the_gain_is_of_the_same_items():
    one, other = finalist("a", [1.0, 2.0, 3.0], 0.5), finalist("b", [0.5, 1.5, 2.5], 0.5)
    gain, error = loss_gain(one, other)
    assert gain == 0.5
    assert error == 0.0


def test_random_weights_need_more_than_a_training_that_began_as_the_head():
    draw = np.random.default_rng(0).normal(0, 0.5, 90)
    head = finalist("head", np.full(90, 0.5), 0.84, error=0.038)
    spread = draw - draw.mean() - 0.02  # a loss that is lower by four tenths of its error
    tuned = finalist("tuned", 0.5 + spread, 0.91, trained=True, error=0.03)
    assert choose_finalist([head, tuned])[0] is tuned
    scratch = Finalist("scratch", True, 0.91, tuned.losses, 0.03, is_continued=False)
    assert choose_finalist([head, scratch])[0] is head


def test_of_many_that_noise_cannot_tell_apart_the_first_stands():
    draw = np.random.default_rng(1)
    first = finalist("first", np.full(42, 0.6), 0.80, error=0.06)
    later = [
        finalist(f"later {n}", 0.6 + noise - noise.mean() - 0.02, 0.81, error=0.06)
        for n, noise in enumerate(draw.normal(0, 0.5, (6, 42)))
    ]
    assert choose_finalist([first, *later])[0] is first
    surely = finalist("surely", np.full(42, 0.3), 0.81, error=0.06)
    assert choose_finalist([first, *later, surely])[0] is surely


def test_random_weights_need_a_loss_that_is_lower_by_two_errors():
    draw = np.random.default_rng(0).normal(0, 0.5, 42)
    error = draw.std() / 41**0.5
    head = finalist("head", np.full(42, 0.6), 0.80, error=0.06)
    for errors, wins in ((1.5, False), (2.5, True)):
        losses = 0.6 + draw - draw.mean() - errors * error
        scratch = Finalist("scratch", True, 0.80, losses, 0.06, is_continued=False)
        assert (choose_finalist([head, scratch])[0] is scratch) is wins
        tuned = Finalist("tuned", True, 0.80, losses, 0.06)
        assert choose_finalist([head, tuned])[0] is tuned
