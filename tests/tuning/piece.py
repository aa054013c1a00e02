"""One process that carries an arm on: build it, advance it, and say what came of it.

    python piece.py FOLDER STRATEGY STEPS

The state lies in FOLDER; STEPS 0 is to the end. Prints the step, whether it has ended, the score
and a digest of the weights as JSON.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import torch

from headstart.data import load
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.arm import Arm
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.setup import prepare_sample, set_up

OPTIONS = {
    "full": {"ema": True, "dropout": 0.2, "mixup": 0.2, "augment": "digits"},
    "lp-ft": {"optimizer": "sgd", "batchnorm": "train"},
    "last-n": {"views": 2, "augment": "digits", "dropout": 0.1},
    "gradual": {"augment": "digits"},
}
NUM_STEPS = 40


def make_arm(
    strategy,
    *,
    start="scratch/simple-cnn",
    folder=None,
    records=None,
    keep=lambda: None,
    seed=0,
    **conditions,
):
    """Return an arm that has not begun."""
    data = load("digits-8x8")
    own = OPTIONS.get(strategy, {})
    options = TrainingOptions(
        strategy=strategy,
        num_steps=NUM_STEPS,
        batch_size=16,
        seed=seed,
        **({"augment": "none"} | own),
    )
    setup = set_up(data, find_start(start), options, device=torch.device("cpu"))
    train, val = (prepare_sample(data, name, setup, 160, seed=0) for name in ("train", "val"))
    known = {
        "checkpoints": CheckpointFolder(folder) if folder else None,
        "decisions": Decisions(records, keep),
        "seconds_per_sample": 1e-4,
    }
    return Arm(setup, train, val, Conditions(**(known | conditions)))


def digest(arm):
    """Return what tells two sets of weights apart."""
    found = sha256()
    for name, value in arm.setup.model.state_dict().items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def told(arm, score):
    """Return what a driver wants to know."""
    ended, state = arm.is_ended, arm.result.state
    best = [state.best_score, state.best_loss, state.best_step]
    return {"step": state.step, "is_ended": ended, "best": best, "score": [score.score, score.loss]}


def main(folder, strategy, steps):
    plan = Path(folder) / "plan.json"
    records = json.loads(plan.read_text()) if plan.exists() else {}
    arm = make_arm(
        strategy,
        folder=Path(folder),
        records=records,
        keep=lambda: plan.write_text(json.dumps(records)),
    )
    arm.start()
    score = arm.advance(steps=int(steps) or None)
    arm.finish()
    print(json.dumps(told(arm, score) | {"digest": digest(arm)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
