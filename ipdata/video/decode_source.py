"""Decode a source with PyAV, whatever it is: count what it really holds.

Only this module and `decode` import av.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from ipdata.errors import VideoError
from ipdata.video.avi import dropped_frames
from ipdata.video.checksums import Checksum, checksum_of, differing, rows_of
from ipdata.video.decode import LIMIT, libavcodec_version, side_data
from ipdata.video.formats import DEMUXERS, why_not_opened
from shards.schema import NO_TIMESTAMP

# Metadata that is not UTF-8 must not stop a build, so its bytes are replaced. PyAV does so by itself from 19 on.
_ANY_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

KEPT_FRAMES = 4  # in the second decode of a damaged source; any number but 0 gives other leftovers of memory


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """Facts about a source: what an independent decode yields, and what the container announces."""

    width: int  # px
    height: int  # px
    announced_frames: int  # without those that an edit list cuts away; 0 where the container announces nothing
    dropped_frames: int  # of these, those that an intact AVI says were dropped when it was recorded
    frame_rate: str  # frames/s as a fraction: "30000/1001"
    time_base: str  # s, as a fraction
    pts: list[int]  # of each decoded frame, in time_base; NO_TIMESTAMP if it has none
    damaged: int  # packets that do not decode, frames with concealed damage, packets with which errors were logged
    checksums: list[Checksum | None]  # of each decoded frame; None if ffmpeg's cannot be compared with it
    own_checksums: list[Checksum | None]  # of each decoded frame, also of those: for another decode of this kind
    checksum_rows: int  # each so many rows are in the checksums
    turned: bool  # the container asks to turn or to mirror the pictures, and ffmpeg does that first

    @property
    def frames(self) -> int:
        return len(self.pts)

    def differing(self, checksums: Sequence[Checksum | None]) -> list[int]:
        """Numbers of the frames that are other pictures in another decode, whose checksums are given."""
        return differing(self.checksums, checksums, turned=self.turned)

    def check_alike(self, checksums: Sequence[Checksum | None]) -> None:
        """Compare with another decode, whose checksums are given. Numbers of pictures are not compared.

        Raises: VideoError if it gave other pictures, because nobody could make the sample again.
        """
        self._check_none(self.differing(checksums))

    def check_repeats(self, again: "SourceFacts") -> None:
        """Compare with another decode of this kind. Raises: VideoError as check_alike does."""
        self._check_none(differing(self.own_checksums, again.own_checksums, turned=False))

    def _check_none(self, numbers: Sequence[int]) -> None:
        if numbers:
            what = f"{len(numbers)} of {self.frames} pictures, first picture {numbers[0]}, decode to other pixels"
            cure = "build from a copy that is decoded once for all: ffmpeg -i VIDEO -c:v ffv1 COPY.mkv"
            raise VideoError("source", "damaged", f"{what} in a second decode, as damaged data may; {cure}")


def source_facts(path: Path, *, limit_frames: int | None = None, max_frames: int | None = None) -> SourceFacts:
    """Decode a source once, up to limit_frames, and count its frames.

    max_frames: a source of which more would be counted is refused; before it is decoded, if it announces them.

    It is decoded twice and compared if it is damaged, or if its frames change in size or format: ffmpeg scales those to
    the first one's size, so its checksums of them do not compare.

    Raises: VideoError if it is not a video, it is too long, its codec is not supported, no frame decodes, or the frames
        are other pictures the second time.
    """
    if max_frames is None or (limit_frames is not None and limit_frames <= max_frames):
        max_frames = sys.maxsize
    facts = _decoded(path, limit_frames, max_frames, keep=0)
    if facts.damaged or facts.checksums != facts.own_checksums:
        facts.check_repeats(_decoded(path, limit_frames, max_frames, keep=KEPT_FRAMES))
    return facts


def _decoded(path: Path, limit_frames: int | None, max_frames: int, *, keep: int) -> SourceFacts:
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        # Errors are logged also while it is opened, because the log names a format that is refused.
        with _errors_logged(), av.open(f"file:{path.absolute()}", options=options, **_ANY_METADATA) as container:
            return _count(container, path, limit_frames, max_frames, keep)
    except av.FFmpegError as error:
        log: Any = error.log  # its type hint is another one
        raise VideoError("source", "not_a_video", why_not_opened(str(error), log)) from None


def _count(container: Any, path: Path, limit_frames: int | None, max_frames: int, keep: int) -> SourceFacts:
    """keep: how many frames are kept in memory after the next one is decoded. It decides what damage leaves to see."""
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    if stream is None:
        raise VideoError("source", "no_video_stream", f"container {container.format.name} has no video stream")
    if stream.codec_context is None:
        codec = f"a codec that libavcodec {libavcodec_version()} cannot decode"
        raise VideoError("source", "unsupported", f"container {container.format.name} holds {codec}")
    _check_announced(container, path, stream, max_frames)
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"idct": "simple", "flags": "+bitexact"} | LIMIT  # as ffmpeg decodes it later
    shown: list[_Shown] = []
    kept: deque[Any] = deque(maxlen=keep)
    damaged = discarded = 0
    with _errors_logged() as logged:
        for packet in _packets(container, stream):
            discarded += packet.is_discard  # before the start that an edit list names: decoded, never shown
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damaged += 1
                logged()  # the same damage
                continue
            damaged += max(sum(frame.is_corrupt for frame in frames), packet.is_corrupt, logged())
            _note(frames, shown, kept)
            if len(shown) > max_frames:
                raise _too_long("has more frames", max_frames)
            if limit_frames is not None and len(shown) >= limit_frames:
                del shown[limit_frames:]
                break
    if not shown:
        raise VideoError("source", "no_frames", f"none of {damaged} packets decodes")
    return SourceFacts(
        width=shown[-1].form[0],
        height=shown[-1].form[1],
        announced_frames=max(stream.frames - discarded, 0),
        dropped_frames=_dropped_frames(container, path, stream) if len(shown) < stream.frames else 0,
        frame_rate=_fraction(stream.average_rate),
        time_base=_fraction(stream.time_base),
        pts=[frame.pts for frame in shown],
        damaged=damaged,
        checksums=[frame.checksum if frame.comparable else None for frame in shown],
        own_checksums=[frame.checksum for frame in shown],
        checksum_rows=rows_of(turned=shown[0].turned),
        turned=shown[0].turned,
    )


def _check_announced(container: Any, path: Path, stream: Any, max_frames: int) -> None:
    """Raises: VideoError if the container announces more than max_frames, without those that were dropped."""
    if stream.frames > max_frames:
        frames = stream.frames - _dropped_frames(container, path, stream)
        if frames > max_frames:
            raise _too_long(f"announces {frames} frames", max_frames)


def _too_long(what: str, max_frames: int) -> VideoError:
    cure = "cut it into shorter videos, or allow more: --set limits.max_frames=N"
    return VideoError("source", "unsupported", f"it {what}, and limits.max_frames is {max_frames}; {cure}")


def _dropped_frames(container: Any, path: Path, stream: Any) -> int:
    return dropped_frames(path, stream.index) if container.format.name == "avi" else 0


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream. PyAV fails at a packet of a stream that appears later in the file; it is passed over."""
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # the packet has been read, so the next one follows
            continue


@dataclass(frozen=True)
class _Shown:
    """What is kept of a decoded frame of the source."""

    pts: int
    form: tuple[int, int, str, int]  # width and height in px, pixel format, rotation in degrees
    turned: bool
    comparable: bool  # with ffmpeg's checksum
    checksum: Checksum | None

    @classmethod
    def of(cls, frame: Any, first: "_Shown | None") -> "_Shown":
        """first: None for the first frame. ffmpeg gives all others its form before it makes a checksum."""
        turned = first.turned if first else side_data(frame, "DISPLAYMATRIX") is not None
        form = (frame.width, frame.height, frame.format.name, frame.rotation)
        comparable = (first is None or form == first.form) and frame.rotation % 90 == 0
        pts = NO_TIMESTAMP if frame.pts is None else frame.pts
        return cls(pts, form, turned, comparable, checksum_of(frame, rows_of(turned=turned)))


def _note(frames: list[Any], shown: list[_Shown], kept: deque[Any]) -> None:
    """Note new frames, and free them or the oldest of those that are kept.

    The decoder takes the memory of a freed frame for the next picture. In ffmpeg, pictures live longer than where none
    is kept. So pixels that nothing was decoded to show different leftovers here and there, and the checksums differ.
    """
    for frame in frames:
        shown.append(_Shown.of(frame, shown[0] if shown else None))
    kept.extend(frames)
    frames.clear()


@contextmanager
def _errors_logged() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether libav has logged an error since it was last called. Nothing is printed."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)  # errors are counted at any level but None
    seen = av.logging.get_last_error()[0]

    def logged() -> bool:
        nonlocal seen
        last, seen = seen, av.logging.get_last_error()[0]
        return seen > last

    try:
        yield logged
    finally:
        av.logging.set_level(before)


def _fraction(rate: Any) -> str:
    return "0/1" if rate is None else f"{rate.numerator}/{rate.denominator}"
