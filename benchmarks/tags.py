"""Names in texts: WNUT17 and MSRA as folders that headstart reads, and one run a start.

WNUT17 keeps its own splits (3,394 / 1,009 / 1,287 texts). MSRA comes as one file of 55,289 blocks
without splits, of which seed 0 draws 2,000 for val and 3,000 for test; blocks that stand there are
left out of train.

    python benchmarks/tags.py data OUT                     # writes OUT/wnut17 and OUT/msra
    python benchmarks/tags.py run OUT/wnut17 --start pip/all-minilm-l6-v2 --budget 9m --out RUN
    python benchmarks/tags.py table RUN …                  # their figures as rows
    python benchmarks/tags.py solvers OUT/wnut17           # who solves for the linear tagger
    python benchmarks/tags.py spans RUN OUT/wnut17         # how far probabilities of spans hold
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import time
import zipfile
from pathlib import Path

WNUT = {
    "train": "wnut17train.conll",
    "dev": "emerging.dev.conll",
    "test": "emerging.test.annotated",
}
NUM_VAL, NUM_TEST = 2_000, 3_000


def write_data(out: Path) -> None:
    """Write both sets as CoNLL files, one a split."""
    source = Path(os.environ["HEADSTART_DATA"]) / "text"
    own = out / "wnut17"
    own.mkdir(parents=True, exist_ok=True)
    for split, name in WNUT.items():
        shutil.copyfile(source / "ner-wnut17" / name, own / f"{split}.conll")
    with zipfile.ZipFile(source / "ner-msra" / "dh_msra.zip") as packed:
        text = io.TextIOWrapper(packed.open("dh_msra.txt"), encoding="utf-8").read()
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    random.Random(0).shuffle(blocks)
    held = blocks[: NUM_VAL + NUM_TEST]
    known = set(held)
    train = [block for block in blocks[NUM_VAL + NUM_TEST :] if block not in known]
    parts = {"dev": held[:NUM_VAL], "test": held[NUM_VAL:], "train": train}
    place = out / "msra"
    place.mkdir(parents=True, exist_ok=True)
    for split, found in parts.items():
        (place / f"{split}.conll").write_text("\n\n".join(found) + "\n", encoding="utf-8")
        print(f"msra {split}: {len(found):,} blocks")


def run(data: str, start: str, budget: str, out: str, seed: int) -> None:
    """Fine-tune one start, and tell its figures."""
    import headstart as hs

    hs.finetune(data, start=start, budget=budget, out=out, seed=seed, overwrite=True)
    show([out])


def compare_solvers(data: str) -> None:
    """Solve for the weights of the linear tagger in two ways, each with several penalties."""
    import numpy as np

    import headstart as hs
    from headstart.starts import find_start, learn_preprocess
    from headstart.tasks import find_task
    from headstart.training.probing.probe import fit_probe
    from headstart.tuning.tagging import solve_with, word_matrix
    from headstart.types.ragged import Ragged

    dataset = hs.load(data)
    task, num = find_task(dataset.schema.task), len(dataset.schema.classes)
    texts = [dataset.train.samples.read(i) for i in range(len(dataset.train))]
    preprocess = learn_preprocess(find_start("scratch/linear-tagger"), texts)
    inputs = [preprocess.prepare(dataset, name) for name in ("train", "val")]
    train, val = (word_matrix(one, preprocess.num_features) for one in inputs)
    targets, wanted = (one.targets for one in inputs)

    def told(name: str, logits: np.ndarray, began: float) -> None:
        rows = Ragged(logits, wanted.offsets - wanted.offsets[0])
        score, _ = task.validation_score(rows, wanted)
        print(f"| {name} | {score:.3f} | {time.perf_counter() - began:.1f} s |", flush=True)

    for strength in (0.1, 1.0, 5.0, 20.0):
        began = time.perf_counter()
        found = fit_probe(
            train, targets.whole, val, wanted.whole,
            task=task.name, num_outputs=num, strengths=(strength,),
        )  # fmt: skip
        told(f"multinomial, L-BFGS, C {strength:g}", np.asarray(found.val_logits), began)
    for strength in (1e4, 1e5, 1e6, 1e7):
        began = time.perf_counter()
        weight, bias = solve_with(train, targets.whole, 1 / strength, num)
        told(f"each tag, SGD, alpha {1 / strength:g}", val @ weight.T + bias, began)


def compare_chances(run: str, data: str) -> None:
    """Hold three probabilities of each span that is told of test against whether it is right."""
    import numpy as np

    import headstart as hs
    from headstart.evaluation import entities_of, span_chances
    from headstart.model import model_outputs, run_batches
    from headstart.types.ragged import Ragged

    model, dataset = hs.open(run).model, hs.load(data)
    meaning = model.task.meaning(model.num_outputs)

    def told(name: str) -> tuple[Ragged, Ragged]:
        inputs = model.encoder.preprocess.prepare(dataset, name)
        return model_outputs(model, run_batches(model, inputs, model)), inputs.targets

    plain = model.task.deciding_by(model.task.deciding.__class__())
    power = plain.tuned(*told("val")).span_power or 1.0
    outputs, wanted = told("test")
    decided = plain.decisions(outputs)
    found = entities_of(decided, meaning)
    is_right = found.among(entities_of(wanted, meaning))
    of_tag = outputs.whole[np.arange(len(decided.whole)), decided.whole]
    starts = (decided.offsets - decided.offsets[0])[found.row]
    spans = zip(starts + found.start, starts + found.end, strict=True)
    least = np.array([of_tag[a:b].min() for a, b in spans])
    exact = span_chances(outputs, found, meaning)
    print(f"{len(is_right):,} spans, {is_right.mean():.3f} of them right; power {power:.2f}")
    rows = {"the least sure word": least, "exactly it": exact, "to val's power": exact**power}
    for name, chances in rows.items():
        kept = np.clip(chances.astype(np.float64), 1e-6, 1 - 1e-6)
        loss = -np.where(is_right, np.log(kept), np.log1p(-kept)).mean()
        order = np.array_split(np.argsort(chances), 10)
        gaps = [len(o) * abs(chances[o].mean() - is_right[o].mean()) for o in order if len(o)]
        error = sum(gaps) / len(chances)
        print(f"| {name} | {chances.mean():.3f} | {loss:.3f} | {error:.3f} |")


def show(runs: list[str]) -> None:
    """Print a row a run."""
    for each in runs:
        folder = Path(each)
        metrics = json.loads((folder / "metrics.json").read_text())
        options = json.loads((folder / "options.json").read_text())
        told = metrics["before_after"]["figures"]
        cells = [
            f"{name} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            for name, one in told.items()
        ]
        steps = (options.get("training") or {}).get("step")
        print(f"| {folder.name} | {steps} steps | {' | '.join(cells)} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("data").add_argument("out", type=Path)
    asked = verbs.add_parser("run")
    asked.add_argument("data")
    asked.add_argument("--start", required=True)
    asked.add_argument("--budget", default="9m")
    asked.add_argument("--out", required=True)
    asked.add_argument("--seed", type=int, default=0)
    verbs.add_parser("table").add_argument("runs", nargs="+")
    verbs.add_parser("solvers").add_argument("data")
    held = verbs.add_parser("spans")
    held.add_argument("run")
    held.add_argument("data")
    said = parser.parse_args()
    if said.verb == "data":
        write_data(said.out)
    elif said.verb == "solvers":
        compare_solvers(said.data)
    elif said.verb == "spans":
        compare_chances(said.run, said.data)
    elif said.verb == "run":
        run(said.data, said.start, said.budget, said.out, said.seed)
    else:
        show(said.runs)


if __name__ == "__main__":
    main()
