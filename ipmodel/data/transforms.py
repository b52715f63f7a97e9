"""Crops: the part of a picture that a network sees. A clip has one crop for all its frames and modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ipmodel.recipe import Input
from shards.arrays import U8

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue


class Window(NamedTuple):
    """A rectangle of a picture in px, and whether to mirror it after it has been resized."""

    left: int
    top: int
    width: int
    height: int
    flip: bool


class Crop(NamedTuple):
    """A square of the squashed picture, with corner and side as fractions of its side."""

    left: float
    top: float
    side: float
    flip: bool = False

    def window(self, *, width: int, height: int) -> Window:
        """The same part of a picture that is not squashed, rounded to whole px."""
        left, top = round(self.left * width), round(self.top * height)
        right, bottom = round((self.left + self.side) * width), round((self.top + self.side) * height)
        return Window(left, top, right - left, bottom - top, self.flip)


def centre_crop(settings: Input) -> Crop:
    """`crop_px` of `resize_px`, in the middle."""
    side = settings.crop_px / settings.resize_px
    return Crop((1 - side) / 2, (1 - side) / 2, side)


def evaluation_crops(settings: Input, count: int) -> list[Crop]:
    """count 1: the centre. count 10: the centre and the four corners, then the same mirrored."""
    centre = centre_crop(settings)
    if count == 1:
        return [centre]
    room = 1 - centre.side
    five = [centre, *(Crop(left, top, centre.side) for left in (0.0, room) for top in (0.0, room))]
    return [*five, *(crop._replace(flip=True) for crop in five)]


def training_window(
    settings: Input, scales: Sequence[float], rng: np.random.Generator, *, width: int, height: int
) -> Window:
    """A random crop as `settings.training_crops` says, and mirrored half of the time if `settings.flip`."""
    draw = {"squashed": _squashed_square, "picture": _rectangle}[settings.training_crops]
    window = draw(scales, rng, width, height)
    return window._replace(flip=bool(settings.flip and rng.random() < 0.5))


def _squashed_square(scales: Sequence[float], rng: np.random.Generator, width: int, height: int) -> Window:
    """A square of the squashed picture at one of TSN's thirteen places: corners, middle, and between them."""
    side = float(rng.choice(scales))
    room = (1 - side) / 4
    places = [(x, y) for x in range(0, 5, 2) for y in range(0, 5, 2)] + [(x, y) for x in (1, 3) for y in (1, 3)]
    x, y = places[rng.integers(len(places))]
    return Crop(x * room, y * room, side).window(width=width, height=height)


def _rectangle(scales: Sequence[float], rng: np.random.Generator, width: int, height: int) -> Window:
    """CoViAR's crop: anywhere in the picture as it is. Each side is a scale times the picture's shorter side.

    The scales of the two sides are equal or neighbours in the list.
    """
    sides = [int(scale * min(width, height)) for scale in scales]
    shapes = [(w, h) for i, w in enumerate(sides) for j, h in enumerate(sides) if abs(i - j) <= 1]
    w, h = shapes[rng.integers(len(shapes))]
    return Window(int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h, flip=False)


def cut(image: U8, window: Window, crop_px: int) -> U8:
    """A window of an (H, W, C) picture, resized bilinearly and mirrored: (C, crop_px, crop_px)."""
    part = image[window.top : window.top + window.height, window.left : window.left + window.width]
    parts = [part[..., 0], part[..., 1]] if part.shape[2] == 2 else [part]  # OpenCV is slow with two channels
    resized = [cv2.resize(part, (crop_px, crop_px), interpolation=cv2.INTER_LINEAR) for part in parts]
    mirrored = [cv2.flip(part, 1) if window.flip else part for part in resized]
    stacked: U8 = np.stack(mirrored if len(mirrored) > 1 else cv2.split(mirrored[0]))
    return stacked


def jitter(images_TCHW: U8, amount: float, rng: np.random.Generator) -> U8:
    """Multiplies brightness, saturation and contrast of an RGB clip by random factors in [1 - amount, 1 + amount]."""
    brightness, contrast, saturation = rng.uniform(1 - amount, 1 + amount, 3)
    x = images_TCHW.astype(np.float32) * brightness
    grey = np.tensordot(x, LUMA, axes=(1, 0))[:, None]
    x = grey + saturation * (x - grey)
    x = grey.mean() + contrast * (x - grey.mean())
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)
