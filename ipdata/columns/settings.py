"""Settings that the recipe tables of several columns share."""

from dataclasses import dataclass
from typing import Literal

Chroma = Literal["4:4:4", "4:2:2", "4:2:0"]


@dataclass(frozen=True, kw_only=True)
class JpegSettings:
    """How images are compressed. Raises ValueError for a quality outside 1 to 100."""

    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be 1 to 100, got {self.quality}")
