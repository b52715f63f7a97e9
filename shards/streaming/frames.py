"""Splits a payload into its frames, without the index of its tar."""

from typing import Any

from numpy.typing import NDArray

from shards.columns.mv import decode_payload
from shards.errors import ShardError

NPY = b"\x93NUMPY"
START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA  # markers of JPEG: of an image, and of the coded data in it


def frames(payload: bytes) -> list[bytes] | NDArray[Any]:
    """The frames of a payload: of MJPEG, the JPEG images; of `mv.npy`, the array, (P, h, w, 2) int16 half-pels.

    NumPy's own reader is not used: it evaluates the text of a header, and takes the memory that this asks for.

    Raises: ShardError if it is neither, or damaged.
    """
    if payload.startswith(NPY):
        return decode_payload(payload)
    images, start = [], 0
    while start < len(payload):
        end = _end_of_jpeg(payload, start)
        images.append(payload[start:end])
        start = end
    return images


def _end_of_jpeg(data: bytes, start: int) -> int:
    """Where the image that begins at `start` ends. Raises: ShardError."""
    if not data.startswith(START, start):
        raise ShardError(f"a payload has no JPEG image at byte {start}; it is damaged, or not MJPEG")
    place = start + len(START)
    while True:
        kind, place = _marker(data, place)
        if kind == END[1]:
            return place
        length = int.from_bytes(data[place : place + 2], "big")  # of the segment, these two bytes included
        if length < 2 or place + length > len(data):
            raise ShardError(f"the JPEG image at byte {start} is cut")
        place += length
        if kind == SCAN:
            place = _end_of_scan(data, place, start)


def _marker(data: bytes, place: int) -> tuple[int, int]:
    """The kind of the marker at a place, and where it ends. Raises: ShardError."""
    while data[place : place + 2] == b"\xff\xff":  # any number of 0xFF may stand before a marker
        place += 1
    if place + 1 >= len(data) or data[place] != 0xFF:
        raise ShardError(f"a payload has no marker of JPEG at byte {place}; it is cut or damaged")
    return data[place + 1], place + 2


def _end_of_scan(data: bytes, place: int, start: int) -> int:
    """Where coded data end: at 0xFF, unless 0 or a restart marker follows. Raises: ShardError."""
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        if data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2
    raise ShardError(f"the JPEG image at byte {start} is cut")
