"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing import counts, image_files, lengths, same, told_groups
from headstart.auditing.audit import Audit
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS

AUDITS: dict[str, Audit] = {
    "copies": same.AUDIT,
    "group": told_groups.AUDIT,
    "classes": counts.AUDIT,
    "images": image_files.AUDIT,
    "lengths": lengths.AUDIT,
    "doubtful labels": DOUBTFUL_LABELS,
}
