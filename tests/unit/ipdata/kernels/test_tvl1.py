"""Our TV-L1 agrees with OpenCV's, and gives the same bytes on every CPU."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving import HEIGHT, WIDTH, moving_luma, recipe_of, transcoded

from ipdata.columns.flow import estimator
from ipdata.kernels.tvl1 import TVL1, Scale, resize
from ipdata.video import decode
from shards.columns.flow import FLOW

SETTINGS = recipe_of().columns["flow"]
CLIPS = sorted(
    ["hmdb51/cartwheel/*.avi", "hmdb51/wave/School*.avi", "kinetics/R6*.mp4", "kinetics/SO*.mp4", "ucf101/*/*g23*.avi"]
)


def pairs_of(clip: Path, frames: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Luma of (frame - 1, frame) of a real clip at 340x256."""
    settings = recipe_of("transcode.width=340", "transcode.height=256").transcode
    pictures = list(decode.pictures(transcoded(clip, settings, frames=max(frames) + 1)))
    return [(pictures[n - 1].luma, pictures[n].luma) for n in frames]


@pytest.mark.parametrize("pattern", CLIPS)
def test_it_agrees_with_opencv_on_real_clips(data: Path, pattern: str) -> None:
    """Means over a clip: at most 0.02 px endpoint difference, and 0.5 % of stored values that differ by more than 1."""
    ours = TVL1(SETTINGS, height=256, width=340)
    opencv = estimator(replace(SETTINGS, backend="opencv"), width=340, height=256)
    errors_px, off = [], []
    for previous, current in pairs_of(next((data / "clips").glob(pattern)), (10, 30)):
        mine, theirs = ours(previous, current), opencv(previous[None], current[None])[0]
        errors_px.append(np.linalg.norm(mine - theirs, axis=-1).mean())
        stored = [FLOW.store(flow, {"bound_px": 20}).astype(int) for flow in (mine, theirs)]
        off.append((np.abs(stored[0] - stored[1]) > 1).mean())
        assert np.abs(theirs).max() > 0.5  # the clip moves
    assert np.mean(errors_px) <= 0.02 and np.mean(off) <= 0.005, (errors_px, off)


def texture_pair() -> tuple[np.ndarray, np.ndarray]:
    first, second = moving_luma(frames=2, step_px=(3, -2))
    return first, second


def test_known_motion() -> None:
    flow_px = TVL1(SETTINGS, height=HEIGHT, width=WIDTH)(*texture_pair())
    assert flow_px.dtype == np.float32 and flow_px.shape == (HEIGHT, WIDTH, 2)
    assert np.abs(flow_px[16:-16, 16:-16] - (3, -2)).mean() < 0.1


def test_identical_pictures_do_not_move() -> None:
    still = texture_pair()[0]
    assert not TVL1(SETTINGS, height=HEIGHT, width=WIDTH)(still, still).any()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 131), (90, 16), (16, 340)])
def test_small_and_odd_sizes(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, height, width), np.uint8)
    flow_px = TVL1(SETTINGS, height=height, width=width)(noise[0], noise[1])
    assert flow_px.shape == (height, width, 2) and np.isfinite(flow_px).all()


def test_extreme_pictures_give_finite_flow() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    black = np.zeros((64, 64), np.uint8)
    solve = TVL1(SETTINGS, height=64, width=64)
    for previous, current in [(board, 255 - board), (black, board), (black, black + 255), (board.T, black)]:
        assert np.isfinite(solve(previous.astype(np.uint8), current.astype(np.uint8))).all()


def test_one_object_can_be_used_again_and_again() -> None:
    solve, pair = TVL1(SETTINGS, height=HEIGHT, width=WIDTH), texture_pair()
    first = solve(*pair)
    solve(pair[1], pair[0])
    assert np.array_equal(solve(*pair), first)


def test_many_threads_give_the_bytes_of_one() -> None:
    luma = moving_luma(frames=9, step_px=(2, 1))

    def flow_of(number: int) -> bytes:
        return TVL1(SETTINGS, height=HEIGHT, width=WIDTH)(luma[number], luma[number + 1]).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(flow_of, range(8))) == [flow_of(number) for number in range(8)]


SIZES = [(256, 340), (205, 272), (131, 174), (224, 224), (16, 16), (17, 131)]


def arrays_of(scale: Scale) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(scale).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_arrays_lie_apart_in_one_block(height: int, width: int) -> None:
    """Otherwise LLVM's overlap checks can fail, and loops run three times slower: see ipdata.kernels.memory."""
    arrays = arrays_of(Scale(height, width))
    memory = arrays["u"].base
    assert isinstance(memory, np.ndarray) and all(array.base is memory for array in arrays.values())

    start = memory.ctypes.data
    spans = [(start, start), (start + memory.nbytes, start + memory.nbytes)]
    spans += [(array.ctypes.data, array.ctypes.data + array.nbytes) for array in arrays.values()]
    row_bytes = max(array[0].nbytes for array in arrays.values() if array.ndim > 1)
    assert min(after[0] - before[1] for before, after in pairwise(sorted(spans))) >= row_bytes + 64


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_arrays_start_at_cache_lines_and_at_different_places_in_a_page(height: int, width: int) -> None:
    addresses = [array.ctypes.data for array in arrays_of(Scale(height, width)).values()]
    assert all(address % 64 == 0 for address in addresses)
    assert len({address % 4096 for address in addresses}) == len(addresses)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_arrays_lie_alike_in_all_scales_of_a_size(height: int, width: int) -> None:
    kept, layouts = [], []
    for between_bytes in (8, 1000, 100_000):  # other allocations move the block, and nothing inside it
        kept.append((Scale(height, width), np.empty(between_bytes, np.uint8)))
        arrays = arrays_of(kept[-1][0])
        layouts.append({name: array.ctypes.data - arrays["u"].ctypes.data for name, array in arrays.items()})
    assert layouts[0] == layouts[1] == layouts[2]


def test_solving_allocates_no_pictures() -> None:
    """Where malloc hands freed memory back at once, as in Dask's workers, each new picture costs fresh pages."""
    scale = Scale(256, 340)
    scale.solve(SETTINGS)  # compiles
    tracemalloc.start()
    try:
        scale.solve(SETTINGS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < scale.u.nbytes / 10


PRINT_HASH = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_tvl1 import flow_hash
print(flow_hash())
"""


def flow_hash() -> str:
    """Hash of the floats themselves, which is stricter than a hash of the stored bytes."""
    return hashlib.sha256(TVL1(SETTINGS, height=HEIGHT, width=WIDTH)(*texture_pair()).tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "features"), [("generic", ""), ("generic", "+sse4.2"), ("generic", "+sse4.2,+avx,+avx2,+fma")]
)
def test_bytes_do_not_depend_on_cpu_features(tmp_path: Path, name: str, features: str) -> None:
    here = Path(__file__)
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(here.parents[3]),
    }
    command = [sys.executable, "-c", PRINT_HASH, str(here.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == flow_hash(), done.stderr


def test_it_works_where_no_cache_can_be_written(tmp_path: Path) -> None:
    environment = os.environ | {
        "NUMBA_CACHE_DIR": "/dev/null/none",
        "HOME": "/dev/null",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-c", PRINT_HASH, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == flow_hash(), done.stderr


def test_resize_is_opencvs_bilinear() -> None:
    picture = moving_luma(frames=1, step_px=(0, 0))[0].astype(np.float32)
    smaller = np.empty((round(HEIGHT * 0.8), round(WIDTH * 0.8)), np.float32)
    resize(picture, smaller, (1.25, 1.25), 1.0)
    expected = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    assert expected.shape == smaller.shape and np.abs(smaller - expected).max() < 1e-3
