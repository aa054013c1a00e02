"""Fine-tune one model, and compare what came of it with another."""

from __future__ import annotations

from dataclasses import replace

from headstart.events import emit
from headstart.model import Model, run_batches
from headstart.tasks import called
from headstart.training.contract import Check
from headstart.tuning.arm import Arm, Tuned, judge
from headstart.tuning.conditions import Conditions
from headstart.tuning.setup import TrainingSetup
from headstart.types import Inputs


def tune(
    setup: TrainingSetup, train: Inputs, val: Inputs, conditions: Conditions | None = None
) -> Tuned:
    """Fine-tune a model by its recipe, from beginning to end; it is left with the best weights.

    Args:
        setup: The model and its recipe.
        train: Learned from.
        val: Chosen by.
        conditions: Clock, state folder, processes, decisions; None is none of them.

    Raises:
        StopRequested: If someone asked to stop before the loop had begun.
        DeviceError: If learning takes more memory than there is, on a CPU.
        DivergenceError: If the loss is not finite at three steps in a row.
    """
    arm = Arm(setup, train, val, conditions or Conditions())
    arm.start()
    arm.advance()
    return arm.finish()


def better(
    setup: TrainingSetup, tuned: Tuned, rival: TrainingSetup, val_inputs: Inputs
) -> tuple[TrainingSetup, Tuned]:
    """Return the better of a fine-tuned model and a rival, by their score on the same samples.

    Args:
        setup: The fine-tuned model.
        tuned: How its fine-tuning went.
        rival: What screening left of the same start; it wins only where it is strictly better.
        val_inputs: Prepared for both.
    """
    logits = run_batches(rival.model, val_inputs, rival.model)
    own, other = (judge(setup.model, x, val_inputs) for x in (tuned.val_logits, logits))
    if other.score <= own.score:
        return setup, tuned
    why = f"val {called(own.metric)} {other.score:.4f}, after the fine-tuning in the time left "
    emit("choice", name="model", value="as screening left it", why=f"{why}{own.score:.4f}")
    return rival, replace(tuned, fitted=None, val_logits=logits)


def check(model: Model, val_inputs: Inputs) -> Check:
    """Return score and loss on the validation split."""
    return judge(model, run_batches(model, val_inputs, model), val_inputs)
