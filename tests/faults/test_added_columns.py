"""Columns that a build adds to published samples come from the bitstreams that the set has, or from equal ones."""

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from built_sets import SMALL, tree
from conftest import Run
from received_sets import BEGUN_IN_FORMAT_1

from ipdata.video.transcode import executable
from shards import ShardSet
from shards.manifest import Manifest
from shards.verify import verify


def build(ipdata: Run, out: Path, columns: str, **options: object) -> Any:
    return ipdata("build", *SMALL, out=out, columns=columns, scheduler="none", **options)


def script(path: Path, *lines: str) -> Path:
    """An executable that runs these lines of bash."""
    path.write_text("\n".join(["#!/bin/bash", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def unlike(path: Path) -> Path:
    """An ffmpeg of the same version that gives other bytes, as decoders do that do not repeat themselves."""
    return script(path, f'exec {executable()} "${{@/#2/9}}"')  # quantiser 9 instead of 2


@pytest.mark.parametrize("format", [1, 2])
def test_they_are_made_of_the_bitstreams_that_the_set_has(ipdata: Run, tmp_path: Path, format: int) -> None:
    sets = tmp_path / "at once", tmp_path / "added"
    for out in sets if format == 1 else ():
        (out / ".build").mkdir(parents=True)
        (out / ".build" / "identity.json").write_text(BEGUN_IN_FORMAT_1)
    at_once, added = sets
    assert build(ipdata, at_once, "mv,residual,video").returncode == 0
    assert build(ipdata, added, "mv,video").returncode == 0
    done = build(ipdata, added, "residual", ffmpeg=unlike(tmp_path / "ffmpeg"))
    assert done.returncode == 0, done.stderr
    assert list(verify(added)) == [] and Manifest.read(added).format == format
    assert tree(added) == tree(at_once)


def test_no_ffmpeg_runs_and_the_column_states_the_one_that_made_the_bitstream(ipdata: Run, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert build(ipdata, out, "mv,video").returncode == 0
    receipt = out / ".build" / "receipts" / "00000.json"
    shutil.copy(receipt, tmp_path / "receipt")
    later = script(tmp_path / "ffmpeg", '[ "$1" = -version ] && echo "ffmpeg version 99.0 Copyright" || exit 1')
    done = build(ipdata, out, "residual", ffmpeg=later)
    assert done.returncode == 0, done.stderr
    after, columns = tree(out), Manifest.read(out).columns
    assert columns["residual"].tools["ffmpeg"] == columns["video"].tools["ffmpeg"] != "99.0"
    shutil.copy(tmp_path / "receipt", receipt)  # as if the build had been killed before this shard
    done = build(ipdata, out, "residual", ffmpeg=later)
    assert done.returncode == 0 and " 0 to extract" not in done.stderr, done.stderr
    assert tree(out) == after and list(verify(out)) == []


def test_without_them_another_bitstream_is_refused_by_name(ipdata: Run, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert build(ipdata, out, "mv").returncode == 0
    before = tree(out)
    done = build(ipdata, out, "residual", ffmpeg=unlike(tmp_path / "ffmpeg"))
    assert done.returncode == 1 and tree(out) == before
    assert "its new record differs from the published one in video_sha256" in done.stderr
    assert any(f"({sample.name})" in done.stderr for sample in ShardSet(out).samples())
    assert "does not decode to the same pictures each time; build all columns at once into another --out" in done.stderr
