"""Chosen frames are, byte for byte, those that an extraction of the whole video makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moving import extracted_from, m4v_of, moving_luma, not_coded, task_of, write_y4m

from ipdata.columns.flow import FlowMaker
from ipdata.errors import VideoError
from ipdata.steps.chosen import chosen_frames
from ipdata.steps.encode import Clock
from ipdata.steps.extract import VideoTask, transcoded
from ipdata.video.decode import Picture, coded_pictures
from ipdata.video.finished import first_quantiser
from shards.columns import COLUMNS
from shards.schema import Sample

QUICK = ("flow.warps=1", "flow.outer_iterations=1")
# Spans in order of time: with several GOPs, a GOP of which nothing is wanted, frames in two spans, nothing at all.
CHOICES = [
    {"iframe": [0], "mv": [3, 7], "residual": [3, 7], "flow": [1, 7]},
    {"iframe": [0], "mv": [11], "residual": [11]},
    {},
    {"iframe": [24, 36], "mv": [30], "residual": [25, 30], "flow": [26, 30]},
    {"iframe": [36], "residual": [38]},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames: GOPs of 12, the last of 4."""
    return write_y4m(tmp_path_factory.mktemp("source") / "clip.y4m", moving_luma(frames=40, step_px=(3, -1)))


def transcode_of(task: VideoTask, source: Path, folder: Path, *, as_it_is: bool = False) -> tuple[Sample, Path]:
    """The record and the bitstream, in a new file of the folder."""
    m4v = folder / f"{len(list(folder.iterdir()))}.m4v"
    return transcoded(task, source, m4v, Clock(), as_it_is=as_it_is), m4v


@pytest.mark.parametrize("definition", ["previous", "accumulated", "codec"])
def test_chosen_frames_are_those_of_the_whole_video(source: Path, tmp_path: Path, definition: str) -> None:
    overrides = (f"residual.definition={definition}", *QUICK)
    task, whole = task_of(source, *overrides), extracted_from(source, *overrides)
    sample, m4v = transcode_of(task, source, tmp_path)
    found = list(chosen_frames(m4v, CHOICES, task.recipe, picture_types=sample.picture_types))
    assert len(found) == len(CHOICES)
    for choice, frames in zip(CHOICES, found, strict=True):
        assert frames.columns.keys() == choice.keys()
        for name, numbers in choice.items():
            own = COLUMNS[name].frame_numbers(sample.picture_types)
            expected = {number: whole.payloads[name].frame(own.index(number)) for number in numbers}
            assert frames.columns[name] == expected, (name, numbers)


def test_a_choice_comes_as_soon_as_its_last_picture_is_decoded(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipdata.steps import encode

    seen, pictures = [], encode.decode.pictures

    def counted(m4v: Path, *, needed: set[int], with_mv: set[int]) -> Iterator[Picture]:
        for number, picture in zip(sorted(needed), pictures(m4v, needed=needed, with_mv=with_mv), strict=True):
            seen.append(number)
            yield picture

    monkeypatch.setattr(encode.decode, "pictures", counted)
    task = task_of(source)
    sample, m4v = transcode_of(task, source, tmp_path)
    reader = chosen_frames(m4v, [{"mv": [5]}, {"mv": [20]}], task.recipe, picture_types=sample.picture_types)
    next(reader)
    assert seen == [4, 5]
    next(reader)
    assert seen == [4, 5, 19, 20]
    assert list(reader) == [] and len(seen) == 4


@pytest.mark.parametrize("number", [8, 39])
def test_a_chosen_picture_that_is_not_coded_is_damage(source: Path, tmp_path: Path, number: int) -> None:
    """Also where it is the last that is needed: at the end of its data, the decoder would repeat the one before it."""
    task = task_of(source)
    sample, m4v = transcode_of(task, source, tmp_path)
    coded = list(coded_pictures(m4v))
    coded[number] = not_coded(coded[number])
    broken = m4v_of(b"".join(coded))
    for choices in ([{"mv": [number]}], [{"residual": [5, number]}]):
        with pytest.raises(VideoError, match=f"picture {number} does not decode") as caught:
            list(chosen_frames(broken, choices, task.recipe, picture_types=sample.picture_types))
        assert (caught.value.stage, caught.value.code) == ("decode", "damaged")


def test_damage_that_a_decoder_conceals_is_damage(source: Path, tmp_path: Path) -> None:
    """It conceals by what it saw before, which is less for chosen frames than for a whole video."""
    task = task_of(source)
    sample, m4v = transcode_of(task, source, tmp_path)
    coded = list(coded_pictures(m4v))
    coded[24] = coded[24][:-40] + bytes(40)
    broken = m4v_of(b"".join(coded))
    for choices in ([{"iframe": [24]}], [{"mv": [26]}]):
        with pytest.raises(VideoError) as caught:
            list(chosen_frames(broken, choices, task.recipe, picture_types=sample.picture_types))
        assert (caught.value.stage, caught.value.code) == ("decode", "damaged")
    assert list(chosen_frames(broken, [{"mv": [20]}], task.recipe, picture_types=sample.picture_types))


def test_a_maker_that_collects_frames_is_asked_for_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = extracted_from(source, *QUICK, columns=("flow",)).payloads["flow"]
    made = FlowMaker.__init__

    def in_fives(maker: FlowMaker, *arguments: object, **named: object) -> None:
        made(maker, *arguments, **named)  # type: ignore[arg-type]
        maker.estimate.batch_pairs = 5

    monkeypatch.setattr(FlowMaker, "__init__", in_fives)
    task = task_of(source, *QUICK)
    sample, m4v = transcode_of(task, source, tmp_path)
    choices = [{"flow": [1, 2, 3]}, {"flow": [4, 5, 6, 7, 8, 9, 10]}]
    found = list(chosen_frames(m4v, choices, task.recipe, picture_types=sample.picture_types))
    assert [list(frames.columns["flow"]) for frames in found] == [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10]]
    for frames in found:
        for number, data in frames.columns["flow"].items():
            assert data == expected.frame(number - 1)


def test_other_picture_types_are_refused_before_a_frame_is_made(source: Path, tmp_path: Path) -> None:
    task = task_of(source)
    _, m4v = transcode_of(task, source, tmp_path)
    with pytest.raises(VideoError) as caught:
        list(chosen_frames(m4v, [{"mv": [1]}], task.recipe, picture_types="I" + "P" * 38))
    assert caught.value.code == "frame_count"


def test_what_a_transcode_made_is_taken_as_it_is(source: Path, tmp_path: Path) -> None:
    task = task_of(source)
    sample, m4v = transcode_of(task, source, tmp_path)
    again, taken = transcode_of(task, m4v, tmp_path, as_it_is=True)
    assert taken.read_bytes() == m4v.read_bytes()
    assert (again.frames, again.picture_types, again.video_sha256) == (40, sample.picture_types, sample.video_sha256)
    assert transcode_of(task, m4v, tmp_path)[1].read_bytes() != m4v.read_bytes()


@pytest.mark.parametrize("override", ["transcode.quantiser=3", "transcode.gop=10", "transcode.width=160"])
def test_what_another_transcode_made_is_transcoded(source: Path, tmp_path: Path, override: str) -> None:
    _, other = transcode_of(task_of(source, override), source, tmp_path)
    sample, m4v = transcode_of(task_of(source), other, tmp_path, as_it_is=True)
    assert m4v.read_bytes() != other.read_bytes()
    assert sample.picture_types == task_of(source).recipe.transcode.picture_types(40)


def test_a_bitstream_that_was_cut_is_not_taken_as_it_is(source: Path, tmp_path: Path) -> None:
    task = task_of(source)
    _, m4v = transcode_of(task, source, tmp_path)
    cut = tmp_path / "cut.m4v"
    cut.write_bytes(m4v.read_bytes()[:-200])
    try:
        _, taken = transcode_of(task, cut, tmp_path, as_it_is=True)
    except VideoError:
        return
    assert taken.read_bytes() != cut.read_bytes()


@pytest.mark.parametrize("quantiser", [2, 3, 17, 31])
def test_the_quantiser_is_read_from_the_header(source: Path, tmp_path: Path, quantiser: int) -> None:
    _, m4v = transcode_of(task_of(source, f"transcode.quantiser={quantiser}"), source, tmp_path)
    assert first_quantiser(m4v.read_bytes()[:4096]) == quantiser
    assert first_quantiser(b"") is None and first_quantiser(b"\0\0\1\xb6" + b"\xff" * 8) is None
