"""The build recipe: everything that decides the bytes of a set, and nothing else."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from shards.canonical import sha256_value
from shards.manifest import ColumnInfo

Chroma = Literal["4:4:4", "4:2:2", "4:2:0"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Transcode:
    """MPEG-4 Part 2 at one size. Section 4.1 of the paper: 340x256, GOP 12."""

    width: int
    height: int
    gop: int
    quantiser: int

    def __post_init__(self) -> None:
        _require(self.width % 2 == 0 and 16 <= self.width <= 8190, f"width must be even, 16 to 8190, got {self.width}")
        _require(
            self.height % 2 == 0 and 16 <= self.height <= 8190, f"height must be even, 16 to 8190, got {self.height}"
        )
        _require(1 <= self.gop <= 600, f"gop must be 1 to 600 frames, got {self.gop}")
        _require(2 <= self.quantiser <= 31, f"quantiser must be 2 (finest) to 31, got {self.quantiser}")


@dataclass(frozen=True, kw_only=True)
class Source:
    max_frame_deficit: float  # share of the announced frames

    def __post_init__(self) -> None:
        _require(
            0 <= self.max_frame_deficit <= 1, f"max_frame_deficit is a share, 0 to 1, got {self.max_frame_deficit}"
        )


@dataclass(frozen=True, kw_only=True)
class Shards:
    seed: int
    videos_per_shard: int
    max_split_groups: int

    def __post_init__(self) -> None:
        _require(self.videos_per_shard >= 1, f"videos_per_shard must be at least 1, got {self.videos_per_shard}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A smaller set: none of them given means everything."""

    videos: int | None = None  # the first in the set's order
    frames: int | None = None  # of each video, from its start
    classes: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, Any]:
        """Only those that limit something, as "limit_videos" and so on, for the manifest."""
        return {f"limit_{name}": value for name, value in asdict(self).items() if value not in (None, ())}

    def __post_init__(self) -> None:
        for name in ("videos", "frames"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} must be at least 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class Iframe:
    quality: int
    chroma: Chroma


@dataclass(frozen=True, kw_only=True)
class Residual:
    definition: Literal["previous", "accumulated", "codec"]
    quality: int
    chroma: Chroma


@dataclass(frozen=True, kw_only=True)
class Flow:
    """TV-L1 (Zach, Pock and Bischof 2007); parameters as OpenCV names and defaults them."""

    backend: Literal["numba", "cuda", "opencv"]
    bound_px: float
    quality: int
    tau: float
    lambda_: float
    theta: float
    scales: int
    scale_step: float
    warps: int
    epsilon: float
    inner_iterations: int
    outer_iterations: int
    median_px: int

    def __post_init__(self) -> None:
        _require(self.bound_px > 0, f"bound_px must be positive, got {self.bound_px}")
        _require(0 < self.scale_step < 1, f"scale_step must lie between 0 and 1, got {self.scale_step}")
        _require(self.median_px in (1, 3, 5), f"median_px must be 1 (none), 3 or 5, got {self.median_px}")
        counts = (self.scales, self.warps, self.inner_iterations, self.outer_iterations)
        _require(min(counts) >= 1, f"scales, warps and iterations must be at least 1, got {counts}")
        weights = (self.tau, self.lambda_, self.theta)
        _require(1e-6 <= min(weights) <= max(weights) <= 1e6, f"tau, lambda_, theta must be 1e-6 to 1e6, got {weights}")
        _require(self.epsilon >= 0, f"epsilon must not be negative, got {self.epsilon}")


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """The embedded dataset's options. Sizes in px before the transcode."""

    videos_per_class: int = 6
    frames: int = 30
    width: int = 112
    height: int = 84
    seed: int = 0

    def __post_init__(self) -> None:
        _require(min(self.videos_per_class, self.frames) >= 1, "videos_per_class and frames must be at least 1")
        _require(min(self.width, self.height) >= 16, "width and height must be at least 16 px")


@dataclass(frozen=True, kw_only=True)
class Kinetics:
    """The paper's subset of Kinetics-400 (section 4.1): so many videos of each class."""

    train_per_class: int = 30
    test_per_class: int = 20

    def __post_init__(self) -> None:
        _require(min(self.train_per_class, self.test_per_class) >= 0, "videos a class cannot be negative")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """How videos without a CSV of splits are divided."""

    test_share: float = 0.3  # of each class
    seed: int = 0

    def __post_init__(self) -> None:
        _require(0 <= self.test_share <= 1, f"test_share is a share, 0 to 1, got {self.test_share}")


@dataclass(frozen=True, kw_only=True)
class BuildRecipe:
    transcode: Transcode
    source: Source
    shards: Shards
    iframe: Iframe
    residual: Residual
    flow: Flow
    limits: Limits = field(default_factory=Limits)
    synthetic: Synthetic = field(default_factory=Synthetic)
    kinetics_n50: Kinetics = field(default_factory=Kinetics)
    folder: Folder = field(default_factory=Folder)

    def __post_init__(self) -> None:
        for name in ("iframe", "residual", "flow"):
            quality = getattr(self, name).quality
            _require(1 <= quality <= 100, f"{name}.quality must be 1 to 100, got {quality}")

    def column(self, name: str, tools: dict[str, str]) -> ColumnInfo:
        """What a column's bytes depend on; two sets whose columns have equal hashes and tools can be joined."""
        media, fields = ENCODINGS[name]
        own = asdict(getattr(self, name)) if fields else {}
        recipe: dict[str, Any] = {
            "transcode": asdict(self.transcode),
            "limit_frames": self.limits.frames,
            "max_frame_deficit": self.source.max_frame_deficit,
            name: own,
        }
        encoding = {"media": media, **{field: own[field] for field in fields}}
        return ColumnInfo(recipe=recipe, recipe_sha256=sha256_value(recipe), encoding=encoding, tools=tools)


# What a reader must know of a column: its media type and these fields of its table, if the recipe has one for it.
ENCODINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "iframe": ("jpeg", ("quality", "chroma")),
    "residual": ("jpeg", ("quality", "chroma", "definition")),
    "flow": ("jpeg", ("quality", "bound_px", "backend")),
    "mv": ("npy", ()),
    "video": ("mpeg4", ()),
}
