"""A process alone is a company of one: it does nothing, and costs nothing."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from tiny_training import short_recipe
from torch import nn

from headstart.errors import DeviceError
from headstart.training.company import ALONE, Alone, Company, Exchange, NoExchange, Placement
from headstart.training.processes.company import Several
from headstart.training.processes.exchange import ShardExchange, SharedExchange
from headstart.training.processes.placement import SharedPlacement
from headstart.training.processes.shard_placement import ShardPlacement


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [Alone, Several])
def test_one_process_and_several_answer_the_same_questions(kind):
    assigned = {"rank", "size", "device", "stop_number"}  # by the constructor
    assert public(Company) - public(kind) <= assigned
    for name in ("send", "agree_on", "broadcast_module", "settle_split", "place"):
        asked, answered = (
            list(inspect.signature(getattr(k, name)).parameters) for k in (Company, kind)
        )
        assert asked == answered


def test_whoever_is_placed_or_joined_answers_the_same_questions():
    for kind in (NoExchange, SharedExchange, ShardExchange):
        assert public(Exchange) <= public(kind)
    for kind in (
        type(ALONE.place(nn.Identity(), None, checkpoints=None, example=tuple, name="")),
        SharedPlacement,
        ShardPlacement,
    ):
        assert public(Placement) - {"company", "module", "checkpoints"} <= public(kind)


def test_a_process_alone_decides_for_itself_and_tells_nobody():
    assert (ALONE.rank, ALONE.size, ALONE.num_local, ALONE.stop_number) == (0, 1, 1, None)
    assert ALONE.is_main
    assert ALONE.send("done", path="run") is None
    assert ALONE.agree_on(lambda: {"views": 3}) == {"views": 3}
    assert Alone("cpu").device == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused_when_it_is_asked_for():
    company = Alone("cuda:99")
    with pytest.raises(DeviceError, match="'cuda:99' is not on this machine"):
        _ = company.device


def test_a_process_that_resumes_alone_has_whole_weights():
    recipe = short_recipe(fsdp=True, tensor_parallel_size=2)
    found = ALONE.settle_split(recipe, lambda: pytest.fail("nothing to estimate"))
    assert (found.fsdp, found.tensor_parallel_size, found.is_split) == (False, 1, False)


def test_a_network_lies_whole_in_a_process_alone():
    module = nn.Linear(3, 2)

    def example():
        pytest.fail("there is nothing to prove")

    placed = ALONE.place(module, short_recipe(), checkpoints=None, example=example, name="mine")
    assert placed.module is module
    inputs = torch.ones(1, 3)
    assert torch.equal(placed.run(inputs), module(inputs))
    groups = [{"params": list(module.parameters())}]
    placed.localize(groups)
    assert groups[0]["params"][0] is module.weight
    exchange = placed.join(SimpleNamespace(parameters=list(module.parameters())))
    ids = [torch.arange(3).numpy()]
    assert exchange.all_reduce(torch.zeros(()), ids) is ids
    with exchange.in_step(), exchange.in_step():  # a step may be tried again
        exchange.expect_gradients(is_last=True)
