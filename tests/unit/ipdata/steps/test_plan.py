"""The plan is a pure function that orders, groups and cuts."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdata.columns.registry import choose_columns
from ipdata.datasets.base import Listing, Video
from ipdata.errors import BuildError
from ipdata.recipe import BuildRecipe, Limits, load_recipe
from ipdata.steps.plan import make_plan
from shards.errors import ShardError
from shards.keys import order_of

RECIPE = load_recipe("default")
CLASSES = ("class0", "class1", "class2")


def listing_of(videos: list[Video], *, splits: tuple[str, ...] = ("split1", "split2")) -> Listing:
    return Listing(dataset="folder", classes=CLASSES, splits=splits, videos=tuple(videos))


def video_of(number: int, *subsets: str) -> Video:
    class_id = number % len(CLASSES)
    name = f"{CLASSES[class_id]}/video{number}.avi"
    chosen = dict(zip(("split1", "split2"), subsets, strict=True))
    return Video(name=name, source=Path(name), class_name=CLASSES[class_id], class_id=class_id, subsets=chosen)


def with_shards(**changes: int) -> BuildRecipe:
    return replace(RECIPE, shards=replace(RECIPE.shards, **changes))


SUBSET = st.sampled_from(["train", "test", "unused"])


@given(st.lists(st.tuples(SUBSET, SUBSET), min_size=1, max_size=60), st.integers(1, 9), st.randoms())
def test_every_video_once_in_order_grouped_and_cut(
    subsets: list[tuple[str, str]], size: int, shuffle: random.Random
) -> None:
    videos = [video_of(number, *pair) for number, pair in enumerate(subsets)]
    plan = make_plan(listing_of(videos), with_shards(videos_per_shard=size))
    assert plan.grouped
    assert sorted(video.name for video in plan.videos.values()) == sorted(video.name for video in videos)
    assert [shard.shard for shard in plan.shards] == [f"{n:05d}" for n in range(len(plan.shards))]
    for shard in plan.shards:
        assert 1 <= len(shard.videos) <= size
        assert all(video.subsets == shard.subsets for video in shard.videos.values())
        assert list(shard.videos) == sorted(shard.videos, key=lambda key: order_of(0, key))
    shuffle.shuffle(videos)
    assert make_plan(listing_of(videos), with_shards(videos_per_shard=size)).shards == plan.shards


def test_too_many_groups_are_not_grouped() -> None:
    videos = [video_of(n, ("train", "test", "unused")[n % 3], ("train", "test")[n % 2]) for n in range(30)]
    plan = make_plan(listing_of(videos), with_shards(videos_per_shard=7, max_split_groups=5))
    assert not plan.grouped and [len(shard.videos) for shard in plan.shards] == [7, 7, 7, 7, 2]
    assert all(shard.subsets is None for shard in plan.shards)


def test_seed_changes_the_order_but_not_the_members() -> None:
    videos = [video_of(n, "train", "train") for n in range(40)]
    plans = [make_plan(listing_of(videos), with_shards(seed=seed)) for seed in (0, 1)]
    assert list(plans[0].videos) != list(plans[1].videos)
    assert set(plans[0].videos) == set(plans[1].videos)


def test_limits_choose_and_are_checked() -> None:
    videos = [video_of(n, "train", "test") for n in range(30)]
    limited = replace(RECIPE, limits=Limits(videos=4, classes=("class1",)))
    plan = make_plan(listing_of(videos), limited)
    assert len(plan.videos) == 4
    assert {video.class_name for video in plan.videos.values()} == {"class1"}
    assert {video.class_id for video in plan.videos.values()} == {1}  # ids stay the dataset's
    whole = make_plan(listing_of(videos), replace(RECIPE, limits=Limits(classes=("class1",))))
    assert list(plan.videos) == list(whole.videos)[:4]
    with pytest.raises(BuildError, match=r"no class 'class9'; it has class0, class1, class2"):
        make_plan(listing_of(videos), replace(RECIPE, limits=Limits(classes=("class9",))))


def test_keys_that_collide_are_refused_with_both_names() -> None:
    twice = [video_of(1, "train", "train"), video_of(1, "train", "train")]
    with pytest.raises(ShardError, match=r"class1/video1\.avi.* and .*class1/video1\.avi.* same key"):
        make_plan(listing_of(twice), RECIPE)


def test_nothing_left_is_an_error() -> None:
    listing = replace(
        listing_of([video_of(1, "train", "train")]),
        videos=(),
        missing=("class1/video1.avi",),
        missing_classes=("class1",),
    )
    with pytest.raises(BuildError, match="no video is left to build; 1 listed videos are missing"):
        make_plan(listing, RECIPE)


def test_columns_are_chosen_in_the_formats_order() -> None:
    assert choose_columns("residual, mv") == ("mv", "residual")
    assert choose_columns(None) == ("iframe", "mv", "residual", "flow", "video")
    with pytest.raises(BuildError, match=r"unknown column 'rgb'; known: iframe, mv, residual, flow, video"):
        choose_columns("mv,rgb")
