"""The real clips of all benchmarks, and the default recipe."""

import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA
from ipdata.recipe import load_recipe
from ipdata.video import decode
from ipdata.video.decode import Picture
from ipdata.video.transcode import executable, transcode

RECIPE = load_recipe("default")
BOUND = {"bound_px": RECIPE.columns["flow"].bound_px}  # the encoding that storing and restoring flow needs
SIZE = {"width": RECIPE.transcode.width, "height": RECIPE.transcode.height}
ROAD100 = DATA / "coviar_reference" / "road100.m4v"  # 340x256, 100 frames, 91 of them P


def clips() -> list[Path]:
    found = sorted(path for kind in ("*.avi", "*.mp4") for path in (DATA / "clips").rglob(kind))
    if not found:
        sys.exit(f"no clips below {DATA / 'clips'}; set IPTSN_DATA to the folder of real data")
    return found


def pictures_of(clip: Path, frames: int) -> list[Picture]:
    return list(decode.pictures(transcode(clip, RECIPE.transcode, limit_frames=frames, path=executable())))


def luma_pairs(clip: Path, frames: tuple[int, ...] = (6, 18, 30, 42)) -> list[tuple[np.ndarray, np.ndarray]]:
    """Luma pairs (previous, current), each (1, H, W) uint8, for these frame numbers."""
    pictures = pictures_of(clip, max(frames) + 1)
    return [(pictures[n - 1].luma[None], pictures[n].luma[None]) for n in frames]
