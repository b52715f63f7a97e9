"""Placeholder that the synthetic dataset replaces."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    class_name: str
    index: int
    frames: int
    width: int
    height: int
    seed: int
