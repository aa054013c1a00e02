"""Networks of transformers: features that its own classifier would see, layers, configurations."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_text import TINY, tiny_record
from torch import nn

from headstart.errors import StartError
from headstart.starts.encoder import group_layers
from headstart.starts.texts.configs import (
    ENCODER_TYPES,
    check_config,
    classifier_name,
    clean_config,
    read_config,
    set_dropout,
)
from headstart.starts.texts.networks import (
    TextNetwork,
    build_transformers,
    largest_list,
    make_classifier,
)

transformers = pytest.importorskip("transformers")


def random_batch(num_padded: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 120, (2, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    pad = torch.zeros(2, num_padded, dtype=torch.int64)
    return torch.cat([ids, pad], 1), torch.cat([mask, pad], 1)


@pytest.mark.parametrize("kind", ENCODER_TYPES)
def test_encoder_keeps_the_contract(kind: str):
    config = clean_config(tiny_record(kind), kind)
    assert json.loads(json.dumps(config)) == config
    assert clean_config(config, kind) == config
    torch.manual_seed(1)
    network = build_transformers(config, "native").eval()
    assert isinstance(network, TextNetwork)
    layers = group_layers(network)
    names = [name for name, _ in network.named_parameters()]
    assert sorted(name for group in layers for name in group) == sorted(names)
    prefix, blocks = largest_list(network)
    assert len(layers) == len(blocks) + 1
    for place, group in enumerate(layers[1:]):
        inside = [name for name in group if name.startswith(f"{prefix}.")]
        assert inside
        assert all(name.startswith(f"{prefix}.{place}.") for name in inside)
    assert any("word_embeddings" in n or "tok_embeddings" in n or "embed_tokens" in n
               for n in layers[0])  # fmt: skip

    with torch.no_grad():
        features = network(*random_batch())
        assert features.shape == (2, network.num_features)
        torch.testing.assert_close(network(*random_batch(7)), features, atol=1e-5, rtol=1e-5)
    has_head_put_back(network, kind)
    with torch.no_grad():
        longest = torch.full((1, network.max_positions()), 5)
        network(longest, torch.ones_like(longest))  # does not fail


def has_head_put_back(network: TextNetwork, kind: str) -> None:
    """A head on the features is exactly transformers' classifier with that head as last layer."""
    whole = make_classifier(read_config(tiny_record(kind)))
    name = classifier_name(whole.config)
    head = whole.get_submodule(name)
    assert isinstance(head, nn.Linear)
    whole.load_state_dict(
        {**network.model.state_dict(), f"{name}.weight": head.weight, f"{name}.bias": head.bias},
        strict=True,
    )
    ids, mask = random_batch(3)
    with torch.no_grad():
        logits = whole.eval()(input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(head(network(ids, mask)), logits, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
def test_mean_pooling_averages_over_the_text_alone(kind: str):
    network = build_transformers(clean_config(tiny_record(kind), kind), "mean").eval()
    assert isinstance(network, TextNetwork)
    assert not any("pooler" in name for name, _ in network.named_parameters())
    names = [name for name, _ in network.named_parameters()]
    assert sorted(name for group in group_layers(network) for name in group) == sorted(names)
    ids, mask = random_batch(5)
    with torch.no_grad():
        hidden = network.model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(network(ids, mask), hidden[:, :12].mean(1))


def test_layers_go_from_the_embeddings_to_the_pooler():
    network = build_transformers(clean_config(tiny_record("bert"), "x"), "native")
    layers = group_layers(network)
    assert [len(group) for group in layers] == [5, 16, 16, 18]
    assert layers[0][0] == "model.bert.embeddings.word_embeddings.weight"
    assert layers[-1][-2:] == ["model.bert.pooler.dense.weight", "model.bert.pooler.dense.bias"]


def test_what_every_deberta_block_depends_on_lies_in_the_first_layer():
    network = build_transformers(clean_config(tiny_record("deberta-v2"), "x"), "native")
    first = group_layers(network)[0]
    for part in ("rel_embeddings.weight", "encoder.LayerNorm.weight", "encoder.conv.conv.weight"):
        assert f"model.deberta.{part}" in first or f"model.deberta.encoder.{part}" in first


def test_head_of_roberta_lies_in_the_last_layer_though_it_is_registered_first():
    network = build_transformers(clean_config(tiny_record("xlm-roberta"), "x"), "native")
    assert "model.classifier.dense.weight" in group_layers(network)[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2', which is no text encoder"),
        ({"model_type": "modernbrt"}, "Did you mean 'modernbert'"),
        ({"model_type": None}, "model_type None"),
        ({"auto_map": {"AutoModel": "evil--code"}}, "'auto_map': it needs code of its own"),
        ({"trust_remote_code": True}, "'trust_remote_code'"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"is_decoder": True}, "configured as a decoder"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers 1000000. Expected at most 512"),
        ({"hidden_size": 10**9}, "hidden_size 1000000000"),
        ({"hidden_size": float("nan")}, "hidden_size nan"),
        ({"note": "x" * 300_000}, "larger than 200,000 bytes"),
        ({"hidden_size": 30}, "transformers cannot build"),
        ({"hidden_size": "many"}, "is refused by transformers|cannot build"),
        ({"vocab_size": 9_999_999, "hidden_size": 4000}, "parameters. Expected at most"),
    ],
)
def test_configurations_that_cannot_be_trusted_are_refused(change, words):
    with pytest.raises(StartError, match=words):
        build_transformers({**clean_config(tiny_record("bert"), "x"), **change}, "native")


def test_checking_needs_no_memory_and_says_the_whole_sentence():
    with pytest.raises(StartError) as caught:
        check_config({"model_type": "gpt2"}, "openai-community/gpt2")
    message = str(caught.value)
    assert message.startswith("'openai-community/gpt2' is of model_type 'gpt2', which is no text")
    assert message.endswith("'xlm-roberta', 'xlm-roberta-xl'. Choose another start.")


def test_an_unknown_pooling_in_an_architecture_is_refused():
    with pytest.raises(StartError, match=r"pooling is 'man'. Did you mean 'mean'"):
        build_transformers(clean_config(tiny_record("bert"), "x"), "man")


def test_configuration_keeps_the_function_and_drops_the_rest():
    record = {**tiny_record("bert"), "id2label": {"0": "a"}, "_name_or_path": "/home/me",
              "torch_dtype": "float16", "architectures": ["X"], "use_cache": True}  # fmt: skip
    config = clean_config(record, "x")
    dropped = {"id2label", "_name_or_path", "torch_dtype", "dtype", "architectures", "use_cache"}
    assert not dropped & config.keys()
    assert config["layer_norm_eps"] == 1e-12  # a default of the class, spelled out
    assert {key: config[key] for key in TINY} == TINY


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "deberta-v2"])
def test_dropout_is_set_everywhere(kind: str):
    config = set_dropout(clean_config(tiny_record(kind), kind), 0.25, kind)
    rates = {
        module.p if isinstance(module, nn.Dropout) else module.drop_prob
        for module in build_transformers(config, "native").modules()
        if isinstance(module, nn.Dropout) or hasattr(module, "drop_prob")
    }
    assert rates == {0.25}


def test_impossible_dropout_is_refused():
    with pytest.raises(StartError, match=r"dropout 1.0 is not possible for 'x'"):
        set_dropout(clean_config(tiny_record("bert"), "x"), 1.0, "x")
    with pytest.raises(StartError, match=r"'x' has no dropout to set to 0.1"):
        set_dropout({"model_type": "bert"}, 0.1, "x")
