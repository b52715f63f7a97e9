"""The parameters of TV-L1, which every backend takes."""

from dataclasses import dataclass
from typing import Literal

Backend = Literal["numba", "cuda", "opencv"]


@dataclass(frozen=True, kw_only=True)
class TVL1Parameters:
    """TV-L1 (Zach, Pock and Bischof 2007); names and recipe defaults are OpenCV's. Raises ValueError out of range."""

    tau: float
    lambda_: float
    theta: float
    scales: int
    scale_step: float
    warps: int
    epsilon: float
    inner_iterations: int
    outer_iterations: int
    median_px: int

    def __post_init__(self) -> None:
        counts = (self.scales, self.warps, self.inner_iterations, self.outer_iterations)
        weights = (self.tau, self.lambda_, self.theta)
        if not 0 < self.scale_step < 1:
            raise ValueError(f"scale_step must lie between 0 and 1, got {self.scale_step}")
        if self.median_px not in (1, 3, 5):
            raise ValueError(f"median_px must be 1 (none), 3 or 5, got {self.median_px}")
        if min(counts) < 1:
            raise ValueError(f"scales, warps and iterations must be at least 1, got {counts}")
        if not 1e-6 <= min(weights) <= max(weights) <= 1e6:
            raise ValueError(f"tau, lambda_, theta must be 1e-6 to 1e6, got {weights}")
        if self.epsilon < 0:
            raise ValueError(f"epsilon must not be negative, got {self.epsilon}")
