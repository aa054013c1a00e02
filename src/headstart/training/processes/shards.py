"""The pieces of a split network that lie in this process, and what all do with them together.

The optimizer, the average and the checkpoints work on plain tensors, the pieces themselves: what
they do is element by element, and so needs to know nothing of what lies elsewhere. Sums are wanted
of gradients, not means: each process weighs its loss by its share of the samples. Gradients travel
after every micro-batch and not once a step, since keeping them whole until then would take the
memory that splitting is there to save.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from headstart.errors import DeviceError, first_line
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.processes.sharding import ShardingPlan, split_network
from headstart.training.state.average import own_piece

if TYPE_CHECKING:
    from headstart.training.processes.company import Several


class Shards:
    """A network in pieces; all processes make it at the same time.

    Args:
        whole: The same in every process, on its device. Afterwards the main process's lies in the
            memory of the machine, and the others' has no weights any more.
        company: The processes.
        plan: How it is split.

    Attributes:
        module: The copy that is split; its names are those of the whole.
        pieces: What lies here of each parameter, by name; the optimizer updates these.

    Raises:
        StartError: If the network cannot be split.
    """

    def __init__(self, whole: nn.Module, company: Several, plan: ShardingPlan) -> None:
        self.whole, self.company, self.plan = whole, company, plan
        found = split_network(whole, plan, company.device, company.size, is_kept=company.is_main)
        self.module, self.mesh, self._host_mesh = found.module, found.mesh, found.host_mesh
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

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits of a batch that all processes have; all run it at the same time."""
        # tensors made in inference mode could not take part in the steps that follow
        with self.in_step(), torch.inference_mode(False), torch.no_grad():
            logits: Tensor = self.module(*inputs)
            return logits

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
                    f"micro-batch in each of the {self.company.size} processes, whose weights are "
                    f"split so that none can try again alone. Start anew with a smaller "
                    f"--micro-batch-size, or go on with --resume and more processes."
                ) from error
            if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
                raise
            with self.company.noticing_loss():
                raise

    @torch.no_grad()
    def all_reduce(self, loss: Tensor) -> None:
        """Hand the gradients to the pieces, added up over all processes; and add up the loss.

        Args:
            loss: Of this process's share, shape (); afterwards of the whole step.
        """
        with self.in_step():
            for name, parameter in self._split.items():
                self.pieces[name].grad = _piece_of_gradient(parameter)
                parameter.grad = None
        pieces = list(self.pieces.values())
        self.company.note_gradients(pieces)
        if not self.plan.is_fully and self.mesh["data"].size() > 1:
            gradients = [piece.grad for piece in pieces if piece.grad is not None]
            self.company.all_reduce(gradients, self.mesh.get_group("data"))
        if self.mesh.get_local_rank("tensor") > 0:
            loss.zero_()  # that of the same samples as another process's
        self.company.all_reduce([loss])

    @torch.no_grad()
    def clip(self, most: float) -> Tensor:
        """Scale the gradients so that their norm over all processes is at most so large.

        Args:
            most: Largest norm allowed; 0 allows any.

        Returns:
            The norm as it was, shape (), the same in every process.
        """
        total = torch.zeros((), device=self.company.device)
        gradients = []
        for name, piece in self.pieces.items():
            if piece.grad is not None:
                gradients.append(piece.grad)
                square = torch.linalg.vector_norm(piece.grad, dtype=torch.float32).square()
                # what lies in several processes counts once
                total += square / self._copies[name]
        self.company.all_reduce([total])
        norm = total.sqrt()
        if most:
            torch._foreach_mul_(gradients, torch.clamp(most / (norm + 1e-6), max=1.0))
        return norm

    @torch.no_grad()
    def gather(self) -> None:
        """Give the main process's whole network what has been learned; all processes take part."""
        whole = dict(self.whole.named_parameters())
        with self.in_step():
            for name, parameter in self.module.named_parameters():
                if not parameter.requires_grad:
                    continue  # as it was
                value = _gathered(parameter)
                if self.company.is_main:
                    whole[name].copy_(value)
        if self.company.is_main:
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

    def _count_copies(self, parameter: Tensor) -> int:
        """Return how many processes hold the same piece of a parameter."""
        num = self.company.size
        if isinstance(parameter, DTensor):
            for dim, placement in enumerate(parameter.placements):
                num //= 1 if placement.is_replicate() else parameter.device_mesh.size(dim)
        return num


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
