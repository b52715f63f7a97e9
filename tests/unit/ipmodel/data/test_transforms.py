"""One crop for all modalities, and the numbers that the networks see."""

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmodel.data.batch import Batch, Clip, collate
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import IMAGENET_MEAN, IMAGENET_STD
from ipmodel.data.sampling import rng_of
from ipmodel.data.transforms import Crop, Window, centre_crop, cut, evaluation_crops, jitter, training_window
from ipmodel.recipe import Input
from shards.motion import INTRA, field_px, grid_of

WHOLE = Crop(left=0, top=0, side=1)


def batch_of(*windows: Window, **columns: np.ndarray) -> Batch:
    """The same frames once for each window."""
    return collate([Clip(columns=columns, window=window, label=0, number=0) for window in windows])


def mv_of(mv: np.ndarray, crop: Crop, *, width: int, height: int, crop_px: int) -> np.ndarray:
    """The network's input of one clip of one frame: (2, crop, crop)."""
    batch = batch_of(crop.window(width=width, height=height), mv=mv[None])
    chosen = Input(resize_px=max(crop_px, 16), crop_px=crop_px)
    return network_input(batch, "mv", chosen, picture_px=(width, height))[0, :, 0].numpy()


@settings(max_examples=40, deadline=None)
@given(st.integers(17, 60), st.integers(0, 2**32 - 1), st.sampled_from([3, 60, 700]))
def test_whole_square_vectors_are_coviars_field(side: int, seed: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    mv = rng.integers(-reach, reach + 1, (*grid_of(width=side, height=side), 2)).astype(np.int16)
    mv[rng.random(mv.shape[:2]) < 0.2] = INTRA
    levels = np.clip(np.trunc(field_px(mv, width=side, height=side) * np.float32(127.5 / 20)) + 128, 0, 255)
    seen = mv_of(mv, WHOLE, width=side, height=side, crop_px=side)
    np.testing.assert_allclose(np.moveaxis(seen, 0, -1), levels / 255 - 0.5, atol=1e-4)


@pytest.mark.parametrize("flip", [False, True])
def test_vectors_and_pictures_are_cut_alike(flip: bool) -> None:
    """Macroblocks drawn as a picture come out of `cut` where their vectors come out on the device."""
    width, height, crop_px = 113, 85, 48
    rng = np.random.default_rng(3)
    mv = (2 * rng.integers(-9, 10, (*grid_of(width=width, height=height), 2))).astype(np.int16)
    field = field_px(mv, width=width, height=height)
    picture = (np.trunc(field[..., 1] * (127.5 / 20)) + 128).astype(np.uint8)  # y: a mirror does not negate it
    crop = Crop(left=0.2, top=0.1, side=0.75, flip=flip)
    seen = (mv_of(mv, crop, width=width, height=height, crop_px=crop_px)[1] + 0.5) * 255
    expected = cut(picture[..., None].repeat(3, -1), crop.window(width=width, height=height), crop_px)
    assert np.abs(seen - expected[1]).max() <= 1  # it rounds to whole levels


def test_a_mirrored_clip_moves_the_other_way() -> None:
    mv = np.zeros((4, 4, 2), np.int16)
    mv[..., 0], mv[..., 1] = 8, 6
    plain, mirrored = (
        mv_of(mv, Crop(left=0.25, top=0.25, side=0.5, flip=flip), width=64, height=64, crop_px=32)
        for flip in (False, True)
    )
    zero = 128 / 255 - 0.5
    np.testing.assert_allclose(mirrored[0] - zero, -(plain[0] - zero), atol=1e-5)
    np.testing.assert_allclose(mirrored[1], plain[1], atol=1e-5)
    stored = np.random.default_rng(0).integers(0, 256, (3, 2, 32, 32)).astype(np.uint8)
    windows = [WHOLE._replace(flip=flip).window(width=32, height=32) for flip in (False, True)]
    batch = batch_of(*windows, flow=stored)
    left, right = network_input(batch, "flow", Input(resize_px=32, crop_px=32), picture_px=(32, 32))
    torch.testing.assert_close(right[0] - zero, -(left[0] - zero))
    torch.testing.assert_close(right[1], left[1])


def test_of_a_mirrored_p_stream_clip_x_of_the_vectors_alone_is_negated() -> None:
    rng = np.random.default_rng(4)
    mv = np.full((1, 4, 4, 2), 8, np.int16)
    stored = rng.integers(0, 256, (1, 3, 64, 64)).astype(np.uint8)
    chosen = Input(resize_px=64, crop_px=64)
    windows = [WHOLE._replace(flip=flip).window(width=64, height=64) for flip in (False, True)]
    batch = batch_of(*windows, mv=mv, residual=stored)
    plain, mirrored = network_input(batch, "mr", chosen, picture_px=(64, 64))[:, :, 0]
    zero = 128 / 255 - 0.5
    inside = (slice(8, -8), slice(8, -8))  # vectors that come from outside are 0
    torch.testing.assert_close((mirrored[0] - zero)[inside], -(plain[0] - zero)[inside])
    assert plain[0][inside].min() > zero + 0.05
    torch.testing.assert_close(mirrored[1][inside], plain[1][inside])
    torch.testing.assert_close(mirrored[2:], plain[2:])  # the residual was mirrored when it was cut


def test_levels() -> None:
    levels = np.array([0, 128, 255], np.uint8)[None, :, None, None].repeat(32, 2).repeat(32, 3)
    still = np.zeros((1, 2, 2, 2), np.int16)
    batch = batch_of(WHOLE.window(width=32, height=32), residual=levels, iframe=levels, mv=still)
    scaled = torch.tensor([0, 128 / 255, 1])
    std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
    seen = {
        modality: network_input(batch, modality, Input(resize_px=32, crop_px=32), picture_px=(32, 32))[0, :, 0, 5, 7]
        for modality in ("r", "i", "mr")
    }
    torch.testing.assert_close(seen["r"], (scaled - 0.5) / std)
    torch.testing.assert_close(seen["i"], (scaled - mean) / std)
    torch.testing.assert_close(seen["mr"], torch.cat([torch.full((2,), 128 / 255 - 0.5), (scaled - 0.5) / std]))


def test_jitter_is_one_for_a_clip_and_keeps_grey_grey() -> None:
    clip = np.random.default_rng(1).integers(60, 190, (2, 1, 9, 9)).astype(np.uint8).repeat(3, 1)
    seen = jitter(clip, 0.2, np.random.default_rng(2))
    assert seen.shape == clip.shape and seen.dtype == np.uint8
    assert np.abs(seen[:, :1].astype(int) - seen).max() <= 1 and not np.array_equal(seen, clip)
    slope, offset = np.polyfit(clip.ravel().astype(float), seen.ravel().astype(float), 1)
    assert np.abs(slope * clip + offset - seen).max() < 1  # brightness and contrast of all frames alike


def test_the_test_crop_is_the_middle() -> None:
    crop = centre_crop(Input(resize_px=256, crop_px=224))
    window = crop.window(width=256, height=256)
    assert window == (16, 16, 224, 224, False)
    picture = np.arange(256, dtype=np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    assert np.array_equal(cut(picture, window, 224)[0], picture[16:240, 16:240, 0])
    assert np.array_equal(cut(picture, WHOLE.window(width=256, height=256), 256)[2], picture[..., 2])


def test_ten_crops_are_the_corners_and_the_middle_and_their_mirrors() -> None:
    chosen = Input(resize_px=256, crop_px=224)
    windows = [crop.window(width=340, height=256) for crop in evaluation_crops(chosen, 10)]
    assert [window[:4] for window in windows[:5]] == [
        (21, 16, 298, 224), (0, 0, 298, 224), (0, 32, 298, 224), (42, 0, 298, 224), (42, 32, 298, 224)
    ]  # fmt: skip
    assert [window._replace(flip=True) for window in windows[:5]] == windows[5:]
    assert evaluation_crops(chosen, 1) == [centre_crop(chosen)]


def drawn(chosen: Input, scales: tuple[float, ...], *, width: int = 340, height: int = 256) -> list[Window]:
    return [training_window(chosen, scales, rng_of(seed), width=width, height=height) for seed in range(2000)]


@pytest.mark.parametrize("crops", ["squashed", "picture"])
def test_training_crops_stay_inside_and_show_both_sides(crops: Literal["squashed", "picture"]) -> None:
    chosen = Input(training_crops=crops)
    windows = drawn(chosen, chosen.iframe_scales)
    for left, top, width, height, _ in windows:
        assert 0 <= left <= left + width <= 340 and 0 <= top <= top + height <= 256
    assert {window.flip for window in windows} == {True, False}
    assert not any(window.flip for window in drawn(replace(chosen, flip=False), (1.0,)))
    assert len(set(drawn(replace(chosen, flip=False), (1.0,), width=256, height=256))) == 1  # the picture is a square


def test_squashed_crops_are_squares_of_the_squashed_picture_at_thirteen_places() -> None:
    windows = drawn(Input(flip=False), (0.875,))
    assert len(set(windows)) == 13 and {(window.left, window.top) for window in windows} >= {(0, 0), (42, 32), (21, 16)}
    assert all(abs(window.width - 0.875 * 340) <= 1 and window.height == 224 for window in windows)


def test_crops_of_the_picture_have_coviars_shapes_and_lie_anywhere() -> None:
    chosen = Input(training_crops="picture")
    sides = (256, 224, 192, 168)  # of 256, by scales of 1, 0.875, 0.75, 0.66
    for count in (3, 4):
        windows = drawn(chosen, chosen.iframe_scales[:count])
        shapes = [(w, h) for i, w in enumerate(sides[:count]) for j, h in enumerate(sides[:count]) if abs(i - j) <= 1]
        found = Counter((window.width, window.height) for window in windows)
        assert found.keys() == set(shapes)
        assert max(found.values()) < 2 * min(found.values())  # all equally often
    lefts = Counter(window.left for window in drawn(chosen, (1.0,)))
    assert lefts.keys() == set(range(340 - 256 + 1))
    tall = drawn(chosen, (1.0, 0.5), width=100, height=180)
    assert {(window.width, window.height) for window in tall} == {(100, 100), (100, 50), (50, 100), (50, 50)}
    assert max(window.top for window in tall) == 130
