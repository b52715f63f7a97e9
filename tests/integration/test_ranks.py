"""Training and evaluation under torchrun, on a CPU: the batches, weights and scores of one rank."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training import (
    PHASES,
    command,
    damaged_later,
    flip_a_bit,
    ipmodel,
    log_of,
    one_thread,
    train_options,
    wait_for_a_step,
)

from ipmodel.checkpoint import FINAL
from ipmodel.fuse import load_scores
from shards import ShardSet
from shards.manifest import tar_path


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_train_on_the_batches_of_one_and_evaluate_each_video_once(
    trained: Path, tmp_path: Path, ranks: int
) -> None:
    """Shards of 5, 5, 5 and 1 videos, which no number of ranks divides evenly."""
    run = tmp_path / "run"
    batches = [f"--set=phases.{phase}.batch=12" for phase in PHASES]
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", *batches), ranks=ranks)
    assert done.returncode == 0, done.stderr
    for phase, epochs in zip(PHASES, (1, 2, 1), strict=True):
        assert [line["step"] for line in log_of(run, phase)] == list(range(1, epochs + 1))
    done = ipmodel("eval", run, f"--shards={trained / 'set'}", ranks=ranks)
    assert done.returncode == 0, done.stderr
    names = {sample.name for sample in ShardSet(trained / "set").samples(split="1", subset="test")}
    scores = load_scores(run / "split-1/scores/i+p.npz")
    assert len(scores.names) == len(names) == 8 and set(scores.names) == names


def test_a_run_of_one_rank_goes_on_with_two(trained: Path, tmp_path: Path) -> None:
    """From the middle of an epoch: the first steps are one rank's, the rest are two ranks', none is twice."""
    run = tmp_path / "run"
    options = train_options(trained / "set", run, trained / "quick.toml", "--set=workers=1")
    process = subprocess.Popen(command(*options), stderr=subprocess.DEVNULL, env=one_thread())
    wait_for_a_step(process, run / "split-1" / "p_stream")
    process.terminate()
    assert process.wait(timeout=60) == 75
    before = log_of(run, "p_stream")
    done = ipmodel(*options, ranks=2)
    assert done.returncode == 0, done.stderr
    after = log_of(run, "p_stream")
    assert 1 <= len(before) < 4 and after[: len(before)] == before
    assert [line["step"] for line in after] == [1, 2, 3, 4]


SAME_WEIGHTS = """
import sys
from pathlib import Path
import torch
from torch import distributed
from ipmodel.engine import train
from ipmodel.ranks import ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.phases import job_of
from ipmodel.runs import Run
from pipelines import load
from shards import ShardSet

recipe = load(TrainRecipe, "train", sys.argv[1])
run = Run(directory=Path(sys.argv[3]), shard_set=ShardSet(sys.argv[2]), recipe=recipe, imagenet={})
with ranks() as own:
    run.phase_dir("1", "of_2d").mkdir(parents=True, exist_ok=True)
    job = job_of(run, split="1", name="of_2d")
    train(job, own)
    weights = torch.cat([parameter.detach().flatten() for parameter in job.network.parameters()])
    others = [torch.empty_like(weights) for _ in range(own.count)]
    distributed.all_gather(others, weights)
    assert own.count == 2 and torch.equal(*others)
threads = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
assert not any("gloo" in name for name in threads), threads
"""


def test_ranks_have_one_network(trained: Path, tmp_path: Path) -> None:
    """Trained on halves of each batch, their weights are equal to the bit; and the threads that divided them are gone,
    one of which, still at work, could abort the process as it ends."""
    script = tmp_path / "same.py"
    script.write_text(SAME_WEIGHTS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    command = [*map(str, torchrun), str(trained / "quick.toml"), str(trained / "set"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread())
    assert done.returncode == 0, done.stderr


def test_scores_do_not_depend_on_the_number_of_ranks(trained: Path, tmp_path: Path) -> None:
    found = []
    for ranks in (0, 3):
        run = shutil.copytree(trained / "run", tmp_path / f"run{ranks}")
        done = ipmodel("eval", run, f"--shards={trained / 'set'}", "--splits=all", ranks=ranks)
        assert done.returncode == 0, done.stderr
        found.append(load_scores(run / "split-1/scores/p.npz"))
        figures = json.loads((run / "eval.json").read_text())["split-1"]
        assert set(figures) == {"i", "p", "of", "i+p", "i+of"}
        assert figures["i+p"]["videos"] == 8 and np.sum(figures["i+p"]["confusion"]) == 8
    assert found[0].names == found[1].names
    np.testing.assert_allclose(found[0].logits, found[1].logits, atol=1e-4)  # batches are cut otherwise


def test_what_one_rank_finds_damaged_no_rank_begins(trained: Path, tmp_path: Path) -> None:
    """Each of the files in turn, so that it is the second rank's share as well as the first's."""
    shards = ShardSet(trained / "set").shards(split="1", subset="train")
    assert len(shards) > 1
    for shard in shards:
        damaged, run = shutil.copytree(trained / "set", tmp_path / shard.shard), tmp_path / "run"
        path = flip_a_bit(damaged / tar_path("flow", shard.shard))
        refused = ipmodel(*train_options(damaged, run, trained / "quick.toml", "--phase=of_2d"), ranks=2)
        assert refused.returncode == 1 and refused.stderr.count(f"error: {path}: its bytes are not those") == 2
        assert not run.exists()


def test_ranks_that_cannot_reach_each_other_say_why(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nothing0")
    refused = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml"), ranks=2)
    assert refused.returncode == 1 and "error: the processes that torchrun started cannot reach" in refused.stderr
    assert "nothing0" in refused.stderr and "[rank" not in refused.stderr


DIFFERENT_LEFT = """
import sys
from pathlib import Path
from ipmodel.phases import train_phases
from ipmodel.ranks import ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs import Run
from pipelines import load
from shards import ShardSet

recipe = load(TrainRecipe, "train", sys.argv[1])
with ranks() as own:
    directory = Path(sys.argv[3]) / str(own.rank)
    run = Run(directory=directory, shard_set=ShardSet(sys.argv[2]), recipe=recipe, imagenet={})
    train_phases(run, split="1", names=["of_2d", "i_stream"], ranks=own)
"""


def test_ranks_train_the_same_phase_though_one_sees_another_complete(trained: Path, tmp_path: Path) -> None:
    """As on a file system that shows a file later on one machine; here each has a directory of its own."""
    script = tmp_path / "left.py"
    script.write_text(DIFFERENT_LEFT)
    seen = tmp_path / "1/split-1/of_2d" / FINAL
    seen.parent.mkdir(parents=True)
    shutil.copy(trained / "run/split-1/of_2d" / FINAL, seen)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    command = [*map(str, torchrun), str(trained / "quick.toml"), str(trained / "set"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread())
    assert done.returncode == 0, done.stderr
    assert [path.parent.name for path in (tmp_path / "0").rglob(FINAL)] == ["i_stream"]


def test_a_damaged_shard_ends_all_ranks(trained: Path, tmp_path: Path) -> None:
    """Those that wait for the one that stopped are ended too, and say why in a line."""
    damaged_later(trained / "set", tmp_path / "set")
    done = ipmodel(*train_options(tmp_path / "set", tmp_path / "run", trained / "quick.toml"), ranks=2)
    assert done.returncode != 0 and "the shard is damaged, verify it" in done.stderr
    assert "[rank" not in done.stderr, done.stderr  # as PyTorch heads the lines of a traceback
    assert not list(tmp_path.rglob(FINAL))
