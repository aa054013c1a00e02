"""Languages that a start is told by tokens: which tokens these are, and where they stand.

Multilingual encoder–decoders say a language by a special token: before the text on both sides
(NLLB, M2M100, mBART-50), behind it (the first mBART), or that of the target alone before the text
that is read (multilingual Marian, ``>>fra<<``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headstart.errors import StartError, did_you_mean, quoted
from headstart.preprocessing.tokens import TextTokenizer

# FLORES-200's, M2M100's, mBART's, Marian's.
_TOKEN = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}|__[a-z]{2,3}__|[a-z]{2}_[A-Z]{2}|>>[\w-]+<<")
_SHOWN = 6


def is_language(token: str) -> bool:
    """Return whether a token is the name of a language, as these starts write it.

    Example:
        >>> [is_language(t) for t in ("deu_Latn", "__de__", "de_DE", ">>deu<<", "<pad>", "de")]
        [True, True, True, True, False, False]
    """
    return _TOKEN.fullmatch(token) is not None


@dataclass(frozen=True)
class Sides:
    """Tokenizers of both sides, with the tokens of their languages.

    Attributes:
        read: Of texts.
        told: Of targets.
        begin_id: The id that what is written begins with; None for the start's own.
        forced_id: The id that what is written has first; None for none.
    """

    read: TextTokenizer
    told: TextTokenizer
    begin_id: int | None = None
    forced_id: int | None = None


def in_languages(
    read: TextTokenizer, told: TextTokenizer, languages: str | None, origin: str
) -> Sides:
    """Return the tokenizers of both sides for a pair of languages.

    Args:
        read: Of texts.
        told: Of targets.
        languages: As the user says them, that of texts and that of targets, ``eng_Latn,deu_Latn``.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the start wants languages and none are said, or the reverse, or it knows
            none of that name.
    """
    known = {token: place for token, place in read.added_tokens.items() if is_language(token)}
    before, behind = read.frame
    framed = [i for i in (*before, *behind) if i in known.values()]
    codes = [token for token in known if token.startswith(">>")]
    if not (framed or codes):
        if languages is not None:
            raise StartError(
                f"'{origin}' is told no languages, and languages '{languages}' were said. Expected "
                "a start that has a token for each, such as NLLB, M2M100 or mBART. Leave "
                "--languages out."
            )
        return Sides(read, told)
    names = list(known)
    advised = f"Say --languages {_bare(names[0])},{_bare(names[-1])} (texts first), in your own."
    if languages is None:
        raise StartError(
            f"'{origin}' is told by tokens which languages it reads and writes. Expected both, of "
            f"{_shown(names)}. {advised}"
        )
    said = [name.strip() for name in languages.split(",")]
    if len(said) != 2 or not all(said):
        raise StartError(
            f"languages '{languages}' are not two. Expected that of texts and that of targets, of "
            f"{_shown(names)}. {advised}"
        )
    if codes:  # the target's alone is told, before the text
        of_targets = _id_of(said[1], known, origin)
        plain = [i for i in before if i not in framed]
        return Sides(read.framed([of_targets, *plain], behind), told)
    of_texts, of_targets = (_id_of(name, known, origin) for name in said)
    read = read.framed(*(_put(side, framed, of_texts) for side in (before, behind)))
    if any(i in framed for i in behind):
        # what ends a target is then its end alone, and it begins with its language
        plain = [i for i in behind if i not in framed]
        return Sides(read, told.framed(before, plain), begin_id=of_targets)
    told = told.framed(*(_put(side, framed, of_targets) for side in (before, behind)))
    return Sides(read, told, forced_id=of_targets)


def _put(side: Sequence[int], framed: Sequence[int], wanted: int) -> list[int]:
    """Return the ids of one end of a frame with another language in it."""
    return [wanted if i in framed else i for i in side]


def _id_of(name: str, known: Mapping[str, int], origin: str) -> int:
    """Return the id of a language."""
    by_name = {_bare(token): place for token, place in known.items()} | dict(known)
    if name not in by_name:
        raise StartError(
            f"'{origin}' knows no language '{name}'.{did_you_mean(name, list(by_name))} Expected "
            f"one of {_shown(list(known))}. Name another, or choose another start."
        )
    return by_name[name]


def _bare(token: str) -> str:
    """Return what a person says for a token.

    Example:
        >>> [_bare(token) for token in ("__de__", ">>deu<<", "deu_Latn", "de_DE")]
        ['de', 'deu', 'deu_Latn', 'de_DE']
    """
    return token.strip("_<>")


def _shown(known: Sequence[str]) -> str:
    names = [_bare(token) for token in known]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{quoted(names[:_SHOWN])}{more}"
