"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing import counts, image_files, lengths, same, told_groups
from headstart.auditing.audit import Audit
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS
from headstart.auditing.drift import DRIFT
from headstart.auditing.group_leaks import GROUP_LEAKS
from headstart.auditing.guessed_groups import GUESSED_GROUPS
from headstart.auditing.near_images import NEAR_IMAGES
from headstart.auditing.near_rows import NEAR_ROWS
from headstart.auditing.near_texts import NEAR_TEXTS
from headstart.auditing.shortcut_columns import SHORTCUT_COLUMNS
from headstart.auditing.shortcuts import SHORTCUTS

AUDITS: dict[str, Audit] = {
    audit.name: audit
    for audit in (
        same.AUDIT,
        NEAR_IMAGES,
        NEAR_TEXTS,
        NEAR_ROWS,
        told_groups.AUDIT,
        GROUP_LEAKS,
        GUESSED_GROUPS,
        SHORTCUT_COLUMNS,
        SHORTCUTS,
        DRIFT,
        counts.AUDIT,
        image_files.AUDIT,
        lengths.AUDIT,
        DOUBTFUL_LABELS,
    )
}
