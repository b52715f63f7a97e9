"""The pictures of the transcoded video are checked before any column is made of them."""

from pathlib import Path

import numpy as np
import pytest
from moving import m4v_of, moving_luma, not_coded, recipe_of, transcoded, write_y4m

from ipdata.columns.flow import FLOW_BUILD
from ipdata.errors import VideoError
from ipdata.steps.encode import Clock, checked_pairs, encode_columns
from ipdata.video import decode


@pytest.fixture(scope="module")
def m4v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 pictures of GOPs of 12."""
    source = write_y4m(tmp_path_factory.mktemp("source") / "clip.y4m", moving_luma(frames=15, step_px=(2, 1)))
    return transcoded(source, recipe_of().transcode, frames=15)


def test_headers_tell_the_types_that_decoding_gives(m4v: Path) -> None:
    decoded = "".join(picture.picture_type for picture in decode.pictures(m4v))
    assert decode.coded_picture_types(m4v) == decoded == "I" + "P" * 11 + "IPP"


@pytest.mark.parametrize("read_bytes", range(1, 8))
def test_headers_are_found_wherever_the_file_is_cut(
    m4v: Path, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PARSED_BYTES", read_bytes)
    assert decode.coded_picture_types(m4v) == "I" + "P" * 11 + "IPP"


def test_headers_without_a_picture_are_counted_too() -> None:
    start = b"\0\0\1\xb6"
    assert decode.coded_picture_types(m4v_of(start + start + b"\x40" + start)) == "IP?"


def test_b_pictures_are_no_p_pictures(m4v: Path) -> None:
    coded = list(decode.coded_pictures(m4v))
    at = coded[3].index(b"\0\0\1\xb6") + 4
    coded[3] = coded[3][:at] + bytes([coded[3][at] & 0x3F | 0x80]) + coded[3][at + 1 :]
    assert decode.coded_picture_types(m4v_of(b"".join(coded))) == "IPP?" + "P" * 8 + "IPP"


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ("I" + "P" * 11 + "IPPP", "frame_count"),
        ("I" + "P" * 11 + "IP", "frame_count"),
        ("I" + "P" * 14, "picture_types"),
    ],
)
def test_a_video_of_other_pictures_fails_before_any_flow_is_made(
    m4v: Path, tmp_path: Path, expected: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object, **__: object) -> None:
        raise AssertionError("a flow estimator was made")

    monkeypatch.setattr(type(FLOW_BUILD), "maker", made)
    with pytest.raises(VideoError) as caught:
        encode_columns(m4v, {"flow": tmp_path / "flow"}, recipe_of(), Clock(), picture_types=expected)
    assert (caught.value.stage, caught.value.code) == ("transcode", code)


def test_a_picture_that_does_not_decode_is_damage(m4v: Path, tmp_path: Path) -> None:
    coded = list(decode.coded_pictures(m4v))
    coded[7] = coded[7][: len(coded[7]) // 2]
    broken = m4v_of(b"".join([*coded[:-1], coded[-1][:12]]))
    with pytest.raises(VideoError) as caught:
        encode_columns(broken, {"mv": tmp_path / "mv"}, recipe_of(), Clock(), picture_types="I" + "P" * 11 + "IPP")
    assert caught.value.stage == "decode"


@pytest.mark.parametrize("needed", [[5], [0, 11, 12], [12], [14], [3, 4, 13], []])
def test_needed_pictures_alone_are_those_of_the_whole(m4v: Path, needed: list[int]) -> None:
    whole = list(decode.pictures(m4v))
    found = list(decode.pictures(m4v, needed=needed))
    assert len(found) == len(needed)
    for number, picture in zip(needed, found, strict=True):
        assert picture.picture_type == whole[number].picture_type
        assert np.array_equal(picture.i420, whole[number].i420)
        assert np.array_equal(picture.mv, whole[number].mv)  # type: ignore[arg-type]


@pytest.mark.parametrize("needed", [None, [3, 4, 12, 13]])
def test_only_wanted_motion_vectors_are_there(m4v: Path, needed: list[int] | None) -> None:
    numbers = needed or range(15)
    found = dict(zip(numbers, decode.pictures(m4v, needed=needed, with_mv={4, 12}), strict=True))
    assert [number for number, picture in found.items() if picture.mv is not None] == [4]
    assert np.array_equal(found[4].mv, list(decode.pictures(m4v))[4].mv)  # type: ignore[arg-type]


@pytest.mark.parametrize("needed", [None, {0, 5, 6, 12, 13}], ids=str)
def test_an_iframe_comes_with_itself_and_a_p_frame_with_the_one_before(m4v: Path, needed: set[int] | None) -> None:
    """So a maker gets equal pairs in a build, where all pictures are decoded, and in a prediction."""
    types = "I" + "P" * 11 + "IPP"
    numbers = sorted(needed or range(len(types)))
    pairs = checked_pairs(m4v, recipe_of(), Clock(), picture_types=types, needed=needed)
    given = dict(zip(numbers, pairs, strict=True))
    assert all((given[n][1] is given[n][0]) == (types[n] == "I") for n in numbers)
    assert given[6][1] is given[5][0] and given[13][1] is given[12][0]


def test_what_no_needed_picture_depends_on_is_not_decoded(m4v: Path) -> None:
    """Pictures after the needed one of a GOP are no pictures here, and do not matter; before it, they do."""
    coded = list(decode.coded_pictures(m4v))
    header = coded[8][: coded[8].index(b"\0\0\1\xb6") + 5]
    coded[8] = header + bytes(len(coded[8]) - len(header))
    broken = m4v_of(b"".join(coded))
    assert [picture.picture_type for picture in decode.pictures(broken, needed=[6, 7, 12])] == ["P", "P", "I"]
    with pytest.raises(VideoError) as caught:
        list(decode.pictures(broken, needed=[9]))
    assert (caught.value.stage, caught.value.code) == ("decode", "damaged")


def test_a_picture_that_is_announced_but_not_coded_is_damage(m4v: Path) -> None:
    """A header can say that its picture is not coded; the decoder gives nothing for it, and says nothing."""
    coded = list(decode.coded_pictures(m4v))
    coded[7] = not_coded(coded[7])
    with pytest.raises(VideoError, match="picture 7 does not decode") as caught:
        list(decode.pictures(m4v_of(b"".join(coded))))
    assert (caught.value.stage, caught.value.code) == ("decode", "damaged")


def test_pictures_of_another_size_are_refused(m4v: Path, tmp_path: Path) -> None:
    """A received set can hold a bitstream that is not of the size that its records and its recipe state."""
    with pytest.raises(VideoError, match="does not have the recipe's size, 64x48") as caught:
        recipe = recipe_of("transcode.width=64", "transcode.height=48")
        encode_columns(m4v, {"mv": tmp_path / "mv"}, recipe, Clock(), picture_types="I" + "P" * 11 + "IPP")
    assert (caught.value.stage, caught.value.code) == ("decode", "unsupported")


def test_a_header_that_asks_for_gigapixels_is_refused(m4v: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(decode.LIMIT, "max_pixels", "1000")  # as if these pictures were beyond the limit
    with pytest.raises(VideoError):
        list(decode.pictures(m4v))
