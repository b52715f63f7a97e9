"""The built-in dataset: synthetic videos whose classes differ by motion alone, or by tint alone."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ipdata.datasets.base import Dataset, Listing, Video
from ipdata.datasets.folder import videos_to_test
from ipdata.video.synthesis import ALL_CLASSES, CLASSES, Difficulty, Synthesis

TEST_SHARE = 0.3

EXPECTS = """\
Nothing: the videos are drawn during the build. Number, length and size are settings of the recipe (synthetic.*)."""


MAX_FRAMES, MAX_VIDEOS, MAX_SIDE_PX = 10_000, 1_000_000, 4096  # far beyond any use


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """The recipe's table [synthetic]. Sizes in px before the transcode. Raises ValueError for empty videos."""

    videos_per_class: int = 6
    frames: int = 30
    width: int = 112
    height: int = 84
    seed: int = 0
    test_share: float = TEST_SHARE  # of the videos of each class, to test on
    motions: Literal[6, 12] = 6  # classes of motion: right, left, rotations, zooms; with 12, six more directions
    difficulty: Difficulty = field(default_factory=Difficulty)

    def __post_init__(self) -> None:
        if min(self.videos_per_class, self.frames) < 1:
            raise ValueError("videos_per_class and frames must be at least 1")
        if self.frames > MAX_FRAMES or self.videos_per_class > MAX_VIDEOS:
            raise ValueError(f"videos_per_class must be at most {MAX_VIDEOS}, and frames at most {MAX_FRAMES}")
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share must be above 0 and below 1, got {self.test_share}")
        if not 16 <= min(self.width, self.height) <= max(self.width, self.height) <= MAX_SIDE_PX:
            raise ValueError(f"width and height must be 16 to {MAX_SIDE_PX} px")

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES if self.motions == 6 else ALL_CLASSES

    def stated(self) -> dict[str, Any]:
        """As JSON values, for the manifest. Sets that are older than the last three fields lack them."""
        values, default = asdict(self), asdict(Synthetic())
        newer = ("test_share", "motions", "difficulty")
        return {key: value for key, value in values.items() if key not in newer or value != default[key]}


def list_synthetic(source: Path, splits: Path | None, draw: Path | None, options: Synthetic) -> Listing:
    """List the videos. Class ids are in order of the class names; the last videos of each class are for testing.

    Raises: BuildError.
    """
    first_test = options.videos_per_class - videos_to_test(options.videos_per_class, options.test_share)
    videos = [
        Video(
            name=f"{class_name}/{class_name}_{index:03d}.y4m",
            source=Synthesis(
                class_name=class_name,
                index=index,
                frames=options.frames,
                width=options.width,
                height=options.height,
                seed=options.seed,
                difficulty=options.difficulty,
            ),
            class_name=class_name,
            class_id=class_id,
            subsets={"split1": "test" if index >= first_test else "train"},
        )
        for class_id, class_name in enumerate(options.classes)
        for index in range(options.videos_per_class)
    ]
    return Listing(
        dataset=SYNTHETIC.name,
        classes=options.classes,
        splits=("split1",),
        videos=tuple(sorted(videos, key=lambda video: video.name)),
        options=options.stated(),
    )


SYNTHETIC = Dataset(
    name="synthetic", expects=EXPECTS, default_recipe="small", list_videos=list_synthetic, options=Synthetic
)
