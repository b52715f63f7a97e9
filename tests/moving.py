"""Videos whose motion is known: a random texture that moves by whole pixels, written without ffmpeg."""

import atexit
import functools
import shutil
import tempfile
import uuid
from pathlib import Path

import cv2
import numpy as np

from ipdata.datasets.base import Video
from ipdata.recipe import BuildRecipe, load_recipe
from ipdata.steps.extract import Extracted, VideoTask, extract
from ipdata.video.checksums import CHECKSUM_ROWS
from ipdata.video.decode import PICTURE_START
from ipdata.video.tools import tools_here
from ipdata.video.transcode import Transcode, executable, transcode
from shards.columns import COLUMNS

WIDTH, HEIGHT = 176, 144  # px: 11 x 9 macroblocks


def moving_luma(*, frames: int, step_px: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(T, H, W) uint8, 40..215: content that moves by step_px (right, down) a frame."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT * 3, WIDTH * 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    texture = cv2.normalize(soft, None, 40, 215, cv2.NORM_MINMAX).astype(np.uint8)
    x, y = WIDTH, HEIGHT
    windows = []
    for _ in range(frames):
        windows.append(texture[y : y + HEIGHT, x : x + WIDTH])
        x, y = x - step_px[0], y - step_px[1]
    return np.stack(windows)


def write_y4m(path: Path, luma: np.ndarray) -> Path:
    """Grey pictures (T, H, W) as 25 frames/s of uncompressed 4:2:0."""
    _, height, width = luma.shape
    chroma = bytes([128]) * (-(-height // 2) * -(-width // 2) * 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n".encode())
        for picture in luma:
            file.write(b"FRAME\n" + picture.tobytes() + chroma)
    return path


def recipe_of(*overrides: str) -> BuildRecipe:
    """The default recipe at the size of the moving texture."""
    size = (f"transcode.width={WIDTH}", f"transcode.height={HEIGHT}")
    return load_recipe("default", [*size, *overrides])


@functools.cache
def payload_dir() -> Path:
    """A directory for payloads, which goes when the tests have ended."""
    directory = tempfile.mkdtemp(prefix="payloads-")  # no TemporaryDirectory, which a forked process would remove
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def task_of(source: Path, *overrides: str, columns: tuple[str, ...] = tuple(COLUMNS)) -> VideoTask:
    """The work on one file, as the build would plan it."""
    video = Video(name=source.name, source=source, class_name="any", class_id=0, subsets={"split1": "train"})
    return VideoTask(
        key="any-00000000",
        video=video,
        recipe=recipe_of(*overrides),
        columns=columns,
        tools=tools_here(),
        payload_dir=payload_dir(),
    )


def m4v_of(data: bytes) -> Path:
    """A file with these bytes, which goes when the tests have ended."""
    path = payload_dir() / f"{uuid.uuid4().hex}.m4v"
    path.write_bytes(data)
    return path


def not_coded(coded: bytes) -> bytes:
    """A coded picture whose header says that it is not coded; a decoder gives nothing for it, and says nothing.

    The bit stands behind the type, the seconds, a marker, five bits of ticks and a marker.
    """
    at = coded.index(PICTURE_START) + len(PICTURE_START)
    header = f"{int.from_bytes(coded[at : at + 4], 'big'):032b}"
    position = header.index("0", 2) + 8
    assert header[position] == "1"
    changed = header[:position] + "0" + header[position + 1 :]
    return coded[:at] + int(changed, 2).to_bytes(4, "big") + coded[at + 4 :]


def transcoded(source: Path, settings: Transcode, *, frames: int, path: str | None = None) -> Path:
    """The file of the bitstream of a source's first frames, made as a build makes it. path: the executable."""
    to = m4v_of(b"")
    options = {"path": path or executable(), "checksum_rows": CHECKSUM_ROWS}
    transcode(source, settings, to, frames=frames, limit_frames=frames, **options)
    return to


def extracted_from(source: Path, *overrides: str, columns: tuple[str, ...] = tuple(COLUMNS)) -> Extracted:
    """Run the first step of one file. Raises: VideoError."""
    task = task_of(source, *overrides, columns=columns)
    return extract(task, task.steps[0])
