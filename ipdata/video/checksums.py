"""Checksums of decoded pictures: those that ffmpeg writes beside a transcode, and ours of the same pictures.

They show whether two decodes of a source give the same pictures.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CHECKSUM_ROWS = 4  # a picture's checksum is of every fourth row: the smallest blocks of codecs have four rows

# A picture's line of the muxer framecrc: stream, dts, pts, duration, bytes, checksum.
# It may stand in the middle of a line of errors, which ffmpeg does not write at once.
LINE = re.compile(r"0,(?: *-?\d+,){3} *(\d+), 0x([0-9a-f]{8})\n")
HEADER = re.compile(r"^#[a-z_]+(?: \d+)?: .*\n", re.MULTILINE)


class Checksum(NamedTuple):
    """Of some rows of a decoded picture, as raw bytes: plane after plane, without padding."""

    size_bytes: int
    adler32: int  # begun with 0


def rows_of(*, turned: bool) -> int:
    """Each how many-th row is taken. Of a picture that ffmpeg turns before it takes rows, all must be."""
    return 1 if turned else CHECKSUM_ROWS


def checksum_of(frame: Any, rows_px: int) -> Checksum | None:
    """The checksum of each rows_px-th row of PyAV's frame; None if the format's raw bytes are more than its planes."""
    pixels = frame.format
    if pixels.name == "pal8" or pixels.is_bit_stream:
        return None
    size_bytes = adler32 = 0
    for number, plane in enumerate(frame.planes):
        if pixels.is_planar:
            inside = [part for part in pixels.components if part.plane == number]
            row_bytes = plane.width * len(inside) * -(-inside[0].bits // 8)
        else:
            row_bytes = -(-frame.width * pixels.padded_bits_per_pixel // 8)
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        rows = rows if plane.line_size > 0 else rows[::-1]  # some decoders store pictures upside down
        rows = np.ascontiguousarray(rows[::rows_px, :row_bytes])
        adler32 = zlib.adler32(rows.data, adler32)
        size_bytes += rows.size
    return Checksum(size_bytes, adler32)


def checksums_in(messages: str) -> list[Checksum]:
    """The checksums of the pictures that ffmpeg decoded, in order, from what it has written to stderr."""
    return [Checksum(int(size_bytes), int(adler32, 16)) for size_bytes, adler32 in LINE.findall(messages)]


def without_checksums(messages: str) -> str:
    """What ffmpeg has written to stderr, without the lines of its muxer framecrc."""
    return LINE.sub("", HEADER.sub("", messages))


def differing(ours: Sequence[Checksum | None], theirs: Sequence[Checksum | None], *, turned: bool) -> list[int]:
    """Numbers of the pictures that are others in another decode (theirs). None is not compared.

    The low half of Adler-32 is the sum of all bytes, so turning a picture does not change it. If no picture has the
    size of ours, ffmpeg has cut the edges that the container asks to cut, and nothing can be compared.
    """
    half = 0xFFFF if turned else 0xFFFFFFFF
    both = enumerate(zip(ours, theirs, strict=False))
    pairs = [(number, a, b) for number, (a, b) in both if a is not None and b is not None]
    if all(a.size_bytes != b.size_bytes for _, a, b in pairs):
        return []
    return [number for number, a, b in pairs if a.size_bytes != b.size_bytes or (a.adler32 ^ b.adler32) & half]
