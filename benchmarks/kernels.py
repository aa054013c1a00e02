"""Where a training run's time goes: convolution and matrix kernels against everything else.

The floor of a training run on a processor is the arithmetic of its convolutions and matrix products
at the speed the machine reaches. ``profile_run`` measures how near a run comes: the share of the
time inside those kernels, and the rate they reach against the measured peak. Three passes, because
each instrument slows what it looks at: one plain (the time), one counting operations, one under the
profiler (the shares). Left out on purpose: time inside other threads; a side that computes in a
thread of its own shows up as time outside operators.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from timing import markdown_table

GROUPS: tuple[tuple[str, str], ...] = (
    (r"aten::(\w*conv\w*|addmm\w*|mm|bmm|baddbmm|addbmm|mkldnn_linear\w*|dot|mv|addmv)", "kernels"),
    (r"aten::\w*(pool|interpolate|upsample)\w*", "pooling and resizing"),
    (
        r"aten::\w*(relu|threshold|clamp|hardtanh|sigmoid|silu|gelu|norm|softmax|nll|dropout)\w*",
        "norms",
    ),
    (
        r"(Optimizer\.\w+#.*|aten::_foreach\w*|aten::_fused\w*|aten::addcdiv_|aten::lerp_)",
        "updates",
    ),
    (r"aten::\w*(copy|index|gather|stack|cat|empty|fill|zero|rand|clone|to|view)\w*", "copies"),
)
TITLES = {
    "kernels": "convolution and matrix kernels",
    "pooling and resizing": "pooling and resizing",
    "norms": "activations, normalisation, loss",
    "updates": "optimizer",
    "copies": "copying, indexing, filling, random numbers",
    "other": "other operators",
    "outside": "outside operators (Python, disk, other threads)",
}


@dataclass(frozen=True)
class KernelReport:
    """How near a run comes to the machine's arithmetic.

    Attributes:
        seconds: The run without any instrument.
        shares: For each group of operators, its share of the profiled run.
        gflop: Floating point operations of convolutions and matrix products, forward and backward,
            in 1e9.
        top: The ten operators with the most time of their own: (name, share, calls).
    """

    seconds: float
    shares: dict[str, float]
    gflop: float
    top: list[tuple[str, float, int]]

    @property
    def gflops(self) -> float:
        """1e9 operations a second over the whole run."""
        return self.gflop / self.seconds

    @property
    def kernel_gflops(self) -> float:
        """1e9 operations a second inside the kernels; NaN when no time was seen there."""
        inside = self.seconds * self.shares["kernels"]
        return self.gflop / inside if inside > 0 else float("nan")


def group_of(operator: str) -> str:
    """Return the group an operator's name belongs to."""
    for pattern, group in GROUPS:
        if re.fullmatch(pattern, operator):
            return group
    return "other"


def profile_run(run: Callable[[], object], num_threads: int) -> KernelReport:
    """Measure a training run three times: plain, counted, profiled.

    Args:
        run: Does the same work each time it is called: a step, an epoch, or a whole training.
        num_threads: Threads to compute with.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(num_threads)
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    with FlopCounterMode(display=False) as counter:
        run()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        began = time.perf_counter()
        run()
        profiled_seconds = time.perf_counter() - began
    shares = dict.fromkeys(TITLES, 0.0)
    operators: list[tuple[str, float, int]] = []
    for event in profiler.key_averages():
        share = event.self_cpu_time_total / 1e6 / profiled_seconds
        shares[group_of(event.key)] += share
        operators.append((event.key, share, event.count))
    shares["outside"] = max(0.0, 1.0 - sum(shares.values()))
    operators.sort(key=lambda entry: -entry[1])
    return KernelReport(seconds, shares, counter.get_total_flops() / 1e9, operators[:10])


def report_lines(report: KernelReport, peak_gflops: float) -> str:
    """Return the report as Markdown: the shares, the rate against the peak, the top operators.

    Args:
        report: What ``profile_run`` measured.
        peak_gflops: The machine's measured fp32 peak with the same threads.
    """
    shares = sorted(report.shares.items(), key=lambda entry: -entry[1])
    rows = [[TITLES[group], f"{share:.1%}"] for group, share in shares]
    top = [[f"`{name}`", f"{share:.1%}", count] for name, share, count in report.top]
    return "\n\n".join(
        [
            markdown_table(["where the time goes", "share"], rows),
            f"{report.gflop:.0f} GFLOP of convolutions and matrix products in {report.seconds:.1f} "
            f"s: {report.gflops:.0f} GFLOP/s over the run, {report.kernel_gflops:.0f} GFLOP/s "
            f"inside the kernels; the measured peak is {peak_gflops:.0f} GFLOP/s "
            f"({report.gflops / peak_gflops:.0%} and {report.kernel_gflops / peak_gflops:.0%}).",
            markdown_table(["operator", "own time", "calls"], top),
        ]
    )
