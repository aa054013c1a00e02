"""Every audit, in the order in which they are run and shown."""

from __future__ import annotations

from headstart.auditing.audit import Audit
from headstart.auditing.near_images import NEAR_IMAGES

AUDITS: dict[str, Audit] = {
    NEAR_IMAGES.name: NEAR_IMAGES,
}
