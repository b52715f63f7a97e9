"""UCF101 (Soomro et al. 2012): 13,320 clips of 101 classes, three official splits of train and test."""

import re
from pathlib import Path, PurePosixPath

from ipdata.datasets.archives import Archives, place_of
from ipdata.datasets.base import (
    Dataset,
    Entry,
    Listing,
    expected,
    files_by_name,
    match,
    shown,
    subsets_by_name,
)
from ipdata.datasets.lists import bad_line, find_lists, quoted, read_lines
from ipdata.errors import BuildError

NUMBERS = ("1", "2", "3")
VIDEOS_FOLDER = "UCF-101"  # the folder that UCF101.rar has all class folders in
VIDEO_FILE = re.compile(r"v_[A-Za-z]+_g[0-9]{2}_c[0-9]{2}\.avi")  # class, group, clip
LIST_FILE = re.compile(r"classInd\.txt|(train|test)list0[123]\.txt")

EXPECTS = """\
<source>/UCF-101/<class>/*.avi or <source>/<class>/*.avi, and the official lists classInd.txt, trainlist01.txt to
trainlist03.txt and testlist01.txt to testlist03.txt, in --splits, in <source> or in a folder directly below it. Get
UCF101.rar (videos) and UCF101TrainTestSplits-RecognitionTask.zip (lists) from the UCF101 page of CRCV, University of
Central Florida. `ipdata unpack --dataset ucf101 UCF101.rar UCF101TrainTestSplits-RecognitionTask.zip --out <source>`
unpacks both, so that <source>/UCF-101/ApplyEyeMakeup/ and 100 folders like it hold .avi files and
<source>/ucfTrainTestlist/ the lists."""


def list_ucf101(source: Path, splits: Path | None, draw: Path | None, options: None) -> Listing:
    """List the official videos. Class ids are those of classInd.txt minus 1.

    A video that a split's lists lack is unused in that split.

    Raises: BuildError.
    """
    files = _files(source)
    lists = _list_files(source, splits)
    classes = _read_classes(lists["classInd.txt"])
    subsets = subsets_by_name({f"split{number}": _read_split(lists, number, classes) for number in NUMBERS})
    entries = {name: Entry(name.partition("/")[0], subsets[name]) for name in subsets}
    return match(UCF101, entries, classes=classes, files=files, source=source)


def _files(source: Path) -> dict[str, Path]:
    """Name -> path. A video has the same name whether or not its class folder lies in UCF-101."""
    files: dict[str, Path] = {}
    for below, path in files_by_name(source, dataset=UCF101).items():
        name = below.removeprefix(f"{VIDEOS_FOLDER}/")
        if name in files:
            cure = f"remove one; {VIDEOS_FOLDER}/ is what UCF101.rar has"
            raise BuildError(f"ucf101: {shown(files[name])} and {shown(path)} are the same video; {cure}")
        files[name] = path
    return files


def _list_files(source: Path, splits: Path | None) -> dict[str, Path]:
    root = source if splits is None else splits
    lists = find_lists(root, LIST_FILE)
    wanted = ["classInd.txt", *(f"{subset}list0{number}.txt" for subset in ("train", "test") for number in NUMBERS)]
    absent = [name for name in wanted if name not in lists]
    if absent:
        raise expected(UCF101, source, f"no {', '.join(absent)} in {shown(root)} or directly below it")
    return lists


def _read_classes(path: Path) -> tuple[str, ...]:
    """Class names by id; the file counts from 1 and must give every number once."""
    names: dict[int, str] = {}
    for number, line in read_lines(path):
        matched = re.fullmatch(r"([0-9]{1,6}) +([^/ ]+)", line)
        if matched is None:
            raise bad_line(path, number, f'expected "<id> <class>", such as "1 ApplyEyeMakeup", got {quoted(line)}')
        if int(matched[1]) in names or matched[2] in names.values():
            raise bad_line(path, number, f"id or class is listed twice: {quoted(line)}")
        names[int(matched[1])] = matched[2]
    if not names or sorted(names) != list(range(1, len(names) + 1)):
        raise BuildError(f"{shown(path)}: ids must be 1, 2, 3 ... without a gap, got {sorted(names)}")
    return tuple(names[class_id] for class_id in sorted(names))


def _read_split(lists: dict[str, Path], number: str, classes: tuple[str, ...]) -> dict[str, str]:
    """Name -> "train" or "test"."""
    subsets: dict[str, str] = {}
    for subset in ("train", "test"):
        path = lists[f"{subset}list0{number}.txt"]
        for line_number, line in read_lines(path):
            try:
                name = _train_name(line, classes) if subset == "train" else _test_name(line, classes)
            except ValueError as error:
                raise bad_line(path, line_number, f"{error}, got {quoted(line)}") from None
            if subsets.setdefault(name, subset) != subset:
                raise bad_line(path, line_number, f"{quoted(name)} is in trainlist0{number}.txt too")
    return subsets


def _train_name(line: str, classes: tuple[str, ...]) -> str:
    name, _, class_id = line.rpartition(" ")
    if not re.fullmatch("[0-9]{1,6}", class_id):
        raise ValueError('expected "<class>/<file>.avi <id>"')
    name = _test_name(name.strip(), classes)
    official = classes.index(name.partition("/")[0]) + 1
    if int(class_id) != official:
        raise ValueError(f"classInd.txt gives this class the id {official}")
    return name


def _test_name(name: str, classes: tuple[str, ...]) -> str:
    class_name, _, file_name = name.partition("/")
    if "/" in file_name or not file_name.endswith(".avi"):
        raise ValueError('expected "<class>/<file>.avi"')
    if class_name not in classes:
        raise ValueError(f"classInd.txt has no class {quoted(class_name)}")
    return name


def _place(path: PurePosixPath) -> str | None:
    return place_of(
        path, videos=VIDEOS_FOLDER, lists="ucfTrainTestlist", is_list=lambda name: bool(LIST_FILE.fullmatch(name))
    )


UCF101 = Dataset(
    name="ucf101",
    expects=EXPECTS,
    default_recipe="default",
    list_videos=list_ucf101,
    takes_splits=True,
    archives=Archives(
        names=("UCF101.rar", "UCF101TrainTestSplits-RecognitionTask.zip"),
        place=_place,
        form=re.compile(f"{VIDEO_FILE.pattern}|{LIST_FILE.pattern}"),
        classes=101,
        videos=13_320,
        lists=7,
        max_bytes=50 * 10**9,
        max_files=40_000,
    ),
)
