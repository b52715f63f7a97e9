"""Frames that were written to a file one by one are read again by position."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdata.steps.spool import Spool, payload_path
from shards.columns import column_of
from shards.errors import ShardError

SIZE = {"width": 32, "height": 16}  # px; 2 macroblocks, so a frame of mv has 8 bytes
MV, VIDEO = column_of("mv"), column_of("video")


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=6))
def test_spooled_frames_come_apart(frames: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Spool(payload_path(Path(folder) / "new", "key", "video"), VIDEO, frames=len(frames), **SIZE) as spool:
            spool.add(frames[:2])
            spool.add(frames[2:])
            payload = spool.payload()
        assert [payload.frame(position) for position in range(len(payload))] == frames
        assert payload.path.read_bytes() == payload.data == b"".join(frames)


def test_the_header_comes_first(tmp_path: Path) -> None:
    frames = [bytes([number]) * 8 for number in range(3)]
    with Spool(tmp_path / "mv", MV, frames=3, **SIZE) as spool:
        spool.add(frames)
        payload = spool.payload()
    assert payload.data == MV.header(3, **SIZE) + b"".join(frames) and payload.frame(1) == frames[1]


def test_frames_of_another_number_or_size_are_refused(tmp_path: Path) -> None:
    with Spool(tmp_path / "mv", MV, frames=3, **SIZE) as spool:
        spool.add([bytes(8)] * 2)
        with pytest.raises(ShardError, match="mv frame of 9 bytes does not hold"):
            spool.add([bytes(9)])
        with pytest.raises(ShardError, match="its maker gave 2 frames, 3 are needed"):
            spool.payload()
