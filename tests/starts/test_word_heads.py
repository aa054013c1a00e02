"""Heads over a vocabulary: transformers' own logits, at as many places as are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_text import TEXTS, tiny_record

from headstart.errors import StartError
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.starts.texts import decoders
from headstart.starts.texts.configs import ENCODER_TYPES, clean_config, read_config
from headstart.starts.texts.last_rows import ROW_BY_ROW
from headstart.starts.texts.networks import build_transformers, largest_list
from headstart.starts.texts.weights import read_weights
from headstart.starts.texts.word_heads import WordHead, build_head, language_model, load_head

pytest.importorskip("transformers")


@pytest.mark.parametrize("kind", ENCODER_TYPES)
def test_logits_at_some_places_are_those_of_the_whole_language_model(kind):
    config = clean_config(tiny_record(kind), kind)
    torch.manual_seed(0)
    network = build_transformers(config, "mean").eval()
    head = build_head(network.model, "masked", kind).eval()
    whole = language_model(read_config(config), "masked", kind).eval()
    whole.base_model.load_state_dict(network.model.state_dict())
    own = {name.removeprefix("whole."): t for name, t in head.state_dict().items()}
    assert not any("embed" in name for name in own)  # the encoder's table is not written twice
    whole.load_state_dict(own, strict=False)
    whole.tie_weights()
    ids = torch.randint(5, 120, (2, 9))
    mask = torch.ones_like(ids)
    places = torch.tensor([2, 5, 11])
    with torch.no_grad():
        found = head(network.tokens_at(ids, mask, places))
        expected = whole(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[places]
    assert found.shape == (3, 120)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODER_TYPES)
def test_the_states_of_some_tokens_and_their_gradients_are_those_among_all(kind):
    torch.manual_seed(0)
    network = build_transformers(clean_config(tiny_record(kind), kind), "mean").eval()
    ids, mask = torch.randint(5, 120, (3, 9)), torch.ones(3, 9, dtype=torch.int64)
    mask[1, 6:] = 0  # padded
    places = torch.tensor([0, 8, 9, 14, 20, 26])
    nums = []  # of the tokens that each matrix of the last block is given

    def count(module, given, output):
        nums.append(given[0][..., 0].numel())

    _, blocks = largest_list(network)
    for layer in blocks[-1].modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(count)
    found = network.tokens_at(ids, mask, places)
    is_less = bool(nums) and min(nums) < 27
    given = torch.randn_like(found)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    own = torch.autograd.grad(found, learned, given, allow_unused=True)
    whole = network.tokens(ids, mask).flatten(0, 1)[places]
    theirs = torch.autograd.grad(whole, learned, given, allow_unused=True)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)
    for mine, other in zip(own, theirs, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    assert is_less == (kind in ROW_BY_ROW)
    # nothing of it stays: whoever asks for all tokens next gets them
    assert network.tokens(ids, mask).shape[:2] == (3, 9)


def test_the_table_of_embeddings_learns_from_both_ends():
    network = build_transformers(clean_config(tiny_record("bert"), "bert"), "mean")
    head = build_head(network.model, "masked", "bert")
    table = network.model.get_input_embeddings().weight
    assert head.whole.get_output_embeddings().weight is table
    states = torch.randn(4, 32)
    head(states).sum().backward()
    assert table.grad is not None
    assert float(table.grad.abs().sum()) > 0


def test_the_head_of_a_folder_is_read_and_one_that_is_missing_is_named(tmp_path: Path):
    config = clean_config(tiny_record("bert"), "bert")
    torch.manual_seed(0)
    whole = language_model(read_config(config), "masked", "bert")
    whole.save_pretrained(str(tmp_path / "whole"))
    whole.base_model.save_pretrained(str(tmp_path / "bare"))
    network = build_transformers(config, "mean")
    found = load_head(network.model, tmp_path / "whole", "masked", "whole")
    assert isinstance(found, WordHead)
    bias = whole.get_output_embeddings().bias
    assert torch.equal(found.whole.get_output_embeddings().bias, bias)
    missing = load_head(network.model, tmp_path / "bare", "masked", "bare")
    assert isinstance(missing, list)
    assert any("transform" in name for name in missing)


@pytest.mark.parametrize("verb", ["encoder", "folder"])
def test_a_decoder_is_refused_where_a_text_is_to_be_judged(verb, tmp_path: Path, heard):
    address = "scratch/gpt-tiny"
    if verb == "folder":
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(vocab_size=90, n_embd=16, n_layer=1, n_head=2, n_positions=32)
        GPT2LMHeadModel(config).save_pretrained(str(tmp_path))
        address = str(tmp_path)
    with pytest.raises(StartError, match="is a decoder: it reads a text one way") as caught:
        build_encoder(find_start(address), BuildRequest(texts=TEXTS))
    assert f"--objective clm --start {address}" in str(caught.value)
    assert build_encoder(find_start("scratch/bert-tiny"), BuildRequest(texts=TEXTS)).num_features
    heard(caught.value)


def test_weights_of_a_decoder_that_do_not_fit_are_refused(tmp_path: Path):
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

    shape = {"vocab_size": 90, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    config = GPT2Config(**shape)
    GPT2LMHeadModel(config).save_pretrained(str(tmp_path))
    file = tmp_path / "model.safetensors"
    tensors, name = load_file(file), "transformer.h.0.mlp.c_fc.weight"
    whole, random = read_weights(GPT2Model, tmp_path, config, "mine")
    assert random == []
    assert torch.equal(whole.h[0].mlp.c_fc.weight, tensors[name])
    for changed, words in (
        ({n: t for n, t in tensors.items() if n != name}, "is missing"),
        ({**tensors, name: torch.zeros(3, 3)}, "has another shape"),
    ):
        save_file(changed, file, {"format": "pt"})
        with pytest.raises(StartError, match=rf"'mine' do not fit .*mlp.c_fc.weight' {words}"):
            read_weights(GPT2Model, tmp_path, config, "mine")
        _, random = read_weights(
            GPT2Model, tmp_path, config, "mine", may_lack=lambda _: True, may_differ=lambda _: True
        )
        assert random == ["h.0.mlp.c_fc.weight"]


def test_decoders_of_another_kind_or_too_large_are_refused_and_others_built(monkeypatch, heard):
    small = {"vocab_size": 90, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    with pytest.raises(
        StartError, match=r"is no decoder that headstart trains.*another start"
    ) as no:
        decoders.build_decoder({"model_type": "bert", **small})
    monkeypatch.setattr(decoders, "_MOST_PARAMETERS", 10)
    with pytest.raises(StartError, match=r"at most 10\. Choose a smaller start") as large:
        decoders.build_decoder({"model_type": "gpt2", **small})
    monkeypatch.undo()
    assert decoders.build_decoder({"model_type": "gpt2", **small}).num_features == 16
    heard(no.value)
    heard(large.value)


def test_the_small_bert_normalises_before_each_block_and_takes_512_tokens():
    encoder = build_encoder(
        find_start("scratch/bert-small"), BuildRequest(texts=TEXTS, max_length=512)
    )
    assert encoder.num_features == 256
    assert len(encoder.blocks) == 6
    assert encoder.network.model.config.model_type == "roberta-prelayernorm"
