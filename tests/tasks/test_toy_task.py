"""A task that the house does not know: one object, one row in ``TASKS``, one row in ``LOSSES``.

Counts of visits: learned as logarithms with a loss that forgives outliers, answered as counts, and
led by a figure of its own. It goes through every verb.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from torch.nn import functional

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError
from headstart.evaluation import figure_to_json
from headstart.evaluation.intervals import percentile_interval
from headstart.evaluation.paired import unit_draws
from headstart.objectives import LOSSES
from headstart.tasks import REGRESSION, TASKS
from headstart.tasks.regression import Regression
from headstart.types import Figure, Measure


def _log_error(values: np.ndarray, targets: np.ndarray, seed: int) -> Figure:
    squares = (np.log1p(np.maximum(values, 0)) - np.log1p(targets)) ** 2
    drawn = [
        np.sqrt(squares @ weights / len(squares)) for weights in unit_draws(len(squares), 100, seed)
    ]
    return percentile_interval(float(np.sqrt(squares.mean())), np.concatenate(drawn))


@dataclass(frozen=True, eq=False, kw_only=True)
class Count(Regression):
    """How often something happens: never below zero, and judged by the ratio."""

    def scaling(self, train_targets):
        return 0.0, 1.0

    def standard(self, targets, mean, scale):
        return np.log1p(targets).astype(np.float32)

    def _calibrated(self, logits, temperature, mean, scale):
        return np.expm1(logits[:, 0].astype(np.float64))

    def scores(self, outputs, targets, schema, *, seed=0, num_resamples=1000, groups=None):
        found = super().scores(outputs, targets, schema, seed=seed, num_resamples=num_resamples)
        figures = {"rmsle": _log_error(outputs, targets, seed), **found.figures}
        return replace(found, figures=figures)

    def headline_figure(self, decisions, targets, *, seed=0, groups=None):
        return _log_error(decisions, targets, seed)


COUNT = Count(
    **{
        **vars(REGRESSION),
        "name": "count",
        "headline": "rmsle",
        "is_linear": False,
        "figures": {
            "rmsle": Measure("RMSLE", "lower is better; error of the logarithms", False),
            **REGRESSION.figures,
        },
        "words": replace(REGRESSION.words, mistakes="Farthest from the count"),
    }
)


SEEN: list[int] = []  # samples of each batch that the loss was asked of


def _huber(logits, wanted):
    SEEN.append(len(logits))
    return functional.huber_loss(logits[:, 0].float(), wanted.targets)


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(TASKS, "count", COUNT)
    SEEN.clear()
    monkeypatch.setitem(LOSSES, "count", replace(LOSSES["regression"], of_batch=_huber))


@pytest.fixture
def visits(tmp_path):
    rng = np.random.default_rng(0)
    hours, holiday = rng.uniform(0, 10, 400), rng.integers(0, 2, 400)
    frame = pd.DataFrame({"hours": hours.round(3), "holiday": holiday})
    frame["visits"] = rng.poisson(np.exp(0.3 * hours + 0.8 * holiday))
    path = tmp_path / "visits.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("start", ["scratch/linear", "scratch/mlp"])
def test_a_task_of_one_object_goes_through_every_verb(visits, tmp_path, start, capsys):
    data = hs.load(str(visits), label="visits", task="count")
    assert data.schema.task == "count"
    out = tmp_path / "run"
    run = hs.finetune(data, start=start, out=str(out), device="cpu", budget="10m")
    assert bool(SEEN) == (start == "scratch/mlp")  # a linear start is solved for
    metrics = run.metrics
    assert metrics["task"] == "count"
    assert metrics["before_after"]["metric"] == "rmsle"
    ladder = metrics["before_after"]["figures"]
    own = "fine-tuned" if start == "scratch/mlp" else start
    assert set(ladder) == {"mean of train", "gradient boosting", own}
    assert ladder[own] == metrics["test"]["figures"]["rmsle"]
    assert ladder[own]["high"] < ladder["mean of train"]["low"]

    evaluated = hs.evaluate(str(out))
    assert evaluated.metrics == {"task": "count", "test": metrics["test"]}
    assert "RMSLE" in evaluated.report()

    truth = pd.read_csv(visits)
    found = np.array([p.value for p in run.predict(truth.drop(columns="visits"))])
    assert (found > -1).all()
    figure = figure_to_json(_log_error(found, truth["visits"].to_numpy(), 0))
    assert figure["value"] < ladder["mean of train"]["value"] / 2

    told = run.report()
    assert "target 'visits'" in told
    assert f"RMSLE {ladder[own]['value']:.3f}" in told
    page = (out / "report.html").read_text()
    assert "error of the logarithms" in page
    assert "<h2>Farthest from the count</h2>" in page

    assert main(["predict", str(out), str(visits)]) == 0
    assert capsys.readouterr().out.count("row") >= 400


def test_a_task_whose_answers_are_not_linear_has_no_coefficients(visits, tmp_path):
    data = hs.load(str(visits), label="visits", task="count")
    run = hs.finetune(data, start="scratch/linear", out=str(tmp_path / "run"), device="cpu")
    with pytest.raises(OptionError, match="is a count run"):
        run.coefficients()


def test_the_options_of_a_task_of_ones_own_are_checked(visits, tmp_path):
    data = hs.load(str(visits), label="visits", task="count")
    with pytest.raises(OptionError, match="label_smoothing needs one class a sample, and this is"):
        hs.finetune(data, start="scratch/mlp", out=str(tmp_path / "run"), label_smoothing=0.1)


def test_the_command_line_knows_a_task_of_ones_own(visits, tmp_path, capsys):
    assert main(["help", "finetune"]) == 0
    assert "|count" in capsys.readouterr().out.replace("\n", "").replace(" ", "")
    words = [str(visits), "--label", "visits", "--task", "count", "--start", "scratch/linear"]
    assert main(["finetune", *words, "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert hs.open(tmp_path / "run").metrics["task"] == "count"


def test_an_unknown_task_is_refused_with_the_nearest(visits):
    with pytest.raises(OptionError, match=r"task is 'counts'.*Did you mean 'count'"):
        hs.load(str(visits), label="visits", task="counts")
