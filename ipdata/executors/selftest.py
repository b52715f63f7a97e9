"""Who may extract: a worker must make of a small drawn clip the bytes that the driver makes.

A worker passes this self-test before it extracts its first video. So a machine whose libraries compute something else,
though they have the same versions, adds nothing to a set.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ipdata.errors import BuildError
from ipdata.executors.child import ChildDiedError
from ipdata.executors.isolated import call_in_child, child_ended, more_than_its_memory
from ipdata.steps.extract import VideoTask
from ipdata.steps.pack import ShardTask
from ipdata.steps.selftest import clip_for, extracted

TIMEOUT_S = 120.0  # Numba compiles in this time, where it does so for the first time
_taken: dict[str, str] = {}  # names of the tests that this process has taken -> why it failed, "" if it passed
_TESTING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What a worker must be able to do before it extracts a video of a build."""

    name: str  # of the build
    clip: VideoTask
    result: dict[str, str]  # the driver's: column -> sha256 of its payload


def self_test_of(tasks: Sequence[ShardTask], *, name: str) -> SelfTest | None:
    """The self-test for these tasks. None if they transcode nothing, as where columns are added from the column video.

    Raises: BuildError if this machine cannot extract the clip.
    """
    clips = (clip_for(video) for task in tasks for video in task.videos)
    clip = next((clip for clip in clips if clip is not None), None)
    if clip is None:
        return None
    with child_ended():
        return SelfTest(name=name, clip=clip, result=_result(clip))


def check_fit(test: SelfTest) -> None:
    """Take the test, unless this process has taken it before. Raises: BuildError if it does not pass."""
    with _TESTING:
        if test.name not in _taken:
            try:
                _take(test)
                _taken[test.name] = ""
            except BuildError as error:
                _taken[test.name] = str(error)
    if problem := _taken[test.name]:
        raise BuildError(problem)


def _take(test: SelfTest) -> None:
    """Raises: BuildError if it does not pass."""
    found = _result(test.clip)
    other = sorted(name for name in found.keys() | test.result.keys() if found.get(name) != test.result.get(name))
    if other:
        what = f"of the self-test's clip, it makes other bytes than the driver ({', '.join(other)})"
        cure = "its tools have the same versions, so look for other builds of them, and leave this machine out"
        raise BuildError(f"{what}; {cure}")


def _result(clip: VideoTask) -> dict[str, str]:
    """What this machine makes of the clip. Raises: BuildError."""
    try:
        return call_in_child(extracted, clip, timeout_s=TIMEOUT_S)
    except TimeoutError:
        raise BuildError(f"the self-test is not done after {TIMEOUT_S:g} s") from None
    except ChildDiedError as death:
        if death.over_memory:
            raise BuildError(f"the self-test took {more_than_its_memory()}") from None
        raise BuildError(f"the process that extracts ended twice in the self-test, the second time: {death}") from None
