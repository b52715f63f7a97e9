"""Decode MPEG-4 with PyAV: get its pictures with their motion vectors.

Only this module and `decode_source` import av.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType

from ipdata.errors import VideoError
from ipdata.video.transcode import MAX_PIXELS
from shards.arrays import I16, U8
from shards.motion import INTRA, MACROBLOCK_PX, grid_of

# A coded picture's header: its start code, then two bits for its type (ISO/IEC 14496-2, section 6.2.5).
PICTURE_START = b"\0\0\1\xb6"
CODED_TYPES = {0: "I", 1: "P"}

PARSED_BYTES = 1 << 16  # of a bitstream that are cut into pictures at a time

LIMIT = {"max_pixels": str(MAX_PIXELS)}  # a decoder's option against hostile headers

# Table from luma 16..235 to 0..255, the range that flow takes.
_FULL_RANGE = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Picture:
    """One decoded picture of the transcoded video."""

    picture_type: str  # "I" or "P"
    i420: U8  # (H * 3 / 2, W): luma, then the two chroma planes
    mv: I16 | None  # (h, w, 2) half-pels, dst - src, INTRA in intra macroblocks; None in an I-frame

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
    parser = av.CodecContext.create("mpeg4", "r")
    with m4v.open("rb") as file:
        while data := file.read(PARSED_BYTES):
            yield from map(bytes, parser.parse(data))
    yield from map(bytes, parser.parse(None))


def coded_picture_types(m4v: Path) -> str:
    """The types of an elementary stream's coded pictures, read from their headers: "IPPP...", without decoding them.

    "?" stands for a picture that is neither I nor P.
    """
    types = []
    for coded in coded_pictures(m4v):
        at = coded.find(PICTURE_START) + len(PICTURE_START)
        types.append(CODED_TYPES.get(coded[at] >> 6, "?") if len(PICTURE_START) <= at < len(coded) else "?")
    return "".join(types)


def pictures(m4v: Path) -> Iterator[Picture]:
    """Decode an MPEG-4 Part 2 elementary stream without B-frames, a file, in one pass; yield its pictures.

    Raises: VideoError if the decoder fails, or the stream has what this extraction does not support: B-frames, four
        vectors a macroblock, quarter-pel vectors. OSError if the file cannot be read.
    """
    try:
        # PyAV gets an open file, because it opens no path that is not UTF-8.
        with m4v.open("rb") as file, av.open(file, "r", format="m4v") as container:
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            context.options = {"flags2": "+export_mvs", "idct": "simple", "flags": "+bitexact"} | LIMIT
            for frame in container.decode(video=0):
                yield _picture(frame)
    except av.FFmpegError as error:
        raise VideoError("decode", "damaged", str(error)) from None


def _picture(frame: Any) -> Picture:
    picture_type = PictureType(frame.pict_type).name
    if picture_type not in "IP" or frame.format.name != "yuv420p":
        raise VideoError("decode", "unsupported", f"{picture_type}-picture in {frame.format.name}")
    mv = None if picture_type == "I" else _mv_grid(frame)
    return Picture(picture_type, frame.to_ndarray(), mv)


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
    if vectors is None:
        return grid
    blocks = vectors.to_ndarray()
    if (blocks["w"] != MACROBLOCK_PX).any() or (blocks["h"] != MACROBLOCK_PX).any():
        raise VideoError("decode", "unsupported", "more than one motion vector a macroblock (4MV)")
    if (blocks["motion_scale"] != 2).any() or (blocks["source"] != -1).any():
        raise VideoError("decode", "unsupported", "motion vectors that are not half-pels from the previous picture")
    rows, columns = blocks["dst_y"] // MACROBLOCK_PX, blocks["dst_x"] // MACROBLOCK_PX
    # FFmpeg's motion_x points from the block to its source; ours is the displacement of the content, dst - src.
    grid[rows, columns, 0] = -blocks["motion_x"]
    grid[rows, columns, 1] = -blocks["motion_y"]
    return grid
