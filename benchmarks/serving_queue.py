"""What a client would wait at half load if the server had a core for itself: computed, not clocked.

On a machine that others use, the clock says how busy they are. Here the processor's time of each
text is measured (the least of several), and requests are sent in thought: evenly and at random, at
half of what one after the other takes, to a core that works as ``serving.batching`` does: whatever
waits is taken, divided into passes by ``passes_of``, each pass costs its share of a fixed cost and
of its padded tokens (fitted to the measured texts), each request what a server adds to it. Told is
the wait that 99 % stay below, by the mean call and by the call that 99 % stay below: of texts of
different lengths the longest alone takes several mean calls. Answers are told as each pass ends
(now), and as all passes of a batch have ended (before). Beside them stands the floor of such a
queue: calls one after the other, at a server that costs nothing (``serving_clock.floor_ms``).

    python benchmarks/serving_queue.py BUNDLE [--texts FILE] [--added 1.5] [--requests 20000]

BUNDLE tells classes of texts; FILE holds a text a line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from serving_clock import at_random, evenly, floor_ms
from timing import describe_machine, markdown_table

from headstart.bundles import Bundle, open_bundle
from headstart.serving.batching import passes_of

REPEATS, BATCH_ROWS = 5, 32
WORDS = "the film was not as good a story about two people who never meet and still it moved me"


def texts_of(number: int) -> list[str]:
    """Return texts of 4 to 120 words, as ``serving_models.py`` sends them."""
    draw = np.random.default_rng(0)
    return [
        " ".join(draw.choice(WORDS.split(), int(4 * 30 ** draw.random()))) for _ in range(number)
    ]


def measured(bundle: Bundle, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens of each text, and the processor's ms of reading and computing it alone."""
    tokens, times = [], []
    for text in texts:
        least = np.inf
        for _ in range(REPEATS):
            began = time.thread_time()
            inputs = bundle.read([text])
            arrays = bundle.arrays(inputs, np.arange(1))
            bundle.outputs(bundle.run(arrays))
            least = min(least, time.thread_time() - began)
        tokens.append(max(a.shape[1] for a in arrays[0].values()))
        times.append(1000 * least)
    return np.array(tokens), np.array(times)


def waits(
    arrivals: np.ndarray,
    tokens: np.ndarray,
    cost: Callable[[int, int], float],
    added: float,
    *,
    is_told_at_once: bool,
) -> np.ndarray:
    """Return how long each request waits for its answer, in ms.

    Args:
        arrivals: When each comes, in ms, ascending.
        tokens: Of each.
        cost: Of a pass, by its rows and its longest row, in ms.
        added: By the server to each, in ms.
        is_told_at_once: Whether answers are told as a pass ends, or as the batch does.
    """
    answered = np.zeros(len(arrivals))
    now, place = 0.0, 0
    while place < len(arrivals):
        now = max(now, arrivals[place])
        end = int(np.searchsorted(arrivals, now, side="right"))
        taken = np.arange(place, min(end, place + BATCH_ROWS))
        place = int(taken[-1]) + 1
        for group in passes_of(tokens[taken].tolist(), [1] * len(taken)):
            now += cost(len(group), int(tokens[taken[group]].max())) + added * len(group)
            answered[taken[group]] = now
        if not is_told_at_once:
            answered[taken] = now
    return answered - arrivals


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--added", type=float, default=1.5, help="ms that a server adds")
    parser.add_argument("--requests", type=int, default=20_000)
    args = parser.parse_args()
    print(describe_machine(1).sentence())
    texts = args.texts.read_text().splitlines() if args.texts else texts_of(64)
    tokens, alone = measured(open_bundle(args.bundle), texts)
    slope, fixed = np.polyfit(tokens, alone, 1)
    print(
        f"one call {alone.mean():.1f} ms of the processor, 99 % {np.quantile(alone, 0.99):.1f}; "
        f"a pass {fixed:.2f} ms, a token {slope:.3f} ms"
    )

    def cost(rows: int, longest: int) -> float:
        return float(fixed + slope * rows * longest)

    draw = np.random.default_rng(1)
    chosen = draw.integers(0, len(tokens), args.requests)
    gap = 2 * (alone.mean() + args.added)
    lines = []
    for name, pause in (("evenly", evenly), ("at random", at_random)):
        late = floor_ms(alone, pause(1000 / gap))
        least = [f"{late:.1f}", f"{late / alone.mean():.2f}"]
        lines.append(
            [name, "floor: one by one", "-", *least, f"{late / np.quantile(alone, 0.99):.2f}"]
        )
    for name, gaps in (
        ("evenly", np.full(args.requests, gap)),
        ("at random", draw.exponential(gap, args.requests)),
    ):
        for how in (False, True):
            found = waits(np.cumsum(gaps), tokens[chosen], cost, args.added, is_told_at_once=how)
            middle, late = np.quantile(found, [0.5, 0.99])
            lines.append(
                [name, "each pass" if how else "the batch", f"{middle:.1f}", f"{late:.1f}",
                 f"{late / alone.mean():.2f}", f"{late / np.quantile(alone, 0.99):.2f}"]
            )  # fmt: skip
    heads = ["requests come", "answers as ends", "p50 ms", "p99 ms", "by the mean call"]
    print(markdown_table([*heads, "by the 99 % call"], lines))


if __name__ == "__main__":
    main()
