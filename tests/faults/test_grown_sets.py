"""A set grows by the same command: it copies what it has and extracts the rest, to the bytes of a fresh set."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from breaking import Call, watched
from built_sets import tree
from conftest import Run
from moving import moving_luma, write_y4m
from received_sets import BEGUN_IN_FORMAT_1

from ipdata.log import LOG, LogLine, read_log
from ipdata.steps.output import Output
from shards import ShardSet
from shards.index import read_index
from shards.layout import index_path, tar_path

CLIPS = 5  # of the class "walk"
FIRST = "a class that changes the ids of all others"  # so all records change, and no shard stays


def write_clip(folder: Path, class_name: str, number: int) -> Path:
    path = folder / class_name / f"{class_name}_{number}.y4m"
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_y4m(path, moving_luma(frames=3, step_px=(number, 1), seed=number))


@pytest.fixture(scope="module")
def begun(ipdata: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips and the set of them, which no test changes."""
    folder = tmp_path_factory.mktemp("begun")
    for number in range(CLIPS):
        write_clip(folder / "videos", "walk", number)
    assert build(ipdata, folder).returncode == 0
    return folder


@pytest.fixture
def lab(begun: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to change."""
    return Path(shutil.copytree(begun, tmp_path / "lab"))


def build(ipdata: Run, lab: Path, *arguments: str, out: str = "set", columns: str = "mv,video") -> Any:
    options = {"dataset": "folder", "source": lab / "videos", "out": lab / out, "scheduler": "none"}
    return ipdata("build", "--recipe=small", "--set=shards.videos_per_shard=2", *arguments, columns=columns, **options)


def check_fresh(ipdata: Run, lab: Path, *arguments: str, columns: str = "mv,video") -> None:
    """The set has the bytes of one that is built at once, and nothing is left of the shards that it had."""
    assert build(ipdata, lab, *arguments, out="fresh", columns=columns).returncode == 0
    assert tree(lab / "set") == tree(lab / "fresh")
    assert not (lab / "set" / ".build" / "replaced").exists()


def made_since(lab: Path, before: int) -> list[LogLine]:
    """The lines of the log from some byte on: one for each video that was extracted."""
    return [line for line in read_log(lab / "set" / ".build" / LOG, from_byte=before) if isinstance(line, LogLine)]


def log_bytes(lab: Path) -> int:
    return (lab / "set" / ".build" / LOG).stat().st_size


@pytest.mark.parametrize(("class_name", "copied"), [("walk", 3), (FIRST, CLIPS)])
def test_one_clip_more_extracts_one_clip(ipdata: Run, lab: Path, class_name: str, copied: int) -> None:
    write_clip(lab / "videos", class_name, CLIPS)
    before = log_bytes(lab)
    done = build(ipdata, lab)
    assert done.returncode == 0, done.stderr
    assert f"6 videos in 3 shards, 1 to extract, {copied} to copy" in done.stderr
    assert [line.frames for line in made_since(lab, before)] == [3]
    check_fresh(ipdata, lab)


@pytest.mark.parametrize("limit", ["--classes=move_left", "--limit-videos=3"])
def test_a_trial_becomes_the_full_set_by_the_command_without_the_limit(ipdata: Run, tmp_path: Path, limit: str) -> None:
    options = {"columns": "mv,video", "scheduler": "none"}
    small = ["--set=synthetic.frames=2", "--set=synthetic.videos_per_class=1", "--set=shards.videos_per_shard=5"]
    assert ipdata("build", *small, limit, out=tmp_path / "set", **options).returncode == 0
    had = len(ShardSet(tmp_path / "set"))
    done = ipdata("build", *small, out=tmp_path / "set", **options)
    assert done.returncode == 0, done.stderr
    assert ipdata("build", *small, out=tmp_path / "fresh", **options).returncode == 0
    assert tree(tmp_path / "set") == tree(tmp_path / "fresh")
    assert f"{len(ShardSet(tmp_path / 'set')) - had} to extract, {had} to copy" in done.stderr
    done = ipdata("build", *small, limit, out=tmp_path / "set", **options)  # the limit would throw samples away
    assert done.returncode == 1 and "samples that this build does not choose" in done.stderr
    assert tree(tmp_path / "set") == tree(tmp_path / "fresh")


@pytest.mark.parametrize("columns", ["mv,iframe", "mv,video,iframe"])
def test_it_grows_by_a_column_and_a_clip_at_once(ipdata: Run, lab: Path, columns: str) -> None:
    """A column is made of the bitstreams that the set has, if it has them."""
    had = columns.removesuffix(",iframe")
    shutil.rmtree(lab / "set")
    assert build(ipdata, lab, columns=had).returncode == 0
    write_clip(lab / "videos", FIRST, CLIPS)
    before = log_bytes(lab)
    done = build(ipdata, lab, columns=columns)
    assert done.returncode == 0, done.stderr
    made = made_since(lab, before)
    assert [line.frames for line in made if "mv" in line.seconds] == [3]
    assert len([line for line in made if "transcode" in line.seconds]) == (1 if "video" in columns else CLIPS + 1)
    check_fresh(ipdata, lab, columns=columns)


def damaged_payload(lab: Path) -> str:
    """Change one byte of a payload in the set's first shard; return the key of its sample."""
    out = lab / "set"
    entry = read_index((out / index_path("mv", "00000")).read_bytes(), column="mv", where="index")[-1]
    tar = out / tar_path("mv", "00000")
    data = bytearray(tar.read_bytes())
    data[entry.payload[0] + entry.header] ^= 1
    tar.write_bytes(data)
    return entry.key


def lost_tar(lab: Path) -> str:
    """Remove a tar of the set's first shard; return the first key of its samples."""
    (lab / "set" / tar_path("mv", "00000")).unlink()
    return min(sample.key for sample in ShardSet(lab / "set").samples_of("00000"))


def damaged_records(lab: Path) -> str:
    """Change a byte of the records of the set's first shard; return the first key of its samples."""
    key = min(sample.key for sample in ShardSet(lab / "set").samples_of("00000"))
    records = lab / "set" / "samples" / "00000.jsonl"
    records.write_bytes(records.read_bytes().replace(b'"source_frames":3', b'"source_frames":4'))
    return key


@pytest.mark.parametrize(("damage", "again"), [(damaged_payload, 1), (lost_tar, 2), (damaged_records, 2)])
def test_what_is_damaged_is_extracted_again_and_said(
    ipdata: Run, lab: Path, damage: Callable[[Path], str], again: int
) -> None:
    key = damage(lab)
    write_clip(lab / "videos", FIRST, CLIPS)
    before = log_bytes(lab)
    done = build(ipdata, lab)
    assert done.returncode == 0, done.stderr
    says = f"of shard 00000, {again} published samples are damaged, such as {key}; they are extracted again"
    assert says in done.stderr, done.stderr
    assert f"{1 + again} to extract, {CLIPS - again} to copy" in done.stderr
    assert key in {line.key for line in made_since(lab, before)}
    check_fresh(ipdata, lab)


def test_what_is_damaged_between_the_check_and_the_copy_is_not_packed(ipdata: Run, lab: Path) -> None:
    key = ""

    def damage(_: int, call: Call) -> None:
        nonlocal key
        if call.kind == "rename" and call.path.endswith("started.json"):
            key = damaged_payload(lab)

    write_clip(lab / "videos", FIRST, CLIPS)
    with watched(lab, damage):
        done = build(ipdata, lab)
    assert done.returncode == 1 and "mv/00000.tar: the payload at byte" in done.stderr, done.stderr
    assert "does not have the sha256 of its index" in done.stderr
    done = build(ipdata, lab)
    assert done.returncode == 0 and f"published samples are damaged, such as {key}" in done.stderr, done.stderr
    check_fresh(ipdata, lab)


def test_a_source_that_has_changed_is_extracted_again(ipdata: Run, lab: Path) -> None:
    write_y4m(lab / "videos" / "walk" / "walk_1.y4m", moving_luma(frames=4, step_px=(0, 2), seed=9))
    write_clip(lab / "videos", FIRST, CLIPS)
    before = log_bytes(lab)
    done = build(ipdata, lab)
    assert done.returncode == 0 and f"2 to extract, {CLIPS - 1} to copy" in done.stderr, done.stderr
    assert {line.frames for line in made_since(lab, before)} == {3, 4}
    check_fresh(ipdata, lab)


def test_what_a_stopped_build_had_not_copied_yet_is_not_lost(ipdata: Run, lab: Path) -> None:
    """Files of the new shards lie in the place of old ones by then, whose samples are still to be copied."""

    def full(_: int, call: Call) -> None:
        if call.kind == "rename" and call.path.endswith("receipts/00002.json"):
            raise OSError(errno.ENOSPC, "No space left on device", call.path)

    write_clip(lab / "videos", FIRST, CLIPS)
    with watched(lab, full):
        assert build(ipdata, lab).returncode == 1
    (name,) = waiting(lab)
    away = (lab / "videos" / name).rename(lab / "away.y4m")
    done = build(ipdata, lab)
    assert done.returncode == 1 and "has 1 samples that this build does not choose" in done.stderr
    away.rename(lab / "videos" / name)
    done = build(ipdata, lab)
    assert done.returncode == 0 and "0 to extract, 2 to copy" in done.stderr, done.stderr
    check_fresh(ipdata, lab)


def waiting(lab: Path) -> list[str]:
    """The names of samples that only replaced shards have."""
    output = Output(lab / "set")
    held = {key for receipt in output.receipts() for key in receipt.sources}
    names = {path.stem: path.relative_to(lab / "videos").as_posix() for path in (lab / "videos").rglob("*.y4m")}
    keys = {key for _, receipt in output.replaced() for key in receipt.sources} - held
    return [names[key.rpartition("-")[0]] for key in keys]


def test_a_set_of_the_first_format_grows_too_but_nothing_is_copied(ipdata: Run, lab: Path) -> None:
    """Its indexes have no hashes of payloads."""
    for name in ("set", "fresh"):
        shutil.rmtree(lab / name, ignore_errors=True)
        (lab / name / ".build").mkdir(parents=True)
        (lab / name / ".build" / "identity.json").write_text(BEGUN_IN_FORMAT_1)
    assert build(ipdata, lab).returncode == 0
    write_clip(lab / "videos", FIRST, CLIPS)
    done = build(ipdata, lab)
    assert done.returncode == 0 and f"{CLIPS + 1} to extract\n" in done.stderr, done.stderr
    assert "damaged" not in done.stderr
    check_fresh(ipdata, lab)


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "a file system without them"])
def test_the_replaced_files_take_no_room_where_there_are_hard_links(
    ipdata: Run, lab: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    new = lab / "videos" / FIRST / "no video.y4m"
    new.parent.mkdir()
    new.write_bytes(b"no video")
    assert build(ipdata, lab, "--strict").returncode == 4
    tars = list((lab / "set" / ".build" / "replaced").rglob("*.tar"))
    assert tars and any(tar.stat().st_nlink > 1 for tar in tars) == links
    new.unlink()
    write_clip(lab / "videos", new.parent.name, CLIPS)
    done = build(ipdata, lab)
    assert done.returncode == 0 and "1 to extract" in done.stderr, done.stderr
    check_fresh(ipdata, lab)
