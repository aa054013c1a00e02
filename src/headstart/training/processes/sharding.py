"""A network whose weights are split over several processes, and the pieces that lie in this one.

``fully_shard`` (FSDP2) gives each process a part of every weight, of its gradient and of its
optimizer state; a block of layers is put together just before it runs, and its gradients are added
up over the processes while the backward pass goes on. The network that is split is a copy: the
whole one stays as it was, without weights in all processes but the leading one, which keeps them in
the memory of the machine and gets the learned ones when the training is over.

The optimizer, the average and the checkpoints work on plain tensors, the pieces themselves: what
they do is element by element, and so needs to know nothing of what lies elsewhere. Sums are wanted
of gradients, not means: each process weighs its loss by its share of the samples. Gradients travel
after every micro-batch and not once a step, since keeping them whole until then would take the
memory that splitting is there to save.

Left out on purpose: offloading to the memory of the machine, and lower precision for what travels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from headstart.errors import DeviceError, StartError, first_line
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.processes.company import Team
from headstart.training.state.average import own_piece

_STAGE_SHARE = 0.8  # of a layer's weights, in a list of layers within it: then those are the layers


@dataclass(frozen=True)
class Plan:
    """How weights are split over the processes.

    Attributes:
        is_fully: Whether by ``fully_shard``, over the processes that see different samples.
        num_tensor: Over how many processes each weight of a block is split, all of which see the
            same samples; 1 for none.
    """

    is_fully: bool
    num_tensor: int = 1


class Shards:
    """A network in pieces; all processes make it at the same time.

    Args:
        whole: The same in every process, on its device. Afterwards the leader's lies in the memory
            of the machine, and the others' has no weights any more.
        team: The processes.
        plan: How it is split.

    Attributes:
        module: The copy that is split; its names are those of the whole.
        pieces: What lies here of each parameter, by name; the optimizer updates these.

    Raises:
        StartError: If the network cannot be split.
    """

    def __init__(self, whole: nn.Module, team: Team, plan: Plan) -> None:
        self.whole, self.team, self.plan = whole, team, plan
        self.module = _copy(whole)
        shape = (team.num // plan.num_tensor, plan.num_tensor)
        kind, names = team.device.type, ("data", "tensor")
        self.mesh = init_device_mesh(kind, shape, mesh_dim_names=names)
        self._host_mesh = self.mesh
        if kind != "cpu":
            self._host_mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
        blocks = find_blocks(self.module)
        if plan.num_tensor > 1:
            from headstart.training.processes.tensor_parallel import parallelize

            parallelize(blocks, self.mesh["tensor"])
        if plan.is_fully:
            self._shard_fully(blocks)
        self._part_from_whole()
        self.pieces = {n: _piece(p) for n, p in self.module.named_parameters()}
        named = self.module.named_parameters()
        self._split = {n: p for n, p in named if isinstance(p, DTensor)}
        self._copies = {n: self._count_copies(p) for n, p in self.module.named_parameters()}
        self._ordered: list[str] = []

    def localize(self, groups: Sequence[dict[str, object]]) -> None:
        """Put pieces in place of split parameters into the groups of an optimizer.

        Args:
            groups: As ``parameter_groups`` gives them for ``module``.
        """
        names = {id(p): n for n, p in self.module.named_parameters()}
        for group in groups:
            parameters = group["params"]
            assert isinstance(parameters, list)
            found = [names[id(p)] for p in parameters]
            self._ordered += found
            group["params"] = [self.pieces[name] for name in found]

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Say in a sentence what goes wrong where the processes meet within a pass.

        Raises:
            DeviceError: If memory runs out: the others are in the middle of the same pass, so that
                this process cannot try again alone.
            ProcessLost: If another process has left.
        """
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise DeviceError(
                    f"Out of memory ({first_line(error)}); expected room for one "
                    f"micro-batch in each of the {self.team.num} processes, whose weights are "
                    f"split so that none can try again alone. Start anew with a smaller "
                    f"--micro-batch-size, or go on with --resume and more processes."
                ) from error
            if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
                raise
            with self.team.noticing_loss():
                raise

    @torch.no_grad()
    def add_up(self, loss: Tensor) -> None:
        """Hand the gradients to the pieces, added up over all processes; and add up the loss.

        Args:
            loss: Of this process's share, shape (); afterwards of the whole step.
        """
        with self.in_step():
            for name, parameter in self._split.items():
                self.pieces[name].grad = _piece_of_gradient(parameter)
                parameter.grad = None
        pieces = list(self.pieces.values())
        self.team.note_gradients(pieces)
        if not self.plan.is_fully and self.mesh["data"].size() > 1:
            gradients = [piece.grad for piece in pieces if piece.grad is not None]
            self.team.add_up(gradients, self.mesh.get_group("data"))
        if self.mesh.get_local_rank("tensor") > 0:
            loss.zero_()  # that of the same samples as another process's
        self.team.add_up([loss])

    @torch.no_grad()
    def clip(self, most: float) -> Tensor:
        """Scale the gradients so that their norm over all processes is at most so large.

        Args:
            most: Largest norm allowed; 0 allows any.

        Returns:
            The norm as it was, shape (), the same in every process.
        """
        total = torch.zeros((), device=self.team.device)
        gradients = []
        for name, piece in self.pieces.items():
            if piece.grad is not None:
                gradients.append(piece.grad)
                square = torch.linalg.vector_norm(piece.grad, dtype=torch.float32).square()
                # what lies in several processes counts once
                total += square / self._copies[name]
        self.team.add_up([total])
        norm = total.sqrt()
        if most:
            torch._foreach_mul_(gradients, torch.clamp(most / (norm + 1e-6), max=1.0))
        return norm

    @torch.no_grad()
    def bring_home(self) -> None:
        """Give the leader's whole network what has been learned; all processes take part."""
        whole = dict(self.whole.named_parameters())
        with self.in_step():
            for name, parameter in self.module.named_parameters():
                if not parameter.requires_grad:
                    continue  # as it was
                value = _gathered(parameter)
                if self.team.leads:
                    whole[name].copy_(value)
        if self.team.leads:
            own = dict(self.module.named_buffers())
            for name, buffer in self.whole.named_buffers():
                buffer.copy_(own[name])

    def split_like(self, key: str) -> DTensor | None:
        """Return the parameter like which a tensor of a checkpoint may be split; None for none.

        Args:
            key: Its name there: ``model.``, ``average.`` or ``best.`` and a parameter's name, or
                ``optimizer.``, the parameter's number in the optimizer, and a name.
        """
        part, _, name = key.partition(".")
        if part == "optimizer":
            name = self._ordered[int(name.partition(".")[0])]
        return self._split.get(name)

    def described(self, pieces: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return pieces in the memory of the machine as what they are pieces of."""
        found = {}
        for key, piece in pieces.items():
            like = self.split_like(key)
            # a number that each process has, such as the optimizer's step, is no piece
            is_piece = like is not None and own_piece(like).shape == piece.shape
            found[key] = self.on_host(piece, like) if like is not None and is_piece else piece
        return found

    def on_host(self, piece: Tensor, like: DTensor) -> DTensor:
        """Return a piece in the memory of the machine as split like a parameter."""
        mesh = like.device_mesh
        if self._host_mesh is not self.mesh:
            assert mesh.mesh_dim_names is not None
            mesh = self._host_mesh[mesh.mesh_dim_names]
        return DTensor.from_local(
            piece,
            mesh,
            like.placements,
            run_check=False,
            shape=like.shape,
            stride=like.stride(),
        )

    def _shard_fully(self, blocks: list[nn.Module]) -> None:
        """Split every weight over the processes that see different samples, block by block."""
        mesh = self.mesh["data"]
        try:
            for block in [*blocks, self.module]:
                # the root too: what stays together would not hear of weights that are exchanged
                fully_shard(block, mesh=mesh, reshard_after_forward=True)
        except (ValueError, NotImplementedError) as error:
            raise StartError(
                f"The weights of this network cannot be split over processes "
                f"({first_line(error)}); expected what PyTorch's fully_shard takes. Leave "
                f"--fsdp out, or choose another start."
            ) from error
        for module in self.module.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                # neither gloo nor NCCL with one process knows the other kinds of sums
                module.set_force_sum_reduction_for_comms(True)

    @torch.no_grad()
    def _part_from_whole(self) -> None:
        """Let go of the whole weights on the device."""
        shared = {id(p) for p in self.whole.parameters()}
        own: dict[int, nn.Parameter] = {}
        for name, parameter in list(self.module.named_parameters(remove_duplicate=False)):
            if id(parameter) in shared:  # not split: each of the two networks needs its own
                owner, _, last = name.rpartition(".")
                clone = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                own.setdefault(id(parameter), clone)  # tied ones stay tied
                setattr(self.module.get_submodule(owner), last, own[id(parameter)])
        if self.team.leads:
            self.whole.to("cpu")
            return
        for parameter in self.whole.parameters():
            parameter.data = parameter.data.new_empty(0)

    def _count_copies(self, parameter: Tensor) -> int:
        """Return how many processes hold the same piece of a parameter."""
        num = self.team.num
        if isinstance(parameter, DTensor):
            for dim, placement in enumerate(parameter.placements):
                num //= 1 if placement.is_replicate() else parameter.device_mesh.size(dim)
        return num


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """Return the blocks of layers of a network, in order: what is put together at one time.

    They are the elements of its lists of layers. Where nearly all of an element is again a list, as
    in a network of stages, that one's elements count. A single layer is no block.
    """
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1:
            for element in child:
                found += _blocks_within(element)
        else:
            found += find_blocks(child)
    return found


def _blocks_within(element: nn.Module) -> list[nn.Module]:
    """Return an element of a list of layers, or the blocks that it consists of."""
    inner = find_blocks(element)
    if len(inner) > 1 and sum(map(_size, inner)) > _STAGE_SHARE * _size(element):
        return inner
    return [element] if _size(element) and any(True for _ in element.children()) else []


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _copy(whole: nn.Module) -> nn.Module:
    """Return a copy that shares the parameters, laid out as they can be split."""
    whole.to(memory_format=torch.contiguous_format)
    return deepcopy(whole, {id(p): p for p in whole.parameters()})


def _gathered(parameter: Tensor) -> Tensor:
    """Return a parameter as a whole; all processes take part."""
    if not isinstance(parameter, DTensor):
        return parameter
    log = logging.getLogger("torch.distributed.tensor._redistribute")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns that two ways of splitting are undone one by one
    try:
        return parameter.full_tensor()
    finally:
        log.setLevel(level)


def _piece_of_gradient(parameter: DTensor) -> Tensor | None:
    """Return what lies here of a gradient, split like its parameter."""
    gradient = parameter.grad
    if gradient is None:
        return None
    assert isinstance(gradient, DTensor)
    if gradient.placements != parameter.placements:
        gradient = gradient.redistribute(placements=parameter.placements)
    return gradient.to_local()


def _piece(parameter: nn.Parameter) -> nn.Parameter:
    """Return what lies here of a parameter, in the same memory."""
    if not isinstance(parameter, DTensor):
        return parameter
    return nn.Parameter(own_piece(parameter), parameter.requires_grad)
