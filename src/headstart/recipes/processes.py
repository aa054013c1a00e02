"""Several processes, one run: the main one does all that a process alone does, the others help.

``company_of`` joins what a launcher such as torchrun has started. A worker says nothing, writes
nothing, and leaves with the main process's exit code. After a restart by the launcher the run goes
on by itself. A process alone passes through here and imports nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from headstart.cores import too_few_addresses
from headstart.errors import DeviceError, HeadstartError, OptionError, ProcessLost
from headstart.events import emit, seconds_since_command_began
from headstart.recipes.launching import variable
from headstart.recipes.plan import is_same_run
from headstart.recipes.run import Run
from headstart.reporting.console import attached
from headstart.storage.records import finished_run, planned_options
from headstart.storage.run_folder import is_claimed_only
from headstart.types import Dataset, ImageSpec

if TYPE_CHECKING:
    from torch import nn

    from headstart.training.company import Company
    from headstart.training.options.training_options import TrainingOptions
    from headstart.training.processes.company import Several
    from headstart.types import Start

    Find = Callable[[], tuple[Start | None, nn.Module | None]]
    Obey = Callable[[Several], Mapping[str, Any]]  # to the last message

T = TypeVar("T")


def run_in_company(
    device: str,
    run: Callable[[Company], T],
    load: Callable[[], Dataset],
    find: Find = lambda: (None, None),
    spec: ImageSpec | None = None,
    obey: Obey | None = None,
) -> T | Run:
    """Run a verb in a process that is alone, or the main one of several; work for that in another.

    Args:
        device: The user's word for the device.
        run: The verb.
        load: Loads the data; a worker calls it when the main process has loaded them.
        find: Gives the user's own start and module; a start that is None the main process chooses.
        spec: The preprocessing of the module.
        obey: Does in a worker what each message says, and returns the last one; None for those of a
            fine-tuning.

    Returns:
        The finished run; in a worker where a program called, since a command ends its process.

    Raises:
        OptionError: If the launcher's variables make no sense.
        DeviceError: If there is no device for this process, or the others do not come.
        SystemExit: In a worker, where the main process has ended with an error, which it has told;
            or a command is done.
        ProcessLost: If another process has left without a word.
    """
    with company_of(device) as company:
        if company.is_main:
            return run(company)
        return _work(company, obey or partial(_obey, load=load, find=find, spec=spec), find)


def company_of(device: str) -> AbstractContextManager[Company]:
    """Return whom this process trains with inside the block: the one place that makes a company.

    Args:
        device: The user's word for the device.
    """
    if variable("WORLD_SIZE", 1) < 2:
        from headstart.training.company import Alone

        if (narrow := too_few_addresses()) is not None:
            raise DeviceError(narrow)
        return nullcontext(Alone(device))
    from headstart.training.processes.launch import joined

    return joined(device)


def after_restart(
    out: str | Path | None, options: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> tuple[bool, bool]:
    """Return what ``resume`` and ``overwrite`` mean in an attempt that a launcher has begun.

    What the attempt before has left unfinished is gone on with, and what it had claimed without
    writing a plan is replaced. In the first attempt both are what the user said; and a ``--resume``
    holds in every attempt, where the plan is compared as ever.

    Args:
        out: The run folder; None for one that does not exist yet.
        options: As the plan keeps them; a folder with another plan is none of ours.
        resume: What the user said.
        overwrite: What the user said.
    """
    if variable("TORCHELASTIC_RESTART_COUNT", 0) == 0 or out is None:
        return resume, overwrite
    path = Path(out)
    if resume or is_same_run(planned_options(path), options):
        return True, False
    return False, overwrite or is_claimed_only(path)


def launch_name() -> str | None:
    """Return what names this launch in every attempt of it; None where no launcher restarts it.

    The launcher's own name for it (``--rdzv-id``), or, where nobody gave it one, the launcher
    itself: the process on this machine that has started this one.
    """
    if "TORCHELASTIC_RESTART_COUNT" not in os.environ:
        return None
    from socket import gethostname  # which no help page needs

    said = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"{gethostname()}/{os.getppid()}" if said == "none" else said


def finished_before(
    out: str | Path | None, verb: str, options: Mapping[str, Any], company: Company
) -> Path | None:
    """Return the run folder where an earlier attempt of this launch has finished this very run.

    A process that dies when the folder is complete already makes a launcher start all again: then
    nothing is left to do, which is said to whoever reads it, and to the workers.

    Args:
        out: The run folder; None for one that does not exist yet.
        verb: The verb that would write it.
        options: As its plan would keep them.
        company: The processes.
    """
    if variable("TORCHELASTIC_RESTART_COUNT", 0) == 0 or out is None:
        return None
    path = Path(out)
    found = finished_run(path) or {}
    wanted = {"verb": verb, "options": dict(options), "launch": launch_name()}
    if any(found.get(name) != value for name, value in wanted.items()):
        return None
    with attached():
        emit("note", text=f"{path} was finished before this restart; nothing is left to do.")
    company.send("done", path=str(path))
    return path


def check_company(company: Company, options: TrainingOptions, *, resume: bool) -> None:
    """Refuse to split weights over processes that are not there, and what several cannot do.

    A process alone may resume what several began: how a run lies on devices is not part of its
    plan.

    Args:
        company: The processes.
        options: What the user said.
        resume: What the user said.

    Raises:
        OptionError: If weights are to be split and there are too few processes, or a number of
            processes that cannot be divided; or several are to search a learning rate.
    """
    num = company.size
    if num > 1 and options.learning_rate_search:
        raise OptionError(
            f"learning_rate_search is on and {num} processes train together; expected one, because "
            f"rates are tried by one process alone. Give --learning-rate a number, or start one "
            f"process."
        )
    size = options.tensor_parallel_size
    if num == 1 and not resume and (options.fsdp or size > 1):
        which = "fsdp is on" if options.fsdp else f"tensor_parallel_size is {size}"
        raise OptionError(
            f"{which} and this process is alone; expected several to split the weights over. "
            f"Start them with torchrun, as docs/distributed.md shows, or leave the option out."
        )
    if num > 1 and num % size:
        raise OptionError(
            f"tensor_parallel_size is {size} and {num} processes train together; expected a "
            f"divisor of {num}. Change either."
        )
    if num > 1 and options.fsdp and num == size:
        raise OptionError(
            f"fsdp is on and tensor_parallel_size is {size}, all of the processes; expected fewer, "
            f"so that something is left to split over. Leave one of the two out."
        )


def _work(company: Company, obey: Obey, find: Find) -> Run:
    """Do what the main process says until it says that the run is done; see ``run_in_company``."""
    from headstart.training.processes.company import Several
    from headstart.tuning.stop import leaving_at_once

    assert isinstance(company, Several)
    try:
        with leaving_at_once():
            message = obey(company)
    except ProcessLost:
        last = company.last_message()
        if last is None:
            raise
        message = last
    except KeyboardInterrupt as error:
        raise SystemExit(128 + (error.args[0] if error.args else 2)) from error
    if message["kind"] == "ended":
        raise SystemExit(message["code"])
    if seconds_since_command_began() is not None:
        raise SystemExit(0)
    return Run(str(message["path"]), find()[1])


def _obey(
    company: Several, load: Callable[[], Dataset], find: Find, spec: ImageSpec | None
) -> dict[str, Any]:
    """Do what each message says; return the last one.

    Raises:
        HeadstartError: If one says what nobody does here: the processes are at different places,
            and would learn different things.
    """
    from headstart.searching.crew import Crew, asked_anywhere, crew_of
    from headstart.tuning.messages import LoopMessage, SetupMessage
    from headstart.tuning.stop import graceful_stop
    from headstart.tuning.worker import Worker

    worker: Worker | None = None
    crew: Crew | None = None
    while True:
        message = company.receive() or {}
        if message["kind"] in ("done", "ended"):
            return message
        if message["kind"] == "data":
            dataset = load()
            if dataset.fingerprint != message["fingerprint"]:
                _refuse(dataset.name)
            worker = Worker(company, dataset, find, spec)
            continue
        if worker is None:
            raise _astray(message)
        if message["kind"] == "settled":
            worker.decisions.receive(message)
        elif message["kind"] == "setup":
            worker.build(cast(SetupMessage, message))
        elif message["kind"] == "train":
            worker.prepare()
        elif message["kind"] == "search":
            crew = crew_of(company, dataset, worker.decisions, message)
        elif message["kind"] == "arms" and crew is not None:
            with graceful_stop() as stop:
                crew.obey(message, partial(asked_anywhere, stop, company))
        elif message["kind"] == "loop":
            with graceful_stop() as stop:
                company.own_stop = lambda: stop.signal_number or 0
                worker.learn(cast(LoopMessage, message))
        else:
            raise _astray(message)


def _astray(message: Mapping[str, object]) -> HeadstartError:
    return HeadstartError(
        f"The main process says '{message['kind']}' and this one waits for what to do next; "
        f"expected the same program everywhere. Start all processes with the same command and "
        f"version."
    )


def _refuse(name: str) -> NoReturn:
    raise HeadstartError(
        f"{name} reads differently here than in the main process; expected the same data "
        f"everywhere. Put the same files on every machine."
    )
