"""The tools of a set as pip knows them: for `ipshards info --constraints`, and for errors that say what to install.

Names and versions of tools may come from a set that was received. Only a known name with a plain version goes into a
line that pip reads; the rest goes into comments.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping

from shards.manifest import Manifest
from shards.text import printable

PACKAGES = {  # tool -> package on PyPI
    "av": "av",
    "numba": "numba",
    "numba-cuda": "numba-cuda",
    "opencv": "opencv-contrib-python-headless",
}
NUMBERED_BUILDS = ("opencv",)  # the package has one number more than the version that the tool states
VERSION = re.compile(  # PEP 440, but for epochs and odd spellings
    r"[0-9]{1,6}(\.[0-9]{1,6}){0,5}((a|b|rc)[0-9]{1,6})?(\.post[0-9]{1,6})?(\.dev[0-9]{1,6})?(\+[a-z0-9.]{1,40})?"
)
NO_PACKAGE = {  # tool -> where it comes from
    "ffmpeg": "an executable; name one with --ffmpeg",
    "libavcodec": "it comes with PyAV, the package av",
    "ipdata": "this package",
}
SHOWN_CHARACTERS = 80  # of a name or version that is not known


def requirement(tool: str, version: str) -> str | None:
    """What pip takes for a tool of a version, such as "av==16.0.1"; None if there is no known package or no version."""
    if tool not in PACKAGES or not VERSION.fullmatch(version):
        return None
    return f"{PACKAGES[tool]}=={version}{'.*' if tool in NUMBERED_BUILDS and '+' not in version else ''}"


def how_to_install(tools: Mapping[str, str]) -> str:
    """How to get tools of these versions, by name, as part of a message."""
    wanted = [line for tool, version in sorted(tools.items()) if (line := requirement(tool, version)) is not None]
    others = [_other(tool, version) for tool, version in sorted(tools.items()) if requirement(tool, version) is None]
    return "; ".join([f"`pip install {shlex.join(wanted)}`"] * bool(wanted) + others)


def _other(tool: str, version: str) -> str:
    source = NO_PACKAGE.get(tool, "")
    return f"{_shown(tool)} {_shown(version)}" + (f" ({source})" if source else "")


def constraints(manifest: Manifest) -> str:
    """A pip constraints file with the tools that made a set's columns. What pip cannot install stands in comments."""
    columns: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # tool -> version -> columns
    for name, info in manifest.columns.items():
        for tool, version in info.tools.items():
            columns[tool][version].append(name)
    lines = [f"# The tools that made the shard set with the manifest sha256 {manifest.sha256}"]
    for tool, versions in sorted(columns.items()):
        for version, made in sorted(versions.items()):
            lines.append(_line(tool, version, made, only=len(versions) == 1))
    return "\n".join([*lines, ""])


def _line(tool: str, version: str, columns: list[str], *, only: bool) -> str:
    """A line of the file. Comments end with the names of columns, which the format restricts."""
    wanted, made = requirement(tool, version), f"made {', '.join(columns)}"
    if wanted is None:
        return f"# {_other(tool, version)}: {made}"
    return wanted if only else f"# one of several versions: {wanted}: {made}"


def _shown(text: str) -> str:
    """Text from outside as a harmless part of one line of ASCII."""
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")[:SHOWN_CHARACTERS] or "none"
