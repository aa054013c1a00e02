"""How several processes meet and part: what a launcher has told each, which device is its own.

A launcher such as torchrun says it in the environment; nothing else is read. What the processes do
once they have met is in ``company.py``.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from headstart.errors import DeviceError, HeadstartError, OptionError, ProcessLost, first_line
from headstart.training.machine.device import choose_device
from headstart.training.processes.company import Several
from headstart.training.processes.environment import read_number

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MEET = timedelta(minutes=10)
_runs = itertools.count()


@contextmanager
def joined(device: str) -> Iterator[Several]:
    """Train with the other processes inside the block; an error ends all of them.

    Where the main process has an error, the workers are told its exit code and say nothing; an
    error of a worker says which one it is.

    Args:
        device: As for ``join``.

    Raises:
        OptionError: If the launcher's variables make no sense.
        DeviceError: If there is no device for this process, or the others do not come.
    """
    company = join(device)
    is_broken = False
    try:
        yield company
    except HeadstartError as error:
        is_broken = isinstance(error, ProcessLost)
        if company.is_main:
            _dismiss(company, error.exit_code)
        else:
            error.args = (f"Process {company.rank} of {company.size}: {error}", *error.args[1:])
        raise
    except BaseException:
        if company.is_main:
            _dismiss(company, 1)
        raise
    finally:
        company.leave(is_broken=is_broken)


def _dismiss(company: Several, code: int) -> None:
    """Tell the workers that it is over, if the store that carries messages is still there."""
    with suppress(RuntimeError):
        company.send("ended", code=code)


def join(device: str) -> Several:
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
    rank, num = read_number("RANK"), read_number("WORLD_SIZE")
    if rank >= num:
        raise OptionError(
            f"RANK is {rank} and WORLD_SIZE {num}; expected a rank from 0 to {num - 1}. Start with "
            f"torchrun, which sets them."
        )
    target = own_device(device)
    # every attempt and every run of a program meets under a name of its own
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
        return Several(store, rank, num, target)
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
    local = read_number("LOCAL_RANK" if os.environ.get("LOCAL_RANK") else "RANK")
    if local >= torch.cuda.device_count():
        raise DeviceError(
            f"Process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} "
            f"found); expected one each. Start no more processes than GPUs, or use --device cpu."
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device
