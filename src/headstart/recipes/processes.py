"""Several processes, one run: who leads does all that a process alone does, the others follow.

``together`` joins what a launcher such as torchrun has started, and tells the followers how it
ended. A follower says nothing, writes nothing, and leaves with the leader's exit code. After a
restart by the launcher the run goes on by itself. A process alone passes through here and imports
nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from headstart.errors import HeadstartError, OptionError, ProcessLost
from headstart.events import emit, seconds_since_command_began
from headstart.recipes.plan import is_same_run
from headstart.recipes.run import Run
from headstart.reporting.console import attached
from headstart.storage.run_folder import finished_run, is_claimed_only, planned_options
from headstart.types import Dataset, ImageSpec

if TYPE_CHECKING:
    from torch import nn

    from headstart.training.processes.company import Team
    from headstart.tuning.worker import Follower
    from headstart.types import Start

    Find = Callable[[], tuple[Start | None, nn.Module | None]]


def is_follower() -> bool:
    """Return whether a launcher has started this process as one of several, and not as the first.

    Such a process shows nothing: the first one does.
    """
    return _variable("WORLD_SIZE", 1) > 1 and _variable("RANK", 0) > 0


def _variable(name: str, default: int) -> int:
    said = os.environ.get(name, "")
    return int(said) if said.isdigit() else default


@contextmanager
def together(device: str) -> Iterator[Team | None]:
    """Join the other processes inside the block; None where this process is alone.

    Args:
        device: The user's word for the device.

    Raises:
        OptionError: If the launcher's variables make no sense.
        DeviceError: If there is no device for this process, or the others do not come.
    """
    if _variable("WORLD_SIZE", 1) < 2:
        yield None
        return
    from headstart.training.processes.launch import join

    team = join(device)
    is_broken = False
    try:
        yield team
    except HeadstartError as error:
        is_broken = isinstance(error, ProcessLost)
        if team.leads:
            _dismiss(team, error.exit_code)
        else:
            error.args = (f"Process {team.rank} of {team.num}: {error}", *error.args[1:])
        raise
    except BaseException:
        if team.leads:
            _dismiss(team, 1)
        raise
    finally:
        team.leave(is_broken=is_broken)


def _dismiss(team: Team, code: int) -> None:
    """Tell the followers that it is over, if the store that carries words is still there."""
    with suppress(RuntimeError):
        team.say("ended", code=code)


def after_restart(
    out: str | Path | None, options: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> tuple[bool, bool]:
    """Return what ``resume`` and ``overwrite`` mean in a life that a launcher has started again.

    What the life before has left unfinished is gone on with, and what it had claimed without
    writing a plan is replaced. In the first life both are what the user said; and a ``--resume``
    holds in every life, where the plan is compared as ever.

    Args:
        out: The run folder; None for one that does not exist yet.
        options: As the plan keeps them; a folder with another plan is none of ours.
        resume: What the user said.
        overwrite: What the user said.
    """
    if _variable("TORCHELASTIC_RESTART_COUNT", 0) == 0 or out is None:
        return resume, overwrite
    path = Path(out)
    if resume or is_same_run(planned_options(path), options):
        return True, False
    return False, overwrite or is_claimed_only(path)


def launch_name() -> str | None:
    """Return what names this launch in every life of it; None where no launcher restarts it.

    The launcher's own name for it (``--rdzv-id``), or, where nobody gave it one, the launcher
    itself: the process on this machine that has started this one.
    """
    if "TORCHELASTIC_RESTART_COUNT" not in os.environ:
        return None
    said = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"{socket.gethostname()}/{os.getppid()}" if said == "none" else said


def finished_before(
    out: str | Path | None, verb: str, options: Mapping[str, Any], team: Team | None
) -> Path | None:
    """Return the run folder where an earlier life of this launch has finished this very run.

    A process that dies when the folder is complete already makes a launcher start all again: then
    nothing is left to do, which is said to whoever reads it, and to the followers.

    Args:
        out: The run folder; None for one that does not exist yet.
        verb: The verb that would write it.
        options: As its plan would keep them.
        team: The processes; None where one is alone.
    """
    if _variable("TORCHELASTIC_RESTART_COUNT", 0) == 0 or out is None:
        return None
    path = Path(out)
    found = finished_run(path) or {}
    wanted = {"verb": verb, "options": dict(options), "launch": launch_name()}
    if any(found.get(name) != value for name, value in wanted.items()):
        return None
    with attached():
        emit("note", text=f"{path} was finished before this restart; nothing is left to do.")
    if team:
        team.say("done", path=str(path))
    return path


def check_together(team: Team | None, options: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse to split weights over processes that are not there, and what several cannot do.

    A process alone may resume what several began: how a run lies on devices is not part of its
    plan.

    Args:
        team: The processes; None where one is alone.
        options: Those of ``finetune``, by name.
        resume: What the user said.

    Raises:
        OptionError: If weights are to be split and there are too few processes, or a number of
            processes that cannot be divided; or several are to try a grid of learning rates.
    """
    if team and options["learning_rate"] == "grid":
        raise OptionError(
            f"learning_rate is 'grid' and {team.num} processes train together; expected a number, "
            f"because a grid is tried by one process alone. Give --learning-rate a number, or "
            f"start one process."
        )
    size, num = options["tensor_parallel_size"], team.num if team else 1
    if team is None and not resume and (options["fsdp"] or size > 1):
        which = "fsdp is on" if options["fsdp"] else f"tensor_parallel_size is {size}"
        raise OptionError(
            f"{which} and this process is alone; expected several to split the weights over. "
            f"Start them with torchrun, as docs/distributed.md shows, or leave the option out."
        )
    if team and num % size:
        raise OptionError(
            f"tensor_parallel_size is {size} and {num} processes train together; expected a "
            f"divisor of {num}. Change either."
        )
    if team and options["fsdp"] and num == size:
        raise OptionError(
            f"fsdp is on and tensor_parallel_size is {size}, all of the processes; expected fewer, "
            f"so that something is left to split over. Leave one of the two out."
        )


def follow(
    team: Team,
    load: Callable[[], Dataset],
    find: Find = lambda: (None, None),
    spec: ImageSpec | None = None,
) -> Run:
    """Do what the leader says until it says that the run is done.

    Args:
        team: The processes.
        load: Loads the data; called when the leader has loaded them.
        find: Gives the user's own start and module; a start that is None the leader has chosen.
        spec: The preprocessing of the module.

    Returns:
        The finished run, where a program called; a command ends the process.

    Raises:
        SystemExit: Where the leader ended with an error, which it has told; or a command is done.
        ProcessLost: If another process has left without a word.
    """
    from headstart.tuning.stop import leaving_at_once

    try:
        with leaving_at_once():
            word = _obey(team, load, find, spec)
    except ProcessLost:
        last = team.last_word()
        if last is None:
            raise
        word = last
    except KeyboardInterrupt as error:
        raise SystemExit(128 + (error.args[0] if error.args else 2)) from error
    if word["kind"] == "ended":
        raise SystemExit(word["code"])
    if seconds_since_command_began() is not None:
        raise SystemExit(0)
    return Run(str(word["path"]), find()[1])


def _obey(
    team: Team, load: Callable[[], Dataset], find: Find, spec: ImageSpec | None
) -> dict[str, Any]:
    """Do what each word says; return the last one."""
    from headstart.tuning.stop import graceful_stop
    from headstart.tuning.worker import Follower

    follower: Follower | None = None
    while True:
        word: dict[str, Any] = team.hear() or {}
        if word["kind"] in ("done", "ended"):
            return word
        if word["kind"] == "data":
            dataset = load()
            if dataset.fingerprint != word["fingerprint"]:
                _refuse(dataset.name)
            follower = Follower(team, dataset, find, spec)
            continue
        assert follower is not None
        if word["kind"] == "bench":
            follower.build(word)
        elif word["kind"] == "train":
            follower.prepare(word)
        elif word["kind"] == "loop":
            with graceful_stop() as stop:
                team.own_stop = lambda: stop.signal_number or 0
                follower.learn(word)


def _refuse(name: str) -> NoReturn:
    raise HeadstartError(
        f"{name} reads differently here than in the leading process; expected the same data "
        f"everywhere. Put the same files on every machine."
    )
