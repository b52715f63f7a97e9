"""Kinetics-n50: the draw, names of files, and bad lists."""

import csv
import hashlib
import os
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from files import write
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdata.datasets.base import Listing
from ipdata.datasets.kinetics_n50 import list_kinetics_n50
from ipdata.errors import BuildError
from ipdata.recipe import load_recipe
from shards.keys import keys_of

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = {"air drumming": [f"train_-{number:02d}aA" for number in range(8)], "yoga": [f"yoga_-{n}" for n in range(3)]}
TEST = {"air drumming": [f"val_-{number:02d}aA" for number in range(8)], "yoga": [f"test_-{n}" for n in range(3)]}


def rows(ids_of_label: dict[str, list[str]], split: str) -> str:
    lines = [f"{label},{name},4,14,{split},0\n" for label, names in ids_of_label.items() for name in names]
    return HEADER + "".join(lines)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "csv/kinetics_train.csv", rows(TRAIN, "train"))
    write(tmp_path / "csv/Kinetics_Validate.csv", rows(TEST, "validate"))
    return tmp_path


def by_hash(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def listing(source: Path, *, draw: Path | None = None, train: int = 3, test: int = 2) -> Listing:
    overrides = [f"kinetics_n50.train_per_class={train}", f"kinetics_n50.test_per_class={test}"]
    return list_kinetics_n50(source, None, draw, load_recipe("small", overrides).datasets["kinetics_n50"])


def keys(drawn: Listing) -> list[str]:
    return keys_of((video.class_name, video.name) for video in drawn.videos)


def test_quotas_take_the_first_present_and_name_those_passed_over(source: Path) -> None:
    order = by_hash(TRAIN["air drumming"])
    for name in [*TRAIN["yoga"][:2], *TEST["air drumming"], *TEST["yoga"], *(set(order) - {order[1]})]:
        write(source / f"{name}.mp4")
    drawn = listing(source)
    taken = {video.name for video in drawn.videos if video.subsets == {"split1": "train"}}
    assert taken == {
        *(f"air drumming/{order[position]}.mp4" for position in (0, 2, 3)),
        *(f"yoga/{name}.mp4" for name in TRAIN["yoga"][:2]),
    }
    assert drawn.missing == tuple(sorted([f"air drumming/{order[1]}", f"yoga/{TRAIN['yoga'][2]}"]))
    assert not drawn.unlisted
    test_ids = sorted([*by_hash(TEST["air drumming"])[:2], *by_hash(TEST["yoga"])[:2]])
    train_ids = sorted([order[0], order[2], order[3], *TRAIN["yoga"][:2]])
    assert drawn.options == {"draw": {"train": train_ids, "test": test_ids}, "rule": "sha256 of the id"}


def test_where_a_quota_is_not_met_all_absent_rows_are_missing(source: Path) -> None:
    write(source / f"{TRAIN['yoga'][0]}.mp4")
    assert len(listing(source).missing) == 2 * 8 + 2 * 3 - 1
    assert listing(source, train=1, test=0).missing == tuple(
        sorted(
            [
                *(f"air drumming/{name}" for name in TRAIN["air drumming"]),
                *(f"yoga/{name}" for name in by_hash(TRAIN["yoga"])[: by_hash(TRAIN["yoga"]).index("yoga_-0")]),
            ]
        )
    )


def layouts(name: str, label: str) -> list[str]:
    return [
        f"{name}.mp4",
        f"{label}/{name}.mp4",
        f"{label.replace(' ', '_')}/{name}.mp4",
        f"train/{label}/{name}.mp4",
    ]


def test_every_layout_gives_the_same_set(source: Path) -> None:
    listings = []
    for layout in range(4):
        folder = source / str(layout)
        for file in ("kinetics_train.csv", "Kinetics_Validate.csv"):
            write(folder / "csv" / file, (source / "csv" / file).read_text())
        pairs = [(label, name) for lists in (TRAIN, TEST) for label, names in lists.items() for name in names]
        random.Random(layout).shuffle(pairs)
        for label, name in pairs:
            write(folder / layouts(name, label)[layout])
        listings.append(listing(folder))
    first = listings[0]
    assert len(first.videos) == 2 * 3 + 2 * 2 and {video.class_name for video in first.videos} == set(TRAIN)
    for other in listings[1:]:
        assert keys(other) == keys(first) and other.options == first.options and not other.unlisted
        assert [video.name for video in other.videos] == [video.name for video in first.videos]


@pytest.mark.parametrize("suffix", ["_4_14.mp4", "_000004_000014.mp4", ".webm", "_4_14.MKV"])
def test_forms_of_file_names(source: Path, suffix: str) -> None:
    path = write(source / f"train_-03aA{suffix}")
    drawn = listing(source, train=8)
    assert [(video.source, video.class_name) for video in drawn.videos] == [(path, "air drumming")]
    assert not drawn.unlisted


@pytest.mark.parametrize(
    "name", ["TRAIN_-03AA.mp4", "train_-03aA_4_15.mp4", "train_-03aA_4.mp4", "train_-03aA.f137.mp4"]
)
def test_other_cases_times_and_ids_are_unlisted(source: Path, name: str) -> None:
    write(source / name)
    write(source / "yoga_-1.mp4")
    write(source / "yoga_-2.mp4.part")
    drawn = listing(source)
    assert drawn.unlisted == (name,) and len(drawn.videos) == 1


def test_a_file_name_that_is_not_utf8_is_unlisted(source: Path) -> None:
    write(source / os.fsdecode(b"\xff_4_14.mp4"))
    write(source / "yoga_-1.mp4")
    assert listing(source).unlisted == ("\\xff_4_14.mp4",)


def test_an_id_that_ends_like_times_is_still_that_id(source: Path) -> None:
    write(source / "csv/kinetics_train.csv", HEADER + "yoga,abc_4_14,7,17,train,0\nyoga,abc,4,14,train,0\n")
    write(source / "abc_4_14.mp4")
    write(source / "abc_000004_000014.mp4")
    assert listing(source).options["draw"]["train"] == ["abc", "abc_4_14"]


def test_of_two_files_of_one_row_the_one_with_times_counts(source: Path) -> None:
    timed = write(source / "z/yoga_-1_4_14.webm")
    write(source / "yoga_-1.mp4")
    drawn = listing(source)
    assert [video.source for video in drawn.videos] == [timed] and drawn.unlisted == ("yoga_-1.mp4",)


def test_an_id_in_both_csvs_counts_once_for_training(source: Path) -> None:
    write(source / "csv/kinetics_train.csv", HEADER + "yoga,abc,4,14,train,0\nyoga,abc,50,60,train,0\n")
    write(source / "csv/Kinetics_Validate.csv", HEADER + "drumming,abc,90,100,val,0\nyoga,other,1,11,val,0\n")
    for name in ("abc_4_14.mp4", "abc_50_60.mp4", "abc_90_100.mp4", "other.mp4"):
        write(source / name)
    drawn = listing(source)
    assert [(video.name, video.subsets["split1"]) for video in drawn.videos] == [
        ("yoga/abc_4_14.mp4", "train"),
        ("yoga/other.mp4", "test"),
    ]
    assert not drawn.unlisted and not drawn.missing and drawn.classes == ("drumming", "yoga")


def test_a_draw_list_is_taken_exactly(source: Path) -> None:
    for name in [*TRAIN["yoga"], *TRAIN["air drumming"]]:
        write(source / f"{name}.mp4")
    draw = write(
        source / "draw.txt", f"# ours\n\n{TRAIN['yoga'][2]}\r\n{TRAIN['air drumming'][5]}\n{TEST['yoga'][0]} \n"
    )
    drawn = listing(source, draw=draw, train=0, test=0)
    assert [video.class_id for video in drawn.videos] == [0, 1]
    assert drawn.options == {"draw": {"train": ["train_-05aA", "yoga_-2"], "test": []}, "rule": "list"}
    assert drawn.missing == ("yoga/test_-0",)
    recorded = write(source / "again.txt", "\n".join(drawn.options["draw"]["train"]))
    assert listing(source, draw=recorded).videos == drawn.videos


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("yoga_-1\n\n# x\nYOGA_-1\n", 'line 4: expected a youtube_id of one of the CSVs, got "YOGA_-1"'),
        ("yoga_-1\nyoga_-1\n", 'line 2: "yoga_-1" is listed twice'),
    ],
)
def test_a_bad_draw_list_names_the_line(source: Path, content: str, message: str) -> None:
    write(source / "yoga_-1.mp4")
    with pytest.raises(BuildError, match=f"draw.txt, {message}"):
        listing(source, draw=write(source / "draw.txt", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("yoga,abc,4,14,train,0\n", "line 1: expected a header with label,youtube_id,time_start,time_end,split"),
        (HEADER + "yoga,abc,4,14,train\n", "line 2: expected 6 cells"),
        (HEADER + "yoga,abc,4,14,train,0\nyoga,../abc,4,14,train,0\n", "line 3: youtube_id must be of"),
        (HEADER + "yoga,abc,four,14,train,0\n", 'line 2: time_start must be whole seconds, got "four"'),
        (HEADER + "yoga,abc,4," + "9" * 5000 + ",train,0\n", "line 2: time_end must be whole seconds"),
        (HEADER + ",abc,4,14,train,0\n", "line 2: label must be"),
        (HEADER + "yoga/x,abc,4,14,train,0\n", "line 2: label must be"),
        (HEADER + "yoga,abc,4,14,val,0\n", 'line 2: split must be train in this CSV, got "val"'),
    ],
)
def test_a_bad_csv_names_file_line_and_column(source: Path, content: str, message: str) -> None:
    write(source / "yoga_-1.mp4")
    write(source / "csv/kinetics_train.csv", content)
    with pytest.raises(BuildError, match=f"kinetics_train.csv, {message}"):
        listing(source)


def test_what_is_missing_is_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as raised:
        listing(tmp_path / "nowhere")
    for part in ("no directory", "kinetics400.tar.gz", "CVDF", f"below {tmp_path}/nowhere,"):
        assert part in str(raised.value)
    with pytest.raises(BuildError, match="no videos below"):
        listing(source)
    write(source / "unknown.mp4")
    with pytest.raises(BuildError, match="is one of the 22 that were drawn"):
        listing(source)
    write(source / "csv/other_train.csv")
    with pytest.raises(BuildError, match=r"more than one .*: kinetics_train\.csv, other_train\.csv; keep one"):
        listing(source)
    (source / "csv/other_train.csv").unlink()
    (source / "csv/Kinetics_Validate.csv").unlink()
    with pytest.raises(BuildError, match=r"no \*val\*\.csv in"):
        listing(source)


def test_the_real_csvs_with_made_up_files(data: Path, tmp_path: Path) -> None:
    expected = {}
    for subset, name in (("train", "tiny_train.csv"), ("test", "tiny_val.csv")):
        with (data / "splits/kinetics" / name).open(newline="") as file:
            for row in list(csv.DictReader(file))[:200]:
                path = write(tmp_path / row["label"].replace(" ", "_") / f"{row['youtube_id']}.mp4")
                expected[path] = (row["label"], subset)
    options = load_recipe("default").datasets["kinetics_n50"]
    drawn = list_kinetics_n50(tmp_path, data / "splits/kinetics", None, options)
    assert {video.source: (video.class_name, video.subsets["split1"]) for video in drawn.videos} == expected
    assert len(drawn.classes) == 400 and drawn.classes[0] == "abseiling" and len(drawn.missing) == 400
    assert len(drawn.options["draw"]["train"]) == len(drawn.options["draw"]["test"]) == 200


def test_the_real_clips_with_rows_of_their_own(data: Path, tmp_path: Path) -> None:
    write(tmp_path / "my_train.csv", HEADER + "making tea,R6llTwEh07w,1,11,train,0\n")
    write(tmp_path / "my_val.csv", HEADER + "making tea,SOX5yA1l24A,1,11,val,0\n")
    drawn = list_kinetics_n50(data / "clips/kinetics", tmp_path, None, load_recipe("default").datasets["kinetics_n50"])
    assert [video.subsets["split1"] for video in drawn.videos] == ["train", "test"]


IDS = st.text("abAB01_-", min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(present=st.sets(IDS, min_size=1, max_size=12), absent=st.sets(IDS, max_size=12), quota=st.integers(1, 8))
def test_the_draw_is_the_first_present_by_hash(present: set[str], absent: set[str], quota: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        write(source / "train.csv", rows({"yoga": sorted(present | absent)}, "train"))
        write(source / "val.csv", HEADER)
        for name in present:
            write(source / f"{name}.mp4")
        drawn = listing(source, train=quota)
    taken = by_hash(present)[:quota]
    assert drawn.options["draw"] == {"train": sorted(taken), "test": []}
    order = by_hash(present | absent)
    passed = order if len(taken) < quota else order[: order.index(taken[-1])]
    assert set(drawn.missing) == {f"yoga/{name}" for name in passed if name not in present}
