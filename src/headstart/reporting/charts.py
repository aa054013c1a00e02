"""Charts as inline SVG and styled elements, by hand: no library, no script, nothing fetched.

Colours come from the page's style sheet through classes, so that a chart follows the light and the
dark scheme. Deliberately left out: anything interactive; a ``<title>`` gives the exact value under
the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Point = tuple[float, float]

_WIDTH, _HEIGHT = 520.0, 240.0
_TALL = 400.0  # of a scatter chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 10.0, 34.0
_MAX_POINTS = 300
_TIMES = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10_800, 36_000, 108_000)  # of an axis


def line_chart(
    series: Sequence[tuple[str, str, Sequence[Point]]],
    *,
    x_label: str,
    label: str,
    marks: Sequence[float] = (),
    most: float | None = None,
) -> str:
    """Draw lines over a common x axis.

    Args:
        series: For each line its name, CSS class (``line-a``, ``line-b``) and points (x, y), all
            finite. Long lines are averaged down to 300 points.
        x_label: What x counts.
        label: What the chart shows, for those who cannot see it.
        marks: Places on x that are marked by an upright line, where they lie inside.
        most: What y can be at the most: the axis ends there.

    Returns:
        An ``<svg>`` element, or an empty string where no line has a point.
    """
    lines = [(name, css, thin(points)) for name, css, points in series if points]
    if not lines:
        return ""
    xs = [x for _, _, points in lines for x, _ in points]
    x_low, x_high = min(xs), max(xs)
    if x_low == x_high:
        x_low, x_high = x_low - 1.0, x_high + 1.0
    y_low, y_high = _range([y for _, _, points in lines for _, y in points])
    if most is not None and y_high > most >= y_low:
        y_low, y_high = min(y_low, most - 0.05 * abs(most)), most

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        # A loss that starts far off is cut at the top rather than flattening all the rest.
        share = min(1.0, max(0.0, (y - y_low) / (y_high - y_low)))
        return f"{across:.1f},{_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    parts = [_y_axis(y_low, y_high), _x_axis(x_low, x_high, x_label)]
    for mark in (mark for mark in marks if x_low < mark < x_high):
        across, bottom = place(mark, y_low).split(",")
        parts.append(f'<line class="mark" x1="{across}" y1="{_TOP}" x2="{across}" y2="{bottom}"/>')
    for name, css, points in lines:
        path = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline class="line {css}" points="{path}"><title>{escape(name)}</title>')
        parts.append("</polyline>")
        if len(points) <= 40:
            for x, y in points:
                left, top = place(x, y).split(",")
                title = escape(f"{name} {y:.4g} at {x_label} {x:g}")
                parts.append(f'<circle class="dot {css}" cx="{left}" cy="{top}" r="3">')
                parts.append(f"<title>{title}</title></circle>")
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def scatter_chart(
    points: Sequence[Point],
    *,
    x_label: str,
    y_label: str,
    label: str,
    reference: Literal["diagonal", "zero"],
) -> str:
    """Draw points beside the line on which they would lie if nothing were wrong.

    Args:
        points: (x, y), all finite.
        x_label: What x is.
        y_label: What y is.
        label: What the chart shows, for those who cannot see it.
        reference: ``diagonal``: both axes have one range, and y = x is drawn; ``zero``: y = 0.

    Returns:
        An ``<svg>`` element, or an empty string where there is no point.
    """
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if reference == "diagonal":
        x_range = y_range = _padded([*xs, *ys])
        ends = ((x_range[0], x_range[0]), (x_range[1], x_range[1]))
    else:
        x_range, y_range = _padded(xs), _padded([*ys, 0.0])
        ends = ((x_range[0], 0.0), (x_range[1], 0.0))

    # targets may be prices: the widest number on the axis says how much room the left side needs
    widest = max(len(_tick_text(tick)) for tick in ticks(*y_range))
    left = max(_LEFT, 14 + 6.8 * widest)

    def place(x: float, y: float) -> tuple[str, str]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0]) * (_WIDTH - left - _RIGHT)
        up = (y - y_range[0]) / (y_range[1] - y_range[0]) * (_TALL - _TOP - _BOTTOM)
        return f"{left + across:.1f}", f"{_TALL - _BOTTOM - up:.1f}"

    parts = [_y_axis(*y_range, _TALL, left), _x_axis(*x_range, x_label, _TALL, left)]
    (x1, y1), (x2, y2) = (place(*end) for end in ends)
    parts.append(f'<line class="reference" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    for x, y in points:
        across, down = place(x, y)
        title = escape(f"{x_label} {x:.5g}, {y_label} {y:.5g}")
        parts.append(f'<circle class="point" cx="{across}" cy="{down}" r="3">')
        parts.append(f"<title>{title}</title></circle>")
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_TALL:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class Priced:
    """Something that has a price: a point of a price chart.

    Attributes:
        name: What it is.
        minutes: Its price, above 0.
        value: How good it is, higher is better.
        low: Of its interval.
        high: Of its interval.
        is_front: Whether nothing is both cheaper and better.
    """

    name: str
    minutes: float
    value: float
    low: float
    high: float
    is_front: bool


def price_chart(points: Sequence[Priced], *, y_label: str, label: str) -> str:
    """Draw how good things are against their price in time, on a logarithmic axis.

    Those that nothing beats in both are joined by a line and named; of all, the exact values stand
    under the pointer.

    Args:
        points: In any order.
        y_label: What is good.
        label: What the chart shows, for those who cannot see it.

    Returns:
        An ``<svg>`` element, or an empty string where there is no point.
    """
    if not points:
        return ""
    logs = [math.log10(60 * one.minutes) for one in points]
    x_low, x_high = min(logs) - 0.15, max(logs) + 0.35
    y_low, y_high = _padded([value for one in points for value in (one.low, one.high)])

    def place(seconds: float, value: float) -> tuple[float, float]:
        across = (math.log10(seconds) - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        up = (value - y_low) / (y_high - y_low) * (_TALL - _TOP - _BOTTOM)
        return _LEFT + across, _TALL - _BOTTOM - up

    parts = [_y_axis(y_low, y_high, _TALL)]
    for seconds in _TIMES:
        if x_low <= math.log10(seconds) <= x_high:
            x, _ = place(seconds, y_low)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{_TALL - _BOTTOM + 15}"')
            parts.append(f' text-anchor="middle">{_time_text(seconds)}</text>')
    parts.append(f'<text class="tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_TALL - 3}"')
    parts.append(' text-anchor="middle">time of a fine-tuning here</text>')
    front = sorted((one for one in points if one.is_front), key=lambda one: one.minutes)
    ends = [place(60 * one.minutes, one.value) for one in front]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in ends)
    parts.append(f'<polyline class="line line-a" points="{path}"/>')
    for one in points:
        x, y = place(60 * one.minutes, one.value)
        (_, bottom), (_, top) = place(60 * one.minutes, one.low), place(60 * one.minutes, one.high)
        parts.append(f'<line class="interval" x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}"')
        parts.append(
            f' y2="{top:.1f}"/><circle class="{"dot line-a" if one.is_front else "point"}"'
        )
        parts.append(f' cx="{x:.1f}" cy="{y:.1f}" r="4"><title>')
        told = f"{one.name}: {y_label} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
        parts.append(f"{escape(f'{told}, {60 * one.minutes:.0f} s')}</title></circle>")
    for one, (x, text_y, side) in _labels(front, ends):
        parts.append(f'<text class="tick" x="{x:.1f}" y="{text_y:.1f}"')
        parts.append(f' text-anchor="{side}">{escape(_short(one.name))}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_TALL:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _short(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def _labels(
    points: Sequence[Priced], places: Sequence[Point]
) -> list[tuple[Priced, tuple[float, float, str]]]:
    """Return where names stand: above their point or below it; those without room are left out."""
    taken: list[tuple[float, float, float]] = []  # left, right, baseline
    found = []
    # the best ones first: they are what a reader looks for
    for one, (x, y) in sorted(zip(points, places, strict=True), key=lambda pair: pair[1][1]):
        side = "end" if x > (_LEFT + _WIDTH) / 2 else "start"
        width = 6.4 * len(_short(one.name))
        for down in (-8.0, 18.0):
            left = x - width if side == "end" else x
            box = (left, left + width, y + down)
            if all(
                box[1] < other[0] or box[0] > other[1] or abs(box[2] - other[2]) > 13
                for other in taken
            ):
                taken.append(box)
                found.append((one, (x, y + down, side)))
                break
    return found


def _time_text(seconds: float) -> str:
    """Return a round length of time."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def interval_chart(value: float, low: float, high: float, axis: tuple[float, float]) -> str:
    """Draw one interval as a whisker with a dot, for a row of a table; it stretches to its cell.

    Args:
        value: The point estimate.
        low: Lower end.
        high: Upper end.
        axis: Values at the left and right edge; the same for all rows of a table.
    """
    span = (axis[1] - axis[0]) or 1.0
    start, end, dot = (100.0 * min(1.0, max(0.0, (x - axis[0]) / span)) for x in (low, high, value))
    style = ".3f" if abs(value) < 1000 else ",.0f"
    return (
        '<div class="whisker" role="img" '
        f'aria-label="{value:{style}}, 95 % interval {low:{style}} to {high:{style}}">'
        f'<i class="span" style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
        f'<i class="mark" style="left:{dot:.1f}%"></i></div>'
    )


def axis_labels(axis: tuple[float, float]) -> tuple[str, str]:
    """Return the two ends of an axis as texts, for the head of a column of ``interval_chart``."""
    span = axis[1] - axis[0]
    # shares keep two decimals; quantities show what their span gives meaning to
    is_share = axis[0] >= 0 and axis[1] <= 1
    decimals = 2 if is_share or span <= 0 else min(6, max(0, 1 - math.floor(math.log10(span))))
    return f"{axis[0]:,.{decimals}f}", f"{axis[1]:,.{decimals}f}"


def axis_of(ends: Sequence[float]) -> tuple[float, float]:
    """Return an axis with round ends that holds shares in [0, 1]; (0, 1) where there are none."""
    if not ends:
        return (0.0, 1.0)
    step = 0.1 if max(ends) - min(ends) > 0.1 else 0.02
    low, high = math.floor(min(ends) / step + 1e-9), math.ceil(max(ends) / step - 1e-9)
    if low == high:  # one value, on a round end
        low, high = (low - 1, high) if low > 0 else (0, 1)
    return (low * step, high * step)


def value_axis(ends: Sequence[float]) -> tuple[float, float]:
    """Return an axis with round ends that holds numbers of any size; (0, 1) if there are none."""
    if not ends:
        return (0.0, 1.0)
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - (0.1 * abs(low) or 0.5), high + (0.1 * abs(high) or 0.5)
    step = _round_step(low, high, 4)
    return (math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def thin(points: Sequence[Point], limit: int = _MAX_POINTS) -> list[Point]:
    """Average neighbouring points until at most ``limit`` are left; the last is kept as it is."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil((len(points) - 1) / (limit - 1))
    thinned = []
    for start in range(0, len(points) - 1, size):
        group = points[start : min(start + size, len(points) - 1)]
        thinned.append((group[-1][0], sum(y for _, y in group) / len(group)))
    return [*thinned, points[-1]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten) inside [low, high], about ``count``."""
    if not high > low:
        return [low]
    step = _round_step(low, high, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _round_step(low: float, high: float, count: int) -> float:
    """Return 1, 2 or 5 times a power of ten that goes about ``count`` times into [low, high]."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """Return a range that holds all values with a little room."""
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the y range: all values, save for the highest 2 % where they lie far off."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[math.ceil(0.98 * len(ordered)) - 1]
    if ordered[-1] - low <= 1.5 * (high - low):
        high = ordered[-1]
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    # A quantity that is never negative gets no axis below zero.
    return (max(0.0, low - margin) if low >= 0 else low - margin), high + margin


def _tick_text(value: float) -> str:
    """Return a tick's number, short enough for the margin."""
    if abs(value) >= 1e12:
        return f"{value:.2g}"
    for size, sign in ((1e9, " G"), (1e6, " M")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:,.6g}"


def _y_axis(low: float, high: float, height: float = _HEIGHT, left: float = _LEFT) -> str:
    """Draw horizontal grid lines with their values."""
    parts = []
    for tick in ticks(low, high):
        y = height - _BOTTOM - (tick - low) / (high - low) * (height - _TOP - _BOTTOM)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}"')
        parts.append(f' x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{_tick_text(tick)}</text>")
    return "".join(parts)


def _x_axis(
    low: float, high: float, label: str, height: float = _HEIGHT, left: float = _LEFT
) -> str:
    """Write the x values and what they count."""
    parts = []
    for tick in ticks(low, high, 6):
        x = left + (tick - low) / (high - low) * (_WIDTH - left - _RIGHT)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - _BOTTOM + 15}"')
        parts.append(f' text-anchor="middle">{_tick_text(tick)}</text>')
    middle = (left + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{height - 3}" text-anchor="middle">')
    parts.append(f"{escape(label)}</text>")
    return "".join(parts)
