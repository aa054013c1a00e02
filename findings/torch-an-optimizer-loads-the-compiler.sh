#!/bin/sh
# Making any optimizer loads PyTorch's compiler, SymPy and its sharding code, compiled or not.
#
# Versions: torch 2.14.1 (Python 3.11, Linux).
# What one would guess: torch.compile is loaded by who calls it; torch.optim.SGD of one number needs
# next to nothing beside torch itself.
# What it does: Optimizer's own methods are marked as not to be compiled, and the mark imports
# torch._dynamo the first time that one is called, which is when the optimizer is made. With it come
# SymPy, torch.distributed's sharding and some 900 modules in all; it takes about as long as
# importing torch, and no option leaves it out.
# Who meets it: whoever counts the time to a first training step, in command lines, tests, and jobs
# of a few seconds; who looks for what is slow in "import torch" does not find it there.
#
# Seen on 2026-12-01:
#   after import torch: sympy False, torch._dynamo False, fully sharded False
#   after SGD of one number: sympy True, torch._dynamo True, fully sharded True, 893 modules more
#
# Ends with 0 where all this is still so, with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install -q torch==2.14.1 numpy
"$folder/env/bin/python" - <<'PYTHON'
import sys

import torch

WATCHED = {"sympy": "sympy", "torch._dynamo": "torch._dynamo", "fully sharded": "torch.distributed.fsdp"}


def told():
    return ", ".join(f"{name} {module in sys.modules}" for name, module in WATCHED.items())


before, first = told(), set(sys.modules)
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
after, more = told(), len(set(sys.modules) - first)
print(f"after import torch: {before}")
print(f"after SGD of one number: {after}, {more} modules more")
if "True" not in before and "False" not in after and more > 300:
    print("as described")
else:
    print("changed: this finding needs another look")
    sys.exit(1)
PYTHON
