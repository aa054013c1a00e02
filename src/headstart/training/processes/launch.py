"""How several processes meet: what a launcher has told each, and which device is its own.

A launcher such as torchrun says it in the environment; nothing else is read. What the processes do
once they have met is in ``distributed.py``.
"""

from __future__ import annotations

import itertools
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from headstart.errors import DeviceError, OptionError, first_line
from headstart.training.machine.device import choose_device
from headstart.training.processes.company import Team

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MEET = timedelta(minutes=10)
_runs = itertools.count()


def join(device: str) -> Team:
    """Meet the other processes that the launcher has started.

    Args:
        device: The user's word for the device; with CUDA each process of a machine gets a GPU.

    Raises:
        OptionError: If the launcher's variables are missing or make no sense.
        DeviceError: If there is no device for this process, or the others do not come.
    """
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise OptionError(
            f"WORLD_SIZE is {os.environ.get('WORLD_SIZE')} and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set; expected all of "
            f"{', '.join(_VARIABLES)}. Start with torchrun, which sets them."
        )
    rank, num = _number("RANK"), _number("WORLD_SIZE")
    if rank >= num:
        raise OptionError(
            f"RANK is {rank} and WORLD_SIZE {num}; expected a rank from 0 to {num - 1}. Start with "
            f"torchrun, which sets them."
        )
    target = own_device(device)
    # every life and every run of a program meets under a name of its own
    name = f"headstart/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(_runs)}"
    try:
        base, _, _ = next(rendezvous("env://", timeout=_MEET))
        store = PrefixStore(name, base)
        is_cuda = target.type == "cuda"
        dist.init_process_group(
            # what lies in the memory of the machine travels too: checkpoints of split weights
            "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=num,
            timeout=_MEET,
            device_id=target if is_cuda else None,
        )
        return Team(store, rank, num, target)
    except RuntimeError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise DeviceError(
            f"Process {rank} of {num} could not meet the others at {where} "
            f"({first_line(error)}); expected {num} processes that can reach one another. "
            f"Check the address, the port and the firewall; GLOO_SOCKET_IFNAME and "
            f"NCCL_SOCKET_IFNAME name the network interface."
        ) from error


def own_device(name: str) -> torch.device:
    """Return this process's device: with CUDA the GPU of its number on this machine.

    Raises:
        DeviceError: If it has none, or the name gives all processes the same one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = choose_device(name)
    if device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise DeviceError(
            f"device is '{name}' and several processes train together; expected auto, cuda or cpu: "
            f"each process takes the GPU of its own number. Change --device."
        )
    local = _number("LOCAL_RANK") if os.environ.get("LOCAL_RANK") else _number("RANK")
    if local >= torch.cuda.device_count():
        raise DeviceError(
            f"Process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} "
            f"found); expected one each. Start no more processes than GPUs, or use --device cpu."
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device


def num_local_processes(num: int) -> int:
    """Return how many of the processes run on this machine.

    Args:
        num: How many there are; all of them where the launcher does not say.
    """
    return max(1, _number("LOCAL_WORLD_SIZE")) if os.environ.get("LOCAL_WORLD_SIZE") else num


def _number(name: str) -> int:
    said = os.environ.get(name, "")
    if not said.isdigit():
        raise OptionError(
            f"{name} is '{said}'; expected a whole number from 0 on. Start with torchrun, which "
            f"sets it."
        )
    return int(said)
