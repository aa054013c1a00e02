"""Split the weights of a network over several processes.

``fully_shard`` (FSDP2) gives each process a part of every weight, of its gradient and of its
optimizer state; a block of layers is put together just before it runs, and its gradients are added
up over the processes while the backward pass goes on. The network that is split is a copy: the
whole one stays as it was, without weights in all processes but the main one, which keeps them in
the memory of the machine and gets the learned ones when the training is over.

Left out on purpose: offloading to the memory of the machine, and lower precision for what travels.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from headstart.errors import StartError, first_line
from headstart.tensors import find_blocks


@dataclass(frozen=True)
class ShardingPlan:
    """How weights are split over the processes.

    Attributes:
        is_fully: Whether by ``fully_shard``, over the processes that see different samples.
        num_tensor: Over how many processes each weight of a block is split, all of which see the
            same samples; 1 for none.
    """

    is_fully: bool
    num_tensor: int = 1


@dataclass(frozen=True)
class SplitNetwork:
    """A network whose weights are split.

    Attributes:
        module: The copy that is split; its names are those of the whole.
        mesh: The processes, by the samples they see ("data") and the weights they hold ("tensor").
        host_mesh: The same for what lies in the memory of the machine.
    """

    module: nn.Module
    mesh: DeviceMesh
    host_mesh: DeviceMesh


def split_network(
    whole: nn.Module, plan: ShardingPlan, device: torch.device, size: int, *, is_kept: bool
) -> SplitNetwork:
    """Split a network over processes; all call this at the same time.

    Args:
        whole: The same in every process, on its device.
        plan: How it is split.
        device: Where this process trains.
        size: How many processes there are.
        is_kept: Whether this process keeps the whole weights, in the memory of the machine;
            otherwise the whole network has none afterwards.

    Raises:
        StartError: If the network cannot be split.
    """
    module = _copy(whole)
    shape = (size // plan.num_tensor, plan.num_tensor)
    names = ("data", "tensor")
    mesh = host_mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
    if device.type != "cpu":
        host_mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    blocks = [module.get_submodule(name) for name in find_blocks(module)]
    if plan.num_tensor > 1:
        from headstart.training.processes.tensor_parallel import parallelize

        parallelize(blocks, mesh["tensor"])
    if plan.is_fully:
        _shard_fully(module, blocks, mesh["data"])
    _part_from_whole(whole, module, is_kept=is_kept)
    return SplitNetwork(module, mesh, host_mesh)


def _shard_fully(module: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh) -> None:
    """Split every weight over the processes that see different samples, block by block."""
    try:
        for block in [*blocks, module]:
            # the root too: what stays together would not hear of weights that are exchanged
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    except (ValueError, NotImplementedError) as error:
        raise StartError(
            f"The weights of this network cannot be split over processes "
            f"({first_line(error)}); expected what PyTorch's fully_shard takes. Leave "
            f"--fsdp out, or choose another start."
        ) from error
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            # neither gloo nor NCCL with one process knows the other kinds of sums
            part.set_force_sum_reduction_for_comms(True)


@torch.no_grad()
def _part_from_whole(whole: nn.Module, module: nn.Module, *, is_kept: bool) -> None:
    """Let go of the whole weights on the device; keep them in the machine's memory, or not."""
    shared = {id(p) for p in whole.parameters()}
    own: dict[int, nn.Parameter] = {}
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if id(parameter) in shared:  # not split: each of the two networks needs its own
            owner, _, last = name.rpartition(".")
            clone = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            own.setdefault(id(parameter), clone)  # tied ones stay tied
            setattr(module.get_submodule(owner), last, own[id(parameter)])
    if is_kept:
        whole.to("cpu")
        return
    for parameter in whole.parameters():
        parameter.data = parameter.data.new_empty(0)


def _copy(whole: nn.Module) -> nn.Module:
    """Return a copy that shares the parameters, laid out as they can be split."""
    whole.to(memory_format=torch.contiguous_format)
    return deepcopy(whole, {id(p): p for p in whole.parameters()})
