"""Wilson's interval against published values, and its edges."""

import pytest

from ipmodel.evaluation.interval import wilson_interval


@pytest.mark.parametrize(
    ("correct", "videos", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_values_of_newcombe(correct: int, videos: int, low: float, high: float) -> None:
    assert wilson_interval(correct, videos) == pytest.approx((low, high), abs=5e-5)


def test_impossible_counts_are_refused() -> None:
    for correct, videos in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="correct must be"):
            wilson_interval(correct, videos)
