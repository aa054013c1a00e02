"""Gradients that are all-reduced over processes while the backward pass is still at work.

As ``DistributedDataParallel`` does it (Li et al., VLDB 2020, section 3.2): gradients lie in flat
buckets, in the order in which a backward pass is likely to finish them, and a bucket travels when
it is full. The wrapper itself is left out for what it cannot do: a process that runs out of memory
in the middle tries again in smaller pieces. Buckets that have travelled by then held whole
gradients and stay as they are; the second try fills the others, for which the other processes have
waited. Which buckets there are, and that they travel in their order, is the same in every process
whatever befalls one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headstart.training.processes.buckets import buckets

if TYPE_CHECKING:
    from headstart.training.processes.company import Several

_FIRST_BYTES = 1 << 20  # DistributedDataParallel's: small, so that something travels early


class GradientReducer:
    """All-reduces the gradients of all processes, step by step.

    Args:
        company: The processes.
        module: What learns; the same in every process.
        optimizer: Over its parameters; what has no state in it has got no gradient so far.
    """

    def __init__(
        self, company: Several, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._company, self._optimizer = company, optimizer
        held = {p for group in optimizer.param_groups for p in group["params"]}
        # a backward pass ends where the forward pass began
        self._parameters = [p for p in reversed(list(module.parameters())) if p in held]
        self._roles: list[tuple[bool, bool]] = []
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[Tensor, _Bucket] = {}
        self._hooks: list[RemovableHandle] = []
        self._num_sent = 0
        self._is_last = False

    def expect(self, *, is_last: bool) -> None:
        """Before a backward pass: if it is the last of a step, send each bucket once it is full.

        A step may be tried again from its first pass; what has been sent by then is not sent again.

        Args:
            is_last: Whether gradients are whole after this pass.
        """
        self._is_last = is_last
        if is_last:
            self._arrange()
            for bucket in self._buckets:
                bucket.num_missing = len(bucket.parameters)

    @torch.no_grad()
    def finish(self, loss: Tensor) -> None:
        """Add up what has not travelled yet, and the loss; all gradients are sums afterwards.

        Each process has weighed its own by its share of the samples, so the sums are means. Where
        a parameter has no gradient it has none in any process; the next ``agree`` makes sure.

        Args:
            loss: Shape ().

        Raises:
            ProcessLost: If a process has left.
        """
        self._is_last = False
        # what is filled only here finds room: the activations of the pass are gone
        while self._num_sent < len(self._buckets):
            self._send_next()
        told = self._company.begin_all_reduce(loss)
        for bucket in self._buckets:
            bucket.finish(self._company)
        self._num_sent = 0
        self._company.finish_all_reduce(told)
        self._company.note_gradients(self._parameters)

    def close(self) -> None:
        """No longer listen to backward passes."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _took(self, parameter: Tensor) -> None:
        """Send what is full now; called within a backward pass, when a gradient is added up."""
        if not self._is_last:
            return
        self._bucket_of[parameter].num_missing -= 1
        # in their order, which is that of all processes
        while self._num_sent < len(self._buckets) and self._buckets[self._num_sent].is_full:
            self._send_next()

    @torch.no_grad()
    def _send_next(self) -> None:
        self._buckets[self._num_sent].send(self._company)
        self._num_sent += 1

    def _arrange(self) -> None:
        """Make the buckets, where what learns or what gets gradients is not what it was.

        What has never got one must not be waited for; it travels at the end. Sums of more than two
        depend on the place in a bucket, so the places follow from what a checkpoint holds: a
        process that begins anew arranges them as it would have had it gone on.
        """
        state = self._optimizer.state
        roles = [(p.requires_grad, p in state or not state) for p in self._parameters]
        if roles == self._roles:
            return
        self._roles = roles
        both = list(zip(self._parameters, roles, strict=True))
        self._buckets = [
            _Bucket(some, is_waited=is_waited)
            for is_waited in (True, False)
            for some in buckets((p for p, role in both if role == (True, is_waited)), _FIRST_BYTES)
        ]
        self._bucket_of = {p: bucket for bucket in self._buckets for p in bucket.parameters}
        self.close()
        for parameter in self._bucket_of:
            hook = parameter.register_post_accumulate_grad_hook(self._took)  # type: ignore[no-untyped-call]
            self._hooks.append(hook)


class _Bucket:
    """Some parameters whose gradients travel in one piece.

    Args:
        parameters: Of one type and device.
        is_waited: Whether it may travel before the backward pass has ended, once it is full.
    """

    def __init__(self, parameters: list[Tensor], *, is_waited: bool) -> None:
        self.parameters, self.is_waited = parameters, is_waited
        self.num_missing = len(parameters)
        # laid out as the parameter itself: fused optimizers walk both in the order of memory
        self._strides = [torch.empty_like(p, device="meta").stride() for p in parameters]
        self._sums: list[tuple[Tensor, Tensor]] = []
        self._work: dist.Work | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing is missing of what is waited for."""
        return self.is_waited and not self.num_missing

    def send(self, company: Several) -> None:
        """Put the gradients together, where they stay from now on, and begin to add them up."""
        first = self.parameters[0]
        size = sum(p.numel() for p in self.parameters)
        flat, offset = torch.empty(size, dtype=first.dtype, device=first.device), 0
        gradients = []
        for parameter, stride in zip(self.parameters, self._strides, strict=True):
            place = flat.as_strided(parameter.shape, stride, offset)
            offset += parameter.numel()
            if parameter.grad is None:
                place.zero_()
            else:
                gradients.append(parameter.grad)
                self._sums.append((parameter, place))
        if gradients:
            torch._foreach_copy_([place for _, place in self._sums], gradients)
        for parameter, place in self._sums:
            parameter.grad = place
        self._work = company.begin_all_reduce(flat)

    def finish(self, company: Several) -> None:
        """Wait for the sums; they are the gradients, whatever another backward pass has left."""
        assert self._work is not None
        company.finish_all_reduce(self._work)
        for parameter, place in self._sums:
            parameter.grad = place
        self._sums, self._work = [], None
