"""Advice about run folders is followed: unfinished, damaged, occupied, of another version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advised import Case, N, Y, csv, frame, locked, told

import headstart as hs
from headstart.errors import Interrupted
from headstart.events import listen
from headstart.model.ensemble import Ensemble, Member
from headstart.model.ensemble_folder import ENSEMBLE_FORMAT, open_ensemble
from headstart.model.folder import open_model
from headstart.recipes.run import Run
from headstart.storage.run_folder import RunFolder

WORDS: dict[str, Any] = {"start": "scratch/linear", "device": "cpu", "num_steps": 4}
DATA = partial(hs.load, frame(), label="label")


@dataclass(frozen=True)
class Place:
    """A folder of a case, and a finished run to copy."""

    folder: Path
    run: Path

    @property
    def out(self) -> str:
        return str(self.folder / "run")

    def copied(self) -> Path:
        return Path(shutil.copytree(self.run, self.folder / "run", dirs_exist_ok=True))

    def changed(self, name: str, change: Callable[[dict[str, Any]], Any]) -> str:
        """Return a copy of the run of which a JSON file was changed."""
        path = self.copied() / name
        record = json.loads(path.read_text())
        made = change(record)
        path.write_text(made if isinstance(made, str) else json.dumps(record))
        return self.out

    def rows(self) -> str:
        return csv(self.folder, frame().drop(columns="label"), "rows.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hs.finetune(DATA, out=str(tmp_path_factory.mktemp("advice") / "run"), **WORDS).path


def tuned(place: Place, **said: Any) -> Any:
    return hs.finetune(DATA, **{"out": place.out, **WORDS, **said})


def anew(place: Place) -> Any:
    """Train again with --overwrite where something stands."""
    return tuned(place, overwrite=True)


def stopped(place: Place) -> Any:
    """Stop a run before its end, as Ctrl-C does."""

    def interrupt(kind: str, fields: dict[str, Any]) -> None:
        if kind == "stage" and str(fields["text"]).startswith("Fine-tuning"):
            raise KeyboardInterrupt

    with listen(interrupt):
        return tuned(place)


def unfinished(place: Place) -> Place:
    with pytest.raises(Interrupted):
        stopped(place)
    return place


def resumed(place: Place) -> Any:
    return tuned(unfinished(place), resume=True)


def with_a_model(place: Place) -> str:
    """Return an unfinished run that has a model already."""
    path = unfinished(place).out
    for name in ("model.json", "model.safetensors", "data.json", "options.json"):
        shutil.copy(place.run / name, path)
    return path


def answers(place: Place, run: Any = None) -> list[str]:
    """Return the notes that are told while an unfinished run, or another, predicts."""
    notes: list[str] = []
    path = str(run.path) if run else with_a_model(place)
    with listen(lambda kind, fields: notes.append(str(fields.get("text") or fields))):
        assert len(hs.predict(path, [place.rows()])) == N
    return notes


def without(place: Place, name: str) -> str:
    (place.copied() / name).unlink()
    return place.out


def without_plan(place: Place) -> Any:
    (Path(unfinished(place).out) / "state" / "plan.json").unlink()
    return tuned(place, resume=True)


def of_other_options(place: Place, num_steps: int) -> Any:
    return tuned(unfinished(place), resume=True, num_steps=num_steps)


def in_use(place: Place) -> Any:
    from filelock import FileLock

    (Path(place.out) / "state").mkdir(parents=True)
    with FileLock(Path(place.out) / "state" / "lock"):
        return tuned(place, overwrite=True)


def unread(place: Place) -> Any:
    Path(place.out).mkdir()
    with locked(Path(place.out)):
        return tuned(place)


def unwritten(place: Place, number: int) -> Any:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with RunFolder(Path(place.out)) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        folder.write("model.json", b"{}")


def written(place: Place) -> Any:
    with RunFolder(Path(place.out)) as folder:
        folder.write("model.json", b"{}")


def weights(place: Place, change: Callable[[dict[str, Any]], Any]) -> str:
    from safetensors.torch import load_file, save_file

    path = place.copied() / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return place.out


def longer(tensors: dict[str, Any]) -> None:
    name = next(n for n in tensors if n.endswith("weight"))
    tensors[name] = tensors[name].repeat(2, 1).contiguous()


def whole_numbers(tensors):
    name = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point())[0]
    tensors[name] = tensors[name].long()


def unfinite(tensors: dict[str, Any]) -> None:
    next(t for n, t in tensors.items() if n.endswith("weight")).fill_(float("nan"))


def several(place: Place, **changed: Any) -> Path:
    """Return a run of two models that answer together."""
    path = place.copied()
    for i in (1, 2):
        member = Path(shutil.copytree(place.run, path / "members" / str(i)))
        for name in ("metrics.json", "data.json"):
            (member / name).unlink()
    record = json.loads((path / "model.json").read_text())
    members = [{"folder": f"members/{i}", "weight": 0.5, "strategy": "head"} for i in (1, 2)]
    record["ensemble"] = {"format": ENSEMBLE_FORMAT, "members": members, **changed}
    (path / "model.json").write_text(json.dumps(record))
    return path


def of_other_classes(place: Place, label: Any) -> Any:
    """Return the models of two runs, of which one may tell other classes, as one."""
    other = hs.finetune(partial(hs.load, frame(label=label), label="label"), out=place.out, **WORDS)
    return Ensemble([Member(open_model(p)[0], 0.5, None) for p in (place.run, other.path)])


def mixed(place: Place) -> Path:
    path = several(place)
    other = hs.finetune(
        partial(hs.load, frame(label=np.resize(["p", "q", "r"], N)), label="label"),
        out=str(place.folder / "other"),
        **WORDS,
    )
    shutil.rmtree(path / "members" / "2")
    shutil.copytree(other.path, path / "members" / "2")
    return path


def read_by_one(place: Place, names: tuple[int, int]) -> Any:
    model, data = open_model(place.run)[0], DATA()
    both = Ensemble([Member(model, 0.5, None)] * 2)
    inputs = [model.encoder.preprocess.prepare(data, "test", np.arange(n)) for n in names]
    return both.run_each(inputs, phase="test")


CASES = {
    "stopped, resumed": Case(
        stopped, "Go on with the same command and --out .* --resume", resumed, Interrupted
    ),
    "stopped, begun anew": Case(
        stopped,
        "or start anew with --overwrite",
        lambda p: anew(unfinished(p)),
        Interrupted,
    ),
    "a report of an unfinished run": Case(
        lambda p: hs.report(with_a_model(p)),
        "or go on with the same command and --out .* --resume",
        lambda p: hs.report(str(resumed(p).path)),
    ),
    "a prediction of a run without a model": Case(
        lambda p: hs.predict(unfinished(p).out, [p.rows()]),
        "Wait for it, or go on with the same command and --out .* --resume",
        lambda p: hs.predict(str(resumed(p).path), [p.rows()]),
    ),
    "an unfinished run in the way": Case(
        lambda p: tuned(unfinished(p)), "Add --resume to go on with it, or --overwrite", resumed
    ),
    "an unfinished run without a plan": Case(
        without_plan, "Start anew with --overwrite", lambda p: anew(unfinished(p))
    ),
    "other options, the former ones": Case(
        lambda p: of_other_options(p, 9),
        "Give the former options",
        lambda p: of_other_options(p, 4),
    ),
    "other options, anew": Case(
        lambda p: of_other_options(p, 9),
        "or start anew with --overwrite",
        lambda p: tuned(unfinished(p), overwrite=True, num_steps=9),
    ),
    "in use": Case(in_use, "Wait for it, or choose another --out", lambda p: tuned(p)),
    "a folder that cannot be read": Case(unread, "Choose another --out", lambda p: tuned(p)),
    "a full disk": Case(lambda p: unwritten(p, 28), "Free some space and", written),
    "a file beyond the limit of its process": Case(
        lambda p: unwritten(p, 27), "Raise the limit .ulimit -f unlimited. and", written
    ),
    "a folder that cannot be written": Case(
        lambda p: unwritten(p, 13), "Choose another --out", written
    ),
    "a damaged record": Case(
        lambda p: hs.report(p.changed("metrics.json", lambda _: "[")),
        "Start anew with --overwrite",
        lambda p: p.copied() and hs.report(str(anew(p).path)),
    ),
    "damaged figures": Case(
        lambda p: hs.report(p.changed("metrics.json", lambda r: r.__setitem__("test", 7))),
        "is damaged .* Run the training again with --overwrite",
        lambda p: p.copied() and hs.report(str(anew(p).path)),
    ),
    "no file for a report": Case(
        lambda p: hs.report(without(p, "log.jsonl")),
        "Run the training again with --overwrite",
        lambda p: p.copied() and hs.report(str(anew(p).path)),
    ),
    "another version": Case(
        lambda p: hs.predict(p.changed("model.json", lambda r: r.update(format=1)), [p.rows()]),
        "Train again with --overwrite",
        lambda p: p.copied() and hs.predict(str(anew(p).path), [p.rows()]),
    ),
    "no weights": Case(
        lambda p: hs.predict(without(p, "model.safetensors"), [p.rows()]),
        "Give the --out of a finished run",
        lambda p: hs.predict(str(p.run), [p.rows()]),
    ),
    "a damaged model": Case(
        lambda p: hs.predict(p.changed("model.json", lambda r: r.__delitem__("head")), [p.rows()]),
        "Run the training again with --overwrite",
        lambda p: p.copied() and hs.predict(str(anew(p).path), [p.rows()]),
    ),
    "weights of another shape": Case(
        lambda p: hs.predict(weights(p, longer), [p.rows()]),
        "Run the training again",
        lambda p: p.copied() and hs.predict(str(anew(p).path), [p.rows()]),
    ),
    "weights of another kind": Case(
        lambda p: hs.predict(weights(p, whole_numbers), [p.rows()]),
        "is torch.int64, expected torch.float32. Run the training again",
        lambda p: p.copied() and hs.predict(str(anew(p).path), [p.rows()]),
    ),
    "weights that are no numbers": Case(
        lambda p: hs.predict(weights(p, unfinite), [p.rows()]),
        "Run the training again",
        lambda p: p.copied() and hs.predict(str(anew(p).path), [p.rows()]),
    ),
    "a member of an ensemble": Case(
        lambda p: hs.evaluate(str(several(p) / "members" / "1"), DATA),
        "Evaluate .*; predict takes a member alone",
        lambda p: hs.predict(str(several(p) / "members" / "1"), [p.rows()]),
    ),
    "a list of members": Case(
        lambda p: open_ensemble(several(p, members=[{"folder": 7}, {}])),
        "Run the training again with --overwrite",
        lambda p: open_ensemble(several(p)),
    ),
    "members of other classes": Case(
        lambda p: open_ensemble(mixed(p)),
        "does not fit its members: .* Run the training again with --overwrite",
        lambda p: open_ensemble(several(p)),
    ),
    "models of other classes": Case(
        lambda p: of_other_classes(p, np.resize(["p", "q", "r"], N)),
        "Give models of the same data",
        lambda p: of_other_classes(p, Y),
    ),
    "a sample that one of them reads": Case(
        lambda p: read_by_one(p, (3, 4)), "Leave it out", lambda p: read_by_one(p, (3, 3))
    ),
    "a single model of several": Case(
        lambda p: Run(several(p)).model,
        "Give one of its members",
        lambda p: Run(several(p) / "members" / "1").model,
    ),
    "an unfinished run answers": told(
        answers, "Wait for it, or repeat the command", lambda p: answers(p, resumed(p))
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_a_run_folder_helps(name: str, run: Path, follow, heard) -> None:
    follow(CASES[name], place=lambda folder: Place(folder, run))
