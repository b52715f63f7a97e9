"""The real clips of all benchmarks, and the default recipe."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA
from ipdata.recipe import load_recipe
from ipdata.video import decode
from ipdata.video.decode import Picture
from ipdata.video.transcode import Transcode, command, executable

RECIPE = load_recipe("default")
BOUND = {"bound_px": RECIPE.columns["flow"].bound_px}  # the encoding that storing and restoring flow needs
SIZE = {"width": RECIPE.transcode.width, "height": RECIPE.transcode.height}
QUANTISERS = (2, 4, 8, 31)  # the default recipe's, and some that give less
AT = " at q="  # between a clip's name and its quantiser
ROAD100 = DATA / "coviar_reference" / "road100.m4v"  # 340x256, 100 frames, 91 of them P


def clips() -> list[Path]:
    found = sorted(path for kind in ("*.avi", "*.mp4") for path in (DATA / "clips").rglob(kind))
    if not found:
        sys.exit(f"no clips below {DATA / 'clips'}; set IPTSN_DATA to the folder of real data")
    return found


def clips_of_all_datasets() -> list[Path]:
    """Clips of HMDB51, UCF101 and Kinetics, and one of each class of two datasets more, of different persons."""
    found = clips()
    for name in ("ut_interaction", "weizmann"):
        folders = sorted(folder for folder in (DATA / name).iterdir() if folder.is_dir())
        for number, folder in enumerate(folders):
            of_class = sorted(folder.glob("*.avi"))
            found.append(of_class[number % len(of_class)])
    return found


@contextmanager
def transcoded(clip: Path, settings: Transcode, *, frames: int | None = None) -> Iterator[Path]:
    """A temporary file with what ffmpeg alone makes of a clip's first frames, or of all."""
    arguments = command(clip, settings, limit_frames=frames, path=executable())
    with tempfile.NamedTemporaryFile(suffix=".m4v") as file:
        subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=file)
        yield Path(file.name)


def pictures_of(clip: Path, frames: int) -> list[Picture]:
    with transcoded(clip, RECIPE.transcode, frames=frames) as m4v:
        return list(decode.pictures(m4v))


def luma_pairs(
    clip: Path, frames: tuple[int, ...] = (6, 18, 30, 42), *, gaps: tuple[int, ...] = (1,)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Luma pairs (earlier, current), each (1, H, W) uint8, for these frame numbers.

    gaps: how many frames the two of a pair are apart, taken in turn.
    """
    pictures = pictures_of(clip, max(frames) + 1)
    pairs = zip(frames, cycle(gaps), strict=False)
    return [(pictures[n - gap].luma[None], pictures[n].luma[None]) for n, gap in pairs]
