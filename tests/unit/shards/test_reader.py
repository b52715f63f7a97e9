"""Random access gives the same as decoding everything, reads no more than it needs, and names what is wrong."""

import json
import os
import re
import shutil
from io import FileIO
from pathlib import Path
from typing import Any

import made_sets
import numpy as np
import pytest

from shards import ShardError, ShardSet, canonical, regular
from shards.columns import COLUMNS
from shards.columns.jpeg import decode_jpeg
from shards.columns.mv import decode_payload

KEYS = [scene.key for scene in made_sets.scenes()]
ONE_FRAME = KEYS[-1]


def whole(shard_set: ShardSet, key: str, column: str) -> np.ndarray:
    """All frames, decoded from the whole payload without the index."""
    data = shard_set.read_bytes(key, column)
    if column == "mv":
        return decode_payload(data)
    frames = [b"\xff\xd8" + part for part in data.split(b"\xff\xd8\xff")[1:]]
    frames = [frame[:2] + b"\xff" + frame[2:] for frame in frames]
    if column != "flow":
        return np.stack([decode_jpeg(frame) for frame in frames])
    planes = np.stack([decode_jpeg(frame, grey=True) for frame in frames])  # (P, 2H, W)
    return np.stack(np.split(planes, 2, axis=1), axis=-1)


@pytest.mark.parametrize("column", ["iframe", "mv", "residual", "flow"])
@pytest.mark.parametrize("key", KEYS[:-1])
def test_random_access_equals_the_whole_decode(made: ShardSet, key: str, column: str) -> None:
    expected = whole(made, key, column)
    np.testing.assert_array_equal(made.read(key, column, stored=True), expected)
    last = len(expected) - 1
    for positions in ([last], [0, last], [last, 0, 0], []):
        frames = made.read(key, column, positions, stored=True)
        np.testing.assert_array_equal(frames, expected[positions])


def test_arrays_are_of_the_stated_types_and_units(made: ShardSet) -> None:
    scene = made_sets.scenes()[0]
    inter = made.frame_numbers(scene.key, "mv")
    mv, residual, flow = (made.read(scene.key, column) for column in ("mv", "residual", "flow"))
    iframe = made.read(scene.key, "iframe")
    assert (mv.dtype, mv.shape) == (np.int16, (len(inter), 3, 4, 2))
    assert (residual.dtype, residual.shape) == (np.int16, (len(inter), 48, 64, 3))
    assert (flow.dtype, flow.shape) == (np.float32, (len(inter), 48, 64, 2))
    assert (iframe.dtype, iframe.shape) == (np.uint8, (2, 48, 64, 3))
    np.testing.assert_array_equal(mv, made_sets.vectors_of(scene))
    np.testing.assert_allclose(flow, np.broadcast_to(np.float32(scene.step_px), flow.shape), atol=0.1)
    assert np.abs(residual[0, :, 3:]).mean() < 1
    assert np.abs(iframe[1].astype(int) - made_sets.picture_of(scene, 12)).mean() < 8
    np.testing.assert_array_equal(made.read(scene.key, "residual", stored=True).astype(np.int16) - 128, residual)


def test_a_sample_without_p_frames_gives_empty_arrays(made: ShardSet) -> None:
    for column, shape, dtype in (
        ("mv", (0, 3, 4, 2), np.int16),
        ("residual", (0, 48, 64, 3), np.int16),
        ("flow", (0, 48, 64, 2), np.float32),
    ):
        array = made.read(ONE_FRAME, column)
        assert (array.shape, array.dtype) == (shape, dtype)
    assert made.read(ONE_FRAME, "iframe").shape == (1, 48, 64, 3)


def test_video_is_bytes(made: ShardSet) -> None:
    pictures = made.read_frames(KEYS[0], "video")
    assert b"".join(pictures) == made.read_bytes(KEYS[0], "video")
    assert len(pictures) == made.sample(KEYS[0]).frames
    assert all(picture.startswith(b"\0\0\1") for picture in pictures)
    with pytest.raises(ShardError, match="read_bytes gives it"):
        made.read(KEYS[0], "video")


def test_subsets_are_whole_shards_and_all_their_samples(made: ShardSet) -> None:
    keys = [sample.key for sample in made.samples()]
    assert sorted(keys) == sorted(KEYS)
    for split in ("split1", "split2"):
        chosen = {subset: list(made.samples(split=split, subset=subset)) for subset in ("train", "test", "unused")}
        assert {subset: len(samples) for subset, samples in chosen.items()} == made.manifest.splits[split]
        for subset, samples in chosen.items():
            assert all(sample.subsets[split] == subset for sample in samples)
            shards = made.shards(split=split, subset=subset)
            assert sum(shard.samples for shard in shards) == len(samples)
    assert [s.key for s in made.samples(split="1", subset="test")] == [
        s.key for s in made.samples(split="split1", subset="test")
    ]


def test_a_set_that_is_not_grouped_selects_by_record(tmp_path: Path, made: ShardSet) -> None:
    made_sets.make_set(tmp_path, grouped=False, per_shard=4, columns=["mv"])
    loose = ShardSet(tmp_path)
    assert len(loose.shards(split="1", subset="test")) == len(loose.manifest.shards)
    assert {s.key for s in loose.samples(split="1", subset="test")} == {
        s.key for s in made.samples(split="1", subset="test")
    }


def test_keys_columns_and_positions_are_checked(made: ShardSet) -> None:
    count = len(made.frame_numbers(KEYS[0], "mv"))
    wrong: list[tuple[Any, str]] = [
        (lambda: made.sample("nobody-00000000"), "no sample 'nobody-00000000'; `ipshards info --keys` lists them"),
        (lambda: made.read("nobody-00000000", "mv"), "no sample 'nobody-00000000'"),
        (lambda: made.read(KEYS[0], "depth"), "no column 'depth'; this set has iframe, mv, residual, flow, video"),
        (
            lambda: made.read(KEYS[0], "mv", [0, count]),
            f"mv has {count} frames, counted from 0, so no position {count}",
        ),
        (lambda: made.read(KEYS[0], "mv", [-1]), f"mv has {count} frames, counted from 0, so no position -1"),
        (lambda: list(made.samples(split="9", subset="train")), "unknown split '9'; this set has split1, split2"),
        (lambda: list(made.samples(split="1", subset="val")), "unknown subset 'val'; known: train, test, unused"),
        (lambda: list(made.samples(split="1")), "split and subset go together"),
        (lambda: made.shards(subset="train"), "split and subset go together"),
    ]
    for call, message in wrong:
        with pytest.raises(ShardError, match=re.escape(message)):
            call()


def test_opening_reads_the_manifest_alone(made_dir: Path, tmp_path: Path) -> None:
    shutil.copy(made_dir / "manifest.json", tmp_path)
    opened = ShardSet(tmp_path)
    assert opened.columns == list(COLUMNS)
    with pytest.raises(ShardError, match=r"00000\.jsonl: No such file"):
        next(opened.samples())


def test_only_the_bytes_of_the_frames_are_read(made: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    list(made.samples())
    made.read(KEYS[0], "residual", [0])  # so that records and index are read already
    asked: list[int] = []

    class Counted(FileIO):
        def read(self, size: int | None = -1) -> Any:
            asked.append(-1 if size is None else size)
            return super().read(size)

    monkeypatch.setattr(regular, "FileIO", Counted)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"read all of {path}"))
    frames = made.read_frames(KEYS[0], "residual", [3, 5])
    assert asked == [len(frame) for frame in frames]
    assert sum(asked) < 0.3 * len(made.read_bytes(KEYS[0], "residual"))


@pytest.fixture
def copy_dir(made_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_dir, tmp_path / "copy"))


def test_what_lacks_is_named(copy_dir: Path) -> None:
    for name in ("mv/00000.tar", "flow/00000.idx.json", "samples/00001.jsonl"):
        (copy_dir / name).unlink()
    shard_set = ShardSet(copy_dir)
    key = shard_set.samples_of("00000")[0].key
    with pytest.raises(ShardError, match=r"00001\.jsonl: No such file.*verify"):
        list(shard_set.samples())
    made_sets.make_set(copy_dir.parent / "again")
    shutil.copy(copy_dir.parent / "again/samples/00001.jsonl", copy_dir / "samples")
    with pytest.raises(ShardError, match=r"mv/00000\.tar: No such file.*verify"):
        shard_set.read(key, "mv")
    with pytest.raises(ShardError, match=r"flow/00000\.idx\.json: No such file"):
        shard_set.read(key, "flow")


def test_a_cut_tar_is_not_read_short(copy_dir: Path) -> None:
    shard_set = ShardSet(copy_dir)
    key = shard_set.samples_of("00000")[-1].key
    path = copy_dir / "video/00000.tar"
    os.truncate(path, path.stat().st_size - 1024 - 512)
    with pytest.raises(ShardError, match=r"00000\.tar: shorter than its index says; the tar is cut"):
        shard_set.read_bytes(key, "video")


def test_an_index_without_the_key_is_named(copy_dir: Path) -> None:
    shutil.copy(copy_dir / "mv/00001.idx.json", copy_dir / "mv/00000.idx.json")
    shard_set = ShardSet(copy_dir)
    key = shard_set.samples_of("00000")[0].key
    with pytest.raises(ShardError, match=rf"00000\.idx\.json: lacks {key}; verify the set"):
        shard_set.read(key, "mv")


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"sha256":"0"}', b"\xff\xfe"])
def test_what_is_no_set_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ShardError, match=r"manifest\.json"):
        ShardSet(tmp_path)


@pytest.mark.parametrize("place", [[2**70, 10], [0, 2**40]])
def test_an_index_that_points_out_of_its_tar_is_an_error(made_dir: Path, tmp_path: Path, place: list[int]) -> None:
    set_dir = shutil.copytree(made_dir, tmp_path / "set")
    path = set_dir / "residual" / "00000.idx.json"
    index = json.loads(path.read_bytes())
    entry = index["samples"][0]
    entry["payload"], entry["frames"] = place, [0, place[1]]
    path.write_bytes(canonical.dumps(index))
    with pytest.raises(ShardError, match="shorter than its index says"):
        ShardSet(set_dir).read_bytes(entry["key"], "residual")


def test_a_read_that_gives_less_than_asked_is_continued(made: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on network file systems, and beyond 2 GiB."""
    expected = made.read_bytes(KEYS[0], "residual")

    class Slow(FileIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1000))

    monkeypatch.setattr(regular, "FileIO", Slow)
    assert made.read_bytes(KEYS[0], "residual") == expected
    assert len(expected) > 1000


def test_an_index_that_is_wrong_is_named_in_the_error(copy_dir: Path) -> None:
    path = copy_dir / "mv" / "00001.idx.json"
    index = json.loads(path.read_bytes())
    index["samples"][0]["frames"][-1] += 1
    path.write_bytes(canonical.dumps(index))
    key = index["samples"][0]["key"]
    with pytest.raises(ShardError, match=re.escape(f"{path}: index of {key}: its frames do not fill its payload")):
        ShardSet(copy_dir).read(key, "mv")


def test_positions_may_be_an_array(made: ShardSet) -> None:
    expected = made.read(KEYS[0], "mv", [0, 5])
    np.testing.assert_array_equal(made.read(KEYS[0], "mv", np.array([0, 5])), expected)
    assert made.read(KEYS[0], "mv", np.array([], int)).shape == (0, 3, 4, 2)
    with pytest.raises(ShardError, match="has no frames in mv, so none at position 0"):
        made.read(ONE_FRAME, "mv", np.array([0]))
