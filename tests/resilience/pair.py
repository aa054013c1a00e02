"""One of several processes that fine-tune together; what befalls it is said on the command line.

A program, not a test: the tests start it once or twice, with torchrun or by hand. Each process
writes down which samples it saw at each step, its weights after the last step, and the main process
all that it has learned.

    python pair.py OUT '{"recipe": "plain", "killed": {"0": [1, 25]}}'
"""

import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

import audited_once
import torch
from networks import NETWORKS

import headstart
from headstart.errors import DeviceError, HeadstartError
from headstart.training import loop as loop_module
from headstart.training.state.average import learned_state, own_piece
from headstart.training.state.checkpoint import optimizer_tensors

RANK = int(os.environ.get("RANK", "0"))
LIFE = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
OUT = Path(sys.argv[1])
FATE = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
NUM_STEPS = 36
RECIPES = {
    # the same gradient however many processes there are; Adam would blow up its last bits
    "plain": {
        "batch_size": 63,
        "augment": "digits",
        "ema": False,
        "optimizer": "sgd",
        "learning_rate": 0.05,
    },
    # the frozen part is computed once, by the main process
    "frozen": {
        "strategy": "last-n",
        "views": 2,
        "batch_size": 63,
        "augment": "digits",
        "ema": False,
        "optimizer": "sgd",
        "learning_rate": 0.005,
    },
    # all that has a state or draws random numbers
    "everything": {
        "batch_size": 64,
        "micro_batch_size": 16,
        "augment": "digits",
        "dropout": 0.2,
        "mixup": 0.2,
        "ema": True,
        "optimizer": "adamw",
    },
    # the same gradient too, but in several passes, and with averaged weights
    "averaged": {
        "batch_size": 63,
        "micro_batch_size": 21,
        "augment": "digits",
        "ema": True,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "bottom_multiplier": 1.0,
        "weight_decay": 0.01,
    },
}
# the same in several phases: the main process says how each is trained
RECIPES["gradual"] = RECIPES["frozen"] | {"strategy": "gradual"}
RECIPE = FATE.get("recipe", "plain")
told = {"ids": {}, "micro": {}}
# a byte comes out for every signal that has come in
SIGNALS, heard = os.pipe()
os.set_blocking(heard, False)
signal.set_wakeup_fd(heard)


def digest_of(parts):
    found = sha256()
    for name in sorted(parts):
        found.update(name.encode())
        found.update(parts[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def write(name):
    partial = OUT.with_name(f"{OUT.name}.{name}.partial")
    partial.write_text(json.dumps(told))
    partial.replace(OUT.with_name(f"{OUT.name}.{name}"))


def befall(loop):
    """Do to this process what is its fate at this step."""
    step = loop.state.step
    if FATE.get("killed", {}).get(LIFE) == [RANK, step]:
        # the others go on until they miss this one; something to go back to is on the disk
        while not any(OUT.glob("state/step_*")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    if step == FATE.get("slow_from"):
        write(f"{RANK}.begun")
    if step >= FATE.get("slow_from", NUM_STEPS):
        time.sleep(0.05)
    if FATE.get("signalled") == RANK and step == NUM_STEPS - 5:
        os.read(SIGNALS, 1)  # on a busy machine the signal may come late


def fail_in_backward(loop):
    """Let the next backward pass run out of memory when it comes to the first layer."""

    def fail(gradient):
        hook.remove()
        told.setdefault("sent", []).append(loop.exchange._gradients._num_sent)
        raise torch.OutOfMemoryError("no room")

    hook = next(loop.module.parameters()).register_hook(fail)


init, step, run = loop_module.Loop.__init__, loop_module.Loop._step, loop_module.Loop.run


def watched_init(self, module, optimizer, hooks, options, checkpoints, deadline):
    seconds = FATE.get("checkpoint_seconds", 60.0)
    options = replace(options, checkpoint_seconds=seconds)
    compute = hooks.compute_loss

    def compute_loss(batch):
        seen = told["ids"].setdefault(str(self.state.step), [])
        seen += batch.ids.tolist()
        is_short = FATE.get("memory") == [RANK, self.state.step] and len(batch.ids) > 8
        if is_short:
            seen.clear()
        if is_short and not FATE.get("in_backward"):
            raise torch.OutOfMemoryError("no room")
        told.setdefault("means", {})[str(self.state.step)] = float(batch.inputs[0].float().mean())
        if FATE.get("broken") == [RANK, self.state.step]:
            raise DeviceError("something broke in the middle of a step")
        if FATE.get("gone") == [RANK, self.state.step]:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = compute(batch)
        if is_short:
            fail_in_backward(self)
        return loss * float("nan") if FATE.get("poison") == [RANK, self.state.step] else loss

    hooks = replace(hooks, compute_loss=compute_loss)
    init(self, module, optimizer, hooks, options, checkpoints, deadline)


def watched_step(self):
    befall(self)
    told["ids"].pop(str(self.state.step), None)
    loss = step(self)
    told["micro"][str(self.state.step)] = self.state.micro_batch_size
    told.setdefault("losses", []).append(float(loss))
    running = {n: b for n, b in self.module.named_buffers() if "running_mean" in n}
    told.setdefault("running", []).append([float(b.sum()) for b in running.values()])
    if self.state.step == NUM_STEPS - 1:
        told["bytes"] = {
            "here": sum(p.nbytes for p in self.parameters),
            "optimizer": sum(t.nbytes for t in optimizer_tensors(self.optimizer).values()),
            "whole": sum(p.nbytes for p in self.module.parameters()),
        }
        told["last"] = digest_of(learned_state(self.module))
        told["layouts"] = [p.stride() for p in self.module.parameters()]
        told["loss"] = float(loss)
    return loss


def watched_run(self):
    result = run(self)
    told["ended"], told["step"] = result.ended, self.state.step
    parts = {f"model.{n}": own_piece(t) for n, t in self.module.state_dict().items()}
    parts |= {f"optimizer.{n}": t for n, t in optimizer_tensors(self.optimizer).items()}
    parts |= {f"average.{n}": t for n, t in self.average.state.items()} if self.average else {}
    state = json.dumps(asdict(replace(self.state, seconds=0.0)), sort_keys=True)
    told["digest"] = digest_of(parts) + sha256(state.encode()).hexdigest()
    if RANK == 0:
        write("learned")
    return result


if FATE.get("format"):
    from headstart.tuning import step_format
    from headstart.tuning.step_format import StepFormat

    # whatever this machine has and measures; a worker must not ask
    step_format._WORTH_SECONDS = 0.0
    step_format.has_bf16_units = lambda: RANK == 0
    own_row = step_format.defaults_for
    step_format.defaults_for = lambda start: replace(own_row(start), bf16_steps=True)
    step_format._Trial.run = lambda trial, formats: (
        {formats[0]: 2.0, StepFormat(*FATE["format"]): 1.0},
        True,
    )
if FATE.get("in_backward"):
    from headstart.training.processes import buckets, gradients

    gradients._FIRST_BYTES, buckets.BUCKET_BYTES = 1, 100_000  # several for a small network
audited_once.leave_out()
loop_module.Loop.__init__ = watched_init
loop_module.Loop._step = watched_step
loop_module.Loop.run = watched_run

try:
    headstart.finetune(
        **{
            "data": "digits-8x8",
            **RECIPES[RECIPE],
            **NETWORKS[FATE.get("network", "smooth" if RECIPE == "plain" else "cnn")](),
            **FATE.get("options", {}),
        },
        out=str(OUT),
        num_steps=NUM_STEPS,
        device="cpu",
        resume=FATE.get("resume", False),
    )
except HeadstartError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
finally:
    write(f"{RANK}.{LIFE}")
if FATE.get("gone_after") == RANK and LIFE == "0":
    while (OUT / "state").exists():  # all has been written, and this process is missed still
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
