"""What a dataset is to the build: a listing of videos with classes and subsets, made from what lies on disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipdata.errors import BuildError
from ipdata.recipe import BuildRecipe
from ipdata.synthesis import Synthesis
from shards.schema import SUBSETS

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .h264 .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv .y4m".split()
)


@dataclass(frozen=True, kw_only=True)
class Video:
    """One source video that is present: a file, or a synthetic one that a worker draws."""

    name: str  # path below the source directory, with "/"; bytes that are not UTF-8 are escaped (printable_name)
    source: Path | Synthesis
    class_name: str
    class_id: int
    subsets: dict[str, str]  # split -> "train", "test" or "unused"

    def __post_init__(self) -> None:
        if not self.subsets or not set(self.subsets.values()) <= set(SUBSETS):
            raise BuildError(f"{self.name}: subsets must be of {SUBSETS} in at least one split, got {self.subsets}")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All of a dataset that the build needs to know. Videos, missing and unlisted are in order of their names."""

    dataset: str
    classes: tuple[str, ...]  # by class id; official ids where there are official ones
    splits: tuple[str, ...]  # "split1", ...
    videos: tuple[Video, ...]
    missing: tuple[str, ...] = ()  # names that the lists have and the disk has not
    unlisted: tuple[str, ...] = ()  # names on disk that no list has
    options: dict[str, Any] = field(default_factory=dict)  # what chose the videos, for the manifest; JSON values


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An adapter: how a dataset's files become a listing."""

    name: str
    expects: str  # what must lie where, for people: `ipdata datasets` and errors print it
    default_recipe: str
    needs_source: bool
    # (source directory, splits directory or file or None, draw file or None, recipe) -> listing.
    # Raises BuildError that says what is missing and where to put it.
    list_videos: Callable[[Path, Path | None, Path | None, BuildRecipe], Listing]


def printable_name(path: Path, *, below: Path) -> str:
    """The path below a directory as text that any reader of UTF-8 can hold; other bytes become \\xNN."""
    return path.relative_to(below).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def video_files(directory: Path) -> list[Path]:
    """Every file below a directory, in order of path; hidden files and folders are left out."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(directory).parts))
