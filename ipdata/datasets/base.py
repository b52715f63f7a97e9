"""The interface of datasets: from the files on disk, an adapter makes a listing of videos, classes and subsets."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from ipdata.datasets.archives import SHOWN_ARCHIVES, Archives, command_for, is_archive
from ipdata.errors import BuildError
from ipdata.video.formats import COPY_IT, VIDEO_SUFFIXES
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis
from shards.schema import SUBSETS
from shards.store.listed import ListedFile
from shards.text import printable_bytes


@dataclass(frozen=True, kw_only=True)
class Video:
    """One source video that is present: a file here or at a URL, a synthetic one, or the bitstream in a set."""

    # Path below the source directory, with "/"; bytes that are not UTF-8 are escaped (printable_name).
    # kinetics_n50 and ucf101 exist in several layouts, so there it is <class>/<file name>, wherever the file lies.
    name: str
    source: Path | ListedFile | Synthesis | Stored
    class_name: str
    class_id: int
    subsets: dict[str, str]  # split -> "train", "test" or "unused"
    group: str = ""  # videos that must stay together, such as those of one person; "": the dataset states none

    def __post_init__(self) -> None:
        if not self.subsets or not set(self.subsets.values()) <= set(SUBSETS):
            raise BuildError(f"{self.name}: subsets must be of {SUBSETS} in at least one split, got {self.subsets}")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a build needs to know of a dataset. Videos, missing and unlisted are in order of their names."""

    dataset: str
    classes: tuple[str, ...]  # by class id; the ids are the official ones, if there are any
    splits: tuple[str, ...]  # "split1", ...
    videos: tuple[Video, ...]
    missing: tuple[str, ...] = ()  # names that are listed, but not on disk
    missing_classes: tuple[str, ...] = ()  # the class of each name in `missing`
    unlisted: tuple[str, ...] = ()  # names on disk that are not part of the dataset
    options: dict[str, Any] = field(default_factory=dict)  # how the videos were chosen, as JSON values

    def __post_init__(self) -> None:
        for video in self.videos:
            if self.classes[video.class_id : video.class_id + 1] != (video.class_name,):
                raise BuildError(f"{video.name}: class {video.class_id} of {self.dataset} is not {video.class_name!r}")
            if set(video.subsets) != set(self.splits):
                raise BuildError(f"{video.name}: must have a subset in each of {self.splits}, got {video.subsets}")
        if len(self.missing_classes) != len(self.missing):
            raise BuildError(f"{self.dataset}: every missing name needs its class")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An adapter, which makes a listing from a dataset's files."""

    name: str
    expects: str  # which files must lie where; `ipdata datasets` and errors print it
    default_recipe: str
    # (source directory, splits directory or file or None, draw file or None, options or None) -> listing.
    # Raises BuildError that says what is missing and where to put it.
    list_videos: Callable[[Path, Path | None, Path | None, Any], Listing]
    options: type | None = None  # the dataclass of the dataset's table in the recipe, if it has one
    takes_splits: bool = False  # whether --splits may name its lists
    takes_draw: bool = False  # whether --draw may name the videos to take
    archives: Archives | None = None  # what `ipdata unpack` unpacks; None if it does not

    def listing(self, source: Path, splits: Path | None, draw: Path | None, options: Any) -> Listing:
        """The dataset's listing; arguments as for `list_videos`.

        Raises: BuildError, also for an option that the dataset does not take.
        """
        for option, given, takes in (("--splits", splits, self.takes_splits), ("--draw", draw, self.takes_draw)):
            if given is not None and not takes:
                raise BuildError(f"the dataset {self.name} takes no {option}; leave it out")
        listing = self.list_videos(source, splits, draw, options)
        if listing.dataset != self.name:
            raise BuildError(f"the adapter of {self.name} lists {listing.dataset!r}; this is a bug of the adapter")
        return listing


@dataclass(frozen=True)
class Entry:
    """What a dataset's lists say about one video."""

    class_name: str
    subsets: dict[str, str]  # split -> subset
    group: str = ""  # as of a Video


def printable_name(path: Path, *, below: Path) -> str:
    """The path below a directory as valid UTF-8; bytes that are not, and control characters, become \\xNN."""
    return printable_bytes(os.fsencode(path.relative_to(below).as_posix()))


def shown(path: Path) -> str:
    """A path as text for messages: what cannot be printed, or would control the terminal, is escaped."""
    return printable_bytes(os.fsencode(path))


def video_files(directory: Path) -> list[Path]:
    """Every file below a directory, in order of path; hidden files and folders are left out.

    Links to folders are followed, each target once; but not links into the directory itself, or to a folder that
    contains it. A dangling link counts as a file: it is then reported as a failure, and not overlooked.

    Raises: BuildError if a folder cannot be read.
    """
    root, seen, files = os.path.realpath(directory), set[str](), []
    for folder, folders, names in os.walk(directory, followlinks=True, onerror=_unreadable):
        folders[:] = [name for name in sorted(folders) if _enter(Path(folder, name), root, seen)]
        files += [path for name in names if not name.startswith(".") and _is_file(path := Path(folder, name))]
    return sorted(files)


def _unreadable(error: OSError) -> NoReturn:
    raise BuildError(f"cannot read the folder {shown(Path(error.filename))}: {error.strerror}; check its permissions")


def _enter(folder: Path, root: str, seen: set[str]) -> bool:
    """True if `video_files` must walk into this folder. seen: targets of links so far; this adds one."""
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
    """Printable name -> path, for the files below the source directory.

    Raises: BuildError if there is no such directory or no video in it, or if two files get the same name.
    """
    if not source.is_dir():
        raise expected(dataset, source, f"there is no directory {shown(source)}")
    files: dict[str, Path] = {}
    for path in video_files(source):
        name = printable_name(path, below=source)
        if name in files:
            raise BuildError(f'two files below {shown(source)} get the same name "{name}" once escaped; rename one')
        files[name] = path
    videos = {name: path for name, path in files.items() if is_video(path)}
    if not videos:
        others = [name for name in files if not is_archive(PurePosixPath(name))]
        other = f"; {min(others)} has no suffix of a video that is taken; {COPY_IT}" if others else ""
        raise expected(dataset, source, f"no videos below {shown(source)}{other}")
    return videos if videos_only else files


def expected(dataset: Dataset, source: Path, problem: str) -> BuildError:
    """The error for something that is not there: the problem, and all that the dataset expects on disk.

    If there are archives below the source directory, it has the command that unpacks them.
    """
    if found := _archives_below(dataset, source):
        names = ", ".join(printable_name(path, below=source) for path in found[:SHOWN_ARCHIVES])
        more = f" and {len(found) - SHOWN_ARCHIVES} more" if len(found) > SHOWN_ARCHIVES else ""
        command = printable_bytes(os.fsencode(command_for(dataset.name, source, found)))
        problem += f"; there are archives ({names}{more}). Unpack them, then run this again:\n  {command}"
    return BuildError(f"{dataset.name}: {problem}\nExpected: {dataset.expects.replace('<source>', shown(source))}")


def _archives_below(dataset: Dataset, source: Path) -> list[Path]:
    """The archives there: those with the names of the dataset's own, or else all."""
    if dataset.archives is None or not source.is_dir():
        return []
    found = [path for path in video_files(source) if is_archive(PurePosixPath(path))]
    return [path for path in found if path.name in dataset.archives.names] or found


def subsets_by_name(splits: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Turn split -> name -> subset into name -> split -> subset. A name that a split does not have is unused there."""
    names = {name: None for subsets in splits.values() for name in subsets}
    return {name: {split: subsets.get(name, "unused") for split, subsets in splits.items()} for name in names}


def match(
    dataset: Dataset, entries: Mapping[str, Entry], *, classes: tuple[str, ...], files: Mapping[str, Path], source: Path
) -> Listing:
    """Make a listing by comparing the names in the lists with those on disk.

    Raises: BuildError if they have no name in common.
    """
    ids = {class_name: class_id for class_id, class_name in enumerate(classes)}
    present = sorted(entries.keys() & files.keys())
    absent = sorted(entries.keys() - files.keys())
    unlisted = sorted(files.keys() - entries.keys())
    if not present:
        on_disk, listed = unlisted[0] if unlisted else "nothing", min(entries, default="nothing")
        problem = f'no file below {shown(source)} is in the lists; a file is "{on_disk}", a listed name is "{listed}"'
        raise expected(dataset, source, problem)
    videos = [
        Video(
            name=name,
            source=files[name],
            class_name=entries[name].class_name,
            class_id=ids[entries[name].class_name],
            subsets=entries[name].subsets,
            group=entries[name].group,
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
