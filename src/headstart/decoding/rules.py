"""What a network may write: which tokens end it, which are never written, and how many there are.

These are facts of a network and its tokenizer, and travel with them; how someone wants it to write
is ``types.texts.Telling``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.types.texts import Telling


@dataclass(frozen=True)
class WritingRules:
    """What may be written.

    Attributes:
        ends: Ids that end what is written, at least one.
        fill: The id that fills short rows up.
        never: Ids that are never written.
        has_last_end: Whether the last token that there is room for is an end.
        stops_full: Whether a search by beams ends with as many texts as it has beams; otherwise
            when none under way can be better.
        room: Tokens that are read and written together at the most; None where they are not
            counted together.
    """

    ends: tuple[int, ...]
    fill: int
    never: tuple[int, ...] = ()
    has_last_end: bool = False
    stops_full: bool = False
    room: int | None = None

    def most_of(self, how: Telling, lengths: np.ndarray) -> np.ndarray:
        """Return how many tokens are written at the most.

        Args:
            how: Says how many, too.
            lengths: int64, shape (B,), tokens that are read of each row.

        Returns:
            int64, shape (B,), at least 1 each.
        """
        found = np.array([how.most_of(length) for length in lengths.tolist()], np.int64)
        if self.room is not None:
            found = np.minimum(found, self.room - lengths)
        return np.maximum(found, 1)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> WritingRules:
        """Return what ``to_json`` wrote.

        Raises:
            ValueError: If it is none; also KeyError and TypeError.
        """
        found = cls(**{**record, "ends": tuple(record["ends"]), "never": tuple(record["never"])})
        ids = (*found.ends, *found.never, found.fill)
        is_whole = all(type(i) is int and i >= 0 for i in ids)
        flags = (found.has_last_end, found.stops_full)
        has_room = found.room is None or (type(found.room) is int and found.room > 0)
        if not (found.ends and is_whole and has_room and all(type(f) is bool for f in flags)):
            raise ValueError(f"rules of writing {dict(record)}")
        return found
