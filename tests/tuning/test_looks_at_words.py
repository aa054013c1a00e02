"""How a training for tags spends its time: a probe of no more words than it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_runs import save_bert, tagged_sentences, written_tags

import headstart as hs
from headstart.model import run_batches
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.probe import Probe
from headstart.tuning import solving
from headstart.tuning.arm import Tuned
from headstart.tuning.conclude import _frozen
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.solving import _enough_words
from headstart.types.ragged import Ragged


@pytest.mark.parametrize(("num", "length", "most"), [(1000, 40, 800), (50, 3, 1000), (9, 500, 100)])
def test_a_probe_of_words_draws_texts_for_as_many_words_as_it_learns_from(num, length, most):
    rng = np.random.default_rng(0)
    targets = Ragged.of([np.zeros(int(n), np.int64) for n in rng.integers(1, 2 * length, num)])
    places = _enough_words(targets, 10**6, most, seed=0)
    words = int(targets.lengths[places].sum())
    if len(targets.whole) <= most:
        assert len(places) == num
    else:
        assert 1 <= len(places) <= max(1, num * most // len(targets.whole))
        assert words <= max(2 * most, 2 * length)
    if num == 1000:  # drawn from all of them, and not the first
        assert places.max() > num / 2
    assert _enough_words(targets, 4, most, seed=0).size <= 4


def test_features_are_computed_of_these_alone(tmp_path, monkeypatch):
    passed = []
    probe_words = solving.probe_words

    def noting(model, train, val, **said):
        passed.append(sum(train.row_lengths))
        return probe_words(model, train, val, **said)

    monkeypatch.setattr(solving, "probe_words", noting)
    monkeypatch.setattr(solving, "MOST_PROBED", 300)
    hs.finetune(
        str(written_tags(tmp_path / "data")),
        start="scratch/bert-tiny",
        strategy="lp-ft",
        num_steps=4,
        device="cpu",
        out=str(tmp_path / "run"),
        quiet=True,
    )
    assert len(passed) == 1
    assert 150 < passed[0] < 600


@pytest.mark.skipif(not find_start("pip/all-minilm-l6-v2").is_local, reason="not installed")
def test_what_reads_tokens_keeps_no_copy_of_its_start_and_is_probed_once(tmp_path):
    data = hs.load(str(written_tags(tmp_path / "data")))
    start, device = find_start("pip/all-minilm-l6-v2"), torch.device("cpu")
    setup = set_up(data, start, TrainingOptions(strategy="lp-ft"), device=device)
    assert not setup.initial
    inputs = prepare_sample(data, "test", setup, 8, seed=0)
    before = run_batches(setup.model, inputs, setup.model.features)
    with torch.no_grad():
        for parameter in setup.model.parameters():
            parameter.mul_(1.5)  # as if it had learned
    fitted = Probe(np.zeros((5, 384)), np.zeros(5), np.zeros((1, 5)), 0.0, 0.0, 1.0, 0.0)
    frozen, known = _frozen(setup, data, Tuned(fitted, None, np.zeros((1, 5)), 0.0))
    assert known is fitted
    found = run_batches(frozen.model, inputs, frozen.model.features)
    np.testing.assert_allclose(found.flat, before.flat, atol=1e-5)
    learned = run_batches(setup.model, inputs, setup.model.features)
    assert np.abs(learned.flat - before.flat).max() > 0.1


@pytest.mark.parametrize("strategy", ["lp-ft", "full"])
def test_the_figure_before_is_that_of_the_head_alone(tmp_path, strategy):
    pytest.importorskip("transformers")
    folder, out = written_tags(tmp_path / "data"), tmp_path / "runs"
    few = (folder / "train.conll").read_text().split("\n\n")[:5]
    (folder / "train.conll").write_text("\n\n".join(few) + "\n")
    data = str(folder)
    words = [" ".join(row) for row in tagged_sentences(160, 0)[0]]
    said = {"start": str(save_bert(tmp_path / "bert", words)), "device": "cpu", "quiet": True}
    tuned = hs.finetune(data, **said, strategy=strategy, num_steps=20, out=str(out / "a"))
    head = hs.finetune(data, **said, strategy="head", out=str(out / "b"))
    before = tuned.metrics["before_after"]["figures"]["frozen start + linear probe"]["value"]
    assert 0 < before < 1
    assert before == pytest.approx(head.metrics["test"]["figures"]["f1_entities"]["value"])
