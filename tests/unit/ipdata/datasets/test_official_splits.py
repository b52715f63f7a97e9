"""The official lists of HMDB51 and UCF101 give the official counts, and a plan whose shards have one subset each.

All listed videos exist as empty files, which are made once.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ipdata.datasets.base import Listing
from ipdata.datasets.hmdb51 import list_hmdb51
from ipdata.datasets.ucf101 import list_ucf101
from ipdata.recipe import load_recipe
from ipdata.steps.plan import Plan, make_plan
from shards.keys import keys_of

HMDB51_COUNTS = {"train": 3570, "test": 1530, "unused": 1666}
UCF101_COUNTS = {
    "split1": {"train": 9537, "test": 3783},
    "split2": {"train": 9586, "test": 3734},
    "split3": {"train": 9624, "test": 3696},
}


def listed(folder: Path, names: Iterable[str], splits: Path, list_videos: Callable[..., Listing]) -> Listing:
    """The listing of empty files with these names."""
    paths = [folder / name for name in names]
    for class_dir in {path.parent for path in paths}:
        class_dir.mkdir()
    for path in paths:
        path.touch(exist_ok=False)
    return list_videos(folder, splits, None, None)


@pytest.fixture(scope="module")
def hmdb51(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Listing:
    splits = data / "splits/hmdb51"
    names = [
        f"{path.name.removesuffix('_test_split1.txt')}/{line.split()[0]}"
        for path in sorted(splits.glob("*_test_split1.txt"))
        for line in path.read_text().splitlines()
    ]
    return listed(tmp_path_factory.mktemp("hmdb51"), names, splits, list_hmdb51)


@pytest.fixture(scope="module")
def ucf101(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Listing:
    splits = data / "splits/ucf101"
    lines = [line for kind in ("train", "test") for line in (splits / f"{kind}list01.txt").read_text().splitlines()]
    names = [line.split()[0] for line in lines if line]
    return listed(tmp_path_factory.mktemp("ucf101"), names, splits, list_ucf101)


def test_hmdb51_has_the_official_counts(hmdb51: Listing) -> None:
    assert len(hmdb51.videos) == 6766 and not hmdb51.missing and not hmdb51.unlisted
    assert len(hmdb51.classes) == 51 and hmdb51.classes == tuple(sorted(hmdb51.classes))
    for split in ("split1", "split2", "split3"):
        assert Counter(video.subsets[split] for video in hmdb51.videos) == HMDB51_COUNTS
    assert all(hmdb51.classes[video.class_id] == video.class_name for video in hmdb51.videos)
    assert [video.name for video in hmdb51.videos] == sorted(video.name for video in hmdb51.videos)
    keys_of((video.class_name, video.name) for video in hmdb51.videos)  # raises where two would be equal


def test_ucf101_has_the_official_counts(ucf101: Listing) -> None:
    assert len(ucf101.videos) == 13_320 and not ucf101.missing and not ucf101.unlisted
    for split, counts in UCF101_COUNTS.items():
        assert Counter(video.subsets[split] for video in ucf101.videos) == counts
    assert len(ucf101.classes) == 101 and ucf101.classes[0] == "ApplyEyeMakeup" and ucf101.classes[100] == "YoYo"
    assert all(ucf101.classes[video.class_id] == video.class_name for video in ucf101.videos)


def whole_shard_counts(plan: Plan) -> list[tuple[int, ...]]:
    """Train, test and unused videos of each split, counted over whole shards."""
    return [
        tuple(
            sum(len(shard.videos) for shard in plan.shards if shard.subsets and shard.subsets[split] == subset)
            for subset in ("train", "test", "unused")
        )
        for split in plan.listing.splits
    ]


def test_hmdb51_splits_are_whole_shards(hmdb51: Listing) -> None:
    plan = make_plan(hmdb51, load_recipe("default"))
    assert len(plan.videos) == 6766
    assert whole_shard_counts(plan) == [(3570, 1530, 1666)] * 3
    assert len({tuple(shard.subsets.items()) for shard in plan.shards if shard.subsets}) == 27


def test_ucf101_splits_are_whole_shards(ucf101: Listing) -> None:
    plan = make_plan(ucf101, load_recipe("default"))
    assert len(plan.videos) == 13_320
    assert whole_shard_counts(plan) == [(9537, 3783, 0), (9586, 3734, 0), (9624, 3696, 0)]
