"""Nothing is lost where a set is derived: one process at a time changes it, and what came with it is not believed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import made_sets
import pytest
from built_sets import tree
from conftest import Run
from received_sets import build, received
from serving import serving

from shards import ShardSet
from shards.atomic import directory_locked
from shards.manifest import FileInfo, Manifest
from shards.store.cache import cache_dir
from shards.verify import verify

RECEIPT = '{"columns":[],"failed":[],"info":null,"plan_sha256":"","sources":{}}'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "set"
    build(out, columns="iframe,mv,residual,video")
    return out


@pytest.fixture
def set_dir(built: Path, tmp_path: Path) -> Path:
    return received(built, tmp_path / "set", "mv,video")


@contextmanager
def stopped_at_work(set_dir: Path, columns: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun to derive columns, and stands still inside this block."""
    command = [sys.executable, "-m", "ipdata.cli", "derive", str(set_dir), f"--columns={columns}", "--scheduler=none"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while not (set_dir / ".deriving" / "plan.json").exists():
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    yield process
    process.send_signal(signal.SIGCONT)


def test_nobody_else_changes_the_set_meanwhile(ipdata: Run, ipshards: Run, built: Path, set_dir: Path) -> None:
    busy = "another process is writing to it"
    with serving(built, ranges=True) as server, stopped_at_work(set_dir, "residual") as process:
        for done in (
            ipdata("derive", set_dir, columns="iframe", scheduler="none"),
            ipshards("subset", built, set_dir, columns="iframe,mv,video"),
            ipshards("pull", server.url, set_dir, columns="iframe,mv,video"),
        ):
            assert done.returncode == 1 and busy in done.stderr, done.stderr
    assert process.wait() == 0
    done = ipdata("derive", set_dir, columns="iframe", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert set(ShardSet(set_dir).columns) == {"iframe", "mv", "residual", "video"} and list(verify(set_dir)) == []


def test_while_a_set_is_taken_nothing_is_derived_in_it(ipdata: Run, set_dir: Path) -> None:
    before = tree(set_dir)
    with directory_locked(set_dir):
        done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and "another process is writing to it" in done.stderr
    assert tree(set_dir) == before


def test_a_manifest_that_changed_meanwhile_stays(set_dir: Path) -> None:
    with stopped_at_work(set_dir, "residual") as process:
        made_sets.edit_manifest(set_dir, lambda value: value["columns"]["mv"]["tools"].update(libavcodec="1.2.3"))
        changed = (set_dir / "manifest.json").read_bytes()
    _, said = process.communicate()
    assert process.returncode == 1 and "its manifest changed meanwhile" in said, said
    assert (set_dir / "manifest.json").read_bytes() == changed and not (set_dir / "residual").exists()


def test_killed_after_the_manifest_other_columns_can_still_be_derived(ipdata: Run, set_dir: Path) -> None:
    with stopped_at_work(set_dir, "residual") as process:
        process.kill()
    process.wait()
    left = shutil.copytree(set_dir / ".deriving", set_dir.parent / "left")
    notes = {path: path.read_bytes() for path in (cache_dir() / "deriving").iterdir()}
    assert ipdata("derive", set_dir, columns="residual", scheduler="none").returncode == 0
    left.rename(set_dir / ".deriving")  # as if that run had been killed when only this was left to remove
    receipt = set_dir / ".deriving" / ".build" / "receipts" / "00000.json"
    receipt.parent.mkdir(exist_ok=True)
    receipt.write_text(RECEIPT)
    for path, data in notes.items():
        path.write_bytes(data)
    done = ipdata("derive", set_dir, columns="iframe", scheduler="none")
    assert done.returncode == 0, done.stderr
    assert not (set_dir / ".deriving").exists() and list(verify(set_dir)) == []
    noted = {path.read_bytes() for path in (cache_dir() / "deriving").iterdir()}
    assert str(set_dir / ".deriving").encode() not in noted


def test_what_came_with_a_set_is_not_believed(ipdata: Run, built: Path, set_dir: Path, tmp_path: Path) -> None:
    """Somebody sends a directory in which a run was interrupted, and other bytes with receipts that agree."""
    sent = received(built, tmp_path / "sent", "mv,video")
    process = subprocess.Popen(
        [sys.executable, "-m", "ipdata.cli", "derive", str(sent), "--columns=residual", "--scheduler=none"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    receipt = sent / ".deriving" / ".build" / "receipts" / "00000.json"
    while not receipt.exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    tar = sent / ".deriving" / "residual" / "00000.tar"
    data = bytearray(tar.read_bytes())
    data[-3000] ^= 1
    tar.write_bytes(data)
    value = json.loads(receipt.read_bytes())
    value["info"]["files"]["residual/00000.tar"] = FileInfo.of(tar).to_value()
    receipt.write_text(json.dumps(value))
    moved = sent.rename(tmp_path / "moved")
    done = ipdata("derive", moved, columns="residual", scheduler="none")
    assert done.returncode == 0, done.stderr
    asked = received(built, tmp_path / "asked", "mv,residual,video")
    assert Manifest.read(moved).shards == Manifest.read(asked).shards


def test_a_link_is_not_followed(ipdata: Run, set_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (set_dir / ".deriving").symlink_to(tmp_path / "mine")
    before = tree(set_dir)
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and ".deriving: is not the directory that a run makes" in done.stderr
    assert tree(set_dir) == before and not list((tmp_path / "mine").iterdir())


def test_a_new_set_goes_to_a_place_of_its_own(ipdata: Run, built: Path, set_dir: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(set_dir)
    for out in (set_dir, set_dir / "new", set_dir.parent, link, link / "new"):
        done = ipdata("derive", set_dir, columns="residual", out=out, scheduler="none")
        assert done.returncode == 1 and "lies in the set" in done.stderr, done.stderr
    link.unlink()
    done = ipdata("derive", set_dir, columns="residual", out=built, scheduler="none")
    assert done.returncode == 1 and "is the output of a build; name another directory with --out" in done.stderr
    assert tree(tmp_path) == before


def test_another_algorithm_is_named(ipdata: Run, set_dir: Path) -> None:
    made_sets.edit_manifest(set_dir, lambda value: value["columns"]["mv"].update(algorithm=7))
    done = ipdata("derive", set_dir, columns="mv", scheduler="none")
    assert done.returncode == 1 and "has the column mv with algorithm 7 instead of 1" in done.stderr, done.stderr


def test_a_build_into_a_received_set_names_the_command_for_it(ipdata: Run, set_dir: Path) -> None:
    done = ipdata("build", dataset="synthetic", out=set_dir, scheduler="none")
    assert done.returncode == 1 and "`ipdata derive`" in done.stderr


def test_places_that_cannot_be_written_are_named_with_a_cure(
    ipdata: Run, set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    before = tree(set_dir)
    done = ipdata("derive", set_dir, columns="residual", out=tmp_path / "file" / "new", scheduler="none")
    assert done.returncode == 1 and "name another directory with --out" in done.stderr, done.stderr
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "file"))
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    assert done.returncode == 1 and "in $IPTSN_CACHE" in done.stderr, done.stderr
    assert {path: sha256 for path, sha256 in tree(set_dir).items() if ".deriving" not in path} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_set_that_cannot_be_written_is_refused_with_a_cure(ipdata: Run, set_dir: Path) -> None:
    set_dir.chmod(0o555)
    done = ipdata("derive", set_dir, columns="residual", scheduler="none")
    set_dir.chmod(0o755)
    assert done.returncode == 1 and "make it writable, or write a new set with --out" in done.stderr, done.stderr
