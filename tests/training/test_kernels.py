"""Kernels of training steps: the same functions as PyTorch's, with the same gradients."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from headstart.training.machine import kernels
from headstart.training.machine.kernels import OwnKernels, stepping

CPU = torch.device("cpu")


def depthwise(size=7, stride=1, dilation=1, kernel=5, bias=True, channels=6):
    """Return a depthwise convolution and images for it."""
    layer = nn.Conv2d(
        channels,
        channels,
        kernel,
        stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=channels,
        bias=bias,
    )
    images = torch.randn(3, channels, size, size + 1, requires_grad=True)
    return layer, images


def gradients(layer, images, *contexts):
    """Return the output and the gradients of the images and of what learns."""
    layer.zero_grad()
    images.grad = None
    for context in contexts:
        context.__enter__()
    output = layer(images)
    for context in reversed(contexts):
        context.__exit__(None, None, None)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    (output.float() * weights).sum().backward()
    return [output.detach(), images.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize(
    "case",
    [{}, {"stride": 2}, {"stride": 2, "size": 9}, {"dilation": 2}, {"bias": False}, {"kernel": 3}],
    ids=str,
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_depthwise_convolutions_have_the_gradients_of_fp32_as_near_as_bf16_is(case, layout):
    layer, images = depthwise(**case)
    layer.to(memory_format=layout)
    images = images.detach().to(memory_format=layout).requires_grad_()
    expected = gradients(layer, images)
    bf16 = torch.autocast("cpu", torch.bfloat16)
    found = gradients(layer, images, bf16, OwnKernels())
    assert found[0].dtype == torch.bfloat16
    assert all(gradient.dtype == torch.float32 for gradient in found[1:])
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01
    # and no farther from them than those of autocast alone
    plain = gradients(layer, images, torch.autocast("cpu", torch.bfloat16))
    for ours, other, theirs in zip(found, plain, expected, strict=True):
        assert float((ours - theirs).norm()) < 1.5 * float((other - theirs).norm()) + 1e-6


def poison() -> None:
    """Leave numbers that are none in memory that is free."""
    kept = [torch.full((10**size,), float("nan")) for size in (3, 4, 5, 6) for _ in range(3)]
    del kept


@pytest.mark.parametrize(
    ("sides", "kernel", "stride", "padding", "is_idle"),
    [
        ((1, 1), 3, 2, 1, True),
        ((1, 4), 5, 1, 2, True),
        ((2, 2), 3, 3, 1, True),
        ((3, 1), 3, 2, 1, True),
        ((2, 3), 7, 1, "same", True),
        ((3, 3), 3, 2, 1, False),
        ((7, 7), 7, 2, 3, False),
        ((1, 1), 1, 2, 0, False),
    ],
)
def test_weights_that_meet_no_pixel_learn_nothing_of_what_lies_in_memory(
    sides, kernel, stride, padding, is_idle, monkeypatch
):
    replaced = []
    compute = kernels._in_fp32
    monkeypatch.setattr(kernels, "_in_fp32", lambda *a, **k: replaced.append(1) or compute(*a, **k))
    layer = nn.Conv2d(32, 48, kernel, stride, padding)
    images = torch.randn(8, 32, *sides, requires_grad=True)
    expected = gradients(layer, images)
    for _ in range(3):
        poison()
        found = gradients(layer, images, torch.autocast("cpu", torch.bfloat16), OwnKernels())
        for ours, theirs in zip(found, expected, strict=True):
            assert float((ours - theirs).norm() / theirs.norm()) < 0.02
    assert bool(replaced) == is_idle


@pytest.mark.parametrize(("compiled", "is_replaced"), [(False, True), (True, False)])
def test_where_bf16_is_said_the_kernels_are_replaced_too(
    compiled, is_replaced, recipe, monkeypatch
):
    entered = []
    monkeypatch.setattr(OwnKernels, "__enter__", lambda mode: entered.append(mode))
    monkeypatch.setattr(OwnKernels, "__exit__", lambda mode, *error: None)
    recipe = replace(recipe, precision="bf16", compile=compiled)
    with stepping(recipe, CPU):
        pass
    assert bool(entered) == is_replaced


def test_nothing_is_replaced_in_fp32():
    layer, images = depthwise()
    expected = gradients(layer, images)
    for ours, theirs in zip(gradients(layer, images, OwnKernels()), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_other_convolutions_and_frozen_passes_are_left_to_pytorch(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("no depthwise convolution with gradients")

    monkeypatch.setattr(kernels, "_depthwise", refuse)
    images = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), OwnKernels():
        nn.Conv2d(4, 8, 3)(images)
        nn.Conv2d(4, 8, 3, groups=2)(images)
        nn.Conv2d(4, 4, 3, padding="same", groups=4)(images)
        nn.Conv2d(1, 1, 3)(images[:, :1])
        with torch.no_grad():
            nn.Conv2d(4, 4, 3, groups=4)(images)
        with pytest.raises(AssertionError, match="no depthwise"):
            nn.Conv2d(4, 4, 3, groups=4)(images)


def test_attention_is_computed_in_fp32_and_comes_back_in_bf16():
    query, key, value = (torch.randn(2, 3, 7, 8, requires_grad=True) for _ in range(3))
    mask = torch.zeros(2, 1, 7, 7).masked_fill(torch.rand(2, 1, 7, 7) < 0.2, -1e9)
    narrow = [tensor.to(torch.bfloat16) for tensor in (query, key, value)]
    expected = F.scaled_dot_product_attention(*(t.float() for t in narrow), attn_mask=mask)
    with torch.autocast("cpu", torch.bfloat16), OwnKernels():
        found = F.scaled_dot_product_attention(*narrow, attn_mask=mask.to(torch.bfloat16))
    assert torch.equal(found, expected.to(torch.bfloat16))
    found.float().sum().backward()
    assert query.grad.dtype == torch.float32


@pytest.mark.parametrize("is_bool", [True, False])
@pytest.mark.parametrize("has_scale", [True, False])
def test_attention_that_drops_weights_is_the_plain_one_in_bf16(is_bool, has_scale):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 9, 8, requires_grad=True) for _ in range(3))
    hidden = torch.rand(2, 1, 9, 9) < 0.2
    hidden[..., 0] = False
    mask = ~hidden if is_bool else torch.zeros(hidden.shape).masked_fill(hidden, -1e9)
    said = {"attn_mask": mask, "scale": 0.3} if has_scale else {"attn_mask": mask}
    weights = torch.linspace(-1, 1, query.numel()).view_as(query)

    def run(dropout, *contexts):
        for part in (query, key, value):
            part.grad = None
        for context in contexts:
            context.__enter__()
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, **said)
        for context in reversed(contexts):
            context.__exit__(None, None, None)
        (found.float() * weights).sum().backward()
        return [found.detach().float(), *(part.grad for part in (query, key, value))]

    def own():
        return torch.autocast("cpu", torch.bfloat16), OwnKernels()

    expected = run(0.0)
    for ours, theirs in zip(run(1e-7, *own()), expected, strict=True):  # nothing falls
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02
    draws = [run(0.3, *own()) for _ in range(400)]
    for place, theirs in enumerate(expected):  # on average nothing is lost
        mean = torch.stack([draw[place] for draw in draws]).mean(0)
        assert float((mean - theirs).norm() / theirs.norm()) < 0.1
    first, again = (torch.manual_seed(7) and run(0.3, *own()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("told", ["bool", "-inf", "least of fp32", "-1e9"])
@pytest.mark.parametrize("blind", [(0,), (2, 5), ()])
def test_a_token_that_may_look_at_none_learns_nothing_and_is_a_number(told, blind):
    torch.manual_seed(0)
    parts = [torch.randn(2, 3, 6, 8, requires_grad=True) for _ in range(3)]
    is_seen = torch.ones(2, 1, 6, 6, dtype=torch.bool).tril()
    is_seen[1, 0, list(blind)] = False
    least = {"-inf": -torch.inf, "least of fp32": torch.finfo(torch.float32).min, "-1e9": -1e9}
    mask = is_seen
    if told != "bool":
        mask = torch.zeros(is_seen.shape).masked_fill(~is_seen, least[told])
    weights = torch.linspace(-1, 1, parts[0].numel()).view_as(parts[0])

    def run(dropout):
        # not fused: of rows of -1e9 alone the fused backward pass takes six times the gradient
        with sdpa_kernel(SDPBackend.MATH):
            found = F.scaled_dot_product_attention(*parts, attn_mask=mask, dropout_p=dropout)
        learned = torch.autograd.grad((found.float() * weights).sum(), parts)
        return [found.detach().float(), *learned]

    expected = run(0.0)
    with torch.autocast("cpu", torch.bfloat16), OwnKernels():
        found = run(1e-7)
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "said", [{"padding": (1,)}, {"stride": [2], "padding": [1]}, {"dilation": (2,), "padding": 2}]
)
def test_a_number_for_both_sides_may_stand_in_a_list(said, channels):
    weight = torch.randn(4, channels, 3, 3, requires_grad=True)
    images = torch.randn(2, 4, 2, 5, requires_grad=True)

    def run():
        found = F.conv2d(images, weight, groups=4 // channels, **said)
        learned = torch.autograd.grad(found.float().square().sum(), (images, weight))
        return [found.detach().float(), *learned]

    expected = run()
    with torch.autocast("cpu", torch.bfloat16), OwnKernels():
        found = run()
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.03


def test_attention_that_drops_weights_keeps_less_and_only_plain_cases_are_taken():
    query = torch.randn(4, 6, 48, 16, requires_grad=True)

    def kept(*contexts, **said):
        sizes = {}

        def pack(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        for context in contexts:
            context.__enter__()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            F.scaled_dot_product_attention(query, query, query, dropout_p=0.1, **said)
        for context in reversed(contexts):
            context.__exit__(None, None, None)
        return sum(sizes.values())

    bf16 = torch.autocast("cpu", torch.bfloat16)
    plain = kept(bf16)
    assert kept(torch.autocast("cpu", torch.bfloat16), OwnKernels()) < 0.6 * plain
    causal = kept(torch.autocast("cpu", torch.bfloat16), OwnKernels(), is_causal=True)
    assert causal == pytest.approx(kept(torch.autocast("cpu", torch.bfloat16), is_causal=True))
    assert kept(OwnKernels()) == kept()  # nothing in fp32


def test_stepping_runs_the_format_of_the_recipe(recipe):
    layer, images = depthwise()

    def type_of(**changes):
        with stepping(replace(recipe, **changes), CPU):
            return layer(images).dtype

    assert type_of() == torch.float32
    assert type_of(precision="bf16") == torch.bfloat16
    assert type_of(step_precision="bf16") == torch.bfloat16
    assert type_of(precision="bf16", step_precision="fp32") == torch.float32
    assert not torch.is_autocast_enabled("cpu")
