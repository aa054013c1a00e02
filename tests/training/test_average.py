"""The average of the weights is the textbook one, and swapping it in leaves no trace."""

import pytest
import torch
from torch import nn

from headstart.training.state.average import WeightAverage, learned_state


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def disturb(module, step):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * step + 0.01)
        module[1].running_mean.add_(step)
        module[1].num_batches_tracked.add_(1)


def test_the_first_average_equals_the_weights():
    module = make()
    average = WeightAverage(learned_state(module), half_life_steps=10)
    disturb(module, 5)
    average.update()
    for name, value in module.state_dict().items():
        assert torch.allclose(average.state[name].float(), value.float()), name


def test_the_average_equals_the_bias_corrected_formula():
    module = make()
    average, decay, weights = (
        WeightAverage(learned_state(module), half_life_steps=4),
        0.5 ** (1 / 4),
        [],
    )
    for step in range(12):
        disturb(module, step)
        average.update()
        weights.append(module[0].weight.detach().clone())
    total = sum(
        decay ** (11 - i) * (1 - decay) * weight.double() for i, weight in enumerate(weights)
    )
    by_hand = total / (1 - decay**12)
    assert torch.allclose(average.state["0.weight"].double(), by_hand, rtol=1e-5)
    assert average.state["1.num_batches_tracked"] == 12  # integers are copied


def test_after_a_half_life_an_old_weight_counts_half():
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(learned_state(module), half_life_steps=20)
    with torch.no_grad():
        module.weight.fill_(1.0)
        for _ in range(2_000):
            average.update()
        module.weight.fill_(0.0)
        for _ in range(20):
            average.update()
    assert float(average.state["weight"]) == pytest.approx(0.5, abs=1e-4)


def test_a_shorter_half_life_forgets_what_came_before():
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(learned_state(module), half_life_steps=1_000)
    with torch.no_grad():
        module.weight.fill_(1.0)
        for _ in range(50):
            average.update()
        average.half_life_steps = 2
        module.weight.fill_(0.0)
        for _ in range(30):
            average.update()
    assert float(average.state["weight"]) < 0.01


def test_applied_swaps_and_restores_even_after_an_error():
    module = make()
    average = WeightAverage(learned_state(module), half_life_steps=3)
    for step in range(5):
        disturb(module, step)
        average.update()
    live = {n: v.clone() for n, v in module.state_dict().items()}
    kept = {n: v.clone() for n, v in average.state.items()}

    def look():
        with average.applied():
            for name, value in module.state_dict().items():
                assert torch.equal(value, kept[name]), name
            assert not torch.equal(module[0].weight, live["0.weight"])
            raise KeyError

    with pytest.raises(KeyError):
        look()
    assert all(torch.equal(v, live[n]) for n, v in module.state_dict().items())
    assert all(torch.equal(v, kept[n]) for n, v in average.state.items())


def test_frozen_parameters_are_not_averaged():
    module = make()
    module[0].requires_grad_(False)
    assert "0.weight" not in WeightAverage(learned_state(module), 3).state
