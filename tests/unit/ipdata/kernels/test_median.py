"""The compiled medians are OpenCV's, at edges too, and select rightly whatever the order of their values."""

import itertools

import cv2
import numpy as np
import pytest

from ipdata.kernels.median import framed_shape, median
from ipdata.kernels.memory import padded_px


def median_of(picture: np.ndarray, side_px: int, fill: float = 0.0) -> np.ndarray:
    """Of a picture (h, w), in a padded plane. fill: what stands in the padding and in the scratch before."""
    height, width = picture.shape
    plane = np.full((height, padded_px(width) + 16), fill, np.float32)
    plane[:, :width] = picture
    framed = np.full(framed_shape(height, width), fill, np.float32)
    median(plane, width, side_px, framed, np.full((5, framed.shape[1]), fill, np.float32))
    return plane[:, :width]


@pytest.mark.parametrize("side_px", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(256, 340), (105, 139), (16, 16), (17, 131), (5, 33), (1, 1), (2, 1)])
def test_it_is_opencvs(height: int, width: int, side_px: int) -> None:
    rng = np.random.default_rng(height * width)
    for levels in (2, 5, 1000):  # with few levels, many values are equal
        picture = rng.integers(-levels, levels, (height, width)).astype(np.float32) / 7
        expected = cv2.medianBlur(picture, side_px)
        assert np.array_equal(median_of(picture, side_px), expected)
        assert np.array_equal(median_of(picture, side_px, fill=1e9), expected)


@pytest.mark.parametrize("side_px", [3, 5])
def test_every_window_of_zeros_and_ones_has_its_median(side_px: int) -> None:
    """Comparing and swapping selects rightly in general if it does so for zeros and ones (Knuth's 0-1 principle).

    Columns are sorted first, so that a column is known by its number of ones. The order in it is drawn at random.
    """
    rng, middle = np.random.default_rng(0), side_px // 2
    ones = np.array(list(itertools.product(range(side_px + 1), repeat=side_px)))  # (windows, columns)
    windows = (np.arange(side_px)[:, None] < ones[:, None]).astype(np.float32)
    windows = rng.permuted(windows, axis=1)
    strip = windows.transpose(1, 0, 2).reshape(side_px, -1)  # window after window, side by side
    found = median_of(strip, side_px)[middle, middle::side_px]
    assert np.array_equal(found, ones.sum(axis=1) > side_px**2 // 2)
