"""A lab's own data: a folder for each class, and optionally a CSV with labels and splits."""

import hashlib
import math
from collections import defaultdict
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
a label, and for each split train, test or nothing (unused). Without a CSV there is one split, drawn by the recipe's
folder.seed and folder.test_share."""


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
    if path is None:
        entries, chosen_by = _split_by_share(files, options), asdict(options)
        if not entries:
            raise expected(FOLDER, source, f"no video below {shown(source)} lies in the folder of a class")
    else:
        entries, chosen_by = _read_entries(path), {}
        own = path.resolve()
        files = {name: file for name, file in files.items() if file.name != own.name or file.resolve() != own}
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


def _split_by_share(files: dict[str, Path], folder: Folder) -> dict[str, Entry]:
    """Draw one split, class by class. A class of two videos or more has at least one in train and one in test."""
    names_of_class: dict[str, list[str]] = defaultdict(list)
    for name, path in files.items():
        if is_video(path) and "/" in name:
            names_of_class[name.partition("/")[0]].append(name)
    entries = {}
    for class_name, names in names_of_class.items():
        names.sort(key=lambda name: hashlib.sha256(f"{folder.seed},{name}".encode()).digest())
        tests = videos_to_test(len(names), folder.test_share)
        for position, name in enumerate(names):
            entries[name] = Entry(class_name, {"split1": "test" if position < tests else "train"})
    return entries


def videos_to_test(videos: int, share: float) -> int:
    """Number of a class's test videos: its share, rounded. From two videos on, at least one is test and one train."""
    return max(min(math.floor(videos * share + 0.5), videos - 1), min(1, videos - 1))


def _read_entries(path: Path) -> dict[str, Entry]:
    header, rows = read_csv(path)
    splits = header[2:]
    if header[:2] != ["path", "label"] or not splits or not all(splits) or len(set(splits)) != len(splits):
        raise bad_line(path, 1, f"expected the header path,label,split1,split2..., got {quoted(','.join(header))}")
    entries: dict[str, Entry] = {}
    for number, (name, label, *words) in rows:
        pure = PurePosixPath(name)
        if not pure.name or pure.is_absolute() or ".." in pure.parts:
            raise bad_line(path, number, f"path must lie below the source directory, got {quoted(name)}")
        if not label or label != label.strip():
            raise bad_line(path, number, f"label must be a name without blanks around it, got {quoted(label)}")
        if str(pure) in entries:
            raise bad_line(path, number, f"path is listed twice: {quoted(name)}")
        for split, word in zip(splits, words, strict=True):
            if word not in ("", *SUBSETS):
                raise bad_line(path, number, f"{split} must be train, test or empty (unused), got {quoted(word)}")
        entries[str(pure)] = Entry(label, {split: word or "unused" for split, word in zip(splits, words, strict=True)})
    return entries


FOLDER = Dataset(
    name="folder", expects=EXPECTS, default_recipe="default", list_videos=list_folder, options=Folder, takes_splits=True
)
