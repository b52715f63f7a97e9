"""Frames that are JPEG images: the code that the columns iframe, residual and flow share."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.arrays import U8
from shards.columns.base import Column, Encoding
from shards.columns.payload import Payload
from shards.errors import ShardError

ZERO_LEVEL = 128  # stored value of residual 0 and of flow 0
JPEG_BEGIN, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Markers, each after a byte 0xFF: of the segment that states the size; of other segments; those without a segment.
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
SEGMENTS = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}
BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}
FILL = 0xFF  # may stand before any marker
CHROMA = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def encode_jpeg(image: U8, *, quality: int, chroma: str = "4:2:0") -> bytes:
    """Encode RGB (H, W, 3) or grey (H, W) uint8 as JPEG with optimised Huffman tables."""
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, CHROMA[chroma]]
    done, encoded = cv2.imencode(".jpg", bgr, parameters)
    if not done:
        raise ShardError(f"OpenCV cannot encode an image of shape {image.shape} and type {image.dtype} as JPEG")
    return encoded.tobytes()


def decode_jpeg(data: bytes, *, grey: bool = False) -> U8:
    """Decode a JPEG image to RGB (H, W, 3) or grey (H, W) uint8. Raises: ShardError if the bytes are not one."""
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data.startswith(JPEG_BEGIN) else None
    except cv2.error:  # a header that announces more pixels than OpenCV allows
        image = None
    if image is None:
        raise ShardError(f"{len(data)} bytes are not a JPEG image; the shard is damaged, verify it")
    return image  # type: ignore[return-value]


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in px that a JPEG image announces. Reads only its header, in the way that libjpeg reads it.

    Where libjpeg would look for the next marker in what is none, the image is refused: otherwise a hostile file could
    show one size here and another one to the decoder.

    Raises: ShardError if the bytes are not a JPEG image.
    """
    place = 2
    while data.startswith(JPEG_BEGIN) and data[place : place + 1] == b"\xff" and place + 9 <= len(data):
        marker = data[place + 1]
        if marker in FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker == FILL:
            place += 1
        elif marker in BARE_MARKERS:
            place += 2
        elif marker in SEGMENTS:
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
        else:
            break
    raise ShardError(f"{len(data)} bytes are not a JPEG image; the shard is damaged, verify it")


class JpegColumn(Column):
    """A column whose frames are JPEG images, one after another; RGB (H, W, 3) unless a subclass says otherwise."""

    channels = 3
    planes_high = 1  # how many planes of the picture's height an image has, one above the other

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        """Encode (H, W, 3) uint8 RGB as JPEG with the encoding's `quality` and `chroma`."""
        self._check(stored)
        return encode_jpeg(stored, quality=encoding["quality"], chroma=encoding["chroma"])

    def decode(self, data: bytes, *, width: int, height: int) -> U8:
        problem = self._size_problem(data, width=width, height=height)
        if problem:  # before it is decoded: a small file can announce a picture that fills the memory
            raise ShardError(f"{self.name}: {problem}; the shard is damaged, verify it")
        return self._planes(data)

    def _size_problem(self, data: bytes, *, width: int, height: int) -> str:
        """What is wrong with the size that an image announces; "" if nothing. Raises: ShardError as jpeg_size."""
        found, wanted = jpeg_size(data), (width, self.planes_high * height)
        return "" if found == wanted else "its image is {}x{} px, its sample asks for {}x{}".format(*found, *wanted)

    def empty(self, *, width: int, height: int) -> U8:
        return np.empty((0, height, width, self.channels), np.uint8)

    def problems(self, payload: Payload, *, width: int, height: int) -> Iterator[str]:
        """Check that every frame begins and ends like a JPEG image of the right size; the images are not decoded."""
        if payload.header:
            yield f"{payload.header} bytes before the first frame"
        for position in range(len(payload)):
            frame = payload.frame(position)
            if not frame.startswith(JPEG_BEGIN) or not frame.endswith(JPEG_END):
                yield f"frame {position} does not begin and end like a JPEG image"
                return
            problem = self._size_problem(frame, width=width, height=height)
            if problem:
                yield f"frame {position}: {problem}"
                return

    def _check(self, stored: NDArray) -> None:
        if stored.ndim != 3 or stored.shape[2] != self.channels or stored.dtype != np.uint8:
            wanted = f"(H, W, {self.channels}) uint8"
            raise ShardError(f"{self.name} must be stored as {wanted}, got {stored.shape} {stored.dtype}")

    def _planes(self, data: bytes) -> U8:
        """The stored frame that a JPEG image holds."""
        return decode_jpeg(data)
