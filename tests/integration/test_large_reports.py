"""Status and report of large outputs: quick, small, and in memory that does not grow with the log."""

import re
import tracemalloc
from pathlib import Path

import pytest
from browser import opened
from large_outputs import BEGUN, large_output, name_of

from ipdata.reporting.document import page_of
from ipdata.reporting.parts import FAILED_NAMES
from ipdata.status.state import status_of
from shards.sheet.page import shown

MAX_PAGE_BYTES = 5_000_000
NOW = BEGUN + 1e6


@pytest.mark.parametrize(("videos", "classes"), [(600, 6), (5000, 101), (20_000, 400), (10_000, 2000)])
def test_a_page_is_bounded_and_shows_what_there_is(tmp_path: Path, videos: int, classes: int) -> None:
    output = large_output(tmp_path / "set", videos=videos, classes=classes)
    text = page_of(output.directory, now=NOW).decode()
    assert len(text) < MAX_PAGE_BYTES
    assert shown(f"{videos}: {videos * 49 // 50} done, 0 left") in text
    assert len(re.findall('class="measure (?:lacks )?row"', text)) == min(classes, 600) + 2  # and two stages
    assert (f"and {classes - 600} more" in text) == (classes > 600)
    truncated = len(range(0, videos, 150))
    empty = videos // 50 - truncated
    for count in (empty, truncated):
        assert (f"<li>and {count - FAILED_NAMES} more</li>" in text) == (count > FAILED_NAMES)
    assert "<script>.avi" not in text and "<i>&" not in text
    (tmp_path / "page.html").write_text(text)
    use = """
    const text = document.querySelector(".filters input");
    text.value = "CLASS 000,"; text.dispatchEvent(new Event("input"));
    document.body.dataset.seen = document.querySelectorAll(".measure:not([hidden])").length;
    document.body.dataset.evil = document.querySelectorAll("main script, li i, td i, li script, td script").length;
    """
    dom = opened(tmp_path / "page.html", tmp_path, then=use)
    assert 'data-seen="1"' in dom and 'data-evil="0"' in dom


def test_equal_sources_are_named_up_to_a_bound(tmp_path: Path) -> None:
    output = large_output(tmp_path / "set", videos=60_000, classes=3)
    text = page_of(output.directory, now=NOW).decode()
    assert "120 published videos in 60 groups" in text and "<li>and 10 more</li>" in text
    assert shown(f"{name_of(1)} = {name_of(2)}") in text


def test_the_memory_of_status_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = {}
    for videos in (1000, 50_000):
        output = large_output(tmp_path / str(videos), videos=videos, classes=5, lines_only=True)
        tracemalloc.start()
        status = status_of(output.directory, now=NOW)
        peaks[videos] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert status.rate is not None and status.rate.videos == videos
    assert peaks[50_000] < peaks[1000] + 1_000_000
