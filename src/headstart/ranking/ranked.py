"""What a ranking of starts found, as records."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from headstart.types import Figure, Start

_OF_START = ("family", "num_parameters", "licence", "pretrained_on", "objective")


@dataclass(frozen=True)
class RankedStart:
    """A start with what is known of it for these data.

    Attributes:
        start: The start.
        place: 1 is the best; None where it could not be scored.
        kind: How it was scored: ``features`` (simple methods read them), ``trained`` (random
            weights, trained for a moment), ``not scored``.
        figure: Accuracy of classes; the share of the variance that is explained otherwise: on
            samples that were left out, by ridge regression on what a head would read, or after the
            short training.
        ridge: The same from the block that tells most; NaN where there are no features.
        neighbours: The same by nearest neighbours; NaN where there are no features.
        collapse: Distance to neural collapse, lower is nearer; NaN likewise.
        block: The figure on a fifth of the samples, after the last block was trained for a moment
            on the others; NaN where that was not done.
        prior: What is known of it beforehand, higher is better; NaN where nothing is.
        log_evidence: LogME, for those who compare it; it counts for nothing here.
        h_score: H-score, likewise.
        tap: Whose output was read best: ``features``, or a block.
        size: Side of the network input in pixels; None where samples are no images.
        milliseconds: Of a pass, a sample.
        step_bytes: Memory of a training step, without weights; None where nobody measured it.
        minutes: What fine-tuning by its default strategy would take here.
        best_chance: Chance to be the best of those scored.
        why: Reasons in words.
    """

    start: Start
    place: int | None
    kind: str
    figure: Figure
    ridge: float
    neighbours: float
    collapse: float
    block: float
    prior: float
    log_evidence: float
    h_score: float
    tap: str
    size: int | None
    milliseconds: float
    step_bytes: int | None
    minutes: float
    best_chance: float
    why: str


@dataclass(frozen=True)
class Control:
    """What a simple method reads from the samples themselves.

    Attributes:
        name: The address of a start that knows nothing, whose features it reads.
        figure: As that of a start.
    """

    name: str
    figure: Figure


@dataclass(frozen=True)
class Ranking:
    """All candidates, the best first, and what to try.

    Attributes:
        starts: The best first; those that could not be scored come last.
        shortlist: Addresses of those worth a try: the fewest that hold one of the best with a
            chance of 90 %, three at the most.
        figure_name: What ``RankedStart.figure`` is.
        num_samples: Training samples that were read.
        regret: What taking the first loses on average, in the figure's unit, with the range of
            95 % of the draws.
        seconds: What the ranking took.
        control: What a simple method reads without a start; None where it failed.
    """

    starts: tuple[RankedStart, ...]
    shortlist: tuple[str, ...]
    figure_name: str
    num_samples: int
    regret: Figure
    seconds: float
    control: Control | None = None

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON can hold it; what is not a number is null."""
        found = asdict(self)
        for one in found["starts"]:
            start = one.pop("start")
            one |= {name: start[name] for name in _OF_START} | {"start": start["address"]}
        cleaned = _cleaned(found)
        assert isinstance(cleaned, dict)
        return cleaned


def _cleaned(value: object) -> object:
    """Return a value without NaN and tuples."""
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return None if isinstance(value, float) and value != value else value
