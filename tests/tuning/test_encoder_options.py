"""What a user says of the encoder reaches it: text length, its dropout, and the adapters' shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.data import load
from headstart.errors import OptionError, StartError
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import prepare_sample, set_up

CPU = torch.device("cpu")
TEXTS = [" ".join(["warm", "cold", "film", "plot"][: 1 + i % 4] * 12) for i in range(60)]
LABELS = [("a", "b")[i % 2] for i in range(60)]


@pytest.fixture(scope="module")
def data():
    return load((TEXTS, LABELS))


def setup_of(data, strategy="full", start="scratch/bert-tiny", **options):
    return set_up(
        data, find_start(start), TrainingOptions(strategy=strategy, **options), device=CPU
    )


def rates_of(setup):
    modules = setup.model.encoder.modules()
    return {module.p for module in modules if isinstance(module, nn.Dropout)}


def test_texts_are_cut_at_the_length_that_was_said(data):
    assert setup_of(data).preprocess.max_length > 12
    setup = setup_of(data, max_length=12)
    assert (setup.preprocess.max_length, setup.recipe.max_length) == (12, 12)
    inputs = prepare_sample(data, "train", setup, None, seed=0)
    assert inputs.lengths.max() == 12
    ids, mask = inputs.arrays(np.arange(3))
    assert ids.shape[1] <= 12
    assert mask.shape == ids.shape


def test_a_run_keeps_the_length_and_is_evaluated_and_predicts_with_it(data, tmp_path):
    run = hs.finetune(
        data, start="scratch/bert-tiny", max_length=10, num_steps=2, out=str(tmp_path / "run"),
        device="cpu",
    )  # fmt: skip
    assert run.options["options"]["max_length"] == 10
    opened = hs.open(run.path)
    assert opened.model.encoder.preprocess.max_length == 10
    assert len(opened.predict(TEXTS[:2])) == 2


def test_dropout_inside_the_encoder_is_the_one_that_was_said(data):
    assert rates_of(setup_of(data)) == {0.1}  # the start's own
    assert rates_of(setup_of(data, encoder_dropout=0.3)) == {0.3}
    still = setup_of(data, encoder_dropout=0.0)
    assert rates_of(still) <= {0.0}
    arrays = prepare_sample(data, "train", still, None, seed=0).arrays(np.arange(4))
    inputs = [torch.from_numpy(array) for array in arrays]
    for setup, is_same in ((still, True), (setup_of(data, encoder_dropout=0.3), False)):
        encoder = setup.model.encoder.train()
        with torch.no_grad():
            first, second = encoder(*inputs), encoder(*inputs)
        assert torch.equal(first, second) == is_same


def test_adapters_have_the_rank_and_the_scale_that_were_said(data):
    pytest.importorskip("peft")
    for options, rank, alpha in (({}, 8, 16), ({"lora_rank": 4, "lora_alpha": 2.0}, 4, 2.0)):
        setup = setup_of(data, "lora", **options)
        named = dict(setup.model.encoder.named_parameters())
        firsts = [value for name, value in named.items() if ".lora_A." in name]
        assert firsts
        assert {len(value) for value in firsts} == {rank}
        scales = {
            module.scaling["default"]
            for module in setup.model.encoder.modules()
            if hasattr(module, "lora_A")
        }
        assert scales == {alpha / rank}
        assert setup.model.encoder.architecture["lora"] == {
            "rank": rank,
            "alpha": alpha,
            "dropout": 0.0,
        }


def test_a_length_that_the_encoder_cannot_take_is_refused_with_the_one_it_can(data):
    with pytest.raises(StartError, match=r"max_length 100000 is not possible .* Expected 1 to"):
        setup_of(data, max_length=100_000)


@pytest.mark.parametrize(
    ("start", "options", "told"),
    [
        ("scratch/bert-tiny", {"lora_rank": 4}, "is for strategy 'lora', 'qlora', not 'full'"),
        ("scratch/bert-tiny", {"lora_alpha": 4, "strategy": "lp-ft"}, "lora_alpha is for strategy"),
        ("scratch/tfidf", {"max_length": 9}, "'scratch/tfidf' is of family 'linear'"),
        ("scratch/bert-tiny", {"encoder_dropout": 1.0}, "encoder_dropout is 1, expected between 0"),
        ("scratch/bert-tiny", {"max_length": 0}, "max_length is 0, expected at least 1"),
        ("scratch/bert-tiny", {"drop_path": 0.1}, "drop_path is for images, and this data holds"),
    ],
)
def test_they_are_refused_where_they_mean_nothing(data, tmp_path, start, options, told):
    with pytest.raises(OptionError, match=told):
        hs.finetune(data, start=start, out=str(tmp_path / "run"), device="cpu", **options)
