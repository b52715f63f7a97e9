"""Training shard after shard: from an object store with a small cache, on ranks, killed and resumed."""

import shutil
import signal
from pathlib import Path

import buckets
import pytest
import s3fs
import serving
from forked_programs import ranks, started
from training import ipmodel, log_of, train_options, wait_for_a_step

from ipmodel.runs import preflight
from ipmodel.runs.checkpoint import FINAL, newest_checkpoint
from shards import ShardSet
from shards.store import transport

ORDER = ["--set=order=shards", "--phase=of_2d", "--set=phases.of_2d.epochs=3"]
STEPS = list(range(1, 3 * 2 + 1))  # 16 videos in batches of 6


@pytest.fixture(scope="module")
def alone(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The network of one rank, from a directory."""
    run = tmp_path_factory.mktemp("alone") / "run"
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", *ORDER))
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in log_of(run, "of_2d")] == STEPS
    return network_of(run)


def network_of(run: Path) -> bytes:
    return (run / "split-1/of_2d" / FINAL).read_bytes()


def test_it_is_another_order_than_the_random_one(trained: Path, alone: bytes, tmp_path: Path) -> None:
    options = [option for option in ORDER if "order" not in option]
    done = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *options))
    assert done.returncode == 0, done.stderr
    assert network_of(tmp_path / "run") != alone


@pytest.mark.parametrize("workers", [1, 3])
def test_from_an_object_store_the_network_is_the_same_and_a_small_cache_is_told(
    trained: Path, alone: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    files = ShardSet(trained / "set").manifest.all_files().items()
    set_bytes = sum(info.bytes for path, info in files if path.startswith("flow/"))
    with buckets.bucket(f"streamed{workers}") as url:
        s3fs.S3FileSystem(skip_instance_cache=True).put(str(trained / "set"), f"streamed{workers}/set", recursive=True)
        options = train_options(f"{url}/set", tmp_path / "run", trained / "quick.toml", *ORDER)
        monkeypatch.setenv("IPTSN_CACHE_MAX", f"{set_bytes // 2}B")
        refused = ipmodel(*options)
        assert refused.returncode == 1 and "training shard after shard needs" in refused.stderr, refused.stderr
        monkeypatch.setenv("IPTSN_CACHE_MAX", f"{3 * set_bytes}B")
        done = ipmodel(*options, f"--set=workers={workers}")
    assert done.returncode == 0, done.stderr
    assert network_of(tmp_path / "run") == alone


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_the_network_is_the_same_and_other_ranks_are_refused(
    trained: Path, alone: bytes, tmp_path: Path, ended_by: signal.Signals
) -> None:
    run = tmp_path / "run"
    options = train_options(trained / "set", run, trained / "quick.toml", *ORDER, "--set=checkpoint_minutes=0")
    process = started(*options, "--set=workers=2", errors=tmp_path / "errors", new_session=True)
    wait_for_a_step(process, run / "split-1" / "of_2d")
    while newest_checkpoint(run / "split-1" / "of_2d") is None:
        assert process.poll() is None
    process.send_signal(ended_by)
    assert process.wait(timeout=60) == (75 if ended_by == signal.SIGTERM else -signal.SIGKILL)
    copied = shutil.copytree(run, tmp_path / "two")
    refused = ranks(2, "ipmodel", *train_options(trained / "set", copied, trained / "quick.toml", *ORDER))
    assert refused.returncode != 0
    assert 'was begun on 1 ranks with order = "shards", which deals the shards to them; go on with' in refused.stderr
    done = ipmodel(*options)
    assert done.returncode == 0, done.stderr
    assert network_of(run) == alone
    assert [line["step"] for line in log_of(run, "of_2d")] == STEPS


PASSING = [serving.truncated, serving.corrupted]


@pytest.mark.parametrize("faults", [PASSING, [serving.corrupted] * 9, [serving.stalled] * 9], ids=["", "flip", "late"])
def test_a_shard_that_comes_cut_flipped_or_late_is_asked_for_again_and_then_named(
    trained: Path, alone: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[serving.Fault]
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setattr(transport, "STALL_S", 0.5)
    shard = ShardSet(trained / "set").shards(split="1", subset="train")[1].shard
    with serving.serving(trained, ranges=True) as server:
        server.faults[f"set/flow/{shard}.tar"] = list(faults)
        done = ipmodel(*train_options(f"{server.url}/set", tmp_path / "run", trained / "quick.toml", *ORDER))
    if faults == PASSING:
        assert done.returncode == 0 and network_of(tmp_path / "run") == alone, done.stderr
    else:
        assert done.returncode == 1 and f"error: {server.url}/set/flow/{shard}.tar: " in done.stderr, done.stderr


def test_a_swapped_shard_is_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    swapped = shutil.copytree(trained / "set", tmp_path / "served" / "set")
    first, second = (shard.shard for shard in ShardSet(swapped).shards(split="1", subset="train")[:2])
    shutil.copyfile(trained / f"set/flow/{first}.tar", swapped / f"flow/{second}.tar")
    with serving.serving(tmp_path / "served", ranges=True) as server:
        done = ipmodel(*train_options(f"{server.url}/set", tmp_path / "run", trained / "quick.toml", *ORDER))
    assert done.returncode == 1 and f"/flow/{second}.tar: " in done.stderr, done.stderr


def test_a_disk_that_the_columns_would_fill_is_told_before_the_first_step(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with serving.serving(trained, ranges=True) as server:
        for order, limit in ((ORDER, ""), (ORDER, "200GB"), (["--phase=of_2d"], "")):
            monkeypatch.setenv("IPTSN_CACHE_MAX", limit)
            done = ipmodel(*train_options(f"{server.url}/set", tmp_path / "run", trained / "quick.toml", *order))
            assert done.returncode == 1 and "into the cache" in done.stderr, done.stderr
            assert "make room, or set IPTSN_CACHE_MAX to less" in done.stderr and not (tmp_path / "run").exists()
        assert not [path for path in server.asked if path.endswith(".tar")]


STEPS_OF_RANKS = """
import sys
from datetime import timedelta
from functools import partial
import torch
import torch.distributed as dist
from ipmodel.data.clips import ClipSettings, clips_of, loader
from ipmodel.data.sampling import ShardBatches
from ipmodel.recipe import Input
from ipmodel.training.loop import _draws
from shards import ShardSet

dist.init_process_group("gloo", timeout=timedelta(seconds=60))
rank, ranks, epochs = dist.get_rank(), dist.get_world_size(), 2
settings = ClipSettings(modalities=("flow",), segments=2, input=Input(resize_px=32, crop_px=32))
clips = clips_of(ShardSet(sys.argv[1]), settings, split="1", subset="train")
batches = ShardBatches(
    samples=len(clips), batch=ranks, seed=0, rank=rank, ranks=ranks, shard_of=tuple(clips.shards), epochs=epochs
)
alone = None
for workers in (0, 1, 3):
    numbers = []
    for batch in loader(clips, partial(_draws, batches, epochs, first_step=0), workers=workers):
        dist.all_reduce(torch.ones(1))  # hangs where ranks take unequal numbers of steps
        numbers += batch.numbers_B.tolist()
    found = [None] * ranks
    dist.all_gather_object(found, numbers)
    for epoch in range(epochs):
        own = [numbers[epoch * batches.steps : (epoch + 1) * batches.steps] for numbers in found]
        together = [number for part in own for number in part]
        assert len(together) == len(set(together)) == batches.steps * ranks > 0, found
    alone = alone or found
    assert found == alone
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_all_ranks_take_equal_steps_with_any_number_of_loader_processes(
    trained: Path, tmp_path: Path, count: int
) -> None:
    """No, one and three of them give the same batches; with four ranks, each has one shard of 5, 5, 5 and 1 videos."""
    script = tmp_path / "script.py"
    script.write_text(STEPS_OF_RANKS)
    done = ranks(count, script, trained / "set")
    assert done.returncode == 0, done.stderr


def test_ranks_take_the_steps_that_all_can(tmp_path: Path, trained: Path) -> None:
    """Shards of 5, 5, 5 and 1 videos: each of two ranks is sure of 6, and a step takes 3 of each."""
    done = ranks(2, "ipmodel", *train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *ORDER))
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in log_of(tmp_path / "run", "of_2d")] == STEPS
    large = [*ORDER, "--set=phases.of_2d.batch=12"]
    refused = ranks(4, "ipmodel", *train_options(trained / "set", tmp_path / "four", trained / "quick.toml", *large))
    assert refused.returncode != 0
    assert 'phases.of_2d: 16 samples in 4 shards are too few for 4 ranks with order = "shards"' in refused.stderr
