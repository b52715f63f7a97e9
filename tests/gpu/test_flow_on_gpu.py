"""TV-L1 on a real GPU, on real clips. Skipped, loudly, where there is none: the simulator's tests run everywhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moving import recipe_of, transcoded

from ipdata.columns.flow import estimator
from ipdata.video import decode

pytestmark = pytest.mark.usefixtures("gpu")
SETTINGS = recipe_of().columns["flow"]
CLIPS = ["hmdb51/cartwheel/*.avi", "kinetics/R6*.mp4", "ucf101/*/*g23*.avi"]


def lumas_of(clip: Path, frames: int = 26) -> np.ndarray:
    settings = recipe_of("transcode.width=340", "transcode.height=256").transcode
    return np.stack([picture.luma for picture in decode.pictures(transcoded(clip, settings, frames=frames))])


@pytest.mark.parametrize("pattern", CLIPS)
def test_its_floats_are_the_cpus(data: Path, pattern: str) -> None:
    lumas = lumas_of(next((data / "clips").glob(pattern)))
    flows = [
        estimator(replace(SETTINGS, backend=name), width=340, height=256)(lumas[:-1], lumas[1:])  # type: ignore[arg-type]
        for name in ("cuda", "numba")
    ]
    assert np.array_equal(*flows)


def test_the_same_bytes_again_and_in_other_batches(data: Path) -> None:
    lumas = lumas_of(next((data / "clips").glob(CLIPS[0])))
    estimate = estimator(replace(SETTINGS, backend="cuda"), width=340, height=256)
    first = estimate(lumas[:-1], lumas[1:])
    assert np.array_equal(estimate(lumas[:-1], lumas[1:]), first)
    estimate.batch_pairs = 7
    assert np.array_equal(estimate(lumas[:-1], lumas[1:]), first)
