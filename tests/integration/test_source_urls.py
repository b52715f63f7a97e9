"""Builds whose videos and lists lie in an S3 bucket give the bytes of builds from a copy in a directory."""

import errno
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import buckets
import pytest
import s3fs
from built_sets import tree
from commands import Done
from conftest import Run
from moving import moving_luma, write_y4m

import ipdata.steps.extract
from ipdata.executors.isolated import end_child
from ipdata.steps import source as sources
from shards import ShardSet
from shards.layout import MANIFEST
from shards.store import listed, objects, transport

QUICK = ["--scheduler=none", "--columns=mv,video", "--set=shards.videos_per_shard=2", "--recipe=small"]
NAMES = ["wave/a.y4m", "wave/b #1?.y4m", "walk/c::d.y4m", "walk/e.y4m"]
SUBSETS = ["train", "test", "train", "train"]


def write_clips(folder: Path) -> None:
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_y4m(path, moving_luma(frames=3, step_px=(1, number), seed=number))
    rows = [f"{name},{Path(name).parent},{subset}" for name, subset in zip(NAMES, SUBSETS, strict=True)]
    (folder / "videos.csv").write_text("\n".join(["path,label,split1", *rows]))
    (folder / "notes.md").write_text("no list")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `clips`, and the set that is built from it."""
    folder = tmp_path_factory.mktemp("local")
    write_clips(folder / "clips")
    return folder


@pytest.fixture(scope="module")
def built(local: Path, ipdata: Run) -> dict[str, str]:
    done = ipdata("build", *QUICK, dataset="folder", source=local / "clips", out=local / "set")
    assert done.returncode == 0, done.stderr
    return tree(local / "set")


@pytest.fixture(scope="module")
def bucket(local: Path) -> Iterator[str]:
    end_child()  # one that an earlier test has started would not know the server
    with buckets.bucket("sources") as url:
        yield url
    end_child()


@pytest.fixture
def url(bucket: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The clips, in a folder of their own for each test."""
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    store().put(str(local / "clips"), f"{bucket}/{tmp_path.name}", recursive=True)
    return f"{bucket}/{tmp_path.name}"


def store() -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(skip_instance_cache=True)


@pytest.fixture
def build(url: str, tmp_path: Path, ipdata: Run) -> Callable[..., Done]:
    def run(*more: str) -> Done:
        return ipdata("build", *QUICK, *more, dataset="folder", source=url, out=tmp_path / "set")

    return run


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by the name of each file of which this process fetches a range."""
    ranges: list[str] = []
    original = listed.ListedFile._range

    def noted(file: listed.ListedFile, start: int, stop: int) -> bytes:
        ranges.append(file.relative)
        return original(file, start, stop)

    monkeypatch.setattr(listed.ListedFile, "_range", noted)
    return ranges


def test_a_set_has_the_bytes_of_one_from_a_directory(
    built: dict[str, str], build: Callable[..., Done], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = build()
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "set") == built
    assert [path.name for path in tmp_path.iterdir()] == ["set"]  # nothing that was staged is left
    sample = next(iter(ShardSet(tmp_path / "set").samples()))
    assert sample.name in NAMES


def test_a_second_build_fetches_no_video(
    built: dict[str, str], build: Callable[..., Done], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    ranges = asked(monkeypatch)
    assert build().returncode == 0
    assert ranges == ["videos.csv"]
    (tmp_path / "set/.build/sources.jsonl").unlink()  # as where a store states no versions
    assert build().returncode == 0
    assert sorted(set(ranges)) == sorted([*NAMES, "videos.csv"])
    assert tree(tmp_path / "set") == built


def test_a_video_that_is_replaced_while_it_is_hashed_ends_the_build(
    build: Callable[..., Done], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    (tmp_path / "set/.build/sources.jsonl").write_bytes(b'{"torn')
    in_a_fetch(monkeypatch, NAMES[2], partial(replace, f"{url}/{NAMES[2]}"))
    done = build()
    assert done.returncode == 1
    assert f"{url}/{NAMES[2]}: was listed with" in done.stderr and "run the same command again" in done.stderr


@pytest.mark.usefixtures("without_child")
def test_a_refused_video_ends_the_build(
    build: Callable[..., Done], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cat_file(files: s3fs.S3FileSystem, path: str, **range_: int) -> bytes:
        if path.endswith(NAMES[1]):
            raise PermissionError("Access Denied")
        return bytes(await original(files, path, **range_))

    original = s3fs.S3FileSystem._cat_file
    monkeypatch.setattr(s3fs.S3FileSystem, "_cat_file", cat_file)
    s3fs.S3FileSystem.clear_instance_cache()  # a file system takes its methods when it is made
    done = build()
    s3fs.S3FileSystem.clear_instance_cache()
    assert done.returncode == 1
    assert f"{url}/{NAMES[1]}: access is refused (Access Denied); check the credentials" in done.stderr
    assert not (tmp_path / "set" / MANIFEST).exists()


@pytest.mark.usefixtures("without_child")
def test_a_worker_that_does_not_see_what_is_there_ends_the_build(
    build: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose credentials are for another store."""

    def unseen() -> None:
        raise sources.UnreadableError(FileNotFoundError(errno.ENOENT, "No such file", NAMES[0]))

    before_a_fetch(monkeypatch, NAMES[0], unseen)
    done = build()
    assert done.returncode == 1
    assert f"{NAMES[0]}: could not be read where it was extracted" in done.stderr
    assert "workers need the same credentials and network" in done.stderr


def test_a_video_that_was_replaced_is_extracted_again(
    built: dict[str, str], build: Callable[..., Done], url: str, local: Path, tmp_path: Path
) -> None:
    build()
    store().pipe_file(f"{url}/{NAMES[0]}", (local / "clips" / NAMES[1]).read_bytes())
    done = build()
    assert done.returncode == 0
    assert f"{NAMES[1]} (test) has the bytes of {NAMES[0]} (train)" in done.stderr
    hashes = {sample.name: sample.source_sha256 for sample in ShardSet(tmp_path / "set").samples()}
    assert hashes[NAMES[0]] == hashes[NAMES[1]] != hashes[NAMES[2]]


def test_lists_may_lie_at_another_url(built: dict[str, str], url: str, tmp_path: Path, ipdata: Run) -> None:
    store().mv(f"{url}/videos.csv", f"{url}-lists/videos.csv")
    for number, splits in enumerate([f"{url}-lists", f"{url}-lists/videos.csv"]):
        options = {"dataset": "folder", "source": url, "splits": splits, "out": tmp_path / f"set{number}"}
        done = ipdata("build", *QUICK, **options)
        assert done.returncode == 0, done.stderr
        assert tree(tmp_path / f"set{number}") == built


def test_plan_probes_videos_at_a_url(url: str, ipdata: Run) -> None:
    plan = [word for word in QUICK if not word.startswith("--scheduler")]
    done = ipdata("plan", *plan, dataset="folder", source=url, probe=4)
    assert done.returncode == 0, done.stderr
    assert f"folder from {url} into" in done.stdout and "4 of 4 probed" in done.stdout
    assert "frames    about 12\n" in done.stdout


def before_a_fetch(patched: pytest.MonkeyPatch, name: str, change: Callable[[], None]) -> None:
    def staged(source: sources.Source, scratch: Path) -> object:
        if isinstance(source, listed.ListedFile) and source.relative == name:
            change()
        return original(source, scratch)

    original = ipdata.steps.extract.staged
    patched.setattr(ipdata.steps.extract, "staged", staged)


def in_a_fetch(patched: pytest.MonkeyPatch, name: str, change: Callable[[], None]) -> None:
    def ranged(file: listed.ListedFile, start: int, stop: int) -> bytes:
        if start and file.relative == name:
            change()
        return original(file, start, stop)

    original = listed.ListedFile._range
    patched.setattr(listed, "CHUNK_BYTES", 60_000)
    patched.setattr(listed.ListedFile, "_range", ranged)


def remove(at: str) -> None:
    store().rm_file(at)


def replace(at: str) -> None:
    data = store().cat_file(at)
    store().pipe_file(at, data[:-1] + b"!")


def cut(at: str) -> None:
    store().pipe_file(at, store().cat_file(at)[:30_000])


@pytest.mark.usefixtures("without_child")
@pytest.mark.parametrize("when", [before_a_fetch, in_a_fetch])
def test_videos_that_change_after_the_plan_fail_alone(
    build: Callable[..., Done], url: str, tmp_path: Path, when: Callable[..., None]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for name, how in zip(NAMES, (remove, replace, cut), strict=False):
            when(patched, name, partial(how, f"{url}/{name}"))
        done = build()
    assert done.returncode == 3, done.stderr
    for name, code in zip(NAMES, ("unreadable", "changed", "changed"), strict=False):
        assert f"{name}: {code} (source)" in done.stdout
    shard_set = ShardSet(tmp_path / "set")
    assert sorted(failure.name for failure in shard_set.manifest.failed) == sorted(NAMES[:3])
    assert [sample.name for sample in shard_set.samples()] == NAMES[3:]


def lose_network(patched: pytest.MonkeyPatch) -> None:
    patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    patched.setenv("AWS_MAX_ATTEMPTS", "1")
    patched.setattr(s3fs.S3FileSystem, "retries", 1)
    patched.setattr(objects, "WAITS_S", (0.01,))
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("without_child")
def test_a_lost_network_ends_the_build_and_blames_no_video(
    built: dict[str, str], build: Callable[..., Done], url: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        before_a_fetch(patched, NAMES[2], lambda: lose_network(patched))
        done = build()
    s3fs.S3FileSystem.clear_instance_cache()
    assert done.returncode == 1
    assert f"{url}/{NAMES[2]}: cannot be fetched" in done.stderr and "run the same command again" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert build().returncode == 0
    assert tree(tmp_path / "set") == built


def test_what_is_no_source_is_refused(bucket: str, url: str, tmp_path: Path, ipdata: Run) -> None:
    def refused(source: str, **options: object) -> str:
        done = ipdata("build", *QUICK, dataset="folder", source=source, out=tmp_path / "none", **options)
        assert done.returncode == 1 and not (tmp_path / "none").exists()
        return done.stderr

    assert f"{bucket}/nothing: nothing lies there; check the URL" in refused(f"{bucket}/nothing")
    assert "HTTP servers list no files" in refused("http://127.0.0.1/videos")
    assert "the bound is 1e-05 GB; 3 more are as large; raise --max-source-gb" in refused(url, max_source_gb=1e-5)
    store().pipe_file(f"{url}/wave/videos.csv", b"path,label\nx")
    wrong = refused(url, splits=f"{url}/wave/videos.csv")
    assert f"{url}/wave/videos.csv" in wrong.replace(f"{url}/wave/videos.csv/splits", "") and "/tmp" not in wrong


def test_a_url_of_a_path_is_that_path(built: dict[str, str], local: Path, tmp_path: Path, ipdata: Run) -> None:
    options = {"dataset": "folder", "source": f"file://{local}/clips", "out": tmp_path / "set"}
    assert ipdata("build", *QUICK, **options).returncode == 0
    assert tree(tmp_path / "set") == built


def test_a_login_in_a_url_is_never_shown() -> None:
    file = listed.ListedFile("ftp://lab:s3cret@host/videos", "a.avi", 1, "v")
    assert file.location == "ftp://host/videos/a.avi" and "s3cret" not in repr(file)
