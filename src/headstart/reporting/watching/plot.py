"""Curves in a terminal: dots of Braille characters, or stars where these cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from headstart.reporting.charts import Point, thin
from headstart.reporting.terminal import format_value

# Bits of the dots of a Braille character (Unicode chapter 21.1), by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_MARGIN = 10  # columns of the labels at the left


def plot(
    points: Sequence[Point], *, width: int = 80, height: int = 8, is_plain: bool = False
) -> list[str]:
    """Return a curve as lines of text, its highest and lowest value at the left.

    Args:
        points: (x, y), all finite, x not falling.
        width: Of a line, in columns, labels included.
        height: Number of lines of the curve; one more says where x begins and ends.
        is_plain: Whether to use no other characters than those of ASCII.

    Returns:
        ``height + 1`` lines of at most ``width`` columns; nothing where there are no points.
    """
    if not points:
        return []
    columns = width - _MARGIN - 1
    across, down = (1, 1) if is_plain else (2, 4)
    dots = _dots(points, columns * across, height * down)
    rows = []
    for row in range(height):
        cells = []
        for column in range(columns):
            bits = 0
            for y in range(down):
                for x in range(across):
                    if (column * across + x, row * down + y) in dots:
                        bits |= _DOTS[y][x]
            cells.append(_cell(bits, is_plain=is_plain))
        rows.append("".join(cells).rstrip())
    values = [y for _, y in points]
    labels = {0: format_value(max(values)), height - 1: format_value(min(values))}
    if max(values) == min(values):
        labels = {height // 2: format_value(values[0])}
    lines = [f"{labels.get(row, '')[:_MARGIN]:>{_MARGIN}} {rows[row]}" for row in range(height)]
    first, last = format_value(points[0][0]), format_value(points[-1][0])
    lines.append(" " * (_MARGIN + 1) + first + last.rjust(columns - len(first)))
    return [line.rstrip() for line in lines]


def _cell(bits: int, *, is_plain: bool) -> str:
    if not bits:
        return " "
    return "*" if is_plain else chr(_BLANK + bits)


def _dots(points: Sequence[Point], columns: int, rows: int) -> set[tuple[int, int]]:
    """Return the dots (column, row) of a curve, row 0 at the top; between two points a line."""
    few = thin(points, 2 * columns)
    xs, ys = [x for x, _ in few], [y for _, y in few]
    wide, high = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    is_flat = max(ys) == min(ys)
    places = [
        (
            round((x - min(xs)) / wide * (columns - 1)),
            rows // 2 if is_flat else round((max(ys) - y) / high * (rows - 1)),
        )
        for x, y in few
    ]
    dots = set(places)
    for (x0, y0), (x1, y1) in pairwise(places):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            share = step / steps
            dots.add((round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0))))
    return dots
