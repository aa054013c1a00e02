"""What ``finetune`` and ``fit`` share: the folder, the plan, the log, Ctrl-C, and the last stretch.

A run's plan (verb, options, data fingerprint) is written first. ``resume`` demands the same plan:
what changed is shown as a diff and refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DeviceError, Interrupted, RunFolderError
from headstart.events import emit, listen, seconds_since_command_began
from headstart.reporting.console import attached
from headstart.runfolder import RunFolder
from headstart.types import Data, Dataset, SplitName

if TYPE_CHECKING:
    from headstart.tuning.bench import Bench
    from headstart.tuning.clock import Clock
    from headstart.tuning.tune import Tuned


SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def as_dataset(data: Data) -> Dataset:
    """Return a ``Dataset`` as it is, and load anything else with default options."""
    if isinstance(data, Dataset):
        return data
    from headstart.data import load

    return load(data)


def default_out(dataset: Dataset) -> Path:
    """Return the first of ``runs/<name>``, ``runs/<name>-2`` … that does not exist."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(dataset.name).stem).strip("-.") or "run"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


def spent_before(dataset: Dataset) -> float:
    """Return the seconds that the budget has already lost: the command's start, or the loading."""
    return seconds_since_command_began() or dataset.load_seconds


class Session:
    """One run being made: its folder and its plan.

    Attributes:
        folder: Where everything is written.
        plan: Verb, options, fingerprint, and what later stages add (the chosen start).
        choices: What was decided for the user, each with why; for ``options.json``.
    """

    def __init__(self, folder: RunFolder, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        self.choices: list[dict[str, object]] = []
        self._started = time.monotonic()
        self.spent_before_resume = float(plan.get("spent_seconds", 0.0))

    def remember(self, **fields: object) -> None:
        """Add fields to the plan and write it."""
        self.plan |= fields
        self.plan["spent_seconds"] = self.spent_before_resume + time.monotonic() - self._started
        self.folder.write_json("state/plan.json", self.plan)

    def listener(self, kind: str, fields: dict[str, object]) -> None:
        """Keep choices, log events, and keep count of the time spent."""
        if kind == "choice":
            self.choices.append(fields)
        if kind == "checkpoint":
            self.remember()
        self.folder.log(
            {"seconds": round(time.monotonic() - self._started, 3), "kind": kind, **fields}
        )


@contextmanager
def session(
    verb: str,
    dataset: Dataset,
    out: str | Path | None,
    options: dict[str, Any],
    *,
    resume: bool,
    overwrite: bool,
) -> Iterator[Session]:
    """Claim the run folder, check the plan, log every event, and turn Ctrl-C into a sentence.

    Raises:
        RunFolderError: If the folder is occupied, or the plan differs from the one to resume.
        DeviceError: If memory runs out.
        Interrupted: On Ctrl-C.
    """
    path = Path(out) if out is not None else default_out(dataset)
    with attached(), RunFolder(path, resume=resume, overwrite=overwrite) as folder:
        plan = {"verb": verb, "options": options, "fingerprint": dataset.fingerprint}
        if resume:
            plan = _resumed_plan(folder, plan)
        current = Session(folder, plan)
        current.remember()
        if dataset.bad_samples:
            first = dataset.bad_samples[0]
            emit(
                "note",
                text=f"{len(dataset.bad_samples)} samples cannot be used, the first is "
                f"{first.name} ({first.reason}); all are listed in data.json.",
            )
        for note in dataset.notes:
            emit("note", text=note)
        try:
            with listen(current.listener):
                yield current
        except KeyboardInterrupt as error:
            current.remember()
            folder.keep = True
            raise Interrupted(
                f"Stopped by Ctrl-C; the state is kept in {path}. Go on with the same command and "
                f"--resume, or start anew with --overwrite."
            ) from error
        except (MemoryError, RuntimeError) as error:
            # by name: this file imports no torch
            if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                raise
            raise DeviceError(
                f"Out of memory ({str(error).splitlines()[0] if str(error) else 'no details'}); "
                f"expected room for one batch. Give a smaller --micro-batch-size or --input-size, "
                f"a smaller start, or another --device."
            ) from error


def _resumed_plan(folder: RunFolder, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan of the unfinished run, after checking that it is the same run."""
    former = folder.read_json("state/plan.json")
    if former is None:
        raise RunFolderError(
            f"{folder.path} holds no plan of an unfinished run; expected state/plan.json. Start "
            f"anew with --overwrite."
        )
    told = {**former["options"], "data": former["fingerprint"], "verb": former["verb"]}  # type: ignore[dict-item]
    asked = {**plan["options"], "data": plan["fingerprint"], "verb": plan["verb"]}
    changed = [
        f"{name}: {told.get(name)!r} → {asked.get(name)!r}"
        for name in asked
        if told.get(name) != asked.get(name)
    ]
    if changed:
        raise RunFolderError(
            f"{folder.path} holds a run with other options ({'; '.join(changed)}); expected the "
            f"same ones to resume. Give the former options, or start anew with --overwrite."
        )
    return former


def complete(
    current: Session, dataset: Dataset, bench: Bench, clock: Clock, candidates: list[dict[str, Any]]
) -> None:
    """Decode, fine-tune, evaluate, and write every file of the run folder.

    Raises:
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from headstart.data import decode
    from headstart.reporting import render_page
    from headstart.training.checkpoint import CheckpointFolder
    from headstart.tuning.bench import seconds_per_image
    from headstart.tuning.conclude import calibrate, conclude, save_model
    from headstart.tuning.stop import graceful_stop
    from headstart.tuning.tune import tune

    folder = current.folder
    # test is decoded here too, but looked at by nobody before the end: a file that cannot be read
    # should stop a run before its training, not after, and decoding is part of the budget
    train, val, test = (decode(dataset, name, bench.spec) for name in SPLITS)
    each = seconds_per_image(bench)
    reserve = _reserve(dataset, each, clock)
    with graceful_stop() as stop:
        tuned = tune(
            bench,
            train,
            val,
            num_classes=len(dataset.schema.classes),
            checkpoints=CheckpointFolder(folder.state),
            deadline=clock.deadline(reserve),
            stop_requested=stop,
            on_probe=lambda model, fitted: save_model(folder, dataset, bench),
            seconds_per_image=each,
        )
    # without a loop (strategy head) nobody has answered the request yet
    ended = tuned.result.ended if tuned.result else "interrupted" if stop.requested else "finished"
    if ended == "interrupted":
        calibrate(bench.model, tuned.val_logits, val.targets)
        save_model(folder, dataset, bench)
        raise KeyboardInterrupt
    concluded = conclude(
        folder,
        dataset,
        bench,
        tuned,
        train,
        val,
        test,
        clock=clock,
        options=_finite(_options(current, bench, tuned, candidates)),
    )
    page = render_page(
        concluded.metrics,
        folder.read_json("model.json") or {},
        folder.read_json("data.json") or {},
        folder.read_json("options.json") or {},
        folder.read_log(),
        concluded.mistakes,
    )
    folder.write("report.html", page.encode())
    folder.finish()


def _options(
    current: Session, bench: Bench, tuned: Tuned, candidates: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the content of ``options.json``."""
    from dataclasses import asdict

    from headstart.tuning.conclude import describe_machine

    result = tuned.result
    return {
        "verb": current.plan["verb"],
        "options": current.plan["options"],
        "recipe": asdict(bench.recipe),
        "choices": current.choices,
        "candidates": candidates,
        "machine": describe_machine(),
        "training": asdict(result.state) | {"ended": result.ended} if result else None,
    }


def _reserve(dataset: Dataset, seconds_per_image: float, clock: Clock) -> float:
    """Return the seconds to keep for what follows training: two test passes, figures, the report.

    Half of what is left at the most: a budget that cannot pay for the baseline loses the baseline,
    not the fine-tuning.
    """
    passes = 2 * len(dataset.test) + len(dataset.val)
    figures = 2.5 + 2e-5 * (len(dataset.test) + len(dataset.val)) * len(dataset.schema.classes)
    return min(1.3 * passes * seconds_per_image + figures, max(0.0, 0.5 * clock.left))


def _finite(record: Any) -> Any:
    """Return a JSON-able copy in which what is not finite is None."""
    if isinstance(record, dict):
        return {key: _finite(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [_finite(value) for value in record]
    if isinstance(record, float) and (record != record or abs(record) == float("inf")):
        return None
    return record
