"""An objective that the house does not know: one object in one row of ``LOSSES``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch.nn import functional

import headstart as hs
from headstart.cli import main
from headstart.objectives import LOSSES

GAMMA = 2.0
SEEN: list[int] = []  # samples of each batch that it was asked of


def _focal(logits, wanted):
    """Return the focal loss: what is told well already counts little (Lin et al., ICCV 2017)."""
    SEEN.append(len(logits))
    each = functional.cross_entropy(logits.float(), wanted.targets, reduction="none")
    return ((1 - (-each).exp()) ** GAMMA * each).mean()


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    SEEN.clear()
    row = replace(LOSSES["classification"], of_batch=_focal)
    monkeypatch.setitem(LOSSES, "classification", row)


def test_an_objective_of_one_object_goes_through_every_verb(tmp_path, capsys):
    out = tmp_path / "run"
    words = {"start": "scratch/simple-cnn", "num_steps": 60, "device": "cpu", "seed": 1}
    run = hs.finetune("digits-8x8", out=str(out), **words)
    assert sum(SEEN) >= 60 * run.options["recipe"]["batch_size"]
    figures = run.metrics["test"]["figures"]
    assert figures["accuracy"]["low"] > 0.5
    evaluated = hs.evaluate(str(out))
    assert evaluated.metrics["test"] == run.metrics["test"]
    assert "accuracy" in run.report()
    digits = hs.load("digits-8x8")
    images = [digits.test.samples.read(i) for i in range(50)]
    found = [p.label for p in run.predict(images)]
    truth = [digits.schema.classes[k] for k in digits.test.targets[:50]]
    assert np.mean([a == b for a, b in zip(found, truth, strict=True)]) > 0.5
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").stat().st_size > 10_000
    capsys.readouterr()


def test_it_is_the_objective_that_makes_the_difference(tmp_path, monkeypatch):
    words = {"start": "scratch/simple-cnn", "num_steps": 5, "device": "cpu"}
    mine = hs.finetune("digits-8x8", out=str(tmp_path / "focal"), **words)
    monkeypatch.undo()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    own = hs.finetune("digits-8x8", out=str(tmp_path / "own"), **words)
    weights = [(run.path / "model.safetensors").read_bytes() for run in (mine, own)]
    assert weights[0] != weights[1]
