"""The pictures of the column video on the contact sheet, from a small real bitstream of 14 frames, 96x72 px."""

import re
from pathlib import Path

import cv2
import made_sets
import numpy as np
import pytest

from shards import ShardSet
from shards.columns import Payload
from shards.columns.mv import MV
from shards.columns.video import VIDEO
from shards.sheet.frames import read
from shards.sheet.pictures import change_of, pictures_of

CLIP = Path(__file__).parents[3] / "golden" / "clip.m4v"
SIZE = {"width": 96, "height": 72}


def test_pictures_are_those_of_their_frames() -> None:
    pictures = pictures_of(CLIP.read_bytes(), [1, 2, 13], **SIZE)
    assert pictures is not None
    capture = cv2.VideoCapture(str(CLIP), cv2.CAP_FFMPEG)
    everything = [capture.read()[1][:, :, ::-1] for _ in range(14)]
    for picture, number in zip(pictures.rgb, (1, 2, 13), strict=True):
        np.testing.assert_array_equal(picture, everything[number])
    for change, number in zip(pictures.changes, (1, 2, 13), strict=True):
        assert change.shape == (5, 6)
        difference = np.abs(everything[number].astype(int) - everything[number - 1])
        assert change[0, 0] == pytest.approx(difference[:16, :16].mean())
        assert change[4, 5] == pytest.approx(difference[64:, 80:].mean())  # a macroblock that is cut off


def test_a_picture_that_is_repeated_does_not_change() -> None:
    picture = np.arange(20 * 33 * 3, dtype=np.uint8).reshape(20, 33, 3)
    assert change_of(picture, picture).tolist() == np.zeros((2, 3)).tolist()


@pytest.mark.parametrize(
    ("bitstream", "size"),
    [
        (CLIP.read_bytes(), {"width": 64, "height": 48}),  # not the size that the record states
        (CLIP.read_bytes()[:400], SIZE),  # ends before the frame
        (b"\0\0\1\xb6 no picture", SIZE),
        (b"#EXTM3U\n", SIZE),  # a list of other files
        (b"", SIZE),
    ],
)
def test_what_does_not_decode_gives_none(bitstream: bytes, size: dict[str, int]) -> None:
    assert pictures_of(bitstream, [13], **size) is None


def test_p_frames_have_their_own_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set's video is the real clip; its other columns are made up."""
    data = CLIP.read_bytes()
    starts = [0, *[found.start() for found in re.finditer(b"\0\0\1\xb6", data)][1:]]  # the first has a header
    coded = [data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)]

    def video_of(_: made_sets.Scene) -> Payload:
        return made_sets.joined(coded)

    monkeypatch.setattr(made_sets, "video_of", video_of)
    scene = made_sets.Scene(
        name="é.avi", class_name="wave", class_id=0, frames=14, step_px=(3, 0), subsets={"split1": "train"}, **SIZE
    )
    made_sets.make_set(tmp_path, [scene], classes=["wave"])
    shown = read(ShardSet(tmp_path), scene.key, frames=4)
    assert [strip.column.name for strip in shown.strips] == ["video", "mv", "residual", "flow"]
    assert shown.title.startswith("wave/é.avi   class 0: wave   96x72 px, 14 frames   ")
    expected = pictures_of(data, shown.strips[0].numbers, **SIZE)
    assert expected is not None
    np.testing.assert_array_equal(shown.strips[0].frames, expected.rgb)
    assert list(shown.changes) == shown.strips[0].numbers
    only = read(ShardSet(tmp_path), scene.key, frames=4, columns=["mv", "iframe"])
    assert [strip.column.name for strip in only.strips] == ["iframe", "mv"] and only.changes == {}
    assert read(ShardSet(tmp_path), scene.key, frames=4, columns=["mv", "video"]).strips[0].column is VIDEO
    assert only.strips[1].column is MV


def test_a_video_that_does_not_decode_is_named(made: ShardSet, caplog: pytest.LogCaptureFixture) -> None:
    key = made_sets.scenes()[0].key
    assert read(made, key, frames=2).strips[0].column.name == "iframe"
    assert f"{key}: OpenCV cannot decode its video here" in caplog.text
