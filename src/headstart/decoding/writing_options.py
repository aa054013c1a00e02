"""What a user says of writing: length, beams, and what is drawn; of a command or of a request."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

from headstart.types.texts import Telling

_MOST_BEAMS, _MOST_TOKENS, _HOTTEST = 16, 100_000, 100.0


@dataclass(frozen=True)
class Writing:
    """What was said of writing; None and a seed of 0 leave it to the run.

    Attributes:
        max_tokens: Of an answer, at the most.
        num_beams: Beginnings that are followed at once.
        temperature: Divides logits before a token is drawn; None draws none.
        top_p: Share of the likeliest tokens that are drawn from.
        seed: Of the draws.
    """

    max_tokens: int | None = None
    num_beams: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0

    @property
    def said(self) -> dict[str, object]:
        """What is not left to the run, by name."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        left = {"seed": 0}
        return {
            n: value for n, value in every.items() if value is not None and value != left.get(n)
        }

    def problems(self) -> list[str]:
        """Return a sentence for all that is out of range or means nothing."""
        whole = {"max_tokens", "num_beams", "seed"}
        found = [
            f"{name} is {value!r}, expected a {'whole ' if name in whole else ''}number"
            for name, value in self.said.items()
            if isinstance(value, bool) or not isinstance(value, Integral if name in whole else Real)
        ]
        if found:
            return found
        tokens, beams, warmth, share = (
            self.max_tokens,
            self.num_beams,
            self.temperature,
            self.top_p,
        )
        if tokens is not None and not 1 <= tokens <= _MOST_TOKENS:
            found.append(f"max_tokens is {tokens}, expected 1 to {_MOST_TOKENS:,}")
        if beams is not None and not 1 <= beams <= _MOST_BEAMS:
            found.append(f"num_beams is {beams}, expected 1 to {_MOST_BEAMS}")
        if warmth is not None and not (math.isfinite(warmth) and 0 < warmth <= _HOTTEST):
            found.append(f"temperature is {warmth:g}, expected above 0, such as 0.7")
        if share is not None and not 0 < share <= 1:
            found.append(f"top_p is {share:g}, expected above 0 to 1")
        if warmth is not None and (beams or 1) > 1:
            found.append("temperature draws tokens and num_beams follows the likeliest; say one")
        if warmth is None and (share is not None or self.seed):
            names = [name for name in ("top_p", "seed") if self.said.get(name)]
            found.append(f"{' and '.join(names)} is of draws; say --temperature 1, too")
        return found

    def applied(self, how: Telling) -> Telling:
        """Return how is written as was said, and else as before."""
        changed: Any = self.said
        return replace(how, **changed)
