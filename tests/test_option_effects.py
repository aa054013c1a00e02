"""What the help says was measured is what the table of measurements says."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from headstart.evaluation import over_seeds
from headstart.recipes.options import FinetuneOptions
from headstart.training.options.option import stated
from headstart.types import Figure

TABLE = Path(__file__).parents[1] / "benchmarks" / "data" / "option_effects.csv"


def mean_of(target: str, option: str, figure: str, least: int = 3) -> float:
    with TABLE.open(newline="") as file:
        rows = [
            float(row[figure])
            for row in csv.DictReader(file)
            if (row["target"], row["option"]) == (target, option)
        ]
    assert len(rows) >= least
    return float(np.mean(rows))


def is_within_noise(target: str, option: str, name: str) -> bool:
    """Return whether the interval of seeds and items together holds no difference."""
    with TABLE.open(newline="") as file:
        told = [
            Figure(*(float(row[key]) for key in (name, f"{name}_low", f"{name}_high")))
            for row in csv.DictReader(file)
            if (row["target"], row["option"]) == (target, option)
        ]
    found = over_seeds(told)
    return found.low <= 0.0 <= found.high


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("imbalance", "class weights (imbalance weights)"),
        ("threshold", "tuned threshold (threshold f1)"),
    ],
)
def test_the_help_names_the_figures_of_the_table(name: str, option: str) -> None:
    told = stated(FinetuneOptions)[name].option.told
    found = [mean_of("adult-20to1", option, figure) for figure in ("f1_macro", "accuracy")]
    said = re.findall(r"macro-F1 ([+-][\d.]+) points(?: and|,) accuracy ([+-][\d.]+)", told)
    assert [f"{100 * value:+.1f}" for value in found] == list(said[0])
    if name == "imbalance":
        loss = mean_of("adult-20to1", option, "log_loss")
        assert f"a log loss worse by {loss:.3f}" in " ".join(told.split())


def test_the_help_names_what_was_measured_on_images() -> None:
    told = {
        name: " ".join(each.option.told.split()) for name, each in stated(FinetuneOptions).items()
    }
    for name, value in (("mixup", "0.2"), ("cutmix", "1")):
        option = f"{name} {float(value)}"
        lost = -100 * mean_of("digits", option, "accuracy")
        assert f"{value} costs {lost:.1f} points of digits" in told[name]
        assert "no difference beyond noise to CIFAR-10 at 20:1 and to 240 photographs" in told[name]
        for target, figure in (("cifar-20to1", "f1_macro"), ("flowers", "accuracy")):
            assert is_within_noise(target, option, figure), (target, option)
    loss = mean_of("cifar-20to1", "class weights (imbalance weights)", "log_loss")
    assert f"a log loss worse by {loss:.3f} and no gain" in told["imbalance"]
