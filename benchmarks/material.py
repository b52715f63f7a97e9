"""The real clips that everything here is measured on, and the default recipe."""

import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA
from ipdata.recipe import load_recipe
from ipdata.video import decode
from ipdata.video.decode import Picture
from ipdata.video.transcode import executable, transcode

RECIPE = load_recipe("default")
BOUND = {"bound_px": RECIPE.columns["flow"].bound_px}  # what storing and restoring flow takes
SIZE = {"width": RECIPE.transcode.width, "height": RECIPE.transcode.height}
ROAD100 = DATA / "coviar_reference" / "road100.m4v"  # 340x256, 100 frames, 91 of them P


def clips() -> list[Path]:
    found = sorted(path for kind in ("*.avi", "*.mp4") for path in (DATA / "clips").rglob(kind))
    if not found:
        sys.exit(f"no clips below {DATA}; set IPTSN_DATA")
    return found


def pictures_of(clip: Path, frames: int) -> list[Picture]:
    return list(decode.pictures(transcode(clip, RECIPE.transcode, limit_frames=frames, path=executable())))


def luma_pairs(clip: Path, frames: tuple[int, ...] = (6, 18, 30, 42)) -> list[tuple[np.ndarray, np.ndarray]]:
    """(1, H, W) each, from the frame before to each of these."""
    pictures = pictures_of(clip, max(frames) + 1)
    return [(pictures[n - 1].luma[None], pictures[n].luma[None]) for n in frames]
