"""How far the reading of videos is, for those who wait."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far the reading is, which is ahead of the answers."""

    job: int  # the number of the video
    share: float = 1.0  # of this video
    stop_s: float = 0.0  # of the last span that was read
    end_s: float = 0.0  # of the video; 0.0 if it cannot be predicted


OnReached = Callable[[Reached], None]


def unheard(_: Reached) -> None:
    """For callers that show no progress."""
