"""How tags write where an entity begins and ends: IOB1, IOB2, BIOES and BILOU, all kept as IOB2.

Source:
    L. Ramshaw and M. Marcus, 1995 (IOB1); A. Ratnaparkhi, 1998 (IOB2); L. Ratinov and D. Roth,
    2009 (BILOU).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headstart.errors import DataError, quoted
from headstart.tasks.reading import Place
from headstart.types import Finding

OUTSIDE = "O"
_BEGINS, _GOES_ON = frozenset("BSU"), frozenset("IEL")
_ENDS = frozenset("ESLU")
Parts = tuple[str, str]  # where in the entity, and its type; outside: "O" and nothing


def parts_of(tag: str) -> Parts | None:
    """Return where in an entity a tag stands, and its type; None where it says no such thing."""
    if tag in (OUTSIDE, ""):
        return OUTSIDE, ""
    if len(tag) > 2 and tag[1] in "-_" and tag[0] in _BEGINS | _GOES_ON:
        return tag[0], tag[2:]
    if len(tag) > 2 and tag[-2] in "-_" and tag[-1] in _BEGINS | _GOES_ON:
        return tag[-1], tag[:-2]
    return None


def has_scheme(tags: Sequence[str]) -> bool:
    """Return whether tags say where entities begin.

    Args:
        tags: Each different one once.
    """
    found = [parts_of(tag) for tag in tags]
    known = [parts for parts in found if parts is not None and parts[1]]
    return len(known) > 0 and sum(p is None for p in found) < len(known)


def read_entities(
    rows: Sequence[Sequence[str]], what: str, place: Place
) -> tuple[list[list[str]], list[Finding]]:
    """Return rows of tags as IOB2, and what is to be said of how they were written.

    Args:
        rows: Tags of any of the schemes.
        what: What holds them, for example ``"Column 'tags'"``.
        place: Says where a row stands.

    Raises:
        DataError: A tag is of no scheme.
    """
    parts = [[_parts(tag, what, place, number) for tag in row] for number, row in enumerate(rows)]
    scheme, num_odd = _scheme_of(parts)
    found = [_as_iob2(row, scheme) for row in parts]
    said = f"{what} writes entities as {scheme}"
    if scheme != "IOB2":
        said += ", read as IOB2 (B- begins an entity, I- goes on with it)"
    findings = [Finding("reading", "note", (), f"{said}.")]
    if num_odd:
        sentence = (
            f"{what} has {num_odd:,} tags that go on with an entity that has not begun; each is "
            "read as its beginning. Correct them where that is wrong."
        )
        findings.append(Finding("classes", "warning", (), sentence))
    return found, findings


def _parts(tag: str, what: str, place: Place, number: int) -> Parts:
    found = parts_of(tag)
    if found is None:
        raise DataError(
            f"{what} holds the tag '{tag[:40]}' in {place(number)}, where others say where an "
            f"entity begins; expected {quoted(['O', 'B-type', 'I-type'])}, or BIOES. Correct it, "
            "or say --task tagging if each tag is told of one word alone."
        )
    return found


def _scheme_of(rows: Sequence[Sequence[Parts]]) -> tuple[str, int]:
    """Return the name of the scheme, and how many tags go on with nothing."""
    used = {where for row in rows for where, _ in row}
    opened = sum(where in _GOES_ON for where, _, _ in _openings(rows))
    begun = sum(where in _BEGINS for where, _, is_adjacent in _openings(rows) if not is_adjacent)
    if used & set("ES"):
        return "BIOES", opened
    if used & set("LU"):
        return "BILOU", opened
    # in IOB1 a B- stands only where two entities of a type touch
    return ("IOB1", 0) if opened and not begun else ("IOB2", opened)


def _openings(rows: Sequence[Sequence[Parts]]) -> Iterator[tuple[str, str, bool]]:
    """Yield each tag that cannot go on with the one before it, or does not want to.

    Yields:
        Where in an entity it stands, its type, and whether an entity of the type ends before it.
    """
    for row in rows:
        before: Parts = (OUTSIDE, "")
        for where, kind in row:
            is_adjacent = bool(kind) and before[1] == kind
            has_ended = before[0] in _ENDS
            if kind and (where in _BEGINS or not is_adjacent or has_ended):
                yield where, kind, is_adjacent
            before = where, kind


def _as_iob2(row: Sequence[Parts], scheme: str) -> list[str]:
    tags = []
    before: Parts = (OUTSIDE, "")
    for where, kind in row:
        if not kind:
            tags.append(OUTSIDE)
        else:
            is_open = before[1] == kind and not (scheme != "IOB1" and before[0] in _ENDS)
            tags.append(f"{'I' if where in _GOES_ON and is_open else 'B'}-{kind}")
        before = where, kind
    return tags
