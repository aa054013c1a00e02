"""Which samples belong together: photos of one animal, slides of one patient, reviews of one shop.

A user says it by the name of a column, by ``folder`` (the folder inside a class folder), by a
pattern with one pair of parentheses that is looked for in each path, or from Python by values.
What a group is for: it stays on one side of every split, and figures count groups. So whatever is
said must give every sample its group, and is refused otherwise.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data.options import FOLDER
from headstart.data.records import NOUNS, UNASSIGNED, Records
from headstart.data.sources.split_words import is_fold, split_of
from headstart.errors import DataError, OptionError, quoted
from headstart.preprocessing.samples import ArraySamples
from headstart.types import MODALITIES, Finding

_GROUP_NAME = re.compile(
    r"(.*[_\s.-])?(id|ids|uuid|guid|patient|subject|person|participant|user|customer|client|member"
    r"|account|device|sensor|machine|engine|unit|speaker|author|writer|animal|specimen|sample|slide"
    r"|scan|case|session|video|clip|recording|household|site|hospital|school|store|shop|vehicle|car"
    r"|driver|player|group|batch|lot|plate|well|file|url|host|ip)(s|[_\s.-]?(id|ids|no|nr|num"
    r"|number|name|code|key))?",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(r".*[a-z](Id|ID)$")
# Whoever is measured again and again, and no count of them.
_SOMEONE = re.compile(
    r"(?!(num|n|nr|no|number|count|total|avg|mean|max|min|sum|share|pct)[_\s.-])"
    r"(.*[_\s.-])?(patient|subject|person|participant|proband|user|customer|client|member|speaker"
    r"|author|writer|signer|rater|student|pupil|child|baby|animal|specimen|mouse|dog|cow|horse"
    r"|rider|driver|player|athlete|household|family|donor|volunteer|respondent|employee)"
    r"(s|[_\s.-]?(id|ids|no|nr|num|number|name|code|key|index|idx))?"
    r"|(.*[_\s.-])?(account|device|sensor|machine|session|recording|hospital|school|store|shop"
    r"|site|video|slide|scan|case|vehicle)[_\s.-]?(ids?|no|nr|num|number|code|key)",
    re.IGNORECASE,
)
LEAST_GROUPS, LEAST_OF_ONE = 5, 1.5  # values of such a column, and rows of one
PATTERN = "give a pattern with one pair of parentheses, such as 'animal([0-9]+)_'"


class GroupError(DataError):
    """Refuse a statement of groups that does not fit the data."""


def with_groups(records: Records, group: Any) -> Records:
    """Return records whose samples have the groups that a user has stated.

    Args:
        records: As read; where a column was named, with its groups.
        group: Name of a column, ``folder``, a pattern, or values: one a sample, or by path.

    Raises:
        GroupError: Some samples get no group, or all get the same.
        OptionError: The pattern is none.
    """
    if group is None:
        return records
    findings = list(records.findings)
    if not isinstance(group, str):
        groups, how, said = _by_values(records, group)
        findings += said
    elif group in records.columns and records.groups is not None:
        groups, how = list(records.groups), f"column '{group}'"
    else:
        groups, how, said = _by_path(records, group)
        findings += said
    several = NOUNS[records.modality][1]
    counts = Counter(groups)
    if len(counts) == 1:
        raise GroupError(
            f"All {len(groups):,} {several} of {records.name} are in one group ('{groups[0]}', by "
            f"{how}); expected several, because a group stays on one side of the split. Correct "
            "--group, or leave it out."
        )
    if len(counts) == len(groups):
        sentence = (
            f"Each of the {len(groups):,} {several} is a group of its own (by {how}), so --group "
            "changes nothing. If several belong together, say by what."
        )
        findings.append(Finding("few", "warning", (), sentence))
        return replace(records, groups=None, findings=findings)
    sentence = (
        f"{len(groups):,} {several} are in {len(counts):,} groups by {how} "
        f"({quoted(sorted(counts), limit=3)}), the largest of {max(counts.values()):,}: each stays "
        "on one side of the split, and figures count groups."
    )
    findings.append(Finding("reading", "note", (), sentence))
    return replace(records, groups=groups, findings=findings)


def aligned(group: Any, source: Any) -> Any:
    """Return groups in the order of the rows: a Series goes by its index where a frame has it too.

    Raises:
        OptionError: The two have different indices, and neither counts from 0.
    """
    frame = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    own: Any = getattr(group, "index", None)
    other: Any = getattr(frame, "index", None)
    if not hasattr(group, "iloc") or not hasattr(other, "equals") or own.equals(other):
        return group
    if len(own) == len(other) and own.is_unique and own.isin(other).all():
        return group.reindex(other)
    if list(own) == list(range(len(own))):
        return group
    raise OptionError(
        f"group has the index {list(own[:3])} … and the data {list(other[:3])} …; expected one "
        "index, to know which value belongs to which row. Give group.to_numpy() where their order "
        "is the same."
    )


def plain_groups(group: Any) -> Any:
    """Return what ``data.json`` keeps of stated groups: a text, a list of texts, or a dict."""
    if group is None or isinstance(group, str):
        return group
    if isinstance(pairs := _as_mapping(group), dict):
        return {name: str(value) for name, value in pairs.items()}
    return [str(value) for value in _as_list(group)]


def names_groups(column: str) -> bool:
    """Return whether the name of a column says that it tells things apart: patients, users, files.

    Example:
        >>> [names_groups(name) for name in ("customer_id", "patientId", "age")]
        [True, True, False]
    """
    return bool(_GROUP_NAME.fullmatch(column) or _CAMEL_ID.fullmatch(column))


def names_someone(column: str) -> bool:
    """Return whether the name of a column of a table says whose row it is.

    Stricter than ``names_groups``: ``engine``, ``car`` and ``batch`` may be properties.

    Example:
        >>> [names_someone(name) for name in ("patient", "Subject ID", "userId", "engine", "age")]
        [True, True, True, False, False]
    """
    return bool(_SOMEONE.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip())))


def repeated_cells(column: str, num_values: int, num_cells: int) -> list[Finding]:
    """Return that a column of a table, named after someone, may say what belongs together.

    Args:
        column: Its name.
        num_values: How many different ones it has.
        num_cells: How many are filled.
    """
    if num_values <= LEAST_GROUPS or num_cells < LEAST_OF_ONE * num_values:
        return []
    sentence = (
        f"Column '{column}' tells whose a row is, and repeats: {num_cells:,} training rows, "
        f"{num_values:,} values. It is an input. Where the model will meet new ones, say --group "
        f"{shlex.quote(column)}: rows of one stay on one side, figures count groups; no input then."
    )
    return [Finding("group", "note", (), sentence)]


def repeated_columns(
    columns: Mapping[str, Sequence[Any]], labels: Sequence[Any] | np.ndarray
) -> list[Finding]:
    """Return the columns beside images or texts that may say what belongs together.

    Of rows it is measured whether that matters (``auditing.group_leaks``); these columns are no
    inputs, so that nobody reads them again.

    Args:
        columns: Those that are not used, N cells each.
        labels: What is to be told, N of them: a column that says just that names no groups.
    """
    several = len(set(map(str, labels)))
    for column, cells in columns.items():
        if not names_groups(column):
            continue
        counts = Counter(str(cell) for cell in cells if cell is not None and cell == cell)
        filled = sum(counts.values())
        if len(counts) <= max(LEAST_GROUPS, several) or filled < LEAST_OF_ONE * len(counts):
            continue
        sentence = (
            f"Column '{column}' is not used, and holds the same values again and again: "
            f"{filled:,} cells, {len(counts):,} values ({quoted(list(counts), limit=3)}). Where "
            f"the model will meet new ones, say --group {shlex.quote(column)}: rows of one stay on "
            "one side, and figures count groups. As it is, test may ask for what train knows."
        )
        return [Finding("group", "note", (), sentence)]
    return []


# By values --------------------------------------------------------------------------------------


def _as_mapping(group: Any) -> dict[str, Any] | None:
    """Return groups by name, where they are given so: a dict, or a Series with names as index."""
    if isinstance(group, Mapping):
        return {os.fspath(name): value for name, value in group.items()}
    index: Any = getattr(group, "index", None)
    if hasattr(group, "iloc") and len(group) and all(isinstance(n, str) for n in index):
        return dict(zip(index, group.tolist(), strict=True))
    return None


def _as_list(group: Any) -> list[Any]:
    if hasattr(group, "to_pylist"):
        return list(group.to_pylist())
    values = group.tolist() if hasattr(group, "tolist") else list(group)
    return values if isinstance(values, list) else [values]


def _by_values(records: Records, group: Any) -> tuple[list[str], str, list[Finding]]:
    several, number = NOUNS[records.modality][1], len(records.targets)
    if getattr(group, "ndim", 1) != 1:
        raise GroupError(
            f"group has the shape {tuple(group.shape)}; expected one value for each of the "
            f"{number:,} {several}. Give one column of it, such as group[:, 0]."
        )
    pairs, said = _as_mapping(group), list[Finding]()
    if pairs is not None:
        values = _by_name(records, pairs)
    else:
        values = _as_list(group)
        if len(values) != number:
            raise GroupError(
                f"group has {len(values):,} values, and {records.name} {number:,} {several}; "
                "expected one each. Give as many, or a dict of each path with its group."
            )
        if records.origin == "folder" and records.label is None:
            values, said = _in_path_order(records, values)
    lacking = [i for i, value in enumerate(values) if value is None or value != value]
    if lacking:
        raise GroupError(
            f"group is empty for {records.samples.name(lacking[0])}, one of {len(lacking):,} "
            f"{several} without; expected a group for each. Fill it in, or leave these out."
        )
    return [str(value) for value in values], "the values given", said


def _by_name(records: Records, pairs: Mapping[str, Any]) -> list[Any]:
    """Return the value of each sample by its path, or by its file's name where that tells it."""
    root = str(getattr(records.samples, "root", ""))
    known = {os.path.relpath(n, root) if root and os.path.isabs(n) else n: n for n in pairs}
    names = [records.samples.name(i) for i in range(len(records.targets))]
    if names[0] not in known:
        names = [os.path.basename(name) for name in names]
    lacking = [name for name in names if name not in known]
    if lacking or len(set(names)) < len(names):
        what = f"'{lacking[0]}' is not among them" if lacking else "file names are there twice"
        raise GroupError(
            f"group names {len(pairs):,} {NOUNS[records.modality][1]} (such as "
            f"{quoted(list(pairs), limit=2)}), and {what}; expected the path of each below "
            f"{records.name}, such as '{records.samples.name(0)}'. Add it, or correct the names."
        )
    return [pairs[known[name]] for name in names]


def _in_path_order(records: Records, values: list[Any]) -> tuple[list[Any], list[Finding]]:
    """Return values that were given in the order of the sorted paths, and say so."""
    names = [records.samples.name(i) for i in range(len(values))]
    order = sorted(range(len(names)), key=names.__getitem__)
    if order != sorted(order, key=lambda i: names[i].split("/")):
        raise GroupError(
            f"group is a list, and the paths of {records.name} can be sorted in two ways; expected "
            f"to know which value belongs to which file. Give a dict: {{'{names[0]}': …}}."
        )
    placed: list[Any] = [None] * len(values)
    for place, value in zip(order, values, strict=True):
        placed[place] = value
    first, last = order[0], order[-1]
    sentence = (
        f"The groups given are taken in the order of the sorted paths: '{names[first]}' is of "
        f"'{values[0]}', '{names[last]}' of '{values[-1]}'. Give a dict of paths where that is "
        "another."
    )
    return placed, [Finding("reading", "note", (), sentence)]


# By path ----------------------------------------------------------------------------------------


def _by_path(records: Records, group: str) -> tuple[list[str], str, list[Finding]]:
    one, several = NOUNS[records.modality]
    is_file = MODALITIES[records.modality].is_file
    is_named = is_file and not isinstance(records.samples, ArraySamples)
    is_named = is_named or (records.origin == "folder" and records.label is None)
    if not is_named:
        found = f" (columns: {quoted(list(records.columns))})" if records.columns else ""
        raise GroupError(
            f"group is '{group}', but the {several} of {records.name} have no file names, and no "
            f"column is called so{found}. Name a column, or from Python give the values: "
            "load(…, group=values)."
        )
    if group != FOLDER and "(" not in group:
        found = f" (columns: {quoted(list(records.columns))})" if records.columns else ""
        raise GroupError(
            f"group is '{group}', which is no column of {records.name}{found}; for {several} "
            f"say 'folder', or {PATTERN}."
        )
    names = [records.samples.name(i) for i in range(len(records.targets))]
    if group == FOLDER:
        return _by_folder(records, names)
    groups = [captured(group, name) for name in names]
    lacking = [name for name, found in zip(names, groups, strict=True) if not found]
    if lacking:
        number = "none" if len(lacking) == len(names) else f"only {len(names) - len(lacking):,}"
        raise GroupError(
            f"--group '{group}' is found in {number} of the {len(names):,} paths of "
            f"{records.name}, and not in '{lacking[0]}'; expected it in each, because every {one} "
            "needs its group. "
            "Correct the pattern: it is looked for anywhere in the path, and what its parentheses "
            "hold is the group."
        )
    return [str(found) for found in groups], f"the pattern '{group}'", []


def captured(pattern: str, path: str) -> str | None:
    """Return what the parentheses of a pattern hold of a path; None where it is not found.

    Raises:
        OptionError: It is no pattern, or has not one pair of parentheses.
    """
    found = compiled(pattern).search(path)
    return found[1] if found else None


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of groups, checked."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise OptionError(
            f"--group '{pattern}' is no pattern: {error}. Expected a regular expression with one "
            "pair of parentheses, such as 'animal([0-9]+)_'."
        ) from error
    if found.groups != 1:
        raise OptionError(
            f"--group '{pattern}' has {found.groups} pairs of parentheses that hold something; "
            "expected one, which holds the group. Write (?:…) for the others."
        )
    return found


def _by_folder(records: Records, names: Sequence[str]) -> tuple[list[str], str, list[Finding]]:
    """Return the outermost folder of each path that is neither split nor class."""
    folders = [name.split("/")[:-1] for name in names]
    shortest = min(folders, key=len)
    in_all = next(
        (i for i, part in enumerate(shortest) if any(f[i] != part for f in folders)), len(shortest)
    )
    has_splits = bool((records.splits != UNASSIGNED).any())
    labels: list[str] = []
    if records.asks.is_exclusive:
        labels = [records.classes[k] for k in np.asarray(records.targets).tolist()]
    inner = [
        _inner(parts[in_all:], labels[i] if labels else None, has_splits)
        for i, parts in enumerate(folders)
    ]
    if lacking := [name for name, parts in zip(names, inner, strict=True) if not parts]:
        raise GroupError(
            f"--group {FOLDER}: {len(lacking):,} of {len(names):,} {NOUNS[records.modality][1]} "
            f"(such as '{lacking[0]}') lie in no folder but that of their class; expected each in "
            f"a folder of its group inside. Move them into one, or {PATTERN}."
        )
    while all(len(parts) > 1 for parts in inner) and len({parts[0] for parts in inner}) == 1:
        inner = [parts[1:] for parts in inner]  # such as images in each class folder
    said = []
    deeper = next((i for i, parts in enumerate(inner) if len(parts) > 1), None)
    if deeper is not None:
        sentence = (
            f"Folders lie inside one another (such as '{names[deeper]}'): the outermost one below "
            f"the class is the group, here '{inner[deeper][0]}'. For the innermost say --group "
            "'([^/]+)/[^/]+$'."
        )
        said.append(Finding("reading", "note", (), sentence))
    return [parts[0] for parts in inner], "their folders", said


def _inner(parts: list[str], label: str | None, has_splits: bool) -> list[str]:
    """Return the folders of a path without those of its split, its fold and its class."""
    parts = list(parts)
    if len(parts) > 1 and (is_fold(parts[0]) or (has_splits and split_of(parts[0]))):
        parts = parts[1:]
    own = [i for i, part in enumerate(parts) if part == label or part.strip() == label]
    if own:
        del parts[own[0]]
    if has_splits and parts and split_of(parts[0]):
        parts = parts[1:]
    return parts
