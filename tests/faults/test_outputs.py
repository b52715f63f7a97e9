"""Refusals: no file of a user is lost, mixed or overwritten, and the error says what to do."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from built_sets import quick_options, tree
from commands import as_process, in_process
from conftest import Run

from ipdata.executors import dask as dask_executor
from shards import ShardSet


@pytest.fixture(autouse=True)
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where these tests look for a scheduler."""
    monkeypatch.setattr(dask_executor, "CONNECT_S", 1.0)


MV = {"columns": "mv", "scheduler": "none"}
SMALL = ["--set=synthetic.frames=2", "--limit-videos=4"]


def build(ipdata: Run, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ipdata("build", *SMALL, *arguments, out=out, **MV)


@pytest.fixture
def built(ipdata: Run, tmp_path: Path) -> Path:
    done = build(ipdata, tmp_path / "set")
    assert done.returncode == 0, done.stderr
    return tmp_path / "set"


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


def test_a_recipe_binds_only_once_something_is_published(ipdata: Run, tmp_path: Path) -> None:
    """A wrong command that stopped at once must not force its recipe on the right command."""
    out = tmp_path / "set"
    killed = ipdata("build", "--dataset=folder", f"--source={tmp_path / 'none'}", out=out)
    assert killed.returncode == 1
    (out / ".build").mkdir(parents=True)
    (out / ".build" / "identity.json").write_text('{"transcode.width":340,"dataset":"hmdb51"}\n')
    assert build(ipdata, out).returncode == 0


def test_a_source_that_cannot_be_read_any_more_costs_no_sample(ipdata: Run, data: Path, tmp_path: Path) -> None:
    video = tmp_path / "videos" / "hug" / "a.avi"
    video.parent.mkdir(parents=True)
    video.write_bytes(next((data / "ut_interaction" / "hug").glob("*.avi")).read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", **options).returncode == 0
    before = tree(tmp_path / "set")
    video.unlink()
    video.symlink_to(tmp_path / "gone")  # even root cannot read this
    done = ipdata("build", columns="mv,video", **options)
    assert done.returncode == 1 and "has a sample of hug/a.avi, which cannot be read any more" in done.stderr
    assert tree(tmp_path / "set") == before


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


def test_a_refused_run_leaves_a_complete_set_whole(ipdata: Run, built: Path) -> None:
    before = tree(built)
    done = ipdata("build", *SMALL, out=built, columns="mv,video", scheduler="tcp://127.0.0.1:1")
    assert done.returncode == 1 and "no Dask scheduler answers there" in done.stderr
    assert tree(built) == before


@pytest.mark.parametrize("where", [{"scheduler": "none"}, {"workers": 2}], ids=["in-process", "cluster"])
def test_strict_on_a_known_bad_video_leaves_the_set_whole(
    ipdata: Run, data: Path, tmp_path: Path, where: dict[str, object]
) -> None:
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    for clip in sorted((data / "ut_interaction" / "hug").glob("*.avi"))[:3]:
        (folder / clip.name).write_bytes(clip.read_bytes())
    (folder / "bad.avi").write_bytes(b"no video")
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "columns": "mv", **where}
    assert ipdata("build", **options).returncode == 3
    before = tree(tmp_path / "set")
    inodes = {path: path.stat().st_ino for path in (tmp_path / "set").rglob("*.tar")}
    assert ipdata("build", "--strict", **options).returncode == 4
    assert tree(tmp_path / "set") == before
    assert ipdata("build", **options).returncode == 3  # fails again: nothing is written anew
    assert tree(tmp_path / "set") == before and inodes == {path: path.stat().st_ino for path in inodes}


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


@pytest.mark.parametrize("damage", ["more videos", "flipped bytes", "lost receipts"])
def test_published_samples_are_kept_whatever_the_receipts_say(
    ipdata: Run, data: Path, tmp_path: Path, damage: str
) -> None:
    """If a receipt no longer counts, its samples must not be taken for new ones, which are allowed to fail."""
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    clips = sorted((data / "ut_interaction" / "hug").glob("*.avi"))
    for clip in clips[:4]:
        (folder / clip.name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    options |= {"columns": "mv", "limit_frames": 14}
    assert ipdata("build", **options).returncode == 0
    keys = {sample.key for sample in ShardSet(tmp_path / "set").samples()}
    (folder / clips[0].name).write_bytes(b"no video any more")
    if damage == "more videos":
        for clip in clips[4:8]:
            (folder / clip.name).write_bytes(clip.read_bytes())
    elif damage == "flipped bytes":
        for tar in (tmp_path / "set" / "mv").glob("*.tar"):
            tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    else:
        shutil.rmtree(tmp_path / "set" / ".build" / "receipts")
    done = ipdata("build", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr and clips[0].name in done.stderr, done.stderr
    (folder / clips[0].name).write_bytes(clips[0].read_bytes())
    assert ipdata("build", **options).returncode == 0
    assert keys <= {sample.key for sample in ShardSet(tmp_path / "set").samples()}


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


def test_published_samples_are_kept_when_their_videos_go_bad(ipdata: Run, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    clips = sorted((data / "ut_interaction" / "hug").glob("*.avi"))[:3]
    for clip in clips:
        (folder / clip.name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", **options).returncode == 0
    before = tree(tmp_path / "set")
    (folder / clips[0].name).write_bytes(b"no video any more")
    done = ipdata("build", columns="mv", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr and clips[0].name in done.stderr
    assert tree(tmp_path / "set") == before
    done = ipdata("build", columns="mv,video", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr
    after = tree(tmp_path / "set")
    assert all(after[name] == sha256 for name, sha256 in before.items() if name.startswith(("mv/", "samples/")))
    done = ipdata("build", "--drop-failed", columns="mv,video", **options)
    assert done.returncode == 3 and "2 videos" in done.stdout, done.stderr


def test_a_file_as_output_is_refused(ipdata: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = build(ipdata, tmp_path / "file")
    assert done.returncode == 1 and "is a file; name a directory" in done.stderr


def test_samples_whose_videos_are_gone_are_not_thrown_away(ipdata: Run, data: Path, tmp_path: Path) -> None:
    source = tmp_path / "videos"
    for name in ("handshake/set1_8_2_0.avi", "hug/set1_2_2_1.avi"):
        clip = next((data / "ut_interaction" / name.split("/")[0]).glob("*.avi"))
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": source, "out": tmp_path / "set", "columns": "mv", "scheduler": "none"}
    assert ipdata("build", **options).returncode == 0
    before = tree(tmp_path / "set")
    (source / "hug" / "set1_2_2_1.avi").unlink()
    done = ipdata("build", **options)
    assert done.returncode == 1 and "1 samples that this build does not choose" in done.stderr
    assert tree(tmp_path / "set") == before


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
        (["--limit-videos=0"], 2, "0 is not in the range"),
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
