"""Refusals: no file of a user is lost, mixed or overwritten, and the error says what to do."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from built_sets import SMALL, quick_options, tree
from conftest import Run
from encoding import ffmpeg
from moving import HEIGHT, WIDTH

from ipdata.executors import dask as dask_executor

MV = {"columns": "mv", "scheduler": "none"}


def build(ipdata: Run, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ipdata("build", *SMALL, *arguments, out=out, **MV)


@pytest.fixture(scope="module")
def built_once(ipdata: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "set"
    done = build(ipdata, out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    """The output of a build, with the builder's notes."""
    return shutil.copytree(built_once, tmp_path / "set")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set=transcode.width=64"], "transcode.width: the output has 112, this build 64"),
        (["--set=shards.seed=1"], "shards.seed: the output has 0, this build 1"),
        (["--limit-frames=1"], "limits.frames: the output has nothing, this build 1"),
        (["--set=synthetic.seed=7"], "synthetic.seed: the output has 0, this build 7"),
    ],
)
def test_an_output_of_another_recipe_is_refused(ipdata: Run, built: Path, arguments: list[str], says: str) -> None:
    before = tree(built)
    done = build(ipdata, built, *arguments)
    assert done.returncode == 1 and says in done.stderr and "--out" in done.stderr
    assert tree(built) == before


def test_columns_not_built_yet_may_have_any_settings(ipdata: Run, built: Path) -> None:
    done = ipdata("build", *SMALL, "--set=residual.quality=80", out=built, columns="residual", scheduler="none")
    assert done.returncode == 0, done.stderr
    done = ipdata("build", *SMALL, "--set=residual.quality=70", out=built, columns="residual", scheduler="none")
    assert done.returncode == 1 and "residual.quality: the output has 80, this build 70" in done.stderr


def test_what_people_wrote_in_the_card_stays(ipdata: Run, built: Path) -> None:
    readme = built / "README.md"
    text = readme.read_text("utf-8").replace("---\n\n", "license: mit\n---\n\nOur set.\n\n", 1)
    readme.write_text(f"{text}Written by hand.\n", "utf-8")
    done = ipdata("build", *SMALL, out=built, columns="video", scheduler="none")
    assert done.returncode == 0, done.stderr
    new = readme.read_text("utf-8")
    assert "\nlicense: mit\n---\n\nOur set.\n" in new and new.endswith("\nWritten by hand.\n")
    assert "config_name: video" in new and "license: unknown" not in new
    assert '"license": "mit"' in (built / "croissant.json").read_text("utf-8")


def test_a_recipe_binds_only_once_something_is_published(ipdata: Run, tmp_path: Path) -> None:
    """A wrong command that stopped at once must not force its recipe on the right command."""
    out = tmp_path / "set"
    killed = ipdata("build", "--dataset=folder", f"--source={tmp_path / 'none'}", out=out)
    assert killed.returncode == 1
    (out / ".build").mkdir(parents=True)
    (out / ".build" / "identity.json").write_text('{"transcode.width":340,"dataset":"hmdb51"}\n')
    assert build(ipdata, out).returncode == 0


def test_a_bound_by_which_every_video_failed_may_be_changed(ipdata: Run, tmp_path: Path) -> None:
    """Of two cut videos, each bound lets one more pass. Once one is published, its bound stays."""
    videos, out = tmp_path / "videos" / "any", tmp_path / "set"
    videos.mkdir(parents=True)
    for name, share in (("a", 0.7), ("b", 0.3)):
        path = videos / f"{name}.avi"
        size = f"testsrc2=s={WIDTH}x{HEIGHT}"
        ffmpeg("-f", "lavfi", "-i", size, "-frames:v", 40, "-c:v", "mjpeg", path)
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rindex(b"00dc", 0, int(share * len(whole)))])  # at the beginning of a picture

    def run(deficit: float) -> subprocess.CompletedProcess[str]:
        own = f"--set=source.max_frame_deficit={deficit}"
        return ipdata("build", "--dataset=folder", "--recipe=small", own, source=videos.parent, out=out, **MV)

    refused = run(0.1)
    assert refused.returncode == 1 and "none of the 2 videos could be built" in refused.stderr
    built = run(0.6)
    assert built.returncode == 3 and "any/b.avi: truncated" in built.stdout, built.stderr
    before = tree(out)
    again = run(0.9)
    assert again.returncode == 1
    assert "source.max_frame_deficit: the output has 0.6, this build 0.9" in again.stderr
    assert tree(out) == before


@pytest.mark.parametrize("largest_file_bytes", [200_000, 420_000], ids=["for scratch", "for a shard"])
def test_no_room_stops_the_build_and_fails_no_video(tmp_path: Path, largest_file_bytes: int) -> None:
    """A limit on file size stands for a full disk. The error reaches the user, and the next run finishes the set."""
    out = tmp_path / "set"
    # A synthetic source takes 395 kB of scratch; a shard of residuals of this quality takes more.
    arguments = quick_options(out, scheduler="none", columns="mv,residual")
    arguments += ["--set=residual.quality=100", "--set=shards.videos_per_shard=18", "--limit-videos=18"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))

    command = [sys.executable, "-m", "ipdata.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert ("cannot be extracted here" in done.stderr) == (largest_file_bytes == 200_000)
    published = tree(out)
    assert "manifest.json" not in published
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert published.items() <= tree(out).items()


def test_a_directory_that_is_not_ours_is_left_alone(ipdata: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = build(ipdata, tmp_path)
    assert done.returncode == 1 and "not empty, and not the output of a build" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_set_from_elsewhere_is_left_alone(ipdata: Run, built: Path, tmp_path: Path) -> None:
    pulled = tmp_path / "pulled"
    pulled.mkdir()
    (pulled / "manifest.json").write_bytes((built / "manifest.json").read_bytes())
    done = build(ipdata, pulled)
    assert done.returncode == 1 and "was not built here" in done.stderr


def test_a_refused_run_leaves_a_complete_set_whole(ipdata: Run, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "CONNECT_S", 1.0)  # nothing listens there
    before = tree(built)
    done = ipdata("build", *SMALL, out=built, columns="mv,video", scheduler="tcp://127.0.0.1:1")
    assert done.returncode == 1 and "no Dask scheduler answers there" in done.stderr
    assert tree(built) == before


def test_a_full_disk_leaves_a_complete_set_whole(tmp_path: Path) -> None:
    out = tmp_path / "set"

    def command(columns: str) -> list[str]:
        options = quick_options(out, scheduler="none", columns=columns)
        # 85 kB of scratch for each source; the one shard of residuals takes more.
        options += ["--set=synthetic.frames=3", "--set=residual.quality=100"]
        options += ["--set=shards.videos_per_shard=18", "--set=shards.max_split_groups=1", "--limit-videos=18"]
        return [sys.executable, "-m", "ipdata.cli", *options]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (88_000, 88_000))

    subprocess.run(command("mv"), check=True, capture_output=True)
    before = tree(out)
    done = subprocess.run(command("mv,residual"), capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert tree(out) == before


def test_a_recipe_binds_also_where_the_receipts_are_lost(ipdata: Run, built: Path) -> None:
    before = tree(built)
    shutil.rmtree(built / ".build" / "receipts")
    done = build(ipdata, built, "--set=transcode.width=64")
    assert done.returncode == 1 and "transcode.width: the output has 112, this build 64" in done.stderr
    (built / ".build" / "identity.json").write_text("[]")
    done = build(ipdata, built)
    assert done.returncode == 1 and "damaged" in done.stderr and "Traceback" not in done.stderr
    assert tree(built) == before


def test_what_a_user_put_into_a_set_stays(ipdata: Run, built: Path) -> None:
    (built / "mv" / "notes.txt").write_text("mine")
    (built / "mv" / "folder").mkdir()
    assert build(ipdata, built).returncode == 0
    assert (built / "mv" / "notes.txt").read_text() == "mine" and (built / "mv" / "folder").is_dir()


def test_what_is_in_the_way_of_the_builds_own_files_is_named_with_a_cure(ipdata: Run, built: Path) -> None:
    tmp, lock = built / ".build" / "tmp", built / ".build" / "lock"
    before = tree(built)
    tmp.write_text("mine")
    done = build(ipdata, built)
    assert done.returncode == 1 and f"remove what is there, or name another place with --out: '{tmp}'" in done.stderr
    assert tmp.read_text() == "mine"
    lock.unlink()
    lock.symlink_to(lock)
    done = build(ipdata, built)
    assert done.returncode == 1 and f"remove what is there, or name another place with --out: '{lock}'" in done.stderr
    assert tree(built) == before


def test_a_file_as_output_is_refused(ipdata: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = build(ipdata, tmp_path / "file")
    assert done.returncode == 1 and "is a file; name a directory" in done.stderr
