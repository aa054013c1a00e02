"""Starts that are grown: the network answers as scikit-learn does, whatever the cells and the task.

scikit-learn's own estimators are caught while they grow, and asked for the same rows.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import ensemble

from headstart.errors import StartError
from headstart.model import Model, model_outputs
from headstart.preprocessing import TablePreprocess
from headstart.starts import BuildRequest, find_start, list_starts
from headstart.starts.builders import build_encoder
from headstart.starts.rebuild import rebuild_encoder
from headstart.training.contract import StopRequested, never
from headstart.training.probing import boosting, forest, tree_settings
from headstart.training.probing.probe import Probe
from headstart.training.probing.trees import CategoryFold, round_down
from headstart.tuning.grown import TooManyRowsError, grow
from headstart.tuning.solving import _grown_in_time
from headstart.types import Column, PlainInputs, Schema, TableSpec


class Rows(PlainInputs):
    """Prepared rows in memory."""

    bad_samples = ()

    def __init__(self, numbers, codes, targets):
        self.numbers, self.codes, self.targets = numbers.astype(np.float32), codes, targets
        self.ids = np.arange(len(targets))

    def __len__(self):
        return len(self.targets)

    def arrays(self, places):
        return self.numbers[places], self.codes[places]


def _spec(num_numbers, sizes):
    words = [tuple(f"w{i}" for i in range(size - 1)) for size in sizes]
    return TableSpec(
        (
            *(Column(f"x{i}", "numeric", mean=(0.0,), scale=(1.0,)) for i in range(num_numbers)),
            *(Column(f"c{i}", "categorical", categories=each) for i, each in enumerate(words)),
        )
    )


def _model(address, spec, schema, targets, task_outputs):
    request = BuildRequest(table=TablePreprocess(spec), num_outputs=task_outputs)
    model = Model(build_encoder(find_start(address), request), schema)
    model.target_mean, model.target_scale = model.task.scaling(targets)
    return model


def _grow(model, train, val, **kept):
    said = {"imbalance": "none", "seed": 0, "deadline": None, "most_seconds": None}
    said = {**said, "stop_requested": never, **kept}
    fitted = grow(model, train, val, **said)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(fitted.weight))
        model.head.bias.copy_(torch.from_numpy(fitted.bias))
    return fitted


def _answers(model, rows):
    numbers, codes = rows.arrays(np.arange(len(rows)))
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(numbers), torch.from_numpy(codes))
    return model_outputs(model, logits.numpy())


SIZES = (4, 400)


def _data(num, seed=0):
    draw = np.random.default_rng(seed)
    # few different values, so that cells lie on the thresholds; thirds, which float32 rounds
    numbers = np.stack([draw.integers(0, 12, num) / 3, draw.normal(size=num)], axis=1)
    codes = np.stack([draw.integers(1, 4, num), draw.integers(1, 300, num)], axis=1)
    return numbers, codes, draw


def _splits(targets, num=900, seed=0):
    numbers, codes, _ = _data(num, seed)
    a, b = num * 6 // 10, num * 8 // 10
    train, val, test = (
        Rows(numbers[s], codes[s], targets[s]) for s in (slice(0, a), slice(a, b), slice(b, None))
    )
    # what train has not: an unknown category, a rare one, the code of what is unknown
    test.codes[:30, 1] = np.arange(350, 380)
    test.codes[30:40] = 0
    return train, val, test


def _targets(kind, num=900):
    numbers, codes, draw = _data(num)
    signal = np.sin(2 * numbers[:, 0]) + (codes[:, 0] == 2) * numbers[:, 1]
    noisy = signal + 0.3 * draw.normal(size=num)
    if kind == "regression":
        return 1e4 + 500.0 * noisy, Schema("table", "regression", (), "y"), 1
    if kind == "binary":
        return (noisy > 0).astype(np.int64), Schema("table", "classification", ("a", "b")), 2
    if kind == "many":
        cuts = np.quantile(noisy, np.linspace(0, 1, 8)[1:-1])
        found = np.searchsorted(cuts, noisy)
        found[found == 3] = 4  # a class that train lacks
        return found, Schema("table", "classification", tuple("abcdefg")), 7
    labels = np.stack([noisy > 0, noisy > 1, np.ones(num)], axis=1).astype(np.uint8)
    return labels, Schema("table", "multi-label", ("x", "y", "z")), 3


def _caught(monkeypatch, names):
    """Let scikit-learn's estimators be remembered by their class, the last of each."""
    found = []
    for name in names:
        kind = getattr(ensemble, name)

        def made(*args, _kind=kind, **kwargs):
            found.append(_kind(*args, **kwargs))
            return found[-1]

        monkeypatch.setattr(ensemble, name, made)
    return found


@pytest.mark.parametrize("kind", ["regression", "binary", "many", "several"])
def test_boosting_answers_as_scikit_learn(kind, monkeypatch):
    monkeypatch.setattr(boosting, "SETTINGS", (boosting.SETTINGS[1],))
    targets, schema, num_outputs = _targets(kind)
    train, val, test = _splits(targets)
    model = _model("scratch/boosting", _spec(2, SIZES), schema, train.targets, num_outputs)
    caught = []
    real = boosting.boost

    def boost(job, setting):
        caught.append(real(job, setting))
        return caught[-1]

    monkeypatch.setattr(boosting, "boost", boost)
    fitted = _grow(model, train, val)
    fold = CategoryFold.of(train.codes)
    table = np.concatenate([test.numbers.astype(np.float64), fold.codes(test.codes)], axis=1)
    wanted = model.task.joined_answers([one.answers(table) for one in caught])
    assert len(caught) == (3 if kind == "several" else 1)
    assert max(one.num_trees for one in caught) > 10
    assert _answers(model, test) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert fitted.val_logits.shape == (len(val), num_outputs)
    if kind == "many":
        assert not (_answers(model, test).argmax(axis=1) == 3).any()


@pytest.mark.parametrize("kind", ["regression", "binary", "many", "several"])
@pytest.mark.parametrize("wins", [0, 1])
def test_a_forest_answers_as_scikit_learn(kind, wins, monkeypatch):
    monkeypatch.setattr(forest, "MOST_TREES", 20)
    targets, schema, num_outputs = _targets(kind)
    train, val, test = _splits(targets)
    ending = "Regressor" if kind == "regression" else "Classifier"
    names = [f"{name}{ending}" for name in ("RandomForest", "ExtraTrees")]
    caught = _caught(monkeypatch, names)
    losses = iter([float(place != wins) for _ in range(3) for place in range(3)])
    monkeypatch.setattr(forest, "_loss", lambda *_: next(losses))
    model = _model("scratch/forest", _spec(2, SIZES), schema, train.targets, num_outputs)
    _grow(model, train, val)
    fold = CategoryFold.of(train.codes)
    table = np.concatenate([test.numbers, fold.category_of(test.codes)], axis=1).astype(np.float32)
    forests = caught[wins::2]
    if kind == "regression":
        wanted = forests[0].predict(table)
    elif kind == "several":
        wanted = np.stack([f.predict_proba(table)[:, 1] for f in forests], axis=1)
        wanted = np.concatenate([wanted, np.ones((len(test), 1))], axis=1)
    else:
        wanted = np.zeros((len(test), num_outputs))
        wanted[:, forests[0].classes_] = forests[0].predict_proba(table)
    assert _answers(model, test) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_members_of_boosting_answer_by_their_mean_score(monkeypatch):
    targets, schema, num_outputs = _targets("regression")
    train, val, test = _splits(targets)
    caught = []
    real = boosting.boost
    monkeypatch.setattr(boosting, "SETTINGS", boosting.SETTINGS[:2])
    monkeypatch.setattr(boosting, "boost", lambda job, s: caught.append(real(job, s)) or caught[-1])
    monkeypatch.setattr(boosting, "best_members", lambda found, *_: found)
    model = _model("scratch/boosting", _spec(2, SIZES), schema, train.targets, num_outputs)
    _grow(model, train, val)
    fold = CategoryFold.of(train.codes)
    table = np.concatenate([test.numbers.astype(np.float64), fold.codes(test.codes)], axis=1)
    wanted = np.mean([one.answers(table) for one in caught], axis=0)
    assert len(caught) == 2
    assert _answers(model, test) == pytest.approx(wanted, rel=1e-6)


def test_more_categories_than_scikit_learn_tells_apart(monkeypatch):
    monkeypatch.setattr(boosting, "SETTINGS", (tree_settings.DEFAULT,))
    draw = np.random.default_rng(3)
    codes = (1 + 599 * draw.random((3000, 1)) ** 3).astype(np.int64)  # some often, most rarely
    targets = draw.normal(size=600)[codes[:, 0]] + 0.05 * draw.normal(size=3000)
    numbers = np.zeros((3000, 0))
    train, val, test = (
        Rows(numbers[s], codes[s], targets[s])
        for s in (slice(0, 2000), slice(2000, 2500), slice(2500, None))
    )
    test.codes[:5] = 0
    model = _model(
        "scratch/boosting", _spec(0, (600,)), Schema("table", "regression", (), "y"), targets, 1
    )
    caught = []
    real = boosting.boost
    monkeypatch.setattr(boosting, "boost", lambda job, s: caught.append(real(job, s)) or caught[-1])
    _grow(model, train, val)
    fold = CategoryFold.of(train.codes)
    assert fold.is_full == (True,)
    assert len(fold.known[0]) == 255
    wanted = caught[0].answers(fold.codes(test.codes).astype(np.float64))
    assert _answers(model, test) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert np.corrcoef(wanted, test.targets)[0, 1] > 0.3


@pytest.mark.parametrize("address", ["scratch/boosting", "scratch/forest"])
def test_what_was_grown_is_rebuilt_from_json_and_tensors(address, monkeypatch):
    monkeypatch.setattr(boosting, "SETTINGS", (tree_settings.DEFAULT,))
    monkeypatch.setattr(forest, "MOST_TREES", 20)
    targets, schema, num_outputs = _targets("binary")
    train, val, test = _splits(targets)
    model = _model(address, _spec(2, SIZES), schema, targets, num_outputs)
    _grow(model, train, val)
    again = Model(rebuild_encoder(model.encoder.architecture), schema)
    again.load_state_dict(model.state_dict(), strict=True)
    assert np.array_equal(_answers(again, test), _answers(model, test))
    damaged = model.state_dict()
    damaged["encoder.network.branches"] = damaged["encoder.network.branches"] + 10**6
    with pytest.raises(StartError, match="in 'branches'; expected whole numbers from 0 to"):
        again.load_state_dict(damaged, strict=True)


@pytest.mark.parametrize("address", ["scratch/boosting", "scratch/forest"])
def test_the_same_seed_grows_the_same_bits_and_weights_count(address, monkeypatch):
    monkeypatch.setattr(boosting, "SETTINGS", boosting.SETTINGS[1:2])
    monkeypatch.setattr(forest, "MOST_TREES", 20)
    targets, schema, num_outputs = _targets("binary")
    targets = (np.arange(900) % 9 == 0).astype(np.int64) | (targets & (np.arange(900) % 3 == 0))
    train, val, test = _splits(targets)
    models = []
    for imbalance in ("none", "none", "weights"):
        model = _model(address, _spec(2, SIZES), schema, targets, num_outputs)
        _grow(model, train, val, imbalance=imbalance)
        models.append(model)
    first, same, weighed = (_answers(model, test) for model in models)
    assert np.array_equal(first, same)
    assert weighed[:, 1].mean() > first[:, 1].mean() + 0.02


@pytest.mark.parametrize("address", ["scratch/boosting", "scratch/forest"])
def test_no_time_and_a_request_to_stop_are_answered(address, heard):
    targets, schema, num_outputs = _targets("regression")
    train, val, _ = _splits(targets)
    model = _model(address, _spec(2, SIZES), schema, targets, num_outputs)
    with pytest.raises(
        StartError, match=r"needs .* s for the fewest trees .* Raise --budget"
    ) as told:
        _grow(model, train, val, deadline=0.0)
    if address == "scratch/forest":  # the quicker one
        _grow(model, train, val)  # with time, as advised
        heard(told.value)
    with pytest.raises(StopRequested):
        _grow(model, train, val, stop_requested=lambda: True)


def test_thresholds_are_the_largest_float32_that_is_not_above():
    draw = np.random.default_rng(0)
    exact = np.concatenate(
        [draw.normal(size=1000) * 10.0 ** draw.integers(-30, 30, 1000), [np.inf]]
    )
    found = round_down(exact)
    assert np.isfinite(found).all()
    assert (found.astype(np.float64) <= exact).all()
    following = np.nextafter(found[:-1], np.float32(np.inf)).astype(np.float64)
    assert (following > exact[:-1]).all()


@pytest.mark.parametrize(
    "address", [pytest.param("scratch/boosting", marks=pytest.mark.slow), "scratch/forest"]
)
def test_rows_that_may_take_little_go_through_fewer_trees(address):
    targets, schema, num_outputs = _targets("many")
    train, val, _ = _splits(targets)
    sizes = []
    for seconds in (None, 0.0):
        model = _model(address, _spec(2, SIZES), schema, targets, num_outputs)
        _grow(model, train, val, most_seconds=seconds)
        sizes.append(len(model.encoder.network.roots))
    assert sizes[1] <= 50 < sizes[0]


def test_where_time_is_short_trees_are_grown_from_fewer_rows():
    asked = []

    def grown(places):
        asked.append(len(places))
        if len(places) > 5_000:
            raise TooManyRowsError(0.5, "no time")
        return Probe(*np.zeros((3, 1)), 0.0, 0.0, 0.0, 0.0)

    train = SimpleNamespace(targets=np.arange(20_000) % 2)
    assert _grown_in_time(grown, train, np.arange(20_000), seed=0).is_cut
    assert asked == [20_000, 4_000]
    assert not _grown_in_time(grown, train, np.arange(3_000), seed=0).is_cut
    with pytest.raises(TooManyRowsError, match="no time"):
        _grown_in_time(grown, train, np.arange(8_000), seed=0)


def test_a_task_that_trees_cannot_tell_is_refused(monkeypatch, heard):
    targets, schema, num_outputs = _targets("binary")
    train, val, _ = _splits(targets)
    model = _model("scratch/forest", _spec(2, SIZES), schema, targets, num_outputs)
    with monkeypatch.context() as patch:  # as of a task that tells each part of a row
        patch.setattr(type(model.task), "plain_problems", lambda *_: ())
        with pytest.raises(StartError, match=r"grows trees, .* Choose another start") as told:
            _grow(model, train, val)
    assert "scratch/mlp" in {start.address for start in list_starts("table")}  # takes steps instead
    heard(told.value)
