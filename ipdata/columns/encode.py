"""Decoded pictures to the payloads of the columns, in one pass."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from ipdata.columns.flow import estimator
from ipdata.columns.residual import definition_of
from ipdata.errors import VideoError
from ipdata.recipe import BuildRecipe
from ipdata.video import decode
from ipdata.video.decode import Picture
from shards.encodings import I16, U8, Payload, encode_flow, encode_jpeg, encode_mv, join
from shards.motion import grid_of


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


class ColumnEncoder(Protocol):
    """Makes one column's payload of one video."""

    def add(self, picture: Picture, previous: Picture) -> None:
        """Take the next picture, and the one before it; the first, an I-frame, comes with itself."""

    def payload(self) -> Payload:
        """Everything that was added."""


def encode_columns(
    m4v: bytes, columns: Sequence[str], recipe: BuildRecipe, clock: Clock
) -> tuple[str, dict[str, Payload]]:
    """Picture types of the transcoded video, and the payload of each column asked for.

    Raises: VideoError if the bitstream does not decode whole, or does not begin with an I-frame.
    """
    encoders = {name: make(recipe) for name, make in ENCODERS.items() if name in columns}
    picture_types = ""
    for picture, previous in _pairs(m4v, clock):
        picture_types += picture.picture_type
        for name, encoder in encoders.items():
            with clock.stage(name):
                encoder.add(picture, previous)
    payloads = {}
    for name, encoder in encoders.items():
        with clock.stage(name):
            payloads[name] = encoder.payload()
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


class IframeEncoder:
    def __init__(self, recipe: BuildRecipe) -> None:
        self.settings = recipe.iframe
        self.frames: list[bytes] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.mv is None:
            self.frames.append(encode_jpeg(picture.rgb, quality=self.settings.quality, chroma=self.settings.chroma))

    def payload(self) -> Payload:
        return join(self.frames)


class MvEncoder:
    def __init__(self, recipe: BuildRecipe) -> None:
        self.grid = grid_of(width=recipe.transcode.width, height=recipe.transcode.height)
        self.mvs: list[I16] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.mv is not None:
            self.mvs.append(picture.mv)

    def payload(self) -> Payload:
        return encode_mv(np.array(self.mvs, np.int16).reshape(-1, *self.grid, 2))


class ResidualEncoder:
    """The difference between a picture and what motion compensation makes of an earlier one."""

    def __init__(self, recipe: BuildRecipe) -> None:
        self.settings = recipe.residual
        self.store = definition_of(recipe.residual.definition)
        self.frames: list[bytes] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.mv is not None:
            stored = self.store(picture, previous)
            self.frames.append(encode_jpeg(stored, quality=self.settings.quality, chroma=self.settings.chroma))

    def payload(self) -> Payload:
        return join(self.frames)


class FlowEncoder:
    """TV-L1 from the previous picture to this one, the interval that its motion vectors describe."""

    def __init__(self, recipe: BuildRecipe) -> None:
        self.settings = recipe.flow
        self.estimate = estimator(recipe.flow, width=recipe.transcode.width, height=recipe.transcode.height)
        self.waiting: list[tuple[U8, U8]] = []
        self.frames: list[bytes] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.mv is not None:
            self.waiting.append((previous.luma, picture.luma))
            if len(self.waiting) == self.estimate.batch_pairs:
                self._estimate_waiting()

    def payload(self) -> Payload:
        if self.waiting:
            self._estimate_waiting()
        return join(self.frames)

    def _estimate_waiting(self) -> None:
        previous, current = (np.stack(side) for side in zip(*self.waiting, strict=True))
        self.waiting.clear()
        for flow_px in self.estimate(previous, current):
            self.frames.append(encode_flow(flow_px, bound_px=self.settings.bound_px, quality=self.settings.quality))


ENCODERS: dict[str, Callable[[BuildRecipe], ColumnEncoder]] = {
    "iframe": IframeEncoder,
    "mv": MvEncoder,
    "residual": ResidualEncoder,
    "flow": FlowEncoder,
}
