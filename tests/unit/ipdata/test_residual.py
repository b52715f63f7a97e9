"""The compiled residual is the defined one, bit for bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdata.residual import stored_residual
from shards.encodings import store_residual
from shards.motion import INTRA, grid_of, residual


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 40, 700]))
def test_it_equals_the_definition(height: int, width: int, seed: int, reach: int) -> None:
    """Any size, vectors far out of the picture, odd half-pels, intra macroblocks."""
    rng = np.random.default_rng(seed)
    picture, previous = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    mv = rng.integers(-reach, reach + 1, (*grid_of(width=width, height=height), 2)).astype(np.int16)
    mv[rng.random(mv.shape[:2]) < 0.2] = INTRA
    expected = store_residual(residual(picture, previous, mv))
    assert np.array_equal(stored_residual(picture, previous, mv), expected)


def test_extremes_clip() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    still = np.zeros((1, 1, 2), np.int16)
    assert (stored_residual(white, black, still) == 255).all() and (stored_residual(black, white, still) == 0).all()
    assert (stored_residual(white, white, still) == 128).all()
