"""Names that a file beside class folders gives to them: ``n02123045`` is a tabby, ``21`` a lily."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from headstart.data.records import Records
from headstart.data.sources.label_names import names_beside
from headstart.errors import quoted
from headstart.types import Finding


def with_titles(records: Records, root: Path) -> Records:
    """Return records whose classes have the names that a file gives to all of their folders.

    Args:
        records: Of class folders.
        root: The folder.
    """
    names = [records.samples.name(i) for i in (0, len(records.samples) - 1)]
    if any(map(os.path.isabs, names)):
        return records  # not of this folder
    folders = [os.path.commonpath([os.path.dirname(name) for name in names])]
    while folders[-1]:
        folders.append(os.path.dirname(folders[-1]))
    for found in names_beside(root, folders[::-1]):
        titles = found.for_labels(records.classes)
        if titles is None or {*records.classes} & {*found.by_label.values()}:
            continue  # no names for them, or a list of the folders themselves
        classes = tuple(titles[label] for label in records.classes)
        sentence = f"The classes have their names from '{found.where}': {quoted(classes, limit=4)}."
        finding = Finding("classes", "note", (), sentence)
        return replace(records, classes=classes, findings=[*records.findings, finding])
    return records
