"""Extraction of videos with known motion, and identities that hold for every video."""

import subprocess
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from moving import HEIGHT, WIDTH, extracted_from, m4v_of, moving_luma, recipe_of, transcoded, write_y4m

from ipdata.errors import VideoError
from ipdata.kernels.residual import moved, subtract
from ipdata.video import decode
from ipdata.video.transcode import EXECUTABLE_VARIABLE, command, executable
from shards.columns.flow import FLOW
from shards.columns.jpeg import decode_jpeg
from shards.columns.mv import decode_payload
from shards.columns.residual import RESIDUAL
from shards.motion import INTRA, compensate, residual

INSIDE = np.s_[32:-32, 32:-32]  # px away from the edges, where content enters and leaves


def flow_px_of(data: bytes) -> np.ndarray:
    return FLOW.restore(FLOW.decode(data, width=WIDTH, height=HEIGHT), {"bound_px": 20})


@pytest.mark.parametrize("step_px", [(4, 0), (-3, 0), (0, 2), (0, -5), (3, -2), (0, 0)])
def test_known_motion_has_the_right_sign_unit_and_size(tmp_path: Path, step_px: tuple[int, int]) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=5, step_px=step_px))
    payloads = extracted_from(source).payloads

    mv = decode_payload(payloads["mv"].data)
    assert mv.shape == (4, HEIGHT // 16, WIDTH // 16, 2)
    inner = mv[:, 2:-2, 2:-2]
    share_right = (inner == 2 * np.array(step_px)).all(axis=-1).mean()
    assert share_right > 0.9, f"{share_right:.0%} of the macroblocks hold {2 * np.array(step_px)} half-pels"

    stored = np.stack([decode_jpeg(payloads["residual"].frame(p)) for p in range(4)])
    assert np.abs(RESIDUAL.restore(stored, {})[:, *INSIDE]).mean() < 1.5  # grey levels; the texture's deviation is 25

    flow_px = np.stack([flow_px_of(payloads["flow"].frame(p)) for p in range(4)])
    error_px = flow_px[:, *INSIDE] - step_px
    assert np.abs(error_px).mean() < 0.15, f"flow is {flow_px[:, *INSIDE].mean((0, 1, 2))}, the motion {step_px}"


FULL_SIZE = ("transcode.width=340", "transcode.height=256")
CLIPS = ("hmdb51/cartwheel/*.avi", "kinetics/R6llTwEh07w.mp4")


@pytest.fixture(params=CLIPS, ids=["hmdb51", "kinetics"])
def clip(request: pytest.FixtureRequest, data: Path) -> Path:
    """A real clip; of all eight, the Kinetics one has the largest residuals."""
    return next((data / "clips").glob(request.param))


def decoded(clip: Path) -> list[decode.Picture]:
    return list(decode.pictures(transcoded(clip, recipe_of(*FULL_SIZE).transcode, frames=30)))


def compensated_by_blocks(previous: np.ndarray, mv: np.ndarray) -> np.ndarray:
    """Motion compensation written a second time, block by block, from the text of the format alone."""
    out = previous.copy()  # what comes from outside the picture stands still
    height, width = previous.shape[:2]
    for row, column in np.ndindex(*mv.shape[:2]):
        x, y = (int(half_pels / 2) if half_pels != INTRA else 0 for half_pels in mv[row, column])
        for py in range(16 * row, min(16 * row + 16, height)):
            first, last = max(16 * column, x, 0), min(16 * column + 16, width, width + x)
            if 0 <= py - y < height and first < last:
                out[py, first:last] = previous[py - y, first - x : last - x]
    return out


def test_compensated_picture_plus_residual_is_the_picture(clip: Path) -> None:
    """Exactly so before encoding, for the definition in numpy and for the compiled residual."""
    changed = 0
    for previous, picture in pairwise(decoded(clip)):
        if picture.mv is not None:
            expected = compensated_by_blocks(previous.rgb, picture.mv)
            assert np.array_equal(compensate(previous.rgb, picture.mv), expected)
            r = residual(picture.rgb, previous.rgb, picture.mv)
            assert np.array_equal(expected + r, picture.rgb)
            assert np.array_equal(subtract(picture.rgb, moved(previous.rgb, picture.mv)), (r + 128).clip(0, 255))
            changed += int((expected != previous.rgb).any())
    assert changed > 20


def test_encoded_residual_is_within_the_stated_error(clip: Path) -> None:
    """docs/shard-format.md states the error: mean 1.0, 99th percentile 4 grey levels, at quality 95 and 4:4:4."""
    payload = extracted_from(clip, *FULL_SIZE, "limits.frames=30", columns=("residual",)).payloads["residual"]
    pictures = decoded(clip)
    pairs = [(a, b) for a, b in pairwise(pictures) if b.mv is not None]
    exact = np.stack([residual(b.rgb, a.rgb, b.mv).clip(-128, 127) for a, b in pairs])
    stored = RESIDUAL.restore(np.stack([decode_jpeg(payload.frame(p)) for p in range(len(payload))]), {})
    error = np.abs(stored - exact)
    assert exact.std() > 3  # the clip moves
    assert error.mean() <= 1.0 and np.percentile(error, 99) <= 4, (error.mean(), np.percentile(error, 99))


def test_colours_are_bt601(clip: Path) -> None:
    """Every channel equals the equation but for rounding; chroma samples repeat, luma below black counts as black."""
    picture = decoded(clip)[0]
    y = picture.i420[:256].astype(float)
    u, v = (
        picture.i420[rows].reshape(128, 170).repeat(2, 0).repeat(2, 1) - 128.0 for rows in (np.s_[256:320], np.s_[320:])
    )
    luma = np.maximum(y - 16, 0) * 255 / 219
    red, blue = luma + 1.402 * 255 / 224 * v, luma + 1.772 * 255 / 224 * u
    green = luma - (0.114 * 1.772 * u + 0.299 * 1.402 * v) / 0.587 * 255 / 224
    expected = np.clip(np.stack([red, green, blue], -1), 0, 255)
    assert np.abs(picture.rgb - expected).max() < 1.6
    assert picture.luma.min() >= 0 and picture.luma.max() > 235


def test_every_macroblock_without_a_vector_is_intra(tmp_path: Path) -> None:
    """A cut in a P-frame: nothing before it can predict it, so the encoder codes intra macroblocks."""
    cut = np.concatenate([moving_luma(frames=3, step_px=(0, 0)), moving_luma(frames=3, step_px=(0, 0), seed=1)])
    payloads = extracted_from(write_y4m(tmp_path / "cut.y4m", cut), columns=("mv",)).payloads
    mv = decode_payload(payloads["mv"].data)
    intra = (mv == INTRA).any(axis=-1).mean(axis=(1, 2)) > 0.5
    assert intra.tolist() == [False, False, True, False, False]
    assert ((mv == INTRA).any(-1) == (mv == INTRA).all(-1)).all()


def test_a_scene_cut_inserts_no_iframe(tmp_path: Path) -> None:
    parts = [moving_luma(frames=4, step_px=(1, 1), seed=seed) for seed in range(5)]
    extracted = extracted_from(write_y4m(tmp_path / "cuts.y4m", np.concatenate(parts)), columns=("video",))
    assert extracted.sample.picture_types == "I" + "P" * 11 + "I" + "P" * 7


def test_the_video_column_is_the_whole_bitstream(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=14, step_px=(2, 1)))
    extracted = extracted_from(source)
    video = extracted.payloads["video"]
    assert len(video) == 14
    with av.open(str(video.path), format="m4v") as container:
        assert sum(1 for _ in container.decode(video=0)) == 14
    rebuilt = list(decode.pictures(video.path))
    iframe = decode_jpeg(extracted.payloads["iframe"].frame(1))
    assert np.abs(iframe.astype(int) - rebuilt[12].rgb).mean() < 3
    assert np.array_equal(
        np.stack([p.mv for p in rebuilt if p.mv is not None]), decode_payload(extracted.payloads["mv"].data)
    )


def test_luma_expands_studio_range() -> None:
    i420 = np.full((24, 16), 128, np.uint8)
    i420[0, :4] = 16, 235, 0, 255
    picture = decode.Picture("I", i420, None)
    assert picture.luma[0, :5].tolist() == [0, 255, 0, 255, 130]


def test_foreign_bitstreams_are_refused_by_name(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=12, step_px=(3, 1)))
    arguments = command(source, recipe_of().transcode, limit_frames=None, path=executable())
    b_frames = [("-bf", "2")]
    four_vectors = [("-flags", "+bitexact+mv4"), ("-mbd", "rd")]
    odd_size = [("-s", "63x47")]
    for changes, word in ((b_frames, "B-picture"), (four_vectors, "4MV"), (odd_size, "63x47 px")):
        with pytest.raises(VideoError, match=word) as caught:
            list(decode.pictures(m4v_of(_encoded_with(arguments, changes))))
        assert (caught.value.stage, caught.value.code) == ("decode", "unsupported")


def test_later_iframes_need_not_repeat_the_headers(tmp_path: Path) -> None:
    """Then all GOPs depend on the first one, whose headers say here that blocks are quantised by a matrix."""
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=30, step_px=(3, 1)))
    arguments = command(source, recipe_of().transcode, limit_frames=None, path=executable())
    m4v = m4v_of(_encoded_with(arguments, [("-mpeg_quant", "1")]))
    coded = list(decode.coded_pictures(m4v))
    for number in (12, 24):
        coded[number] = coded[number][coded[number].index(b"\0\0\1\xb3") :]  # from the header of its GOP on
    whole, (needed,) = list(decode.pictures(m4v)), decode.pictures(m4v_of(b"".join(coded)), needed=[26])
    assert np.array_equal(needed.i420, whole[26].i420)


def _encoded_with(arguments: list[str], changes: list[tuple[str, str]]) -> bytes:
    """The bitstream that ffmpeg writes when it gets these output options after ours, which override them."""
    changed = [argument for change in changes for argument in change]
    output = arguments.index("pipe:1")
    return subprocess.run([*arguments[:output], *changed, *arguments[output:]], capture_output=True, check=True).stdout


def test_a_source_that_decodes_in_two_ways_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This ffmpeg decodes other pictures, as decoders do that do not repeat themselves on damaged data."""
    one, other = (
        write_y4m(tmp_path / f"{seed}.y4m", moving_luma(frames=4, step_px=(1, 0), seed=seed)) for seed in (0, 1)
    )
    (tmp_path / "ffmpeg").write_text(f'#!/bin/bash\nexec {executable()} "${{@/{one.name}/{other.name}}}"\n')
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv(EXECUTABLE_VARIABLE, str(tmp_path / "ffmpeg"))
    with pytest.raises(VideoError, match="4 of 4 pictures, first picture 0, decode to other pixels") as caught:
        extracted_from(one, columns=("video",))
    assert (caught.value.stage, caught.value.code) == ("source", "damaged")


def test_sizes_that_are_no_multiple_of_16(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=3, step_px=(2, 0)))
    extracted = extracted_from(source, "transcode.width=170", "transcode.height=90")
    assert decode_payload(extracted.payloads["mv"].data).shape == (2, 6, 11, 2)
    assert decode_jpeg(extracted.payloads["residual"].frame(0)).shape == (90, 170, 3)
    assert FLOW.decode(extracted.payloads["flow"].frame(0), width=170, height=90).shape == (90, 170, 2)
    assert cv2.getNumThreads() == 1
