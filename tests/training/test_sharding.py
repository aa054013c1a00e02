"""Split weights, as far as one process can tell: blocks, plans, passes, refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from tiny_training import short_recipe
from torch import nn

from headstart.errors import OptionError, StartError
from headstart.recipes.processes import check_company
from headstart.tensors import find_blocks
from headstart.training.batches.order import Share
from headstart.training.company import ALONE
from headstart.training.options.limits import check_options
from headstart.training.options.training_options import TrainingOptions
from headstart.training.processes import tensor_parallel
from headstart.training.state.average import learned_state
from headstart.tuning.memory import learning_bytes


def network(name, **options):
    return timm.create_model(name, pretrained=False, num_classes=0, **options)


@pytest.mark.parametrize(
    ("name", "num", "kind"),
    [
        ("vit_tiny_patch16_224", 12, "Block"),
        ("resnet18", 8, "BasicBlock"),
        ("convnext_atto", 12, "ConvNeXtBlock"),
        ("swin_tiny_patch4_window7_224", 12, "SwinTransformerBlock"),
    ],
)
def test_blocks_of_layers_are_found_within_stages_too(name, num, kind):
    whole = network(name)
    blocks = [whole.get_submodule(found) for found in find_blocks(whole)]
    assert [type(block).__name__ for block in blocks] == [kind] * num


def test_single_layers_are_no_blocks():
    assert find_blocks(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))) == []


def test_all_run_as_many_passes_where_they_meet_within_each():
    indices = np.arange(63)
    for size in (1, 8, 16, 31, 32, 63):
        shares = [Share(rank, 4, is_level=True) for rank in range(4)]
        passes = [-(-len(s.of(indices)) // size) + s.missing(indices, size) for s in shares]
        assert len(set(passes)) == 1
        assert shares[0].missing(indices, size) == 0  # the main process, whose statistics count
    assert Share(1, 2).missing(np.arange(5), 2) == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vit_tiny_patch16_224", {}, "attention has 3 heads"),
        ("vit_tiny_patch16_224", {"num_heads": 4, "qk_norm": True}, "belongs to some heads"),
        ("swin_tiny_patch4_window7_224", {}, "belongs to some heads"),
    ],
)
def test_what_has_no_plan_is_refused_naming_what_has(name, options, said, heard):
    whole = network(name, **options)
    blocks = [whole.get_submodule(found) for found in find_blocks(whole)]
    with pytest.raises(StartError, match=said) as told:
        tensor_parallel._plan(blocks[0], 2)
    if "Choose another --tensor-parallel-size" in str(told.value):  # three heads, by three
        assert tensor_parallel._plan(blocks[0], 3)
        heard(told.value)


def test_an_unknown_layer_is_named():
    block = nn.ModuleDict({"fc1": nn.Linear(4, 8), "mystery": nn.Linear(8, 4)})
    with pytest.raises(StartError, match=r"'mystery' is unknown.*expected a block of BERT"):
        tensor_parallel._plan(block, 2)


def test_splitting_needs_processes_that_it_divides():
    def check(company, *, fsdp=None, size=1, resume=False):
        options = TrainingOptions(fsdp=fsdp, tensor_parallel_size=size)
        check_company(company, options, resume=resume)

    check(ALONE)
    check(ALONE, fsdp=False)
    check(SimpleNamespace(size=4), fsdp=True, size=2)
    check(ALONE, fsdp=True, resume=True)  # goes on alone with what several began
    with pytest.raises(OptionError, match=r"fsdp is on and this process is alone.*torchrun"):
        check(ALONE, fsdp=True)
    with pytest.raises(OptionError, match="tensor_parallel_size is 2 and this process is alone"):
        check(ALONE, size=2)
    with pytest.raises(OptionError, match="tensor_parallel_size is 3 and 4 processes"):
        check(SimpleNamespace(size=4), size=3)
    with pytest.raises(OptionError, match="all of the processes"):
        check(SimpleNamespace(size=2), fsdp=True, size=2)


def test_what_needs_a_whole_network_is_refused_with_split_weights():
    with pytest.raises(OptionError, match="compile cannot do with; fsdp splits the weights"):
        check_options(TrainingOptions(fsdp=True, compile=True, l1_penalty=0.1))
    with pytest.raises(OptionError, match="strategy 'lora'"):
        check_options(TrainingOptions(tensor_parallel_size=2, strategy="lora"))
    with pytest.raises(OptionError, match="no use for fsdp"):
        check_options(TrainingOptions(fsdp=True, strategy="head"))
    check_options(TrainingOptions(fsdp=True, strategy="lora"))


def test_the_estimate_counts_gradients_moments_and_copies():
    module = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 5, bias=False))
    module[1].requires_grad_(False)
    for optimizer, ema, copies in (("adamw", 0.1, 5), ("adamw", 0.0, 4), ("sgd", 0.0, 3)):
        recipe = short_recipe(optimizer=optimizer, ema_half_life=ema)
        assert learning_bytes(module, recipe) == copies * 400


def test_of_a_whole_network_the_pieces_are_its_parameters_themselves():
    module = nn.Linear(3, 2)
    state = learned_state(module)
    assert state["weight"] is module.weight
    assert torch.equal(state["bias"], module.bias)
