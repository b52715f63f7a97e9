"""From the frames of videos to predictions: clips are cut in threads, and the networks see them in batches."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ipmodel.data.batch import Clip
from ipmodel.errors import ModelError
from ipmodel.prediction.answers import Prediction, Unpredicted
from ipmodel.prediction.inflight import in_flight
from ipmodel.prediction.looks import LEAST_SPAN_S, Span, numbers_of, spans_of
from ipmodel.prediction.reached import OnReached, Reached, unheard
from ipmodel.prediction.scores import Encoded, Scored, Scorer, clips_of
from ipmodel.prediction.streams import Streams
from shards.schema import Sample

Job = TypeVar("Job")
# What a source of frames gives of one video: its record, then the frames of each of its spans; or why it cannot.
Read = Sample | Encoded | Unpredicted
NO_FRAMES = "none of the model's streams can see it, because it has no P-frames"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A video, or a span of it, as clips."""

    sample: Sample
    number: int  # of the span
    spans: int
    span: Span
    end_s: float  # of the video
    encoded: Encoded
    looked_at: dict[str, dict[str, list[int]]]  # stream -> column -> frame numbers
    clips: dict[str, list[Clip]]  # by stream


@dataclass(frozen=True, kw_only=True)
class Found:
    """A prediction, and the frames that it comes from."""

    job: int  # the number of its video
    answer: Prediction | Unpredicted
    number: int = 0  # of the span
    spans: int = 1
    sample: Sample | None = None
    encoded: Encoded = field(default_factory=dict, repr=False)


def predictions(
    model: Streams,
    jobs: Sequence[Job],
    read: Callable[[Job], Iterator[Read]],
    *,
    name_of: Callable[[Job, Sample], str],
    every_s: float | None,
    threads: int,
    at_end: Callable[[], None] = lambda: None,
    on_reached: OnReached = unheard,
) -> Generator[Found, None, None]:
    """Yield what the model says of each video, or of each of its spans, in order.

    read: gives the frames of a video. name_of: how answers call it. at_end: as for `in_flight`. on_reached: is called
    after each span that was read.

    Raises: what `read` raises; ModelError, also if spans are too short.
    """
    if every_s is not None and not LEAST_SPAN_S <= every_s < math.inf:
        raise ModelError(f"spans must be {LEAST_SPAN_S:g} s or longer, and finite, got {every_s:g}")
    scorer, waiting = Scorer(model), deque[tuple[int, Cut | Unpredicted, Scored]]()
    cut = partial(_cuts, model, read, every_s)
    for number, part in in_flight(jobs, cut, threads=threads, at_end=at_end):
        on_reached(_reached(number, part))
        waiting.append((number, part, scorer.add({} if isinstance(part, Unpredicted) else part.clips)))
        while waiting and waiting[0][2].done:
            yield _found(model, jobs, name_of, *waiting.popleft())
    scorer.flush()
    for found in waiting:
        yield _found(model, jobs, name_of, *found)


def _reached(job: int, part: Cut | Unpredicted) -> Reached:
    if isinstance(part, Unpredicted):
        return Reached(job=job)
    return Reached(job=job, share=(part.number + 1) / part.spans, stop_s=part.span.stop_s, end_s=part.end_s)


def _cuts(
    model: Streams, read: Callable[[Job], Iterator[Read]], every_s: float | None, job: Job
) -> Iterator[Cut | Unpredicted]:
    """A video's spans as clips, or why it cannot be predicted."""
    sample: Sample | None = None
    spans: list[Span] = []
    number = 0
    for part in read(job):
        if isinstance(part, Unpredicted):
            yield part
            return
        if isinstance(part, Sample):
            sample, spans = part, spans_of(part, every_s)
            continue
        assert sample is not None  # it comes first
        numbers = {look.stream: numbers_of(sample, spans[number], look) for look in model.looks}
        looked_at = {stream: columns for stream, columns in numbers.items() if columns}
        clips = {stream: clips_of(model.streams[stream], part, columns) for stream, columns in looked_at.items()}
        yield Cut(
            sample=sample,
            number=number,
            spans=len(spans),
            span=spans[number],
            end_s=spans[-1].stop_s,
            encoded=part,
            looked_at=looked_at,
            clips=clips,
        )
        number += 1


def _found(
    model: Streams,
    jobs: Sequence[Job],
    name_of: Callable[[Job, Sample], str],
    number: int,
    cut: Cut | Unpredicted,
    scored: Scored,
) -> Found:
    if isinstance(cut, Unpredicted):
        return Found(job=number, answer=cut)
    name, found = name_of(jobs[number], cut.sample), partial(Found, job=number, number=cut.number, spans=cut.spans)
    opinions = model.opinions(scored.logits)
    if not opinions:
        return found(answer=Unpredicted(video=name, stage="predict", code="no_frames", reason=NO_FRAMES))
    prediction = Prediction(
        video=name,
        start_s=cut.span.start_s,
        stop_s=cut.span.stop_s,
        by=next(iter(opinions)),
        opinions=opinions,
        features=scored.features,
        looked_at=cut.looked_at,
        true_class=cut.sample.class_name,
    )
    return found(answer=prediction, sample=cut.sample, encoded=cut.encoded)
