"""The synthetic dataset follows the recipe."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from ipdata.datasets.base import Listing
from ipdata.datasets.synthetic import SYNTHETIC, list_synthetic
from ipdata.errors import BuildError
from ipdata.recipe import load_recipe
from ipdata.video.synthesis import ALL_CLASSES, CLASSES, Difficulty, Synthesis
from pipelines import RecipeError


def listing(*settings: str) -> Listing:
    return list_synthetic(Path("/nowhere"), None, None, load_recipe("small", settings).datasets["synthetic"])


def test_videos_follow_the_recipe() -> None:
    drawn = listing("synthetic.videos_per_class=10", "synthetic.frames=5", "synthetic.seed=3")
    assert drawn.classes == CLASSES and drawn.splits == ("split1",) and len(drawn.videos) == 10 * len(CLASSES)
    counts = Counter((video.class_name, video.subsets["split1"]) for video in drawn.videos)
    assert counts == {(name, subset): n for name in CLASSES for subset, n in (("train", 7), ("test", 3))}
    video = next(video for video in drawn.videos if video.name == "zoom_in/zoom_in_004.y4m")
    fields = {"class_name": "zoom_in", "index": 4, "frames": 5, "width": 112, "height": 84, "seed": 3}
    assert video.source == Synthesis(**fields)
    assert drawn.classes[video.class_id] == "zoom_in"
    assert drawn.options == {"videos_per_class": 10, "frames": 5, "width": 112, "height": 84, "seed": 3}


def test_as_a_benchmark_it_has_more_classes_and_is_harder() -> None:
    drawn = listing("synthetic.motions=12", "synthetic.difficulty.noise=4", "synthetic.difficulty.distractors=2")
    assert drawn.classes == ALL_CLASSES and len(ALL_CLASSES) == 14 and len(drawn.videos) == 6 * 14
    difficulty = Difficulty(noise=4.0, distractors=2)
    assert {video.source.difficulty for video in drawn.videos} == {difficulty}  # type: ignore[union-attr]
    harder = Counter(video.subsets["split1"] for video in listing("synthetic.test_share=0.8").videos)
    assert harder == {"train": len(CLASSES), "test": 5 * len(CLASSES)}
    assert drawn.options["motions"] == 12 and drawn.options["difficulty"] == asdict(difficulty)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("motions=7", "motions must be one of 6, 12"),
        ("test_share=1", "test_share must be above 0 and below 1"),
        ("difficulty.contrast=0", "contrast must be above 0"),
        ("difficulty.slowest=3", "slowest and fastest must be positive"),
        ("difficulty.noise=-1", "must be 0 to 100"),
        ("difficulty.distractors=101", "must be 0 to 100"),
    ],
)
def test_impossible_difficulties_are_refused(setting: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        listing(f"synthetic.{setting}")


@pytest.mark.parametrize(("videos", "tests"), [(1, 0), (2, 1), (3, 1), (6, 2)])
def test_both_subsets_have_a_video_where_there_are_two(videos: int, tests: int) -> None:
    subsets = Counter(video.subsets["split1"] for video in listing(f"synthetic.videos_per_class={videos}").videos)
    assert subsets["test"] == tests * len(CLASSES) and subsets["train"] == (videos - tests) * len(CLASSES)


def test_names_stay_in_order_beyond_a_thousand_videos() -> None:
    names = [video.name for video in listing("synthetic.videos_per_class=1002").videos]
    assert names == sorted(names) and len(set(names)) == 1002 * len(CLASSES)


def test_lists_and_draws_are_refused() -> None:
    options = load_recipe("small").datasets["synthetic"]
    with pytest.raises(BuildError, match="the dataset synthetic takes no --splits"):
        SYNTHETIC.listing(Path("/nowhere"), Path("/lists"), None, options)
    with pytest.raises(BuildError, match="the dataset synthetic takes no --draw"):
        SYNTHETIC.listing(Path("/nowhere"), None, Path("/draw"), options)
