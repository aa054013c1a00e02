"""Adapters: put in without a change, learn alone, lie in their layers, travel, merge exactly."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_text import TEXTS, tiny_record
from torch import nn

from headstart.errors import StartError
from headstart.extras import install_command
from headstart.preprocessing import TokenPreprocess
from headstart.starts import (
    BuildRequest,
    Encoder,
    adapter_names,
    add_lora,
    build_encoder,
    find_start,
    merge_lora,
    rebuild_encoder,
    wrap_module,
)
from headstart.starts.architecture import write_architecture
from headstart.starts.lora import find_targets
from headstart.starts.texts.configs import clean_config
from headstart.starts.texts.networks import TextNetwork, build_transformers
from headstart.types import ImageSpec

pytest.importorskip("peft")
pytest.importorskip("transformers")


def text_encoder(kind: str) -> Encoder:
    """An encoder with a stand-in for a tokenizer: adapters need none."""
    start = find_start("somebody/tiny")
    preprocess = TokenPreprocess(
        SimpleNamespace(max_length=16, files=dict, vocab_size=30, pad_id=0)
    )
    options = {"config": clean_config(tiny_record(kind), kind), "pooling": "native"}
    torch.manual_seed(2)
    network = build_transformers(**options)  # type: ignore[arg-type]
    assert isinstance(network, TextNetwork)
    architecture = write_architecture("transformers", options, start, preprocess.to_json())
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=architecture,
        num_features=network.num_features,
    ).eval()


def image_encoder(name: str, size: int) -> Encoder:
    start = find_start(f"scratch/{name}")
    return build_encoder(
        start, BuildRequest(image_size=(size, size), image_channels=3, size=size)
    ).eval()


def build(name: str) -> Encoder:
    kind, _, own = name.partition(":")
    return text_encoder(own) if kind == "text" else image_encoder(kind, int(own))


def inputs_of(encoder: Encoder) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    if (size := encoder.preprocess.size) is not None:
        return (torch.randn(2, 3, size, size, generator=generator),)
    ids = torch.randint(5, 40, (2, 9), generator=generator)
    return ids, torch.ones_like(ids)


def features(encoder: Encoder) -> torch.Tensor:
    with torch.no_grad():
        return encoder(*inputs_of(encoder))


def learn(encoder: Encoder) -> None:
    """Give the adapters values that a wrong merge would show."""
    generator = torch.Generator().manual_seed(4)
    for name in adapter_names(encoder):
        parameter = encoder.get_parameter(name)
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


SMALL = ["text:bert", "text:modernbert", "text:deberta-v2", "text:albert", "vit-tiny:28",
         "test_vit:160"]  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_adapters_learn_alone_and_merge_into_the_same_features(name: str):
    encoder = build(name)
    before, layers, plain = features(encoder), encoder.layers, dict(encoder.architecture)
    names = {n for n, _ in encoder.named_parameters()}
    num_targets = len(find_targets(encoder))

    add_lora(encoder, rank=4, alpha=8)
    adapters = adapter_names(encoder)
    assert len(adapters) == 2 * num_targets
    assert torch.equal(features(encoder), before)
    learning = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert learning == set(adapters)

    encoder(*inputs_of(encoder)).square().sum().backward()
    gradients = [n for n in adapters if encoder.get_parameter(n).grad is not None]
    assert gradients == adapters  # every one of them takes part
    learn(encoder)
    adapted = features(encoder)
    assert (adapted - before).abs().max() > 2e-3

    merge_lora(encoder)
    torch.testing.assert_close(features(encoder), adapted, atol=1e-5, rtol=1e-5)
    assert {n for n, _ in encoder.named_parameters()} == names
    assert (encoder.layers, encoder.architecture) == (layers, plain)
    assert all(p.requires_grad for p in encoder.parameters())
    assert not any("peft" in type(m).__module__ for m in encoder.modules())


@pytest.mark.parametrize("name", SMALL)
def test_adapters_lie_in_the_layer_they_adapt(name: str):
    encoder = build(name)
    layer_of = {n: place for place, group in enumerate(encoder.layers) for n in group}
    add_lora(encoder)
    listed = [n for group in encoder.layers for n in group]
    assert sorted(listed) == sorted(n for n, _ in encoder.named_parameters())
    for place, group in enumerate(encoder.layers):
        for parameter in group:
            original = parameter.replace(".base_layer.", ".").partition(".lora_")[0]
            original += "" if ".lora_" not in parameter else ".weight"
            assert layer_of[original] == place, parameter
    assert not any(".lora_" in n for n in encoder.layers[0])


@pytest.mark.parametrize("name", ["text:bert", "vit-tiny:28"])
def test_architecture_rebuilds_the_adapters(name: str):
    encoder = build(name)
    add_lora(encoder, rank=2, alpha=6, dropout=0.1)
    learn(encoder)
    record = json.loads(json.dumps(encoder.architecture))
    assert record["lora"] == {"rank": 2, "alpha": 6.0, "dropout": 0.1}
    if name == "text:bert":  # rebuilding texts needs a tokenizer: the next test does it
        again = text_encoder("bert")
        add_lora(again, **record["lora"])
    else:
        again = rebuild_encoder(record).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert torch.equal(features(again), features(encoder))
    assert (again.architecture, again.layers) == (encoder.architecture, encoder.layers)
    assert [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in encoder.parameters()
    ]


def test_a_saved_run_restores_head_and_adapters_and_is_a_start(save_text, tmp_path: Path):
    from safetensors.torch import save_file

    encoder = build_encoder(find_start(str(save_text("bert"))), BuildRequest(texts=TEXTS)).eval()
    add_lora(encoder, rank=4)
    learn(encoder)
    run = tmp_path / "run"
    run.mkdir()
    head = torch.zeros(2, encoder.num_features)
    tensors = {f"encoder.{n}": t.clone() for n, t in encoder.state_dict().items()}
    save_file({**tensors, "head.weight": head}, run / "model.safetensors")
    (run / "model.json").write_text(json.dumps({"architecture": encoder.architecture}))
    for name, content in encoder.preprocess.files().items():
        (run / name).write_bytes(content)

    again = rebuild_encoder(encoder.architecture, folder=run).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert torch.equal(features(again), features(encoder))

    started = build_encoder(find_start(str(run)), BuildRequest(texts=TEXTS)).eval()
    assert adapter_names(started) == []
    assert "lora" not in started.architecture
    torch.testing.assert_close(features(started), features(encoder), atol=1e-5, rtol=1e-5)


def test_an_image_run_with_adapters_is_a_start(tmp_path: Path):
    from safetensors.torch import save_file

    encoder = image_encoder("vit-tiny", 28)
    add_lora(encoder)
    learn(encoder)
    run = tmp_path / "run"
    run.mkdir()
    tensors = {f"encoder.{n}": t.clone() for n, t in encoder.state_dict().items()}
    save_file(tensors, run / "model.safetensors")
    (run / "model.json").write_text(json.dumps({"architecture": encoder.architecture}))
    started = build_encoder(
        find_start(str(run)), BuildRequest(image_size=(28, 28), image_channels=3)
    ).eval()
    assert "lora" not in started.architecture
    torch.testing.assert_close(features(started), features(encoder), atol=1e-5, rtol=1e-5)


def test_adapters_skip_layers_whose_weight_is_read_without_a_call():
    """timm's BEiT reads ``qkv.weight`` itself: an adapter there would never learn."""
    targets = find_targets(image_encoder("beit_base_patch16_224", 32))
    assert not any(name.endswith("qkv") for name in targets)
    assert {name.rpartition(".")[2] for name in targets} == {"proj", "fc1", "fc2"}


def test_text_adapters_are_on_the_blocks_alone():
    targets = find_targets(text_encoder("bert"))
    assert len(targets) == 3 * 6
    assert all(".encoder.layer." in name for name in targets)


def test_seed_decides_the_adapters():
    first, second, other = (build("vit-tiny:28") for _ in range(3))
    for encoder, seed in ((first, 1), (second, 1), (other, 2)):
        add_lora(encoder, seed=seed)
    name = adapter_names(first)[0]
    assert torch.equal(first.get_parameter(name), second.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))


def test_a_network_in_train_mode_gets_adapters_in_train_mode():
    encoder = build("vit-tiny:28").train()
    add_lora(encoder, dropout=0.5)
    assert all(module.training for module in encoder.modules())


def test_dropout_of_adapters_acts_in_training_only():
    encoder = build("vit-tiny:28")
    add_lora(encoder, dropout=0.5)
    learn(encoder)
    assert not any(module.training for module in encoder.modules())
    assert torch.equal(features(encoder), features(encoder))
    encoder.train()
    assert not torch.equal(features(encoder), features(encoder))


@pytest.mark.parametrize("name", ["simple-cnn", "resnet10t", "convnext_atto"])
def test_convnets_are_refused(name: str):
    with pytest.raises(StartError, match=rf"'scratch/{name}', a convnet.*'last-n' or 'full'"):
        add_lora(image_encoder(name, 64))


def test_transformers_without_blocks_are_refused():
    spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    encoder = wrap_module(module, spec, family="vit")
    with pytest.raises(StartError, match=r"no linear layers in the blocks of 'module/module'"):
        add_lora(encoder)


@pytest.mark.parametrize(
    "options", [{"rank": 0}, {"rank": 5000}, {"alpha": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_impossible_values_are_refused(options):
    with pytest.raises(StartError, match=r"is not possible for 'scratch/vit-tiny'. Expected rank"):
        add_lora(build("vit-tiny:28"), **options)


def test_adapters_are_put_in_once_and_merging_without_any_changes_nothing():
    encoder = build("vit-tiny:28")
    before = features(encoder)
    merge_lora(encoder)
    assert torch.equal(features(encoder), before)
    add_lora(encoder)
    with pytest.raises(StartError, match="has adapters already"):
        add_lora(encoder)


def test_missing_peft_is_named(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(StartError) as caught:
        add_lora(build("vit-tiny:28"))
    assert str(caught.value) == (
        "LoRA needs 'peft', which is not installed. Install it: "
        f"{install_command('headstart[text]')}."
    )
