"""What is always the same of a task: what it is called, what is told, and what follows from that.

Rooms ask for these facts, never for a task's name; what several of them need is a property here, so
that a new task answers it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headstart.tasks.part import TargetPart
from headstart.tasks.words import TaskWords
from headstart.types import PLAINLY, Deciding, Measure


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskFacts:
    """What a task says of itself.

    Attributes:
        name: What ``Schema.task`` and a user call it.
        figures: What each figure of ``scores`` measures, in the order in which a report lists them.
        headline: The figure that leads, and that candidates are ranked by.
        validation_metric: The figure that ``validation_score`` gives; higher is better.
        item_loss: What the loss of one item is called.
        probe: Which solver fits a linear model, a row of ``training.probing.probe.PROBES``.
        head: Which head gives the logits.
        words: The words of reports.
        stratified: How a split is drawn, in words.
        has_classes: Whether targets are among named classes.
        is_exclusive: Whether a sample has exactly one of the classes. Then each must be on every
            side of a split, and samples can be drawn by class.
        has_label_sets: Whether a sample has any number of them: cells hold lists, arrays 0 and 1.
        is_smoothed: Whether smoothing targets over classes makes sense.
        is_linear: Whether outputs are logits, scaled and shifted: coefficients in the data's units.
        tells_words: Whether something is told of each word of a text: targets and outputs are
            ragged, and texts come with their words.
        tells_texts: Whether a text is told of each sample, by writing it: targets are texts,
            outputs rows of ``types.texts.TOLD``, and the network ends in a vocabulary.
        finds_texts: Whether one is told by finding it: outputs are ``types.questions.FOUND``.
        matches_texts: Whether images and texts find one another: outputs embed both.
        is_chosen_by_texts: Whether ``validation_score`` reads texts; else none need be written.
        written_as: Of these the kind of preprocessing, a row of ``preprocessing.KINDS``.
        plain_start: The start that is tried where nobody names one, where a task has its own.
        chosen_among: Of a model that is told what to choose among, the option of ``predict`` that
            says it, and a file; else empty.
        transformers_problem: What transformers' sequence classifiers call it; empty: nothing.
        hub_task: The hub's own word for it; empty where that is made of the samples' and this one.
        deciding: How answers are made of outputs; a model's own task has what was tuned for it.
        parts: Of several targets what each is; ``can_be_part``: whether one of them may ask for it.
    """

    name: str
    figures: Mapping[str, Measure]
    headline: str
    validation_metric: str
    item_loss: str
    probe: str
    words: TaskWords
    stratified: str
    head: str = "linear"
    has_classes: bool = False
    is_exclusive: bool = False
    has_label_sets: bool = False
    is_smoothed: bool = False
    is_linear: bool = False
    tells_words: bool = False
    tells_texts: bool = False
    finds_texts: bool = False
    matches_texts: bool = False
    is_chosen_by_texts: bool = True
    written_as: str = ""
    plain_start: str = ""
    chosen_among: tuple[()] | tuple[str, str] = ()
    transformers_problem: str = ""
    hub_task: str = ""
    deciding: Deciding = PLAINLY
    parts: tuple[TargetPart, ...] = ()
    can_be_part: bool = False

    @property
    def is_answered_whole(self) -> bool:
        """Whether each sample has one answer of its own: a class, labels, a number or several.

        Then it can be drawn into folds, a probe tells it from the features of a sample, columns
        beside it help, and a decision has a threshold. Not where words are tagged, texts written or
        found, or images and texts find one another.
        """
        return not self.tells_words and self.has_temperature

    @property
    def has_no_contest(self) -> bool:
        """Whether ``fit`` makes one training to its end, chosen by short ones; else it compares."""
        return not self.has_temperature

    @property
    def has_temperature(self) -> bool:
        """Whether outputs come of logits that a temperature divides."""
        return not (self.tells_texts or self.finds_texts or self.matches_texts)
