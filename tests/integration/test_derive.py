"""Columns that are derived from the column video of a received set are those that a build makes."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import made_sets
import pytest
from built_sets import tree
from conftest import Run
from msgspec.structs import replace
from received_sets import Payloads, build, copied, forged, received, with_other_end, with_tools
from serving import serving

from ipdata import extension
from ipdata.columns.flow import FLOW_BUILD
from shards import ShardSet
from shards.columns import Payload
from shards.manifest import Manifest
from shards.schema import Sample
from shards.verify import verify


@pytest.fixture
def set_dir(built: Path, tmp_path: Path) -> Path:
    """What another lab received of it."""
    return received(built, tmp_path / "set", "iframe,mv,video")


def payload_files(directory: Path) -> dict[str, str]:
    """Path -> sha256, of the files of shards."""
    return {name: sha256 for name, sha256 in tree(directory).items() if "/" in name}


def test_derived_columns_are_those_of_the_build(ipdata: Run, built: Path, set_dir: Path) -> None:
    before, parent = tree(set_dir), Manifest.read(set_dir)
    done = ipdata("derive", set_dir, columns="residual,flow", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert payload_files(set_dir) == payload_files(built)
    assert list(verify(set_dir)) == []
    unchanged = before.keys() - {"manifest.json", "README.md", "croissant.json"}
    assert {name: sha256 for name, sha256 in tree(set_dir).items() if name in unchanged} == {
        name: before[name] for name in unchanged
    }
    manifest = Manifest.read(set_dir)
    assert manifest.columns == Manifest.read(built).columns
    assert manifest.parent == parent.parent and manifest.sha256 != parent.sha256
    assert "`<key>.flow.mjpeg`" in (set_dir / "README.md").read_text()
    assert not (set_dir / ".deriving").exists()
    again = ipdata("derive", set_dir, columns="residual,flow", scheduler="none")
    assert again.returncode == 0 and "has these columns already" in again.stdout
    assert Manifest.read(set_dir) == manifest


def test_a_cluster_derives_the_same(ipdata: Run, built: Path, set_dir: Path) -> None:
    done = ipdata("derive", set_dir, columns="residual", workers=2)
    assert done.returncode == 0, done.stderr
    made = {name: sha256 for name, sha256 in tree(set_dir).items() if name.startswith("residual/")}
    assert made == {name: sha256 for name, sha256 in tree(built).items() if name.startswith("residual/")}


@pytest.mark.usefixtures("without_child")
def test_a_column_that_wants_a_resource_takes_a_step_more(
    ipdata: Run, built: Path, set_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(FLOW_BUILD), "resource", lambda *_: "GPU")  # as of backend cuda
    done = ipdata("derive", set_dir, columns="flow", scheduler="none")
    assert done.returncode == 0, done.stderr
    made = {name: sha256 for name, sha256 in tree(set_dir).items() if name.startswith("flow/")}
    assert made == {name: sha256 for name, sha256 in tree(built).items() if name.startswith("flow/")}


def test_a_set_of_format_1_stays_one(ipdata: Run, tmp_path: Path) -> None:
    build(tmp_path / "built", format=1, columns="mv,residual,video")
    set_dir = received(tmp_path / "built", tmp_path / "set", "mv,video")
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert payload_files(set_dir) == payload_files(tmp_path / "built")
    assert Manifest.read(set_dir).format == 1 and list(verify(set_dir)) == []
    assert Manifest.read(set_dir).columns == Manifest.read(tmp_path / "built").columns


def test_killed_at_any_moment_the_set_is_sound_and_the_next_run_completes_it(
    ipdata: Run, built: Path, set_dir: Path
) -> None:
    before = (set_dir / "manifest.json").read_bytes()
    command = [
        sys.executable,
        "-m",
        "ipdata.cli",
        "derive",
        str(set_dir),
        "--columns=residual,flow",
        "--scheduler=none",
    ]
    for pattern, count in ((".build/log.jsonl", 1), (".build/receipts/*.json", 1), (".build/receipts/*.json", 2)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 60
        while len(list((set_dir / ".deriving").glob(pattern))) < count and process.poll() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (set_dir / "manifest.json").read_bytes() == before
        assert list(verify(set_dir)) == []
    other = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert other.returncode == 1 and "an interrupted run was making other columns" in other.stderr
    done = ipdata("derive", set_dir, columns="residual,flow", scheduler="none")
    assert done.returncode == 0 and "6 to extract" not in done.stderr, done.stderr
    assert payload_files(set_dir) == payload_files(built) and list(verify(set_dir)) == []


def test_ended_just_before_the_manifest_nothing_is_made_again(
    ipdata: Run, built: Path, set_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise OSError("No space left on device")

        patched.setattr(extension, "write_card", fail)
        done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and "No space left" in done.stderr
    assert (set_dir / "residual" / "00000.tar").is_file() and "residual" not in ShardSet(set_dir).columns
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 0 and "0 to extract" in done.stderr, done.stderr
    assert list(verify(set_dir)) == []


def test_another_definition_goes_to_a_new_set(ipdata: Run, built: Path, tmp_path: Path) -> None:
    copy = copied(built, tmp_path / "copy")
    before = tree(copy)
    options = {"columns": "residual", "scheduler": "none"}
    done = ipdata("derive", copy, "--set=residual.quality=80", **options)
    assert done.returncode == 1 and "residual.quality 95 instead of 80; write a new set with --out" in done.stderr
    for _ in range(2):  # the second run finds everything done
        done = ipdata("derive", copy, "--set=residual.quality=80", out=tmp_path / "new", **options)
        assert done.returncode == 0, done.stderr
    assert tree(copy) == before and list(verify(tmp_path / "new")) == []
    build(tmp_path / "built", "--set=residual.quality=80", columns="residual")
    made = payload_files(tmp_path / "new")
    assert {**payload_files(built), **payload_files(tmp_path / "built")} == made
    manifest = Manifest.read(tmp_path / "new")
    assert manifest.columns["residual"] == Manifest.read(tmp_path / "built").columns["residual"]
    assert manifest.parent == Manifest.read(copy).sha256
    other = ipdata(
        "derive", built, "--set=residual.quality=80", out=copied(tmp_path / "built", tmp_path / "x"), **options
    )
    assert other.returncode == 1 and "holds another set" in other.stderr


def test_a_set_at_a_url_gets_a_column_in_a_new_set(ipdata: Run, built: Path, set_dir: Path, tmp_path: Path) -> None:
    with serving(set_dir, ranges=True) as server:
        done = ipdata("derive", server.url, columns="residual", out=tmp_path / "new", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert list(verify(tmp_path / "new")) == []
    assert payload_files(tmp_path / "new").items() <= payload_files(built).items()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns=video"], "video is what other columns are derived from"),
        (["--columns=depth"], "unknown column 'depth'"),
        (["--columns=flow", "--set=transcode.width=64"], "only flow.KEY can be set; everything else is as in the set"),
        (["--columns=flow", "--set=flow.bound_px=0"], "bound_px must be positive"),
    ],
)
def test_wrong_requests_are_refused(ipdata: Run, set_dir: Path, arguments: list[str], says: str) -> None:
    before = tree(set_dir)
    done = ipdata("derive", set_dir, *arguments, scheduler="none")
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert tree(set_dir) == before


def test_wrong_places_are_refused(ipdata: Run, built: Path, set_dir: Path, tmp_path: Path) -> None:
    without = received(built, tmp_path / "without", "mv")
    for where, says in (
        (built, "is the output of a build"),
        ("http://127.0.0.1:1/set", "is a URL; name a directory for the new set with --out"),
        (without, "has no column video"),
        (tmp_path / "nowhere", "manifest"),
    ):
        done = ipdata("derive", where, columns="flow", scheduler="none")
        assert done.returncode == 1 and says in done.stderr, done.stderr
    (set_dir / "flow").mkdir()
    (set_dir / "flow" / "00000.tar").write_bytes(b"mine")
    done = ipdata("derive", set_dir, columns="flow", scheduler="none")
    assert done.returncode == 1 and "flow/00000.tar: is in the way" in done.stderr
    assert (set_dir / "flow" / "00000.tar").read_bytes() == b"mine"


def test_what_people_wrote_in_the_card_stays(ipdata: Run, set_dir: Path) -> None:
    (set_dir / "README.md").write_text("# Ours\n")
    (set_dir / "manifest.json.sig").write_text("of the old manifest")
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 0 and "sign the set again" in done.stderr
    card = (set_dir / "README.md").read_text()
    assert "\n# Ours\n" in card and "`<key>.residual.mjpeg`" in card


def with_b_picture(sample: Sample, payloads: Payloads) -> tuple[Sample, Payloads]:
    """The coded picture 3 claims to be bidirectional, which no decoder of ours takes."""
    video = payloads["video"]
    at = video.frames[3] + 4
    data = video.data[:at] + bytes([video.data[at] & 0x3F | 0x80]) + video.data[at + 1 :]
    sample = replace(sample, video_sha256=hashlib.sha256(data).hexdigest())
    return sample, {**payloads, "video": Payload(data=data, frames=video.frames)}


def test_a_video_that_does_not_decode_stops_by_name(ipdata: Run, set_dir: Path) -> None:
    key = forged(set_dir, with_b_picture)
    before = tree(set_dir)
    assert list(verify(set_dir)) == []  # it does not decode
    name = ShardSet(set_dir).sample(key).name
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and name in done.stderr and "Nothing was dropped" in done.stderr, done.stderr
    assert {path: sha256 for path, sha256 in tree(set_dir).items() if not path.startswith(".deriving/")} == before


@pytest.mark.parametrize("what", ["samples/00000.jsonl", "video/00000.tar", "video/00000.idx.json"])
def test_a_damaged_set_is_refused_by_name(ipdata: Run, set_dir: Path, what: str) -> None:
    data = bytearray((set_dir / what).read_bytes())
    data[-2000 if what.endswith("tar") else -20] ^= 1
    (set_dir / what).write_bytes(data)
    manifest = (set_dir / "manifest.json").read_bytes()
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert what in done.stderr and "verify the set" in done.stderr
    assert (set_dir / "manifest.json").read_bytes() == manifest


def test_with_another_decoder_the_vectors_of_drawn_videos_must_come_out_again(ipdata: Run, set_dir: Path) -> None:
    with_tools(set_dir, libavcodec="60.3.100", av="10.0.0", ffmpeg="6.0")
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert "libavcodec 60.3.100 decoded it" in done.stderr and "decoding 8 videos to compare mv" in done.stderr
    columns = json.loads((set_dir / "manifest.json").read_bytes())["columns"]
    assert columns["mv"]["tools"]["libavcodec"] == "60.3.100" != columns["residual"]["tools"]["libavcodec"]
    assert columns["residual"]["tools"]["ffmpeg"] == "6.0"  # it made the bitstream


def test_with_another_decoder_other_vectors_are_refused(ipdata: Run, set_dir: Path) -> None:
    key = forged(set_dir, lambda sample, made: (sample, {**made, "mv": with_other_end(made["mv"])}))
    with_tools(set_dir, libavcodec="60.3.100", av="10.0.0")
    before = tree(set_dir)
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and f"mv differs in 1 video, as in {key}" in done.stderr, done.stderr
    assert "pip install av==10.0.0" in done.stderr
    assert tree(set_dir) == before


def test_with_another_decoder_and_nothing_to_compare_it_is_refused(ipdata: Run, built: Path, tmp_path: Path) -> None:
    set_dir = received(built, tmp_path / "set", "iframe,video")
    with_tools(set_dir, libavcodec="60.3.100", opencv="4.5.0")
    done = ipdata("derive", set_dir, columns="mv", scheduler="none")
    assert done.returncode == 1 and "has no column that shows if that matters" in done.stderr
    only = received(built, tmp_path / "only", "video")  # nothing in it was decoded
    assert ipdata("derive", only, columns="mv", scheduler="none").returncode == 0


def test_only_what_the_other_decoder_made_is_compared(ipdata: Run, built: Path, tmp_path: Path) -> None:
    """Vectors that were made by the libavcodec that is here say nothing about the other one."""
    set_dir = received(built, tmp_path / "set", "iframe,mv,video")

    def edit(value: dict[str, Any]) -> None:
        value["columns"]["iframe"]["tools"].update(libavcodec="60.3.100", av="10.0.0")

    key = forged(set_dir, lambda sample, made: (sample, {**made, "iframe": with_other_end(made["iframe"])}))
    made_sets.edit_manifest(set_dir, edit)
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert "decoding 8 videos to compare iframe" in done.stderr, done.stderr
    assert done.returncode == 1 and f"iframe differs in 1 video, as in {key}" in done.stderr


def test_with_another_decoder_the_pictures_must_be_those_of_the_record(ipdata: Run, set_dir: Path) -> None:
    key = forged(set_dir, lambda sample, made: (replace(sample, width=sample.width + 16), made))
    with_tools(set_dir, libavcodec="60.3.100", av="10.0.0")
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and f"video differs in 1 video, as in {key}" in done.stderr, done.stderr
