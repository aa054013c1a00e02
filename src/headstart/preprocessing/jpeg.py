"""Find JPEG files that lost picture data and end properly all the same.

A camera that drops packets, or a repaired download, leaves a file whose end marker is there and
whose scan data is not: the reader fills the rest with grey and says nothing. Three signs are asked
for, cheapest first: scans that a progressive file lacks, restart markers that are fewer than the
file says, and, where the last pixels are the reader's own grey, whether more data at the end of the
scan would change the picture. A whole picture ignores it, so one that ends in grey is not refused.
Not found are bytes that were damaged without ending the data early, and a progressive file cut in
its very last scan, which refines by one bit what is there already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

# What ends a scan: any marker but a stuffed zero, a restart, or a fill byte.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FILL = (126, 129)  # what a reader puts where there is no data, inverted or not
_MORE = bytes((37 * i + 11) % 255 for i in range(64))  # bits of a scan, never 0xff
_START_OF_SCAN, _END, _INTERVAL = 0xDA, 0xD9, 0xDD
_FRAMES = frozenset([0xC0, 0xC1, 0xC2])


@dataclass
class _Layout:
    """What the markers of a file tell.

    Attributes:
        is_progressive: Whether the picture is refined scan by scan.
        num_units: Blocks of an interleaved scan, each with all components.
        components: Their identifiers.
        interval: Blocks between two restart markers; 0 without.
        num_restarts: Restart markers in an interleaved scan; None without such a scan.
        low_bits: The lowest bit that is known of each coefficient of each component.
        end: Where the last scan ends.
    """

    is_progressive: bool = False
    num_units: int = 0
    components: tuple[int, ...] = ()
    interval: int = 0
    num_restarts: int | None = None
    low_bits: dict[int, np.ndarray] | None = None
    end: int = 0


def lacks_data(
    data: bytes, image: Image.Image, again: Callable[[bytes], Image.Image | None]
) -> bool:
    """Return whether a JPEG file holds less than the picture it was decoded to.

    Args:
        data: The whole file.
        image: What it was decoded to.
        again: Decodes other bytes in the same way; None where they cannot be decoded.
    """
    try:
        layout = _read_layout(data)
    except (IndexError, ValueError):
        return False  # its markers are odd; the reader has decided
    if not layout.components or not layout.end:
        return False
    if layout.is_progressive:
        known = layout.low_bits or {}
        return any(c not in known or (known[c] != 0).any() for c in layout.components)
    if layout.interval and layout.num_restarts is not None:
        expected = -(-layout.num_units // layout.interval) - 1
        if layout.num_restarts < expected:
            return True
    if not _ends_in_fill(image):
        return False
    longer = again(data[: layout.end] + _MORE + data[layout.end :])
    return longer is not None and (np.asarray(longer) != np.asarray(image)).any().item()


def _ends_in_fill(image: Image.Image) -> bool:
    width, height = image.size
    corner = np.asarray(image.crop((max(0, width - 2), max(0, height - 2), width, height)))
    return bool(((corner >= _FILL[0]) & (corner <= _FILL[1])).all())


def _read_layout(data: bytes) -> _Layout:
    """Walk over the markers of the first picture in a file."""
    layout, place = _Layout(), 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1  # what lies between segments is skipped, as readers do
            continue
        kind = data[place + 1]
        if kind == 0xFF:
            place += 1
            continue
        if kind == _END:
            break
        if kind in (0x00, 0x01) or 0xD0 <= kind <= 0xD8:
            place += 2
            continue
        length = int.from_bytes(data[place + 2 : place + 4])
        body = data[place + 4 : place + 2 + length]
        place += 2 + max(2, length)
        if kind in _FRAMES:
            _read_frame(layout, kind, body)
        elif kind == _INTERVAL:
            layout.interval = int.from_bytes(body[:2])
        elif kind == _START_OF_SCAN:
            found = _MARKER.search(data, place)
            end = len(data) if found is None else found.start()
            _read_scan(layout, body, data[place:end])
            layout.end = place = end
    return layout


def _read_frame(layout: _Layout, kind: int, body: bytes) -> None:
    height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(body[5])]
    layout.is_progressive = kind == 0xC2
    layout.components = tuple(part[0] for part in parts)
    # one component is never interleaved: its unit is one block
    wide = max(part[1] >> 4 for part in parts) if len(parts) > 1 else 1
    high = max(part[1] & 15 for part in parts) if len(parts) > 1 else 1
    layout.num_units = -(-width // (8 * wide)) * -(-height // (8 * high))


def _read_scan(layout: _Layout, body: bytes, scan: bytes) -> None:
    components = [body[1 + 2 * i] for i in range(body[0])]
    if layout.is_progressive:
        first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
        layout.low_bits = layout.low_bits or {}
        for component in components:
            known = layout.low_bits.setdefault(component, np.full(64, 16))
            known[first : last + 1] = bits & 15
    elif len(components) == len(layout.components) and layout.interval:
        layout.num_restarts = len(_RESTART.findall(scan))
