"""The same sample under several labels: said, since no model can have them all right."""

from __future__ import annotations

import numpy as np

from headstart.data.records import NOUNS, Records
from headstart.errors import quoted
from headstart.types import Finding


def find_conflicts(records: Records, digests: np.ndarray) -> list[Finding]:
    """Return a finding where one content stands under two classes; none for other tasks.

    Args:
        records: The usable samples.
        digests: Of their contents, one row a sample.
    """
    if not records.asks.is_exclusive or records.modality == "table" or not len(digests):
        return []  # rows of a table that are alike are no rarity
    _, same = np.unique(digests, axis=0, return_inverse=True)
    targets = np.asarray(records.targets)
    same = same.reshape(-1)
    order = np.lexsort((targets, same))
    content, label = same[order], targets[order]
    differs = (content[1:] == content[:-1]) & (label[1:] != label[:-1])
    if not differs.any():
        return []
    contents = np.unique(content[1:][differs])
    number = len(contents)
    rows = np.flatnonzero(np.isin(same, contents[:100]))
    classes = sorted({records.classes[targets[i]] for i in rows})
    one, several = NOUNS[records.modality]
    noun = f"{one} stands" if number == 1 else f"{several} stand"
    sentence = (
        f"{number:,} {noun} under several labels, letter by letter the same (classes "
        f"{quoted(classes, limit=4)}): no model can have them all right. Where several labels "
        "apply, give a table with a list of labels for each; otherwise remove the wrong copies."
    )
    return [Finding("classes", "warning", [records.samples.name(int(i)) for i in rows], sentence)]
