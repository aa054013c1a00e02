"""How long TF-IDF of many short texts takes, and how much memory: another build, this one, a floor.

    python benchmarks/terms.py --before ../before --after . --texts 10000 100000 1000000

Each measurement is a process of its own, which first learns 300 texts, so that imports do not
count; then CPU seconds of learning the terms and of weighing all texts, the clock of both, and the
peak of its memory above that of imports and texts. The texts: 5 to 15 words each, drawn by Zipf's
law from 50,000, about 65 bytes; with ``--script han`` 8 to 24 of 3,000 Chinese characters, which
are counted as characters. The floor cuts every text at its blanks, once, and does nothing else. A
digest of the terms and the sum of all weights say whether two builds give the same.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from timing import run_child

CHILD = """
import hashlib, json, sys, time
import numpy as np
what, script, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
draw = np.random.default_rng(0)
least, most, size = (8, 25, 3000) if script == "han" else (5, 16, 50000)
if script == "han":
    words = [chr(0x4e00 + i) for i in range(size)]
else:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(draw.choice(letters, size=k)) for k in draw.integers(2, 11, size)]
shares = np.cumsum(1 / np.arange(1, size + 1))
lengths = draw.integers(least, most, number)
places = np.searchsorted(shares / shares[-1], draw.random(int(lengths.sum())))
ends = np.cumsum([0, *lengths.tolist()])
blank = "" if script == "han" else " "
texts = [blank.join([words[i] for i in places[a:b]]) for a, b in zip(ends[:-1], ends[1:])]
del places
if what == "floor":
    def learn(texts):
        return [len(text.split()) for text in texts]
else:
    try:
        from headstart.preprocessing.terms import fit_vectorizer
    except ImportError:  # where an older build has it
        from headstart.starts.text_terms import fit_vectorizer
    def learn(texts):
        return fit_vectorizer(texts, "texts")
first = learn(texts[:300])
if what != "floor":
    first.transform(texts[:300])
found = {"terms": 0, "digest": "", "sum": 0.0}
with Watch() as watch:
    wall, cpu = time.perf_counter(), time.process_time()
    learned = learn(texts)
    fit = time.process_time() - cpu
    if what != "floor":
        weights = learned.transform(texts)
        digest = hashlib.blake2b("\\n".join(learned.terms).encode(), digest_size=4).hexdigest()
        found = {"terms": len(learned.terms), "digest": digest, "sum": float(weights.sum())}
    both, wall = time.process_time() - cpu, time.perf_counter() - wall
found |= {"fit": fit, "both": both, "seconds": wall, "peak": watch.peak}
print(json.dumps(found))
"""


def main() -> None:
    """Measure and print a table, and how CPU seconds grow from one number of texts to the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of another build")
    parser.add_argument("--after", type=Path, default=Path(), help="checkout of this build")
    parser.add_argument("--texts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--script", choices=("latin", "han"), default="latin")
    said = parser.parse_args()
    builds = [("after", said.after), ("floor", None)]
    builds = [("before", said.before), *builds] if said.before else builds
    print("texts      build   learn CPU  weigh CPU  seconds  peak MB   terms  digest    exponent")
    last: dict[str, tuple[int, float]] = {}
    for number in said.texts:
        for what, checkout in builds:
            run = run_child(CHILD, [what, said.script, str(number)], checkout)
            grown = ""
            if what in last:
                texts, cpu = last[what]
                grown = f"{math.log(run['both'] / cpu) / math.log(number / texts):8.2f}"
            last[what] = number, run["both"]
            print(
                f"{number:<10,} {what:<7} {run['fit']:9.2f} {run['both'] - run['fit']:10.2f} "
                f"{run['seconds']:8.2f} {run['peak'] / 1e6:8.0f} {run['terms']:7,} "
                f"{run['digest']:>8} {grown}  sum {run['sum']:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
