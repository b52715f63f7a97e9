"""The versions of the tools that the bytes of a set depend on."""

from collections.abc import Iterable
from importlib import metadata

import cv2

from ipdata.video import decode, transcode
from shards import __version__


def tools_here(ffmpeg: str | None = None, *, packages: Iterable[str] = ()) -> dict[str, str]:
    """Name -> version of each tool on this machine, with further Python packages; "none" if one is not installed.

    Raises: BuildError if ffmpeg does not run.
    """
    return {"ffmpeg": transcode.version(transcode.executable(ffmpeg)), **tools_but_ffmpeg(packages)}


def tools_but_ffmpeg(packages: Iterable[str] = ()) -> dict[str, str]:
    """As `tools_here`, without ffmpeg: all that is needed where nothing is transcoded."""
    return {
        "av": decode.av_version(),
        "ipdata": __version__,
        "libavcodec": decode.libavcodec_version(),
        "opencv": cv2.__version__,
        **{package: _version(package) for package in ("numba", "numba-cuda", *packages)},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
