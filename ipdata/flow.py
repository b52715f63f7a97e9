"""TV-L1 optical flow (Zach, Pock and Bischof 2007) between decoded pictures, behind one small seam."""

from collections.abc import Callable

import cv2

from ipdata.recipe import Flow
from shards.encodings import F32, U8

# (previous luma, luma), both (H, W) uint8 -> (H, W, 2) float32 px, u to the right, v down: the interval that the
# picture's motion vectors describe.
FlowEstimator = Callable[[U8, U8], F32]


def estimator(settings: Flow, *, width: int, height: int) -> FlowEstimator:
    """The backend that the recipe names, with its parameters, for one thread. Backends never mix in a column."""
    return BACKENDS[settings.backend](settings, width, height)


def _numba(settings: Flow, width: int, height: int) -> FlowEstimator:
    """Ours: the same bytes on every CPU, some twenty times faster."""
    from ipdata.tvl1 import TVL1  # Numba takes a second to import

    return TVL1(settings, width=width, height=height)


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
    return lambda previous, current: tvl1.calc(previous, current, None)


BACKENDS: dict[str, Callable[[Flow, int, int], FlowEstimator]] = {"numba": _numba, "opencv": _opencv}
