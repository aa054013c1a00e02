"""Which ways of fine-tuning are tried, and which of them go on."""

import math
from types import SimpleNamespace

import pytest

from headstart.searching.arms import (
    LEAST_STEPS,
    ArmCost,
    ArmSpec,
    Entrant,
    arm_specs,
    head_specs,
    plan_bracket,
    rung_steps,
    survivors,
)
from headstart.searching.bracket import plan_heads
from headstart.starts import find_start
from headstart.tuning.budget import SHARES
from headstart.tuning.fitting import side_grain


def entry(name, score=0.9, *, strategy="lp-ft", size=64, useful=True, noise=0.02):
    return Entrant(name, strategy, size, useful, score, noise)


def cost(step=0.1, before=0.0, validation=0.5, num_steps=500):
    return ArmCost(before, step, validation, num_steps)


def test_the_best_start_comes_first_then_its_last_layers_then_a_rival_then_other_rates():
    found = arm_specs(
        [entry("a"), entry("b", 0.89), entry("c", 0.88)], {"a": (0.3, 1.0, 3.0)}, "auto"
    )
    assert [(s.start, s.strategy, s.rate) for s in found] == [
        ("a", "lp-ft", 1.0),
        ("a", "last-n", 1.0),
        ("b", "lp-ft", 1.0),
        ("a", "lp-ft", 0.3),
        ("a", "lp-ft", 3.0),
        ("c", "lp-ft", 1.0),
    ]


def test_a_start_that_is_worse_beyond_noise_takes_no_part_but_random_weights_always_do():
    far, random = entry("far", 0.5), entry("random", 0.3, strategy="full", useful=False)
    found = {s.start for s in arm_specs([entry("a"), far, random], {}, "auto")}
    assert found == {"a", "random"}
    assert {s.start for s in arm_specs([random, entry("a")], {}, "auto")} == {"a", "random"}


def test_a_strategy_that_was_asked_for_is_the_only_one():
    found = arm_specs(
        [entry("a", strategy="gradual"), entry("b", strategy="gradual")], {}, "gradual"
    )
    assert {s.strategy for s in found} == {"gradual"}


def test_what_is_solved_for_has_no_arms_and_a_head_each():
    entries = [
        entry("tfidf", strategy="head", size=None),
        entry("r", strategy="full", useful=False),
    ]
    assert [s.start for s in arm_specs(entries, {}, "auto")] == ["r"]
    assert [s.start for s in head_specs(entries, {})] == ["tfidf"]
    assert [s.size for s in head_specs([entry("a")], {"a": 128})] == [64, 128]


def test_an_arm_that_cannot_take_a_few_dozen_steps_is_dropped_and_the_reason_told():
    slow, quick = ArmSpec("slow", "lp-ft"), ArmSpec("quick", "last-n")
    plan = plan_bracket(
        [slow, quick],
        lambda spec: cost(step=2.0 if spec is slow else 0.1),
        final_seconds=40.0,
        rung_seconds=10.0,
        budget_seconds=60.0,
    )
    assert plan.arms == (quick,)
    assert plan.dropped == ((slow, f"19 of at least {LEAST_STEPS} steps would fit"),)
    assert len(plan.arms) == 1


def test_a_training_of_few_steps_needs_no_more_than_those():
    spec = ArmSpec("a", "full")
    plan = plan_bracket(
        [spec],
        lambda _: cost(step=1.0, num_steps=20),
        final_seconds=30.0,
        rung_seconds=5.0,
        budget_seconds=60.0,
    )
    assert plan.arms == (spec,)


@pytest.mark.parametrize(("budget", "most"), [(30.0, 4), (600.0, 12), (None, 12)])
def test_a_short_budget_tries_fewer_arms(budget, most):
    specs = [ArmSpec(str(n), "full") for n in range(20)]
    plan = plan_bracket(
        specs,
        lambda _: cost(step=1e-3, validation=0.0),
        final_seconds=math.inf,
        rung_seconds=math.inf,
        budget_seconds=budget,
    )
    assert plan.arms == tuple(specs[:most])


def test_the_last_arms_give_way_where_the_first_rung_is_too_short():
    specs = [ArmSpec(str(n), "full") for n in range(5)]
    plan = plan_bracket(
        specs, lambda _: cost(), final_seconds=60.0, rung_seconds=12.0, budget_seconds=120.0
    )
    each = cost().of(cost().first_steps)
    assert len(plan.arms) == int(12.0 / each) == 2


def test_a_third_goes_on_and_at_least_two_starts_after_the_first_rung():
    a, b = [ArmSpec("a", "lp-ft", rate) for rate in (0.3, 1.0, 3.0)], ArmSpec("b", "lp-ft")
    standings = [(a[0], 0.3), (a[1], 0.2), (a[2], 0.4), (b, 0.9)]
    assert survivors(standings, is_first=True) == (a[1], a[0], b)
    assert survivors(standings, is_first=False) == (a[1], a[0])


def test_an_arm_that_diverged_never_goes_on():
    a, b = ArmSpec("a", "lp-ft"), ArmSpec("b", "lp-ft")
    assert survivors([(a, math.inf), (b, 1.0)], is_first=True) == (b,)
    assert survivors([(a, math.inf), (b, math.inf)], is_first=True) == ()


def test_rungs_grow_by_three():
    assert [rung_steps(20, rung) for rung in range(3)] == [20, 60, 180]
    assert cost(num_steps=10).first_steps == 10
    assert cost(num_steps=5_000).first_steps == 100


@pytest.mark.parametrize("pixels", [80, 128, None])
def test_the_best_pretrained_start_is_measured_anew_for_a_head_at_more_pixels(pixels):
    asked = []
    prices = SimpleNamespace(
        measure_again=lambda spec: asked.append(("pace", spec.start)),
        head_seconds=lambda spec: 3.0,
        larger_size=lambda spec, free: asked.append((spec.start, free)) or pixels,
    )
    address = "pip/efficientnet-lite0"
    entries = [
        Entrant("scratch/pixels", "head", 32, True, 0.8, 0.05),
        Entrant(address, "lp-ft", 64, True, 0.7, 0.05),
        Entrant("pip/efficientnet-lite1", "lp-ft", 64, True, 0.6, 0.05),
    ]
    sizes = [(one["start"], one["size"]) for one in plan_heads(entries, prices, 15.0).value]
    assert asked == [("pace", address), (address, 12.0)]
    larger = [] if pixels is None else [(address, pixels)]
    assert sizes == [(e.start, e.size) for e in entries[:2]] + larger + [(entries[2].start, 64)]
    asked.clear()
    plan_heads(entries, prices, float("inf"))  # without a limit all pixels are taken at once
    assert asked == []


@pytest.mark.parametrize(
    ("left", "share"), [(20.0, 10.0), (33.0, 16.5), (60.0, 20.0), (200.0, 60.0)]
)
def test_heads_may_take_half_of_a_short_training_and_less_of_a_long_one(left, share):
    assert SHARES["heads"].of(left) == pytest.approx(share)


@pytest.mark.parametrize(
    ("address", "grain"),
    [
        ("pip/efficientnet-lite0", 16),
        ("timm/resnet18", 16),
        ("timm/vit_tiny_patch16_224.augreg_in21k", 32),
    ],
)
def test_sides_of_networks_of_patches_stay_multiples_of_patches(address, grain):
    assert side_grain(find_start(address)) == grain
