"""The one colour conversion gives the same bytes on every CPU."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipdata.video.decode import rgb_of

SIZES = [(340, 256), (34, 18), (112, 84), (16, 16)]
PRINT_HASH = "import sys; sys.path.insert(0, sys.argv[1]); from test_colour import rgb_hash; print(rgb_hash())"
X86_FEATURES = "SSE3,SSSE3,SSE4.1,POPCNT,SSE4.2,AVX,FP16,FMA3,AVX2,AVX512-SKX,AVX512-ICL"


def rgb_hash() -> str:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height * 3 // 2, width), np.uint8) for width, height in SIZES]
    return hashlib.sha256(b"".join(rgb_of(picture).tobytes() for picture in pictures)).hexdigest()


@pytest.mark.parametrize("disabled", ["AVX2,AVX512-SKX,AVX512-ICL", X86_FEATURES])
def test_bytes_do_not_depend_on_cpu_features(disabled: str) -> None:
    environment = os.environ | {"OPENCV_CPU_DISABLE": disabled, "PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", PRINT_HASH, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == rgb_hash(), done.stderr


def test_studio_range_bt601_by_hand() -> None:
    """Black, white, grey, and pure colours of BT.601; luma below black is black."""
    levels = {(16, 128, 128): (0, 0, 0), (235, 128, 128): (255, 255, 255), (126, 128, 128): (128, 128, 128)}
    levels |= {
        (81, 90, 240): (255, 0, 0),
        (145, 54, 34): (0, 255, 0),
        (41, 240, 110): (0, 0, 255),
        (0, 128, 128): (0,) * 3,
    }
    for (luma, blue, red), expected in levels.items():
        i420 = (
            np.concatenate([np.full(256, luma), np.full(64, blue), np.full(64, red)]).astype(np.uint8).reshape(24, 16)
        )
        assert np.abs(rgb_of(i420)[0, 0].astype(int) - expected).max() <= 1, (luma, blue, red)
