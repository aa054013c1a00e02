"""fastai, as its vision tutorial does it: data loaders from a folder, a Learner, one cycle.

The optimizer is torch's SGD inside fastai's wrapper (fastai's own has no Nesterov momentum), and
the validation after each epoch is switched off, because no other peer has one.
"""

from __future__ import annotations

import time
from functools import partial

import torch
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Callback, CancelValidException, Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed
from fastai.vision.augment import Flip, RandomResizedCrop, Resize
from fastai.vision.data import ImageDataLoaders, Normalize
from peer_task import CROP_SCALE, MEAN, STD, Settings, answer, build_start
from photos import collate, read_photos
from torch.utils.data import DataLoader


class NoValidation(Callback):
    """Leave out the pass over the test files after each epoch."""

    def before_validate(self) -> None:
        """Cancel it while fitting; ``get_preds`` runs without this callback."""
        raise CancelValidException


def loaders_from_memory(settings: Settings) -> tuple[DataLoaders, int]:
    """Return torch's loaders of images in memory, which fastai takes too, and how many classes."""
    train_set, test_set = read_photos(settings, "train"), read_photos(settings, "test")
    train_loader = DataLoader(
        train_set, batch_size=settings.batch_size, shuffle=True, collate_fn=collate
    )
    return DataLoaders(train_loader, DataLoader(test_set, batch_size=64, collate_fn=collate)), len(
        train_set.classes
    )


def loaders_from_files(settings: Settings) -> tuple[DataLoaders, int]:
    """Return loaders of train and, as fastai's "valid", of test, and how many classes."""
    if settings.augment == "none":
        item, batch = [Resize(settings.size)], []
    else:
        # val_xtra=0: the test images keep their own size, as with the others
        item = [RandomResizedCrop(settings.size, min_scale=CROP_SCALE, val_xtra=0.0)]
        batch = [Flip()]
    loaders = ImageDataLoaders.from_folder(
        settings.folder,
        train="train",
        valid="test",
        item_tfms=item,
        batch_tfms=[*batch, Normalize.from_stats(MEAN, STD, cuda=False)],
        bs=settings.batch_size,
        val_bs=64,
        num_workers=settings.num_workers,
        device=torch.device("cpu"),
        drop_last=False,
    )
    return loaders, len(loaders.vocab)


def run(settings: Settings) -> dict[str, object]:
    """Fine-tune what learns and answer for test."""
    began = time.perf_counter()
    set_seed(settings.seed)
    build_loaders = loaders_from_memory if settings.in_memory else loaders_from_files
    loaders, num_classes = build_loaders(settings)
    learner = Learner(
        loaders,
        build_start(settings, num_classes),
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(
            OptimWrapper, opt=torch.optim.SGD, momentum=settings.momentum, nesterov=True
        ),
        lr=settings.learning_rate,
        wd=settings.weight_decay,
        wd_bn_bias=False,
    )
    peak = settings.learning_rate
    rates = combined_cos(settings.warmup_fraction, peak / 25, peak, 0.0)
    callbacks = [NoValidation(), ParamScheduler({"lr": rates})]
    started, processor_started = time.perf_counter(), time.process_time()
    with learner.no_bar(), learner.no_logging():
        learner.fit(settings.num_epochs, cbs=callbacks)
    train_seconds = time.perf_counter() - started
    processor_seconds = time.process_time() - processor_started
    with learner.no_bar(), learner.no_logging():
        scores, targets = learner.get_preds(dl=loaders.valid)
    return answer(
        settings,
        learner.model,
        train_seconds=train_seconds,
        num_correct=int((scores.argmax(dim=1) == targets).sum()),
        num_test=len(targets),
        job_seconds=time.perf_counter() - began,
        processor_seconds=processor_seconds,
    )
