"""`ipdata status` of a real build: while it runs, after a kill -9, and after its end. And the report that it leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import opened
from built_sets import quick_options, tree
from clusters import wait_for
from commands import Done, as_process, words
from conftest import Run

from ipdata.steps.output import Output
from shards import verify

EVIL = "<img src=x onerror=document.title='owned'>&\"'.y4m"
SLOW = ["--columns=mv,video", "--scheduler=none", "--set=synthetic.frames=400", "--set=shards.videos_per_shard=2"]


def state_of(out: Path) -> dict:
    done = as_process("ipdata.cli", ["status", str(out), "--json"])
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)
    return found


def slow_build(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ipdata.cli", "build", f"--out={out}", "--limit-videos=8", *SLOW]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_status_while_a_build_runs_after_a_kill_and_after_its_end(tmp_path: Path, ipdata: Run) -> None:
    out = tmp_path / "set"
    build, log = slow_build(out), out / ".build" / "log.jsonl"
    wait_for(lambda: log.exists() and log.read_text().count("\n") >= 3)
    build.send_signal(signal.SIGSTOP)  # otherwise it may end while its state is asked for
    before = log.read_bytes()
    running = state_of(out)
    assert running["state"] == "running" and build.poll() is None
    assert running["videos"] == 8 == running["done"] + running["left"] and running["failed"] == 0
    assert running["done"] >= 3 and running["rate"]["videos"] == running["done"] and running["time_left_s"] > 0
    (worker,) = running["workers"]
    assert worker["processes"] == 1 and worker["videos"] == running["done"]
    assert log.read_bytes().startswith(before)

    build.send_signal(signal.SIGKILL)
    build.wait()
    killed = state_of(out)
    # Of a shard whose receipt was not written yet, nothing counts: the next build makes it again.
    published = sum(len(receipt.sources) for receipt in Output(out).receipts())
    assert killed["state"] == "unfinished" and killed["has_lock"] is False
    assert (killed["done"], killed["left"], killed["published"]["videos"]) == (published, 8 - published, published)
    text = ipdata("status", out)
    assert f"videos    8: {published} done, {8 - published} left, 0 failed" in text.stdout
    assert "the same command goes on" in text.stdout

    assert ipdata("build", out=out, limit_videos=8).returncode == 1  # refused: other settings
    assert state_of(out)["left"] == 8 - published  # a refused build says nothing new
    assert slow_build(out).wait() == 0
    ended = state_of(out)
    assert (ended["state"], ended["done"], ended["left"], ended["time_left_s"]) == ("complete", 8, 0, 0)
    assert ended["rate"]["videos"] == 8 - published
    assert list(verify(out)) == []


def test_status_is_asked_again_and_again_and_no_build_is_refused(ipdata: Run, tmp_path: Path) -> None:
    out, stop = tmp_path / "set", threading.Event()
    ipdata(*quick_options(out, columns="mv", scheduler="none"))

    def ask() -> None:
        from ipdata.status.state import status_of

        while not stop.is_set():
            status_of(out, now=0.0)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(5):
            done = ipdata(*quick_options(out, columns="mv", scheduler="none"))
            assert done.returncode == 0, done.stderr
    finally:
        stop.set()
        asking.join()


def y4m(path: Path, frames: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    picture = cv2.resize(texture, (64, 48), interpolation=cv2.INTER_CUBIC)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 Cmono\n")
        for number in range(frames):
            file.write(b"FRAME\n" + np.roll(picture, number, axis=1).tobytes())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A set of a folder with a name that would be markup, equal files, and files that fail."""
    folder = tmp_path_factory.mktemp("hostile")
    source = folder / "videos"
    for class_name in ("walk", "<b>run"):
        for number in range(3):
            y4m(source / class_name / f"{number}.y4m", 5 + number, seed=number + len(class_name))
    y4m(source / "walk" / EVIL, 9, seed=9)
    (source / "walk" / "copy.y4m").write_bytes((source / "walk" / EVIL).read_bytes())
    (source / "walk" / f"empty {EVIL}").touch()
    (source / "walk" / "text.avi").write_text("no video")
    options = {"dataset": "folder", "source": source, "recipe": "small", "columns": "iframe,mv,video"}
    done = as_process("ipdata.cli", words("build", out=folder / "set", scheduler="none", **options))
    return folder / "set", done


def test_a_build_with_failures_leaves_a_report_that_is_no_part_of_the_set(
    hostile: tuple[Path, Done], ipdata: Run
) -> None:
    out, done = hostile
    assert done.returncode == 3, done.stderr
    assert list(verify(out)) == [] and not any("report" in name for name in tree(out))
    page = (out / ".build" / "report.html").read_text("utf-8")
    for said in ("1 empty (source)", "1 not_a_video (source)", "2 published videos in 1 groups", "8 videos, 54 frames"):
        assert said in page, said
    assert "http" not in page and page.count("data:image/jpeg;base64,") == 2
    text = ipdata("status", out).stdout
    assert (
        "videos    10: 8 done, 0 left, 2 failed" in text and "failed    1 empty (source): the file has no bytes" in text
    )


def test_hostile_names_are_shown_in_a_browser_and_do_nothing(
    hostile: tuple[Path, Done], ipdata: Run, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert ipdata("status", hostile[0], html=page).returncode == 0
    use = """
    const text = document.querySelector(".filters input");
    text.value = "COPY"; text.dispatchEvent(new Event("input"));
    const seen = [...document.querySelectorAll(".row")].filter(row => row.offsetParent !== null);
    document.body.dataset.seen = seen.length;
    document.body.dataset.copies = seen.filter(row => row.textContent.includes("copy")).length;
    document.body.dataset.evil = [...document.querySelectorAll("[onerror], img:not([src^=data])")].length;
    document.body.dataset.widest = document.documentElement.scrollWidth <= window.innerWidth;
    """
    dom = opened(page, tmp_path, then=use)
    assert 'data-evil="0"' in dom and "<title>Build of folder: 8 videos</title>" in dom and 'data-widest="true"' in dom
    shown = int(dom.partition('data-seen="')[2].partition('"')[0])
    assert shown >= 1 and f'data-copies="{shown}"' in dom
    assert "&lt;img src=x onerror" in dom


def test_the_page_is_the_same_but_for_times(hostile: tuple[Path, Done]) -> None:
    from ipdata.reporting.document import page_of

    assert page_of(hostile[0], now=0.0) == page_of(hostile[0], now=0.0)


def test_a_page_is_not_written_into_the_set(hostile: tuple[Path, Done], ipdata: Run) -> None:
    refused = ipdata("status", hostile[0], html=hostile[0] / "report.html")
    assert refused.returncode == 1 and "would lie in the set" in refused.stderr
    assert list(verify(hostile[0])) == []


def test_a_page_replaces_only_an_earlier_page(hostile: tuple[Path, Done], ipdata: Run, tmp_path: Path) -> None:
    page, notes, fifo, link = (tmp_path / name for name in ("page.html", "notes.html", "fifo", "link.html"))
    for _ in range(2):
        assert ipdata("status", hostile[0], html=page).returncode == 0
    notes.write_text('<!doctype html>\n<html lang="en">')
    os.mkfifo(fifo)
    link.symlink_to(page)
    for path in (notes, fifo, link, Path("/dev/null")):
        before = path.lstat()
        refused = ipdata("status", hostile[0], html=path)
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and f"--html {path}" in refused.stderr
        assert path.lstat().st_ino == before.st_ino


def test_a_report_that_cannot_be_written_costs_no_build(ipdata: Run, tmp_path: Path) -> None:
    out = tmp_path / "set"
    (out / ".build" / "report.html" / "in the way").mkdir(parents=True)
    done = ipdata(*quick_options(out, columns="mv", scheduler="none"))
    assert done.returncode == 0 and "the report of the build is not written: " in done.stderr
    assert list(verify(out)) == []


def test_where_all_videos_fail_the_report_says_why(ipdata: Run, tmp_path: Path) -> None:
    (tmp_path / "videos/a").mkdir(parents=True)
    (tmp_path / "videos/a/x.avi").write_text("no video")
    options = {"dataset": "folder", "source": tmp_path / "videos", "scheduler": "none", "columns": "mv"}
    assert ipdata("build", out=tmp_path / "set", **options).returncode == 1
    page = (tmp_path / "set/.build/report.html").read_text()
    assert "1 not_a_video (source)" in page and "Nothing is published yet." in page
    assert "They are drawn when the set is whole" in page


@pytest.mark.parametrize("place", ["nowhere", "received"])
def test_a_place_without_a_build_is_refused_in_one_line(ipdata: Run, tmp_path: Path, place: str) -> None:
    if place == "received":
        (tmp_path / place).mkdir()
        (tmp_path / place / "manifest.json").touch()
    refused = ipdata("status", tmp_path / place)
    assert refused.returncode == 1 and refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1 and refused.stderr.startswith(f"error: {tmp_path / place}: ")


def test_plan_says_how_long_so_many_workers_take(ipdata: Run, tmp_path: Path) -> None:
    done = ipdata("plan", out=tmp_path / "set", columns="mv", workers=7, probe=2)
    assert done.returncode == 0 and "from 2 of 2 probed videos" in done.stdout
    assert "on 7 workers" in done.stdout and "core-hours" in done.stdout
    assert not (tmp_path / "set").exists()
