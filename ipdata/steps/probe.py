"""What one video will come to, from all of its transcode and from some of its groups of pictures. For `ipdata plan`.

The beginning of a video tells little: people stand still before they act. So the groups of pictures (GOPs) are drawn
from its first 600 frames. Each begins with an I-frame and its headers, so that any of them make a bitstream by
themselves.
"""

import resource
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from ipdata.steps.encode import Clock, encode_columns
from ipdata.steps.extract import VideoTask, failure_of, transcoded
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import staged
from ipdata.video.decode import coded_pictures
from ipdata.video.decode_source import source_facts
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis
from shards.store.listed import ListedFile
from shards.tar import member_bytes

TRANSCODED_FRAMES = 600  # of a video, at most
GOPS = 2  # that columns are made of


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What one probed video will come to as a whole."""

    frames: int
    column_bytes: dict[str, float]  # in the tars, with headers and records
    cpu_s: float  # of all processes


def probe(task: VideoTask, seed: int) -> Probe | None:
    """Transcode a video, make the columns of some GOPs, and scale both to its length. None if it cannot be extracted.

    Raises: BuildError if this machine is at fault.
    """
    try:
        return _probe(task, Random(f"{seed} {task.key}"))
    except Exception as error:
        failure_of(task, error)
        return None


def _probe(task: VideoTask, random: Random) -> Probe:
    source, limit = task.video.source, task.recipe.limits.frames
    assert not isinstance(source, Stored)  # plans are of builds, which transcode
    most = min(TRANSCODED_FRAMES, limit or TRANSCODED_FRAMES)
    recipe = replace(task.recipe, limits=replace(task.recipe.limits, frames=most))
    with scratch_dir() as scratch:
        m4v, part = scratch / "video.m4v", scratch / "part.m4v"
        began_s = _cpu_s()
        sample = transcoded(replace(task, recipe=recipe), source, m4v, Clock())
        transcode_s = _cpu_s() - began_s
        types = _some_gops(m4v, sample.picture_types, part, random)
        files = {column: scratch / column for column in task.columns}
        began_s = _cpu_s()
        payloads = encode_columns(part, files, recipe, Clock(), picture_types=types)
        columns_s = _cpu_s() - began_s
        frames = sample.frames if sample.frames < most else _frames_of(source, limit)
    scale = frames / len(types)
    record_bytes = member_bytes(frames * len(sample.to_json()) // sample.frames)  # most of it is a number a frame
    record_bytes += member_bytes(len(str(sample.class_id)))
    return Probe(
        frames=frames,
        column_bytes={
            name: record_bytes + member_bytes(round(scale * payload.size_bytes)) for name, payload in payloads.items()
        },
        cpu_s=frames * transcode_s / sample.frames + scale * columns_s,
    )


def _some_gops(m4v: Path, picture_types: str, to: Path, random: Random) -> str:
    """Write some GOPs of a bitstream to a file. Those of full length are drawn, if there are enough of them.

    Returns: the types of their pictures.
    """
    starts = [number for number, kind in enumerate(picture_types) if kind == "I"]
    gops = list(zip(starts, [*starts[1:], len(picture_types)], strict=True))
    full = [(start, end) for start, end in gops if end - start == gops[0][1] - gops[0][0]]
    drawn = sorted(random.sample(full, min(GOPS, len(full))))
    pictures = list(coded_pictures(m4v))
    to.write_bytes(b"".join(picture for start, end in drawn for picture in pictures[start:end]))
    return "".join(picture_types[start:end] for start, end in drawn)


def _frames_of(source: Path | ListedFile | Synthesis, limit: int | None) -> int:
    """Number of frames that decode, up to `limit`. Raises: VideoError."""
    if isinstance(source, Synthesis):
        return min(source.frames, limit or source.frames)
    with scratch_dir() as scratch:
        path = staged(source, scratch)
        assert isinstance(path, Path)
        return source_facts(path, limit_frames=limit).frames


def _cpu_s() -> float:
    """CPU time of this process and of those that it has waited for, such as ffmpeg."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
