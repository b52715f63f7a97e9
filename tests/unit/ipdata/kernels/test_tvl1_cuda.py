"""TV-L1 for GPUs, in Numba's CUDA simulator, gives the floats of ipdata.kernels.tvl1.

Pictures are small, because the simulator runs each thread in Python.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving import recipe_of

SETTINGS = replace(recipe_of().columns["flow"], scales=2, warps=2, outer_iterations=2, inner_iterations=4)

COMPARE = """
import sys
sys.path[:0] = sys.argv[1:3]
import test_tvl1_cuda
test_tvl1_cuda.compare(int(sys.argv[3]), float(sys.argv[4]))
"""


def pairs(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise that moves by up to two px, in another direction in each pair."""
    noise = np.random.default_rng(0).integers(0, 256, (2 * height, 2 * width)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]
    corners = [(5, 5), (8, 3), (4, 9)][:count]
    previous = [smooth[y : y + height, x : x + width] for y, x in corners]
    current = [smooth[y - 1 : y - 1 + height, x + n : x + n + width] for n, (y, x) in enumerate(corners)]
    return np.stack(previous), np.stack(current)


def compare(median_px: int, epsilon: float) -> None:
    """Runs in the simulator. epsilon 0 stops no pair early; a large one stops the pairs at different iterations.

    Medians over 5x5 px are slow there, so they get fewer iterations.
    """
    from ipdata.kernels.tvl1 import TVL1
    from ipdata.kernels.tvl1_cuda import BatchTVL1

    settings = replace(SETTINGS, median_px=median_px, epsilon=epsilon)
    if median_px == 5:
        settings = replace(settings, warps=1, inner_iterations=2)
    previous, current = pairs(2, 20, 23)
    batch = BatchTVL1(settings, height=20, width=23)
    if median_px == 3:
        batch.batch_pairs = 1  # two batches, and several columns for each thread
        for scale in batch.scales:
            scale.threads = 8
    ours = TVL1(settings, height=20, width=23)
    expected = np.stack([ours(*pair) for pair in zip(previous, current, strict=True)])
    assert np.abs(expected).max() > 0.3
    assert np.array_equal(batch(previous, current), expected)


def simulated(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parents[3]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(tests.parent)}
    command = [sys.executable, "-c", script, str(tests), str(Path(__file__).parent), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(("median_px", "epsilon"), [(5, 0.0), (3, 0.08)])
def test_it_equals_the_kernel_for_cpus(median_px: int, epsilon: float) -> None:
    done = simulated(COMPARE, str(median_px), str(epsilon))
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_the_error_says_so() -> None:
    from numba import cuda

    from ipdata.columns.flow import estimator
    from ipdata.errors import BuildError

    if cuda.is_available():
        pytest.skip("this machine has a GPU")
    problem = 'no CUDA GPU can be used here; flow backend cuda needs one, and the extra "cuda"'
    with pytest.raises(BuildError, match=problem):
        estimator(replace(SETTINGS, backend="cuda"), width=32, height=32)
