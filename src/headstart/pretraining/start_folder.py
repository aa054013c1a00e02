"""What a pretraining leaves: a folder that is a start, with every figure of how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from headstart.events import emit
from headstart.model.pretrained import write_pretrained
from headstart.pretraining.objective import Corpus, Learned, Learner
from headstart.pretraining.table import find_objective
from headstart.storage.records import read_log
from headstart.storage.run_folder import RunFolder
from headstart.training.contract import LoopState
from headstart.training.options.pretraining_options import PretrainingOptions


def save_start(
    folder: RunFolder,
    learner: Learner,
    corpus: Corpus,
    options: PretrainingOptions,
    state: LoopState | None,
) -> None:
    """Write the encoder and what learned beside it, so that the folder is a start from now on.

    Args:
        folder: Where.
        learner: The weights that are in its module now.
        corpus: Names the data.
        options: Name the objective.
        state: How far the loop has come; None while it is under way.
    """
    num_steps = 0 if state is None else state.step
    num = learner.num_samples
    epochs = num_steps * min(learner.recipe.batch_size, num) / num  # the last few are no step
    about = {
        "objective": options.objective,
        "is_encoder": find_objective(options).is_encoder,
        "data_name": corpus.name,
        "pretraining": {
            "num_steps": num_steps,
            "epochs": round(epochs, 4),
            "num_samples": learner.num_samples,
            "is_first_epoch": epochs < 1,
            **learner.about(),
        },
    }
    write_pretrained(learner.module, folder.write, about)


def write_records(
    folder: RunFolder,
    learned: Learned,
    corpus: Corpus,
    options: Mapping[str, object],
    seconds: Mapping[str, float],
) -> None:
    """Write every file that a reader of the folder looks at, but for the page.

    Args:
        folder: Where.
        learned: What is to be said.
        corpus: The data.
        options: The content of ``options.json``.
        seconds: What took how long.
    """
    for found in learned.findings:
        emit("note", text=found.sentence, about=found.kind, severity=found.severity)
    data = corpus.describe()
    _extend(data, "findings", [found.to_json() for found in learned.findings])
    _extend(data, "notes", [found.sentence for found in learned.findings])
    _extend(data, "bad_samples", [asdict(one) for one in learned.bad_samples])
    gain = 1 - learned.loss["value"] / next(iter(learned.trivial.values()))
    # what was done again after an interruption was told twice
    log = read_log(folder.path)
    checks = {record["step"]: record for record in log if record.get("kind") == "check"}
    folder.write_json("views.json", {"shown": [asdict(one) for one in learned.shown]})
    folder.write_json("data.json", data)
    folder.write_json("options.json", dict(options))
    folder.write_json(
        "metrics.json",
        {
            "pretraining": {
                "gain": gain,
                "loss": dict(learned.loss),
                "trivial": dict(learned.trivial),
                "figures": {name: dict(value) for name, value in learned.figures.items()},
                "checks": [_of_check(record) for record in checks.values()],
            },
            "seconds": dict(seconds),
        },
    )


def _extend(data: dict[str, object], name: str, more: Sequence[object]) -> None:
    """Add entries to a list of ``data.json``."""
    known = data.get(name)
    data[name] = [*(known if isinstance(known, list) else []), *more]


def _of_check(record: Mapping[str, object]) -> dict[str, object]:
    """Return what is kept of a check: its step and its figures."""
    left_out = ("kind", "seconds", "metric", "num_steps")
    return {name: value for name, value in record.items() if name not in left_out}
