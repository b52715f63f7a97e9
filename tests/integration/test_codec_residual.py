"""The `codec` residual is what the codec really coded. Tested with bitstreams that ffmpeg made of real clips."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving import recipe_of, transcoded

from ipdata.kernels.prediction import predicted_i420
from ipdata.video import decode
from ipdata.video.decode import Picture
from shards.motion import INTRA, compensate, planes

CLIPS = ["hmdb51/cartwheel/*.avi", "kinetics/SO*.mp4", "ucf101/*/*g23*.avi"]
COARSEST = 31
LATTICE_SLACK = 4.0  # what rounding to whole grey levels does to the DCT of 64 pixels
MB = 16


def pictures_of(clip: Path, quantiser: int, frames: int = 37) -> list[Picture]:
    settings = recipe_of("transcode.width=340", "transcode.height=256", f"transcode.quantiser={quantiser}").transcode
    return list(decode.pictures(transcoded(clip, settings, frames=frames)))


def luma_residuals(
    pictures: list[Picture], rounding_of: Callable[[int], int] | None
) -> list[tuple[Picture, np.ndarray]]:
    """Each P-frame with its luma minus the prediction.

    rounding_of: rounding of the n-th P-frame of a GOP; None: predict with whole-pixel vectors.
    """
    found, number = [], 0
    for previous, picture in pairwise(pictures):
        if picture.mv is None:
            number = 0
            continue
        if rounding_of is None:
            predicted = compensate(planes(previous.i420)[0], picture.mv)
        else:
            predicted = planes(predicted_i420(previous.i420, picture.mv, rounding=rounding_of(number)))[0]
        found.append((picture, planes(picture.i420)[0].astype(int) - predicted))
        number += 1
    return found


def alternating(number: int) -> int:
    return 1 - number % 2


def blocks(residual: np.ndarray, side: int = MB) -> list[tuple[int, int, np.ndarray]]:
    """Row, column and pixels of each whole macroblock. side: 16 px in luma, 8 px in chroma."""
    rows, columns = residual.shape[0] // side, residual.shape[1] // side
    cells = residual[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)
    return [(row, column, cells[row, column]) for row in range(rows) for column in range(columns)]


def share_of_zero_blocks(pictures: list[Picture], rounding_of: Callable[[int], int] | None) -> float:
    zero = [
        not block.any() for _, residual in luma_residuals(pictures, rounding_of) for _, _, block in blocks(residual)
    ]
    return float(np.mean(zero))


@pytest.mark.parametrize("quantiser", [2, COARSEST])
@pytest.mark.parametrize("pattern", CLIPS)
def test_alternating_rounding_leaves_least(data: Path, pattern: str, quantiser: int) -> None:
    """Alternating rounding leaves more zero blocks than fixed rounding, and fixed rounding more than whole pixels."""
    pictures = pictures_of(next((data / "clips").glob(pattern)), quantiser)
    rules: list[Callable[[int], int] | None] = [alternating, lambda _: 0, lambda _: 1, None]
    right, fixed_0, fixed_1, whole_px = (share_of_zero_blocks(pictures, rule) for rule in rules)
    assert right > max(fixed_0, fixed_1) and min(fixed_0, fixed_1) > whole_px, (right, fixed_0, fixed_1, whole_px)


@pytest.mark.parametrize("pattern", CLIPS)
def test_what_is_left_at_the_coarsest_quantiser_was_coded(data: Path, pattern: str) -> None:
    """Every block that is not zero is intra, or its DCT lies on the quantiser's lattice: 0, or 31 (2n + 1), n from 1.

    The test sets two kinds of blocks aside: those that the decoder clipped at black or white, and those that it
    predicted from beyond the picture's right edge, where it has coded columns (340 to 351) that are not shown.
    """
    steps = COARSEST * (2.0 * np.arange(1, 40) + 1)
    lattice = np.concatenate([-steps, [0.0], steps])
    kinds: Counter[str] = Counter()
    for picture, residual in luma_residuals(pictures_of(next((data / "clips").glob(pattern)), COARSEST), alternating):
        luma = planes(picture.i420)[0]
        assert picture.mv is not None
        for row, column, block in blocks(residual):
            quarters = block.reshape(2, 8, 2, 8).swapaxes(1, 2).reshape(4, 8, 8).astype(np.float64)
            dct = np.stack([cv2.dct(quarter) for quarter in quarters])
            shown = luma[row * MB : (row + 1) * MB, column * MB : (column + 1) * MB]
            if not block.any():
                kinds["zero"] += 1
            elif INTRA in picture.mv[row, column]:
                kinds["intra"] += 1
            elif (
                np.abs(dct[..., None] - lattice).min(axis=-1).max() < LATTICE_SLACK and np.abs(dct).max() > 2 * COARSEST
            ):
                kinds["coded"] += 1
            elif column * MB - picture.mv[row, column, 0] / 2 + MB + 1 > luma.shape[1]:
                kinds["from beyond the edge"] += 1
            elif shown.min() == 0 or shown.max() == 255:
                kinds["clipped"] += 1
            else:
                kinds["unexplained"] += 1
    total = kinds.total()
    assert kinds["unexplained"] == 0 and kinds["zero"] > 0.8 * total and kinds["coded"] > 0.01 * total, kinds
    assert kinds["clipped"] + kinds["from beyond the edge"] < 0.01 * total, kinds


@pytest.mark.parametrize("pattern", CLIPS)
def test_chroma_too(data: Path, pattern: str) -> None:
    """At quantiser 31 nearly all chroma blocks with vectors are zero; fixed rounding leaves fewer of them zero."""
    pictures = pictures_of(next((data / "clips").glob(pattern)), COARSEST)
    shares = []
    for rule in (alternating, lambda _: 0, lambda _: 1):
        zero, number = [], 0
        for previous, picture in pairwise(pictures):
            if picture.mv is None:
                number = 0
                continue
            predicted = predicted_i420(previous.i420, picture.mv, rounding=rule(number))
            number += 1
            for plane, guess in zip(planes(picture.i420)[1:], planes(predicted)[1:], strict=True):
                for row, column, block in blocks(plane.astype(int) - guess, side=8):
                    if INTRA not in picture.mv[row, column]:
                        zero.append(not block.any())
        shares.append(np.mean(zero))
    assert shares[0] > 0.99 and shares[0] > max(shares[1:]) + 0.02, shares
