"""Advice about trainings, rankings and searches is followed: time, memory, options, processes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from advised import PIXELS, TEXTS, Case, N, X, Y, frame
from torch import nn

import headstart as hs
from headstart.objectives.supervised import LOSSES
from headstart.ranking import rank as ranking
from headstart.ranking import scored
from headstart.searching import learning_rates
from headstart.searching.contest import _Contest
from headstart.starts import find_start, wrap_module
from headstart.tasks import find_task
from headstart.tasks.task import array_of
from headstart.training.contract import StopRequested
from headstart.training.options.strategies import STRATEGIES, check_strategy
from headstart.training.processes import placement, sharding
from headstart.training.processes.shard_placement import ShardPlacement
from headstart.tuning import frozen, hooks
from headstart.tuning import texts as text_cache
from headstart.tuning.budget import Budget
from headstart.types import ImageSpec, Ragged, Schema

SPEC = ImageSpec(12, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 12, 3)
CPU = torch.device("cpu")


def patched(target: Any, name: str, value: Any, do: Callable[[], Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, value)
        return do()


def tuned(folder: Path, **said: Any) -> Any:
    known = {"start": "scratch/simple-cnn", "device": "cpu", "num_steps": 1, **said}
    data = known.pop("data", None) or hs.load((PIXELS, Y))
    return hs.finetune(data, out=str(folder / "run"), overwrite=True, **known)


def rows(folder: Path, **said: Any) -> Any:
    table = frame(label=X[:, 2]) if said.pop("is_number", False) else frame()
    return tuned(folder, data=hs.load(table), **{"start": "scratch/linear", **said})


class Hungry(nn.Module):
    """A network that takes more memory than there is for images above some size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and images.shape[-1] > 12 and images.requires_grad is not None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return self.conv(images).mean((2, 3))


def hungry(folder: Path, size: int) -> Any:
    spec = ImageSpec(size, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", size, 3)
    return tuned(folder, start=Hungry(), spec=spec, strategy="full", augment="none", mixup=0.0)


def normed(folder: Path, **said: Any) -> Any:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return tuned(folder, start=net, spec=SPEC, **{"strategy": "full", "batchnorm": "train", **said})


def searched(left: float) -> Any:
    """Ask for the steps of a trial where so many seconds are left."""
    recipe = SimpleNamespace(length=lambda _: (200, 1))
    arm: Any = SimpleNamespace(
        setup=SimpleNamespace(recipe=recipe), order=SimpleNamespace(num_samples=60)
    )
    cost: Any = SimpleNamespace(of=lambda *_: 50.0, of_trial=lambda num: 0.5 * num)
    return learning_rates._length(arm, cost, 3, left)


def learned(budget: float | None) -> Any:
    """Ask from how many texts a start can learn its vocabulary, at a second a text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_cache, "_rehearse", lambda *_: (10.0, 10))
        cache = text_cache.TextCache(hs.load((TEXTS, Y)), Budget(budget), seed=0)
        return cache._affordable(find_start("scratch/tfidf"), TEXTS)


def contest(*contenders: Any) -> Any:
    pool = SimpleNamespace(contenders=contenders, rows={"x": {"note": "too slow"}})
    pool.best = lambda: pytest.skip("a model was made")
    of: Any = SimpleNamespace(pool=pool)
    return _Contest._choose(of)


def one(**said: Any) -> Any:
    start = find_start("scratch/simple-cnn")
    known = {"start": start, "why": "", "each": math.inf, "has_features": True, "is_built": True}
    known |= {"width": 0}
    return SimpleNamespace(**{**known, "setup": object(), "outcomes": None, **said})


def job(seconds: float = 0.0, limit: float | None = 10.0, **said: Any) -> Any:
    budget = SimpleNamespace(
        may_take=lambda _: seconds,
        limit_seconds=limit,
        spent=1.0,
        deadline=lambda _: time.monotonic() + seconds,
    )
    known = {"budget": budget, "company": SimpleNamespace(rank=0, size=1, agree_on=lambda f: f())}
    known |= {"stop_requested": lambda: False, "dataset": hs.load((PIXELS, Y))}
    known |= {"end": time.monotonic() + seconds, "in_time": lambda **_: contextlib.nullcontext()}
    return SimpleNamespace(**{**known, **said})


def built(seconds: float) -> list[str]:
    """Return why starts are left out where building them may take so long."""
    found = [one(), one()]
    patched(ranking, "build", lambda *_: None, lambda: ranking._build(job(seconds), found))
    return [each.why for each in found]


def trained(seconds: float) -> list[str]:
    found = [one(has_features=False)]
    train = partial(ranking._train, job(seconds), found, 60)
    patched(ranking, "train_a_moment", lambda *_: None, train)
    return [each.why for each in found]


def read(is_late: bool) -> list[str]:
    """Return why a start is not scored whose features take longer than its time, or do not."""

    def features(*_: Any, **__: Any) -> Any:
        if is_late:
            raise StopRequested
        return object()

    found = one()
    found.setup = SimpleNamespace(model=SimpleNamespace(head=None))
    asked = SimpleNamespace(seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "prepare_sample", lambda *_, **__: None)
        patch.setattr(scored, "tapped_features", features)
        with contextlib.suppress(AttributeError):  # past the clock, where features are scored
            scored.read(job(asked=asked, until=lambda _: None), found, 60, None)
    return [found.why]


def worker(can_cut: bool, views: int = 1) -> Any:
    """Take part in a training whose main process has cut the network, or trains uncached."""
    if not views:
        return True  # nothing is cut, and nobody asks
    found = SimpleNamespace(reason="it has no layers")
    call = lambda: frozen.share_prefix(None, None, None, None, None)  # type: ignore[arg-type] # noqa: E731
    return patched(frozen, "_cut", lambda *_: found, call)


def shared(folder: Path, batch_size: int, num: int) -> Any:
    setup: Any = SimpleNamespace(
        model=SimpleNamespace(schema=Schema("image", "classification", ("a", "b"))),
        recipe=SimpleNamespace(micro_batch_size=batch_size, batch_size=batch_size),
    )
    phases: Any = SimpleNamespace(order=SimpleNamespace(batch_size=batch_size))
    placed: Any = SimpleNamespace(company=SimpleNamespace(size=num))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "share_of", lambda *_: SimpleNamespace(num=num))
        patch.setattr(hooks, "Hooks", lambda *_, **__: True)
        try:
            return hooks.wire(setup, None, phases, placed, validate=None, stop_requested=None)  # type: ignore[arg-type]
        except AttributeError:
            return True  # past the refusal, where a whole training would go on


def split(precision: str) -> Any:
    recipe: Any = SimpleNamespace(precision=precision, is_split=True, fsdp=True, strategy="full")
    return patched(
        placement,
        "replace",
        lambda r, **_: r,
        lambda: placement.settle_split(recipe, CPU, lambda: 1),
    )


def proven(difference: float) -> Any:
    shards = SimpleNamespace(module=nn.Identity(), run=lambda _: torch.full((2, 2), difference))
    fake: Any = SimpleNamespace(shards=shards)
    return ShardPlacement._prove(fake, (), torch.zeros(2, 2), "x")


def sharded() -> Any:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("a scalar parameter")

    call = lambda: sharding._shard_fully(nn.Linear(2, 2), [], None)  # type: ignore[arg-type] # noqa: E731
    return patched(sharding, "fully_shard", refuse, call)


def logits(width: int) -> Any:
    schema = Schema("image", "classification", ("a", "b"))
    return find_task("classification").outputs(np.zeros((3, width)), schema)


def labelled(cell: Any, **said: Any) -> Any:
    return hs.load(frame(label=[cell, *Y[1:]]), **said)


CASES = {
    "no memory for a batch": Case(
        lambda f: hungry(f, 16),
        "Give a smaller --micro-batch-size or --input-size",
        lambda f: hungry(f, 12),
    ),
    "an encoder with another preprocessing": Case(
        lambda f: tuned(f, start=wrap_module(nn.Flatten(), SPEC), spec=SPEC),
        "Leave spec out, the encoder brings its own",
        lambda f: tuned(f, start=wrap_module(nn.Flatten(), SPEC), strategy="head", num_steps=None),
    ),
    "one sample a pass": Case(
        lambda f: normed(f, micro_batch_size=1, batch_size=8),
        "Say --micro-batch-size 8",
        lambda f: normed(f, micro_batch_size=8, batch_size=8),
    ),
    "one sample a step": Case(
        lambda f: normed(f, micro_batch_size=1, batch_size=1),
        "Say --batch-size 8, or --batchnorm frozen",
        lambda f: (normed(f, batch_size=8), normed(f, batch_size=1, batchnorm="frozen")),
    ),
    "gradient steps of trees": Case(
        lambda f: check_strategy(find_start("scratch/forest"), STRATEGIES["full"]),
        "Leave --strategy out",
        lambda f: rows(f, start="scratch/forest", num_steps=None),
    ),
    "smoothing of numbers": Case(
        lambda f: smoothed(0.1),
        "Leave out --label-smoothing and --imbalance",
        lambda f: smoothed(0.0),
    ),
    "options out of range": Case(
        lambda f: rows(f, learning_rate=-1.0, seed=-1),
        "Change these options",
        lambda f: rows(f, learning_rate=0.1, seed=1, strategy="full"),
    ),
    "no time for trials": Case(
        lambda _: searched(0.5), "Raise --budget", lambda _: searched(500.0)
    ),
    "no time for a vocabulary": Case(
        lambda _: learned(20.0), "Raise --budget", lambda _: learned(2000.0)
    ),
    "no time for a vocabulary, without": Case(
        lambda _: learned(20.0),
        "or choose a pretrained start",
        lambda _: find_start("pip/all-minilm-l6-v2").pretrained_on,
    ),
    "not one model": Case(
        lambda _: contest(), "Raise --budget, or name other starts with --starts", lambda f: rows(f)
    ),
    "no start was scored": Case(
        lambda _: raised(ranking._nothing(job(), [one(why="left out: no")])),
        "Name others with --starts; 'headstart starts --modality image' lists",
        lambda _: hs.list_starts(modality="image"),
    ),
    "no start was scored in time": Case(
        lambda _: raised(ranking._nothing(job(limit=None), [one(why="too slow")])),
        "Raise --budget, or name others with --starts",
        lambda _: built(10.0)[1] == "",
    ),
    "a network that is cut elsewhere": Case(
        lambda _: worker(can_cut=False),
        "Give --views 0 to train uncached",
        lambda f: tuned(f, views=0),
    ),
    "fewer samples than processes": Case(
        lambda f: shared(f, 2, 4),
        "Raise --batch-size, or start fewer processes",
        lambda f: shared(f, 4, 4) and shared(f, 2, 2),
    ),
    "fp16 of split weights": Case(
        lambda _: split("fp16"), "Give --precision bf16", lambda _: split("bf16")
    ),
    "logits that change": Case(
        lambda _: proven(0.5),
        "Leave --fsdp and --tensor-parallel-size out",
        lambda f: proven(0.0) is None and tuned(f),
    ),
    "weights that cannot be split": Case(
        lambda _: sharded(), "Leave --fsdp out", lambda f: tuned(f)
    ),
    "a task without a loss": Case(
        lambda _: without_loss(), "Add a row to LOSSES", lambda _: with_loss()
    ),
    "logits of another width": Case(
        lambda _: logits(3), "Pass the model's own logits", lambda _: logits(2) is not None
    ),
    "rows of several lengths": Case(
        lambda _: array_of(Ragged.of([[1], [1, 2]])),
        "Give what this task's model gives",
        lambda _: array_of(np.ones((2, 2))) is not None,
    ),
    "a class that is no word": Case(
        lambda _: labelled({"a": 1}), "Name another column with --label", lambda _: kinds("label")
    ),
    "one label in all sets": Case(
        lambda _: hs.load(frame(label=[["p"]] * N), task="multi-label"),
        "Name another column with --label",
        lambda _: hs.load(frame(label=[["p"]] * N, kind=Y), label="kind", drop=["label"]),
    ),
}
NOTES: dict[str, tuple[Callable[[], list[str]], str, Callable[[], list[str]]]] = {
    "building took the time": (lambda: built(-1.0), "raise --budget", lambda: built(10.0)),
    "no time for a moment": (lambda: trained(-1.0), "raise --budget", lambda: trained(50.0)),
    "features took longer": (lambda: read(True), "raise --budget", lambda: read(False)),
}


def raised(error: Exception) -> None:
    raise error


def kinds(label: str) -> Any:
    return hs.load(frame(label=[{"a": 1}, *Y[1:]], kind=Y), label="kind", drop=[label])


def smoothed(smoothing: float) -> Any:
    from headstart.objectives.supervised import Wanted, task_loss

    wanted = Wanted(torch.zeros(3), label_smoothing=smoothing)
    return task_loss("regression", torch.ones(3, 1), wanted)


def without_loss() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(LOSSES, "regression")
        return smoothed(0.0)


def with_loss() -> Any:
    return smoothed(0.0) is not None


@pytest.mark.parametrize("name", CASES)
def test_what_a_training_advises_helps(name: str, follow, heard) -> None:
    follow(CASES[name])


@pytest.mark.parametrize("name", NOTES)
def test_what_a_ranking_notes_of_time_ends_with_more_of_it(name: str, heard) -> None:
    short, said, longer = NOTES[name]
    told = [why for why in short() if said in why]
    assert told
    assert not [why for why in longer() if said in why]
    heard(told[0])
