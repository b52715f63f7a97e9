"""How sure an accuracy is, from the number of videos it was measured on."""

import math

Z_95 = 1.959963984540054  # of the normal distribution, for 95 %


def wilson_interval(correct: float, videos: int, *, z: float = Z_95) -> tuple[float, float]:
    """The interval that holds the true share with 95 % certainty (Wilson 1927), as fractions.

    correct: may be a fraction, where it is a mean of several tests of the same videos.

    Raises: ValueError unless 0 <= correct <= videos and videos is positive.
    """
    if not 0 <= correct <= videos or videos < 1:
        raise ValueError(f"correct must be 0 to videos, and videos positive, got {correct} of {videos}")
    share, square = correct / videos, z * z / videos
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / videos + square / (4 * videos))
    return max(middle - half, 0.0), min(middle + half, 1.0)
