"""What a dataset is to the build: a listing of videos with classes and subsets, made from what lies on disk."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ipdata.errors import BuildError
from ipdata.video.synthesis import Synthesis
from shards.schema import SUBSETS
from shards.text import printable_bytes

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .h264 .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv .y4m".split()
)


@dataclass(frozen=True, kw_only=True)
class Video:
    """One source video that is present: a file, or a synthetic one that a worker draws."""

    # Path below the source directory, with "/"; bytes that are not UTF-8 are escaped (printable_name). Of kinetics_n50,
    # which lies about in several layouts: <label>/<file name>, wherever the file is.
    name: str
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
    missing_classes: tuple[str, ...] = ()  # the class of each
    unlisted: tuple[str, ...] = ()  # names on disk that no list has
    options: dict[str, Any] = field(default_factory=dict)  # what chose the videos, for the manifest; JSON values


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An adapter: how a dataset's files become a listing."""

    name: str
    expects: str  # what must lie where, for people: `ipdata datasets` and errors print it
    default_recipe: str
    # (source directory, splits directory or file or None, draw file or None, options or None) -> listing.
    # Raises BuildError that says what is missing and where to put it.
    list_videos: Callable[[Path, Path | None, Path | None, Any], Listing]
    options: type | None = None  # the dataclass of the dataset's table in the recipe, if it has one


@dataclass(frozen=True)
class Entry:
    """What a dataset's lists say of one video."""

    class_name: str
    subsets: dict[str, str]


def printable_name(path: Path, *, below: Path) -> str:
    """The path below a directory as text that any reader of UTF-8 can hold; other bytes become \\xNN."""
    return printable_bytes(os.fsencode(path.relative_to(below).as_posix()))


def shown(path: Path) -> str:
    """A path for messages, in which hostile names can neither fail to print nor steer the terminal."""
    return printable_bytes(os.fsencode(path))


def video_files(directory: Path) -> list[Path]:
    """Every file below a directory, in order of path; hidden files and folders are left out.

    Linked folders are walked, each target once; links into the directory itself, or to one that holds it, are not.
    A dangling link counts as a file, so that it is reported and not overlooked.

    Raises: BuildError where a folder cannot be read.
    """
    root, seen, files = os.path.realpath(directory), set[str](), []
    for folder, folders, names in os.walk(directory, followlinks=True, onerror=_unreadable):
        folders[:] = [name for name in sorted(folders) if _enter(Path(folder, name), root, seen)]
        files += [path for name in names if not name.startswith(".") and _is_file(path := Path(folder, name))]
    return sorted(files)


def _unreadable(error: OSError) -> NoReturn:
    raise BuildError(f"cannot read the folder {shown(Path(error.filename))}: {error.strerror}; check its permissions")


def _enter(folder: Path, root: str, seen: set[str]) -> bool:
    if folder.name.startswith("."):
        return False
    if not folder.is_symlink():
        return True
    target = os.path.realpath(folder)
    if target in seen or os.path.commonpath((target, root)) in (target, root):
        return False
    seen.add(target)
    return True


def _is_file(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def files_by_name(source: Path, *, dataset: Dataset, videos_only: bool = True) -> dict[str, Path]:
    """Files below the source directory by their printable names.

    Raises: BuildError where the directory or every video is missing, or where two files come to have one name.
    """
    if not source.is_dir():
        raise expected(dataset, source, f"there is no directory {shown(source)}")
    files: dict[str, Path] = {}
    for path in video_files(source):
        name = printable_name(path, below=source)
        if name in files:
            raise BuildError(f'two files below {shown(source)} are both called "{name}" once escaped; rename one')
        files[name] = path
    videos = {name: path for name, path in files.items() if is_video(path)}
    if not videos:
        raise expected(dataset, source, f"no videos below {shown(source)}")
    return videos if videos_only else files


def expected(dataset: Dataset, source: Path, problem: str) -> BuildError:
    """The error for something that is not there: what, and the whole of what the dataset expects."""
    return BuildError(f"{dataset.name}: {problem}\nExpected: {dataset.expects.replace('<source>', shown(source))}")


def refuse_draw(dataset: str, draw: Path | None) -> None:
    if draw is not None:
        raise BuildError(f"{dataset}: takes no --draw; only kinetics_n50 draws its videos. Leave it out")


def subsets_by_name(splits: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Split -> name -> subset, turned to name -> split -> subset; a name that a split does not have is unused there."""
    names = {name: None for subsets in splits.values() for name in subsets}
    return {name: {split: subsets.get(name, "unused") for split, subsets in splits.items()} for name in names}


def match(
    dataset: Dataset, entries: Mapping[str, Entry], *, classes: tuple[str, ...], files: Mapping[str, Path], source: Path
) -> Listing:
    """The listing of what the lists name and the disk has, by equal names.

    Raises: BuildError where they have nothing in common.
    """
    ids = {class_name: class_id for class_id, class_name in enumerate(classes)}
    present = sorted(entries.keys() & files.keys())
    absent = sorted(entries.keys() - files.keys())
    unlisted = sorted(files.keys() - entries.keys())
    if not present:
        on_disk, listed = unlisted[0] if unlisted else "nothing", min(entries, default="nothing")
        problem = f'the lists name no file below {shown(source)}: there is "{on_disk}", listed is "{listed}"'
        raise expected(dataset, source, problem)
    videos = [
        Video(
            name=name,
            source=files[name],
            class_name=entries[name].class_name,
            class_id=ids[entries[name].class_name],
            subsets=entries[name].subsets,
        )
        for name in present
    ]
    return Listing(
        dataset=dataset.name,
        classes=classes,
        splits=tuple(videos[0].subsets),
        videos=tuple(videos),
        missing=tuple(absent),
        missing_classes=tuple(entries[name].class_name for name in absent),
        unlisted=tuple(unlisted),
    )
