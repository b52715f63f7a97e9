"""The tool versions that the bytes of a set depend on."""

from importlib import metadata

import cv2

from ipdata import __version__, decode, transcode


def tools_here(ffmpeg: str | None = None) -> dict[str, str]:
    """Versions on this machine. Raises BuildError if ffmpeg does not run."""
    return {
        "ffmpeg": transcode.version(transcode.executable(ffmpeg)),
        "ipdata": __version__,
        "libavcodec": decode.libavcodec_version(),
        "numba": metadata.version("numba"),
        "opencv": cv2.__version__,
    }


# What each column's bytes depend on, so that a new OpenCV does not stop a build of motion vectors.
DEPENDS = {
    "video": ("ffmpeg", "ipdata"),
    "mv": ("ffmpeg", "ipdata", "libavcodec"),
    "iframe": ("ffmpeg", "ipdata", "libavcodec", "opencv"),
    "residual": ("ffmpeg", "ipdata", "libavcodec", "opencv"),
    "flow": ("ffmpeg", "ipdata", "libavcodec", "numba", "opencv"),
}


def tools_of(column: str, tools: dict[str, str]) -> dict[str, str]:
    """The part of `tools` that a column depends on."""
    return {name: tools[name] for name in DEPENDS[column]}
