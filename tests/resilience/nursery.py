"""Imports what a fine-tuning imports, once, and forks a process for every line it reads.

A program, not a test. A line says the arguments, the environment and a folder; the answer is the
number of the process. That process runs the program named first as an interpreter would, from its
own environment to its exit code, which stands in the folder once it has ended, beside its stderr.
Nothing is computed here, so that nobody inherits a thread, a random state or a process group.
"""

import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
from pathlib import Path

import headstart

# What runs import while they work, beside the files of headstart itself.
LATE = (
    "pandas",
    "peft",
    "scipy.ndimage",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.feature_extraction",
    "sklearn.linear_model",
    "timm.models.vision_transformer",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "torch.distributed.tensor.parallel",
    "transformers.models.bert.modeling_bert",
)
OWN = (module.name for module in pkgutil.walk_packages(headstart.__path__, "headstart."))
for name in (*LATE, *OWN):
    if not name.endswith("__main__"):
        importlib.import_module(name)


def run(arguments, environment, place):
    """Become the program."""
    os.environ.clear()
    os.environ.update(environment)
    # neither the line of commands nor that of answers is its own
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    said = os.open(place / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    runpy.run_path(arguments[0], run_name="__main__")
    sys.exit(0)


def keep(told):
    """Fork the program, tell its number, wait for it, and leave its exit code."""
    place = Path(told["place"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        run(told["arguments"], told["environment"], place)
    print(child, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (place / "partial").write_text(str(code))
    (place / "partial").rename(place / "code")
    os._exit(0)


signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
for line in sys.stdin:
    if os.fork() == 0:
        keep(json.loads(line))
