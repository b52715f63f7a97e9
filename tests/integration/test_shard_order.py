"""Training shard after shard: from an object store with a small cache, on ranks, killed and resumed."""

import shutil
from pathlib import Path

import buckets
import pytest
import s3fs
from forked_programs import ranks, started
from training import ipmodel, log_of, train_options, wait_for_a_step

from ipmodel.runs.checkpoint import FINAL
from shards import ShardSet

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


def test_killed_and_resumed_the_network_is_the_same_and_other_ranks_are_refused(
    trained: Path, alone: bytes, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = train_options(trained / "set", run, trained / "quick.toml", *ORDER)
    process = started(*options, "--set=workers=2", errors=tmp_path / "errors", new_session=True)
    wait_for_a_step(process, run / "split-1" / "of_2d")
    process.terminate()
    assert process.wait(timeout=60) == 75
    copied = shutil.copytree(run, tmp_path / "two")
    refused = ranks(2, "ipmodel", *train_options(trained / "set", copied, trained / "quick.toml", *ORDER))
    assert refused.returncode != 0
    assert 'was begun on 1 ranks with order = "shards", which deals the shards to them; go on with' in refused.stderr
    done = ipmodel(*options)
    assert done.returncode == 0, done.stderr
    assert network_of(run) == alone
    assert [line["step"] for line in log_of(run, "of_2d")] == STEPS


def test_ranks_take_the_steps_that_all_can(tmp_path: Path, trained: Path) -> None:
    """Shards of 5, 5, 5 and 1 videos: each of two ranks is sure of 6, and a step takes 3 of each."""
    done = ranks(2, "ipmodel", *train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *ORDER))
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in log_of(tmp_path / "run", "of_2d")] == STEPS
    large = [*ORDER, "--set=phases.of_2d.batch=12"]
    refused = ranks(4, "ipmodel", *train_options(trained / "set", tmp_path / "four", trained / "quick.toml", *large))
    assert refused.returncode != 0
    assert 'phases.of_2d: 16 samples in 4 shards are too few for 4 ranks with order = "shards"' in refused.stderr
