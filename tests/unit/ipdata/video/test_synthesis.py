"""Synthetic videos: their motion and tint, and that their fields decide every byte."""

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from ipdata.errors import BuildError
from ipdata.video.synthesis import CLASSES, DIRECTIONS, MOTIONS, SPEEDS, Difficulty, Synthesis

MOVE_LEFT = Synthesis(class_name="move_left", index=0, frames=3, width=112, height=84, seed=0)


def luma(class_name: str, *, index: int = 0, frames: int = 2, **size: int) -> np.ndarray:
    """(frames, height, width) uint8."""
    video = replace(MOVE_LEFT, class_name=class_name, index=index, frames=frames, **size)
    return np.stack([picture[0] for picture in video.draw()])


def movement(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """The motion that TV-L1 sees, by kind: px to the right, rad clockwise, octaves larger."""
    flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None)
    height, width = first.shape
    x, y = np.arange(width)[None, :] - (width - 1) / 2, np.arange(height)[:, None] - (height - 1) / 2
    u, v, squares = flow[..., 0], flow[..., 1], (x * x + y * y).sum()
    sine, growth = (x * v - y * u).sum() / squares, (x * u + y * v).sum() / squares
    angle = np.arctan2(sine, 1 + growth)
    return {"move": u.mean(), "rotate": angle, "zoom": np.log2(np.hypot(1 + growth, sine))}


@pytest.mark.parametrize("class_name", MOTIONS)
def test_tvl1_sees_the_motion_of_the_class_and_no_other(class_name: str) -> None:
    kind, sign = MOTIONS[class_name]
    slowest, fastest = SPEEDS[kind]
    pictures = luma(class_name, frames=30)
    seen = [movement(pictures[number], pictures[number + 1]) for number in (0, 14, 28)]
    speeds = [sign * one[kind] for one in seen]
    assert 0.95 * slowest < min(speeds) and max(speeds) < 1.05 * fastest
    assert max(speeds) - min(speeds) < 0.05 * fastest  # constant within a video
    others = [abs(one[other]) / SPEEDS[other][1] for one in seen for other in SPEEDS if other != kind]
    assert max(others) < 0.05


@pytest.mark.parametrize("class_name", DIRECTIONS)
def test_tvl1_sees_the_further_directions(class_name: str) -> None:
    first, second = luma(class_name)
    flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None).mean((0, 1))
    angle, (slowest, fastest) = DIRECTIONS[class_name], SPEEDS["move"]
    assert 0.95 * slowest < np.hypot(*flow) < 1.05 * fastest
    np.testing.assert_allclose(flow / np.hypot(*flow), (np.cos(angle), np.sin(angle)), atol=0.05)


def hard(**difficulty: float) -> np.ndarray:
    """The luma of a video with this difficulty, (frames, height, width) float64."""
    video = replace(MOVE_LEFT, frames=8, difficulty=Difficulty(**difficulty))  # type: ignore[arg-type]
    return np.stack([picture[0] for picture in video.draw()]).astype(float)


def test_each_difficulty_does_what_it_says() -> None:
    easy = hard()
    assert hard(contrast=0.25).std() == pytest.approx(0.25 * easy.std(), rel=0.3)
    speeds = [abs(movement(*hard(slowest=low, fastest=low)[:2].astype(np.uint8))["move"]) for low in (0.2, 1.0)]
    assert speeds[0] < 0.2 * SPEEDS["move"][1] * 1.1 and speeds[1] > SPEEDS["move"][0] * 0.9
    noisy = hard(noise=12.0, contrast=0.01)
    assert noisy.std() == pytest.approx(12, rel=0.1) and not np.allclose(noisy[0], noisy[1], atol=3)
    shaken = hard(shake_px=3.0)
    pairs = [(shaken[number], shaken[number + 1]) for number in range(7)]
    moves = [movement(first.astype(np.uint8), second.astype(np.uint8))["move"] for first, second in pairs]
    assert np.std(moves) > 1.0


def test_distractors_are_discs_that_move() -> None:
    """Over a texture that is hardly to be seen, what differs from frame to frame is at the discs."""
    video = replace(MOVE_LEFT, frames=30, difficulty=Difficulty(distractors=3, slowest=0.001, fastest=0.001))
    pictures = np.stack([picture[0] for picture in video.draw()]).astype(float)
    changed = np.abs(np.diff(pictures, axis=0)) > 8
    assert 0.02 < changed.mean() < 0.4
    assert changed.any(0).mean() > 2 * changed.mean()  # they come to other places


def test_block_matching_sees_translation() -> None:
    first, second = luma("move_right", index=1)
    block = first[32:48, 48:64]
    costs = [np.abs(second[32:48, 48 + dx : 64 + dx].astype(int) - block).sum() for dx in range(-7, 8)]
    assert 1 <= np.argmin(costs) - 7 <= 4
    assert min(costs) < 0.35 * costs[7]  # well below the cost of no motion


def test_stills_of_all_motion_classes_have_the_same_look_at_every_time() -> None:
    def look(class_name: str) -> np.ndarray:
        """Contrast and mean gradient of frames 0 and 12, (2, 2): they would show a change of size or of grain."""
        videos = [luma(class_name, index=index, frames=13)[[0, 12]].astype(float) for index in range(25)]
        return np.mean([(video.std((1, 2)), np.abs(np.diff(video)).mean((1, 2))) for video in videos], axis=0).T

    looks = np.concatenate([look(class_name) for class_name in MOTIONS])
    assert (np.ptp(looks, axis=0) / looks.mean(axis=0) < 0.15).all()


@pytest.mark.parametrize("class_name", ["zoom_in", "zoom_out"])
def test_a_zoom_never_runs_out_of_texture(class_name: str) -> None:
    pictures = luma(class_name, frames=400)[::40].astype(float)
    gradients = np.abs(np.diff(pictures)).mean((1, 2))
    assert gradients.max() / gradients.min() < 2 and pictures.std((1, 2)).min() > 20


def test_tint_tells_the_appearance_classes_and_nothing_else_has_one() -> None:
    for index in range(10):
        chroma = {}
        for class_name in CLASSES:
            picture = next(replace(MOVE_LEFT, class_name=class_name, index=index).draw())
            assert len(np.unique(picture[1])) == len(np.unique(picture[2])) == 1
            chroma[class_name] = (int(picture[1, 0, 0]), int(picture[2, 0, 0]))
        assert {chroma[class_name] for class_name in MOTIONS} == {(128, 128)}
        (warm_cb, warm_cr), (cool_cb, cool_cr) = chroma["warm"], chroma["cool"]
        assert warm_cb <= 114 and warm_cr >= 142 and cool_cb >= 142 and cool_cr <= 114


def test_appearance_classes_move_in_all_ways() -> None:
    strongest = set()
    for index in range(30):
        seen = movement(*luma("warm", index=index, width=64, height=48))
        kind = max(SPEEDS, key=lambda kind: abs(seen[kind]) / SPEEDS[kind][1])
        strongest.add((kind, int(np.sign(seen[kind]))))
    assert strongest == set(MOTIONS.values())


def test_equal_fields_give_equal_videos_and_every_field_counts() -> None:
    def drawn(video: Synthesis) -> bytes:
        return b"".join(picture.tobytes() for picture in video.draw())

    others = [
        replace(MOVE_LEFT, class_name="warm"),
        replace(MOVE_LEFT, index=1),
        replace(MOVE_LEFT, frames=4),
        replace(MOVE_LEFT, width=113),
        replace(MOVE_LEFT, height=85),
        replace(MOVE_LEFT, seed=1),
        replace(MOVE_LEFT, difficulty=Difficulty(contrast=0.5)),
        replace(MOVE_LEFT, difficulty=Difficulty(slowest=0.5)),
        replace(MOVE_LEFT, difficulty=Difficulty(fastest=2.0)),
        replace(MOVE_LEFT, difficulty=Difficulty(noise=1.0)),
        replace(MOVE_LEFT, difficulty=Difficulty(shake_px=1.0)),
        replace(MOVE_LEFT, difficulty=Difficulty(distractors=1)),
    ]
    assert drawn(replace(MOVE_LEFT)) == drawn(MOVE_LEFT)
    assert replace(MOVE_LEFT).sha256() == MOVE_LEFT.sha256()
    assert len({video.sha256() for video in (MOVE_LEFT, *others)}) == 13
    assert len({drawn(video) for video in (MOVE_LEFT, *others)}) == 13


@pytest.mark.parametrize(("width", "height"), [(112, 84), (17, 33)])
def test_ffmpeg_reads_what_is_written(tmp_path: Path, width: int, height: int) -> None:
    video = replace(MOVE_LEFT, class_name="cool", width=width, height=height)
    video.write(tmp_path / "a.y4m")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "a.y4m"), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert raw == b"".join(picture.tobytes() for picture in video.draw())
    assert (tmp_path / "a.y4m").read_bytes().startswith(b"YUV4MPEG2 W%d H%d F25:1 " % (width, height))


def test_impossible_videos_are_refused() -> None:
    with pytest.raises(BuildError, match='no synthetic class "jump"; known: cool, move_down'):
        replace(MOVE_LEFT, class_name="jump")
    with pytest.raises(BuildError, match="at least 1"):
        replace(MOVE_LEFT, frames=0)
