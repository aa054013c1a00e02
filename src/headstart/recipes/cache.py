"""Show what the cache on this machine holds, and clear it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.filesize import decimal

from headstart.events import hushes
from headstart.reporting.terminal import fitted
from headstart.types import in_number

if TYPE_CHECKING:
    from headstart.storage.cache import CacheEntry


@dataclass(frozen=True)
class CacheReport:
    """What the cache holds.

    Attributes:
        root: Its folder.
        entries: The one used last first.
        limit_bytes: What it may hold; the entries used longest ago go first.
        freed_bytes: What was removed just now.
    """

    root: Path
    entries: tuple[CacheEntry, ...]
    limit_bytes: int
    freed_bytes: int

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_text

        return html_text(self.report())

    def report(self) -> str:
        """Return what a person wants to know, as plain text."""
        held = sum(entry.num_bytes for entry in self.entries)
        counted = in_number(f"in {len(self.entries)} entries")
        lines = [f"{self.root}: {decimal(held)} {counted}"]
        lines[0] += f", at most {decimal(self.limit_bytes)} (HEADSTART_CACHE_LIMIT)"
        if self.freed_bytes:
            lines.append(f"Removed {decimal(self.freed_bytes)}.")
        now = time.time()
        for entry in self.entries:
            age = _age(max(0.0, now - entry.last_used))
            size = decimal(entry.num_bytes)
            lines.append(f"  {entry.kind:<12} {size:>9}  used {age:>8} ago  {entry.about}")
        return fitted("\n".join(lines))


@hushes
def cache(
    *,
    clear: bool = False,
    kind: Literal["all", "pixels", "activations", "measured", "bundles", "curves"] = "all",
    quiet: bool = False,
) -> CacheReport:
    """Show what the cache holds: decoded images, outputs of frozen parts, speeds, curves of fits.

    Everything in it but the curves can be made again, and is when it is missing or damaged. Curves
    are what rank's prior learns from; HEADSTART_CURVES=off keeps none.

    Args:
        clear: Remove the entries; runs that are under way keep theirs until they end.
        kind: Only entries of this kind.
        quiet: Show no progress.

    Returns:
        The entries, their sizes, and when each was used last.

    Raises:
        OptionError: If HEADSTART_CACHE_LIMIT is not a size.
        DataError: If an entry cannot be removed.

    Example:
        >>> import headstart as hs
        >>> print(hs.cache().report())  # doctest: +SKIP
    """
    from headstart.events import emit
    from headstart.storage.cache import cache_limit, cache_root, clear_cache, list_cache

    root = cache_root()
    wanted = None if kind == "all" else kind
    freed = clear_cache(root, kind=wanted) if clear else 0
    entries = tuple(entry for entry in list_cache(root) if wanted in (None, entry.kind))
    is_filled = bool(entries) and not clear
    emit("next", command=f"headstart {'cache --clear' if is_filled else 'fit DATA --budget 30m'}")
    return CacheReport(root, entries, cache_limit(root), freed)


def _age(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
