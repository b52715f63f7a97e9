"""How the column flow is made: TV-L1 (Zach, Pock and Bischof 2007) between decoded pictures, by one of its backends."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.columns.settings import JpegSettings
from ipdata.errors import BuildError
from ipdata.kernels.parameters import Backend, TVL1Parameters
from ipdata.video.decode import Picture
from shards.arrays import F32, U8
from shards.columns.flow import FLOW, MAX_BOUND_PX, MIN_BOUND_PX

GPU = "GPU"  # the Dask resource of workers that make flow on a GPU


@dataclass(frozen=True, kw_only=True)
class FlowTable(JpegSettings, TVL1Parameters):
    """The recipe's table [flow]. Raises ValueError for values out of range."""

    backend: Backend
    bound_px: float  # flow is stored from -bound_px to bound_px

    def __post_init__(self) -> None:
        JpegSettings.__post_init__(self)
        TVL1Parameters.__post_init__(self)
        if not MIN_BOUND_PX <= self.bound_px <= MAX_BOUND_PX:
            raise ValueError(f"bound_px must be positive, {MIN_BOUND_PX:g} to {MAX_BOUND_PX:g}, got {self.bound_px}")


class FlowEstimator(Protocol):
    """A backend, ready for pictures of one size."""

    batch_pairs: int  # best number of pairs for one call

    def __call__(self, previous: U8, current: U8) -> F32:
        """Flow from previous to current, (N, H, W) uint8 luma: (N, H, W, 2) float32 px, u to the right, v down."""


def estimator(settings: FlowTable, *, width: int, height: int) -> FlowEstimator:
    """The backend that the recipe names, with its parameters. A column has flow of one backend only.

    Raises: BuildError if this machine cannot run it.
    """
    return BACKENDS[settings.backend](settings, width, height)


class OneByOne:
    """Wraps a backend that takes one pair at a time, on one thread."""

    batch_pairs = 1

    def __init__(self, flow_of: Callable[[U8, U8], F32]) -> None:
        self.flow_of = flow_of

    def __call__(self, previous: U8, current: U8) -> F32:
        return np.stack([self.flow_of(*pair) for pair in zip(previous, current, strict=True)])


def _numba(settings: FlowTable, width: int, height: int) -> FlowEstimator:
    """Our own: the same bytes on every CPU, some thirty times faster than OpenCV."""
    from ipdata.kernels.tvl1 import TVL1  # Numba takes a second to import

    return OneByOne(TVL1(settings, width=width, height=height))


@lru_cache(maxsize=1)
def _cuda(settings: FlowTable, width: int, height: int) -> FlowEstimator:
    """The same scheme on an NVIDIA GPU, many pairs at a time. It is cached, so the next video uses its memory."""
    from ipdata.kernels.tvl1_cuda import BatchTVL1  # needs the extra "cuda"

    return BatchTVL1(settings, width=width, height=height)


def _opencv(settings: FlowTable, width: int, height: int) -> FlowEstimator:
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


BACKENDS: dict[Backend, Callable[[FlowTable, int, int], FlowEstimator]] = {
    "numba": _numba,
    "cuda": _cuda,
    "opencv": _opencv,
}


class FlowMaker:
    """Makes TV-L1 flow from the previous picture to this one: the interval that its motion vectors describe."""

    def __init__(self, table: FlowTable, encoding: dict[str, Any], *, width: int, height: int) -> None:
        self.encoding = encoding
        self.estimate = estimator(table, width=width, height=height)
        self.waiting: list[tuple[U8, U8]] = []

    def add(self, picture: Picture, previous: Picture) -> list[bytes]:
        if picture.mv is not None:
            self.waiting.append((previous.luma, picture.luma))
        return self._estimated() if len(self.waiting) == self.estimate.batch_pairs else []

    def rest(self, m4v: Path) -> list[bytes]:
        return self._estimated() if self.waiting else []

    def _estimated(self) -> list[bytes]:
        """The flow of the pairs that wait."""
        previous, current = (np.stack(side) for side in zip(*self.waiting, strict=True))
        self.waiting.clear()
        flows_px = self.estimate(previous, current)
        return [FLOW.encode(FLOW.store(flow_px, self.encoding), self.encoding) for flow_px in flows_px]


class FlowBuild(ColumnBuild):
    column = FLOW
    table = FlowTable
    media = "jpeg"
    stated = ("quality", "bound_px", "backend")

    def tools(self, table: FlowTable) -> tuple[str, ...]:
        compilers = {"numba": ("numba",), "cuda": ("numba", "numba-cuda"), "opencv": ()}
        return (*super().tools(table), *compilers[table.backend])

    def resource(self, table: FlowTable) -> str:
        return GPU if table.backend == "cuda" else ""

    def check(self, table: FlowTable, tools: dict[str, str]) -> None:
        """Raise BuildError if backend cuda is chosen and numba-cuda is missing here: the set records its version."""
        lacking = table.backend == "cuda" and tools["numba-cuda"] == "none"
        if lacking and not os.environ.get("NUMBA_ENABLE_CUDASIM"):
            cure = "install it here and on the workers: `pip install '.[build,cuda]'`"
            raise BuildError(f"flow backend cuda: the package numba-cuda is not installed; {cure}")

    def follows_gop(self, table: FlowTable) -> bool:
        return False

    def maker(self, table: FlowTable, *, width: int, height: int) -> Maker:
        return FlowMaker(table, self.encoding(table), width=width, height=height)


FLOW_BUILD = FlowBuild()
