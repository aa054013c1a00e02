"""Many short lives of one training: forked, killed with SIGKILL, resumed until done.

A program, not a test: the tests start it in a process of its own. It imports everything once and
forks for each life, so that a life costs milliseconds, not an import of PyTorch. It runs the whole
training once undisturbed and without workers, then again and again through kills, and prints both
digests: sha256 over final weights, optimizer state, averaged weights and the loop's own numbers.

    python lives.py loop FOLDER --kills 20 --in-save 5 --seed 7 --threads 1 --workers 0,2
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import audited_once
import torch
import torch._dynamo  # every optimizer imports it, two seconds: once here, not once a life
from tiny_training import Training, short_recipe

from headstart.training import loop as loop_module
from headstart.training.state.checkpoint import CheckpointFolder, optimizer_tensors
from headstart.training.state.tensor_file import TensorFile

CHECKPOINT_SECONDS = 0.03
TIGHT_BYTES = 3_600_000  # free memory that a step of train_run does not fit, a quarter of it does
# where a save may be hit: in the middle of the tensors, and before and after each of three files'
# fsync, the folder's fsync, the rename, the parent's fsync
NUM_POINTS = 1 + 2 * 6


def everything(seed, num_workers):
    """Return a recipe with all that has a state or draws random numbers."""
    return short_recipe(
        optimizer="adamw" if seed % 2 else "sgd",
        augment="light",
        label_smoothing=0.1,
        ema_half_life=0.1,
        batch_size=16,
        micro_batch_size=10,
        mixup=0.2,
        cutmix=0.5,
        patience=12,
        num_steps=160,
        seed=seed,
        num_workers=num_workers,
    )


def digest_of(loop):
    """Return the sha256 over everything that a finished loop has learned."""
    parts = {f"model.{n}": t for n, t in loop.module.state_dict().items()}
    parts |= {f"optimizer.{n}": t for n, t in optimizer_tensors(loop.optimizer).items()}
    parts |= {f"average.{n}": t for n, t in loop.average.state.items()} if loop.average else {}
    found = sha256()
    for name in sorted(parts):
        found.update(name.encode())
        found.update(parts[name].detach().contiguous().numpy().tobytes())
    state = replace(loop.state, seconds=0.0)
    found.update(json.dumps(asdict(state), sort_keys=True).encode())
    return found.hexdigest()


class WatchedLoop(loop_module.Loop):
    """The loop, saving all the time, and leaving word of where it began and what it ended with."""

    word = Path()
    dying_after = None  # steps of this attempt: a checkpoint of the first stands, the second kills

    def __init__(self, module, optimizer, hooks, options, checkpoints, deadline):
        often = replace(options, checkpoint_seconds=CHECKPOINT_SECONDS)
        super().__init__(module, optimizer, hooks, often, checkpoints, deadline)

    def _train(self):
        self.began = self.state.step
        return super()._train()

    def _keep_safe(self):
        super()._keep_safe()
        if self.dying_after is None:
            return
        safe, last = self.dying_after
        if self.state.step == self.began + safe:
            self._save()
            self.writer.wait()
        if self.state.step == self.began + last:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self):
        result = super().run()
        told = {
            "digest": digest_of(self),
            "ended": result.ended,
            "began": self.began,
            "steps": self.state.step,
            "micro_batch_size": self.state.micro_batch_size,
        }
        self.word.write_text(json.dumps(told))
        return result


def train_tiny(folder, seed, num_workers):
    """One life of a training by the bare loop."""
    # later attempts begin with other weights: all must come from the checkpoint
    has_checkpoint = any(folder.glob("state/step_*"))
    init_seed = os.getpid() if has_checkpoint else seed
    training = Training(everything(seed, num_workers), dropout=0.3, init_seed=init_seed)
    training.run(CheckpointFolder(folder / "state"), steps_per_check=6)


def train_run(folder, seed, num_workers, micro_batch_size=16):
    """One life of a fine-tuning by the public function, with run folder, plan and report."""
    import headstart

    audited_once.leave_out()
    run = folder / "run"
    resume = (run / "state" / "plan.json").exists()
    if run.exists() and not resume:
        shutil.rmtree(run)  # killed before there was anything to resume
    headstart.finetune(
        "digits-8x8",
        start="scratch/simple-cnn",
        out=str(run),
        num_steps=80,
        batch_size=32,
        micro_batch_size=micro_batch_size,
        augment="digits",
        dropout=0.2,
        ema=True,
        patience=20,
        seed=seed,
        num_workers=num_workers,
        device="cpu",
        resume=resume,
    )


def train_tight(folder, seed, num_workers):
    """One life of that fine-tuning on a machine that has too little memory for a step.

    Once the micro-batch is settled every attempt finds another amount free.
    """
    from headstart.training.machine import memory

    plan = folder / "run" / "state" / "plan.json"
    is_settled = plan.exists() and "memory" in json.loads(plan.read_text())
    free = random.Random(os.getpid()).choice([2**20, 2**40]) if is_settled else TIGHT_BYTES
    memory.free_memory_bytes = lambda: free
    train_run(folder, seed, num_workers, micro_batch_size=None)


def train_kind(kind, folder, seed, num_workers):
    """One life of a training of another kind than one label of one input."""
    import kinds

    import headstart

    audited_once.leave_out()
    run, data = folder / "run", folder / "data"
    write, verb, options = kinds.KINDS[kind]
    label = kinds.LABELS.get(kind)
    resume = (run / "state" / "plan.json").exists()
    if not data.exists():
        data.mkdir()
        write(data)
    if run.exists() and not resume:
        shutil.rmtree(run)
    source = str(next(data.iterdir()))
    getattr(headstart, verb)(
        source if label is None else headstart.load(source, label=label),
        out=str(run),
        seed=seed,
        num_workers=num_workers,
        device="cpu",
        resume=resume,
        **options,
    )


TRAININGS = {"loop": train_tiny, "run": train_run, "tight": train_tight}


@contextmanager
def dying_at(point, save):
    """Kill this process at one point of one of its saves, counted from 0."""
    passed = {"points": 0, "saves": 0}

    def pass_point():
        if passed["saves"] == save and passed["points"] == point:
            os.kill(os.getpid(), signal.SIGKILL)
        passed["points"] += 1

    def counted(function):
        def call(*args, **kwargs):
            is_saving = passed["points"] > 0  # other files are written and renamed too
            if is_saving:
                pass_point()
            result = function(*args, **kwargs)
            if is_saving:
                pass_point()
            if passed["points"] == NUM_POINTS:
                passed["points"], passed["saves"] = 0, passed["saves"] + 1
            return result

        return call

    pieces = TensorFile.pieces

    def pieces_counted(file):
        found = pieces(file)
        yield next(found)
        pass_point()
        yield from found

    TensorFile.pieces = pieces_counted
    os.fsync, os.rename = counted(os.fsync), counted(os.rename)
    yield


def live(kind, folder, seed, num_workers, *, in_save=None, after=None):
    """Fork a life; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        loop_module.Loop = WatchedLoop
        WatchedLoop.word = folder / "word.json"
        WatchedLoop.dying_after = after
        with dying_at(*in_save) if in_save else nullcontext():
            TRAININGS.get(kind, partial(train_kind, kind))(folder, seed, num_workers)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def await_end(child):
    """Wait for a life; return whether it was killed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    assert os.WEXITSTATUS(status) == 0, "a life ended in an error; see above"
    return False


def has_half_save(folder):
    """Return whether a kill has left a half-written checkpoint, of either kind of training."""
    return any(folder.glob("state/.tmp-*")) or any(folder.glob("run/state/.tmp-*"))


def chain(kind, folder, seed, draws, workers, plan, life_seconds):
    """Live, be killed as planned, live on until done; return how that went."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    killed, killed_in_save, half, used = 0, 0, 0, []
    while True:
        how = plan[-1] if plan else None
        in_save = after = None
        if how == "save":
            in_save = (draws.randrange(NUM_POINTS), draws.randrange(3))
        elif how == "step":
            safe = draws.randrange(1, 30)
            after = (safe, safe + draws.randrange(5))
        used.append(draws.choice(workers))
        child = live(kind, folder, seed, used[-1], in_save=in_save, after=after)
        if how == "time":
            time.sleep(draws.uniform(*life_seconds))
            os.kill(child, signal.SIGKILL)
        if not await_end(child):
            word = json.loads((folder / "word.json").read_text())
            counts = {"killed": killed, "killed_in_save": killed_in_save, "half": half}
            return {**word, **counts, "workers": used}
        plan.pop()
        killed += 1
        killed_in_save += how == "save"
        half += has_half_save(folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", help="in TRAININGS, or in kinds.KINDS")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--in-save", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", default="0", help="numbers that a life draws from")
    options = parser.parse_args()
    if options.in_save >= options.kills:
        parser.error("the last kill comes at a step: expected --in-save below --kills")
    torch.set_num_threads(options.threads)
    draws = random.Random(options.seed)
    workers = [int(number) for number in options.workers.split(",")]
    plan = ["save"] * options.in_save + ["time"] * (options.kills - options.in_save - 1)
    draws.shuffle(plan)
    # the last kill comes at a step, not at a moment: however busy the machine, a checkpoint stands
    # by then, and at least one life goes on from one
    plan.insert(0, "step")
    chains = []
    number = 0
    while plan:
        seed = options.seed + number
        began = time.monotonic()
        whole = chain(options.kind, options.folder / "whole", seed, draws, [0], [], None)
        seconds = time.monotonic() - began
        # a life is a fraction of the run, so that a run takes many; a whole one now and then
        some = chain(
            options.kind,
            options.folder / "killed",
            seed,
            draws,
            workers,
            plan,
            (0.05 * seconds, 0.45 * seconds),
        )
        chains.append({"whole": whole, "killed": some, "seconds": seconds})
        number += 1
    print(json.dumps(chains))


if __name__ == "__main__":
    main()
