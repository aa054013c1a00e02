"""What a search leaves in its run folder, so that a larger budget may go on from there.

``search/plan.json`` is the plan of the run, ``search/models.json`` with ``models.safetensors`` how
every model was judged on val, and ``search/1`` … what is known of each model that the run serves,
beside the model, which stands in the run folder. No weights stand here, and no state of an arm: one
that was not trained to its end begins anew, and its score counts.

Left out: when a run may go on (``recipes.plan``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headstart.errors import RunFolderError
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender, SearchContext
from headstart.searching.finalists import Finalist
from headstart.searching.made import made_spec, read_made, write_knowledge
from headstart.searching.pool import FormerModel, FormerSearch, ModelPool
from headstart.searching.prices import Prices
from headstart.searching.short_arms import WAY
from headstart.starts import find_start
from headstart.storage.curves import digest_of, keep_curves
from headstart.storage.records import READING_FILES
from headstart.tasks import find_task
from headstart.types import Dataset

FOLDER = "search"
SERVED = "served"  # in the state of a run that is gone on with: the models of the one before
PLAN, _MODELS, _ARRAYS = "plan.json", "models.json", "models.safetensors"
_BEFORE = ", before"  # the name of a model that a finished run serves
# What a larger budget decides anew; all else holds: the start, the samples, how arms stood.
_OF_THE_CLOCK = ("heads", "arms", "time for ", "time to ")


def write_search(
    write: Callable[[str, bytes], None],
    pool: ModelPool,
    served: Sequence[Contender],
    plan: Mapping[str, Any],
) -> None:
    """Write what a larger budget goes on from; the plan comes last.

    Args:
        write: Writes a file of a name, which may hold a folder, atomically.
        pool: All that was chosen among.
        served: The models that are handed over, the best single one first.
        plan: Of the run.
    """
    for number, one in enumerate(served, 1):

        def beside(name: str, content: bytes, number: int = number) -> None:
            write(f"{FOLDER}/{number}/{name}", content)

        write_knowledge(beside, one, pool.specs[one.name])
    judged, records, arrays = pool.judged(), list[dict[str, Any]](), {"ids": pool.ids}
    for number, (name, model) in enumerate(judged.items()):
        plain = {n: v for n, v in vars(model.finalist).items() if n != "losses"}
        about = {"spec": asdict(model.spec), "is_whole": model.is_whole, "finalist": plain}
        records.append({"name": name, **about})
        arrays[f"losses.{number}"] = model.finalist.losses
    names = [one.name for one in served]
    models = {"models": records, "served": names, "rows": list(pool.rows.values())}
    write(f"{FOLDER}/{_ARRAYS}", save({n: np.ascontiguousarray(a) for n, a in arrays.items()}))
    write(f"{FOLDER}/{_MODELS}", json.dumps(models).encode())
    write(f"{FOLDER}/{PLAN}", json.dumps(dict(plan), indent=2).encode())


def keep_record(dataset: Dataset, pool: ModelPool) -> None:
    """Keep how the arms went in the cache of this machine, for the prior of later rankings."""
    task = find_task(dataset.schema.task)
    arms = []
    for name, row in pool.rows.items():
        start = find_start(str(row["start"]))
        told = ("start", "strategy", "rate", "size", "length", "score", "num_steps", "seconds")
        curve = pool.curves.get(name, ())
        arms.append(
            {
                **{field: row[field] for field in told},
                "num_parameters": start.num_parameters,
                "is_pretrained": start.pretrained_on is not None,
                "curve": [[one["step"], one["val_score"], one["val_loss"]] for one in curve],
            }
        )
    keep_curves(
        {
            "data": digest_of(dataset.fingerprint),
            "modality": dataset.schema.modality,
            "task": task.name,
            "metric": task.headline,
            "is_higher_better": task.figures[task.headline].is_higher_better,
            "num_train": len(dataset.train),
            "num_classes": len(dataset.schema.classes),
            "arms": arms,
        }
    )


def reopened(folder: Path) -> dict[str, Any]:
    """Put by the models that a finished run serves; return its plan, open where the clock decided.

    Of a run without a contest nothing is put by: its model stands in the folder (``former_way``).

    Args:
        folder: The run folder; its state is there, and holds no plan.

    Raises:
        OSError: If the disk is full, or a file is missing.
    """
    plan: dict[str, Any] = json.loads((folder / FOLDER / PLAN).read_text())
    if any((folder / FOLDER).glob("[0-9]*")):
        _put_by(folder)
    kept = {name: one for name, one in plan["decisions"].items() if not _is_open(name, one)}
    return {**plan, "decisions": kept, "is_reopened": True}


def _is_open(name: str, record: Mapping[str, Any]) -> bool:
    """Return whether a larger budget decides something anew: by the clock, or for want of time."""
    if name == WAY:
        return not any(row["score"] is not None for row in record["value"]["arms"])
    return name.startswith(_OF_THE_CLOCK)


def _put_by(folder: Path) -> None:
    """Copy the models that a run folder serves into its state."""
    members = sorted((folder / "members").glob("[0-9]*"), key=lambda path: int(path.name))
    for number, source in enumerate(members or [folder], 1):
        place = folder / "state" / SERVED / str(number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for file in [*source.iterdir(), *(folder / FOLDER / str(number)).iterdir()]:
            if file.is_file() and _is_of_model(file.name):
                shutil.copyfile(file, place / file.name)


def _is_of_model(name: str) -> bool:
    """Return whether a file of a run folder is one of its model's."""
    return name in READING_FILES or name.startswith(("model.", "made."))


def read_search(folder: Path, context: SearchContext, prices: Prices) -> FormerSearch:
    """Return what the finished run has left that this one goes on with.

    Args:
        folder: The run folder, with the models that were put by.
        context: What all arms share.
        prices: Their samples.

    Raises:
        RunFolderError: If a file is damaged.
    """
    try:
        told = json.loads((folder / FOLDER / _MODELS).read_text())
        arrays = load_file(folder / FOLDER / _ARRAYS)
        models = {
            record["name"]: FormerModel(
                ArmSpec(**record["spec"]),
                Finalist(losses=arrays[f"losses.{number}"], **record["finalist"]),
                record["is_whole"],
            )
            for number, record in enumerate(told["models"])
        }
        rows = {row["arm"]: row for row in told["rows"]}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder / FOLDER} is damaged ({type(error).__name__}: {error}); expected what a "
            f"finished fit has left. Start anew with --overwrite."
        ) from error
    served = []
    for number, name in enumerate(told["served"], 1):
        place = folder / "state" / SERVED / str(number)
        spec, told_as = made_spec(place), name.removesuffix(_BEFORE) + _BEFORE
        served.append((read_made(place, context, prices.samples(spec), told_as), spec))
        model = models.pop(name)
        models[told_as] = replace(model, finalist=replace(model.finalist, name=told_as))
        rows[told_as] = {**rows.pop(name, {}), "arm": told_as}
    return FormerSearch(served, models, list(rows.values()), arrays["ids"])
