"""Which frames of a video each stream looks at: those of an evaluation, of the whole video or of each span.

Needs no PyTorch: it also runs in the processes that decode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from ipmodel.data.sampling import middle_positions
from shards.columns import COLUMNS
from shards.schema import NO_TIMESTAMP, Sample

FRAME_RATE = Fraction(25)  # of bitstreams without a container, which state none
LEAST_SPAN_S = 0.001


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one stream looks at: so many frames of each column."""

    stream: str
    columns: tuple[str, ...]
    segments: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a video: the frames from `first` to `stop` - 1, and when they are shown, in s."""

    first: int
    stop: int
    start_s: float
    stop_s: float


def spans_of(sample: Sample, every_s: float | None) -> list[Span]:
    """The whole video, or its spans of `every_s` seconds. A rest shorter than half a span belongs to the last one.

    A span without a frame, as where a video's frame rate varies, is left out. Damaged timestamps can leave gaps of
    years, so the time and memory that this takes depend on the number of frames, not of spans.
    """
    times_s = frame_times_s(sample)
    end_s = times_s[-1] + _interval_s(times_s, sample)
    if every_s is None:
        return [Span(first=0, stop=sample.frames, start_s=0.0, stop_s=end_s)]
    last = max(int(end_s / every_s + 0.5), 1) - 1
    places = [min(_place(time_s, every_s), last) for time_s in times_s]
    firsts = [number for number in range(sample.frames) if number == 0 or places[number] != places[number - 1]]
    return [
        Span(
            first=first,
            stop=stop,
            start_s=places[first] * every_s,
            stop_s=end_s if places[first] == last else (places[first] + 1) * every_s,
        )
        for first, stop in pairwise([*firsts, sample.frames])
    ]


def _place(time_s: float, every_s: float) -> int:
    """The number of the span that a time lies in. The quotient may be rounded up or down at an edge."""
    place = int(time_s / every_s)
    return place - (place * every_s > time_s) + ((place + 1) * every_s <= time_s)


def frame_times_s(sample: Sample) -> list[float]:
    """When each frame is shown, in s from the first one: by the source's timestamps if they rise, or by its rate."""
    base, pts = Fraction(sample.source_time_base), sample.source_pts
    if base and NO_TIMESTAMP not in pts and all(a < b for a, b in pairwise(pts)):
        return [float((stamp - pts[0]) * base) for stamp in pts]
    rate = _rate(sample)
    return [float(number / rate) for number in range(sample.frames)]


def _rate(sample: Sample) -> Fraction:
    return Fraction(sample.source_frame_rate) or FRAME_RATE


def _interval_s(times_s: Sequence[float], sample: Sample) -> float:
    """How long the last frame is shown: as the others are on average."""
    return times_s[-1] / (len(times_s) - 1) if len(times_s) > 1 else float(1 / _rate(sample))


def numbers_of(sample: Sample, span: Span, look: Look) -> dict[str, list[int]]:
    """Column -> the frame numbers that a stream looks at, in order, as often as it does; {} if it can see none.

    Where a span has no I-frame, the last one before it is taken.
    """
    numbers = {}
    for name in look.columns:
        own = COLUMNS[name].frame_numbers(sample.picture_types[span.first : span.stop])
        inside = [span.first + number for number in own]
        if not inside and COLUMNS[name].pictures == "I":
            inside = [sample.picture_types.rindex("I", 0, span.first)]
        if not inside:
            return {}
        numbers[name] = [inside[position] for position in middle_positions(len(inside), look.segments)]
    return numbers


def choices_of(sample: Sample, *, looks: Sequence[Look], every_s: float | None) -> list[dict[str, list[int]]]:
    """For each span, the frames that all streams need: column -> frame numbers, each once, rising."""
    choices = []
    for span in spans_of(sample, every_s):
        needed: dict[str, set[int]] = {}
        for look in looks:
            for name, numbers in numbers_of(sample, span, look).items():
                needed.setdefault(name, set()).update(numbers)
        choices.append({name: sorted(numbers) for name, numbers in needed.items()})
    return choices
