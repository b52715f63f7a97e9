"""Columns return what was stored: exactly if they are lossless, within stated bounds if they are JPEG."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_sets import ENCODINGS, payload_of

from shards import ShardError
from shards.columns import Payload, column_of
from shards.columns.flow import FLOW
from shards.columns.iframe import IFRAME
from shards.columns.jpeg import decode_jpeg, encode_jpeg
from shards.columns.mv import MV, decode_payload
from shards.columns.residual import RESIDUAL

BOUND_PX = ENCODINGS["flow"]["bound_px"]


def mv_payload(mv: np.ndarray) -> Payload:
    """The payload of vectors (P, h, w, 2), for a picture of whole macroblocks."""
    return payload_of("mv", list(mv), width=16 * mv.shape[2], height=16 * mv.shape[1])


def there_and_back(name: str, values: np.ndarray) -> np.ndarray:
    """One frame's values, stored, encoded, decoded and restored."""
    column, encoding = column_of(name), ENCODINGS[name]
    data = column.encode(column.store(values, encoding), encoding)
    height, width = values.shape[:2]
    return column.restore(column.decode(data, width=width, height=height), encoding)


def flow_levels(flow_px: np.ndarray, *, bound_px: float) -> np.ndarray:
    return FLOW.store(flow_px, {"bound_px": bound_px})


SIZES = st.tuples(st.integers(16, 70), st.integers(16, 70))  # height, width; odd ones too


def smooth(size: tuple[int, int], seed: int, *, low: float, high: float, channels: int) -> np.ndarray:
    """(H, W, channels) float between two values, of low frequencies, like most photographs and motion."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [np.sin(a + 2 * np.pi * (x * b + y * c) / 64) for a, b, c in rng.uniform(0, 1, (channels, 3))]
    return low + (np.stack(waves, axis=-1) + 1) / 2 * (high - low)


@given(hnp.arrays(np.int16, st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4), st.just(2))))
def test_mv_comes_back_exactly(mv: np.ndarray) -> None:
    payload = mv_payload(mv)
    decoded = decode_payload(payload.data)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, mv)


@given(SIZES, st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_one_mv_frame_is_read_without_the_rest(size: tuple[int, int], count: int, seed: int) -> None:
    height, width = size
    shape = (count, -(-height // 16), -(-width // 16), 2)
    mv = np.random.default_rng(seed).integers(-(2**15), 2**15, shape).astype(np.int16)
    payload = payload_of("mv", list(mv), width=width, height=height)
    assert len(payload) == count
    for position in range(count):
        frame = MV.decode(payload.frame(position), width=width, height=height)
        np.testing.assert_array_equal(frame, mv[position])


def test_mv_is_plain_little_endian_npy() -> None:
    mv = np.array([[[[1, -2]]]], np.int16)
    payload = mv_payload(mv)
    assert payload.data[payload.header :] == b"\x01\x00\xfe\xff"
    assert np.load(io.BytesIO(payload.data), allow_pickle=False).dtype.str == "<i2"
    assert payload.frames == [0, 4]
    assert payload.data == npy(mv)  # equal to NumPy's own file, in versions that pad to 128 bytes


def test_a_video_without_p_frames_has_an_mv_header_alone() -> None:
    payload = mv_payload(np.empty((0, 3, 4, 2), np.int16))
    assert (len(payload), payload.header) == (0, len(payload.data))
    assert decode_payload(payload.data).shape == (0, 3, 4, 2)


@pytest.mark.parametrize(
    "mv",
    [
        np.zeros((0, 2, 2), np.int16),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2, 3), np.int16),
        np.zeros((2, 2, 2), np.int32),
    ],
)
def test_mv_of_another_shape_or_type_is_refused(mv: Any) -> None:
    with pytest.raises(ShardError, match=r"mv must be \(h, w, 2\) int16"):
        MV.encode(mv, {})


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


HOSTILE = npy(np.zeros((1, 1, 1, 2), "<i2")).replace(b"(1, 1, 1, 2)", b"(9**9,1,1,2)")
VAST = npy(np.zeros((1, 1, 1, 2), "<i2")).replace(b"(1, 1, 1, 2), }        ", b"(999999999, 1, 1, 2), }")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no array",
        npy(np.zeros((1, 1, 1, 2), "<i2"))[:-1],
        npy(np.zeros((1, 1, 1, 2), ">i2")),
        npy(np.zeros((1, 1, 1, 2), "<f4")),
        npy(np.zeros((1, 2), "<i2")),
        npy(np.array([[[[{}, {}]]]], object), allow_pickle=True),
        HOSTILE,
        VAST,
    ],
    ids="empty text cut big-endian float flat pickle expression vast".split(),
)
def test_bytes_that_hold_no_vectors_are_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match="not an npy array of motion vectors"):
        decode_payload(data)


def test_mv_frame_of_another_size_is_refused() -> None:
    with pytest.raises(ShardError, match=r"mv frame of 8 bytes does not hold \(3, 1, 2\)"):
        MV.decode(b"\0" * 8, width=16, height=33)
    with pytest.raises(ShardError, match=r"mv frame of 8 bytes does not hold \(3, 1, 2\)"):
        MV.check_frame(b"\0" * 8, width=16, height=33)


@given(SIZES, st.integers(0, 1000))
def test_smooth_pictures_survive_jpeg_within_2_levels_on_average(size: tuple[int, int], seed: int) -> None:
    picture = smooth(size, seed, low=20, high=230, channels=3).astype(np.uint8)
    decoded = there_and_back("iframe", picture)
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).mean() < 2


@given(SIZES, st.integers(0, 1000))
def test_smooth_residuals_survive_jpeg_within_1_level_on_average(size: tuple[int, int], seed: int) -> None:
    residual = smooth(size, seed, low=-90, high=90, channels=3).astype(np.int16)
    error = np.abs(there_and_back("residual", residual) - residual)
    assert error.mean() < 1
    assert np.percentile(error, 99) <= 4


@given(SIZES, st.integers(0, 1000))
def test_smooth_flow_survives_within_a_level_on_average(size: tuple[int, int], seed: int) -> None:
    flow_px = smooth(size, seed, low=-6, high=6, channels=2).astype(np.float32)
    error_px = np.abs(there_and_back("flow", flow_px) - flow_px)
    assert error_px.mean() < BOUND_PX / 127.5
    assert error_px.max() < 6 * BOUND_PX / 127.5


def test_flow_planes_are_not_swapped() -> None:
    flow_px = np.zeros((32, 48, 2), np.float32)
    flow_px[..., 0], flow_px[..., 1] = 5, -7
    np.testing.assert_allclose(there_and_back("flow", flow_px), flow_px, atol=0.1)


def test_channels_are_red_green_blue() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    decoded = there_and_back("iframe", red)
    assert decoded[8, 8, 0] > 190
    assert decoded[8, 8, 2] < 10


def test_stored_residual_is_exact_and_clips() -> None:
    residual = np.array([-255, -129, -128, -127, 0, 1, 127, 128, 255], np.int16).reshape(1, 3, 3)
    stored = RESIDUAL.store(residual, {})
    assert stored.ravel().tolist() == [0, 0, 0, 1, 128, 129, 255, 255, 255]
    assert RESIDUAL.restore(stored, {}).ravel().tolist() == [-128, -128, -128, -127, 0, 1, 127, 127, 127]


def test_stored_flow_is_exact_and_clips() -> None:
    level_px = 20 / 127.5
    flow_px = np.float32([-1000, -20.1, 0, level_px, -level_px, 0.49 * level_px, 0.51 * level_px, 19.9, 1000])
    assert flow_levels(flow_px, bound_px=20).tolist() == [0, 0, 128, 129, 127, 128, 129, 255, 255]


def test_halves_round_to_even() -> None:
    # With this bound a level is exactly 2 px, so 1 px and 3 px are exact halves of levels in float32.
    assert flow_levels(np.float32([1, 3, -1, -3]), bound_px=255).tolist() == [128, 130, 128, 126]


@given(
    hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1, 1, width=32)),
    st.floats(0.5, 100),
)
def test_stored_flow_is_within_half_a_level(shares: np.ndarray, bound_px: float) -> None:
    flow_px = (shares * np.float32(bound_px)).astype(np.float32)
    restored = FLOW.restore(flow_levels(flow_px, bound_px=bound_px), {"bound_px": bound_px})
    half_level_px = bound_px / 127.5 / 2
    assert np.abs(restored - flow_px).max() <= half_level_px * 1.0001


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_flow_that_is_not_finite_is_refused(value: float) -> None:
    flow_px = np.zeros((16, 16, 2), np.float32)
    flow_px[3, 4, 1] = value
    with pytest.raises(ShardError, match="not finite"):
        flow_levels(flow_px, bound_px=20)


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(ShardError, match=r"flow must be stored as \(H, W, 2\) uint8"):
        FLOW.encode(np.zeros((16, 16, 3), np.uint8), ENCODINGS["flow"])
    with pytest.raises(ShardError, match=r"iframe must be stored as \(H, W, 3\) uint8"):
        IFRAME.encode(np.zeros((16, 16, 3), np.float32), ENCODINGS["iframe"])
    with pytest.raises(ShardError, match=r"residual must be \(H, W, 3\) int16"):
        RESIDUAL.store(np.zeros((16, 16, 3), np.uint8), ENCODINGS["residual"])


def jpeg(height: int, width: int) -> bytes:
    return encode_jpeg(np.zeros((height, width), np.uint8), quality=95)


def with_size(data: bytes, height: int, width: int) -> bytes:
    """A JPEG that claims another size in its frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"text", b"\x89PNG\r\n", with_size(jpeg(16, 16), 65500, 65500)])
def test_bytes_that_are_no_jpeg_are_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match=f"{len(data)} bytes are not a JPEG image"):
        decode_jpeg(data)


def test_a_png_is_not_taken_for_a_jpeg() -> None:
    import cv2

    with pytest.raises(ShardError, match="not a JPEG"):
        decode_jpeg(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())


@pytest.mark.parametrize("column", ["iframe", "residual", "flow"])
def test_pictures_of_another_size_than_the_record_says_are_refused(column: str) -> None:
    with pytest.raises(ShardError, match=f"{column}: its image is 32x16 px, its sample asks for 32x(24|48)"):
        column_of(column).decode(jpeg(16, 32), width=32, height=24)


def test_a_flow_image_of_odd_height_is_refused() -> None:
    with pytest.raises(ShardError, match="flow: its image is"):
        FLOW.decode(jpeg(17, 16), width=16, height=8)


@pytest.mark.parametrize(
    ("data", "frames", "header", "message"),
    [
        (b"abc", [], 0, "must rise from 0"),
        (b"abc", [1, 3], 0, "must rise from 0"),
        (b"abc", [0, 2, 2, 3], 0, "must rise from 0"),
        (b"abc", [0, 4, 3], 0, "must rise from 0"),
        (b"abc", [0, 4], -1, "must rise from 0"),
        (b"abc", [0, 2], 0, "frames end at byte 2 of 3"),
        (b"abc", [0, 3], 1, "frames end at byte 4 of 3"),
        (b"abc", [0], 0, "frames end at byte 0 of 3"),
    ],
)
def test_payload_refuses_offsets_that_do_not_cut_it(data: bytes, frames: list[int], header: int, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        Payload(data=data, frames=frames, header=header)
