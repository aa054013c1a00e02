"""A soup is the average of weights; BatchNorm's statistics are its own; the greedy one helps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from headstart.errors import OptionError
from headstart.searching.soup import average_states, greedy_soup
from headstart.training.state.norms import recompute_norms


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10)
    )


def test_the_average_is_the_mean_of_floats_and_the_first_of_counters():
    states = [_network(seed).state_dict() for seed in range(3)]
    states[0]["1.num_batches_tracked"] += 7
    found = average_states(states)
    for name, value in found.items():
        if value.is_floating_point():
            expected = torch.stack([state[name].double() for state in states]).mean(0)
            assert torch.equal(value, expected.to(value.dtype))
        assert value.dtype == states[0][name].dtype
        assert value.data_ptr() != states[0][name].data_ptr()
    assert found["1.num_batches_tracked"] == 7
    # equal weights stay as they are, to the bit
    assert all(torch.equal(v, states[0][n]) for n, v in average_states([states[0]] * 3).items())


def test_states_of_other_architectures_are_refused_by_name():
    first = _network(0).state_dict()
    other = {**first, "4.weight": torch.zeros(10, 31)}
    with pytest.raises(OptionError, match=r"State 2 has '4.weight' of shape \(10, 31\)"):
        average_states([first, other])
    with pytest.raises(OptionError, match=r"'0\.bias' of shape None"):
        average_states([first, {n: t for n, t in first.items() if n != "0.bias"}])
    with pytest.raises(OptionError, match="no state"):
        average_states([])


def test_statistics_are_those_of_the_averaged_network_and_nothing_else_changes():
    network = _network(0).train()
    draws = torch.randn(4, 50, 64, generator=torch.Generator().manual_seed(0)) * 3 + 1
    before = copy.deepcopy(network.state_dict())
    assert recompute_norms(network, [(batch,) for batch in draws]) == 1
    inner = torch.stack([network[0](batch) for batch in draws])
    assert network[1].running_mean == pytest.approx(inner.mean(dim=(0, 1)).detach(), abs=1e-5)
    assert network[1].running_var == pytest.approx(inner.var(dim=1).mean(0).detach(), rel=1e-4)
    assert network.training
    assert network[1].momentum == 0.1
    for name, value in network.state_dict().items():
        assert name.startswith("1.") or torch.equal(value, before[name])
    assert recompute_norms(nn.Linear(2, 2), iter(())) == 0


def test_a_greedy_soup_of_one_start_is_no_worse_than_its_best_ingredient_and_says_what_it_took():
    digits = load_digits()
    rows = torch.tensor(digits.data / 16, dtype=torch.float32)
    wanted = torch.tensor(digits.target)
    train, val = np.arange(700), np.arange(700, 1_200)
    model = _network(0)
    start = copy.deepcopy(model.state_dict())
    states = []
    for seed, rate in enumerate((0.01, 0.02, 0.01)):
        model.load_state_dict(start)
        model.train()
        torch.manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
        for _ in range(40):
            places = torch.randint(len(train), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(rows[places]), wanted[places]).backward()
            optimizer.step()
        states.append(copy.deepcopy(model.state_dict()))
    states.append(
        {n: torch.randn_like(t) if t.is_floating_point() else t for n, t in start.items()}
    )

    def judge(state) -> float:
        model.load_state_dict(state)
        recompute_norms(model, [(rows[train],)])
        model.eval()
        return -float(nn.functional.cross_entropy(model(rows[val]), wanted[val]).detach())

    alone = [judge(state) for state in states]
    soup = greedy_soup(states, alone, judge)
    assert soup.taken[0] == int(np.argmax(alone))
    assert 3 not in soup.taken  # weights from elsewhere
    assert soup.score >= max(alone)
    assert judge(soup.state) == pytest.approx(soup.score)
    assert all(
        torch.equal(soup.state[n], t)
        for n, t in average_states([states[p] for p in soup.taken]).items()
    )


def test_a_state_that_has_diverged_never_gets_in():
    states = [{"w": torch.tensor([value])} for value in (1.0, float("nan"), 2.0)]

    def judge(state) -> float:
        return -abs(float(state["w"]) - 1.4)

    soup = greedy_soup(states, [judge(state) for state in states], judge)
    assert 1 not in soup.taken
    assert soup.state["w"] == 1.5
