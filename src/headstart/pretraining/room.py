"""Whether a step of a pretraining fits the memory of the machine, and with what micro-batch.

As ``tuning.memory`` has it for a fine-tuning: on a GPU memory that runs out is an error, and the
loop halves the micro-batch; on a CPU the kernel would kill the process, so an estimate comes first.
Activations are kept below ``ENOUGH_BYTES`` wherever that is. The parts of a step add up to the step
for every objective, so that a smaller micro-batch gives the same gradient up to rounding.
"""

from __future__ import annotations

import numpy as np
from rich.filesize import decimal
from torch import Tensor

from headstart.pretraining.objective import Learner
from headstart.training.batches.feed import Batch, Feed
from headstart.training.batches.order import WHOLE
from headstart.training.machine import memory
from headstart.training.machine.footprint import measure_forward
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.memory import ENOUGH_BYTES, learning_bytes

_USABLE = 0.8  # of the free memory


def settle_micro_batch(learner: Learner, conditions: Conditions) -> int | None:
    """Return the micro-batch that the loop begins with; None for the recipe's.

    Args:
        learner: Its weights are left as they are.
        conditions: The processes, what was settled before for as many of them, and whether the user
            named a micro-batch: then it stays.
    """
    company = conditions.company
    if company.device.type != "cpu" or conditions.is_micro_batch_said:
        return None

    def decide() -> Decided[int | None]:
        feed = learner.feed(WHOLE)
        whole = -(-min(learner.recipe.micro_batch_size, feed.order.batch_size) // company.size)
        each, fixed = _step_bytes(learner, feed)
        feed.close()
        size, free = whole, memory.free_memory_bytes()
        while size > 1 and each * size > ENOUGH_BYTES:
            size = (size + 1) // 2
        room = None if free is None else _USABLE * free / company.num_local
        while size > 1 and room is not None and fixed + each * size > room:
            size = (size + 1) // 2
        if size == whole:
            return Decided(None)
        taken = (decimal(fixed + each * num) for num in (whole, size))
        why = "a step of {} samples needs about {}, in parts {}; the batch stays whole"
        return Decided(size, why.format(whole, *taken))

    return conditions.decisions.settle("micro_batch_size", decide, given=company.size)


def _step_bytes(learner: Learner, feed: Feed) -> tuple[int, int]:
    """Return what each sample of a micro-batch takes, and what is taken whatever its size."""
    lengths = feed.lengths
    longest = 0 if lengths is None else int(np.argmax(lengths))
    held: list[Batch] = []

    def inputs(num: int) -> tuple[Tensor, ...]:
        held[:] = [feed.batch_of(np.full(num, longest))]
        return held[0].inputs

    def forward(*given: Tensor) -> Tensor:
        del given
        return learner.compute_loss(held[0])

    module = learner.module
    with learner.as_it_trains():
        found = measure_forward(module, inputs, forward)
    # a checkpoint holds the weights in place of the gradients
    return found.per_sample, found.fixed + 2 * learning_bytes(module, learner.recipe)
