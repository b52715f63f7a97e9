"""Chosen frames of videos that are in no set, made as the columns of a set were: what a model needs to predict.

Each video is extracted in a child process, with the checks of a build. A video that fails costs only itself.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ipdata.columns.registry import column_build_of, packages_of
from ipdata.datasets.base import Video, is_video, video_files
from ipdata.errors import BuildError
from ipdata.executors import VIDEO_TIMEOUT_S
from ipdata.executors.isolated import end_child, parts_in_child
from ipdata.recipe import recorded_recipe
from ipdata.steps.chosen import Choice, Frames, chosen_frames
from ipdata.steps.encode import Clock
from ipdata.steps.extract import Failed, VideoTask, failure_of, transcoded
from ipdata.steps.scratch import scratch_dir
from ipdata.video.tools import tools_here
from shards.keys import key_of
from shards.manifest import ColumnInfo
from shards.schema import Sample

Choose = Callable[[Sample], Sequence[Choice]]
Part = Sample | Frames | Failed
NOWHERE = Path()  # no payload is written


class Extraction:
    """How chosen frames are made: by the recipes that the columns of a set state."""

    def __init__(
        self,
        columns: Mapping[str, ColumnInfo],
        choose: Choose,
        *,
        where: str,
        whole: bool = False,
        video_timeout_s: float = VIDEO_TIMEOUT_S,
        ffmpeg: str | None = None,
    ) -> None:
        """choose: can be pickled; it is called in a child with a video's record and gives choices in order of time.

        where: what errors call the columns' description. whole: ignore a limit of frames that the set had.
        video_timeout_s: for the first part of a video, and for each further one.

        Raises: RecipeError if this version cannot make such columns; BuildError if this machine cannot.
        """
        recipe = recorded_recipe(columns, where=where)
        self._recipe = replace(recipe, limits=replace(recipe.limits, frames=None)) if whole else recipe
        self._columns, self._choose = tuple(columns), choose
        self._timeout_s, self._ffmpeg = video_timeout_s, ffmpeg
        self._tools = tools_here(ffmpeg, packages=packages_of(columns))
        for name, info in columns.items():
            build = column_build_of(name)
            build.check(self._recipe.columns.get(name), self._tools)
            if (info.algorithm or 1) != build.algorithm:
                versions = f"algorithm {info.algorithm or 1}, this version of the package has {build.algorithm}"
                raise BuildError(f"{where}: column {name} was made by {versions}; install the other version")
        stated = {tool: version for info in columns.values() for tool, version in info.tools.items()}
        self.other_tools = {
            tool: (version, self._tools.get(tool, "none"))
            for tool, version in stated.items()
            if tool not in ("av", "ipdata") and self._tools.get(tool, "none") != version
        }

    def close(self) -> None:
        """End the child of the calling thread."""
        end_child()

    def frames_of(self, m4v: Path, sample: Sample, choice: Choice) -> Frames:
        """Chosen frames of a bitstream that was transcoded already, made in this process.

        Raises: VideoError if it is damaged, or not what the record says.
        """
        (frames,) = chosen_frames(m4v, [choice], self._recipe, picture_types=sample.picture_types)
        return frames

    def parts(self, path: Path, name: str) -> Generator[Part, None, None]:
        """The record of a video, then the frames of each choice; or, at any point, a Failed that ends it.

        The child belongs to the calling thread, which ends it with `close`. name: what errors call the video.

        Raises: BuildError if this machine is at fault.
        """
        video = Video(name=name, source=path, class_name="", class_id=0, subsets={"none": "unused"})
        task = VideoTask(
            key=key_of(class_name="", name=name),
            video=video,
            recipe=self._recipe,
            columns=self._columns,
            tools=self._tools,
            payload_dir=NOWHERE,
            ffmpeg=self._ffmpeg,
        )
        return parts_in_child(task, _parts_of, task, self._choose, timeout_s=self._timeout_s)


def _parts_of(task: VideoTask, choose: Choose) -> Iterator[Part]:
    """What a child does. Raises: BuildError."""
    assert isinstance(task.video.source, Path)
    try:
        with scratch_dir() as scratch:
            m4v = scratch / "video.m4v"
            sample = transcoded(task, task.video.source, m4v, Clock(), as_it_is=True)
            yield sample
            yield from chosen_frames(m4v, choose(sample), task.recipe, picture_types=sample.picture_types)
    except Exception as error:
        yield failure_of(task, error)


def videos_below(directory: Path) -> list[Path]:
    """The video files in a directory and below it, in order of their names. Raises: BuildError."""
    return [path for path in video_files(directory) if is_video(path)]
