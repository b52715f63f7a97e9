"""What a clip is made of: the same frames and the same crop of every column, drawn anew for each sample and epoch."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_sets import make_set, scenes

from ipmodel.data.clips import Clips, ClipSettings
from ipmodel.data.sampling import middle_positions
from ipmodel.data.transforms import cut
from ipmodel.errors import ModelError
from ipmodel.recipe import Input
from shards import ShardSet
from shards.motion import accumulate

SMALL = Input(resize_px=32, crop_px=32)
SETTINGS = ClipSettings(modalities=("mr", "flow"), segments=3, input=SMALL)


@pytest.fixture(scope="module")
def shard_set(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("clips") / "set"
    make_set(folder)
    return ShardSet(folder)


def clips_of(shard_set: ShardSet, **changes: object) -> Clips:
    return Clips(shard_set, list(shard_set.samples()), replace(SETTINGS, **changes))  # type: ignore[arg-type]


def positions_of(clips: Clips, draw: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Which frames of each column a clip reads."""
    read, seen = ShardSet.stored_frames, {}

    def noted(self: ShardSet, key: str, column: str, positions: list[int]) -> Iterator[np.ndarray]:
        seen[column] = list(positions)
        return read(self, key, column, positions)

    with monkeypatch.context() as patched:
        patched.setattr(ShardSet, "stored_frames", noted)
        clips[draw]
    return seen


def test_mv_residual_and_flow_are_of_the_same_frames(shard_set: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = clips_of(shard_set)
    drawn = [positions_of(clips, (epoch, 0), monkeypatch) for epoch in range(6)]
    assert all(set(seen) == {"mv", "residual", "flow"} for seen in drawn)
    assert all(seen["mv"] == seen["residual"] == seen["flow"] for seen in drawn)
    assert len({tuple(seen["mv"]) for seen in drawn}) > 1  # other frames in other epochs


def test_accumulated_vectors_are_those_since_the_iframe(shard_set: ShardSet) -> None:
    """CoViAR's field, which shards.motion.accumulate makes, in 8-bit levels."""
    sample = next(iter(shard_set.samples()))
    whole = Input(resize_px=32, crop_px=32, motion_bound_px=5.0)
    clip = clips_of(shard_set, modalities=("mv_accumulated",), segments=40, input=whole, test_crops=1)[0, 0]
    mvs, numbers = shard_set.read(sample.key, "mv"), shard_set.frame_numbers(sample.key, "mv")
    assert sample.picture_types.count("I") > 1
    expected = []
    for place in middle_positions(len(numbers), 40):
        iframe = sample.picture_types.rindex("I", 0, numbers[place])
        since = [mv for mv, number in zip(mvs, numbers, strict=True) if iframe < number <= numbers[place]]
        displaced = accumulate(np.stack(since), width=sample.width, height=sample.height)
        levels = np.clip(np.trunc(displaced * 127.5 / 5.0) + 128, 0, 255).astype(np.uint8)
        expected.append(cut(levels, clip.window, 32))
    found = clip.columns["mv_accumulated"]
    assert np.array_equal(found, np.stack(expected)) and len(np.unique(found)) > 4


def test_residuals_of_another_definition_are_refused(shard_set: ShardSet) -> None:
    cure = (
        "residual has the definition previous, a phase wants accumulated; build one with `ipdata build --set residual"
    )
    with pytest.raises(ModelError, match=cure):
        clips_of(shard_set, modalities=("mr_accumulated",))


def test_crops_differ_between_samples_and_epochs_and_are_the_same_again(shard_set: ShardSet) -> None:
    clips = clips_of(shard_set)
    windows = {(epoch, number): clips[epoch, number].window for epoch in range(5) for number in range(5)}
    assert len({windows[epoch, 0] for epoch in range(5)}) > 2 and len({windows[0, number] for number in range(5)}) > 2
    again = clips_of(shard_set)
    assert all(again[draw].window == window for draw, window in windows.items())
    other_seed = clips_of(shard_set, seed=1)
    assert any(other_seed[draw].window != window for draw, window in windows.items())


def test_iframes_have_scales_and_jitter_of_their_own_in_training_alone(shard_set: ShardSet) -> None:
    settings = replace(SMALL, scales=(1.0,), iframe_scales=(0.5,), colour_jitter=0.5, flip=False)
    training = clips_of(shard_set, modalities=("i",), input=settings)
    assert {training[0, n].window.width for n in range(4)} == {32}  # of 64
    assert {clips_of(shard_set, input=settings)[0, n].window.width for n in range(4)} == {64}
    plain = clips_of(shard_set, modalities=("i",), input=replace(settings, colour_jitter=0.0))
    assert not np.array_equal(training[0, 0].columns["iframe"], plain[0, 0].columns["iframe"])
    tested, plainly = (
        clips_of(shard_set, modalities=("i",), input=chosen, test_crops=1)
        for chosen in (settings, replace(settings, colour_jitter=0.0))
    )
    assert np.array_equal(tested[0, 0].columns["iframe"], plainly[0, 0].columns["iframe"])


def test_in_testing_the_first_number_is_the_crop(shard_set: ShardSet) -> None:
    clips = clips_of(shard_set, test_crops=10, input=replace(SMALL, resize_px=48))
    assert len({clips[crop, 0].window for crop in range(10)}) == 10


def test_pictures_of_two_sizes_are_refused(tmp_path: Path) -> None:
    videos = scenes()
    make_set(tmp_path / "set", [replace(videos[0], width=80), *videos[1:]])
    with pytest.raises(ModelError, match="pictures of 2 sizes"):
        clips_of(ShardSet(tmp_path / "set"))


AFTER_OPENCV_HAD_THREADS = """
import sys
import cv2
import numpy as np
from ipmodel.data.clips import Clips, ClipSettings, loader
from ipmodel.recipe import Input
from shards import ShardSet

cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (0, 0), 5)
shard_set = ShardSet(sys.argv[1])
settings = ClipSettings(modalities=("mr",), segments=2, input=Input(resize_px=32, crop_px=32))
clips = Clips(shard_set, list(shard_set.samples())[:2], settings)
(batch,) = loader(clips, lambda: iter([[(0, 0), (0, 1)]]), workers=1)
assert len(batch) == 2 and cv2.getNumThreads() == 4
"""


def test_loader_processes_begin_though_opencv_has_had_threads(shard_set: ShardSet) -> None:
    """In a process of its own, because it hung: OpenCV's threads do not survive a fork."""
    script = [sys.executable, "-c", AFTER_OPENCV_HAD_THREADS, shard_set.location]
    subprocess.run(script, check=True, timeout=120)
