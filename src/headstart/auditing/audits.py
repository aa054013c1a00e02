"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing import counts, lengths, pictures, same
from headstart.auditing.audit import Audit
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS

AUDITS: dict[str, Audit] = {
    "copies": same.AUDIT,
    "classes": counts.AUDIT,
    "images": pictures.AUDIT,
    "lengths": lengths.AUDIT,
    "doubtful labels": DOUBTFUL_LABELS,
}
