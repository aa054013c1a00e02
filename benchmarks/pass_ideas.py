"""Ideas for passes without gradients that are no engine: what each gives, beside those that are.

Milliseconds of processor time a sample on one thread, the least of several, of networks with random
or ImageNet weights on noise; cosine of the features to PyTorch's in float32, on average.

    python benchmarks/pass_ideas.py [NETWORK ...]

int8 needs the extra ``onnx``: convolutions and matrices quantised with ranges of 32 samples.
"""

from __future__ import annotations

import copy
import itertools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import markdown_table
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SECONDS = 3.0
Run = Callable[[Tensor], Tensor]


def networks() -> dict[str, tuple[Callable[[], nn.Module], int, int]]:
    """Return how each network is made, its side and the samples of a batch."""
    import timm

    from headstart.starts import BuildRequest, build_encoder, find_start

    request = BuildRequest(image_size=(128, 128), image_channels=3, size=128)
    return {
        "lite0-128": (
            lambda: build_encoder(find_start("pip/efficientnet-lite0"), request),
            128,
            16,
        ),
        "resnet18-224": (lambda: timm.create_model("resnet18", num_classes=0), 224, 8),
        "vit-tiny-224": (
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0),
            224,
            8,
        ),
    }


def folded(network: nn.Module) -> nn.Module:
    """Return a copy whose BatchNorm is folded into the convolution that stands before it."""
    made = copy.deepcopy(network)
    for parent in list(made.modules()):
        children = list(parent.named_children())
        for (name, convolution), (following, norm) in itertools.pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                # a convolution with padding of its own keeps its class
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
                # timm's norms hold their activation, too
                setattr(parent, following, getattr(norm, "act", nn.Identity()))
    return made


def int8(network: nn.Module, images: Tensor) -> Run:
    """Return a pass of ONNX Runtime in int8, its ranges taken from the images."""
    import onnxruntime
    from onnxruntime import quantization

    from headstart.engines.onnx_export import export_onnx

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter([{"in0": images.numpy()}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        plain.write_bytes(export_onnx(network, (images[:2],), 1))
        quantization.quantize_static(str(plain), str(made), Reader(), per_channel=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            made.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    return lambda x: torch.from_numpy(session.run(None, {"in0": x.contiguous().numpy()})[0])


def scripted(network: nn.Module, images: Tensor) -> Run:
    """Return a traced, frozen and optimised network."""
    made = torch.jit.trace(network, images, check_trace=False)
    made = torch.jit.optimize_for_inference(torch.jit.freeze(made))
    made(images)
    return made


def under_bf16(run: Run) -> Run:
    """Return a run under autocast."""

    def cast(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run(images)

    return cast


def ideas(network: nn.Module, images: Tensor) -> dict[str, Callable[[], Run]]:
    """Return how each idea's pass is made."""
    from headstart.engines import ENGINES, Choice, compile_pass

    layout = torch.channels_last
    last = copy.deepcopy(network).to(memory_format=layout)
    narrow = copy.deepcopy(last).bfloat16()
    found: dict[str, Callable[[], Run]] = {
        "PyTorch, channel by channel": lambda: network,
        "PyTorch, pixel by pixel (before)": lambda: (
            lambda x: last(x.contiguous(memory_format=layout))
        ),
        "the same, BatchNorm folded": lambda: folded(last),
        "bf16 autocast, channel by channel": lambda: under_bf16(network),
        "bf16 autocast": lambda: under_bf16(last),
        "bf16 weights": lambda: lambda x: narrow(x.bfloat16()).float(),
        "bf16 autocast, BatchNorm folded": lambda: under_bf16(folded(last)),
        "optimize_for_inference": lambda: scripted(last, images),
        "int8, ONNX Runtime": lambda: int8(network, images),
    }
    for name, engine in ENGINES.items():
        if engine.is_compiled and not engine.missing:
            for precision in engine.precisions():
                choice = Choice(name, precision)
                found[f"{name} {precision}"] = lambda c=choice: compile_pass(
                    network, (images[:2],), c
                )
    return found


def least(run: Run, images: Tensor) -> float:
    """Return the least milliseconds of processor time a sample."""
    run(images)
    best, end, num = float("inf"), time.perf_counter() + SECONDS, 0
    while time.perf_counter() < end or num < 3:
        began = time.process_time()
        run(images)
        best, num = min(best, time.process_time() - began), num + 1
    return 1000 * best / len(images)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or list(networks())
    columns: dict[str, dict[str, str]] = {}
    for name in chosen:
        build, side, num = networks()[name]
        torch.manual_seed(0)
        network = build().eval().requires_grad_(False)
        images = torch.randn(num, 3, side, side)
        columns[name] = {}
        with torch.no_grad():
            expected = network(images)
            for idea, make in ideas(network, images).items():
                try:
                    run = make()
                    cosine = torch.cosine_similarity(run(images).float(), expected).mean()
                    told = f"{least(run, images):.2f} ({float(cosine):.4f})"
                except Exception as error:  # an idea that fails is a finding, too
                    told = f"fails: {type(error).__name__}"
                columns[name][idea] = told
                print(name, idea, told, file=sys.stderr, flush=True)
    rows = list(dict.fromkeys(idea for of in columns.values() for idea in of))
    print(
        markdown_table(
            ["ms of processor time a sample (cosine)", *chosen],
            [[idea, *(columns[name].get(idea, "–") for name in chosen)] for idea in rows],
        )
    )


if __name__ == "__main__":
    main()
