"""Networks that write: the loss of a step and of its parts, the cache, what is told and refused."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pairs_of_texts import write_pairs
from torch.nn import functional

pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")

import headstart as hs
from headstart.errors import OptionError, StartError
from headstart.model import Model, tell_texts
from headstart.objectives import check_score
from headstart.preprocessing import SequenceTokens
from headstart.starts import find_start
from headstart.starts.texts.sequences import SequenceNetwork, search_of
from headstart.tensors import to_tensors
from headstart.training.batches.order import Share
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.hooks import step_loss
from headstart.tuning.setup import set_up
from headstart.types.texts import TOLD, Telling

START = "scratch/seq2seq-tiny"
PLAIN = {"strategy": "full", "encoder_dropout": 0.0, "batch_size": 24}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "toy-en-de"
    return hs.load(str(write_pairs(folder, {"train": 150, "val": 20, "test": 20})))


@pytest.fixture(scope="module")
def setup(data):
    options = TrainingOptions(**PLAIN)
    return set_up(data, find_start(START), options, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def train(data, setup):
    return setup.preprocess.prepare(data, "train")


def test_both_sides_share_one_vocabulary_and_its_embeddings(setup):
    network = setup.model.encoder.network
    assert isinstance(network, SequenceNetwork)
    model = network.model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    names = [name for group in setup.model.encoder.layers for name in group]
    assert sorted(names) == sorted(name for name, _ in setup.model.encoder.named_parameters())
    assert len(setup.model.encoder.layers) == 1 + 3 + 3


def test_a_batch_holds_the_ids_before_each_that_is_told(setup, train):
    assert isinstance(train, SequenceTokens)
    ids, mask, before = train.arrays(np.arange(5))
    told = train.told[np.arange(5)].padded(train.pad_id)
    assert before[:, 0].tolist() == [setup.preprocess.begin_id] * 5
    assert np.array_equal(before[:, 1:], told[:, :-1])
    texts = [setup.preprocess.text_of(row) for row in told]
    assert texts == train.targets[:5].tolist()
    assert ids.shape == mask.shape


def _step(setup, train, micro, share=None):
    recipe = replace(setup.recipe, micro_batch_size=micro, label_smoothing=0.1)
    model = setup.model
    feed = SampleFeed(train, model.learned_targets(train), recipe, model.device, share or Share())
    compute = step_loss(model, recipe, train.targets, model)
    model.zero_grad(set_to_none=True)
    total, num = 0.0, 0
    for batch in feed.batches(3):
        loss = compute(batch) * batch.part
        loss.backward()
        total, num = total + float(loss.detach()), num + 1
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    return total, gradient, num


def test_the_loss_of_a_step_is_the_mean_over_its_tokens_however_it_is_divided(setup, train):
    whole, gradient, num = _step(setup, train, 24)
    assert num == 1
    feed = SampleFeed(train, setup.model.learned_targets(train), setup.recipe, setup.model.device)
    (batch,) = feed.batches(3)
    logits = setup.model(*batch.inputs).float()
    told = batch.targets != -100
    plain = functional.cross_entropy(logits[told], batch.targets[told], label_smoothing=0.1)
    assert whole == pytest.approx(float(plain.detach()), rel=1e-6)
    for micro in (8, 5, 1):
        parts, other, num = _step(setup, train, micro)
        assert num == -(-24 // micro)
        assert parts == pytest.approx(whole, rel=1e-5)
        assert torch.allclose(other, gradient, atol=1e-4 * float(gradient.abs().max()))
    shares = [_step(setup, train, 24, Share(rank, 2)) for rank in (0, 1)]
    assert sum(loss for loss, _, _ in shares) == pytest.approx(whole, rel=1e-5)


def test_batches_are_of_like_length_on_both_sides(setup, train):
    feed = SampleFeed(train, setup.model.learned_targets(train), setup.recipe, setup.model.device)
    spread = [
        np.ptp(train.told.lengths[feed.order.indices(step)])
        for step in range(feed.order.steps_per_epoch)
    ]
    assert np.median(spread) < np.ptp(train.told.lengths) / 2


@pytest.mark.parametrize("num_beams", [1, 3])
def test_what_is_written_with_a_cache_is_what_transformers_writes_without(setup, train, num_beams):
    network = deepcopy(setup.model.encoder.network).eval()
    torch.manual_seed(0)
    with torch.no_grad():  # something else than the token before, for ever
        for name, parameter in network.named_parameters():
            if ".layers." in name and parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    asked = to_tensors(train.asked(np.arange(12)), torch.device("cpu"))
    how = Telling(num_beams, 14)
    kept = network.tell(*asked, how=how)
    own = search_of(network.model.config, how)
    own.use_cache = False
    ids, mask = asked
    anew = network.model.generate(input_ids=ids, attention_mask=mask, generation_config=own)
    texts, wanted = ([setup.preprocess.text_of(r.numpy()) for r in rows] for rows in (kept, anew))
    assert texts == wanted
    assert len(np.unique(kept)) > 3
    # one at a time as in a batch, padded
    alone = [
        network.tell(ids[None, m > 0], m[None, m > 0], how=how)[0]
        for ids, m in zip(*asked, strict=True)
    ]
    for one, row in zip(alone, kept, strict=True):
        assert setup.preprocess.text_of(one.numpy()) == setup.preprocess.text_of(row.numpy())


def test_nobody_writes_on_and_on():
    how = Telling(max_tokens=100, tokens_a_token=1.5)
    assert [how.most_of(n) for n in (1, 10, 1000)] == [10, 23, 100]
    assert Telling(max_tokens=100).most_of(1) == 100


def test_what_is_told_has_the_losses_of_teacher_forcing(data, setup):
    val = setup.preprocess.prepare(data, "val")
    told = tell_texts(setup.model, val, places=np.array([2, 5]), how=Telling(1, 4))
    assert told.dtype == TOLD
    assert [place for place, text in enumerate(told["text"]) if text is not None] == [2, 5]
    ids, mask, before = to_tensors(val.arrays(np.array([7])), torch.device("cpu"))
    setup.model.eval()
    with torch.no_grad():
        logits = setup.model(ids, mask, before)[0].float()
    wanted = torch.from_numpy(val.told[7])
    loss = functional.cross_entropy(logits, wanted, reduction="sum")
    assert told["loss"][7] == pytest.approx(float(loss), rel=1e-4)
    assert told["num_tokens"].tolist() == val.told.lengths.tolist()
    metric, _, loss, _ = check_score("seq2seq", told, val.targets)
    assert metric == "bleu"
    assert loss == pytest.approx(told["loss"].sum() / told["num_tokens"].sum())


@pytest.mark.parametrize("strategy", ["head", "lp-ft", "gradual"])
def test_strategies_that_begin_with_a_head_are_refused(data, strategy, tmp_path):
    with pytest.raises(OptionError, match=f"strategy is '{strategy}', which begins with a head"):
        hs.finetune(data, start=START, strategy=strategy, out=str(tmp_path / "r"))


def test_an_encoder_writes_nothing_and_a_writer_tells_no_class(data, tmp_path):
    with pytest.raises(StartError, match="writes no texts, and the task is seq2seq"):
        hs.finetune(data, start="scratch/bert-tiny", out=str(tmp_path / "a"), num_steps=1)
    texts = [f"{'good' if i % 2 else 'bad'} film of number {i}" for i in range(60)]
    labelled = hs.load((texts, ["yes" if i % 2 else "no" for i in range(60)]))
    with pytest.raises(StartError, match="writes a text for a text"):
        hs.finetune(labelled, start=START, out=str(tmp_path / "b"), num_steps=1)


def test_the_model_of_texts_has_no_head(setup):
    assert isinstance(setup.model, Model)
    assert not list(setup.model.head.parameters())
    assert setup.strategy.num_probe_samples == 0
