"""A lab's own data: a folder for each class, and optionally a CSV with labels and splits."""

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from ipdata.datasets.base import Dataset, Entry, Listing, expected, files_by_name, is_video, match, shown
from ipdata.datasets.lists import bad_line, quoted, read_csv
from ipdata.errors import BuildError
from shards.schema import SUBSETS

CSV_NAME = "videos.csv"

EXPECTS = """\
<source>/<class>/ with that class's videos, in subfolders if you like. A CSV is optional: <source>/videos.csv or
--splits FILE. Its header is path,label,split1 and the names of any further splits. Each row has a path below <source>,
a label, and for each split train, test or nothing (unused). A column group after label names what videos share, such as
a person, a camera or a longer video. Without splits in a CSV, or without a CSV, there is one split. It is drawn by the
recipe's folder.seed and folder.test_share, and groups stay whole."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The recipe's table [folder]: how to draw a split if there is no CSV. Raises ValueError for a bad test_share."""

    test_share: float = 0.3  # of the videos of each class
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.test_share <= 1:
            raise ValueError(f"test_share must be a share, 0 to 1, got {self.test_share}")


def list_folder(source: Path, splits: Path | None, draw: Path | None, options: Folder) -> Listing:
    """List the videos. Class ids are in order of the class names: the CSV's labels or, without one, the folders' names.

    Raises: BuildError.
    """
    files = files_by_name(source, dataset=FOLDER, videos_only=False)
    path = _csv_path(source, splits)
    chosen_by = {}
    if path is None:
        entries = _entries_of_folders(files)
        if not entries:
            raise expected(FOLDER, source, f"no video below {shown(source)} lies in the folder of a class")
    else:
        entries = _read_entries(path)
        own = path.resolve()
        files = {name: file for name, file in files.items() if file.name != own.name or file.resolve() != own}
    if not any(entry.subsets for entry in entries.values()):
        entries, chosen_by = _split_by_share(entries, options), asdict(options)
    classes = tuple(sorted({entry.class_name for entry in entries.values()}))
    return replace(match(FOLDER, entries, classes=classes, files=files, source=source), options=chosen_by)


def _csv_path(source: Path, splits: Path | None) -> Path | None:
    if splits is None:
        path = source / CSV_NAME
        return path if path.is_file() else None
    path = splits / CSV_NAME if splits.is_dir() else splits
    if not path.is_file():
        raise BuildError(f"folder: no CSV {shown(path)}; --splits must be a CSV, or a directory with {CSV_NAME}")
    return path


def _entries_of_folders(files: dict[str, Path]) -> dict[str, Entry]:
    """The videos in the folders of classes, in no split yet."""
    videos = [name for name, path in files.items() if is_video(path) and "/" in name]
    return {name: Entry(name.partition("/")[0], {}) for name in videos}


def _split_by_share(entries: dict[str, Entry], folder: Folder) -> dict[str, Entry]:
    """Draw one split. Groups in drawn order go to test while each of their classes has room there."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, entry in entries.items():
        groups[entry.group or name].append(name)
    videos = Counter(entry.class_name for entry in entries.values())
    room = {class_name: videos_to_test(count, folder.test_share) for class_name, count in videos.items()}
    tests = set()
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{folder.seed},{group}".encode()).digest()):
        wanted = Counter(entries[name].class_name for name in groups[group])
        if all(room[class_name] >= count for class_name, count in wanted.items()):
            tests.update(groups[group])
            for class_name, count in wanted.items():
                room[class_name] -= count
    if not tests and folder.test_share and len(groups) < len(entries):
        cure = "make folder.test_share larger, or name splits in the CSV"
        raise BuildError(
            f"folder: no group is small enough to go to test with {folder.test_share} of each class; {cure}"
        )
    return {
        name: replace(entry, subsets={"split1": "test" if name in tests else "train"})
        for name, entry in entries.items()
    }


def videos_to_test(videos: int, share: float) -> int:
    """Number of a class's test videos: its share, rounded. From two videos on, at least one is test and one train."""
    return max(min(math.floor(videos * share + 0.5), videos - 1), min(1, videos - 1))


def _read_entries(path: Path) -> dict[str, Entry]:
    header, rows = read_csv(path)
    grouped = header[2:3] == ["group"]
    splits = header[3 if grouped else 2 :]
    if header[:2] != ["path", "label"] or not all(splits) or len(set(splits)) != len(splits) or "group" in splits:
        wanted = "expected the header path,label,split1,split2... or path,label,group,split1..."
        raise bad_line(path, 1, f"{wanted}, got {quoted(','.join(header))}")
    entries: dict[str, Entry] = {}
    for number, (name, label, *words) in rows:
        pure = PurePosixPath(name)
        if not pure.name or pure.is_absolute() or ".." in pure.parts:
            raise bad_line(path, number, f"path must lie below the source directory, got {quoted(name)}")
        if not label or label != label.strip():
            raise bad_line(path, number, f"label must be a name without blanks around it, got {quoted(label)}")
        if str(pure) in entries:
            raise bad_line(path, number, f"path is listed twice: {quoted(name)}")
        group = (words.pop(0) or str(pure)) if grouped else ""
        for split, word in zip(splits, words, strict=True):
            if word not in ("", *SUBSETS):
                raise bad_line(path, number, f"{split} must be train, test or empty (unused), got {quoted(word)}")
        subsets = {split: word or "unused" for split, word in zip(splits, words, strict=True)}
        entries[str(pure)] = Entry(label, subsets, group)
    return entries


FOLDER = Dataset(
    name="folder", expects=EXPECTS, default_recipe="default", list_videos=list_folder, options=Folder, takes_splits=True
)
