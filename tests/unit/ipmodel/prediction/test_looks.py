"""Which frames streams look at: whole videos as evaluations do, spans by time."""

from dataclasses import replace

import msgspec
import pytest

from ipmodel.data.sampling import middle_positions
from ipmodel.prediction.looks import Look, Span, choices_of, frame_times_s, numbers_of, spans_of
from shards.schema import NO_TIMESTAMP, Sample

LOOK_I, LOOK_P = (
    Look(stream="i", columns=("iframe",), segments=4),
    Look(stream="p", columns=("mv", "residual"), segments=3),
)


def sample(frames: int, *, gop: int = 12, **changes: object) -> Sample:
    made = Sample(
        key="clip-00000000",
        name="clip.avi",
        class_name="",
        class_id=0,
        subsets={"none": "unused"},
        frames=frames,
        picture_types="".join("P" if number % gop else "I" for number in range(frames)),
        width=48,
        height=48,
        source_width=48,
        source_height=48,
        source_frames=frames,
        source_frames_announced=frames,
        source_frames_damaged=0,
        source_frame_rate="25/1",
        source_time_base="1/25",
        source_pts=list(range(frames)),
        source_sha256="0" * 64,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_whole_video_is_looked_at_as_in_an_evaluation() -> None:
    video = sample(40)
    (span,) = spans_of(video, None)
    assert (span.first, span.stop, span.start_s, span.stop_s) == (0, 40, 0.0, 1.6)
    p_frames = [number for number in range(40) if number % 12]
    expected = [p_frames[position] for position in middle_positions(len(p_frames), 3)]
    assert numbers_of(video, span, LOOK_P) == {"mv": expected, "residual": expected}
    assert numbers_of(video, span, LOOK_I) == {"iframe": [0, 12, 24, 36]}


def test_a_short_video_repeats_frames_and_a_choice_has_each_once() -> None:
    video = sample(2)
    (span,) = spans_of(video, None)
    assert numbers_of(video, span, LOOK_I) == {"iframe": [0, 0, 0, 0]}
    assert choices_of(video, looks=(LOOK_I, LOOK_P), every_s=None) == [{"iframe": [0], "mv": [1], "residual": [1]}]


def test_a_video_of_one_frame_shows_the_p_stream_nothing() -> None:
    video = sample(1)
    (span,) = spans_of(video, None)
    assert span.stop_s == 0.04
    assert numbers_of(video, span, LOOK_P) == {}
    assert choices_of(video, looks=(LOOK_P,), every_s=None) == [{}]


def test_spans_divide_a_video_and_a_short_rest_joins_the_last_one() -> None:
    spans = spans_of(sample(110), 1.0)  # 4.4 s
    assert [(span.first, span.stop) for span in spans] == [(0, 25), (25, 50), (50, 75), (75, 110)]
    assert [(span.start_s, span.stop_s) for span in spans] == [(0, 1), (1, 2), (2, 3), (3, 4.4)]
    spans = spans_of(sample(115), 1.0)  # 4.6 s
    assert (spans[-1].first, spans[-1].stop) == (100, 115)
    assert len(spans_of(sample(5), 60.0)) == 1


def test_a_span_without_an_i_frame_takes_the_last_one_before_it() -> None:
    video = sample(30)
    assert numbers_of(video, Span(first=13, stop=20, start_s=0, stop_s=1), LOOK_I) == {"iframe": [12] * 4}
    second = choices_of(video, looks=(LOOK_I, LOOK_P), every_s=0.2)[1]  # frames 5 to 9
    assert second["iframe"] == [0] and min(second["mv"]) >= 5


def test_spans_go_by_the_times_of_the_source() -> None:
    slow = sample(10, source_time_base="1/10", source_pts=[number * 10 for number in range(10)])  # a frame a second
    assert frame_times_s(slow) == [float(number) for number in range(10)]
    assert [(span.first, span.stop) for span in spans_of(slow, 2.0)] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    gap = sample(4, source_pts=[100, 101, 225, 226])
    assert [(span.first, span.stop, span.start_s) for span in spans_of(gap, 1.0)] == [(0, 2, 0.0), (2, 4, 5.0)]


def test_a_gap_of_years_makes_no_more_spans_than_frames() -> None:
    video = sample(4, source_pts=[0, 1, 10**14, 10**14 + 1])
    first, second = spans_of(video, 1.0)
    assert (first.first, first.stop, first.start_s, first.stop_s) == (0, 2, 0.0, 1.0)
    assert (second.first, second.stop, second.start_s, second.stop_s) == (2, 4, 4e12, 4e12 + 1)


@pytest.mark.parametrize("pts", [[NO_TIMESTAMP] * 4, [3, 2, 1, 0], [0, 0, 0, 0]])
def test_without_timestamps_that_rise_the_frame_rate_counts(pts: list[int]) -> None:
    assert frame_times_s(sample(4, source_pts=pts, source_frame_rate="2/1")) == [0.0, 0.5, 1.0, 1.5]
    assert frame_times_s(sample(4, source_pts=pts, source_frame_rate="0/1"))[1] == 0.04


@pytest.mark.parametrize("frames", [1, 2, 13, 100, 333])
@pytest.mark.parametrize("every_s", [0.04, 0.3, 1.0, 7.0])
def test_spans_hold_every_frame_once(frames: int, every_s: float) -> None:
    spans = spans_of(sample(frames), every_s)
    assert [number for span in spans for number in range(span.first, span.stop)] == list(range(frames))
    choices = choices_of(sample(frames), looks=(LOOK_I, replace(LOOK_P, segments=1)), every_s=every_s)
    lasts = [max(number for own in choice.values() for number in own) for choice in choices]
    assert lasts == sorted(lasts)
