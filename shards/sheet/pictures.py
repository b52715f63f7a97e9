"""Decodes pictures of the column video with OpenCV, and finds how much they differ from the frame before.

It is for looking: the colours are those of OpenCV's decoder, which may be a level from those that builds made columns
of.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from shards.arrays import F32, U8
from shards.columns.video import START_CODE
from shards.motion import MACROBLOCK_PX


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a video."""

    rgb: list[U8]  # (H, W, 3)
    changes: list[F32]  # (h, w) for each macroblock, the mean difference to the frame before, levels


def pictures_of(bitstream: bytes, numbers: Sequence[int], *, width: int, height: int) -> Pictures | None:
    """Decode the frames with these numbers, which must increase; the first one is not frame 0.

    None if OpenCV here cannot decode them, or finds pictures of another size.
    """
    if not bitstream.startswith(START_CODE):  # otherwise FFmpeg could take it for a list of other files
        return None
    with _as_file(bitstream) as path:
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            found = _decoded(path, {*numbers, *(number - 1 for number in numbers)}, size=(width, height))
        except cv2.error:
            return None
        finally:
            cv2.utils.logging.setLogLevel(level)
    if found is None:
        return None
    return Pictures(
        [found[number] for number in numbers], [change_of(found[number], found[number - 1]) for number in numbers]
    )


@contextmanager
def _as_file(bitstream: bytes) -> Iterator[Path]:
    """A file for OpenCV. On Linux it is in memory, so a killed process leaves nothing in the temporary directory."""
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("video.m4v"), "wb") as file:
            file.write(bitstream)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with TemporaryDirectory(prefix="ipshards-") as folder:
        path = Path(folder) / "video.m4v"
        path.write_bytes(bitstream)
        yield path


def _decoded(path: Path, wanted: set[int], *, size: tuple[int, int]) -> dict[int, U8] | None:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; OpenCV reads it when it first opens a video
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        stated = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not capture.isOpened() or stated != size:
            return None
        found: dict[int, U8] = {}
        for number in range(max(wanted) + 1):
            if not capture.grab():
                return None
            if number in wanted:
                done, bgr = capture.retrieve()
                if not done or bgr.shape != (size[1], size[0], 3):
                    return None
                found[number] = np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)
        return found
    finally:
        capture.release()


def change_of(picture: U8, before: U8) -> F32:
    """(h, w) mean absolute difference of two pictures (H, W, 3) in each macroblock, levels."""
    levels = cv2.absdiff(picture, before).mean(axis=2)
    rows, columns = (np.arange(0, side, MACROBLOCK_PX) for side in levels.shape)
    sums = np.add.reduceat(np.add.reduceat(levels, rows, axis=0), columns, axis=1)
    sizes = [np.diff([*starts, side]) for starts, side in zip((rows, columns), levels.shape, strict=True)]
    return np.asarray(sums / np.outer(*sizes), np.float32)
