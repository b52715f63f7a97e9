"""One crop for all modalities, and the numbers that the networks see."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmodel.recipe import Input
from ipmodel.sampling import rng_of
from ipmodel.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Crop,
    centre_crop,
    cut,
    flow_input,
    iframe_input,
    mv_input,
    random_crop,
    residual_input,
)
from shards.motion import INTRA, enlarge, field_px, grid_of

WHOLE = Crop(left=0, top=0, side=1)


def mv_of(mv: np.ndarray, crop: Crop, *, width: int, height: int, crop_px: int) -> np.ndarray:
    """mv_input of one clip of one frame: (2, crop, crop)."""
    box = torch.tensor([crop.box_px(width=width, height=height)], dtype=torch.float32)
    given_mv, flip = torch.from_numpy(mv)[None, None], torch.tensor([crop.flip])
    chosen = Input(resize_px=max(crop_px, 16), crop_px=crop_px)
    return mv_input(given_mv, box, flip, picture_px=(width, height), settings=chosen)[0, :, 0].numpy()


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
    """Macroblocks drawn as a picture come out of `cut` where their vectors come out of the device's crop."""
    width, height, crop_px = 112, 84, 48
    rng = np.random.default_rng(3)
    mv = (2 * rng.integers(-9, 10, (*grid_of(width=width, height=height), 2))).astype(np.int16)
    field = field_px(mv, width=width, height=height)
    picture = (np.trunc(field[..., 1] * (127.5 / 20)) + 128).astype(np.uint8)  # y: a mirror does not negate it
    crop = Crop(left=0.2, top=0.1, side=0.75, flip=flip)
    seen = (mv_of(mv, crop, width=width, height=height, crop_px=crop_px)[1] + 0.5) * 255
    assert np.abs(seen - cut(picture, crop, crop_px)).mean() < 0.6  # OpenCV samples at 1/32 px and rounds


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
    stored = torch.randint(0, 256, (2, 3, 8, 8, 2), dtype=torch.uint8)
    left, right = flow_input(stored, torch.tensor([False, False])), flow_input(stored, torch.tensor([True, True]))
    torch.testing.assert_close(right[:, 0] - zero, -(left[:, 0] - zero))
    torch.testing.assert_close(right[:, 1], left[:, 1])


def test_levels() -> None:
    stored = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 1, 1, 1, 3)
    scaled = torch.tensor([0, 128 / 255, 1])
    std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
    torch.testing.assert_close(residual_input(stored).flatten(), (scaled - 0.5) / std)
    torch.testing.assert_close(iframe_input(stored).flatten(), (scaled - mean) / std)


def test_the_test_crop_is_the_middle() -> None:
    crop = centre_crop(Input(resize_px=256, crop_px=224))
    assert crop.box_px(width=256, height=256) == (16, 16, 224, 224)
    picture = np.arange(256, dtype=np.uint8)[None].repeat(256, 0)
    assert np.array_equal(cut(picture, crop, 224), picture[16:240, 16:240])
    assert np.array_equal(cut(picture, WHOLE, 256), picture)


def test_train_crops_stay_inside_and_use_all_scales_and_both_sides() -> None:
    chosen = Input()
    crops = [random_crop(chosen, chosen.scales, rng_of(seed)) for seed in range(200)]
    assert {crop.side for crop in crops} == set(chosen.scales) and {crop.flip for crop in crops} == {True, False}
    for crop in crops:
        assert 0 <= crop.left <= crop.left + crop.side <= 1 + 1e-9 and 0 <= crop.top <= 1 - crop.side + 1e-9
    no_flip = Input(flip=False)
    assert not any(random_crop(no_flip, (1.0,), rng_of(seed)).flip for seed in range(50))
    assert enlarge(np.zeros((1, 1, 2)), width=3, height=3).shape == (3, 3, 2)
