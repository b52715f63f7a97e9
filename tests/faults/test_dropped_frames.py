"""AVIs with dropped frames: an intact one is built from the pictures that it has, and a cut one is truncated."""

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Run
from encoding import ffmpeg

from ipdata.errors import VideoError
from ipdata.video.avi import dropped_frames
from ipdata.video.decode_source import source_facts
from shards import ShardSet
from shards.schema import Sample

PICTURES = 68
EVERY = 6  # of so many frames, one was recorded and the others were dropped
ANNOUNCED = (PICTURES - 1) * EVERY + 1
DROPPED = ANNOUNCED - PICTURES


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An AVI in which ffmpeg wrote chunks and index entries of 0 bytes for the times without a picture."""
    path = tmp_path_factory.mktemp("recorded") / "recorded.avi"
    picked = ["-vf", rf"select=not(mod(n\,{EVERY}))", "-fps_mode", "passthrough", "-frames:v", PICTURES]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", *picked, "-c:v", "mpeg4", path)
    return path.read_bytes()


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def with_movi(avi: bytes, movi: bytes, *, tail: bytes = b"") -> bytes:
    """The AVI with other chunks, and what follows them."""
    head = avi[12 : avi.index(b"movi") - 8]
    return chunk(b"RIFF", b"AVI " + head + chunk(b"LIST", b"movi" + movi) + tail)


def parts_of(avi: bytes) -> tuple[bytes, bytes]:
    """The chunks of an AVI, and the entries of its index."""
    index = avi.rindex(b"idx1")
    return avi[avi.index(b"movi") + 4 : index], avi[index + 8 :]


def in_the_index_alone(avi: bytes) -> bytes:
    """The AVI with the dropped frames in its index, and without chunks for them."""
    movi, index = parts_of(avi)
    kept, entries = b"", b""
    for name, flags, offset, size in struct.iter_unpack("<4sIII", index):
        entries += struct.pack("<4sIII", name, flags, 4 + len(kept), size)
        kept += chunk(name, movi[offset + 4 : offset + 4 + size]) if size else b""
    return with_movi(avi, kept, tail=chunk(b"idx1", entries))


def in_lists(avi: bytes) -> bytes:
    """The AVI with its chunks in a list of a record, and without an index."""
    return with_movi(avi, chunk(b"LIST", b"rec " + parts_of(avi)[0]))


def in_two_parts(avi: bytes) -> bytes:
    """The chunks after the first picture in a further part, as in files of more than 1 GB."""
    movi = parts_of(avi)[0]
    second = movi.index(b"00dc", 4)
    return with_movi(avi, movi[:second]) + chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + movi[second:]))


def cut(avi: bytes, share: float) -> bytes:
    """The AVI up to a chunk of its pictures."""
    end = avi.rindex(b"idx1")
    return avi[: avi.rindex(b"00dc", 0, int(share * end))]


def with_a_hole(avi: bytes) -> bytes:
    """As a download that has made room for the whole file, and lacks its middle."""
    movi, end = avi.index(b"movi") + 4, avi.rindex(b"idx1")
    middle = avi.index(b"00dc", (movi + end) // 2)
    return avi[:middle] + bytes(end - middle) + avi[end:]


INTACT = {"index": in_the_index_alone, "lists": in_lists, "parts": in_two_parts, "recorded": lambda avi: avi}
CUT = {
    "half": lambda avi: cut(avi, 0.5),
    "late": lambda avi: cut(avi, 0.97),
    "in_index": lambda avi: avi[:-16],
    "hole": with_a_hole,
    "without_end": lambda avi: avi[: avi.rindex(b"idx1")],
}


@pytest.mark.parametrize("name", INTACT)
def test_dropped_frames_of_an_intact_file_are_counted(recorded: bytes, tmp_path: Path, name: str) -> None:
    (tmp_path / "clip.avi").write_bytes(INTACT[name](recorded))
    assert dropped_frames(tmp_path / "clip.avi", 0) == DROPPED
    assert dropped_frames(tmp_path / "clip.avi", 1) == 0


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_proves_no_dropped_frames(recorded: bytes, tmp_path: Path, name: str) -> None:
    (tmp_path / "clip.avi").write_bytes(CUT[name](recorded))
    assert dropped_frames(tmp_path / "clip.avi", 0) == 0


@dataclass(frozen=True)
class Built:
    """What one build made of all these files."""

    samples: dict[str, Sample]
    failures: dict[str, str]  # code by name


@pytest.fixture(scope="module")
def built(ipdata: Run, recorded: bytes, tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("built")
    (root / "videos" / "any").mkdir(parents=True)
    for name, make in {**INTACT, **CUT}.items():
        (root / "videos" / "any" / f"{name}.avi").write_bytes(make(recorded))
    options = {"dataset": "folder", "recipe": "small", "columns": "mv", "scheduler": "none"}
    done = ipdata("build", source=root / "videos", out=root / "set", **options)
    assert done.returncode == 3, done.stderr
    shard_set = ShardSet(root / "set")
    failed = {failure.name: failure.code for failure in shard_set.manifest.failed}
    return Built({sample.name: sample for sample in shard_set.samples()}, failed)


@pytest.mark.parametrize("name", INTACT)
def test_an_intact_file_is_built_from_the_pictures_that_it_has(built: Built, name: str) -> None:
    sample = built.samples[f"any/{name}.avi"]
    assert (sample.frames, sample.source_frames_announced) == (PICTURES, ANNOUNCED)
    assert sample.source_frames_damaged == 0


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_is_truncated(built: Built, name: str) -> None:
    assert built.failures[f"any/{name}.avi"] == "truncated"


def test_the_times_show_where_frames_were_dropped(built: Built) -> None:
    assert built.samples["any/recorded.avi"].source_pts == list(range(0, ANNOUNCED, EVERY))


def test_dropped_frames_count_towards_no_limit_of_length(recorded: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(recorded)
    assert source_facts(tmp_path / "clip.avi", max_frames=PICTURES).frames == PICTURES
    with pytest.raises(VideoError, match=f"announces {PICTURES} frames"):
        source_facts(tmp_path / "clip.avi", max_frames=PICTURES - 1)
