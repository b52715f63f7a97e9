"""The compiled residuals equal their definitions bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdata.columns.residual import definition_of
from ipdata.kernels.prediction import predicted_i420
from ipdata.kernels.residual import moved, subtract, subtract_moved
from ipdata.video.decode import Picture, rgb_of
from shards.columns.residual import RESIDUAL
from shards.motion import INTRA, accumulated_residual, compensate, grid_of, predict, residual


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 40, 700]))
def test_it_equals_the_definition(height: int, width: int, seed: int, reach: int) -> None:
    """Any size, vectors far out of the picture, odd half-pels, intra macroblocks."""
    rng = np.random.default_rng(seed)
    picture, previous = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    mv = rng.integers(-reach, reach + 1, (*grid_of(width=width, height=height), 2)).astype(np.int16)
    mv[rng.random(mv.shape[:2]) < 0.2] = INTRA
    assert np.array_equal(moved(previous, mv), compensate(previous, mv))
    expected = RESIDUAL.store(residual(picture, previous, mv), {})
    assert np.array_equal(subtract(picture, moved(previous, mv)), expected)
    assert np.array_equal(subtract_moved(picture, previous, mv), expected)


def test_every_pair_of_levels_is_subtracted_and_clips() -> None:
    levels = np.arange(256, dtype=np.uint8)
    picture, reference = (np.repeat(each[..., None], 3, axis=2) for each in np.meshgrid(levels, levels))
    expected = (picture.astype(int) - reference + 128).clip(0, 255)
    assert expected.min() == 0 and expected.max() == 255
    assert np.array_equal(subtract(picture, reference), expected)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 25), st.integers(1, 25), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 40, 700]))
def test_the_prediction_equals_its_definition(half_height: int, half_width: int, seed: int, reach: int) -> None:
    height, width = 2 * half_height, 2 * half_width
    rng = np.random.default_rng(seed)
    previous = rng.integers(0, 256, (height * 3 // 2, width), np.uint8)
    mv = rng.integers(-reach, reach + 1, (*grid_of(width=width, height=height), 2)).astype(np.int16)
    mv[rng.random(mv.shape[:2]) < 0.2] = INTRA
    for rounding in (0, 1):
        expected = predict(previous, mv, rounding=rounding)
        assert np.array_equal(predicted_i420(previous, mv, rounding=rounding), expected)


def two_gops(seed: int, height: int = 34, width: int = 50) -> list[Picture]:
    """IPPPIPP of noise, with vectors that point out of the picture and intra macroblocks."""
    rng = np.random.default_rng(seed)

    def picture(picture_type: str) -> Picture:
        mv = rng.integers(-40, 41, (*grid_of(width=width, height=height), 2)).astype(np.int16)
        mv[rng.random(mv.shape[:2]) < 0.2] = INTRA
        i420 = rng.integers(0, 256, (height * 3 // 2, width), np.uint8)
        return Picture(picture_type, i420, mv if picture_type == "P" else None)

    return [picture(picture_type) for picture_type in "IPPPIPP"]


def stored_by(name: str, pictures: list[Picture]) -> dict[int, np.ndarray]:
    """What a definition stores, by frame number."""
    definition = definition_of(name)
    return {
        number: definition(picture, pictures[number - 1])
        for number, picture in enumerate(pictures)
        if picture.picture_type == "P"
    }


@pytest.mark.parametrize("seed", range(5))
def test_accumulated_goes_back_to_the_iframe_of_its_gop(seed: int) -> None:
    pictures = two_gops(seed)
    for number, stored in stored_by("accumulated", pictures).items():
        first = 0 if number < 4 else 4
        mvs = np.stack([picture.mv for picture in pictures[first + 1 : number + 1] if picture.mv is not None])
        expected = RESIDUAL.store(accumulated_residual(pictures[number].rgb, pictures[first].rgb, mvs), {})
        assert np.array_equal(stored, expected), number


@pytest.mark.parametrize("seed", range(5))
def test_codec_alternates_its_rounding_from_the_iframe_on(seed: int) -> None:
    pictures = two_gops(seed)
    for number, stored in stored_by("codec", pictures).items():
        rounding = {1: 1, 2: 0, 3: 1, 5: 1, 6: 0}[number]
        mv = pictures[number].mv
        assert mv is not None
        predicted = rgb_of(predict(pictures[number - 1].i420, mv, rounding=rounding))
        expected = RESIDUAL.store(pictures[number].rgb.astype(np.int16) - predicted, {})
        assert np.array_equal(stored, expected), number


def test_half_pels_are_interpolated_as_the_standard_says() -> None:
    """One macroblock, by hand: half-pels in x, in y, in both, with either rounding."""
    luma = np.zeros((16, 16), np.uint8)
    luma[0, :2], luma[1, :2] = (10, 13), (20, 28)
    i420 = np.concatenate([luma, np.zeros((8, 16), np.uint8)])
    for source, by_rounding in {(1, 0): (12, 11), (0, 1): (15, 15), (1, 1): (18, 18), (0, 0): (10, 10)}.items():
        mv = -np.array([[source]], np.int16)
        assert tuple(predict(i420, mv, rounding=r)[0, 0] for r in (0, 1)) == by_rounding


def test_chroma_vectors_are_half_as_long_and_round_to_the_half_pel() -> None:
    row = np.arange(0, 160, 10, dtype=np.uint8)
    i420 = np.concatenate([np.zeros((16, 16), np.uint8), np.tile(row[:8], (8, 2))])
    for half_pels, expected in {0: 20, 1: 25, 2: 25, 3: 25, 4: 30, 5: 35, 8: 40, -1: 15, -4: 10}.items():
        mv = -np.array([[[half_pels, 0]]], np.int16)
        blue = predict(i420, mv, rounding=0)[16:].reshape(2, 8, 8)[0]
        assert blue[0, 2] == expected, half_pels
