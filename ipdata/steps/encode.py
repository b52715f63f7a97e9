"""Make the payloads of the columns from the decoded pictures, in one pass."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2

from ipdata.columns.base import Maker
from ipdata.columns.registry import column_build_of
from ipdata.errors import VideoError
from ipdata.recipe import BuildRecipe
from ipdata.steps.spool import Spool
from ipdata.video import decode
from ipdata.video.decode import Picture
from shards.columns import PayloadFile


class Clock:
    """Seconds spent in each stage of one video."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def encode_columns(
    m4v: Path,
    columns: Mapping[str, Path],
    recipe: BuildRecipe,
    clock: Clock,
    *,
    picture_types: str,
) -> dict[str, PayloadFile]:
    """Make the payload of each column, in one pass over a bitstream that must have pictures of these types ("IPPP...").

    m4v: the file of the bitstream. columns: column -> the file that its payload is written to.

    Raises: VideoError if it has other pictures, which is checked before any is decoded; or if some do not decode.
    """
    cv2.setNumThreads(1)  # each core works on a video of its own
    check_picture_types(decode.coded_picture_types(m4v), picture_types)
    size = {"width": recipe.transcode.width, "height": recipe.transcode.height}
    makers = {name: column_build_of(name).maker(recipe.columns.get(name), **size) for name in columns}
    with ExitStack() as files:
        spools = {}
        for name, path in columns.items():
            column = column_build_of(name).column
            frames = len(column.frame_numbers(picture_types))
            spools[name] = files.enter_context(Spool(path, column, frames=frames, **size))
        _add_pictures(m4v, makers, spools, recipe, clock, picture_types)
        for name, maker in makers.items():
            with clock.stage(name):
                spools[name].add(maker.rest(m4v))
        return {name: spool.payload() for name, spool in spools.items()}


def _add_pictures(
    m4v: Path,
    makers: Mapping[str, Maker],
    spools: Mapping[str, Spool],
    recipe: BuildRecipe,
    clock: Clock,
    picture_types: str,
) -> None:
    """Decode picture after picture, and write the frames that the makers make of them."""
    for picture, previous in checked_pairs(m4v, recipe, clock, picture_types=picture_types):
        for name, maker in makers.items():
            with clock.stage(name):
                spools[name].add(maker.add(picture, previous))


def checked_pairs(
    m4v: Path,
    recipe: BuildRecipe,
    clock: Clock,
    *,
    picture_types: str,
    needed: Collection[int] | None = None,
    with_mv: Collection[int] | None = None,
) -> Iterator[tuple[Picture, Picture]]:
    """Decode a bitstream; yield each P-frame with the picture that was yielded before it, and each I-frame with itself.

    picture_types: of the whole bitstream, checked before. needed: numbers of its pictures to yield, all if None.
    with_mv: numbers of those that get their motion vectors, all if None.

    Raises: VideoError if a picture does not decode, or has another type or size than the recipe says.
    """
    numbers = range(len(picture_types)) if needed is None else sorted(needed)
    decoded = decode.pictures(m4v, needed=needed, with_mv=with_mv)
    for number, (picture, previous) in zip(numbers, _pairs(decoded, clock), strict=True):
        expected = picture_types[number]
        if picture.picture_type != expected:
            detail = f"picture {number} decodes as {picture.picture_type}, expected {expected}"
            raise VideoError("decode", "damaged", detail)
        if picture.i420.shape != (recipe.transcode.height * 3 // 2, recipe.transcode.width):
            detail = (
                f"picture {number} does not have the recipe's size, {recipe.transcode.width}x{recipe.transcode.height}"
            )
            raise VideoError("decode", "unsupported", detail)
        yield picture, previous


def check_picture_types(found: str, expected: str) -> None:
    """Raises: VideoError if the transcoded video has another number of pictures, or pictures of other types."""
    if len(found) != len(expected):
        detail = f"an independent decode yields {len(expected)} frames, the transcoded video has {len(found)}"
        raise VideoError("transcode", "frame_count", detail)
    if found != expected:
        raise VideoError("transcode", "picture_types", f"expected {expected}, got {found}")


def _pairs(decoded: Iterator[Picture], clock: Clock) -> Iterator[tuple[Picture, Picture]]:
    previous: Picture | None = None
    while True:
        with clock.stage("decode"):
            picture = next(decoded, None)
        if picture is None:
            return
        if previous is None or picture.picture_type == "I":
            previous = picture
        yield picture, previous
        previous = picture
