"""Kinetics-n50 (the paper, section 4.1): 30 training and 20 test videos of each class of Kinetics-400."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ipdata.datasets.base import Dataset, Entry, Listing, expected, files_by_name, match, shown
from ipdata.datasets.lists import bad_line, find_lists, quoted, read_csv, read_lines
from ipdata.errors import BuildError

CSV_HEADER = ("label", "youtube_id", "time_start", "time_end", "split")  # some editions also have is_cc: ignored
CSV_WORD = {"train": "train", "test": "val"}  # subset -> word in the CSV's name and at the start of its split column
CSV_FILE = re.compile(r"(?i).*(train|val).*\.csv")
TIMED_STEM = re.compile(r"(.+)_([0-9]{1,9})_([0-9]{1,9})")

EXPECTS = """\
videos below <source>, in class folders or flat, named <youtube_id>.mp4 or <youtube_id>_<start>_<end>.mp4 (start and
end in s, leading zeros allowed; any video suffix). Also the Kinetics-400 CSVs, one named *train*.csv and one
*val*.csv, with the columns label,youtube_id,time_start,time_end,split. The CSVs lie in --splits, in <source> or in a
folder directly below it. Get the CSVs (kinetics400.tar.gz) from DeepMind's Kinetics page. Get the videos from YouTube,
or unpack the archives that CVDF hosts (github.com/cvdfoundation/kinetics-dataset) into <source>."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a CSV. Times in s."""

    label: str
    youtube_id: str
    start: int
    end: int
    subset: str

    @property
    def listed_name(self) -> str:
        return f"{self.label}/{self.youtube_id}"

    @property
    def order(self) -> str:
        """Sort key: an order that looks random and is the same everywhere."""
        return hashlib.sha256(self.youtube_id.encode()).hexdigest()


Rows = Mapping[str, list[Row]]  # by YouTube id; the train CSV's rows before the validation CSV's


@dataclass(frozen=True, kw_only=True)
class Kinetics:
    """The recipe's table [kinetics_n50]: videos to take of each class (section 4.1 of the paper). Raises ValueError."""

    train_per_class: int = 30
    test_per_class: int = 20

    def __post_init__(self) -> None:
        if min(self.train_per_class, self.test_per_class) < 0:
            raise ValueError("train_per_class and test_per_class must not be negative")


def list_kinetics_n50(source: Path, splits: Path | None, draw: Path | None, options: Kinetics) -> Listing:
    """List the videos of the draw file; without one, the first of each class in the order of sha256 of their ids.

    An id stands for its first row, train CSV first, so no YouTube video gets into both subsets. Files of an id's other
    rows are known, but never drawn. Names are `<label>/<file name>` wherever the file lies, so every layout gives the
    same set. If one row has several files, the one with times in its name counts, and the others are unlisted.

    Raises: BuildError.
    """
    files = files_by_name(source, dataset=KINETICS_N50)
    rows = _read_rows(_csv_files(source, splits))
    found, unlisted = _found(files, rows)
    if draw is None:
        quotas = {"train": options.train_per_class, "test": options.test_per_class}
        drawn, rule = _draw_first(rows, found, quotas), "sha256 of the id"
    else:
        drawn, rule = _draw_listed(rows, draw), "list"
    taken = [clip for clip in drawn if clip in found]
    if not taken:
        raise expected(
            KINETICS_N50, source, f"no file below {shown(source)} is one of the {len(drawn)} that were drawn"
        )
    names = {clip: f"{clip.label}/{PurePosixPath(found[clip]).name}" for clip in taken}
    listing = match(
        KINETICS_N50,
        {names[clip]: Entry(clip.label, {"split1": clip.subset}) for clip in taken},
        classes=tuple(sorted({clip.label for clips in rows.values() for clip in clips})),
        files={names[clip]: files[found[clip]] for clip in taken},
        source=source,
    )
    ids = {subset: sorted(clip.youtube_id for clip in taken if clip.subset == subset) for subset in CSV_WORD}
    absent = sorted((clip for clip in drawn if clip not in found), key=lambda clip: clip.listed_name)
    return replace(
        listing,
        missing=tuple(clip.listed_name for clip in absent),
        missing_classes=tuple(clip.label for clip in absent),
        unlisted=unlisted,
        options={"draw": ids, "rule": rule},
    )


def _csv_files(source: Path, splits: Path | None) -> dict[str, Path]:
    """Subset -> its CSV."""
    root = source if splits is None else splits
    lists = find_lists(root, CSV_FILE)
    chosen = {}
    for subset, word in CSV_WORD.items():
        other = "val" if word == "train" else "train"
        names = [name for name in lists if word in name.lower() and other not in name.lower()]
        if not names:
            raise expected(KINETICS_N50, source, f"no *{word}*.csv in {shown(root)} or directly below it")
        if len(names) > 1:
            raise BuildError(f"kinetics_n50: more than one *{word}*.csv in {shown(root)}: {', '.join(names)}; keep one")
        chosen[subset] = lists[names[0]]
    return chosen


def _read_rows(paths: Mapping[str, Path]) -> Rows:
    rows: dict[str, list[Row]] = defaultdict(list)
    for subset, path in paths.items():
        header, cells_of_line = read_csv(path)
        if len(set(header)) != len(header) or not set(CSV_HEADER) <= set(header):
            raise bad_line(path, 1, f"expected a header with {','.join(CSV_HEADER)}, got {quoted(','.join(header))}")
        for number, cells in cells_of_line:
            try:
                clip = _clip(dict(zip(header, cells, strict=True)), subset)
            except ValueError as error:
                raise bad_line(path, number, str(error)) from None
            rows[clip.youtube_id].append(clip)
    return rows


def _clip(row: dict[str, str], subset: str) -> Row:
    if not row["label"] or "/" in row["label"]:
        raise ValueError(f'label must be a name without "/", got {quoted(row["label"])}')
    if not re.fullmatch("[A-Za-z0-9_-]+", row["youtube_id"]):
        raise ValueError(f"youtube_id must be of A-Z a-z 0-9 _ -, got {quoted(row['youtube_id'])}")
    for column in ("time_start", "time_end"):
        if not re.fullmatch("[0-9]{1,9}", row[column]):
            raise ValueError(f"{column} must be whole seconds, got {quoted(row[column])}")
    if not row["split"].startswith(CSV_WORD[subset]):
        raise ValueError(f"split must be {CSV_WORD[subset]} in this CSV, got {quoted(row['split'])}")
    start, end = int(row["time_start"]), int(row["time_end"])
    return Row(label=row["label"], youtube_id=row["youtube_id"], start=start, end=end, subset=subset)


def _found(files: Iterable[str], rows: Rows) -> tuple[dict[Row, str], tuple[str, ...]]:
    """Row -> name of its file, for the rows that are present; and the names of all other files."""
    names_of_clip: dict[Row, list[tuple[bool, str, str]]] = defaultdict(list)
    unlisted = []
    for name in files:
        path = PurePosixPath(name)
        clip = _clip_of(path.stem, rows)
        if clip is None:
            unlisted.append(name)
        else:
            names_of_clip[clip].append((path.stem == clip.youtube_id, path.name, name))
    for copies in names_of_clip.values():
        copies.sort()
        unlisted += [name for *_, name in copies[1:]]
    return {clip: copies[0][-1] for clip, copies in names_of_clip.items()}, tuple(sorted(unlisted))


def _clip_of(stem: str, rows: Rows) -> Row | None:
    if stem in rows:
        return rows[stem][0]
    matched = TIMED_STEM.fullmatch(stem)
    if matched is None:
        return None
    times = (int(matched[2]), int(matched[3]))
    return next((clip for clip in rows.get(matched[1], ()) if (clip.start, clip.end) == times), None)


def _draw_first(rows: Rows, found: Mapping[Row, str], quotas: Mapping[str, int]) -> list[Row]:
    """Take rows of each class in order until its quota of present ones is reached; keep the absent ones on the way."""
    candidates: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for first, *_ in rows.values():
        candidates[first.label, first.subset].append(first)
    drawn = []
    for (_, subset), clips in candidates.items():
        left = quotas[subset]
        for clip in sorted(clips, key=lambda clip: clip.order):
            if left <= 0:
                break
            left -= clip in found
            drawn.append(clip)
    return drawn


def _draw_listed(rows: Rows, draw: Path) -> list[Row]:
    """The first row of each id in the draw file, in the order of the file."""
    drawn: dict[str, Row] = {}
    for number, line in read_lines(draw):
        if line.startswith("#"):
            continue
        if line not in rows:
            raise bad_line(draw, number, f"expected a youtube_id of one of the CSVs, got {quoted(line)}")
        if line in drawn:
            raise bad_line(draw, number, f"{quoted(line)} is listed twice")
        drawn[line] = rows[line][0]
    return list(drawn.values())


KINETICS_N50 = Dataset(
    name="kinetics_n50",
    expects=EXPECTS,
    default_recipe="default",
    list_videos=list_kinetics_n50,
    options=Kinetics,
    takes_splits=True,
    takes_draw=True,
)
