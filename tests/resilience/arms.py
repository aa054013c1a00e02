"""One of several processes that fit together, from given arms and steps.

A program, not a test: the plan of an interrupted run names start, arms and what there is time for,
so that no clock decides anything, and the run goes on from there.

    python arms.py OUT '{"data": "digits", "breaks": 1}'
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

import audited_once

import headstart as hs
from headstart.errors import HeadstartError
from headstart.recipes.options import FitOptions
from headstart.searching import runner
from headstart.searching.arms import ArmSpec
from headstart.tuning import cost

RANK = int(os.environ.get("RANK", "0"))
OUT, FATE = Path(sys.argv[1]), json.loads(sys.argv[2])
KINDS = {  # data, arms, and their side in pixels
    "digits": ("digits-8x8", ["scratch/simple-cnn", "scratch/vit-tiny"], 8, 0.2),
    "table": ("breast-cancer", ["scratch/mlp"], None, 0.1),
}
name, starts, size, length = KINDS[FATE["data"]]
if name == "breast-cancer":
    from sklearn.datasets import load_breast_cancer

    data = hs.load(load_breast_cancer(return_X_y=True), task="classification")
else:
    data = hs.load(name)
specs = [
    ArmSpec(starts[0], "full", 1.0, size, length),
    ArmSpec(starts[0], "full", 0.3, size, length),
]
specs += [ArmSpec(start, "full", 1.0, size, length) for start in starts[1:]]


def decided(value):
    return {"value": value, "told": None, "why": "", "given": None}


def plan():
    """Return the plan of a run that was interrupted before its arms."""
    rows = [
        {"start": one, "strategy": "full", "score": 0.5, "low": 0.4, "high": 0.6, "pixels": size}
        for one in starts
    ]
    best = {"start": starts[0], "size": size, "strategy": "full", "candidates": rows}
    longer = [ArmSpec(s.start, "full", s.rate, size, 3 * s.length).name for s in specs]
    found = {
        "start": decided(best),
        "heads": decided([]),
        "arms": decided({"arms": [vars(spec) for spec in specs], "dropped": []}),
        "time for rung 2": decided(False),
        "time for final 2": decided(True),
        "time for final 3": decided(False),
        **{f"time for {one}": decided(False) for one in longer},
    }
    said = FitOptions(name, budget="10m", device="cpu", starts=starts).to_json()
    return {
        "verb": "fit",
        "options": said,
        "fingerprint": data.fingerprint,
        "decisions": found,
        "spent_seconds": 0.0,
    }


if FATE.get("breaks") == RANK:
    advance = runner.ArmRunner.advance

    def broken(self, *args):
        if self.spec == specs[1]:
            raise RuntimeError("this arm is broken")
        return advance(self, *args)

    runner.ArmRunner.advance = broken
audited_once.leave_out()
cost.measure_pass = lambda setup, dataset: 3e-3  # slow, so that no clock ends a rung
if RANK == 0:
    (OUT / "state").mkdir(parents=True)
    (OUT / "state" / "plan.json").write_text(json.dumps(plan()))
try:
    hs.fit(data, budget="10m", device="cpu", starts=starts, out=str(OUT), resume=True)
except HeadstartError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
