"""Charts whose axes are shares: calibration, ROC, precision and recall, lift.

Both axes run from 0 to 1, so that charts of several models can be laid side by side; lift alone has
an upper end of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from headstart.reporting.charts import Point, ticks

_SIDE = 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 10.0, 38.0
Place = Callable[[float, float], tuple[str, str]]
COLOURS = ("line-a", "line-b", "line-c", "line-d", "line-e", "line-f")


@dataclass(frozen=True)
class UnitLine:
    """A line of a chart of shares.

    Attributes:
        name: What it is.
        css: Its class, one of ``COLOURS``.
        points: (x, y), x in [0, 1].
        intervals: (x, low, high) of single points; empty for none.
        is_dotted: Whether each point is drawn.
    """

    name: str
    css: str
    points: Sequence[Point]
    intervals: Sequence[tuple[float, float, float]] = ()
    is_dotted: bool = False


def unit_chart(
    lines: Sequence[UnitLine],
    *,
    x_label: str,
    y_label: str,
    label: str,
    reference: Sequence[Point] = (),
    highest: float = 1.0,
) -> str:
    """Draw lines over axes from 0 to 1.

    Args:
        lines: What is drawn; without points there is no chart.
        x_label: What x is.
        y_label: What y is.
        label: What the chart shows, for those who cannot see it.
        reference: A line to compare with; empty for none.
        highest: Upper end of the y axis.

    Returns:
        An ``<svg>`` element, or an empty string where no line has a point.
    """
    if not any(line.points for line in lines):
        return ""

    def place(x: float, y: float) -> tuple[str, str]:
        across = _LEFT + min(1.0, max(0.0, x)) * (_SIDE - _LEFT - _RIGHT)
        up = min(1.0, max(0.0, y / highest)) * (_SIDE - _TOP - _BOTTOM)
        return f"{across:.1f}", f"{_SIDE - _BOTTOM - up:.1f}"

    parts = _axes(place, x_label, y_label, highest)
    if reference:
        parts.append(f'<polyline class="line reference" points="{_path(reference, place)}"/>')
    for line in lines:
        parts.append(f'<polyline class="line {line.css}" points="{_path(line.points, place)}">')
        parts.append(f"<title>{escape(line.name)}</title></polyline>")
        for x, low, high in line.intervals:
            (across, bottom), (_, top) = place(x, low), place(x, high)
            parts.append(f'<line class="whole {line.css}" x1="{across}" y1="{bottom}"')
            parts.append(f' x2="{across}" y2="{top}"/>')
        for x, y in line.points if line.is_dotted else ():
            across, down = place(x, y)
            parts.append(f'<circle class="dot {line.css}" cx="{across}" cy="{down}" r="3.5">')
            parts.append(f"<title>{escape(f'{line.name}: {x:.3f}, {y:.3f}')}</title></circle>")
    return (
        f'<svg class="chart" viewBox="0 0 {_SIDE:g} {_SIDE:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _path(points: Sequence[Point], place: Place) -> str:
    return " ".join(",".join(place(x, y)) for x, y in points)


def _axes(place: Place, x_label: str, y_label: str, highest: float) -> list[str]:
    """Draw grid lines, their numbers, and what the axes are."""
    parts = []
    for tick in ticks(0.0, highest):
        x1, y = place(0.0, tick)
        x2, _ = place(1.0, tick)
        parts.append(f'<line class="grid" x1="{x1}" y1="{y}" x2="{x2}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{float(y) + 4:.1f}"')
        parts.append(f' text-anchor="end">{tick:g}</text>')
    for tick in ticks(0.0, 1.0):
        x, _ = place(tick, 0.0)
        parts.append(f'<text class="tick" x="{x}" y="{_SIDE - _BOTTOM + 15}"')
        parts.append(f' text-anchor="middle">{tick:g}</text>')
    middle = (_LEFT + _SIDE - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{_SIDE - 5}" text-anchor="middle">')
    parts.append(f"{escape(x_label)}</text>")
    centre = (_TOP + _SIDE - _BOTTOM) / 2
    parts.append(f'<text class="tick" x="11" y="{centre}" text-anchor="middle"')
    parts.append(f' transform="rotate(-90 11 {centre})">{escape(y_label)}</text>')
    return parts
