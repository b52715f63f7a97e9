"""HMDB51 (Kuehne et al. 2011): 6,766 clips of 51 classes, three official splits."""

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

SPLITS = {"1": "split1", "2": "split2", "3": "split3"}
SUBSET_OF_FLAG = {"0": "unused", "1": "train", "2": "test"}
SPLIT_FILE = re.compile(r"(.+)_test_split([123])\.txt")
# A video's name ends with what is seen of the body, camera motion, people, viewpoint, quality, and a number.
VIDEO_FILE = re.compile(r".+_[flhu]_(cm|nm)_np[0-9]+_(fr|ba|le|ri)_(goo|med|bad)_[0-9]+\.avi")
FORM = 'expected "<file>.avi FLAG" with flag 0 (unused), 1 (train) or 2 (test)'

EXPECTS = """\
<source>/<class>/*.avi and the official lists <class>_test_split1.txt, _split2.txt and _split3.txt of every class, in
--splits, in <source> or in folders directly below it. Get hmdb51_org.rar (videos) and test_train_splits.rar (lists)
from the HMDB51 page of the Serre lab. `ipdata unpack --dataset hmdb51 hmdb51_org.rar test_train_splits.rar --out
<source>` unpacks both, and each <class>.rar in the first, so that <source>/brush_hair/ and 50 folders like it hold .avi
files and <source>/testTrainMulti_7030_splits/ the lists."""


def list_hmdb51(source: Path, splits: Path | None, draw: Path | None, options: None) -> Listing:
    """List the official videos. Class ids are alphabetical. A video that a split's list lacks is unused in that split.

    Raises: BuildError.
    """
    files = files_by_name(source, dataset=HMDB51)
    lists = _split_files(source, splits)
    by_split: dict[str, dict[str, str]] = {split: {} for split in SPLITS.values()}
    for (class_name, split), path in lists.items():
        for file_name, subset in _read_split(path).items():
            by_split[split][f"{class_name}/{file_name}"] = subset
    subsets = subsets_by_name(by_split)
    entries = {name: Entry(name.partition("/")[0], subsets[name]) for name in subsets}
    classes = tuple(sorted({class_name for class_name, _ in lists}))
    return match(HMDB51, entries, classes=classes, files=files, source=source)


def _split_files(source: Path, splits: Path | None) -> dict[tuple[str, str], Path]:
    """(class, split) -> list. Every class must have all three lists, or its videos would count as unused."""
    root = source if splits is None else splits
    lists = {}
    for name, path in find_lists(root, SPLIT_FILE).items():
        matched = SPLIT_FILE.fullmatch(name)
        assert matched is not None  # find_lists matched it with the same pattern
        lists[matched[1], SPLITS[matched[2]]] = path
    if not lists:
        raise expected(HMDB51, source, f"no <class>_test_split1.txt in {shown(root)} or directly below it")
    for class_name in sorted({class_name for class_name, _ in lists}):
        for number, split in SPLITS.items():
            if (class_name, split) not in lists:
                raise expected(HMDB51, source, f"no {class_name}_test_split{number}.txt beside the other lists")
    return lists


def _read_split(path: Path) -> dict[str, str]:
    """File name -> subset."""
    subsets: dict[str, str] = {}
    for number, line in read_lines(path):
        name, _, flag = line.rpartition(" ")
        name = name.strip()
        if flag not in SUBSET_OF_FLAG or not name.endswith(".avi") or "/" in name:
            raise bad_line(path, number, f"{FORM}, got {quoted(line)}")
        if subsets.setdefault(name, SUBSET_OF_FLAG[flag]) != SUBSET_OF_FLAG[flag]:
            raise bad_line(
                path, number, f"{quoted(name)} is {subsets[name]} in an earlier line and {SUBSET_OF_FLAG[flag]} here"
            )
    return subsets


def _place(path: PurePosixPath) -> str | None:
    return place_of(
        path, videos="", lists="testTrainMulti_7030_splits", is_list=lambda name: bool(SPLIT_FILE.fullmatch(name))
    )


HMDB51 = Dataset(
    name="hmdb51",
    expects=EXPECTS,
    default_recipe="default",
    list_videos=list_hmdb51,
    takes_splits=True,
    archives=Archives(
        names=("hmdb51_org.rar", "test_train_splits.rar"),
        place=_place,
        form=re.compile(f"{VIDEO_FILE.pattern}|{SPLIT_FILE.pattern}"),
        classes=51,
        videos=6766,
        lists=153,
        max_bytes=20 * 10**9,
        max_files=20_000,
    ),
)
