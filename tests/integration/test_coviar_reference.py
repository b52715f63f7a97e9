"""Bit for bit what CoViAR's own C loader returns (commit 4f0857a, FFmpeg 5.1): whole arrays, no tolerance."""

from pathlib import Path

import numpy as np
import pytest

from ipdata import decode
from shards.motion import accumulate, field_px


@pytest.mark.parametrize("stream", ["road100", "cut50", "synth100"])
def test_motion_vectors_and_accumulated_ones(data: Path, stream: str) -> None:
    reference = np.load(data / "coviar_reference" / f"{stream}.npz")
    pictures = list(decode.pictures((data / "coviar_reference" / f"{stream}.m4v").read_bytes()))
    assert len(pictures) == len(reference["mv"]) + 1  # the loader drops a clip's last frame
    gop: list[np.ndarray] = []
    for picture, mv, accumulated in zip(pictures, reference["mv"], reference["mv_accumulated"], strict=False):
        if picture.mv is None:
            gop = []
            assert not mv.any() and not accumulated.any()
            continue
        gop.append(picture.mv)
        assert np.array_equal(field_px(picture.mv, width=340, height=256), mv)
        assert np.array_equal(accumulate(np.stack(gop), width=340, height=256), accumulated)
    assert np.abs(reference["mv"]).max() > 3
