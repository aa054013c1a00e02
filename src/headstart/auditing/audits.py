"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing.audit import Audit

AUDITS: dict[str, Audit] = {}
