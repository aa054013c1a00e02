"""Layers in four bits beside adapters: what they compute, learn and hand over (QLoRA)."""

from __future__ import annotations

import logging
import os
import signal
import sys
import types

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from small_runs import TEXTS, N, save_bert
from small_writers import written_chats
from torch import nn
from torch.nn import functional

import headstart as hs
from headstart import extras
from headstart.bundles import open_bundle
from headstart.errors import Interrupted, PackageMissing
from headstart.events import listen
from headstart.starts.four_bits import FourBitLinear, require_four_bits

# NormalFloat4, appendix E of Dettmers et al. 2023
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
SAID = {"strategy": "qlora", "device": "cpu", "batch_size": 8, "learning_rate": 1e-3}


def _data(folder) -> hs.Dataset:
    labels = [("ant", "bee")[i % 2] for i in range(N)]
    pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(folder / "texts.csv", index=False)
    return hs.load(str(folder / "texts.csv"), label="label")


def _tiny_llama(folder, texts):
    """Write a decoder of two blocks with random weights, as transformers does."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from headstart.preprocessing.vocabulary import train_pair_tokenizer

    tokenizer = train_pair_tokenizer(texts, "tiny", vocab_size=400)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    more = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = LlamaConfig(vocab_size=tokenizer.vocab_size, **shape, **more)
    LlamaForCausalLM(config).save_pretrained(folder)
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)
    return folder


def test_without_bitsandbytes_it_is_said_what_to_install(monkeypatch, tmp_path):
    pytest.importorskip("peft")
    real = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda n: None if n == "bitsandbytes" else real(n))
    start = str(save_bert(tmp_path / "bert", TEXTS))
    with pytest.raises(PackageMissing, match=r"'qlora' needs 'bitsandbytes'.*headstart\[qlora\]"):
        hs.finetune(_data(tmp_path), start=start, out=str(tmp_path / "run"), **SAID)


@pytest.mark.parametrize("is_there", [True, False])
def test_no_hub_is_asked_for_kernels_and_nobody_is_told_of_them(
    is_there, monkeypatch, tmp_path, caplog
):
    for name in [n for n in sys.modules if n.partition(".")[0] in ("bitsandbytes", "kernels")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "bitsandbytes").mkdir()
    (tmp_path / "bitsandbytes" / "functional.py").write_text("")
    (tmp_path / "bitsandbytes" / "__init__.py").write_text(
        "import logging\n"
        "try:\n"
        "    from kernels import get_kernel\n"
        "    get_kernel('of a hub')\n"
        "except Exception as error:\n"
        "    logging.getLogger(__name__).warning('no kernel: %s', error)\n"
    )
    asked = []
    if is_there:
        there = types.SimpleNamespace(get_kernel=asked.append)
        monkeypatch.setitem(sys.modules, "kernels", there)
    monkeypatch.syspath_prepend(tmp_path)
    require_four_bits()
    assert sys.modules["bitsandbytes"].__file__.startswith(str(tmp_path))
    assert not asked
    assert not caplog.records
    assert ("kernels" in sys.modules) == is_there
    assert logging.getLogger("bitsandbytes").level == logging.NOTSET
    for name in [n for n in sys.modules if n.partition(".")[0] == "bitsandbytes"]:
        del sys.modules[name]


def _nearest(weight: torch.Tensor) -> torch.Tensor:
    """Return each weight as the nearest of the 16 numbers of the paper, block by block."""
    flat = weight.reshape(-1)
    found = torch.empty_like(flat)
    for first in range(0, len(flat), 64):
        block = flat[first : first + 64]
        largest = block.abs().max()
        levels = torch.tensor(LEVELS) * largest
        found[first : first + 64] = levels[(block[:, None] - levels).abs().argmin(dim=1)]
    return found.reshape(weight.shape)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(192, 80), (64, 64), (33, 7), (32, 48), (1, 1)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_layer_computes_and_hands_back_what_its_floats_do(has_bias, sizes):
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    linear = nn.Linear(*sizes, bias=has_bias)
    nn.init.normal_(linear.weight)
    layer = FourBitLinear(linear)
    plain = layer.restored()
    torch.testing.assert_close(plain.weight.data, _nearest(linear.weight.data), atol=1e-6, rtol=0)
    inputs = torch.randn(3, 5, sizes[0], requires_grad=True)
    other = inputs.detach().clone().requires_grad_()
    outputs, wanted = layer(inputs), plain(other)
    torch.testing.assert_close(outputs, wanted)
    outputs.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(inputs.grad, other.grad)
    assert not list(layer.parameters())
    if sizes[0] * sizes[1] > 4_000:
        size = sum(buffer.nbytes for buffer in layer.buffers())
        assert size < 0.17 * sum(p.nbytes for p in linear.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
    state = layer.state_dict()
    assert set(state) == set(linear.state_dict())
    assert torch.equal(state["weight"], plain.weight)
    again = FourBitLinear(nn.Linear(*sizes, bias=has_bias))
    again.load_state_dict(state)  # rounding what is rounded changes no bit
    assert torch.equal(again.packed, layer.packed)
    assert torch.equal(again(inputs), outputs)
    wide = functional.linear(inputs, layer.weight_of(), layer.bias)
    torch.testing.assert_close(wide, outputs)


@pytest.mark.slow
def test_a_run_of_it_is_one_of_adapters_beside_rounded_floats(tmp_path):
    pytest.importorskip("bitsandbytes")
    start = save_bert(tmp_path / "bert", TEXTS)
    run = hs.finetune(
        _data(tmp_path), start=str(start), num_steps=30, out=str(tmp_path / "run"), **SAID
    )
    assert run.options["recipe"]["strategy"] == "qlora"
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    opened = hs.open(run.path)
    assert not [m for m in opened.model.modules() if isinstance(m, FourBitLinear)]
    weights, own = load_file(run.path / "model.safetensors"), load_file(start / "model.safetensors")
    (name,) = [n for n in weights if n.endswith("layer.0.intermediate.dense.base_layer.weight")]
    before = own["encoder.layer.0.intermediate.dense.weight"]
    assert 0 < (weights[name] - before).abs().mean() < 0.12 * before.abs().mean()
    assert torch.equal(FourBitLinear(_linear(weights[name])).weight_of(), weights[name])
    again = hs.evaluate(str(run.path), quiet=True).metrics["test"]["figures"]
    assert again["accuracy"] == run.metrics["test"]["figures"]["accuracy"]
    told = open_bundle(hs.export(run, to="onnx", out=str(tmp_path / "bundle"))).predict(TEXTS[:4])
    for one, other in zip(told, opened.predict(TEXTS[:4]), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


def _linear(weight: torch.Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight.data = weight
    return made


@pytest.mark.slow
def test_a_decoder_learns_so_and_goes_on_after_a_stop_to_the_bit(tmp_path):
    pytest.importorskip("bitsandbytes")
    path = written_chats(tmp_path / "chats.jsonl")
    start = str(_tiny_llama(tmp_path / "llama", path.read_text().splitlines()))
    said = {**SAID, "start": start, "num_steps": 40, "precision": "fp32"}

    def stop(kind, fields):
        if kind == "check":
            os.kill(os.getpid(), signal.SIGINT)

    whole = hs.finetune(str(path), **said, out=str(tmp_path / "whole"))
    figures = {n: one["value"] for n, one in whole.metrics["before_after"]["figures"].items()}
    assert figures["fine-tuned"] < 0.9 * figures["start as it is"], figures
    with listen(stop), pytest.raises(Interrupted):
        hs.finetune(str(path), **said, out=str(tmp_path / "parts"))
    parts = hs.finetune(str(path), **said, out=str(tmp_path / "parts"), resume=True)
    one, other = (load_file(r.path / "model.safetensors") for r in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    folder = hs.export(whole, to="transformers", out=str(tmp_path / "folder"))
    assert (folder / "model.safetensors").is_file()
