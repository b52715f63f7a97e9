"""A set in an S3 bucket equals the set in the directory; a real server of the S3 protocol runs on the loopback."""

import os
from collections.abc import Iterator
from pathlib import Path

import buckets
import made_sets
import numpy as np
import pytest
import s3fs

from shards import ShardError, ShardSet
from shards.store import parts, transport

KEYS = [scene.key for scene in made_sets.scenes()]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory)
    return ShardSet(directory)


@pytest.fixture(scope="module")
def bucket(local: ShardSet) -> Iterator[str]:
    """The URL of a bucket that holds the set."""
    with buckets.bucket("bucket") as url:
        s3fs.S3FileSystem(skip_instance_cache=True).put(local.location, "bucket/sets/made", recursive=True)
        yield url


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_arrays_and_bytes_are_those_of_the_directory(bucket: str, local: ShardSet) -> None:
    far = ShardSet(f"{bucket}/sets/made")
    assert far.manifest == local.manifest and list(far.samples()) == list(local.samples())
    for key in KEYS:
        assert far.read_bytes(key, "video") == local.read_bytes(key, "video")
        for column in ("iframe", "mv", "residual", "flow"):
            np.testing.assert_array_equal(far.read(key, column), local.read(key, column))


def test_a_file_of_many_chunks_arrives(
    bucket: str, local: ShardSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "CHUNK_BYTES", 1000)  # each chunk is a request
    np.testing.assert_array_equal(
        ShardSet(f"{bucket}/sets/made").read(KEYS[0], "residual"), local.read(KEYS[0], "residual")
    )


def test_what_only_the_user_can_mend_is_not_asked_again(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ShardError, match=r"Invalid bucket name .*check the credentials and the URL"):
        ShardSet("s3://no+bucket/set")
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_ENDPOINT_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where files with credentials would lie
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ShardError, match=r"Unable to locate credentials.*check the credentials and the URL"):
        ShardSet(f"{bucket}/sets/made")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ShardError, match="Invalid endpoint"):
        ShardSet(f"{bucket}/sets/made")
    s3fs.S3FileSystem.clear_instance_cache()
    assert not [record for record in caplog.records if "next attempt" in record.getMessage()]


@pytest.mark.parametrize("damage", ["corrupted", "shortened", "lengthened"])
def test_other_bytes_are_refused_and_nothing_is_left(bucket: str, local: ShardSet, cache: Path, damage: str) -> None:
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.put(local.location, f"bucket/{damage}", recursive=True)
    sound = Path(local.location, "flow/00000.tar").read_bytes()
    wrong = {"corrupted": sound[:-1] + b"!", "shortened": sound[: len(sound) // 2], "lengthened": b"!" + sound}
    files.pipe(f"bucket/{damage}/flow/00000.tar", wrong[damage])
    far = ShardSet(f"{bucket}/{damage}")
    key = next(far.samples()).key
    with pytest.raises(ShardError, match=f"^{bucket}/{damage}/flow/00000.tar: .*(arrived|sha256|fetched)"):
        far.read(key, "flow")
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 3  # the key index, records, and an index
    np.testing.assert_array_equal(far.read(key, "mv"), local.read(key, "mv"))


@pytest.mark.parametrize("place", ["bucket/nothing", "no-such-bucket/set"])
def test_no_set_at_the_url(bucket: str, place: str) -> None:
    with pytest.raises(ShardError, match=f"^s3://{place}/manifest.json: not found there; check the URL"):
        ShardSet(f"s3://{place}")
