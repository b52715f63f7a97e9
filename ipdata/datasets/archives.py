"""What the archives that a dataset's site hands out hold, and where their files go below a source directory."""

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset({".rar", ".zip"})
SHOWN_ARCHIVES = 3  # in a command; more of them become a pattern


@dataclass(frozen=True, kw_only=True)
class Archives:
    """The archives of a dataset. Archives inside of them are unpacked too, one level deep."""

    names: tuple[str, ...]  # as the site calls them, videos first
    place: Callable[[PurePosixPath], str | None]  # of a member: its path below the source directory, None to leave out
    form: re.Pattern[str]  # of the names of its videos and lists; no other dataset has such names
    classes: int
    videos: int
    lists: int
    max_bytes: int  # an archive that asks for more is no archive of this dataset
    max_files: int


@dataclass(frozen=True)
class Counts:
    """How much of a dataset lies in a directory."""

    classes: int
    videos: int
    lists: int


def is_archive(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def place_of(path: PurePosixPath, *, videos: str, lists: str, is_list: Callable[[str], bool]) -> str | None:
    """The place of an .avi in the folder of its class, below the folder `videos`, or of a list in the folder `lists`.

    All folders above that of the class count for nothing. Hidden files have no place.
    """
    class_name, name = path.parent.name, path.name
    if name.startswith(".") or not name.isascii():
        return None  # all official names are ASCII
    if is_list(name):
        return f"{lists}/{name}"
    if not name.endswith(".avi") or not class_name.isascii() or class_name.startswith(".") or not class_name:
        return None
    return str(PurePosixPath(videos, class_name, name))


def counts_of(archives: Archives, names: Iterable[PurePosixPath]) -> Counts:
    """Count the files of these names that the dataset has a place for."""
    places = {PurePosixPath(place) for name in names if (place := archives.place(name)) is not None}
    videos = [place for place in places if place.suffix == ".avi"]
    return Counts(len({video.parent for video in videos}), len(videos), len(places) - len(videos))


def command_for(dataset: str, source: Path, found: list[Path]) -> str:
    """The command that unpacks these archives into the source directory, for a shell."""
    paths = [shlex.quote(str(path)) for path in found]
    if len(found) > SHOWN_ARCHIVES:
        kinds = sorted({(path.parent, path.suffix) for path in found})
        paths = [f"{shlex.quote(str(parent))}/*{suffix}" for parent, suffix in kinds]
    return f"ipdata unpack --dataset {dataset} {' '.join(paths)} --out {shlex.quote(str(source))}"
