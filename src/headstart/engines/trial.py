"""Choose what computes a pass, by measuring it on this machine; remember what was measured.

A pass that PyTorch would end within a few seconds is left to it: measuring would cost what there
is to gain. Else each engine and number format is timed on a few real samples, the most promising
first, while the rule's time for trials lasts. An engine is compiled for its trial only where the
pass would take ten times as long as compiling does; that counts as part of the pass and not of the
trials. What was measured is remembered for the machine, per network, size and threads, and is not
measured again. What is chosen has to give what PyTorch gives (``equality``), with the weights at
hand, every time; else the next is taken and the reason told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.engines.choice import PLAIN, Choice, Outputs, Pass, RefusedError, listed
from headstart.engines.equality import MOST_CHECKED, Readout, difference
from headstart.engines.rule import ChosenPass, PassRule
from headstart.engines.table import ENGINES, compile_pass
from headstart.events import note_once
from headstart.storage.measured import recall, remember
from headstart.tensors import evaluating

LEAST_SAMPLES = 64  # of a pass that may be worth a trial
SHORT_SECONDS = 5.0  # a pass of PyTorch that takes less stays as it is
_COMPILE_SECONDS = 1.5  # what an engine is expected to compile for, before it was measured
_COMPILE_SHARE = 0.1  # of a pass that compiling may take
_WORTH = 0.9  # of PyTorch's time, compiling included: what saves less than a tenth is noise
_MOST_TIMED, _LEAST_TIMED = 32, 2  # samples of a trial
_REPEATS = 3
_LEAST_SECONDS = 1e-6  # that a clock of processors tells apart
_LEAST_CHECKED, _CHECK_SHARE = 16, 0.02  # samples, and the share of a pass of PyTorch


@dataclass
class PassJob:
    """One pass, and what is needed to choose what computes it.

    Attributes:
        network: Gives what the pass gives, in eval mode; whole on the CPU.
        plain: What computes it where nothing is chosen.
        samples: Real samples of middle length, as many as asked for or all, as tensors.
        longest: Likewise, the longest.
        batch: The first batch of the pass, as it will be given.
        targets: What the samples of the batch are told to be; None where nobody knows.
        readout: Features to outputs of a head that has learned; None where it has not.
        num_samples: Of the pass, or of all passes that will be computed alike.
        about: What the network is and what goes in, JSON-able: names what was measured.
        called: The network for people.
        is_fixed: Whether the weights stay as they are while it is computed.
        keep: Gives what was compiled of the network with these weights, to look in and add to.
    """

    network: nn.Module
    plain: Pass
    samples: Callable[[int], tuple[Tensor, ...]]
    longest: Callable[[int], tuple[Tensor, ...]]
    batch: Callable[[], tuple[Tensor, ...]]
    targets: np.ndarray | None
    readout: Readout | None
    num_samples: int
    about: Mapping[str, object]
    called: str
    is_fixed: bool = True
    keep: Callable[[], dict[Choice, Pass]] = dict

    @cached_property
    def compiled(self) -> dict[Choice, Pass]:
        """What was compiled before, and what will be."""
        return self.keep()

    def run(self, choice: Choice) -> Pass:
        """Return the pass of a choice, compiled where it has not been.

        Raises:
            RefusedError: If the engine does not take the network.
        """
        if choice == PLAIN:
            return self.plain
        if choice not in self.compiled:
            self.compiled[choice] = compile_pass(self.network, self.longest(2), choice)
        return self.compiled[choice]

    def guarded(self, choice: Choice) -> Pass:
        """Return the pass of a choice for use: what it fails on PyTorch computes, and that is said.

        Raises:
            RefusedError: If the engine does not take the network.
        """
        run = self.run(choice)

        def compute(*inputs: Tensor) -> Outputs:
            try:
                return run(*inputs)
            except RefusedError as error:
                _tell(self, choice, str(error))
                return self.plain(*inputs)

        return compute


def choose_pass(job: PassJob, rule: PassRule) -> ChosenPass:
    """Choose what computes a pass, and check it.

    Args:
        job: The pass.
        rule: What was asked for; its time for trials is used up.
    """
    if rule.is_plain or job.num_samples < _LEAST_TIMED:
        return ChosenPass(PLAIN)
    if rule.engine not in ("auto", "torch"):
        return _asked(job, rule)
    if job.num_samples < LEAST_SAMPLES:
        return ChosenPass(PLAIN)
    with evaluating(job.network):
        left, began = rule.trial_seconds, time.process_time()
        plain = _seconds_a_sample(job, PLAIN, rule, job.samples(_LEAST_TIMED))
        if plain is None or plain * job.num_samples < SHORT_SECONDS:
            return ChosenPass(PLAIN)
        # the clock's time is what is spent, and there is more of it where others use the machine
        worked = max(time.process_time() - began, _LEAST_SECONDS)
        size = _timed_samples(plain * max(1.0, (left - rule.trial_seconds) / worked), rule)
        given = job.samples(size)
        timed = _Timed(job, rule, given, plain)
        timed.measure(PLAIN)
        for engine in _engines(job, rule):
            for choice in engine.choices(rule.precision, is_fixed=job.is_fixed):
                if choice != PLAIN:
                    timed.measure(choice)
        return timed.best()


def _engines(job: PassJob, rule: PassRule) -> list[Any]:
    """Return the engines that are installed and allowed, the most promising first."""
    return [
        engine
        for engine in ENGINES.values()
        if rule.engine in ("auto", engine.name)
        and not engine.missing
        and (job.is_fixed or not engine.is_compiled)
    ]


def _asked(job: PassJob, rule: PassRule) -> ChosenPass:
    """Return the engine that was asked for, in the quickest number format that is equal enough."""
    engine = ENGINES[rule.engine]
    if engine.is_compiled and not job.is_fixed:
        return ChosenPass(PLAIN)
    with evaluating(job.network):
        for choice in engine.choices(rule.precision):
            try:
                reason = _differs(job, choice, None)
            except RefusedError as error:
                reason = str(error)
            if not reason:
                return ChosenPass(choice, "asked for")
            _tell(job, choice, reason)
    return ChosenPass(PLAIN)


class _Timed:
    """What has been measured of the choices for a pass."""

    def __init__(
        self, job: PassJob, rule: PassRule, given: tuple[Tensor, ...], plain: float
    ) -> None:
        self.job, self.rule, self.given, self.plain = job, rule, given, plain
        self.rates: dict[Choice, float] = {}
        self.compiling: dict[Choice, float] = {}

    def measure(self, choice: Choice) -> None:
        """Measure a choice, where it is not known and there is time, and it could be worth it."""
        job, rule = self.job, self.rule
        question = _question(job, choice)
        known = recall(question)
        if known is not None:
            if "refused" in known:
                _tell(job, choice, str(known["refused"]))
                return
            self._take(choice, known)
            return
        is_compiled = ENGINES[choice.engine].is_compiled
        whole = self.plain * job.num_samples
        if is_compiled and whole * _COMPILE_SHARE < _COMPILE_SECONDS:
            return
        # it warms up once; no choice is expected to be slower than what it shall replace
        if choice != PLAIN and rule.trial_seconds < self.plain * len(self.given[0]) * _REPEATS:
            return
        began = time.perf_counter()
        try:
            run = job.run(choice)
            compiling = time.perf_counter() - began if is_compiled else 0.0
            _spend(run, job.samples(_LEAST_TIMED), rule)
            seconds = _best(run, self.given, rule)
        except RefusedError as error:
            remember(question, {"refused": str(error)}, about=_about(job, choice))
            _tell(job, choice, str(error))
            return
        found: dict[str, object] = {"seconds_per_sample": seconds, "compile_seconds": compiling}
        remember(question, found, about=_about(job, choice))
        self._take(choice, found)

    def _take(self, choice: Choice, found: Mapping[str, Any]) -> None:
        self.rates[choice] = float(found["seconds_per_sample"])
        self.compiling[choice] = float(found["compile_seconds"])

    def _total(self, choice: Choice) -> float:
        return self.compiling[choice] + self.rates[choice] * self.job.num_samples

    def best(self) -> ChosenPass:
        """Return the quickest choice that is worth it and gives what PyTorch gives."""
        today = self._total(PLAIN)
        for choice in sorted(self.rates, key=self._total):
            if choice == PLAIN or self._total(choice) > _WORTH * today:
                break
            try:
                reason = _differs(self.job, choice, self.rates[PLAIN])
            except RefusedError as error:
                reason = str(error)
            if reason:
                _tell(self.job, choice, reason)
                continue
            ms, before = 1000 * self.rates[choice], 1000 * self.rates[PLAIN]
            why = f"{ms:.3g} ms a sample of {self.job.called}, {before:.3g} by {PLAIN.said}"
            return ChosenPass(choice, why)
        return ChosenPass(PLAIN)


def _timed_samples(plain: float, rule: PassRule) -> int:
    """Return how many samples a trial is made of, so that a few choices fit its time."""
    fits = rule.trial_seconds / (6 * _REPEATS * plain)
    size = _LEAST_TIMED
    while size * 2 <= min(fits, _MOST_TIMED):
        size *= 2
    return size


def _seconds_a_sample(
    job: PassJob, choice: Choice, rule: PassRule, given: tuple[Tensor, ...]
) -> float | None:
    """Return what a choice takes a sample: as remembered, or by a pass of very few samples."""
    known = recall(_question(job, choice))
    if known is not None and "seconds_per_sample" in known:
        return float(str(known["seconds_per_sample"]))
    run = job.run(choice)
    _spend(run, given, rule)
    return _best(run, given, rule)


def _best(run: Pass, given: Sequence[Tensor], rule: PassRule) -> float:
    """Return the least seconds a sample of a few runs."""
    return min(_spend(run, given, rule) for _ in range(_REPEATS)) / len(given[0])


def _spend(run: Pass, given: Sequence[Tensor], rule: PassRule) -> float:
    """Return what a run takes, in seconds; the clock's are taken from the rule's time.

    On a machine that others use, too, the clock tells how busy they were: there the processor's
    time is the smaller, and what counts.
    """
    began, worked = time.perf_counter(), time.process_time()
    run(*given)
    took, work = time.perf_counter() - began, time.process_time() - worked
    rule.trial_seconds -= took
    return min(took, max(work, _LEAST_SECONDS))


def _differs(job: PassJob, choice: Choice, plain: float | None) -> str:
    """Return in what a choice differs from PyTorch at batches of 1, 3 and the one used, in words.

    Where samples differ in length, at another length, too: a trace may have made it a constant.

    Args:
        job: The pass.
        choice: Compiled where it is not.
        plain: Seconds a sample of PyTorch; bounds how many samples are checked; None for few.
    """
    run, batch = job.run(choice), job.batch()
    most = len(batch[0])
    num = _LEAST_CHECKED
    if plain is not None:
        num = max(num, int(_CHECK_SHARE * job.num_samples))
    num = min(num, most, MOST_CHECKED)
    rows = tuple(tensor[:num] for tensor in batch)
    expected = listed(job.network(*rows))
    found = listed(run(*batch))
    targets = None if job.targets is None else job.targets[:num]
    reason = difference(
        expected,
        tuple(tensor[:num] for tensor in found),
        precision=choice.precision,
        targets=targets,
        readout=job.readout,
    )
    for few in (1, 3):
        if not reason and few < most:
            some = listed(run(*(tensor[:few] for tensor in batch)))
            wanted = tuple(tensor[:few] for tensor in expected)
            said = difference(wanted, some, precision=choice.precision)
            reason = f"at a batch of {few} {said}" if said else ""
    if not reason and all(map(_is_ragged, batch)) and batch[0].shape[1] > 1:
        shorter = tuple(tensor[:3, :-1].contiguous() for tensor in batch)
        wanted, some = listed(job.network(*shorter)), listed(run(*shorter))
        said = difference(wanted, some, precision=choice.precision)
        reason = f"at another length {said}" if said else ""
    return reason


def _is_ragged(tensor: Tensor) -> bool:
    """Return whether an input may have another length in another batch."""
    return tensor.ndim == 2 and not tensor.is_floating_point()


def _question(job: PassJob, choice: Choice) -> dict[str, object]:
    """Return what a measurement depends on, beside the machine."""
    return {
        "pass": dict(job.about),
        "choice": choice.to_json(),
        "threads": torch.get_num_threads(),
        "versions": ENGINES[choice.engine].versions,
    }


def _about(job: PassJob, choice: Choice) -> str:
    return f"a pass of {job.called} by {choice.said}"


def _tell(job: PassJob, choice: Choice, reason: str) -> None:
    """Say why a choice is not used, where there is something to say."""
    if reason:
        note_once(f"{job.called} is not computed by {choice.said}: {reason}.")


def outputs_as(outputs: Outputs, dtypes: Sequence[torch.dtype]) -> tuple[Tensor, ...]:
    """Return what a pass gives in the types that whoever keeps it expects."""
    return tuple(t.to(dtype) for t, dtype in zip(listed(outputs), dtypes, strict=True))
