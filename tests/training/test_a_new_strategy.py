"""A strategy that the house does not know: one object, one row in ``STRATEGIES``.

Stretch: a probe, then the last layer alone, then everything, in phases of its own lengths. It goes
through every verb, and every option that asks a strategy knows what it can do.
"""

from __future__ import annotations

import numpy as np
import pytest

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError
from headstart.events import listen
from headstart.training.options.limits import check_options
from headstart.training.options.strategies import STRATEGIES, Strategy
from headstart.training.options.training_options import TrainingOptions

ASKED: list[int] = []  # layers of each encoder that the phases were asked for


def _stages(num_layers, num_last_layers):
    ASKED.append(num_layers)
    return [(0.0, 1), (0.25, num_last_layers), (0.75, num_layers)]


STRETCH = Strategy(
    name="stretch",
    sentence="the last layer, then the last few, then everything",
    stages=_stages,
    num_probe_samples=500,
    is_cacheable=True,
    counts_layers=True,
    rate=0.5,
)
DATA, START = "digits-8x8", "scratch/simple-cnn"


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(STRATEGIES, "stretch", STRETCH)
    ASKED.clear()


def test_a_strategy_of_one_record_goes_through_every_verb(tmp_path, capsys):
    out = tmp_path / "run"
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = hs.finetune(
            DATA, start=START, strategy="stretch", num_last_layers=2, num_steps=80, out=str(out),
            augment="none", device="cpu",
        )  # fmt: skip
    assert run.model_record["strategy"] == "stretch"
    recipe = run.options["recipe"]
    assert (recipe["strategy"], recipe["num_last_layers"]) == ("stretch", 2)
    assert ASKED  # its phases were asked of the record
    # it probes, as its record says, on as many samples as that says
    assert any("Linear probe" in str(f.get("text")) for k, f in told if k == "stage")
    done = [f["total"] for k, f in told if k == "task" and f["name"] == "probe features"]
    assert max(done) == 500
    # its frozen part was cut anew in each phase but the last, and kept
    views = [f["value"] for k, f in told if k == "choice" and f["name"] == "views"]
    assert views == [1, 1]
    figures = run.metrics["before_after"]["figures"]
    assert figures["fine-tuned"]["value"] > figures["majority class"]["value"]

    assert "stretch" in run.report() + (out / "report.html").read_text()
    evaluated = hs.evaluate(str(out))
    assert evaluated.metrics["test"] == run.metrics["test"]
    assert len(hs.open(out).predict(np.zeros((2, 8, 8), np.uint8))) == 2

    other = tmp_path / "again"
    words = [DATA, "--start", str(out), "--strategy", "stretch", "--num-steps", "3", "--device"]
    assert main(["finetune", *words, "cpu", "--out", str(other)]) == 0
    assert hs.open(other).model_record["strategy"] == "stretch"
    assert main(["help", "finetune"]) == 0
    assert "|stretch" in capsys.readouterr().out


def test_its_rate_is_a_multiple_of_the_familys(tmp_path):
    rates = [
        hs.finetune(
            DATA, start=START, strategy=name, num_steps=1, out=str(tmp_path / name), device="cpu"
        ).options["recipe"]["learning_rate"]
        for name in ("full", "stretch")
    ]
    assert rates[1] == pytest.approx(0.5 * rates[0])


def test_the_checks_of_options_ask_its_record():
    check_options(TrainingOptions(strategy="stretch", num_last_layers=2))
    with pytest.raises(OptionError, match="lora_rank is for strategy 'lora', 'qlora', not"):
        check_options(TrainingOptions(strategy="stretch", lora_rank=4))
    told = "num_last_layers is for strategy 'last-n', 'stretch', not 'full'"
    with pytest.raises(OptionError, match=told):
        check_options(TrainingOptions(strategy="full", num_last_layers=2))
    with pytest.raises(OptionError, match=r"strategy is 'strech'.*Did you mean 'stretch'"):
        check_options(TrainingOptions(strategy="strech"))


def test_a_strategy_with_adapters_of_another_name_has_adapters(tmp_path):
    pytest.importorskip("peft")
    frozen = Strategy(
        name="adapters",
        sentence="adapters alone",
        stages=lambda num_layers, num_last_layers: [(0.0, num_layers)],
        num_probe_samples=0,
        adapters=True,
    )
    texts = (["good film", "bad film", "fine plot", "dull plot"] * 15, ["p", "n"] * 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STRATEGIES, "adapters", frozen)
        run = hs.finetune(
            texts, start="scratch/bert-tiny", strategy="adapters", lora_rank=2, num_steps=2,
            out=str(tmp_path / "run"), device="cpu",
        )  # fmt: skip
    assert run.model.encoder.architecture["lora"]["rank"] == 2
