"""What the folders of a folder mean: splits, folds, classes, groups, or nothing to learn from.

A split word is never a class where the folders beside it are splits too. What lies in folders
without a class (a flat ``test``, ``unlabeled``) is no sample, and said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from headstart.data.groups import compiled
from headstart.data.options import FOLDER
from headstart.data.sources.folder_tree import Contents, Tree
from headstart.data.sources.split_words import (
    PLAIN,
    is_fold,
    is_unlabelled,
    is_unsure,
    split_of,
    splits_among,
)
from headstart.errors import DataError, quoted
from headstart.types import Finding

MIN_GROUPS = 3
UPPER, INNER = "([^/]+)/[^/]+/[^/]+$", "([^/]+)/[^/]+$"  # of a path, the two folders of a file
CONTAINER = re.compile(
    r"(jpeg|jpg|png)?(image|img|photo|pic|picture|jpg|jpeg|png|file|text|txt)s?|data|all"
)
NAMED_CLASS = re.compile(r"class|categor|label|grade|stage|level|n\d{8}$", re.IGNORECASE)


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose files, at any depth, are of one class.

    Attributes:
        folder: Path relative to the root.
        label: The class.
        split: ``train``, ``val``, ``test``, or empty where none is stated.
        group: What must stay on one side, such as a patient's folder; None where there is none.
    """

    folder: str
    label: str
    split: str = ""
    group: str | None = None


@dataclass
class FolderLayout:
    """What the folders below a root mean.

    Attributes:
        top: The folder in which splits or classes begin, relative to the root.
        classes: The class folders.
        flat: Folders that hold samples without class folders, each with its split or none.
        unlabelled: Folders whose name says that they hold no labels.
        findings: What a user should know of it.
        asked: What the user said of groups: ``folder``, or a pattern.
    """

    top: str = ""
    classes: list[ClassFolder] = field(default_factory=list)
    flat: dict[str, str] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    asked: str | None = None

    def say(self, sentence: str, *, is_warning: bool = False, is_unused: bool = False) -> None:
        """Add a finding on how the folders are read, or on one that is not."""
        kind, how = "unused" if is_unused else "reading", "warning" if is_warning else "note"
        self.findings.append(Finding(kind, how, (), sentence))  # type: ignore[arg-type]


def find_layout(tree: Tree, suffixes: Collection[str], group: str | None = None) -> FolderLayout:
    """Return what the folders below a root mean.

    Args:
        tree: The folder, and what is below.
        suffixes: Of the files that are samples.
        group: What the user said of groups: ``folder``, or a pattern for paths.

    Raises:
        DataError: Two folders are one split, or a folder may not be read.
    """
    layout = FolderLayout(_unwrap(tree, "", suffixes), asked=group)
    if layout.top:
        layout.say(f"The data is read from the folder '{layout.top}' inside.")
    inside = tree.look(layout.top)
    folders = _labelled(layout, inside.folders, layout.top)
    holding = [f for f in folders if tree.has_samples(os.path.join(layout.top, f), suffixes)]
    splits = splits_among(holding)
    others = [folder for folder in holding if folder not in splits]
    if splits and (not others or ("train" in splits.values() and len(set(splits.values())) > 1)):
        _read_splits(tree, layout, splits, suffixes)
        if beside := [folder for folder in folders if folder not in splits]:
            sentence = f"Skipped folders beside the splits: {quoted(beside)}."
            layout.say(sentence, is_warning=True, is_unused=True)
    elif len(holding) > 1 and all(map(is_fold, holding)):
        for fold in holding:
            _read_classes(tree, layout, os.path.join(layout.top, fold), "", suffixes)
        layout.say(
            f"Folders {quoted(holding)} are folds: read together, and split anew. To keep one of "
            "them for the test, name it test and move the others into train."
        )
    elif inside.has(suffixes) and not others:
        layout.flat[layout.top] = ""
    elif len(others) == 1 and not splits and _is_container(tree, layout.top, others[0], inside):
        layout.flat[os.path.join(layout.top, others[0])] = ""
    else:
        _read_classes(tree, layout, layout.top, "", suffixes, folders)
    loose = inside.count(set(suffixes) - {".txt"})
    if loose and layout.classes:
        sentence = f"Skipped {loose} images beside the folders, which have no class."
        layout.say(sentence, is_warning=True, is_unused=True)
    if layout.classes and (tables := inside.tables):
        layout.say(
            f"The classes are the folders; tables beside them are not read: {quoted(tables)}. "
            "To learn what such a table says, give its path.",
            is_unused=True,
        )
    return layout


def _unwrap(tree: Tree, folder: str, suffixes: Collection[str]) -> str:
    """Return the folder inside in which more than a wrapper begins."""
    while True:
        here = tree.look(folder)
        folders, is_bare = here.folders, not here.has(set(suffixes) - {".txt"})
        if len(folders) > 1:
            held_in = [f for f in folders if tree.has_samples(os.path.join(folder, f), suffixes)]
            folders = [f for f in held_in if CONTAINER.fullmatch(_plain(f))]
            is_bare = is_bare and len(held_in) == 1
        if len(folders) != 1 or not is_bare:
            return folder
        inner = folders[0]
        same = _plain(inner) == _plain(os.path.basename(folder))
        if (split_of(inner) or is_fold(inner) or is_unlabelled(inner)) and not same:
            return folder
        below = os.path.join(folder, inner)
        inside = tree.look(below)
        is_stated = here.has_statement and not any(map(split_of, inside.folders))
        if is_stated or not (inside.folders or (same and inside.has(suffixes))):
            return folder
        folder = below


def _is_container(tree: Tree, above: str, folder: str, beside: Contents | None = None) -> bool:
    """Return whether a lone folder holds all files, of all classes: ``images`` beside a table."""
    inside = tree.look(os.path.join(above, folder)).folders
    is_stated = beside is not None and beside.has_statement
    is_flat = not inside or (is_stated and len(inside) == 1)
    return is_flat and (is_stated or CONTAINER.fullmatch(_plain(folder)) is not None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _labelled(layout: FolderLayout, folders: list[str], above: str) -> list[str]:
    """Return the folders whose name does not say that they hold no labels; note the others."""
    numbered = [f for f in folders if f.isdigit()]
    # beside classes that are numbers, -1 is what programs write for none
    left = [f for f in folders if is_unlabelled(f) or (f == "-1" and len(numbered) > 1)]
    layout.unlabelled += [os.path.join(above, f) for f in left]
    return [folder for folder in folders if folder not in left]


def _read_splits(
    tree: Tree, layout: FolderLayout, splits: dict[str, str], suffixes: Collection[str]
) -> None:
    """Add the class folders of all splits, and the splits that have none."""
    if len(set(splits.values())) < len(splits):
        raise DataError(
            f"{tree.root / layout.top} has two folders for one split ({quoted(sorted(splits))}); "
            "expected one each of train, val and test. Merge or rename them."
        )
    if unusual := {f: s for f, s in splits.items() if f.lower() not in PLAIN or is_unsure(f)}:
        said = ", ".join(f"'{folder}' as {split}" for folder, split in unusual.items())
        layout.say(f"Folders are read as splits: {said}.")
    for folder, split in splits.items():
        _read_classes(tree, layout, os.path.join(layout.top, folder), split, suffixes)
    groups = {part.group for part in layout.classes if part.group}
    names = [os.path.basename(group) for group in groups]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        sentence = (
            f"{len(twice)} groups are in more than one split ({quoted(twice, limit=3)}): if they "
            "are the same patients or the like, the figures promise too much. Move each to one "
            "side."
        )
        layout.findings.append(Finding("leak", "warning", twice, sentence))


def _read_classes(
    tree: Tree,
    layout: FolderLayout,
    above: str,
    split: str,
    suffixes: Collection[str],
    folders: list[str] | None = None,
) -> None:
    """Add the class folders of a folder; where it has none, the folder as a flat one."""
    if folders is None:
        above = _unwrap(tree, above, suffixes)
        folders = _labelled(layout, tree.look(above).folders, above)
    inside = {folder: _children(tree, os.path.join(above, folder), suffixes) for folder in folders}
    folders = [f for f in folders if not _is_copy(layout, f, inside)]
    holding = [f for f in folders if tree.has_samples(os.path.join(above, f), suffixes)]
    if len(holding) == 1 and split and _is_container(tree, above, holding[0]):
        layout.flat[os.path.join(above, holding[0])] = split
        return
    if not holding:
        if tree.has_samples(above, suffixes) and not (folders and not above and not split):
            layout.flat[above] = split
        elif folders:
            layout.classes += [ClassFolder(os.path.join(above, f), f, split) for f in folders]
        return
    tops = {folder: inside[folder] for folder in holding}
    if all(children and all(map(split_of, children)) for children in tops.values()):
        layout.say("Each class folder holds its splits inside; the upper folders are the classes.")
        for label, children in tops.items():
            for child, found in splits_among(children).items():
                folder = os.path.join(above, label, child)
                layout.classes.append(ClassFolder(folder, label, split or found))
    elif _are_groups(layout, above, tops):
        for group, children in tops.items():
            for label in children:
                folder = os.path.join(above, group, label)
                kept = os.path.join(split, group)  # the data's own splits are kept as they are
                layout.classes.append(ClassFolder(folder, label, split, kept))
    else:
        layout.classes += [ClassFolder(os.path.join(above, f), f, split) for f in folders]


def _children(tree: Tree, folder: str, suffixes: Collection[str]) -> list[str]:
    """Return the folders with samples inside a folder that holds none itself; else none."""
    inside = tree.look(folder)
    if inside.has(suffixes):
        return []
    return [c for c in inside.folders if tree.has_samples(os.path.join(folder, c), suffixes)]


def _is_copy(layout: FolderLayout, folder: str, inside: dict[str, list[str]]) -> bool:
    """Return whether a folder holds the class folders beside it once more, and say so."""
    beside = set(inside) - {folder}
    if len(inside[folder]) < 2 or not set(inside[folder]) <= beside:
        return False
    layout.say(
        f"Skipped folder '{folder}', which holds folders named as the classes beside it "
        f"({quoted(inside[folder])}): a copy of the set inside itself. If its samples are others, "
        "move them into the folders of the same name.",
        is_warning=True,
        is_unused=True,
    )
    return True


def _are_groups(layout: FolderLayout, above: str, tops: dict[str, list[str]]) -> bool:
    """Return whether the upper folders are patients or the like, and the classes are below.

    They are where their names hold numbers and the folders inside have the same few names, or where
    the user says that folders are groups and there are fewer names below than above, or gives a
    pattern that captures the upper folder. Otherwise the upper folders are taken as classes, and
    the doubt is said.
    """
    below = [child for children in tops.values() for child in children]
    names = sorted(set(below))
    if len(names) < 2 or len(below) < 1.5 * len(names) or not all(tops.values()):
        return False
    is_likely = len(tops) >= MIN_GROUPS and len(names) < len(tops)
    said = _captures_upper(layout.asked, above, tops)
    if said is None:
        said = is_likely and (layout.asked == FOLDER or _are_identifiers(tops))
    if said:
        sentence = (
            f"The classes are the inner folders ({quoted(names)}); each of the {len(tops)} folders "
            f"above ({quoted(sorted(tops), limit=3)}) is a group that stays on one side of the "
            "split."
        )
        if sentence not in {finding.sentence for finding in layout.findings}:
            layout.say(sentence)
        return True
    layout.say(
        f"The classes are the upper folders ({quoted(sorted(tops), limit=4)}), although the "
        f"folders inside have the same names in several of them ({quoted(names, limit=4)}). If "
        "these are the classes and the upper folders patients or the like, say --group "
        f"'{UPPER}'; if the inner folders are patients or the like, say --group '{INNER}'; if the "
        "inner ones are the classes and nothing belongs together, move the files into one folder "
        "each of these names.",
        is_warning=True,
    )
    return False


def _captures_upper(pattern: str | None, above: str, tops: dict[str, list[str]]) -> bool | None:
    """Return whether a pattern of groups captures in the upper folders; None without a pattern."""
    if not pattern or pattern == FOLDER or "(" not in pattern:
        return None
    wanted = compiled(pattern)
    for top, children in tops.items():
        begins = len(os.path.join(above, ""))
        for child in children:
            found = wanted.search(os.path.join(above, top, child, "0"))
            if found is None or not begins <= found.start(1) < found.end(1) <= begins + len(top):
                return False
    return True


def _are_identifiers(names: Collection[str]) -> bool:
    """Return whether most names hold numbers, neither ``class1`` nor counted from 0 or 1."""
    counted = [sorted(map(str, range(first, first + len(names)))) for first in (0, 1)]
    if sorted(name.lstrip("0") or "0" for name in names) in counted:
        return False
    is_number = [re.search(r"\d", name) and not NAMED_CLASS.match(name) for name in names]
    return sum(map(bool, is_number)) > len(names) / 2
