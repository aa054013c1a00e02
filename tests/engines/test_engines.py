"""Each engine gives what PyTorch gives, at any batch and length, and nothing beyond its inputs."""

import json
import subprocess
import sys

import pytest
import torch
from tiny_networks import Tokens, a_job, photos, texts
from torch import nn

from headstart.data import load
from headstart.engines import (
    ENGINES,
    PLAIN,
    Choice,
    PassRule,
    RefusedError,
    choose_pass,
    compile_pass,
    read_choice,
)
from headstart.engines.bounds import learn_bounds
from headstart.engines.table import require_engine
from headstart.errors import OptionError
from headstart.events import listen
from headstart.starts import find_start
from headstart.tensors import evaluating
from headstart.training.frozen.cut import Cut, cut_network
from headstart.training.options.strategy import freeze
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.engine_rule import CutNetwork
from headstart.tuning.setup import set_up

COMPILED = [name for name, engine in ENGINES.items() if engine.is_compiled]


def compiled(name: str, network, inputs, precision: str = "fp32"):
    engine = ENGINES[name]
    if engine.missing:
        pytest.skip(f"{engine.missing} not installed")
    if precision not in engine.precisions():
        pytest.skip(f"this processor has no units for {precision}")
    return compile_pass(network.eval(), tuple(t[:2] for t in inputs), Choice(name, precision))


@pytest.mark.parametrize("made", [photos, texts])
@pytest.mark.parametrize("name", list(ENGINES))
def test_an_engine_gives_what_pytorch_gives_at_any_batch(name, made):
    network, inputs = made()
    run = compiled(name, network, inputs)
    with torch.no_grad():
        for num in (1, 3, 6):
            some = tuple(tensor[:num] for tensor in inputs)
            torch.testing.assert_close(run(*some), network(*some), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(ENGINES))
def test_bf16_gives_the_same_direction(name):
    network, inputs = photos()
    run = compiled(name, network, inputs, "bf16")
    with torch.no_grad():
        found, expected = run(*inputs), network(*inputs)
    assert found.dtype == torch.float32
    assert float(torch.cosine_similarity(found, expected).min()) > 0.99


@pytest.mark.parametrize("name", list(ENGINES))
def test_an_engine_takes_texts_of_another_length_than_its_example(name):
    network, inputs = texts()
    run = compiled(name, network, inputs)
    shorter = tuple(tensor[:5, :7] for tensor in inputs)
    with torch.no_grad():
        torch.testing.assert_close(run(*shorter), network(*shorter), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COMPILED)
def test_a_length_that_became_a_constant_is_found_before_use(name):
    _, inputs = texts()
    network = Tokens(is_specialised=True)
    if ENGINES[name].missing:
        pytest.skip(f"{ENGINES[name].missing} not installed")
    job = a_job(network, num_samples=20)
    job.samples = job.longest = lambda num: tuple(tensor[:num] for tensor in inputs)
    job.batch, job.targets = lambda: inputs, None
    notes: list[str] = []
    with listen(lambda kind, fields: notes.append(str(fields.get("text")))):
        assert choose_pass(job, PassRule(name, "fp32")).choice == PLAIN
    assert "its trace holds the size of a batch or the length" in notes[0]


@pytest.mark.parametrize("wrong", [30, -1])
@pytest.mark.parametrize("name", list(ENGINES))
def test_ids_outside_a_table_raise_what_pytorch_raises(name, wrong):
    network, inputs = texts()
    run = compiled(name, network, inputs)
    ids = inputs[0].clone()
    ids[1, 2] = wrong
    with torch.no_grad(), pytest.raises(IndexError, match="index out of range"):
        run(ids, inputs[1])


@pytest.mark.parametrize("name", list(ENGINES))
def test_a_text_that_is_longer_than_the_network_reads_raises_what_pytorch_raises(name):
    network, inputs = texts()
    run = compiled(name, network, inputs)
    long = tuple(torch.ones(2, 41, dtype=torch.int64) for _ in inputs)
    with torch.no_grad(), pytest.raises(IndexError, match="index out of range"):
        run(*long)


def test_bounds_are_those_of_the_tables_that_inputs_look_up_in():
    network, inputs = texts()
    bounds = learn_bounds(network.eval(), inputs)
    assert bounds.rows == (30, None)
    assert bounds.length == 12


def test_a_network_that_makes_its_ids_of_its_inputs_is_refused():
    class Codes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 2)

        def forward(self, codes):
            return self.table(codes + torch.tensor([0, 3])).flatten(1)

    with pytest.raises(RefusedError, match="numbers that it makes of its inputs"):
        learn_bounds(Codes().eval(), (torch.tensor([[0, 1], [2, 5]]),))


@pytest.mark.parametrize("name", COMPILED)
def test_what_cannot_be_exported_is_refused_in_words(name, capsys):
    class Odd(nn.Module):
        def forward(self, rows):
            return torch.linalg.eigvals(rows).real

    with pytest.raises(RefusedError, match="cannot be written as ONNX"):
        compiled(name, Odd(), (torch.randn(3, 4, 4),))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", COMPILED)
def test_an_engine_that_is_not_installed_is_refused_with_its_extra(name, monkeypatch):
    monkeypatch.setattr("headstart.engines.table.find_spec", lambda package: None)
    with pytest.raises(OptionError, match=r"install 'headstart\[(onnx|openvino)\]'"):
        require_engine(name)
    monkeypatch.setattr("headstart.extras.find_spec", lambda package: None)  # no pip here
    with pytest.raises(OptionError, match=r"pip --python \S+ install 'headstart\["):
        require_engine(name)
    require_engine("auto")
    require_engine("torch")


def test_a_choice_comes_back_from_json():
    choice = Choice("openvino", "bf16")
    assert read_choice(json.loads(json.dumps(choice.to_json()))) == choice


@pytest.mark.parametrize("is_real", [False, True])
def test_openvino_is_imported_without_its_telemetry(tmp_path, is_real):
    """A module of its name lies on the path and would leave a trace; afterwards it can be had."""
    trace = tmp_path / "imported"
    (tmp_path / "openvino_telemetry").mkdir()
    wrote = f"open({str(trace)!r}, 'a').write('x')\nclass Telemetry: pass\n"
    (tmp_path / "openvino_telemetry" / "__init__.py").write_text(wrote)
    (tmp_path / "openvino_telemetry" / "backend.py").write_text("class backend_ga4: pass\n")
    if is_real:
        pytest.importorskip("openvino")
    else:  # as OpenVINO does it: with what is there, or without
        (tmp_path / "openvino").mkdir()
        tries = "try:\n    import openvino_telemetry\nexcept ImportError:\n    pass\n"
        (tmp_path / "openvino" / "__init__.py").write_text(tries)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from headstart.engines.openvino_engine import import_openvino\n"
        "import_openvino()\n"
        f"import os; print(os.path.exists({str(trace)!r}))\n"
        "import openvino_telemetry\n"
        f"print(os.path.exists({str(trace)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_folding_gives_the_same_and_leaves_the_network_as_it_is():
    network, inputs = photos()
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight), nn.init.uniform_(norm.bias)
        nn.init.uniform_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2.0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run = compile_pass(network.eval(), inputs, Choice("torch", "fp32", is_folded=True))
    with torch.no_grad():
        torch.testing.assert_close(run(*inputs), network(*inputs), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_where_there_is_no_norm_folding_is_no_choice_and_nobody_hears_of_it():
    network, inputs = texts()
    with pytest.raises(RefusedError) as refused:
        compile_pass(network.eval(), inputs, Choice("torch", "fp32", is_folded=True))
    assert str(refused.value) == ""


def test_the_frozen_part_of_a_cut_is_compiled_and_folded(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    data = load("digits-8x8")
    options = TrainingOptions(strategy="last-n", input_size=16)
    setup = set_up(data, find_start("scratch/resnet18"), options, device=torch.device("cpu"))
    images = torch.rand(5, 1, 16, 16)
    encoder = setup.model.encoder
    freeze(encoder, encoder.layers, [False] * (len(encoder.layers) - 2) + [True] * 2)
    cut = cut_network(setup.model, (images[:2],), batchnorm="frozen")
    assert isinstance(cut, Cut)
    network = CutNetwork(setup.model, cut)
    choices = [Choice("torch", "fp32", is_folded=True), *(Choice(name) for name in COMPILED)]
    for choice in choices:
        if ENGINES[choice.engine].missing:
            continue
        run = compile_pass(network, (images,), choice)
        with evaluating(network):
            for one, other in zip(run(images), cut.compute(images), strict=True):
                assert one.shape == other.shape
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.max()))
