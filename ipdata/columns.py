"""Decoded pictures to the payloads of the columns, in one pass that holds two pictures at a time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ipdata import decode
from ipdata.decode import Picture
from ipdata.errors import VideoError
from ipdata.flow import estimator
from ipdata.recipe import BuildRecipe
from ipdata.residual import stored_residual
from shards.encodings import I16, Payload, encode_flow, encode_jpeg, encode_mv, join
from shards.motion import grid_of
from shards.schema import column_of

# (picture, the one before it) -> encoded frame.
FrameEncoder = Callable[[Picture, Picture], bytes]


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
    m4v: bytes, columns: Sequence[str], recipe: BuildRecipe, clock: Clock
) -> tuple[str, dict[str, Payload]]:
    """Picture types of the transcoded video, and the payload of each column asked for.

    Raises: VideoError if the bitstream does not decode whole, or does not begin with an I-frame.
    """
    encoders = {name: make(recipe) for name, make in FRAME_ENCODERS.items() if name in columns}
    frames: dict[str, list[bytes]] = {name: [] for name in encoders}
    mvs: list[I16] = []
    picture_types = ""
    for picture, previous in _pairs(m4v, clock):
        picture_types += picture.picture_type
        if picture.mv is not None:
            mvs.append(picture.mv)
        for name, encode in encoders.items():
            if picture.picture_type in column_of(name).picture_types:
                with clock.stage(name):
                    frames[name].append(encode(picture, previous))
    payloads = {name: join(encoded) for name, encoded in frames.items()}
    if "mv" in columns:
        rows, blocks = grid_of(width=recipe.transcode.width, height=recipe.transcode.height)
        payloads["mv"] = encode_mv(np.array(mvs, np.int16).reshape(-1, rows, blocks, 2))
    if "video" in columns:
        payloads["video"] = join(decode.coded_pictures(m4v))
    return picture_types, {name: payloads[name] for name in columns}


def _pairs(m4v: bytes, clock: Clock) -> Iterator[tuple[Picture, Picture]]:
    """Each picture with the one before it; the first, an I-frame, with itself."""
    decoded = decode.pictures(m4v)
    previous: Picture | None = None
    while True:
        with clock.stage("decode"):
            picture = next(decoded, None)
        if picture is None:
            return
        if previous is None and picture.picture_type != "I":
            raise VideoError("decode", "picture_types", "the transcoded video does not begin with an I-frame")
        yield picture, previous or picture
        previous = picture


def _iframe(recipe: BuildRecipe) -> FrameEncoder:
    quality, chroma = recipe.iframe.quality, recipe.iframe.chroma
    return lambda picture, _: encode_jpeg(picture.rgb, quality=quality, chroma=chroma)


def _residual(recipe: BuildRecipe) -> FrameEncoder:
    """Section 3.1 of the paper: the difference between the picture and the motion-compensated previous one."""
    quality, chroma = recipe.residual.quality, recipe.residual.chroma

    def encode(picture: Picture, previous: Picture) -> bytes:
        assert picture.mv is not None  # a P-frame
        return encode_jpeg(stored_residual(picture.rgb, previous.rgb, picture.mv), quality=quality, chroma=chroma)

    return encode


def _flow(recipe: BuildRecipe) -> FrameEncoder:
    """TV-L1 from the previous picture to this one, the interval that its motion vectors describe."""
    estimate = estimator(recipe.flow, width=recipe.transcode.width, height=recipe.transcode.height)
    bound_px, quality = recipe.flow.bound_px, recipe.flow.quality
    return lambda picture, previous: encode_flow(
        estimate(previous.luma, picture.luma), bound_px=bound_px, quality=quality
    )


FRAME_ENCODERS: dict[str, Callable[[BuildRecipe], FrameEncoder]] = {
    "iframe": _iframe,
    "residual": _residual,
    "flow": _flow,
}
