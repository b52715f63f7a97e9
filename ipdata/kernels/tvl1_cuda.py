"""TV-L1 on an NVIDIA GPU, the part that runs on the host: memory, batches and errors. See tvl1_cuda_device."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numba import cuda
from numba.core.errors import NumbaPerformanceWarning

from ipdata.errors import BuildError
from ipdata.kernels.parameters import TVL1Parameters
from ipdata.kernels.tvl1 import MARGIN_PX, scale_sizes, weights_of
from ipdata.kernels.tvl1_cuda_device import MAX_THREADS, interleave, resize, solve
from shards.arrays import F32, U8

BATCH_PAIRS = 256  # the most pairs of a batch
MEMORY_SHARE = 0.8  # of the free memory of the GPU, for a batch
FLOATS_A_PIXEL = 17  # of each scale: see GpuScale
WARP = 32  # threads that run in step

# A grid of few blocks is no mistake here: each pair is one block.
warnings.filterwarnings("ignore", message=".*Grid size", category=NumbaPerformanceWarning)


class GpuScale:
    """One level of the pyramid for a batch of pairs: pictures, flow, and what solving needs, allocated once."""

    def __init__(self, settings: TVL1Parameters, pairs: int, height: int, width: int) -> None:
        self.i0, self.i1, self.u, self.v, self.spare = (zeros(pairs, height, width) for _ in range(5))
        self.interleaved = zeros(pairs, height + 2 * MARGIN_PX, width + 2 * MARGIN_PX, 4)
        self.dual, self.linear = zeros(pairs, 4, height, width), zeros(pairs, 4, height, width)
        self.weights = cuda.to_device(weights_of(settings, height=height, width=width))
        self.threads = min(MAX_THREADS, -(-width // WARP) * WARP)
        self.height, self.width = height, width

    def shrink(self, finer: "GpuScale", pairs: int, step: float) -> None:
        """Fill the pictures from the finer scale's. step: px of the finer scale for each px of this one."""
        for source, out in ((finer.i0, self.i0), (finer.i1, self.i1)):
            resize[(self.height, pairs), self.threads](source[:pairs], out[:pairs], step, step, 1.0)

    def enlarge(self, coarser: "GpuScale", pairs: int, factor: float) -> None:
        """Fill the flow from the coarser scale's, times `factor`: the same way is more px here."""
        steps = coarser.height / self.height, coarser.width / self.width
        for source, out in ((coarser.u, self.u), (coarser.v, self.v)):
            resize[(self.height, pairs), self.threads](source[:pairs], out[:pairs], *steps, factor)

    def solve(self, counts: Any, pairs: int) -> None:
        """Improve the flow of this scale. counts: see the kernel `solve`."""
        interleave[(self.height, pairs), self.threads](self.i1[:pairs], self.interleaved[:pairs])
        parts = (self.i0, self.interleaved, self.u, self.v, self.dual, self.linear, self.spare)
        solve[pairs, self.threads](*(part[:pairs] for part in parts), self.weights, counts)


def zeros(*shape: int) -> Any:
    """float32 zeros on the GPU."""
    return cuda.to_device(np.zeros(shape, np.float32))


@contextmanager
def _errors_of_the_machine() -> Iterator[None]:
    """Turn every error into a BuildError: lack of memory, an old driver or a lost device are no video's fault."""
    try:
        yield
    except BuildError:
        raise
    except Exception as error:
        cure = "check its driver, memory and CUDA packages, or use --flow-backend numba"
        raise BuildError(f"the GPU failed ({type(error).__name__}: {error}); {cure}") from error


class BatchTVL1:
    """Flow between many pairs of pictures of one size at once. Its memory on the GPU is allocated once."""

    def __init__(self, settings: TVL1Parameters, *, height: int, width: int) -> None:
        """Raises: BuildError if no CUDA GPU can be used, or it has too little memory."""
        if not cuda.is_available():
            cure = "run on a machine with one, on a cluster (--scheduler), or with --flow-backend numba"
            raise BuildError(f'no CUDA GPU can be used here; flow backend cuda needs one, and the extra "cuda": {cure}')
        with _errors_of_the_machine():
            sizes = scale_sizes(settings, height=height, width=width)
            pair_bytes = FLOATS_A_PIXEL * np.dtype(np.float32).itemsize * sum((h + 8) * (w + 8) for h, w in sizes)
            free_bytes = cuda.current_context().get_memory_info()[0]
            self.batch_pairs = int(min(BATCH_PAIRS, MEMORY_SHARE * free_bytes / pair_bytes))
            if self.batch_pairs < 1:
                problem = f"{free_bytes} bytes are free on the GPU, but a pair of pictures takes {pair_bytes}"
                raise BuildError(f"{problem}; free some, or use --flow-backend numba")
            counts = (settings.warps, settings.outer_iterations, settings.inner_iterations, settings.median_px)
            self.counts = cuda.to_device(np.array(counts, np.int32))
            self.step = 1 / settings.scale_step
            self.scales = [GpuScale(settings, self.batch_pairs, *size) for size in sizes]

    def __call__(self, previous: U8, current: U8) -> F32:
        """Flow from previous to current, (N, H, W) uint8 luma: (N, H, W, 2) float32 px, u to the right, v down.

        Raises: BuildError if the GPU fails, which is no fault of the pictures.
        """
        starts = range(0, len(previous), self.batch_pairs)
        batches = [(previous[n : n + self.batch_pairs], current[n : n + self.batch_pairs]) for n in starts]
        with _errors_of_the_machine():
            return np.concatenate([self._solve(*batch) for batch in batches])

    def _solve(self, previous: U8, current: U8) -> F32:
        pairs = len(previous)
        finest, coarsest = self.scales[0], self.scales[-1]
        finest.i0[:pairs].copy_to_device(previous.astype(np.float32))
        finest.i1[:pairs].copy_to_device(current.astype(np.float32))
        for fine, coarse in pairwise(self.scales):
            coarse.shrink(fine, pairs, self.step)
        for plane in (coarsest.u, coarsest.v):
            plane[:] = 0
        coarsest.solve(self.counts, pairs)
        for coarse, fine in pairwise(reversed(self.scales)):
            fine.enlarge(coarse, pairs, self.step)
            fine.solve(self.counts, pairs)
        return np.stack([plane[:pairs].copy_to_host() for plane in (finest.u, finest.v)], axis=-1)
