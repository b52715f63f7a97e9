"""The tool versions that the bytes of a set depend on."""

from importlib import metadata

import cv2

from ipdata.recipe import BuildRecipe
from ipdata.video import decode, transcode
from shards import __version__


def tools_here(ffmpeg: str | None = None) -> dict[str, str]:
    """Versions on this machine. Raises BuildError if ffmpeg does not run."""
    return {
        "ffmpeg": transcode.version(transcode.executable(ffmpeg)),
        "ipdata": __version__,
        "libavcodec": decode.libavcodec_version(),
        "numba": metadata.version("numba"),
        "numba-cuda": _version_if_installed("numba-cuda"),
        "opencv": cv2.__version__,
    }


def _version_if_installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


# What each column's bytes depend on, so that a new OpenCV does not stop a build of motion vectors.
DEPENDS = {
    "video": ("ffmpeg", "ipdata"),
    "mv": ("ffmpeg", "ipdata", "libavcodec"),
    "iframe": ("ffmpeg", "ipdata", "libavcodec", "opencv"),
    "residual": ("ffmpeg", "ipdata", "libavcodec", "opencv"),
    "flow": ("ffmpeg", "ipdata", "libavcodec", "opencv"),
}
FLOW_DEPENDS = {"numba": ("numba",), "cuda": ("numba", "numba-cuda"), "opencv": ()}


def tools_of(column: str, recipe: BuildRecipe, tools: dict[str, str]) -> dict[str, str]:
    """The part of `tools` that a column depends on."""
    names = DEPENDS[column] + (FLOW_DEPENDS[recipe.flow.backend] if column == "flow" else ())
    return {name: tools.get(name, "none") for name in sorted(names)}
