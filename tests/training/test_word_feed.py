"""Batches of words to tell: the loss of a step is the mean over all that it hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.objectives.words import word_loss, word_losses
from headstart.preprocessing.corpus import TokenCorpus
from headstart.preprocessing.packing import cut_documents, pack
from headstart.starts.texts.decoders import DECODER_TYPES, DECODERS, build_decoder
from headstart.starts.texts.word_heads import build_head
from headstart.training.batches.masking import Masking
from headstart.training.batches.order import Share
from headstart.training.batches.word_feed import (
    HELD_OUT,
    HiddenWordFeed,
    Hider,
    NextWordFeed,
    PackedInputs,
    WindowInputs,
)
from headstart.training.options.pretraining_defaults import pretraining_recipe
from headstart.training.options.pretraining_options import PretrainingOptions

NUM_IDS, END = 40, 1
CPU = torch.device("cpu")


def corpus_of(lengths: list[int]) -> TokenCorpus:
    draws = np.random.default_rng(0)
    num = sum(lengths)
    return TokenCorpus(
        draws.integers(5, NUM_IDS, num).astype(np.int32),
        draws.integers(0, 2, num).astype(np.uint8),
        np.cumsum([0, *lengths]),
        np.zeros(len(lengths), bool),
    )


def windows_of(lengths: list[int], room: int = 12) -> WindowInputs:
    corpus = corpus_of(lengths)
    windows = cut_documents(np.arange(len(lengths)), corpus.lengths, room)
    return WindowInputs(corpus, windows, [2], [3], 0)


def rows_of(lengths: list[int], most: int = 16) -> PackedInputs:
    corpus = corpus_of(lengths)
    windows = cut_documents(np.arange(len(lengths)), corpus.lengths + 1, most)
    return PackedInputs(corpus, windows, *pack(windows.lengths, most), END)


def recipe_of(size: int, objective: str = "mlm"):
    options = PretrainingOptions(objective=objective, batch_size=size, num_steps=4)
    return pretraining_recipe(options, 1_000)


def hider_of(inputs: WindowInputs, **how) -> Hider:
    masking = Masking(0.25, "mask", 4, NUM_IDS, 5)
    return replace(Hider(inputs, masking, 0, False), **how)


def loss_of(feed, step: int, size: int | None = None) -> float:
    """Return a step's loss, where each word's own is a number that only it and its place give."""
    table = torch.randn(NUM_IDS, NUM_IDS, generator=torch.Generator().manual_seed(0)).double()

    def loss(batch) -> torch.Tensor:
        seen, *others, where, told = batch.inputs
        # the token before a hidden one, or the one that is followed: the context
        before = seen.flatten()[where - int(len(others) == 1)]
        return torch.nn.functional.cross_entropy(table[before], told)

    return sum(float(loss(batch)) * batch.part for batch in feed.batches(step, size))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_parts_of_a_step_add_up_to_the_mean_of_all_its_hidden_words(size):
    feed = HiddenWordFeed(hider_of(windows_of([3, 30, 11, 9, 2, 47, 8])), recipe_of(8), CPU)
    whole = [loss_of(feed, step) for step in range(3)]
    parts = [loss_of(feed, step, size) for step in range(3)]
    assert parts == pytest.approx(whole, abs=1e-12)
    assert len({round(loss, 9) for loss in whole}) == 3


@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_two_processes_have_the_loss_of_one(objective):
    lengths = [3, 30, 11, 9, 2, 47, 8, 21, 5]

    def feed(share: Share):
        recipe = recipe_of(5, objective)
        if objective == "mlm":
            return HiddenWordFeed(hider_of(windows_of(lengths)), recipe, CPU, share)
        return NextWordFeed(rows_of(lengths), recipe, CPU, share)

    alone, both = feed(Share()), [feed(Share(rank, 2)) for rank in (0, 1)]
    for step in range(2):
        together = sum(loss_of(each, step, 2) for each in both)
        assert together == pytest.approx(loss_of(alone, step), abs=1e-12)


def test_what_is_held_out_is_hidden_alike_each_time_and_special_tokens_never():
    hider = hider_of(windows_of([3, 30, 11]), whole_words=True)
    samples = np.arange(len(hider.inputs))
    first, again = hider.hide(HELD_OUT, samples), hider.hide(HELD_OUT, samples[::-1].copy())
    ids, mask, where, told = first
    assert len(np.unique(told)) > 1
    assert np.all(ids.flatten()[where] == 4)
    assert np.sum(ids == 4) == len(where)
    assert np.all(ids[:, 0] == 2)
    assert np.all((ids == 3).sum(1) == 1)
    assert np.array_equal(np.sort(again[3]), np.sort(told))
    plain, _ = hider.inputs.arrays(samples)
    assert np.array_equal(plain.flatten()[where], told)
    assert np.all(mask[ids == 0] == 0)


def test_whole_words_of_a_window_are_hidden_as_a_whole():
    inputs = windows_of([60, 60, 60], room=20)
    hider = hider_of(inputs, whole_words=True)
    samples = np.arange(len(inputs))
    ids, _, where, _ = hider.hide(5, samples)
    rows, columns = np.divmod(where, ids.shape[1])
    assert np.array_equal(np.bincount(rows, minlength=len(samples)), hider.count(5, samples))
    for row, body in enumerate(inputs.bodies(samples)):
        places = columns[rows == row] - len(inputs.prefix)
        begins = inputs.corpus.begins[body].copy()
        begins[0] = 1
        words = np.cumsum(begins)
        assert np.array_equal(np.flatnonzero(np.isin(words, words[places])), places)


def test_a_document_is_told_each_of_its_tokens_and_its_end_once():
    rows = rows_of([3, 40, 1, 15, 16])
    told = []
    for row in range(len(rows)):
        ids, positions, segments, where, next_ids = rows.arrays(np.array([row]))
        told += next_ids.tolist()
        assert np.array_equal(ids.flatten()[where], ids[0, : len(where)])
        assert np.all(np.diff(segments[0, : len(where)]) >= 0)
        assert np.all(positions[0][np.flatnonzero(np.diff(segments[0], prepend=-9))] == 0)
    wanted = [*rows.corpus.ids.tolist(), *[END] * 5]
    assert sorted(told) == sorted(wanted)
    assert rows.num_told(np.arange(len(rows))).sum() == len(wanted)


@pytest.mark.parametrize("kind", DECODER_TYPES)
def test_packed_documents_have_the_mean_loss_of_each_read_alone(kind):
    config = DECODERS.clean(
        {
            "model_type": kind, "vocab_size": NUM_IDS, "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48,
            "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0,
        },
        kind,
    )  # fmt: skip
    torch.manual_seed(0)
    network = build_decoder(config).eval()
    head = build_head(network.model, "causal", kind)
    for parameter in head.parameters():
        parameter.data.mul_(5)  # so that losses differ from one another
    lengths = [3, 9, 1, 15, 7, 11]
    rows = rows_of(lengths)
    with torch.no_grad():
        alone, packed = alone_and_packed(network, head, rows)
    assert packed == pytest.approx(alone, abs=1e-5)
    assert packed != pytest.approx(np.log(NUM_IDS), abs=1e-4)


def alone_and_packed(network, head, rows: PackedInputs) -> tuple[float, float]:
    """Return the mean loss of documents that are read one by one, and of rows of them."""
    losses, lengths = [], rows.corpus.lengths
    for document in range(len(lengths)):
        body = rows.corpus.ids[rows.corpus.offsets[document] : rows.corpus.offsets[document + 1]]
        tokens = torch.tensor([[END, *body.tolist(), END]])
        states = network.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state[0]
        losses.append(word_losses(head(states), tokens[0, 1:]))
    alone = float(torch.cat(losses).mean())
    ids, positions, segments, where, told = map(torch.from_numpy, rows.arrays(np.arange(len(rows))))
    assert len(ids) < len(lengths)  # rows are shared
    before = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    seen = (segments[:, :, None] == segments[:, None, :]) & before
    states = network.model(
        input_ids=ids, attention_mask=seen[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state
    return alone, float(word_loss(head(states.flatten(0, 1)[where]), told))
