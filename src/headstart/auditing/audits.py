"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing.audit import Audit
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS

AUDITS: dict[str, Audit] = {audit.name: audit for audit in (DOUBTFUL_LABELS,)}
