"""Builds into an S3 bucket: shards are sent as they are ready, the manifest last, and every interruption can go on."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import buckets
import pytest
import s3fs
from built_sets import tree
from commands import Done
from conftest import Run
from moving import moving_luma, write_y4m

from ipdata.executors.isolated import end_child
from shards import ShardError, ShardSet, verify
from shards.layout import MANIFEST
from shards.manifest import FileInfo
from shards.sharing.choice import Choice
from shards.sharing.early import NotingStore
from shards.sharing.push import push
from shards.sharing.take import take
from shards.store import objects, transport, upload

NEVER_ENDING = """
import time, ipdata.cli, shards.sharing.early
shards.sharing.early.EarlyPush.finish = lambda *_: time.sleep(60)
ipdata.cli.main()
"""
QUICK = ["--columns=mv,video", "--set=shards.videos_per_shard=1", "--recipe=small", "--dataset=folder"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with three `clips`, in two groups of subsets."""
    folder = tmp_path_factory.mktemp("local")
    for number, name in enumerate(["wave/a.y4m", "wave/b.y4m", "walk/c.y4m"]):
        path = folder / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_y4m(path, moving_luma(frames=3, step_px=(1, number), seed=number))
    return folder


@pytest.fixture(scope="module")
def built(local: Path, ipdata: Run) -> dict[str, str]:
    """The files of the set that is built in a directory."""
    done = ipdata("build", *QUICK, scheduler="none", source=local / "clips", out=local / "set")
    assert done.returncode == 0, done.stderr
    return tree(local / "set")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    end_child()  # one that an earlier test has started would not know the server
    with buckets.bucket("sets") as url:
        yield url
    end_child()


@pytest.fixture
def url(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of its own for each test."""
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPDATA_HOME", str(tmp_path / "home"))
    return f"{bucket}/{tmp_path.name}/set"


@pytest.fixture
def build(url: str, local: Path, ipdata: Run) -> Callable[..., Done]:
    def run(*more: str, **options: object) -> Done:
        chosen = {"source": local / "clips", "out": url, "scheduler": "none", **options}
        return ipdata("build", *QUICK, *more, **chosen)

    return run


@pytest.fixture
def clips(local: Path, tmp_path: Path) -> Path:
    """A copy of the clips, to change."""
    return Path(shutil.copytree(local / "clips", tmp_path / "clips"))


def raising(kind: type[BaseException]) -> Callable[..., None]:
    def function(*_: object, **__: object) -> None:
        raise kind("cut")

    return function


def store() -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(skip_instance_cache=True)


def names(url: str) -> set[str]:
    root = url.removeprefix("s3://")
    return {path.removeprefix(f"{root}/") for path in store().find(root)}


def pulled(url: str, directory: Path) -> dict[str, str]:
    assert list(verify(url)) == []
    take(url, directory, Choice())
    return tree(directory)


def puts(monkeypatch: pytest.MonkeyPatch, *, fails: Callable[[str], bool] = lambda _: False) -> list[str]:
    """A list that grows by each file of a shard that is sent."""
    sent: list[str] = []
    original = upload.ObjectStore.put

    def put(self: upload.ObjectStore, relative: str, path: Path) -> None:
        if fails(relative):
            raise OSError("connection reset")
        if "/" in relative:
            sent.append(relative)
        original(self, relative, path)

    monkeypatch.setattr(upload.ObjectStore, "put", put)
    return sent


def test_from_a_bucket_into_a_bucket(
    built: dict[str, str], build: Callable[..., Done], url: str, local: Path, tmp_path: Path
) -> None:
    store().put(str(local / "clips"), f"{url}-clips", recursive=True)
    done = build(source=f"{url}-clips")
    assert done.returncode == 0, done.stderr
    assert f"{url}: 3 videos, 9 frames, 3 shards" in done.stdout
    assert f"ipshards verify {url}" in done.stderr
    assert pulled(url, tmp_path / "pulled") == built
    assert names(url) == built.keys()  # and so no claim, and nothing of the work
    (work,) = (tmp_path / "home/uploads").iterdir()
    assert work.name.startswith("set-") and tree(work) == built


def test_shards_are_sent_before_the_set_is_whole(
    build: Callable[..., Done], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = puts(monkeypatch)
    done = build("--strict", max_missing=0)
    assert done.returncode == 0
    assert ": 1 of 16 files sent at the end\n" in done.stdout  # the key index
    assert len(sent) == 15


def test_an_upload_that_fails_goes_on(
    built: dict[str, str], build: Callable[..., Done], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "WAITS_S", (0.01,))
    with pytest.MonkeyPatch.context() as patched:
        puts(patched, fails=lambda relative: relative == "video/00001.tar")
        done = build()
    assert done.returncode == 1
    assert f"{url}/video/00001.tar: cannot be sent (connection reset)" in done.stderr
    assert "The build goes on" in done.stderr
    assert "The set is whole in" in done.stderr and "run the same command again" in done.stderr
    assert MANIFEST not in names(url)
    missing = {name for name in built if "/" in name} - names(url)
    sent = puts(monkeypatch)
    assert build().returncode == 0
    assert sorted(sent) == sorted(missing)
    assert pulled(url, tmp_path / "pulled") == built


def test_a_killed_build_goes_on(
    built: dict[str, str], build: Callable[..., Done], url: str, local: Path, tmp_path: Path
) -> None:
    store().put(str(local / "clips"), f"{url}-clips", recursive=True)
    command = ["build", *QUICK, f"--source={url}-clips", f"--out={url}", "--scheduler=none"]
    with subprocess.Popen([sys.executable, "-c", NEVER_ENDING, *command], stderr=subprocess.DEVNULL) as process:
        while "mv/00001.tar" not in names(url) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and MANIFEST not in names(url)
    done = build(source=f"{url}-clips")
    assert done.returncode == 0, done.stderr
    assert pulled(url, tmp_path / "pulled") == built
    assert names(url) == built.keys()


BEFORE, AFTER = "store.upload.ObjectStore.put_manifest", "sharing.push._Push._send_free_files"


@pytest.mark.parametrize(("at", "changes"), [(BEFORE, False), (BEFORE, True), (AFTER, True)])
def test_a_push_that_was_cut_before_or_after_its_manifest(
    built: dict[str, str], build: Callable[..., Done], url: str, clips: Path, tmp_path: Path, at: str, changes: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"shards.{at}", raising(KeyboardInterrupt))
        assert build(source=clips).returncode == 130
    assert ".pushing.json" in names(url) and (MANIFEST in names(url)) is (at == AFTER)
    if changes:  # the key index that was sent gets another name
        write_y4m(clips / "wave/a.y4m", moving_luma(frames=3, step_px=(2, 2), seed=9))
        write_y4m(clips / "walk/d.y4m", moving_luma(frames=3, step_px=(2, 1), seed=8))
    done = build(source=clips)
    assert done.returncode == 0, done.stderr
    (work,) = (tmp_path / "home/uploads").iterdir()
    assert (tree(work) == built) is not changes
    assert pulled(url, tmp_path / "pulled") == tree(work)
    assert names(url) == tree(work).keys()


def test_a_server_that_is_not_there_is_told_before_any_work(
    built: dict[str, str], build: Callable[..., Done], url: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(objects, "WAITS_S", (0.01,))
        patched.setattr(s3fs.S3FileSystem, "retries", 1)
        patched.setenv("AWS_MAX_ATTEMPTS", "1")
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3fs.S3FileSystem.clear_instance_cache()
        done = build()
    s3fs.S3FileSystem.clear_instance_cache()
    assert done.returncode == 1 and f"{url}/.pushing.json: cannot be sent" in done.stderr
    assert not list((tmp_path / "home/uploads").glob("*/samples"))  # no work is begun
    assert build().returncode == 0
    assert pulled(url, tmp_path / "pulled") == built


def test_status_takes_the_url(build: Callable[..., Done], url: str, clips: Path, ipdata: Run, tmp_path: Path) -> None:
    refused = ipdata("status", url)
    assert refused.returncode == 1
    assert f"{url}: no build for this URL was begun here ({tmp_path / 'home/uploads'}" in refused.stderr
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shards.sharing.early.EarlyPush.finish", raising(ShardError))
        assert build().returncode == 1
    done = ipdata("status", url)
    assert done.returncode == 0 and "3 videos" in done.stdout, done.stdout
    assert f"sent      no set can be read at the URL: {url}/manifest.json: not found there" in done.stdout
    assert build().returncode == 0
    assert f"sent      the set at {url} is this one" in ipdata("status", url).stdout
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shards.sharing.early.EarlyPush.finish", raising(ShardError))
        write_y4m(clips / "walk/d.y4m", moving_luma(frames=3, step_px=(2, 1), seed=8))
        assert build(source=clips).returncode == 1
    assert f"sent      the set at {url} is another one" in ipdata("status", url).stdout


def test_two_builds_into_one_url(build: Callable[..., Done], url: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shards.sharing.early.EarlyPush.finish", raising(ShardError))
        assert build().returncode == 1
    before = names(url)
    other = build(work=tmp_path / "other")
    assert other.returncode == 1
    assert f"{url}: another build or push, " in other.stderr and "remove .pushing.json there" in other.stderr
    assert names(url) == before and not (tmp_path / "other/samples").exists()
    assert build().returncode == 0
    assert build(work=tmp_path / "other").returncode == 0  # the same set


def test_a_set_of_others_is_never_touched(
    built: dict[str, str], build: Callable[..., Done], url: str, local: Path, tmp_path: Path, ipdata: Run
) -> None:
    options = {"source": local / "clips", "out": tmp_path / "others", "scheduler": "none"}
    assert ipdata("build", *QUICK, "--set=transcode.quantiser=9", **options).returncode == 0
    push(tmp_path / "others", url)
    before = names(url)
    done = build()
    assert done.returncode == 1
    assert f"{url}: the set there has another mv/0000" in done.stderr and "another URL" in done.stderr
    assert names(url) == before
    assert pulled(url, tmp_path / "pulled") == tree(tmp_path / "others")


def test_our_set_grows_and_changes(
    built: dict[str, str], build: Callable[..., Done], url: str, clips: Path, tmp_path: Path
) -> None:
    assert build("--columns=video", source=clips).returncode == 0
    assert ShardSet(url).columns == ["video"]
    assert build(source=clips).returncode == 0
    assert pulled(url, tmp_path / "pulled") == built
    write_y4m(clips / "wave/a.y4m", moving_luma(frames=3, step_px=(2, 2), seed=9))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shards.sharing.early.EarlyPush.finish", raising(ShardError))
        assert build(source=clips).returncode == 1
    assert pulled(url, tmp_path / "meanwhile") == built
    done = build(source=clips)
    assert done.returncode == 0, done.stderr
    (work,) = (tmp_path / "home/uploads").iterdir()
    assert pulled(url, tmp_path / "again") == tree(work) != built
    assert names(url) == tree(work).keys()


def test_a_large_object_is_known_again_by_its_version(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As objects of several parts, whose ETag is no MD5."""
    monkeypatch.setattr(upload.ObjectStore, "has", lambda *_: False)
    path = tmp_path / "00000.tar"
    path.write_bytes(b"payloads")
    NotingStore(f"{bucket}/large", tmp_path / "notes").put("mv/00000.tar", path)
    again = NotingStore(f"{bucket}/large", tmp_path / "notes")
    assert again.has("mv/00000.tar", FileInfo.of(path), path)
    assert not again.has("mv/00000.tar", FileInfo.of_bytes(b"others"), path)
    store().pipe_file(f"{bucket}/large/mv/00000.tar", b"Payloads")
    assert not again.has("mv/00000.tar", FileInfo.of(path), path)
    store().rm_file(f"{bucket}/large/mv/00000.tar")
    assert not again.has("mv/00000.tar", FileInfo.of(path), path)


def test_wrong_places(build: Callable[..., Done], url: str, tmp_path: Path) -> None:
    nowhere = build(out="s3://no-such-bucket/set")
    assert nowhere.returncode == 1
    assert "s3://no-such-bucket/set: nothing can be written there; make the bucket first" in nowhere.stderr
    login = build(out="s3://lab:s3cret@nobody/set", source="s3://lab:s3cret@nobody/set")
    assert login.returncode == 1 and "s3cret" not in login.stdout + login.stderr
    web = build(out="https://127.0.0.1/set")
    assert web.returncode == 1 and "sets cannot be pushed over HTTP" in web.stderr
    assert build(out=tmp_path / "out", work=tmp_path / "work").returncode == 2
    assert build(work=tmp_path / "work").returncode == 0
    assert "was built for another URL" in build(out=f"{url}-2", work=tmp_path / "work").stderr
