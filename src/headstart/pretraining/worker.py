"""Pretrain in step with a main process: the same learner, and a share of every step.

Nothing of this file is imported by a process that trains alone.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from headstart.errors import HeadstartError
from headstart.pretraining.apart import apart_from_test
from headstart.pretraining.course import Laid, Length
from headstart.pretraining.objective import Givens
from headstart.pretraining.table import find_objective
from headstart.starts import find_start
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.options.recipe import Recipe
from headstart.training.processes.placement import SharedPlacement
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions
from headstart.tuning.stop import graceful_stop
from headstart.types import Data

if TYPE_CHECKING:
    from headstart.training.processes.company import Several


def obey(company: Several, data: Data, options: PretrainingOptions) -> dict[str, Any]:
    """Do what the main process says, message by message; return the last one.

    Args:
        company: The processes.
        data: As the user named it.
        options: As the user said them.

    Raises:
        HeadstartError: If the processes are at different places, or read different data.
    """
    row, decisions = find_objective(options), Decisions()
    corpus = learner = None
    while True:
        message = company.receive() or {}
        kind = message["kind"]
        if kind in ("done", "ended"):
            return message
        if kind == "settled":
            decisions.receive(message)
        elif kind == "data":
            corpus = row.read(data, options)
            if corpus.fingerprint != message["fingerprint"]:
                raise HeadstartError(
                    f"{corpus.name} reads differently here than in the main process; expected the "
                    f"same data everywhere. Put the same files on every machine."
                )
        elif kind == "build" and corpus is not None:
            start = find_start(message["start"])
            learner = row.build(
                apart_from_test(corpus, decisions),
                Givens(options, start, company.device, Budget(None), decisions),
            )
        elif kind == "loop" and learner is not None:
            learner.recipe = Recipe(**message["recipe"])
            company.broadcast_module(learner.module)
            state = message["state"]
            folder = CheckpointFolder(Path(state)) if state else None
            with graceful_stop() as stop:
                company.own_stop = lambda: stop.signal_number or 0
                laid = Laid(learner, company, Length(**message["length"]), folder)
                assert isinstance(laid.placed, SharedPlacement)
                with closing(laid.feed):
                    hooks = laid.hooks(_no_check, lambda: False)
                    laid.placed.take_part(laid.optimizer, hooks, laid.options)
                    laid.placed.finish(laid.optimizer)
        else:
            raise HeadstartError(
                f"The main process says '{kind}' and this one waits for what to do next; expected "
                f"the same program everywhere. Start all processes with the same command."
            )


def _no_check() -> NoReturn:
    raise AssertionError("a worker looks at nothing that is held out")
