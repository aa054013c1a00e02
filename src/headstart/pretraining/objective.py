"""What an objective brings, and what it is given: the seam between the verb and its objectives.

The verb knows budget, folder, loop, processes and report; an objective knows what is hidden from a
network and what the network is to say of it. Between the two stand the records of this file. A new
objective is one file with a ``Learner`` and one row of ``table.OBJECTIVES``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from headstart.training.contract import Check
from headstart.training.options.strategy import as_trained
from headstart.types import BadSample, Data, Dataset, Finding, Identified, Modality, Start

if TYPE_CHECKING:
    from headstart.starts import Encoder
    from headstart.training.batches.feed import Batch, Feed
    from headstart.training.batches.order import Share
    from headstart.training.options.pretraining_options import PretrainingOptions
    from headstart.training.options.recipe import Recipe
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decisions

GAIN = "gain"  # what a check is scored by: 1 - loss / trivial loss


class Corpus(Identified, Protocol):
    """What is learned from: samples without labels, some of them held out.

    That a test split was left alone is one of its ``findings``.

    Attributes:
        labelled: The data that labels were read of, with a test split; None where nothing says any.
    """

    @property
    def labelled(self) -> Dataset | None:
        """The data that labels were read of."""
        ...

    def of(self, dataset: Dataset) -> Corpus:
        """Return the corpus of other data."""
        ...

    def describe(self) -> dict[str, object]:
        """Return the content of ``data.json``."""
        ...


@dataclass(frozen=True)
class Givens:
    """What a learner is built with.

    Attributes:
        options: As the user said them.
        start: Where to begin.
        device: Where it learns.
        budget: Of the run.
        decisions: What the run settles once; a worker has the main process's.
    """

    options: PretrainingOptions
    start: Start
    device: torch.device
    budget: Budget
    decisions: Decisions


@dataclass(frozen=True)
class Passage:
    """One part of a sample as the report shows it.

    Attributes:
        caption: Such as ``original``, ``masked``, ``reconstructed``.
        kind: ``png``: content is a PNG in base64; ``text``: content is a text.
        content: See above.
    """

    caption: str
    kind: Literal["png", "text"]
    content: str


@dataclass(frozen=True)
class Shown:
    """One held-out sample, shown part by part."""

    name: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Learned:
    """What is to be said of what was learned; ``metrics.json`` and ``views.json`` keep it.

    Attributes:
        loss: Of the held-out samples, by the weights that are handed over: ``{"value", "low",
            "high"}``, a 95 % interval over samples.
        trivial: The same loss of predictors that know nothing of a sample, by what each says; the
            first is the one that ``gain`` is measured by.
        figures: Other figures, each ``{"value", "low", "high"}``, such as the perplexity.
        shown: Held-out samples for the report.
        findings: What a user should know of it.
        bad_samples: Left out while preparing, each with its reason; the corpus knows of the others.
    """

    loss: Mapping[str, float]
    trivial: Mapping[str, float]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shown: Sequence[Shown] = ()
    findings: Sequence[Finding] = ()
    bad_samples: Sequence[BadSample] = ()


class Learner(ABC):
    """A network with what it learns from: all that is an objective's own.

    Attributes:
        module: All weights that learn, on their device. ``module.encoder`` is the encoder that is
            handed over; the rest of its state dict goes into the folder too, under its own names.
        recipe: Every training option, resolved; ``num_steps`` and ``micro_batch_size`` may be
            settled anew by the verb before the first step.
        num_samples: Samples that are learned from: those of an epoch of its feed.
    """

    module: nn.Module
    recipe: Recipe
    num_samples: int

    @property
    def encoder(self) -> Encoder:
        """What is handed over."""
        encoder: Any = self.module.encoder
        found: Encoder = encoder
        return found

    @abstractmethod
    def feed(self, share: Share) -> Feed:
        """Return the batches of all steps, of which a share is this process's.

        What is hidden from a sample is a function of (seed, step, sample id), ``Piece.step`` and
        ``Piece.ids``. Where samples hide different numbers of things, ``Feed.weights`` says how
        many each hides at a step: ``Batch.part`` is then by these, so that the loss of the step is
        the mean over all that is hidden in it, for any micro-batch and any number of processes.
        """

    @contextmanager
    def as_it_trains(self) -> Iterator[None]:
        """Have everything learn inside the block, in the mode that the loop sets; for trials.

        A language model drops nothing out while it pretrains (``LanguageModel.train``): a step that
        did would take longer, more memory, and other kernels. Flags, modes, running statistics and
        random state come back.
        """
        with as_trained(self.module, {n for n, _ in self.module.named_parameters()}, "train"):
            self.module.train()
            yield

    @abstractmethod
    def compute_loss(self, batch: Batch) -> Tensor:
        """Return the mean loss over what is hidden in a micro-batch, shape (), with gradients.

        The passes run in ``stepping(recipe, device)``; the loss is float32.
        """

    @abstractmethod
    def validate(self, stop_requested: Callable[[], bool]) -> Check:
        """Return what the weights that are in the module now know of the held-out samples.

        What is hidden from these never changes. ``Check.metric`` is ``GAIN``, higher is better.
        Called at every tenth of the run: an objective that probes does so here, and remembers.

        Raises:
            StopRequested: If someone asked to stop.
        """

    @abstractmethod
    def conclude(self) -> Learned:
        """Return what is to be said of the weights that are in the module now, at the end."""

    def about(self) -> dict[str, object]:
        """Return what ``model.json`` keeps besides, under ``pretraining``: JSON-able."""
        return {}

    def close(self) -> None:
        """Let go of what the learner has open."""
        return None


@dataclass(frozen=True)
class Objective:
    """What one can learn from samples alone: a row of ``table.OBJECTIVES``.

    Attributes:
        modality: What a sample is.
        default_start: Where it begins when nobody says.
        read: The data, as the user named it (a Dataset, what ``load`` reads, or a ``partial`` of
            ``load`` that the command line made), to a corpus. Labels are not looked at, and a test
            split is left alone, which the corpus's findings say.
        build: A corpus to a learner. Called by every process with the same means: what depends on a
            measurement goes through ``means.decisions``.
        then: The command that uses such a start, but for ``--start`` and its folder.
        is_encoder: Whether it gives features, so that it can be fine-tuned.
    """

    modality: Modality
    default_start: str
    read: Callable[[Data, PretrainingOptions], Corpus]
    build: Callable[[Any, Givens], Learner]
    then: str = "finetune DATA"
    is_encoder: bool = True
