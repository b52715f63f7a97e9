"""The charts and sums of the report of a build."""

import random
import re
from xml.etree import ElementTree

import pytest

from ipdata.log import Damaged, LogLine
from ipdata.reporting.charts import BINS, Bars, histogram, nice, svg_of
from ipdata.reporting.history import IDLE_S, SLOWEST, History


@pytest.mark.parametrize(
    "values", [[7], [5, 5, 5], [1, 2, 3], [0, 0, 1], list(range(1000)), [3] * 50 + [10**9], [0, 10**7]]
)
def test_a_histogram_has_every_value_once(values: list[int]) -> None:
    bars = histogram(values)
    assert sum(bars.heights) == len(values) and len(bars.heights) <= 2 * BINS
    for low, high, count in zip(bars.edges, bars.edges[1:], bars.heights, strict=False):
        assert count == sum(low <= value < high for value in values)


def test_histograms_of_drawn_values() -> None:
    numbers = random.Random(0)
    for _ in range(200):
        scale = 10 ** numbers.uniform(0, 8)
        test_a_histogram_has_every_value_once([int(scale * numbers.expovariate(1)) for _ in range(50)])


@pytest.mark.parametrize(
    ("step", "found"), [(0, 1), (0.3, 0.5), (1, 1), (1.2, 2), (3, 5), (7, 10), (20, 20), (51, 100)]
)
def test_nice_steps(step: float, found: float) -> None:
    assert nice(step) == pytest.approx(found)


@pytest.mark.parametrize(("edges", "heights"), [([], []), ([0], []), ([0, 1], [1, 2]), ([1, 0], [1]), ([0, 0], [1])])
def test_bars_refuse_to_be_wrong(edges: list[float], heights: list[float]) -> None:
    with pytest.raises(ValueError, match="bars need one edge more"):
        Bars(edges=edges, heights=heights)


def test_a_chart_is_whole_svg_with_bars_as_high_as_their_counts() -> None:
    bars = Bars(edges=[0, 1, 2, 3], heights=[0, 4, 8], marks=[1.5])
    text = svg_of(bars, x_title="a < b", y_title="c & d", x_text=lambda edge: f"<{edge:g}>", what="videos")
    root = ElementTree.fromstring(text)
    rects = [rect for rect in root if rect.tag == "rect"]
    heights = [float(rect.attrib["height"]) for rect in rects]
    assert heights[0] == 0 and heights[2] == pytest.approx(2 * heights[1], abs=0.1)
    assert [rect[0].text for rect in rects][1] == "4 videos, <1> to <2>"
    words = [element.text for element in root if element.tag == "text"]
    assert {"a < b", "c & d", "0", "8"} <= set(words)
    assert len([line for line in root if line.attrib.get("class") == "mark"]) == 1
    assert not re.search("script|http", text)


def line(at: float, key: str = "a", seconds: float = 1.0) -> LogLine:
    return LogLine(at=at, key=key, frames=10, seconds={"flow": 0.75 * seconds, "source": 0.25 * seconds})


def test_history_leaves_pauses_out() -> None:
    history = History()
    history.add_all([line(100), line(160), Damaged(7), line(160 + 2 * IDLE_S), line(170 + 2 * IDLE_S)])
    done, pauses = history.at_work_s()
    assert (list(done), pauses) == ([0, 60, 60, 70], [60])
    assert history.stages_s == {"flow": 3.0, "source": 1.0}
    assert History().at_work_s()[1] == []


def test_history_keeps_the_slowest() -> None:
    history = History()
    history.add_all(line(n, key=f"k{n}", seconds=(37 * n) % 101) for n in range(101))
    assert len(history.slowest) == SLOWEST
    assert [round(seconds) for seconds, _, _ in history.slowest] == list(range(100, 100 - SLOWEST, -1))
    assert {stage for _, _, stage in history.slowest} == {"flow"}
