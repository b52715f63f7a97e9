"""The self-test of a machine: what it makes of a small drawn clip, with the recipe and the columns of a build."""

from dataclasses import replace

from ipdata.datasets.base import Video
from ipdata.errors import BuildError
from ipdata.steps.extract import Failed, VideoTask, run_step
from ipdata.steps.scratch import scratch_dir
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis
from shards.canonical import sha256_file

NAME, KEY = "self-test", "self-test-00000000"  # of the clip
FRAMES = 3  # an I-frame and two P-frames


def clip_for(task: VideoTask) -> VideoTask | None:
    """The work on the clip, as this task's. None if the task transcodes nothing: its bitstream is that of a set."""
    if isinstance(task.video.source, Stored):
        return None
    size = task.recipe.transcode
    clip = Synthesis(class_name="rotate_cw", index=0, frames=FRAMES, width=size.width, height=size.height, seed=0)
    video = Video(name=NAME, class_name=clip.class_name, class_id=0, subsets=task.video.subsets, source=clip)
    return replace(task, key=KEY, video=video)


def extracted(task: VideoTask) -> dict[str, str]:
    """Column -> sha256 of its payload, by the first step of a task; or why the clip is no video for this recipe.

    Only the first step is run: it makes what any machine can make, without a resource such as a GPU.

    Raises: BuildError if this machine is at fault.
    """
    with scratch_dir() as scratch:
        outcome = run_step(replace(task, payload_dir=scratch), task.steps[0], None)
        if not isinstance(outcome, Failed):
            hashes = {name: sha256_file(file.path) for name, file in outcome.payloads.items()}
            return {**hashes, "bitstream": outcome.sample.video_sha256}
    failure = outcome.failure
    if failure.stage == "worker":
        raise BuildError(f"the self-test's clip cannot be extracted: {outcome.detail}")
    return {"failure": f"{failure.stage}/{failure.code}"}
