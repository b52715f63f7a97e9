"""Commands that cannot be right are refused before anything is written."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from built_sets import SMALL
from commands import as_process, in_process
from conftest import Run

from ipdata.executors import dask as dask_executor


@pytest.fixture(autouse=True)
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where these tests look for a scheduler."""
    monkeypatch.setattr(dask_executor, "CONNECT_S", 1.0)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--dataset=hmdb52"], 1, 'unknown dataset "hmdb52"; known: hmdb51, ucf101, kinetics_n50, folder, synthetic'),
        (["--recipe=huge"], 1, "no recipe 'huge'"),
        (["--set=transcode.with=3"], 1, "unknown key transcode.with"),
        (["--set=transcode.width=wide"], 1, "transcode.width must be a whole number, got 'wide'"),
        (["--set=transcode.width=113"], 1, "width must be even"),
        (["--columns=rgb"], 1, "unknown column 'rgb'"),
        (["--classes=jump"], 1, "no class 'jump'"),
        (["--ffmpeg=/bin/false"], 1, "/bin/false does not run as ffmpeg"),
        (["--scheduler=tcp://127.0.0.1:1"], 1, "no Dask scheduler answers there"),
        (
            ["--scheduler=192.0.2.1:8786"],
            1,
            "whoever reaches that port can run code as you; start the cluster with TLS",
        ),
        (["--scheduler=192.0.2.1:8786", "--insecure-scheduler"], 1, "no Dask scheduler answers there"),
        (["--insecure-scheduler"], 1, "--insecure-scheduler has no effect with this --scheduler"),
        (["--tls-ca=nowhere.pem"], 2, "'nowhere.pem' does not exist"),
        (["--limit-videos=0"], 2, "0 is not in the range"),
        ([f"--limit-frames={2**63}"], 2, "is not in the range"),
        ([f"--set=limits.frames={2**63}"], 1, "frames must be at least 1, and less than 2^63"),
        (["--max-source-gb=inf"], 2, "inf is not in the range"),
        (["--max-source-gb=1e400"], 2, "inf is not in the range"),
        (["--max-source-gb=1e308"], 2, "1e+308 is not in the range"),
        (["--max-missing=nan"], 2, "nan is not a number in this range"),
        (["--video-timeout-s=nan"], 2, "nan is not a number in this range"),
        (["--wait-workers=nan", "--scheduler=127.0.0.1:1"], 2, "nan is not a number in this range"),
        (["--set=transcode.width=" + "[" * 5000], 1, "a value of it, or of --set, is nested too deep"),
        (["--set=synthetic.frames=200001"], 1, "frames at most 10000"),
        (["--set=synthetic.width=99999"], 1, "width and height must be 16 to 4096 px"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    """All of them end before a cluster starts, so they can run in this process; one is run as a user does too."""
    command = ["build", f"--out={tmp_path / 'set'}", *SMALL, *arguments]
    for run in (in_process, as_process) if arguments == ["--recipe=huge"] else (in_process,):
        done = run("ipdata.cli", command)
        assert done.returncode == status and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("set/*/*.tar"))


@pytest.mark.parametrize("dataset", ["hmdb51", "ucf101", "kinetics_n50", "folder"])
def test_a_missing_source_says_what_to_get_and_where_to_put_it(ipdata: Run, tmp_path: Path, dataset: str) -> None:
    source = tmp_path / "nowhere" / dataset
    done = ipdata("build", dataset=dataset, source=source, out=tmp_path / "set", scheduler="none")
    assert done.returncode == 1 and str(source) in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_working_directory_that_was_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    command = "cd gone && rmdir ../gone && exec " + shlex.join([sys.executable, "-m", "ipdata.cli", "plan", *SMALL])
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    said = "error: the working directory was deleted; change to another one, and give the command again"
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == said, done.stderr


def test_plan_writes_nothing(ipdata: Run, tmp_path: Path) -> None:
    done = ipdata("plan", *SMALL, out=tmp_path / "set")
    assert done.returncode == 0, done.stderr
    assert "4 of" in done.stdout and "core-hours" in done.stdout
    assert not list(tmp_path.iterdir())


def test_datasets_lists_what_each_expects(ipdata: Run) -> None:
    done = ipdata("datasets")
    assert done.returncode == 0
    for words in ("hmdb51", "classInd.txt", "<youtube_id>", "videos.csv", "synthetic"):
        assert words in done.stdout
