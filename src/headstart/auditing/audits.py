"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing.audit import Audit
from headstart.auditing.near_images import NEAR_IMAGES
from headstart.auditing.near_rows import NEAR_ROWS
from headstart.auditing.near_texts import NEAR_TEXTS

AUDITS: dict[str, Audit] = {audit.name: audit for audit in (NEAR_IMAGES, NEAR_TEXTS, NEAR_ROWS)}
