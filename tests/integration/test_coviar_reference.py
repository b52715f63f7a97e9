"""Our arrays equal those of CoViAR's own C loader (commit 4f0857a, FFmpeg 5.1) bit for bit, without tolerance."""

import platform
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from ipdata.video import decode
from ipdata.video.decode import Picture, swscale_rgb_of
from shards.motion import accumulate, accumulated_residual, accumulations, field_px, residual

STREAMS = ["road100", "cut50", "synth100"]
DEFINED_COLUMNS = 336  # the loader leaves the last four of 340 undefined
on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"),
    reason="swscale does not convert colours here as on x86 with SIMD",
)


def reference_of(data: Path, stream: str) -> dict[str, np.ndarray]:
    """The arrays that the loader gave. They are read once: an .npz unpacks an array each time that it is asked for."""
    with np.load(data / "coviar_reference" / f"{stream}.npz") as file:
        return dict(file)


def gops_of(stream: Path) -> Iterator[tuple[int, Picture, list[Picture]]]:
    """Yield frame number, picture, and the pictures of its GOP so far, with itself."""
    gop: list[Picture] = []
    for number, picture in enumerate(decode.pictures(stream)):
        gop = [*gop, picture] if picture.mv is not None else [picture]
        yield number, picture, gop


@pytest.mark.parametrize("stream", STREAMS)
def test_motion_vectors_and_accumulated_ones(data: Path, stream: str) -> None:
    reference = reference_of(data, stream)
    frames = 0
    fields: Iterator[np.ndarray] = iter(())
    pictures = list(decode.pictures(data / "coviar_reference" / f"{stream}.m4v"))
    for number, picture in enumerate(pictures):
        frames = number + 1
        if number == len(reference["mv"]):  # the loader drops a clip's last frame
            continue
        mv, accumulated = reference["mv"][number], reference["mv_accumulated"][number]
        if picture.mv is None:
            assert not mv.any() and not accumulated.any()
            following = takewhile(lambda each: each.mv is not None, pictures[number + 1 :])
            fields = accumulations((each.mv for each in following), width=340, height=256)
            continue
        assert np.array_equal(field_px(picture.mv, width=340, height=256), mv)
        assert np.array_equal(next(fields), accumulated)
    assert frames == len(reference["mv"]) + 1
    assert np.abs(reference["mv"]).max() > 3


@on_x86
@pytest.mark.parametrize("stream", STREAMS)
def test_residuals_and_accumulated_ones(data: Path, stream: str) -> None:
    """Compared in swscale's default conversion, where the source column of the reference is defined."""
    reference = reference_of(data, stream)
    frames = reference["residual_frames"].tolist()
    compared = 0
    for number, picture, gop in gops_of(data / "coviar_reference" / f"{stream}.m4v"):
        if number not in frames:
            continue
        mvs = np.stack([each.mv for each in gop[1:]])
        rgb, previous, iframe = (swscale_rgb_of(each.i420) for each in (picture, gop[-2], gop[0]))
        pairs = {
            "residual": (residual(rgb, previous, mvs[-1]), field_px(mvs[-1], width=340, height=256)),
            "residual_accumulated": (accumulated_residual(rgb, iframe, mvs), accumulate(mvs, width=340, height=256)),
        }
        for name, (ours, field) in pairs.items():
            theirs = reference[name][frames.index(number)][..., ::-1]  # BGR
            defined = (np.arange(340) - field[..., 0] < DEFINED_COLUMNS)[:, :DEFINED_COLUMNS]
            assert np.array_equal(ours[:, :DEFINED_COLUMNS][defined], theirs[defined]), f"{name} of frame {number}"
            assert defined.mean() > 0.9
            compared += 1
    assert compared == 2 * len(frames) >= 20
