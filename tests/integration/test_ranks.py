"""Training and evaluation under torchrun, on a CPU: the batches, weights and scores of one rank."""

import json
import re
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_programs import ranks, started
from training import (
    PHASES,
    build_set,
    damaged_later,
    flip_a_bit,
    ipmodel,
    log_of,
    run,
    torchrun,
    train_options,
    wait_for_a_step,
)

from ipmodel.evaluation.fuse import load_scores
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL, Checkpoint, load_network, save_checkpoint
from ipmodel.runs.run import Run
from ipmodel.training.optimiser import optimiser_of
from ipmodel.training.phases import training_of
from pipelines import load
from shards import ShardSet
from shards.layout import tar_path


def test_ranks_train_on_the_batches_of_one_and_evaluate_each_video_once(trained: Path, tmp_path: Path) -> None:
    """Shards of 5, 5, 5 and 1 videos, which no number of ranks divides evenly."""
    out = tmp_path / "run"
    batches = [f"--set=phases.{phase}.batch=12" for phase in PHASES]
    done = run(*torchrun(2, "-m", "ipmodel"), *train_options(trained / "set", out, trained / "quick.toml", *batches))
    assert done.returncode == 0, done.stderr
    for phase, epochs in zip(PHASES, (1, 2, 1), strict=True):
        assert [line["step"] for line in log_of(out, phase)] == list(range(1, epochs + 1))
    done = ranks(2, "ipmodel", "eval", out, f"--shards={trained / 'set'}")
    assert done.returncode == 0, done.stderr
    names = {sample.name for sample in ShardSet(trained / "set").samples(split="1", subset="test")}
    scores = load_scores(out / "split-1/scores/i+p.npz")
    assert len(scores.names) == len(names) == 8 and set(scores.names) == names


def test_four_ranks_train(trained: Path, tmp_path: Path) -> None:
    """One of them reads a shard of a single video."""
    options = ["--phase=of_2d", "--set=phases.of_2d.batch=12"]
    done = ranks(4, "ipmodel", *train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *options))
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in log_of(tmp_path / "run", "of_2d")] == [1]


def test_a_run_of_one_rank_goes_on_with_two(trained: Path, tmp_path: Path) -> None:
    """From the middle of an epoch: the first steps are one rank's, the rest are two ranks', none is twice."""
    out = tmp_path / "run"
    options = train_options(trained / "set", out, trained / "quick.toml", "--set=workers=1")
    process = started(*options, errors=tmp_path / "errors")
    wait_for_a_step(process, out / "split-1" / "p_stream")
    process.terminate()
    assert process.wait(timeout=60) == 75
    before = log_of(out, "p_stream")
    done = ranks(2, "ipmodel", *options)
    assert done.returncode == 0, done.stderr
    after = log_of(out, "p_stream")
    assert 1 <= len(before) < 4 and after[: len(before)] == before
    assert [line["step"] for line in after] == [1, 2, 3, 4]


def script_of(folder: Path, code: str) -> Path:
    path = folder / "script.py"
    path.write_text(code)
    return path


SAME_WEIGHTS = """
import sys
from pathlib import Path
import torch
from torch import distributed
from ipmodel.training.loop import train
from ipmodel.process.distributed import ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.training.phases import training_of
from ipmodel.runs.run import Run
from pipelines import load
from shards import ShardSet

recipe = load(TrainRecipe, "train", sys.argv[1])
run = Run(directory=Path(sys.argv[3]), shard_set=ShardSet(sys.argv[2]), recipe=recipe, imagenet={})
with ranks() as own:
    run.phase_dir("1", "of_2d").mkdir(parents=True, exist_ok=True)
    training = training_of(run, split="1", name="of_2d")
    train(training, own)
    weights = torch.cat([parameter.detach().flatten() for parameter in training.network.parameters()])
    others = [torch.empty_like(weights) for _ in range(own.count)]
    distributed.all_gather(others, weights)
    assert own.count == 2 and torch.equal(*others)
threads = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
assert not any("gloo" in name for name in threads), threads
"""


def test_ranks_have_one_network(trained: Path, tmp_path: Path) -> None:
    """Trained on halves of each batch, their weights are equal to the bit; and the threads that divided them are gone,
    one of which, still at work, could abort the process as it ends."""
    script = script_of(tmp_path, SAME_WEIGHTS)
    done = ranks(2, script, trained / "quick.toml", trained / "set", tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_ranks_that_share_batchnorms_train_as_one(trained: Path, tmp_path: Path) -> None:
    """Up to rounding, which training enlarges; those that do not share them differ from the first step on."""
    more = ("--phase=of_2d", "--set=phases.of_2d.last_2d_stage=conv4")
    losses, networks = {}, {}
    for name, count, share in (("one", 1, "true"), ("shared", 2, "true"), ("own", 2, "false")):
        options = train_options(trained / "set", tmp_path / name, trained / "quick.toml", *more)
        done = ranks(count, "ipmodel", *options, f"--set=sync_bn={share}")
        assert done.returncode == 0, done.stderr
        losses[name] = [line["loss"] for line in log_of(tmp_path / name, "of_2d")]
        networks[name] = load_network(tmp_path / name / "split-1" / "of_2d" / FINAL)
    assert len(losses["one"]) == 2  # the second is after a step, so it tells whether gradients are equal
    assert losses["shared"] == pytest.approx(losses["one"], rel=1e-3)
    assert losses["own"][0] != pytest.approx(losses["one"][0], rel=1e-3)
    assert networks["shared"].keys() == networks["one"].keys()
    for key in ("data_bn.running_mean", "bn1.running_var", "layer4.1.bn2.running_mean"):
        torch.testing.assert_close(networks["shared"][key], networks["one"][key], rtol=1e-2, atol=1e-3)


def test_scores_do_not_depend_on_the_number_of_ranks(trained: Path, tmp_path: Path) -> None:
    found = []
    for evaluate in (ipmodel, partial(ranks, 3, "ipmodel")):
        out = shutil.copytree(trained / "run", tmp_path / f"run-{len(found)}")
        done = evaluate("eval", str(out), f"--shards={trained / 'set'}", "--splits=all")
        assert done.returncode == 0, done.stderr
        found.append(load_scores(out / "split-1/scores/p.npz"))
        figures = json.loads((out / "eval.json").read_text())["splits"]["split-1"]
        assert set(figures) == {"i", "p", "of", "i+p", "i+of"}
        assert figures["i+p"]["videos"] == 8 and np.sum(figures["i+p"]["confusion"]) == 8
    assert found[0].names == found[1].names
    np.testing.assert_allclose(found[0].logits, found[1].logits, atol=1e-4)  # batches are cut otherwise


def test_what_one_rank_finds_damaged_no_rank_begins(trained: Path, tmp_path: Path) -> None:
    """Once a file of the first rank's share, and once one of the second's."""
    shards = ShardSet(trained / "set").shards(split="1", subset="train")
    assert len(shards) > 1
    for shard in shards[:2]:
        damaged, out = shutil.copytree(trained / "set", tmp_path / shard.shard), tmp_path / "run"
        path = flip_a_bit(damaged / tar_path("flow", shard.shard))
        options = train_options(damaged, out, trained / "quick.toml", "--phase=of_2d")
        refused = ranks(2, "ipmodel", *options)
        assert refused.returncode == 1 and refused.stderr.count(f"error: {path}: its bytes are not those") == 2
        assert not out.exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"GLOO_SOCKET_IFNAME": "nothing0"}, "cannot reach each other: .*nothing0"),
        ({"MASTER_PORT": "{taken}"}, "cannot reach each other: .*EADDRINUSE"),
        ({"MASTER_PORT": ""}, "RANK is set, .* MASTER_PORT .*; unset RANK"),
    ],
)
def test_ranks_that_cannot_reach_each_other_say_why(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as free:
        taken, open_port = (str(one.getsockname()[1]) for one in (server, free))
        free.close()
        alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": open_port}
        for name, value in {**alone, **environment}.items():
            monkeypatch.setenv(name, value.format(taken=taken))
            if not value:
                monkeypatch.delenv(name)
        refused = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml"))
    assert refused.returncode == 1 and re.search(f"^error: .*{message}", refused.stderr, re.MULTILINE), refused.stderr
    assert "Traceback" not in refused.stderr


def test_ranks_train_on_one_set(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "set", tmp_path / "set-0")
    build_set(tmp_path / "set-1", "--set=synthetic.frames=16")
    refused = of_each_rank(tmp_path, trained / "quick.toml", tmp_path / "set-RANK", tmp_path / "run-RANK")
    assert "is not the same set for all processes" in refused.stderr and not list(tmp_path.glob("run-*"))


OF_EACH_RANK = """
import sys
from pathlib import Path
from ipmodel.training import phases
from ipmodel.training.phases import train_phases
from ipmodel.process.distributed import ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.run import Run
from pipelines import load
from shards import ShardSet

phases.SHARED_FILE_WAIT_S = 1.0
recipe = load(TrainRecipe, "train", sys.argv[1])
with ranks() as own:
    shards, out = (path.replace("RANK", str(own.rank)) for path in sys.argv[2:])
    run = Run(directory=Path(out), shard_set=ShardSet(shards), recipe=recipe, imagenet={})
    train_phases(run, split="1", names=["of_2d", "i_stream"], ranks=own)
"""


def of_each_rank(folder: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return ranks(2, script_of(folder, OF_EACH_RANK), *arguments)


def begun(trained: Path, folder: Path) -> None:
    """run-0 and run-1: one run, on a file system that shows a file later on one machine; here, two directories."""
    for rank in ("0", "1"):
        (folder / f"run-{rank}/split-1/of_2d").mkdir(parents=True)
        shutil.copy(trained / "run/run.json", folder / f"run-{rank}")


def test_ranks_train_the_same_phase_though_one_sees_another_complete(trained: Path, tmp_path: Path) -> None:
    begun(trained, tmp_path)
    shutil.copy(trained / "run/split-1/of_2d" / FINAL, tmp_path / "run-1/split-1/of_2d")
    kept = tmp_path / "run-0/split-1/of_2d/step-00000001"
    kept.mkdir()
    done = of_each_rank(tmp_path, trained / "quick.toml", trained / "set", tmp_path / "run-RANK")
    assert done.returncode == 0, done.stderr
    assert [path.parent.name for path in (tmp_path / "run-0").rglob(FINAL)] == ["i_stream"]
    assert kept.is_dir()  # its network is not here


def test_ranks_share_a_run(trained: Path, tmp_path: Path) -> None:
    done = of_each_rank(tmp_path, trained / "quick.toml", trained / "set", tmp_path / "run-RANK")
    assert done.returncode == 1 and "give --out a directory on a file system that all machines share" in done.stderr, (
        done.stderr
    )
    assert not list(tmp_path.rglob("split-1"))


def test_ranks_go_on_from_one_step(trained: Path, tmp_path: Path) -> None:
    """One finds a checkpoint that the other does not find yet."""
    begun(trained, tmp_path)
    run = Run(
        directory=tmp_path / "run-1",
        shard_set=ShardSet(trained / "set"),
        recipe=load(TrainRecipe, "train", str(trained / "quick.toml")),
        imagenet={},
    )
    training = training_of(run, split="1", name="of_2d")
    state = {"optimiser": optimiser_of(training.network, training.phase.optimiser).state_dict()}
    save_checkpoint(training.directory, Checkpoint(1, training.network.state_dict(), state))
    done = of_each_rank(tmp_path, trained / "quick.toml", trained / "set", tmp_path / "run-RANK")
    assert done.returncode == 1 and "not all processes find the same checkpoint" in done.stderr, done.stderr
    assert not list(tmp_path.rglob(FINAL))


ONE_ENDS = """
import signal
from ipmodel.errors import ModelError
from ipmodel.cli import main
from ipmodel.process.distributed import ranks

@main.command()
def one_ends():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of torchrun, when one has ended
    with ranks() as own:
        if not own.first:
            raise ModelError("an error of its own")
        own.any(False)

main(["one-ends"])
"""


def test_who_waits_for_a_rank_that_ended_says_so_in_a_line(tmp_path: Path) -> None:
    done = run(*torchrun(2, script_of(tmp_path, ONE_ENDS)))
    assert done.returncode == 1 and "error: an error of its own" in done.stderr, done.stderr
    assert "error: another process that torchrun started has ended; its own error says why" in done.stderr
    assert "[rank" not in done.stderr  # as PyTorch heads the lines of a traceback


def test_a_damaged_shard_ends_all_ranks(trained: Path, tmp_path: Path) -> None:
    damaged_later(trained / "set", tmp_path / "set")
    options = train_options(tmp_path / "set", tmp_path / "run", trained / "quick.toml")
    done = ranks(2, "ipmodel", *options)
    assert done.returncode != 0 and "the shard is damaged, verify it" in done.stderr
    assert "[rank" not in done.stderr, done.stderr
    assert not list(tmp_path.rglob(FINAL))
