"""Pushing a set to an S3 server, and to a directory: shards first, manifest last, and nothing that is there is lost."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import buckets
import made_sets
import pytest
import s3fs
from built_sets import tree
from conftest import Run

from shards import ShardError, ShardSet, verify
from shards.layout import MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.push import push
from shards.sharing.take import take
from shards.store import stores, transport, upload
from shards.store.threads import WorkCancelledError


@pytest.fixture(scope="module")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory)
    (directory / ".build").mkdir()
    (directory / ".build" / "report.json").write_text("local paths")
    return directory


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with buckets.bucket("pushed") as url:
        yield url


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> str:
    """A place of its own for each test."""
    return f"{bucket}/{tmp_path.name}/set" if request.param == "s3" else f"file://{tmp_path}/pushed/set"


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))


def pulled(url: str, directory: Path) -> dict[str, str]:
    take(url, directory, Choice())
    return tree(directory)


def test_what_is_pushed_is_pulled_byte_for_byte(made_dir: Path, url: str, tmp_path: Path) -> None:
    pushed = push(made_dir, url)
    assert (pushed.moved_files, pushed.kept_files) == (len(ShardSet(made_dir).manifest.all_files()), 0)
    assert pulled(url, tmp_path / "out") == tree(made_dir)
    assert list(verify(url)) == []
    again = push(made_dir, url)
    assert (again.moved_files, again.moved_bytes) == (0, 0)
    location = url.removeprefix("s3://")
    if url.startswith("s3://"):
        assert not [path for path in s3fs.S3FileSystem(skip_instance_cache=True).find(location) if ".build" in path]
    else:
        assert not (tmp_path / "pushed/set/.build").exists() and not (tmp_path / "pushed/set/.pushing").exists()


def test_columns_are_added_to_what_is_there(made_dir: Path, url: str, tmp_path: Path) -> None:
    push(made_dir, url, columns=["mv", "video"])
    assert ShardSet(url).columns == ["mv", "video"]
    more = push(made_dir, url)
    sent = len(ShardSet(made_dir).manifest.shards) * 2 * 3
    assert more.moved_files in (sent, sent + 1)  # the key index is there already
    assert pulled(url, tmp_path / "out") == tree(made_dir)


def test_a_part_does_not_replace_the_whole(made_dir: Path, url: str, tmp_path: Path) -> None:
    push(made_dir, url)
    take(made_dir, tmp_path / "part", Choice(classes=["class a"]))
    for columns in (["mv"], None):
        with pytest.raises(ShardError, match=r"the set there has files that this set lacks, .*--replace"):
            push(made_dir if columns else tmp_path / "part", url, columns=columns)
    assert pulled(url, tmp_path / "out") == tree(made_dir)


def test_a_set_is_replaced_by_name_only(made_dir: Path, url: str, tmp_path: Path) -> None:
    push(made_dir, url)
    take(made_dir, tmp_path / "part", Choice(classes=["class a"], columns=["mv"]))
    with pytest.raises(ShardError, match=f"the set there is {ShardSet(made_dir).manifest.sha256}, not 0000"):
        push(tmp_path / "part", url, replace_sha256="0" * 64)
    push(tmp_path / "part", url, replace_sha256=ShardSet(made_dir).manifest.sha256)
    assert pulled(url, tmp_path / "out") == tree(tmp_path / "part")
    with pytest.raises(ShardError, match=r"there is no set to replace; push without --replace"):
        push(tmp_path / "part", f"{url}2", replace_sha256="0" * 64)


def test_a_damaged_file_is_not_pushed(made_dir: Path, url: str, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(made_dir, tmp_path / "damaged"))
    data = bytearray((directory / "flow/00002.tar").read_bytes())
    data[700] ^= 1
    (directory / "flow/00002.tar").write_bytes(data)
    with pytest.raises(ShardError, match=r"flow/00002\.tar: its bytes are not those of the manifest"):
        push(directory, url)
    with pytest.raises(ShardError, match=r"manifest\.json: not found there"):
        ShardSet(url)


def test_a_file_of_another_push_is_not_taken_for_ours(made_dir: Path, url: str, tmp_path: Path) -> None:
    """An interrupted push of another set has left a file of the same name and size."""
    store = stores.store_of(url)
    other = tmp_path / "other"
    other.write_bytes(bytes(ShardSet(made_dir).manifest.all_files()["mv/00000.tar"].bytes))
    store.put("mv/00000.tar", other)
    push(made_dir, url)
    assert list(verify(url)) == []


def test_of_two_pushes_at_once_the_later_one_is_refused(made_dir: Path, url: str, tmp_path: Path) -> None:
    """Both extend the same set, each by another column: whoever comes second must not undo the first."""
    push(made_dir, url, columns=["mv"])
    store = stores.store_of(url)
    seen = store.manifest()
    push(made_dir, url, columns=["mv", "flow"])
    take(made_dir, tmp_path / "late", Choice(columns=["mv", "video"]))
    late = (tmp_path / "late" / MANIFEST).read_bytes()
    for then in (seen, None):
        with pytest.raises(ShardError, match="another push has changed the set meanwhile"):
            store.put_manifest(late, seen=then)
    assert ShardSet(url).columns == ["mv", "flow"] and list(verify(url)) == []


def test_s3_itself_keeps_the_manifest_that_came_first(made_dir: Path, bucket: str, tmp_path: Path) -> None:
    """Between the last look and the put, another push may come: the put is conditional."""
    url = f"{bucket}/race"
    push(made_dir, url, columns=["mv"])
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    etag = files.info("pushed/race/manifest.json")["ETag"]
    push(made_dir, url, columns=["mv", "flow"])
    with pytest.raises(OSError, match=r"PreconditionFailed|pre-conditions"):
        files.pipe_file("pushed/race/manifest.json", b"late", IfMatch=etag)
    with pytest.raises(OSError, match=r"PreconditionFailed|pre-conditions|File exists"):
        files.pipe_file("pushed/race/manifest.json", b"late", IfNoneMatch="*")
    assert ShardSet(url).columns == ["mv", "flow"]


def test_a_push_that_ends_before_its_claim_is_read_stops_no_other(
    made_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_new, attempts = upload.publish_new, []

    def of_another_first(temporary: Path, path: Path) -> None:
        attempts.append(path)
        if len(attempts) == 1:
            raise FileExistsError
        publish_new(temporary, path)

    monkeypatch.setattr(upload, "publish_new", of_another_first)
    push(made_dir, f"file://{tmp_path}/pushed/set", columns=["mv"])
    assert attempts[0] == attempts[1] and attempts[0].name == upload.CLAIM
    assert list(verify(f"file://{tmp_path}/pushed/set")) == []


def test_many_pushes_at_once_leave_one_sound_set(made_dir: Path, url: str, tmp_path: Path) -> None:
    choices = [["mv"], ["mv", "flow"], ["mv", "video"], ["mv", "flow", "video"]]
    refused: list[str] = []

    def attempt(columns: list[str]) -> None:
        try:
            push(made_dir, url, columns=columns)
        except ShardError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=attempt, args=(columns,)) for columns in choices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ShardSet(url).columns in choices and list(verify(url)) == []
    assert all("meanwhile" in line or "is under way" in line or "has files" in line for line in refused)


def test_two_sets_are_not_pushed_to_one_place_at_once(made_dir: Path, url: str, tmp_path: Path) -> None:
    """Their shards have the same names: whoever comes second would write over the first one's files."""
    other = tmp_path / "other"
    made_sets.make_set(other, made_sets.scenes(classes=2))
    store = stores.store_of(url)
    ours = ShardSet(made_dir).manifest.sha256
    assert store.claim(b'{"manifest":"' + ours.encode() + b'","stale":["../x","mv/99999.tar"]}') is None
    with pytest.raises(ShardError, match=f"another push, of the set {ours}, is under way there .* --take-over {ours}"):
        push(other, url)
    assert store.manifest() is None
    push(made_dir, url)  # the same set goes on
    assert store.claim(b"free again") is None
    store.unclaim()
    store.claim(b'{"manifest":"' + b"0" * 64 + b'","stale":[]}')
    push(other, f"{url}", replace_sha256=ours, take_over_sha256="0" * 64)
    assert pulled(url, tmp_path / "out") == tree(other) and list(verify(url)) == []


def test_a_replacement_that_was_killed_is_completed_by_the_same_command(
    made_dir: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(made_dir, url)
    take(made_dir, tmp_path / "part", Choice(classes=["class a"], columns=["mv"]))
    before = ShardSet(made_dir).manifest
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        for store in (upload.DirectoryStore, upload.ObjectStore):
            patched.setattr(store, "put_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            push(tmp_path / "part", url, replace_sha256=before.sha256)
    assert stores.store_of(url).manifest() is None
    push(tmp_path / "part", url, replace_sha256=before.sha256)
    assert pulled(url, tmp_path / "out") == tree(tmp_path / "part")
    for path in before.all_files().keys() - ShardSet(url).manifest.all_files().keys():
        assert not stores.store_of(url).has(path, before.all_files()[path], made_dir / path), path


def test_a_pushed_part_has_its_own_card_and_no_signature(made_dir: Path, url: str, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(made_dir, tmp_path / "signed"))
    (directory / "manifest.json.sig").write_text("of the whole set")
    push(directory, url, columns=["mv"])
    take(url, tmp_path / "out", Choice())
    assert "iframe" not in (tmp_path / "out" / "README.md").read_text()
    assert not (tmp_path / "out" / "manifest.json.sig").exists()
    push(directory, url)
    take(url, tmp_path / "whole", Choice())
    assert (tmp_path / "whole" / "manifest.json.sig").read_text() == "of the whole set"


def test_what_people_wrote_in_the_card_there_stays(made_dir: Path, url: str, tmp_path: Path) -> None:
    push(made_dir, url, columns=["mv"])
    take(url, tmp_path / "there", Choice())
    card = tmp_path / "there" / "README.md"
    card.write_text(f"{card.read_text()}\nRecorded in the summer school.\n")
    stores.store_of(url).put("README.md", card)
    push(made_dir, url)
    take(url, tmp_path / "out", Choice())
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Recorded in the summer school." in text and "`<key>.flow.mjpeg`" in text


@pytest.mark.parametrize("name", ["x#y", "q?z", "a%20b", "with space"])
def test_a_directory_s_url_means_the_same_in_push_and_pull(made_dir: Path, tmp_path: Path, name: str) -> None:
    url = f"file://{tmp_path}/{name}"
    push(made_dir, url, columns=["mv"])
    assert (tmp_path / name / MANIFEST).is_file() and ShardSet(url).columns == ["mv"]


def test_a_store_without_versions_notices_another_manifest(tmp_path: Path) -> None:
    store = stores.store_of(f"memory://{tmp_path.name}")
    assert isinstance(store, upload.ObjectStore)
    store.put_manifest(b"first", seen=None)
    seen = store.manifest()
    store.put_manifest(b"second", seen=seen)
    with pytest.raises(ShardError, match="another push has changed the set meanwhile"):
        store.put_manifest(b"third", seen=seen)


def test_a_late_thread_of_a_push_that_has_ended_changes_nothing(made_dir: Path, tmp_path: Path) -> None:
    store = stores.store_of(f"file://{tmp_path / 'pushed'}")
    store.put("kept", made_dir / MANIFEST)
    before = tree(tmp_path / "pushed")
    store.close()
    with pytest.raises(WorkCancelledError):
        store.put("kept", made_dir / "README.md")
    assert tree(tmp_path / "pushed").items() <= before.items()
    assert [path.name for path in (tmp_path / "pushed").iterdir()] == ["kept"]


def test_a_bucket_that_is_not_there_is_named(made_dir: Path, bucket: str) -> None:
    with pytest.raises(ShardError, match="no-such-bucket/set: nothing can be written there; make the bucket first"):
        push(made_dir, "s3://no-such-bucket/set")


def test_the_command_line_pushes(made_dir: Path, url: str, ipshards: Run) -> None:
    pushed = ipshards("push", made_dir, url, columns="mv")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(f"{url}: ") and " files sent, " in pushed.stdout
    assert f"next: ipshards verify {url}" in pushed.stderr
    sound = ipshards("verify", url)
    assert sound.returncode == 0 and sound.stdout.startswith("sound: 9 samples")
    assert ipshards("push", made_dir, "https://example.com/set").returncode == 1
    assert ipshards("push", made_dir, made_dir / "elsewhere").returncode == 2
