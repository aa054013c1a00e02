"""The strategies: what learns, in which phases, at which rates.

A strategy is a frozen record and a row of ``STRATEGIES``; whoever does something that differs
between strategies asks the record, and nobody else compares their names (``tests/test_house.py``).
No torch, so that ``--help`` and the checks of options are quick; which parameters that makes, and
their optimizer, is ``strategy``'s. Which strategy a start gets where nobody says one is one rule,
``default_strategy``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.types import GROWN, WRITING, Start

AUTO = "auto"  # stands for the strategy that ``default_strategy`` names
Stage = tuple[float, int]  # progress in [0, 1) at which it begins, and how many last layers learn


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What learns, in which phases, at which rates. A strategy never loops itself.

    Attributes:
        name: What a user calls it.
        sentence: What learns, in a few words, for the help of ``--strategy``.
        stages: Of the number of the encoder's layers, and of ``num_last_layers``: when each phase
            begins, the first at 0, and how many of the last layers learn from then on. What has
            begun to learn goes on to the end.
        num_probe_samples: Most samples of the linear probe that comes first; a probe gains little
            from more, and its cost grows with them. 0 fits none, and the head begins at random.
        loops: Whether gradient steps follow. Without them the head is the probe, and the encoder
            stays as the start gives it.
        adapters: Whether low-rank adapters learn in place of the layers' own weights.
        is_in_four_bits: Whether the weights beside the adapters are rounded to four bits.
        is_cacheable: Whether layers stay frozen from the first sample on, so that their outputs can
            be kept.
        counts_layers: Whether ``num_last_layers`` says how many layers learn.
        rate: Its learning rate as a multiple of the family's own.
        bottom_multiplier: First layer's rate as a multiple; None for the family's own.
    """

    name: str
    sentence: str
    stages: Callable[[int, int], Sequence[Stage]]
    num_probe_samples: int
    loops: bool = True
    adapters: bool = False
    is_in_four_bits: bool = False
    is_cacheable: bool = False
    counts_layers: bool = False
    rate: float = 1.0
    bottom_multiplier: float | None = None

    @property
    def probes(self) -> bool:
        """Whether a linear probe on the start as it is comes first."""
        return self.num_probe_samples > 0


_GRADUAL_SHARE = 0.5  # of the steps, until everything learns


def _nothing(num_layers: int, num_last_layers: int) -> Sequence[Stage]:
    return [(0.0, 0)]


def _last(num_layers: int, num_last_layers: int) -> Sequence[Stage]:
    return [(0.0, num_last_layers)]


def _everything(num_layers: int, num_last_layers: int) -> Sequence[Stage]:
    return [(0.0, num_layers)]


def _more_and_more(num_layers: int, num_last_layers: int) -> Sequence[Stage]:
    """Free the last layer, then the last two, four, eight …, for equal shares; then everything."""
    partial = [2**i for i in range(num_layers) if 2**i < num_layers]
    counts = [*partial, num_layers]
    share = _GRADUAL_SHARE / max(1, len(partial))
    return [(share * index, count) for index, count in enumerate(counts)]


HEAD = Strategy(
    name="head",
    sentence="a linear head on frozen features",
    stages=_nothing,
    num_probe_samples=200_000,
    loops=False,
)
LAST_N = Strategy(
    name="last-n",
    sentence="also the last layers",
    stages=_last,
    num_probe_samples=20_000,
    is_cacheable=True,
    counts_layers=True,
)
# Kumar et al., ICLR 2022
LP_FT = Strategy(
    name="lp-ft",
    sentence="first the head, then everything",
    stages=_everything,
    num_probe_samples=20_000,
)
# Howard and Ruder, ACL 2018
GRADUAL = Strategy(
    name="gradual",
    sentence="first the head, then layer after layer from the last one down",
    stages=_more_and_more,
    num_probe_samples=20_000,
    is_cacheable=True,
)
FULL = Strategy(
    name="full",
    sentence="everything at once",
    stages=_everything,
    num_probe_samples=0,
)
# Hu et al., ICLR 2022; ten times the full rate: Schulman et al., "LoRA Without Regret", 2025
LORA = Strategy(
    name="lora",
    sentence="first the head, then low-rank adapters beside frozen weights",
    stages=_everything,
    num_probe_samples=20_000,
    adapters=True,
    rate=10.0,
    bottom_multiplier=1.0,
)

# Dettmers et al., NeurIPS 2023
QLORA = replace(
    LORA,
    name="qlora",
    sentence="the same beside weights of four bits (extra qlora)",
    is_in_four_bits=True,
)

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (HEAD, LAST_N, LP_FT, GRADUAL, FULL, LORA, QLORA)
}


def strategy_choices() -> tuple[str, ...]:
    """Return what a user may say."""
    return (AUTO, *STRATEGIES)


def find_strategy(name: str) -> Strategy:
    """Return a strategy by its name.

    Raises:
        OptionError: With the nearest match, if there is none.
    """
    if name not in STRATEGIES:
        known = list(STRATEGIES)
        raise OptionError(
            f"strategy is '{name}', expected {quoted(known, limit=20)}."
            f"{did_you_mean(name, known)} Give one of them."
        )
    return STRATEGIES[name]


# What ``default_strategy`` does, for the help of ``--strategy``.
DEFAULT_SENTENCE = (
    "auto is lp-ft for a pretrained start, head for trees (they are grown at once) and for a "
    "linear one (it is solved for, unless an option such as learning_rate or num_steps asks for "
    "gradient steps), and full for other random weights and for what writes texts"
)


def default_strategy(start: Start, asked: Sequence[str] = ()) -> tuple[Strategy, str]:
    """Return what learns where nobody says it, and why.

    Args:
        start: Linear, pretrained, or neither.
        asked: Options that only gradient steps can serve, as ``limits.steps_asked`` names them.
    """
    if start.family in GROWN:
        return HEAD, "the start is trees, which are grown at once"
    if start.family in WRITING:
        return FULL, "the start writes texts, and all of it tells the next token"
    if start.family == "linear":
        if asked:
            *others, last = asked
            names = f"{', '.join(others)} and {last} ask" if others else f"{last} asks"
            return FULL, f"the start is linear, and {names} for gradient steps"
        return HEAD, "the start is linear, and a linear model is solved for"
    if start.pretrained_on is not None:
        return LP_FT, "the start is pretrained"
    return FULL, "the weights are random"


def own_strategy(start: Start, *, matches_texts: bool) -> Strategy:
    """Return what learns of a start where nobody says it.

    Args:
        start: The start.
        matches_texts: Whether images and texts are to find one another.
    """
    return (matching_strategy(start, AUTO) if matches_texts else default_strategy(start))[0]


def matching_strategy(start: Start, said: str) -> tuple[Strategy, str | None]:
    """Return what learns where images and texts are to find one another, and why.

    Args:
        start: What embeds both.
        said: What the user said, or ``auto``.

    Returns:
        The strategy, and why it was chosen; None where the user said it.

    Raises:
        OptionError: If it needs a head on one vector a sample, of which there is none.
    """
    if said == AUTO:
        return FULL, "images and texts are embedded by all of both networks"
    strategy = find_strategy(said)
    if strategy not in (FULL, LAST_N, LORA, QLORA):
        raise OptionError(
            f"strategy is '{strategy.name}', which begins with a linear head, and "
            f"'{start.address}' embeds images and texts without one. Expected '{FULL.name}', "
            f"'{LAST_N.name}' or '{LORA.name}'. Leave --strategy out for the first."
        )
    return strategy, None


def check_strategy(start: Start, strategy: Strategy) -> None:
    """Refuse gradient steps for a start that has no gradients, and a head where there is none.

    Raises:
        OptionError: If so.
    """
    if start.family in WRITING and strategy in (HEAD, LP_FT, GRADUAL):
        raise OptionError(
            f"strategy is '{strategy.name}', which begins with a head on frozen features, and "
            f"'{start.address}' writes texts: it has its vocabulary in place of a head. Expected "
            f"'{FULL.name}', '{LAST_N.name}' or '{LORA.name}'. Leave --strategy out for the first."
        )
    if start.family in GROWN and strategy.loops:
        raise OptionError(
            f"strategy is '{strategy.name}', and '{start.address}' is trees, which are grown at "
            f"once and take no gradient steps; expected '{HEAD.name}'. Leave --strategy out."
        )
