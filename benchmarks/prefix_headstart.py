"""headstart where only a part learns: the frozen part is computed once, or at every step.

``last-n`` with the settings of the peers, as ``peer_headstart`` has them for ``full``; ``head`` has
no settings: features are computed once and the head is solved for. The time is that of ``tune``:
probe, cut, frozen part, loop with its validation checks, and the last validation.
It is taken apart by headstart's own events, each of which ends a part.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch
from milestones import import_everything
from peer_headstart import START, refuse_unequal
from peer_task import MEAN, STD, VIT, Settings, answer
from torch import nn

import headstart as hs
from headstart.events import listen
from headstart.recipes.run import Run
from headstart.starts import BuildRequest, Encoder, build_encoder, find_start, wrap_module
from headstart.training.frozen.cut import Cut, cut_network
from headstart.tuning.arm import Arm, Tuned
from headstart.types import Dataset, ImageSpec

import_everything("timm", "torchvision")
_TUNED = "Evaluating on the test split"


@dataclass(frozen=True)
class Trial:
    """One configuration of a sweep."""

    learning_rate: float
    weight_decay: float


class Parts:
    """Where the time of one run goes, heard from its events."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, str]] = []
        self._probe_began = self._featured = 0.0
        self.note = ""

    def hear(self, kind: str, fields: dict[str, object]) -> None:
        """Take note of the moment at which a part ends."""
        now, name, text = time.perf_counter(), fields.get("name"), str(fields.get("text", ""))
        if kind == "stage" and text.startswith("Linear probe"):
            self._probe_began = now
        elif kind == "stage" and text == _TUNED:
            self._ends.append((now, "loop"))
        elif kind == "choice" and name == "views":
            self._ends.append((now, "cut"))
            self.note = str(fields["why"])
        elif kind == "note" and text.startswith("Probe:"):
            self._ends.append((now, "probe"))
        elif kind == "note" and text.startswith("It trains uncached"):
            self.note = text
        elif kind == "task" and fields.get("done") == fields.get("total"):
            if str(name).startswith("frozen part"):
                self._ends.append((now, "frozen"))
            elif name == "probe features":
                self._featured = now

    def seconds(self, tune_seconds: float) -> dict[str, float]:
        """Return the seconds of each part that there was, and of the features within the probe.

        Args:
            tune_seconds: Of all parts together.
        """
        found: dict[str, float] = {}
        before = self._ends[-1][0] - tune_seconds
        for moment, part in self._ends:
            found[part] = found.get(part, 0.0) + moment - before
            before = moment
        if self._featured:  # not where a former run has computed them
            found["features"] = self._featured - self._probe_began
        return found


def build_module(settings: Settings) -> nn.Module:
    """Return the ViT without a head, with the weights that all sides share."""
    import timm
    from safetensors.torch import load_file

    module = timm.create_model(VIT, img_size=settings.size, num_classes=0)
    module.load_state_dict(load_file(settings.weights))
    return module


def spec_of(settings: Settings) -> ImageSpec:
    """Return the preprocessing of the ViT."""
    size = settings.size
    return ImageSpec(size, 3, MEAN, STD, "bilinear", size, 3)


def build(settings: Settings, dataset: Dataset) -> Encoder:
    """Return the encoder as ``finetune`` builds it."""
    if settings.network == "vit-tiny":
        return wrap_module(build_module(settings), spec_of(settings))
    return build_encoder(
        find_start(START),
        BuildRequest(
            image_size=dataset.image_size, image_channels=dataset.image_channels, size=settings.size
        ),
    )


def measure_cut(settings: Settings, encoder: Encoder) -> dict[str, float]:
    """Return the share of a pass that is frozen, by arithmetic and by time, and what learns."""
    learns = set(encoder.layers[-1]) if settings.trainable == "last" else set[str]()
    num_learning = 0
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name in learns)
        num_learning += parameter.numel() * (name in learns)
    if not learns:
        return {"flop_share": 1.0, "time_share": 1.0, "num_learning": 0}
    example = torch.randn(settings.batch_size, 3, settings.size, settings.size)
    example = example.to(memory_format=torch.channels_last)
    cut = cut_network(encoder.to(memory_format=torch.channels_last), [example], batchnorm="frozen")
    if not isinstance(cut, Cut):
        raise RuntimeError(f"The network cannot be cut: {cut.reason}.")
    return {
        "flop_share": cut.flop_share,
        "time_share": cut.time_share(example),
        "num_learning": num_learning,
    }


@contextmanager
def processor_clock() -> Iterator[list[float]]:
    """Take the processor time of every arm inside the block, all threads together."""
    seconds: list[float] = []
    start, finish = Arm.start, Arm.finish
    began: list[float] = []

    def started(arm: Arm) -> None:
        began.append(time.process_time())
        start(arm)

    def finished(arm: Arm) -> Tuned:
        tuned = finish(arm)
        seconds.append(time.process_time() - began.pop())
        return tuned

    with patch.object(Arm, "start", started), patch.object(Arm, "finish", finished):
        yield seconds


def finetune(dataset: Dataset, settings: Settings, out: Path, views: int) -> Run:
    """Run headstart once, with every default that the peers do not share switched off."""
    is_vit = settings.network == "vit-tiny"
    start: str | nn.Module = build_module(settings) if is_vit else START
    spec = spec_of(settings) if is_vit else None
    size = None if is_vit else settings.size
    if settings.trainable == "head":
        return hs.finetune(
            dataset,
            start=start,
            spec=spec,
            strategy="head",
            out=str(out),
            input_size=size,
            imbalance="none",
            device="cpu",
            seed=settings.seed,
        )
    return hs.finetune(
        dataset,
        start=start,
        spec=spec,
        strategy="last-n",
        num_last_layers=1,
        views=views,
        out=str(out),
        input_size=size,
        num_epochs=settings.num_epochs,
        batch_size=settings.batch_size,
        optimizer="sgd",
        learning_rate=settings.learning_rate,
        head_multiplier=1.0,
        bottom_multiplier=1.0,
        weight_decay=settings.weight_decay,
        schedule="cosine",
        warmup_fraction=settings.warmup_fraction,
        augment="none" if settings.augment == "none" else "standard",
        label_smoothing=0.0,
        drop_path=0.0,
        mixup=0.0,
        imbalance="none",
        batchnorm="frozen",  # as the peers' frozen networks have it
        clip=0.0,
        ema=False,
        patience=0,
        precision="fp32",
        device="cpu",
        seed=settings.seed,
    )


def run(settings: Settings, trials: Sequence[Trial], *, is_cached: bool) -> dict[str, object]:
    """Fine-tune with every configuration, on one cache, and answer for test by the best on val."""
    dataset = hs.load(settings.folder)
    encoder = build(settings, dataset)
    began = time.perf_counter()
    encoder.preprocess.prepare(dataset, "train")
    encoder.preprocess.prepare(dataset, "val")
    decoding = time.perf_counter() - began
    views = settings.num_views if is_cached else 0
    results = [_once(dataset, settings, trial, views) for trial in trials]
    best = max(results, key=lambda result: float(result["val_accuracy"]))
    found = answer(
        settings,
        None,
        train_seconds=sum(float(result["tune_seconds"]) for result in results),
        num_correct=int(best["num_correct"]),
        num_test=int(best["num_test"]),
        job_seconds=time.perf_counter() - began,
        processor_seconds=sum(float(result["processor_seconds"]) for result in results),
    )
    cut = measure_cut(settings, encoder)
    return (
        found | cut | {"decode_seconds": decoding, "views_why": results[0]["why"], "runs": results}
    )


def _once(dataset: Dataset, settings: Settings, trial: Trial, views: int) -> dict[str, object]:
    """Run one configuration; return its times and figures."""
    mine = replace(settings, learning_rate=trial.learning_rate, weight_decay=trial.weight_decay)
    parts = Parts()
    with (
        tempfile.TemporaryDirectory() as folder,
        listen(parts.hear),
        processor_clock() as processor_seconds,
    ):
        run = finetune(dataset, mine, Path(folder) / "run", views)
        metrics, recipe = run.metrics, run.options["recipe"]
    if settings.trainable == "last":
        refuse_unequal(recipe, mine, batchnorm="frozen")
    num_test = int(metrics["test"]["num_items"])
    accuracy = float(metrics["test"]["figures"]["accuracy"]["value"])
    return {
        "tune_seconds": float(metrics["seconds"]["tune"]),
        "processor_seconds": sum(processor_seconds),
        "parts": parts.seconds(float(metrics["seconds"]["tune"])),
        "why": parts.note,
        "num_correct": round(accuracy * num_test),
        "num_test": num_test,
        "val_accuracy": float(metrics["val"]["figures"]["accuracy"]["value"]),
    }
