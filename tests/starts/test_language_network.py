"""Decoders that write: what shares a row stands alone in it, and a cache changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from transformers import AutoModelForCausalLM, GenerationConfig

from headstart.preprocessing.for_texts import UsableTexts
from headstart.preprocessing.rows import TextSamples
from headstart.starts import find_start
from headstart.starts.addresses import parse_address
from headstart.starts.lora import add_lora, merge_lora
from headstart.starts.provider import BuildRequest
from headstart.starts.rebuild import rebuild_encoder
from headstart.starts.texts.decoders import DECODERS
from headstart.starts.texts.language_network import LanguageNetwork, build_language_model
from headstart.starts.texts.language_starts import build_language_start
from headstart.types import Conversation
from headstart.types.texts import Telling, text_array

ASKED = [Conversation.of([("user", f"What is {n} and {n}?")]) for n in range(24)]
ANSWERS = [f"It is {2 * n}. " + "Really. " * (n % 5) for n in range(24)]
SHAPES = {
    "gpt2": {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2},
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
    },
}


def built(address="scratch/gpt-tiny", **more):
    start = find_start(address)
    request = BuildRequest(texts=ASKED, wanted=ANSWERS, tells_texts=True, **more)
    return build_language_start(start, parse_address(address), request, None)


def prepared(preprocess, texts=ASKED, answers=ANSWERS, *, is_whole=True):
    usable = UsableTexts(
        TextSamples(texts, [f"text {n + 1}" for n in range(len(texts))]),
        text_array(answers),
        np.arange(len(texts)),
        {},
    )
    return replace(preprocess, is_whole=is_whole)._encode(usable, "tokens")


def sums(network, inputs, places):
    with torch.no_grad():
        return network(*(torch.from_numpy(array) for array in inputs.arrays(np.array(places))))


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_samples_that_share_rows_are_read_one_by_one(kind):
    inputs = prepared(built().preprocess)
    record = {"model_type": kind, "vocab_size": 600, **SHAPES[kind]}
    torch.manual_seed(0)
    network = build_language_model(DECODERS.clean(record, "a start")).eval()
    packed = sums(network, inputs, range(24))
    alone = torch.cat([sums(network, inputs, [n]) for n in range(24)])
    assert torch.allclose(packed, alone, atol=2e-5)
    ids = inputs.arrays(np.arange(24))[0]
    assert ids.shape[0] < 24  # they do share some
    # and as transformers' own loss has it
    row = torch.from_numpy(inputs.flat[: inputs.offsets[1]]).long()[None]
    labels = torch.where(torch.from_numpy(inputs.is_told[: row.shape[1]])[None], row, -100)
    with torch.no_grad():
        loss = network.model(input_ids=row, labels=labels).loss
    assert abs(float(alone[0, 0] / alone[0, 1] - loss)) < 1e-5
    assert alone[0, 1] == inputs.told.lengths[0] == (labels[0, 1:] >= 0).sum()


def test_texts_alone_are_told_once_in_windows():
    preprocess = replace(built(max_length=20).preprocess, of_turns=False)
    long = [" ".join(str(n) for n in range(60)), "short"]
    inputs = prepared(preprocess, long, long)
    ids, _, _, where, told = inputs.arrays(np.arange(2))
    assert ids.shape[1] <= 20 * 4
    assert (where >= 0).sum() == inputs.told.lengths.sum() == (inputs.lengths - 1).sum()
    body = preprocess.tokenizer.decode(told[0][told[0] >= 0][:-1].tolist())
    assert body == long[0]
    assert inputs.num_bytes.tolist() == [len(long[0]), 5]
    assert not inputs.are_asked


def test_a_prompt_without_room_for_its_answer_is_no_sample_and_a_long_answer_is_cut():
    preprocess = built(max_length=24).preprocess
    texts = [Conversation.of([("user", "so long " * 30)]), ASKED[0], ASKED[1]]
    inputs = prepared(preprocess, texts, ["yes", "It is 0.", "on and on " * 40])
    assert [bad.name for bad in inputs.bad_samples] == ["text 1"]
    assert "24 are read at once" in inputs.bad_samples[0].reason
    assert inputs.num_truncated == 1
    assert inputs.lengths.max() == 25
    assert "cut at 24 tokens" in inputs.findings[0].sentence


def test_judged_is_the_last_answer_and_learned_are_all():
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")]
    preprocess = built().preprocess
    one = [Conversation.of(turns)]
    learned = prepared(preprocess, one, ["So long"])
    judged = prepared(preprocess, one, ["So long"], is_whole=False)
    decode = preprocess.tokenizer.decode
    end = preprocess.tokenizer.special_tokens["eos_token"]
    assert decode(learned.told[0]) == f"Hello{end}So long{end}"
    assert decode(judged.told[0]) == f"So long{end}"
    assert (learned.num_bytes, judged.num_bytes) == ([12], [7])


def test_a_cache_writes_the_same_and_draws_follow_their_seed():
    encoder = built()
    inputs, network = prepared(encoder.preprocess), encoder.network.eval()
    asked = [torch.from_numpy(array) for array in inputs.asked(np.arange(4))]
    how = Telling(max_tokens=9)
    plain = network.tell(*asked, how=how)
    end = encoder.preprocess.end_id
    own = GenerationConfig(max_new_tokens=9, use_cache=False, eos_token_id=end, pad_token_id=end)
    said = network.model.generate(asked[0], attention_mask=asked[1], generation_config=own)
    assert torch.equal(plain, said[:, asked[0].shape[1] :])
    # alone, without padding, the same is written
    one = [torch.from_numpy(array) for array in inputs.asked(np.array([2]))]
    assert torch.equal(network.tell(*one, how=how)[0], plain[2])
    draw = Telling(max_tokens=9, temperature=1.0, seed=1)
    drawn = network.tell(*asked, how=draw)
    assert torch.equal(drawn, network.tell(*asked, how=draw))
    assert torch.equal(network.tell(*one, how=draw)[0], drawn[2])
    assert not torch.equal(drawn, network.tell(*asked, how=replace(draw, seed=2)))
    heard = []
    network.tell(*one, how=how, on_token=heard.append)
    assert heard == plain[2].tolist()


def test_weights_are_kept_once_and_come_back(tmp_path):
    encoder = built()
    state = encoder.state_dict()
    assert not any("lm_head" in name for name in state)
    for name, content in encoder.preprocess.files().items():
        (tmp_path / name).write_bytes(content)
    again = rebuild_encoder(encoder.architecture, folder=tmp_path)
    again.load_state_dict(state, strict=True)
    inputs = prepared(encoder.preprocess)
    assert torch.equal(
        sums(again.eval().network, inputs, [0]), sums(encoder.eval().network, inputs, [0])
    )
    assert len(encoder.layers) == 5
    names = [name for layer in encoder.layers for name in layer]
    assert sorted(names) == sorted(name for name, _ in encoder.named_parameters())


def test_a_folder_of_transformers_is_a_start_with_adapters(tmp_path):
    source = built()
    tokenizer = source.preprocess.tokenizer
    record = {"model_type": "llama", "vocab_size": tokenizer.vocab_size, **SHAPES["llama"]}
    network = build_language_model(DECODERS.clean(record, "a start"))
    network.model.save_pretrained(tmp_path)
    for name, content in tokenizer.files().items():
        (tmp_path / name).write_bytes(content)
    encoder = built(str(tmp_path)).eval()
    assert isinstance(encoder.network, LanguageNetwork)
    assert encoder.start.family == "decoder"
    inputs = prepared(encoder.preprocess)
    before = sums(encoder.network, inputs, [0, 1])
    add_lora(encoder, rank=2)
    assert torch.allclose(before, sums(encoder.network, inputs, [0, 1]), atol=1e-6)
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = sums(encoder.network, inputs, [0, 1])
    assert not torch.allclose(before, adapted, atol=1e-4)
    merge_lora(encoder)
    assert torch.allclose(adapted, sums(encoder.network, inputs, [0, 1]), atol=1e-4)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.config.model_type == "llama"
