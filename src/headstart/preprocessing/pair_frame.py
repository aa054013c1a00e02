"""The special tokens that a tokenizer puts around texts, and how two are cut to a length.

What is read here is the tokenizer's own template: ``[CLS] first [SEP] second [SEP]`` of BERT,
``<s> first </s></s> second </s>`` of RoBERTa. Its truncation ``longest_first`` is done here, so
that texts of any length are encoded in pieces of bounded memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import StartError

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class PairFrame:
    """Special tokens around two texts.

    Attributes:
        before: Ids before the first.
        between: Ids between both.
        behind: Ids behind the second.
        has_types: Whether the template gives the second text, and what is behind it, type 1.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]
    has_types: bool

    @property
    def num_special(self) -> int:
        """How many there are."""
        return len(self.before) + len(self.between) + len(self.behind)

    def joined(self, first: list[int], second: list[int]) -> list[int]:
        """Return the ids of a pair."""
        return [*self.before, *first, *self.between, *second, *self.behind]

    def seam(self, first: list[int]) -> int:
        """Return the place of the first token of the second text."""
        return len(self.before) + len(first) + len(self.between)


def find_pad_id(backend: tokenizers.Tokenizer, config: Mapping[str, object], origin: str) -> int:
    """Return the id that fills short texts up."""
    token = config.get("pad_token")
    if isinstance(token, dict):
        token = token.get("content")
    found = backend.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        raise StartError(
            f"The tokenizer of '{origin}' has pad_token {token!r}, which is not in its vocabulary. "
            f"Expected a token that fills short texts up. Choose an encoder such as BERT."
        )
    return int(found)


def find_frame(backend: tokenizers.Tokenizer, origin: str) -> tuple[list[int], list[int]]:
    """Return the ids that stand before and after every text."""
    for text in ("a", "1", "的", "."):
        body = backend.encode(text, add_special_tokens=False).ids
        whole = backend.encode(text, add_special_tokens=True).ids
        for place in range(len(whole) - len(body) + 1):
            if body and whole[place : place + len(body)] == body:
                return whole[:place], whole[place + len(body) :]
    raise StartError(
        f"The tokenizer of '{origin}' puts special tokens elsewhere than before and after a text. "
        f"Expected a template such as [CLS] text [SEP]. Choose another start."
    )


def find_pair_frame(backend: tokenizers.Tokenizer, origin: str) -> PairFrame:
    """Return the special tokens around two texts, as a tokenizer's own template puts them.

    Args:
        backend: Without truncation and padding.
        origin: Names the start in a refusal.

    Raises:
        StartError: If both texts are not found one behind the other, with a token between them.
    """
    for one, other in (("a", "1"), ("的", "."), (".", "a")):
        first = backend.encode(one, add_special_tokens=False).ids
        second = backend.encode(other, add_special_tokens=False).ids
        whole = backend.encode(one, other, add_special_tokens=True)
        begin = _find(whole.ids, first, 0)
        seam = _find(whole.ids, second, begin + len(first))
        if not first or not second or begin < 0 or seam <= begin + len(first):
            continue
        end = seam + len(second)
        types, ids = whole.type_ids, whole.ids
        return PairFrame(
            tuple(ids[:begin]),
            tuple(ids[begin + len(first) : seam]),
            tuple(ids[end:]),
            types == [0] * seam + [1] * (len(ids) - seam),
        )
    raise StartError(
        f"The tokenizer of '{origin}' has no template for two texts. Expected one that puts a "
        f"token between them, such as [CLS] first [SEP] second [SEP]. Choose another start."
    )


def kept_of_both(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of two texts fit together, the longer one being cut first.

    Args:
        first: Tokens of the first.
        second: Of the second.
        room: For both, without special tokens.

    Source:
        ``longest_first`` of the tokenizers library (utils/truncation.rs, version 0.23).

    Example:
        >>> kept_of_both(3, 9, 10), kept_of_both(8, 9, 10), kept_of_both(9, 8, 11)
        ((3, 7), (5, 5), (6, 5))
    """
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    # what the shorter leaves; where that is less than it has itself, both get half
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (short, long) if first <= second else (long, short)


def _find(ids: list[int], part: list[int], begin: int) -> int:
    """Return where a part stands in ids, from a place on; -1 where it does not."""
    places = range(max(begin, 0), len(ids) - len(part) + 1)
    return next((i for i in places if ids[i : i + len(part)] == part), -1)
