"""A release does not end the life of a set: tools and algorithms count only for columns that videos are added to."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from built_sets import SMALL, tree
from conftest import Run
from received_sets import BEGUN_IN_FORMAT_1

from ipdata.columns.registry import column_build_of
from ipdata.video.tools import tools_here
from ipdata.video.transcode import executable
from shards.manifest import Manifest
from shards.verify import verify

OLD = {"av": "10.0.0", "libavcodec": "60.3.100", "opencv": "4.5.5"}


def build(ipdata: Run, out: Path, columns: str, *arguments: str, **options: object) -> Any:
    return ipdata("build", *SMALL, *arguments, out=out, columns=columns, scheduler="none", **options)


def edit_identity(out: Path, edit: Any) -> None:
    path = out / ".build" / "identity.json"
    begun = json.loads(path.read_bytes())
    edit(begun)
    path.write_text(json.dumps(begun))


def made_with(out: Path, versions: dict[str, str]) -> None:
    """Let the builder's notes say that all columns were made with other versions."""

    def edit(begun: dict[str, Any]) -> None:
        for info in begun["columns"].values():
            info["tools"] |= {tool: version for tool, version in versions.items() if tool in info["tools"]}

    edit_identity(out, edit)


@pytest.fixture
def mv_set(ipdata: Run, tmp_path: Path) -> Path:
    assert build(ipdata, tmp_path / "set", "mv").returncode == 0
    return tmp_path / "set"


def test_a_column_is_added_years_later_with_other_tools(ipdata: Run, mv_set: Path) -> None:
    made_with(mv_set, OLD)
    before = tree(mv_set)
    done = build(ipdata, mv_set, "residual")
    assert done.returncode == 0, done.stderr
    assert list(verify(mv_set)) == []
    columns = Manifest.read(mv_set).columns
    assert columns["mv"].tools["av"] == "10.0.0" and columns["mv"].tools["libavcodec"] == "60.3.100"
    here = tools_here()
    assert columns["residual"].tools == {tool: here[tool] for tool in ("av", "ffmpeg", "libavcodec", "opencv")}
    after = tree(mv_set)
    assert {name: after[name] for name in before if name.startswith(("mv/", "samples/"))} == {
        name: sha256 for name, sha256 in before.items() if name.startswith(("mv/", "samples/"))
    }
    again = build(ipdata, mv_set, "mv,residual")
    assert again.returncode == 0 and "0 to extract" in again.stderr
    assert tree(mv_set) == after


def test_what_is_made_again_needs_the_tools_that_made_it(ipdata: Run, mv_set: Path) -> None:
    made_with(mv_set, {**OLD, "ffmpeg": "6.0"})
    (mv_set / "mv" / "00000.tar").unlink()
    before = tree(mv_set)
    done = build(ipdata, mv_set, "mv")
    assert done.returncode == 1 and tree(mv_set) == before
    assert "tools.mv.av: the output has '10.0.0', this build" in done.stderr
    assert "`pip install av==10.0.0`; ffmpeg 6.0 (an executable; name one with --ffmpeg)" in done.stderr
    assert "or build into another --out" in done.stderr.lower()


def test_an_algorithm_counts_where_videos_are_added(ipdata: Run, mv_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_build_of("mv"), "algorithm", 2, raising=False)
    done = build(ipdata, mv_set, "mv,video")  # mv is not touched: it stays algorithm 1
    assert done.returncode == 0, done.stderr
    assert {name: info.algorithm for name, info in Manifest.read(mv_set).columns.items()} == {"mv": 1, "video": 1}
    (mv_set / "mv" / "00000.tar").unlink()
    before = tree(mv_set)
    done = build(ipdata, mv_set, "mv,video")
    assert done.returncode == 1 and "column mv: the output has algorithm 1, this version makes 2" in done.stderr
    assert "Install the release that made them" in done.stderr and tree(mv_set) == before


@pytest.fixture
def format_1(ipdata: Run, tmp_path: Path) -> Path:
    """An output as package 0.1.0 left it: format 1, and notes of flat names with the package's own version."""
    out = tmp_path / "old"
    (out / ".build").mkdir(parents=True)
    (out / ".build" / "identity.json").write_text(BEGUN_IN_FORMAT_1)
    assert build(ipdata, out, "mv").returncode == 0

    def flatten(begun: dict[str, Any]) -> None:
        tools = begun.pop("columns")["mv"]["tools"]
        begun |= {f"tools.mv.{tool}": version for tool, version in {**tools, "ipdata": "0.0.9"}.items()}

    edit_identity(out, flatten)
    return out


def test_an_output_of_the_first_release_goes_on(ipdata: Run, format_1: Path) -> None:
    done = build(ipdata, format_1, "mv,residual")
    assert done.returncode == 0, done.stderr
    manifest = Manifest.read(format_1)
    assert manifest.format == 1 and list(verify(format_1)) == []
    assert manifest.columns["mv"].tools["ipdata"] == "0.0.9" and "av" not in manifest.columns["mv"].tools
    assert manifest.algorithm("mv") == 1
    (format_1 / "mv" / "00000.tar").unlink()  # its package version is not compared, algorithm 1 is
    before = tree(format_1)
    done = build(ipdata, format_1, "mv,residual")
    assert done.returncode == 0, done.stderr
    assert before.items() <= tree(format_1).items()


@pytest.mark.parametrize("tool", ["ffmpeg", "libavcodec"])
def test_in_format_1_a_new_column_needs_the_tools_of_the_bitstream(ipdata: Run, format_1: Path, tool: str) -> None:
    """Its records have no hash that would tell whether the bitstream is the same."""
    edit_identity(format_1, lambda begun: begun.update({f"tools.mv.{tool}": "1.2.3"}))
    before = tree(format_1)
    done = build(ipdata, format_1, "residual")
    assert done.returncode == 1 and f"tools.mv.{tool}, for residual: the output has '1.2.3'" in done.stderr
    assert tree(format_1) == before


def test_format_1_cannot_state_a_later_algorithm(ipdata: Run, format_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_build_of("residual"), "algorithm", 2, raising=False)
    done = build(ipdata, format_1, "residual")
    assert done.returncode == 1 and "format 1 cannot state algorithm 2 of column residual" in done.stderr


def test_another_bitstream_is_refused_with_the_fields_that_differ(ipdata: Run, mv_set: Path, tmp_path: Path) -> None:
    """This ffmpeg calls itself another version, and quantises more coarsely."""
    coarse = tmp_path / "ffmpeg"
    version = '[ "$1" = -version ] && echo "ffmpeg version 99.0 Copyright" && exit 0'
    coarse.write_text(f'#!/bin/bash\n{version}\nexec {executable()} "${{@/#2/9}}"\n')
    coarse.chmod(coarse.stat().st_mode | stat.S_IXUSR)
    before = tree(mv_set)
    done = build(ipdata, mv_set, "residual", ffmpeg=coarse)
    assert done.returncode == 1, done.stderr
    assert "its new record differs from the published one in video_sha256" in done.stderr
    old = Manifest.read(mv_set).columns["mv"].tools["ffmpeg"]
    assert f"ffmpeg: the output has '{old}', this build '99.0'" in done.stderr
    assert f"ffmpeg {old} (an executable; name one with --ffmpeg)" in done.stderr
    assert tree(mv_set) == before and os.access(mv_set / "manifest.json", os.R_OK)


def test_notes_that_do_not_say_what_made_a_column_are_refused(ipdata: Run, mv_set: Path) -> None:
    edit_identity(mv_set, lambda begun: begun.pop("columns"))
    done = build(ipdata, mv_set, "mv")
    assert done.returncode == 1 and "does not say what made the column mv" in done.stderr
    edit_identity(mv_set, lambda begun: begun.update(columns={"mv": {"tools": 3}}))
    done = build(ipdata, mv_set, "mv")
    assert done.returncode == 1 and "identity.json, column mv" in done.stderr and "Traceback" not in done.stderr
