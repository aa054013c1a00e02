"""A small masked autoencoder on real digits of 8 x 8 pixels, for tests of pretraining."""

from __future__ import annotations

import torch

import headstart as hs
from headstart.pretraining.building import build_pixels
from headstart.pretraining.images import read_images
from headstart.pretraining.objective import Givens
from headstart.starts import find_start
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions


def make_learner(data=None, **said):
    """Return a learner of hidden patches; what is said goes over small steps of a small network."""
    options = PretrainingOptions(
        **{
            "objective": "mae",
            "decoder_width": 32,
            "decoder_blocks": 1,
            "num_steps": 12,
            "batch_size": 48,
            "learning_rate": 1e-3,
            **said,
        }
    )
    start = find_start(options.start or "scratch/vit-mini")
    images = read_images(hs.load("digits-8x8") if data is None else data, options)
    learner = build_pixels(
        images, Givens(options, start, torch.device("cpu"), Budget(None), Decisions())
    )
    learner.num_checked = 96  # a look takes its time, and tests look often
    return learner


def weights(learner):
    """Return all weights of a learner, one after the other."""
    return torch.cat([t.detach().flatten().clone() for t in learner.module.state_dict().values()])
