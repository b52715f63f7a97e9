"""Names beside the points of a plot, placed so that they cover neither points, nor intervals, nor each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipmodel.evaluation.figures import GREY, readable

LABEL_POINTS = 6.5
MARK_POINTS, LINE_POINTS = 4.0, 1.5  # half the width of a mark, and of an interval with its margin
STYLE: Any = {"fontsize": LABEL_POINTS, "color": GREY, "va": "bottom", "ha": "left"}
GAP_POINTS = 2.0  # between a mark and its name
STEPS_POINTS = (0, 4, 8, 12, 16, 20, 26, 32)  # how far a name moves away
LEADER_POINTS = 7  # names that are farther away get a line to their point


@dataclass(frozen=True, kw_only=True)
class Point:
    """A method in a plot of accuracy against something else."""

    name: str
    x: float
    top1: float  # %
    interval: tuple[float, float] | None = None  # %; None for the paper's


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in points of print."""

    left: float
    low: float
    right: float
    high: float

    def shared(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.high, other.high) - max(self.low, other.low)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.high - self.low)


def label(axes: Axes, points: Sequence[Point]) -> None:
    """Write the names. The axes must have their final place and limits."""
    taken = [box for point in points for box in _drawn(axes, point)]
    corners = axes.transAxes.transform([(0, 0), (1, 1)]) * _to_points(axes)
    frame = Box(*(float(value) for value in corners.ravel()))
    for point in sorted(points, key=lambda one: (-one.top1, one.x)):
        x, y = _place(axes, point.x, point.top1)
        text = axes.annotate(
            readable(point.name), (point.x, point.top1), xytext=(0, 0), textcoords="offset points", **STYLE
        )
        extent = text.get_window_extent()
        width, height = extent.width * _to_points(axes), extent.height * _to_points(axes)
        tried = [(_cost(box, taken, frame) + away, away, box) for box, away in _places(x, y, width, height)]
        _, away, best = min(tried, key=lambda one: one[0])
        text.set_position((best.left - x, best.low - y))
        if away > LEADER_POINTS:
            end = (min(max(x, best.left), best.right), best.high if best.high < y else min(max(y, best.low), best.high))
            _lead(axes, point, end, (x, y))
        taken.append(best)


def _lead(axes: Axes, point: Point, end: tuple[float, float], place: tuple[float, float]) -> None:
    """A thin line from a point to its name."""
    offset = (end[0] - place[0], end[1] - place[1])
    line: Any = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 1.5, "shrinkB": MARK_POINTS}
    axes.annotate("", (point.x, point.top1), xytext=offset, textcoords="offset points", arrowprops=line)


def _places(x: float, y: float, width: float, height: float) -> Iterator[tuple[Box, float]]:
    """Where a name may stand, and how far it has moved: right, left, above and below, and away from there."""
    off = MARK_POINTS + GAP_POINTS
    for away in STEPS_POINTS:
        for up in (away, -away):
            for left in (x + off, x - off - width):
                yield Box(left, y - height / 2 + up, left + width, y + height / 2 + up), away
        for left in (x - width / 2, x - width, x):
            yield Box(left, y + off + away, left + width, y + off + away + height), away + 1
            yield Box(left, y - off - away - height, left + width, y - off - away), away + 1


def _cost(box: Box, taken: Sequence[Box], frame: Box) -> float:
    """How much of what is drawn a name would cover, and how much of it would lie outside."""
    return sum(100 * box.shared(other) for other in taken) + 100 * (box.area - box.shared(frame))


def _drawn(axes: Axes, point: Point) -> Iterator[Box]:
    x, y = _place(axes, point.x, point.top1)
    yield Box(x - MARK_POINTS, y - MARK_POINTS, x + MARK_POINTS, y + MARK_POINTS)
    if point.interval is not None:
        low, high = (_place(axes, point.x, edge)[1] for edge in point.interval)
        yield Box(x - LINE_POINTS, low, x + LINE_POINTS, high)


def _place(axes: Axes, x: float, y: float) -> tuple[float, float]:
    at = axes.transData.transform((x, y)) * _to_points(axes)
    return float(at[0]), float(at[1])


def _to_points(axes: Axes) -> float:
    assert isinstance(axes.figure, Figure)
    return 72 / axes.figure.dpi
