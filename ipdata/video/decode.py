"""Decode MPEG-4 with PyAV: get its pictures with their motion vectors.

Only this module and `decode_source` import av.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType

from ipdata.errors import VideoError
from ipdata.kernels.vectors import fill_grid
from ipdata.video.transcode import MAX_PIXELS
from shards.arrays import I16, U8
from shards.motion import INTRA, grid_of, planes

# A coded picture's header: its start code, then two bits for its type (ISO/IEC 14496-2, section 6.2.5).
PICTURE_START = b"\0\0\1\xb6"
PICTURE_HEADER = re.compile(re.escape(PICTURE_START) + b"(?=(.))", re.DOTALL)
CODED_TYPES = {0: "I", 1: "P"}
HEADERS_START = re.compile(b"\0\0\1[\x20-\x2f]")  # of the video object layer, which has the size and how to decode

PARSED_BYTES = 1 << 16  # of a bitstream that are cut into pictures at a time

LIMIT = {"max_pixels": str(MAX_PIXELS)}  # a decoder's option against hostile headers

# Table from luma 16..235 to 0..255, the range that flow takes.
_FULL_RANGE = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Picture:
    """One decoded picture of the transcoded video."""

    picture_type: str  # "I" or "P"
    i420: U8  # (H * 3 / 2, W): luma, then the two chroma planes
    # (h, w, 2) half-pels, dst - src, INTRA in intra macroblocks; None in an I-frame, and if not in `with_mv`
    mv: I16 | None

    @cached_property
    def rgb(self) -> U8:
        """(H, W, 3) uint8, as rgb_of converts."""
        return rgb_of(self.i420)

    @cached_property
    def luma(self) -> U8:
        """(H, W) uint8 grey, expanded to 0..255."""
        return _FULL_RANGE[self.i420[: self.i420.shape[0] * 2 // 3]]


def rgb_of(i420: U8) -> U8:
    """Convert I420 (H * 3 / 2, W) to RGB (H, W, 3), uint8: BT.601, studio range, chroma repeated.

    Luma below black counts as black. Shared sets use this conversion only: it has the same bytes on every CPU.
    """
    return cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)  # type: ignore[return-value]


def swscale_rgb_of(i420: U8) -> U8:
    """As rgb_of, but with swscale's default, as CoViAR converts. Only for comparisons: its bytes depend on the CPU."""
    rgb: Any = av.VideoFrame.from_ndarray(i420, format="yuv420p").to_ndarray(format="rgb24")
    return rgb


def av_version() -> str:
    return av.__version__


def libavcodec_version() -> str:
    return ".".join(map(str, av.library_versions["libavcodec"]))


def coded_pictures(m4v: Path) -> Iterator[bytes]:
    """Cut an MPEG-4 Part 2 elementary stream, a file, into its coded pictures; joined, they are the stream.

    Raises: OSError if the file cannot be read.
    """
    return map(bytes, _packets(m4v, av.CodecContext.create("mpeg4", "r")))


def coded_picture_types(m4v: Path) -> str:
    """The types of an elementary stream's coded pictures, read from their headers: "IPPP...", without decoding them.

    "?" stands for a picture that is neither I nor P. Raises: OSError if the file cannot be read.
    """
    types: list[str] = []
    with m4v.open("rb") as file:
        rest = b""
        while part := file.read(PARSED_BYTES):
            data = rest + part
            types += map(_coded_type, PICTURE_HEADER.findall(data))
            rest = data[-len(PICTURE_START) :]  # may begin a header
    return "".join([*types, "?"] if rest == PICTURE_START else types)


def _coded_type(header: bytes) -> str:
    """header: what follows the start code."""
    return CODED_TYPES.get(header[0] >> 6, "?")


def pictures(
    m4v: Path, *, needed: Container[int] | None = None, with_mv: Container[int] | None = None
) -> Iterator[Picture]:
    """Decode an MPEG-4 Part 2 elementary stream without B-frames, a file, in one pass; yield its pictures.

    needed: numbers of the pictures to yield, all if None. The others are decoded only where these depend on them.
    with_mv: numbers of those that get their motion vectors, all if None.

    Raises: VideoError if the decoder fails, leaves out a picture or conceals damage in it, or the stream has what this
        extraction does not support: B-frames, late pictures, and where vectors are wanted, four of a macroblock or
        quarter-pel ones. OSError if the file cannot be read.
    """
    decoder = av.CodecContext.create("mpeg4", "r")
    decoder.thread_count = 1
    decoder.options = {"flags2": "+export_mvs", "idct": "simple", "flags": "+bitexact"} | LIMIT
    try:
        for packet in _needed_packets(_packets(m4v, decoder), needed):
            frames = decoder.decode(packet)
            types = [_supported_type(frame) for frame in frames]
            if not frames and decoder.has_b_frames:
                raise VideoError("decode", "unsupported", "B-pictures, or pictures that a decoder gives late")
            # Never flushed: at the end, the decoder would give the last picture again for one that is not coded.
            if [frame.pts for frame in frames] != [packet.pts]:
                raise VideoError("decode", "damaged", f"picture {packet.pts} does not decode at once")
            if frames[0].is_corrupt:
                raise VideoError("decode", "damaged", f"picture {packet.pts} is damaged; the decoder conceals it")
            if needed is None or packet.pts in needed:
                wants_mv = types == ["P"] and (with_mv is None or packet.pts in with_mv)
                yield Picture(types[0], _i420(frames[0]), _mv_grid(frames[0]) if wants_mv else None)
    except av.FFmpegError as error:
        raise VideoError("decode", "damaged", str(error)) from None


def _packets(m4v: Path, parser: Any) -> Iterator[Any]:
    """The coded pictures of an elementary stream as PyAV's packets, with their numbers as pts."""
    with m4v.open("rb") as file:
        parts = chain(iter(lambda: file.read(PARSED_BYTES), b""), [None])
        for number, packet in enumerate(chain.from_iterable(map(parser.parse, parts))):
            packet.pts = number
            yield packet


def _needed_packets(packets: Iterator[Any], needed: Container[int] | None) -> Iterator[Any]:
    """Leave out the packets on which no needed picture depends: those after the last one of a GOP."""
    waiting: list[Any] = []
    for packet in packets:
        if needed is not None and _begins_anew(bytes(packet)):
            waiting.clear()
        waiting.append(packet)
        if needed is None or packet.pts in needed:
            yield from waiting
            waiting.clear()


def _begins_anew(coded: bytes) -> bool:
    """Whether no picture before this one is needed: an I-frame, and the stream's headers, which a decoder must know."""
    picture = PICTURE_HEADER.search(coded)
    if picture is None or _coded_type(picture[1]) != "I":
        return False
    return HEADERS_START.search(coded, 0, picture.start()) is not None


def _supported_type(frame: Any) -> str:
    picture_type = PictureType(frame.pict_type).name
    if picture_type not in "IP" or frame.format.name != "yuv420p" or frame.width % 2 or frame.height % 2:
        what = f"{picture_type}-picture in {frame.format.name}, {frame.width}x{frame.height} px"
        raise VideoError("decode", "unsupported", what)
    return picture_type


def _i420(frame: Any) -> U8:
    """As frame.to_ndarray(), in half the time."""
    i420 = np.empty((frame.height * 3 // 2, frame.width), np.uint8)
    for plane, out in zip(frame.planes, planes(i420), strict=True):
        out[:] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : out.shape[1]]
    return i420


def side_data(frame: Any, name: str) -> Any:
    """Side data of a frame, or None.

    `frame.side_data` is kept in the frame and refers to it. This cycle would keep the picture in memory until Python's
    garbage collector runs.
    """
    container: Any = SideDataContainer  # its type hints lack the frame
    return container(frame).get(name)


def _mv_grid(frame: Any) -> I16:
    """FFmpeg's list of vectors as a grid of macroblocks, (h, w, 2). Macroblocks that are not in the list are intra."""
    grid = np.full((*grid_of(width=frame.width, height=frame.height), 2), INTRA, np.int16)
    vectors = side_data(frame, "MOTION_VECTORS")
    if vectors is not None and not fill_grid(vectors.to_ndarray(), grid):
        kind = "one half-pel vector a macroblock, from the previous picture"
        raise VideoError("decode", "unsupported", f"motion vectors that are not {kind} (4MV or quarter-pels)")
    return grid
