"""The build recipe: everything that decides the bytes of a set, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, make_dataclass, replace
from typing import Any

from ipdata.columns.registry import column_build_of, column_builds, has_defaults
from ipdata.datasets import DATASETS
from ipdata.video.transcode import Transcode
from pipelines import RecipeError, from_table, load
from shards.canonical import sha256_value
from shards.manifest import ColumnInfo
from shards.schema import FORMAT

MAX_FRAMES = 100_000  # of a video: an hour at 25 frames/s has 90,000


@dataclass(frozen=True, kw_only=True)
class SourceLimits:
    """The recipe's table [source]. Raises ValueError if max_frame_deficit is not a share, 0 to 1."""

    max_frame_deficit: float  # share of the announced frames that may be missing

    def __post_init__(self) -> None:
        if not 0 <= self.max_frame_deficit <= 1:
            raise ValueError(f"max_frame_deficit must be a share, 0 to 1, got {self.max_frame_deficit}")


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The recipe's table [shards]. Raises ValueError if videos_per_shard is below 1."""

    seed: int  # of the order of the samples
    videos_per_shard: int
    max_split_groups: int  # with more groups of equal subsets, shards are not grouped by subset

    def __post_init__(self) -> None:
        if self.videos_per_shard < 1:
            raise ValueError(f"videos_per_shard must be at least 1, got {self.videos_per_shard}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The recipe's table [limits], for a smaller set, and against very long videos. Raises ValueError below 1."""

    videos: int | None = None  # keep only the first ones in the set's order
    frames: int | None = None  # keep only the first ones of each video
    classes: tuple[str, ...] = ()  # keep only videos of these classes; empty keeps all
    max_frames: int | None = MAX_FRAMES  # a video of which more would be kept fails; None: any length

    @property
    def given(self) -> dict[str, Any]:
        """The limits that make the set smaller, as "limit_videos" and so on, for the manifest."""
        limits = {name: value for name, value in asdict(self).items() if name != "max_frames"}
        return {f"limit_{name}": value for name, value in limits.items() if value not in (None, ())}

    def __post_init__(self) -> None:
        for name in ("videos", "frames", "max_frames"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < 2**63:  # ffmpeg counts in 64 bits
                raise ValueError(f"{name} must be at least 1, and less than 2^63, got {value}")
        # The order in which a user names classes decides no byte of a set.
        object.__setattr__(self, "classes", tuple(sorted(set(self.classes))))


@dataclass(frozen=True, kw_only=True)
class BuildRecipe:
    """The tables of a recipe file. A column or a dataset may define a table of its own."""

    transcode: Transcode
    source: SourceLimits
    shards: Shards
    limits: Limits = field(default_factory=Limits)
    columns: dict[str, Any]  # the table of each column that has one, by the column's name
    datasets: dict[str, Any]  # the options of each dataset that has some, by the dataset's name

    @property
    def size(self) -> dict[str, int]:
        """Width and height of the transcoded pictures, px, as keywords."""
        return {"width": self.transcode.width, "height": self.transcode.height}

    def tables(self) -> dict[str, dict[str, Any]]:
        """Every table as JSON values, under its name in a recipe file."""
        named = {name: getattr(self, name) for name in ("transcode", "source", "shards", "limits")}
        return {name: asdict(table) for name, table in {**named, **self.columns, **self.datasets}.items()}

    def column(self, name: str, tools: dict[str, str], *, format: int) -> ColumnInfo:
        """What a column's bytes depend on, for a manifest of this format.

        Columns with equal recipe hashes, algorithms and tools can be joined.
        """
        build, table = column_build_of(name), self.columns.get(name)
        recipe: dict[str, Any] = {
            "transcode": asdict(self.transcode),
            "limit_frames": self.limits.frames,
            "max_frame_deficit": self.source.max_frame_deficit,
            name: build.recipe(table),
        }
        stated: dict[str, Any] = {
            "payload": build.column.payload,
            "pictures": build.column.pictures,
            "algorithm": build.algorithm,
        }
        return ColumnInfo(
            recipe=recipe,
            recipe_sha256=sha256_value(recipe),
            encoding=build.encoding(table, format=format),
            tools=self.tools_of(name, tools, format=format),
            **(stated if format > 1 else {}),
        )

    def tools_of(self, column: str, tools: dict[str, str], *, format: int) -> dict[str, str]:
        """The part of `tools` (name -> version) that a column depends on, as a manifest of this format lists it.

        Format 1 lists the version of this package. Format 2 has the column's algorithm instead, and lists PyAV, which
        brings libavcodec, so that a set says what to install.
        """
        build = column_build_of(column)
        names = {*build.tools(self.columns.get(column)), *build.packages}
        if format == 1:
            names.add("ipdata")
        elif "libavcodec" in names:
            names.add("av")
        return {name: tools.get(name, "none") for name in sorted(names)}

    def resource(self, column: str) -> str:
        """The resource that a worker needs to make a column; empty if any worker can make it."""
        return column_build_of(column).resource(self.columns.get(column))


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> BuildRecipe:
    """Load a recipe by name or from a file, and apply `key=value` overrides. Raises: pipelines.RecipeError."""
    columns = {name: build.table for name, build in column_builds().items() if build.table and name not in DATASETS}
    datasets = {name: dataset.options for name, dataset in DATASETS.items() if dataset.options is not None}
    own = [(each.name, each.type, _default(each)) for each in fields(BuildRecipe) if each.name not in _OPEN]
    open_tables = [(name, table, _default_table(table)) for name, table in {**columns, **datasets}.items()]
    schema = make_dataclass("BuildRecipe", [*own, *open_tables], frozen=True, kw_only=True)
    tables = vars(load(schema, "build", name_or_file, overrides))
    return BuildRecipe(
        **{name: tables[name] for name, _, _ in own},
        columns={name: tables[name] for name in columns},
        datasets={name: tables[name] for name in datasets},
    )


def recorded_recipe(columns: Mapping[str, ColumnInfo], *, where: str) -> BuildRecipe:
    """The recipe that columns of a set state, for making them again. Of the tables of other columns it has none.

    It has no limit of length: none is stated, because it decides no byte of a sample.

    Raises: RecipeError that begins with `where` if this version cannot make such columns, or if they were not made from
        one bitstream.
    """
    for name, info in columns.items():
        lacking = [key for key in _SHARED if key not in info.recipe]
        if lacking:
            raise RecipeError(f"{where}: column {name} does not state {', '.join(lacking)} in its recipe")
    shared = [{name: info.recipe[name] for name in _SHARED} for info in columns.values()]
    if any(other != shared[0] for other in shared):
        raise RecipeError(f"{where}: its columns must state one and the same {', '.join(_SHARED)} in their recipes")
    transcode, limit_frames, max_frame_deficit = shared[0].values()
    builds = {name: build for name in columns if (build := column_build_of(name)).table is not None}
    own: list[tuple[str, Any]] = [("transcode", Transcode), ("source", SourceLimits), ("limits", Limits)]
    schema = make_dataclass("Recorded", own + [(name, build.table) for name, build in builds.items()], frozen=True)
    tables = {
        "transcode": transcode,
        "source": {"max_frame_deficit": max_frame_deficit},
        "limits": {} if limit_frames is None else {"frames": limit_frames},
        **{name: columns[name].recipe.get(name) for name in builds},
    }
    read = dict(vars(from_table(schema, tables, where=where)))
    order = Shards(seed=0, videos_per_shard=1, max_split_groups=1)  # decides no byte of a column
    read["limits"] = replace(read["limits"], max_frames=None)
    own_tables = {name: read[name] for name in builds}
    recipe = BuildRecipe(**{name: read[name] for name, _ in own}, shards=order, columns=own_tables, datasets={})
    for name, info in columns.items():
        if recipe.column(name, {}, format=FORMAT).recipe_sha256 != info.recipe_sha256:
            raise RecipeError(f"{where}: column {name} has a recipe with settings that this version does not know")
    return recipe


_OPEN = ("columns", "datasets")
_SHARED = ("transcode", "limit_frames", "max_frame_deficit")  # in the recipe of every column


def _default(own: Field) -> Any:
    return field() if own.default_factory is MISSING else field(default_factory=own.default_factory)


def _default_table(table: type) -> Any:
    """The field for a table: a table whose keys all have defaults may be left out of a recipe file."""
    return field(default_factory=table) if has_defaults(table) else field()
