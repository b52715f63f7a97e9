"""TV-L1 optical flow (Zach, Pock and Bischof 2007) between decoded pictures, behind one small seam."""

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np

from ipdata.recipe import Flow
from shards.encodings import F32, U8


class FlowEstimator(Protocol):
    """A backend, ready for pictures of one size."""

    batch_pairs: int  # how many pairs it likes at once

    def __call__(self, previous: U8, current: U8) -> F32:
        """(N, H, W) uint8 luma each, to (N, H, W, 2) float32 px: u to the right, v down, from previous to current."""


def estimator(settings: Flow, *, width: int, height: int) -> FlowEstimator:
    """The backend that the recipe names, with its parameters. Backends never mix in a column.

    Raises: BuildError if this machine cannot run it.
    """
    return BACKENDS[settings.backend](settings, width, height)


class OneByOne:
    """A backend that takes one pair at a time, on one thread."""

    batch_pairs = 1

    def __init__(self, flow_of: Callable[[U8, U8], F32]) -> None:
        self.flow_of = flow_of

    def __call__(self, previous: U8, current: U8) -> F32:
        return np.stack([self.flow_of(*pair) for pair in zip(previous, current, strict=True)])


def _numba(settings: Flow, width: int, height: int) -> FlowEstimator:
    """Ours: the same bytes on every CPU, some twenty times faster than OpenCV."""
    from ipdata.kernels.tvl1 import TVL1  # Numba takes a second to import

    return OneByOne(TVL1(settings, width=width, height=height))


@lru_cache(maxsize=1)
def _cuda(settings: Flow, width: int, height: int) -> FlowEstimator:
    """The same scheme on an NVIDIA GPU, many pairs at a time; its memory there stays for the next video."""
    from ipdata.kernels.tvl1_cuda import BatchTVL1  # needs the extra "cuda"

    return BatchTVL1(settings, width=width, height=height)


def _opencv(settings: Flow, width: int, height: int) -> FlowEstimator:
    """OpenCV's DualTVL1, the reference; its bytes depend on its version and the CPU."""
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
        tau=settings.tau,
        lambda_=settings.lambda_,
        theta=settings.theta,
        nscales=settings.scales,
        warps=settings.warps,
        epsilon=settings.epsilon,
        innnerIterations=settings.inner_iterations,
        outerIterations=settings.outer_iterations,
        scaleStep=settings.scale_step,
        gamma=0.0,
        medianFiltering=settings.median_px,
        useInitialFlow=False,
    )
    return OneByOne(lambda previous, current: tvl1.calc(previous, current, None))


BACKENDS: dict[str, Callable[[Flow, int, int], FlowEstimator]] = {"numba": _numba, "cuda": _cuda, "opencv": _opencv}
