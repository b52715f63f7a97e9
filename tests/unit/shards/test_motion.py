"""Motion arithmetic against its definition, spelled out pixel by pixel."""

import made_sets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import motion
from shards.motion import INTRA


@st.composite
def cases(draw: st.DrawFn, frames: int = 1) -> tuple[np.ndarray, int, int]:
    """Vectors (frames, h, w, 2), some intra, that often point out of a small picture; its width and height in px."""
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shape = (frames, *motion.grid_of(width=width, height=height), 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mv = rng.integers(-60, 61, shape).astype(np.int16)
    mv[rng.random(shape[:3]) < 0.2] = INTRA
    return mv, width, height


def slow_source(mv: np.ndarray, x: int, y: int, width: int, height: int) -> tuple[int, int]:
    """The pixel that (x, y) comes from, as CoViAR defines it."""
    vector = mv[y // 16, x // 16]
    if INTRA in vector:
        return x, y
    source_x, source_y = x - int(vector[0] / 2), y - int(vector[1] / 2)  # int() truncates toward zero
    inside = 0 <= source_x < width and 0 <= source_y < height
    return (source_x, source_y) if inside else (x, y)


@pytest.mark.parametrize(
    ("half_pels", "px"), [(0, 0), (1, 0), (-1, 0), (2, 1), (-2, -1), (3, 1), (-3, -1), (5, 2), (-5, -2), (398, 199)]
)
def test_halving_truncates_toward_zero(half_pels: int, px: int) -> None:
    assert motion.whole_pixels(np.array([half_pels], np.int16)).tolist() == [px]


def test_extreme_vectors_do_not_overflow() -> None:
    assert motion.whole_pixels(np.array([32767, -32767, INTRA], np.int16)).tolist() == [16383, -16383, 0]


@pytest.mark.parametrize(("size", "grid"), [((340, 256), (16, 22)), ((16, 16), (1, 1)), ((17, 33), (3, 2))])
def test_grid_covers_the_picture(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert motion.grid_of(width=size[0], height=size[1]) == grid


@given(cases())
def test_field_is_zero_where_the_source_lies_outside(case: tuple[np.ndarray, int, int]) -> None:
    mv, width, height = case
    field = motion.field_px(mv[0], width=width, height=height)
    assert field.shape == (height, width, 2)
    assert field.dtype == np.int16
    for y in range(height):
        for x in range(width):
            source = slow_source(mv[0], x, y, width, height)
            assert tuple(field[y, x]) == (x - source[0], y - source[1])


@given(cases())
def test_compensated_plus_residual_is_the_frame_exactly(case: tuple[np.ndarray, int, int]) -> None:
    mv, width, height = case
    rng = np.random.default_rng(0)
    previous, picture = rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    residual = motion.residual(picture, previous, mv[0])
    compensated = motion.compensate(previous, mv[0])
    assert residual.dtype == np.int16
    np.testing.assert_array_equal(compensated + residual, picture)
    y, x = height - 1, width // 2
    source_x, source_y = slow_source(mv[0], x, y, width, height)
    np.testing.assert_array_equal(compensated[y, x], previous[source_y, source_x])


@given(cases(frames=4))
def test_accumulated_vectors_follow_each_pixel_back(case: tuple[np.ndarray, int, int]) -> None:
    mvs, width, height = case
    accumulated = motion.accumulate(mvs, width=width, height=height)
    for y in range(0, height, 7):
        for x in range(0, width, 7):
            source = (x, y)
            for mv in mvs[::-1]:
                source = slow_source(mv, *source, width, height)
            assert tuple(accumulated[y, x]) == (x - source[0], y - source[1])


def test_accumulated_without_p_frames_is_zero() -> None:
    assert not motion.accumulate(np.empty((0, 1, 2, 2), np.int16), width=20, height=10).any()


def test_content_that_moves_right_is_compensated_by_positive_x() -> None:
    scene = made_sets.scenes()[0]  # 3 px to the right a frame
    first, second = (made_sets.picture_of(scene, number) for number in (0, 1))
    mv = np.zeros((*motion.grid_of(width=scene.width, height=scene.height), 2), np.int16)
    mv[..., 0] = 6
    residual = motion.residual(second, first, mv)
    assert not residual[:, 3:].any()
    assert np.abs(residual[:, :3]).mean() > 5  # content that entered at the edge
    assert np.abs(motion.residual(second, first, np.zeros_like(mv))).mean() > 5


def test_accumulated_motion_of_a_steady_scene_grows_with_each_frame() -> None:
    mv = np.zeros((3, 3, 4, 2), np.int16)
    mv[..., 0] = 6
    accumulated = motion.accumulate(mv, width=64, height=48)
    assert (accumulated[:, 9:] == (9, 0)).all()
    assert (accumulated[:, :3] == 0).all()
