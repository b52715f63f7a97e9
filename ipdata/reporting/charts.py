"""Charts as SVG: bars over bins. They need no script and no network."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH_PX, HEIGHT_PX = 720, 220
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 64, 14, 10, 44
BINS = 30
TICKS = 4
MANY_TIMES = 30  # if the largest value is so many times the median, the bins grow with the values
LABEL_PX = 90  # between two labels of the x axis


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar for each bin. Raises: ValueError unless there is a bar, and one edge more than bars, in rising order."""

    edges: Sequence[float]  # in the unit of the x axis
    heights: Sequence[float]
    marks: Sequence[float] = ()  # places of dashed lines, in bins

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.edges))
        if not self.heights or len(self.edges) != len(self.heights) + 1 or not rising:
            raise ValueError(f"{len(self.heights)} bars need one edge more, in rising order, got {self.edges}")


def histogram(values: Sequence[int]) -> Bars:
    """How many values are in each bin. Bins of equal widths, or of equal ratios if a few values are much larger."""
    ordered = sorted(values)
    edges = _edges(ordered[0], ordered[len(ordered) // 2], ordered[-1])
    counts, place = [0] * (len(edges) - 1), 0
    for value in ordered:
        while value >= edges[place + 1] and place < len(counts) - 1:
            place += 1
        counts[place] += 1
    return Bars(edges=edges, heights=counts)


def _edges(smallest: int, median: int, largest: int) -> list[float]:
    if largest > MANY_TIMES * max(1, median):
        low = math.log10(max(1, smallest))
        step = (math.log10(largest + 1) - low) / BINS
        edges = [10 ** (low + number * step) for number in range(BINS + 1)]
        return [min(edges[0], float(smallest)), *edges[1:]]
    width = max(1, nice((largest + 1 - smallest) / BINS))
    first = smallest - smallest % width
    count = math.floor((largest - first) / width) + 1
    return [float(first + number * width) for number in range(count + 1)]


def nice(step: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below the step."""
    if step <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(step))
    found = next((power * factor for factor in (1, 2, 5) if power * factor >= step * (1 - 1e-9)), 10 * power)
    return round(found) if found >= 1 else found


def svg_of(bars: Bars, *, x_title: str, y_title: str, x_text: Callable[[float], str], what: str) -> str:
    """The chart. x_text: an edge as text. what: what a bar counts, for the text that a pointer shows."""
    tick = nice(max(bars.heights) / TICKS)
    tick = max(1, tick) if all(float(height).is_integer() for height in bars.heights) else tick
    ticks = max(1, math.ceil(max(bars.heights) / tick))
    step = (WIDTH_PX - LEFT_PX - RIGHT_PX) / len(bars.heights)
    base, scale = HEIGHT_PX - BOTTOM_PX, (HEIGHT_PX - BOTTOM_PX - TOP_PX) / (ticks * tick)
    parts = [*_grid(ticks, tick, base, scale), *_labels(bars, step, base, x_text)]
    for number, height in enumerate(bars.heights):
        x, tall = LEFT_PX + number * step, height * scale
        said = f"{height:g} {what}, {x_text(bars.edges[number])} to {x_text(bars.edges[number + 1])}"
        rect = f'<rect class="bar" x="{x + 0.5:.1f}" y="{base - tall:.1f}" width="{max(0.5, step - 1):.1f}"'
        parts.append(f'{rect} height="{tall:.1f}"><title>{html.escape(said)}</title></rect>')
    for mark in bars.marks:
        x = LEFT_PX + mark * step
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP_PX}" y2="{base}"/>')
    middle = (LEFT_PX + WIDTH_PX - RIGHT_PX) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT_PX - 6}" text-anchor="middle">{html.escape(x_title)}</text>')
    at = f'x="12" y="{(TOP_PX + base) / 2:.0f}"'
    turned = f'transform="rotate(-90 12 {(TOP_PX + base) / 2:.0f})"'
    parts.append(f'<text {at} {turned} text-anchor="middle">{html.escape(y_title)}</text>')
    label = html.escape(f"{y_title} over {x_title}")
    return f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _grid(ticks: int, tick: float, base: float, scale: float) -> list[str]:
    lines = []
    for number in range(ticks + 1):
        value = number * tick
        y = base - value * scale
        lines.append(f'<line class="grid" x1="{LEFT_PX}" x2="{WIDTH_PX - RIGHT_PX}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT_PX - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return lines


def _labels(bars: Bars, step: float, base: float, x_text: Callable[[float], str]) -> list[str]:
    every, labels = max(1, math.ceil(LABEL_PX / step)), []
    for number in range(0, len(bars.edges), every):
        x = LEFT_PX + number * step
        anchor = "middle" if x < WIDTH_PX - LABEL_PX / 2 else "end"  # the last one must not be cut
        text = html.escape(x_text(bars.edges[number]))
        labels.append(f'<text x="{x:.1f}" y="{base + 16:.1f}" text-anchor="{anchor}">{text}</text>')
    return labels
