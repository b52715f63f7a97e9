"""Sets as webdataset pipelines: order, ranks, loader processes, sets at a URL."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import made_sets
import numpy as np
import pytest
import serving
import torch
import webdataset
from forked_programs import ranks
from torch.utils.data import DataLoader

from shards import ShardError, ShardSet
from shards.columns import COLUMNS as COLUMNS_HERE
from shards.streaming import spool as spooling
from shards.streaming.spool import window_bytes
from shards.webdataset import frames, pipeline

CHOICE: dict[str, Any] = {"split": "1", "subset": "train"}
COLUMNS = ["mv", "residual"]


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 2 and 1 samples, in two groups of subsets."""
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory, made_sets.scenes(classes=4, per_class=4))
    return directory


@pytest.fixture(scope="module")
def uneven_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More shards, which hold 2 to 4 samples of a subset."""
    directory = tmp_path_factory.mktemp("uneven") / "set"
    made_sets.make_set(directory, made_sets.scenes(classes=7, per_class=7), per_shard=5, grouped=False)
    return directory


@pytest.fixture(scope="module")
def mixed_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that mix train and test."""
    directory = tmp_path_factory.mktemp("mixed") / "set"
    made_sets.make_set(directory, made_sets.scenes(classes=4, per_class=4), grouped=False, per_shard=3)
    return directory


def keys_of(samples: Iterable[dict]) -> list[str]:
    return [sample["__key__"] for sample in samples]


def chosen(directory: Path) -> list[str]:
    return [sample.key for sample in ShardSet(directory).samples(**CHOICE)]


def test_a_sample_is_joined_of_its_columns(set_dir: Path) -> None:
    shard_set = ShardSet(set_dir)
    samples = list(pipeline(set_dir, COLUMNS, **CHOICE, order="stored"))
    assert keys_of(samples) == chosen(set_dir)
    for sample in samples:
        key, record = sample["__key__"], shard_set.sample(sample["__key__"])
        assert sample.keys() == {"__key__", "__url__", "cls", "json", "mv.npy", "residual.mjpeg"}
        assert sample["cls"] == record.class_id and sample["json"] == record.to_value()
        assert sample["mv.npy"] == shard_set.read_bytes(key, "mv")
        assert frames(sample["residual.mjpeg"]) == shard_set.read_frames(key, "residual")
        assert "/mv/" in sample["__url__"]


@pytest.mark.parametrize("kind", ["set_dir", "mixed_dir"])
def test_each_epoch_has_the_same_samples_in_another_order(kind: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(kind)
    epochs = [keys_of(pipeline(directory, ["mv"], **CHOICE, epoch=epoch)) for epoch in range(4)]
    assert all(sorted(keys) == sorted(chosen(directory)) for keys in epochs)
    assert len({tuple(keys) for keys in epochs}) > 1
    assert keys_of(pipeline(directory, ["mv"], **CHOICE, epoch=2)) == epochs[2]
    everything = keys_of(pipeline(directory, ["mv"], order="stored"))
    assert everything == [sample.key for sample in ShardSet(directory).samples()]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["set_dir", "mixed_dir"])
def test_ranks_share_an_epoch(kind: str, ranks: int, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(kind)
    dropped = set()
    for epoch in range(3):
        read = [
            keys_of(pipeline(directory, ["mv"], **CHOICE, epoch=epoch, rank=rank, ranks=ranks)) for rank in range(ranks)
        ]
        together = [key for keys in read for key in keys]
        assert len({len(keys) for keys in read}) == 1 and len(set(together)) == len(together)
        assert set(together) <= set(chosen(directory))
        dropped.add(frozenset(chosen(directory)) - frozenset(together))
    assert all(len(lost) < ranks * 3 for lost in dropped)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [1, 3])
def test_loader_processes_of_a_rank_read_what_one_process_reads(set_dir: Path, workers: int, method: str) -> None:
    def read(workers: int) -> list[str]:
        stream = pipeline(set_dir, ["mv"], **CHOICE, epoch=1, rank=1, ranks=2)
        context = method if workers else None
        return keys_of(DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context))

    alone = read(0)
    assert sorted(read(workers)) == sorted(alone) and len(set(alone)) == len(alone) > 0


def test_more_loader_processes_than_shards_read_nothing_twice(set_dir: Path) -> None:
    stream = pipeline(set_dir, ["mv"], split="1", subset="test")
    shards = ShardSet(set_dir).shards(split="1", subset="test")
    read = keys_of(DataLoader(stream, batch_size=None, num_workers=len(shards) + 2))
    assert sorted(read) == sorted(sample.key for sample in ShardSet(set_dir).samples(split="1", subset="test"))


STEPS = """
import sys
from datetime import timedelta
import torch
import torch.distributed as dist
import webdataset
from shards.webdataset import pipeline

dist.init_process_group("gloo", timeout=timedelta(seconds=30))
for workers in (0, 1, 3):
    stream = pipeline(sys.argv[1], ["mv"], split="1", subset="train", epoch=1)
    loader = webdataset.WebLoader(stream, batch_size=None, num_workers=workers).batched(4, collation_fn=list)
    steps, keys = 0, []
    for batch in loader:
        dist.all_reduce(torch.ones(1))  # hangs where ranks take unequal numbers of steps
        steps, keys = steps + 1, keys + [sample["__key__"] for sample in batch]
    found = [None] * dist.get_world_size()
    dist.all_gather_object(found, (steps, sorted(keys)))
    all_keys = [key for _, own in found for key in own]
    assert len({steps for steps, _ in found}) == 1 and steps > 0, found
    assert len(set(all_keys)) == len(all_keys) and {len(own) for _, own in found} == {len(keys)}, found
    if workers == 0:
        alone = found
    assert found == alone
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_batches_made_behind_the_loader_are_equally_many_on_all_ranks(
    uneven_dir: Path, tmp_path: Path, count: int
) -> None:
    """As the documentation makes them. With no, one and three loader processes, the samples are the same."""
    script = tmp_path / "script.py"
    script.write_text(STEPS)
    done = ranks(count, script, uneven_dir)
    assert done.returncode == 0, done.stderr


def test_what_ranks_leave_out_is_told_and_ranks_that_have_not_begun_are_refused(
    set_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counts = [len(list(pipeline(set_dir, ["mv"], **CHOICE, rank=rank, ranks=4))) for rank in range(4)]
    left_out = len(chosen(set_dir)) - sum(counts)
    assert left_out > 0 and f"{left_out} samples are left out of this epoch" in caplog.text
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ShardError, match=r"WORLD_SIZE is 2, but .* has not begun; call init_process"):
        pipeline(set_dir, ["mv"], **CHOICE)


def test_torch_distributed_says_which_rank_this_is(set_dir: Path, tmp_path: Path) -> None:
    script = (
        "import sys, torch.distributed as dist\n"
        "from shards.webdataset import pipeline\n"
        "dist.init_process_group('gloo', init_method=f'file://{sys.argv[2]}', rank=int(sys.argv[3]), world_size=2)\n"
        "for sample in pipeline(sys.argv[1], ['mv'], split='1', subset='train'): print(sample['__key__'])\n"
    )
    command = [sys.executable, "-c", script, str(set_dir), str(tmp_path / "store")]
    started = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    read = [process.communicate(timeout=120)[0].split() for process in started]
    expected = [keys_of(pipeline(set_dir, ["mv"], **CHOICE, rank=rank, ranks=2)) for rank in range(2)]
    assert read == expected and not set(read[0]) & set(read[1])


def test_further_stages_are_webdataset_s_own(set_dir: Path) -> None:
    """A collate for lengths that differ, as the documentation has it."""
    stream = pipeline(set_dir, COLUMNS, **CHOICE).compose(
        webdataset.map(lambda sample: (torch.from_numpy(np.array(frames(sample["mv.npy"]))), sample["cls"])),
        webdataset.batched(2, collation_fn=lambda pairs: ([mv for mv, _ in pairs], [label for _, label in pairs])),
    )
    vectors = [mv for batch, _ in stream for mv in batch]
    assert len(vectors) == len(chosen(set_dir)) and len({len(mv) for mv in vectors}) > 1


def open_below(folder: Path) -> int:
    """The bytes of all files below a folder that this process has open, removed ones too."""
    total = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if str(link.readlink()).startswith(f"{folder}/"):
                total += link.stat().st_size
    return total


def open_bytes_of_all(set_dir: Path) -> int:
    files = ShardSet(set_dir).files(COLUMNS, **CHOICE)
    return sum(info.bytes for info in files.values())


def test_a_set_at_a_url_is_spooled_within_its_window(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "spool").mkdir()
    with serving.serving(set_dir.parent, ranges=True) as server:
        url = f"{server.url}/set"
        stream = pipeline(url, COLUMNS, **CHOICE, epoch=3, prefetch=1, spool=tmp_path / "spool")
        expected = list(pipeline(set_dir, COLUMNS, **CHOICE, epoch=3))
        read, taken_bytes = [], []
        for sample in stream:
            read.append({**sample, "__url__": sample["__url__"].replace(url, str(set_dir))})
            taken_bytes.append(open_below(tmp_path / "spool"))
        assert read == expected
        window = window_bytes(ShardSet(set_dir).manifest, COLUMNS, processes=1, prefetch=1)
        assert window / 4 < max(taken_bytes) <= window < open_bytes_of_all(set_dir)
        assert not list((tmp_path / "spool").iterdir())
        asked = [path for path in server.asked if path.endswith(".tar")]
        assert len(asked) == len(set(asked)) == len(ShardSet(set_dir).shards(**CHOICE)) * len(COLUMNS)
        assert not list((tmp_path / "cache").rglob("*.part"))
        for _ in islice(pipeline(url, COLUMNS, spool=tmp_path / "spool"), 2):  # a reader that stops early
            pass
    assert not list((tmp_path / "spool").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from shards.webdataset import pipeline

for sample in pipeline(sys.argv[1], ["mv"], spool=Path(sys.argv[2])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_reader_has_left_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    spool = tmp_path / "spool"
    spool.mkdir()
    with serving.serving(set_dir.parent, ranges=True) as server:
        url = f"{server.url}/set"
        subprocess.run([sys.executable, "-c", KILLED, url, str(spool)], check=False)
        (left,) = spool.iterdir()
        living = iter(pipeline(url, ["mv"], spool=spool))
        next(living)
        (own,) = spool.iterdir()
        assert own != left and len(list(pipeline(url, ["mv"], spool=spool))) == 16
        assert list(spool.iterdir()) == [own] and len(list(living)) == 15
    assert not list(spool.iterdir())


def test_too_little_room_is_told_before_anything_is_fetched(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(spooling.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with serving.serving(set_dir.parent, ranges=True) as server:
        with pytest.raises(
            ShardError, match=r"spooling needs \d+ bytes there, 1000 are free; make room, lower prefetch"
        ):
            next(iter(pipeline(f"{server.url}/set", COLUMNS)))
        assert not [path for path in server.asked if path.endswith(".tar")]
    assert len(list(pipeline(set_dir, COLUMNS, **CHOICE))) > 0  # a directory needs no room


@pytest.mark.parametrize("kind", ["missing", "a file", "full"])
def test_a_spool_directory_that_cannot_be_used_is_told_with_the_cure(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    spool = tmp_path / "spool"
    if kind == "a file":
        spool.touch()
    if kind == "full":
        spool.mkdir()

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("shards.store.remote._fill", full)
    says = rf"{spool}: cannot spool there \(.*\); make room or make it writable"
    with serving.serving(set_dir.parent, ranges=True) as server, pytest.raises(ShardError, match=says):
        list(pipeline(f"{server.url}/set", ["mv"], **CHOICE, spool=spool))
    assert list(pipeline(set_dir, ["mv"], **CHOICE, spool=spool))  # a directory needs none


def test_columns_that_are_not_known_here_are_skipped_by_name(
    set_dir: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    known = dict(COLUMNS_HERE)
    del COLUMNS_HERE["flow"]
    request.addfinalizer(lambda: (COLUMNS_HERE.clear(), COLUMNS_HERE.update(known)))  # in their order, unlike pytest
    (sample, *_) = pipeline(set_dir, order="stored")
    assert sample.keys() - {"__key__", "__url__", "cls", "json"} == {"iframe.mjpeg", "mv.npy", "residual.mjpeg", "m4v"}
    assert "skipped columns that are not known here: flow" in caplog.text
    (sample, *_) = pipeline(set_dir, ["flow"], order="stored")  # its bytes, if it is asked for
    assert sample["flow.mjpeg"] == ShardSet(set_dir).read_bytes(sample["__key__"], "flow")


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ("mv", {}, "columns must be a list of names"),
        ([], {}, "columns must be a list of names"),
        (["depth"], {}, "no column 'depth'"),
        (["mv"], {"order": "random"}, 'order must be "shuffled" or "stored"'),
        (["mv"], {"split": "1"}, "split and subset go together"),
        (["mv"], {"split": "9", "subset": "train"}, "split"),
        (["mv"], {"rank": 1}, "rank and ranks go together"),
        (["mv"], {"rank": 2, "ranks": 2}, "rank 0 to ranks - 1, got 2 of 2"),
        (["mv"], {"rank": 0, "ranks": 0}, "ranks must be at least 1"),
        (["mv"], {"prefetch": -1}, "prefetch must be a whole number of shards, 0 or more"),
        (["mv"], {"prefetch": 1.5}, "prefetch must be a whole number of shards"),
        (["mv"], {"rank": 0, "ranks": 99}, "too few for 99 ranks"),
    ],
)
def test_wrong_arguments_are_refused(set_dir: Path, columns: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ShardError, match=says):
        pipeline(set_dir, columns, **options)
