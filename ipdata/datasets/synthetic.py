"""The built-in dataset: synthetic videos whose classes differ by motion alone, or by tint alone."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ipdata.datasets.base import Dataset, Listing, Video
from ipdata.datasets.folder import videos_to_test
from ipdata.video.synthesis import CLASSES, Synthesis

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

    def __post_init__(self) -> None:
        if min(self.videos_per_class, self.frames) < 1:
            raise ValueError("videos_per_class and frames must be at least 1")
        if self.frames > MAX_FRAMES or self.videos_per_class > MAX_VIDEOS:
            raise ValueError(f"videos_per_class must be at most {MAX_VIDEOS}, and frames at most {MAX_FRAMES}")
        if not 16 <= min(self.width, self.height) <= max(self.width, self.height) <= MAX_SIDE_PX:
            raise ValueError(f"width and height must be 16 to {MAX_SIDE_PX} px")


def list_synthetic(source: Path, splits: Path | None, draw: Path | None, options: Synthetic) -> Listing:
    """List the videos. Class ids are in order of the class names; the last videos of each class are for testing.

    Raises: BuildError.
    """
    first_test = options.videos_per_class - videos_to_test(options.videos_per_class, TEST_SHARE)
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
            ),
            class_name=class_name,
            class_id=class_id,
            subsets={"split1": "test" if index >= first_test else "train"},
        )
        for class_id, class_name in enumerate(CLASSES)
        for index in range(options.videos_per_class)
    ]
    return Listing(
        dataset=SYNTHETIC.name,
        classes=CLASSES,
        splits=("split1",),
        videos=tuple(sorted(videos, key=lambda video: video.name)),
        options=asdict(options),
    )


SYNTHETIC = Dataset(
    name="synthetic", expects=EXPECTS, default_recipe="small", list_videos=list_synthetic, options=Synthetic
)
