"""Training and evaluation through the command line, on a small synthetic set: resumed, divided over ranks, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from serving import serving
from training import QUICK, build_set, command, ipmodel, train_options

from ipmodel.checkpoint import FINAL
from ipmodel.fuse import load_scores
from shards import ShardSet

PHASES = ("of_2d", "p_stream", "i_stream")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set, a recipe, and a run that was trained without interruption."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "quick.toml").write_text(QUICK)
    build_set(folder / "set")
    done = ipmodel(*train_options(folder / "set", folder / "run", folder / "quick.toml"))
    assert done.returncode == 0, done.stderr
    return folder


def networks(run: Path) -> dict[str, bytes]:
    return {phase: (run / "split-1" / phase / FINAL).read_bytes() for phase in PHASES}


def log_of(run: Path, phase: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "split-1" / phase / "log.jsonl").read_text().splitlines()]


def one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def wait_for_a_step(process: subprocess.Popen[bytes], phase_dir: Path) -> None:
    deadline = time.monotonic() + 120
    log = phase_dir / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 1):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def test_a_complete_phase_is_not_run_again_and_a_missing_one_is(quick: Path, tmp_path: Path) -> None:
    run = shutil.copytree(quick / "run", tmp_path / "run")
    before = networks(run)
    (run / "split-1" / "p_stream" / FINAL).unlink()
    assert ipmodel(*train_options(quick / "set", run, quick / "quick.toml")).returncode == 0
    assert networks(run) == before
    assert len(log_of(run, "of_2d")) == 2 and len(log_of(run, "p_stream")) == 4  # made again from its first step
    assert not list(run.rglob("step-*"))


def test_seeds_decide(quick: Path, tmp_path: Path) -> None:
    options = train_options(quick / "set", tmp_path / "run", quick / "quick.toml", "--phase=of_2d", "--set=seed=1")
    assert ipmodel(*options).returncode == 0
    assert (tmp_path / "run/split-1/of_2d" / FINAL).read_bytes() != networks(quick / "run")["of_2d"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_the_weights_are_those_of_an_uninterrupted_run(
    quick: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    """SIGTERM, to all processes as schedulers send it, saves; SIGKILL, which loader processes outlive for some seconds,
    loses what came after the last checkpoint.

    In the middle of an epoch, and resumed with another number of loader processes.
    """
    run = tmp_path / "run"
    more = [] if sent == signal.SIGTERM else ["--set=checkpoint_minutes=0.0"]
    options = train_options(quick / "set", run, quick / "quick.toml", "--set=workers=2", *more)
    process = subprocess.Popen(command(*options), stderr=subprocess.DEVNULL, env=one_thread(), start_new_session=True)
    wait_for_a_step(process, run / "split-1" / "p_stream")
    while sent == signal.SIGKILL and not list((run / "split-1" / "p_stream").glob("step-*")):
        time.sleep(0.005)
    (os.killpg if sent == signal.SIGTERM else os.kill)(process.pid, sent)
    status = process.wait(timeout=60)
    assert status == (75 if sent == signal.SIGTERM else -signal.SIGKILL)
    assert not (run / "split-1" / "p_stream" / FINAL).exists()
    assert list((run / "split-1" / "p_stream").glob("step-*"))  # what it goes on from
    before = log_of(run, "p_stream")[0]
    done = ipmodel(*train_options(quick / "set", run, quick / "quick.toml", *more))
    assert done.returncode == 0, done.stderr
    assert log_of(run, "p_stream")[0] == before  # not made again
    assert networks(run) == networks(quick / "run")
    if sent == signal.SIGTERM:
        assert [line["step"] for line in log_of(run, "p_stream")] == [1, 2, 3, 4]  # none twice


def test_a_run_of_one_rank_goes_on_with_two(quick: Path, tmp_path: Path) -> None:
    """From the middle of an epoch: the first steps are one rank's, the rest are two ranks', none is twice."""
    run = tmp_path / "run"
    options = train_options(quick / "set", run, quick / "quick.toml", "--set=workers=1")
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


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_train_on_the_batches_of_one_and_evaluate_each_video_once(
    quick: Path, tmp_path: Path, ranks: int
) -> None:
    """Shards of 5, 5, 5 and 1 videos, which no number of ranks divides evenly."""
    run = tmp_path / "run"
    batches = [f"--set=phases.{phase}.batch=12" for phase in PHASES]
    done = ipmodel(*train_options(quick / "set", run, quick / "quick.toml", *batches), ranks=ranks)
    assert done.returncode == 0, done.stderr
    for phase, epochs in zip(PHASES, (1, 2, 1), strict=True):
        assert [line["step"] for line in log_of(run, phase)] == list(range(1, epochs + 1))
    done = ipmodel("eval", run, f"--shards={quick / 'set'}", ranks=ranks)
    assert done.returncode == 0, done.stderr
    names = {sample.name for sample in ShardSet(quick / "set").samples(split="1", subset="test")}
    scores = load_scores(run / "split-1/scores/i+p.npz")
    assert len(scores.names) == len(names) == 8 and set(scores.names) == names


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


def test_ranks_have_one_network(quick: Path, tmp_path: Path) -> None:
    """Trained on halves of each batch, their weights are equal to the bit; and the threads that divided them are gone,
    one of which, still at work, could abort the process as it ends."""
    script = tmp_path / "same.py"
    script.write_text(SAME_WEIGHTS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    command = [*map(str, torchrun), str(quick / "quick.toml"), str(quick / "set"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread())
    assert done.returncode == 0, done.stderr


def test_scores_do_not_depend_on_the_number_of_ranks(quick: Path, tmp_path: Path) -> None:
    found = []
    for ranks in (0, 3):
        run = shutil.copytree(quick / "run", tmp_path / f"run{ranks}")
        done = ipmodel("eval", run, f"--shards={quick / 'set'}", "--splits=all", ranks=ranks)
        assert done.returncode == 0, done.stderr
        found.append(load_scores(run / "split-1/scores/p.npz"))
        figures = json.loads((run / "eval.json").read_text())["split-1"]
        assert set(figures) == {"i", "p", "of", "i+p", "i+of"}
        assert figures["i+p"]["videos"] == 8 and np.sum(figures["i+p"]["confusion"]) == 8
    assert found[0].names == found[1].names
    np.testing.assert_allclose(found[0].logits, found[1].logits, atol=1e-4)  # batches are cut otherwise


def test_gradient_accumulation_and_workers_change_no_batch(quick: Path, tmp_path: Path) -> None:
    """More loader processes than the set has shards."""
    assert len(ShardSet(quick / "set").shards(split="1", subset="train")) < 6
    options = train_options(quick / "set", tmp_path / "run", quick / "quick.toml", "--set=workers=6", "--phase=of_2d")
    assert ipmodel(*options).returncode == 0
    assert (tmp_path / "run/split-1/of_2d" / FINAL).read_bytes() == networks(quick / "run")["of_2d"]


def test_from_a_url_the_weights_are_the_same(quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty cache, and two loader processes that are forked after the first connection."""
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    run = shutil.copytree(quick / "run", tmp_path / "run")
    (run / "split-1/of_2d" / FINAL).unlink()
    with serving(quick) as served:
        url = f"{served.url}/set"
        done = ipmodel(*train_options(url, run, quick / "quick.toml", "--phase=of_2d", "--set=workers=2"))
        assert done.returncode == 0, done.stderr
        assert networks(run) == networks(quick / "run")
        tars = [path for path in served.asked if path.endswith(".tar")]
        assert tars and len(set(tars)) == len(tars) and {path.split("/")[1] for path in tars} == {"flow"}
        done = ipmodel("eval", run, f"--shards={url}")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "eval.json").read_text())["split-1"]["i+p"]["videos"] == 8


def test_a_file_that_a_server_lacks_ends_the_run_with_its_url(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(quick / "set", tmp_path / "set", ignore=shutil.ignore_patterns("*.tar"))
    with serving(tmp_path) as served:
        url = f"{served.url}/set"
        done = ipmodel(*train_options(url, tmp_path / "run", quick / "quick.toml", "--set=workers=2"))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {url}/flow/"), done.stderr
    assert "not found there" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phase=nothing"], "no phase 'nothing' in recipe"),
        (["--phase=p_stream"], "train its phase first: `ipmodel train --split 1 --phase of_2d`"),
        (["--split=7"], "unknown split"),
        (["--set=phases.of_2d.batch=60"], "phases.of_2d: 16 samples are fewer than a global batch of 60"),
        (["--set=phases.of_2d.optimiser.rate=1e30", "--set=phases.of_2d.epochs=9"], "the loss is not finite"),
        (["--init=resnet18=/nothing.pth"], "no torchvision weights"),
        (["--init=18"], "expected resnetDEPTH=FILE"),
        (["--init=resnet50=/nothing.pth"], "no phase of the recipe begins with a ResNet-50"),
        (["--set=phases.i_stream.optimiser.body_multiplier=0.01"], "give --init resnet18=FILE, or use the recipe"),
        (["--set=phases.i_stream.batch=60"], "16 samples are fewer than a global batch of 60"),  # before any training
    ],
)
def test_what_cannot_be_trained_is_refused(quick: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = ipmodel(*train_options(quick / "set", tmp_path / "run", quick / "quick.toml", *arguments))
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.rglob(FINAL))


def test_a_refused_command_begins_nothing(quick: Path, tmp_path: Path) -> None:
    run, weights = tmp_path / "run", tmp_path / "resnet18.pth"
    weights.write_text("no weights")
    options = train_options(quick / "set", run, quick / "quick.toml")
    for wrong in ("--set=phases.of_2d.batch=60", f"--init=resnet18={weights}", "--phase=p_stream"):
        assert ipmodel(*options, wrong).returncode == 1
        assert not run.exists(), wrong
    done = ipmodel(*options, "--phase=of_2d")
    assert done.returncode == 0, done.stderr


def test_how_it_is_tested_can_be_changed_and_nothing_else(quick: Path, tmp_path: Path) -> None:
    run = shutil.copytree(quick / "run", tmp_path / "run")
    changes = ["--set=phases.i_stream.test_crops=10", "--set=phases.p_stream.test_segments=2"]
    changes += ["--set=fusions.more={i=2, p=1, of=1}"]
    for out, more in (("plain", []), ("other", changes)):
        done = ipmodel("eval", run, f"--out={tmp_path / out}", *more)  # the set that it was trained on
        assert done.returncode == 0, done.stderr
    plain, other = (
        {path.stem: load_scores(path) for path in (tmp_path / out / "split-1/scores").glob("*.npz")}
        for out in ("plain", "other")
    )
    assert np.array_equal(plain["of"].logits, other["of"].logits) and other.keys() - plain.keys() == {"more"}
    for changed in ("i", "p"):
        assert np.abs(plain[changed].logits - other[changed].logits).max() > 1e-4
    sizes = [np.abs(table["i"].logits).mean() for table in (plain, other)]
    assert 0.3 < sizes[0] / sizes[1] < 3  # ten crops' mean, not their sum
    assert not (run / "eval.json").exists()
    refused = ipmodel("eval", run, "--set=phases.i_stream.segments=2")
    assert refused.returncode == 1 and "phases.i_stream.segments" in refused.stderr and "only test_" in refused.stderr


def test_a_run_goes_on_with_its_own_recipe_and_set_only(quick: Path, tmp_path: Path) -> None:
    run = shutil.copytree(quick / "run", tmp_path / "run")
    other = ipmodel(*train_options(quick / "set", run, quick / "quick.toml", "--set=phases.p_stream.epochs=7"))
    assert other.returncode == 1 and "was begun with another recipe.phases.p_stream.epochs" in other.stderr
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"classes": record["classes"][1:]}))
    other = ipmodel("eval", run)
    assert other.returncode == 1 and f"{run} was trained on {len(record['classes']) - 1}" in other.stderr
    assert ipmodel("eval", tmp_path, f"--shards={quick / 'set'}").stderr.startswith(f"error: {tmp_path} is no run")


def test_the_teachers_column_must_be_there(quick: Path, tmp_path: Path) -> None:
    build_set(tmp_path / "set", "--columns=iframe,mv,residual,video")
    done = ipmodel(*train_options(tmp_path / "set", tmp_path / "run", quick / "quick.toml"))
    assert done.returncode == 1 and "has no column flow; add it with `ipdata build --columns" in done.stderr


@pytest.mark.parametrize("column", ["mv", "residual", "iframe"])
def test_one_wrong_bit_ends_a_run_before_its_first_step(quick: Path, tmp_path: Path, column: str) -> None:
    damaged = shutil.copytree(quick / "set", tmp_path / "set")
    path = next(path for path in sorted((damaged / column).glob("*.tar")))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = ipmodel(*train_options(damaged, tmp_path / "run", quick / "quick.toml"))
    tested = ipmodel("eval", quick / "run", f"--shards={damaged}")
    (refused,) = (said for said in (done, tested) if said.returncode)  # it is of one subset's shards
    assert refused.returncode == 1 and f"error: {path}: its bytes are not those" in refused.stderr, refused.stderr
    if refused is done:
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_is_damaged_later_ends_the_run_with_its_name(quick: Path, tmp_path: Path, workers: int) -> None:
    path = damaged_later(quick / "set", tmp_path / "set")
    options = train_options(tmp_path / "set", tmp_path / "run", quick / "quick.toml", f"--set=workers={workers}")
    done = ipmodel(*options)
    assert done.returncode == 1 and "the shard is damaged, verify it" in done.stderr, done.stderr
    assert f"error: {path}" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob(FINAL))


def test_a_damaged_shard_ends_all_ranks(quick: Path, tmp_path: Path) -> None:
    """Those that wait for the one that stopped are ended too, and say why in a line."""
    damaged_later(quick / "set", tmp_path / "set")
    done = ipmodel(*train_options(tmp_path / "set", tmp_path / "run", quick / "quick.toml"), ranks=2)
    assert done.returncode != 0 and "the shard is damaged, verify it" in done.stderr
    assert "[rank" not in done.stderr, done.stderr  # as PyTorch heads the lines of a traceback
    assert not list(tmp_path.rglob(FINAL))


def damaged_later(made: Path, copy: Path) -> str:
    """A set that was found sound, whose flow was then overwritten without a trace in sizes and times."""
    shard_set = ShardSet(shutil.copytree(made, copy))
    shard_set.check(shard_set.files(["flow", "mv", "residual"], split="1", subset="train"))
    for path in (copy / "flow").glob("*.tar"):
        times = path.stat()
        path.write_bytes(bytes(times.st_size))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return f"{copy}/flow/"


def test_sigterm_between_phases_stops_too(quick: Path, tmp_path: Path) -> None:
    """In a phase's last step, and while the next one begins: what is complete stays, the rest is not begun."""
    run = tmp_path / "run"
    options = train_options(quick / "set", run, quick / "quick.toml")
    process = subprocess.Popen(command(*options), stderr=subprocess.PIPE, text=True, env=one_thread())
    deadline = time.monotonic() + 120
    while not (run / "split-1/of_2d" / FINAL).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75 and "stopped and saved" in said
    assert not (run / "split-1/i_stream").exists()
    assert ipmodel(*options).returncode == 0 and networks(run) == networks(quick / "run")


def test_two_processes_do_not_train_one_phase(quick: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = train_options(quick / "set", run, quick / "quick.toml", "--set=phases.of_2d.epochs=400", "--phase=of_2d")
    first = subprocess.Popen(command(*options), stderr=subprocess.DEVNULL, env=one_thread())
    wait_for_a_step(first, run / "split-1/of_2d")
    second = ipmodel(*options)
    first.terminate()
    assert second.returncode == 1 and "another process trains this phase" in second.stderr
    assert first.wait(timeout=60) == 75


def test_a_phase_that_another_process_has_trained_meanwhile_is_left_as_it_is(quick: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = train_options(quick / "set", run, quick / "quick.toml", "--set=phases.of_2d.epochs=150")
    first = subprocess.Popen(command(*options), stderr=subprocess.DEVNULL, env=one_thread())
    wait_for_a_step(first, run / "split-1/of_2d")
    assert ipmodel(*options, "--phase=i_stream").returncode == 0
    assert not (run / "split-1/of_2d" / FINAL).exists()
    made = (run / "split-1/i_stream" / FINAL).stat()
    assert first.wait(timeout=120) == 0
    assert (run / "split-1/i_stream" / FINAL).stat() == made and len(log_of(run, "i_stream")) == 2


@pytest.mark.parametrize("damage", ["{", "[]", '{"recipe": {}}', '{"recipe": 3}'])
def test_a_damaged_record_is_refused(quick: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(damage)
    for arguments in (train_options(quick / "set", tmp_path / "run", quick / "quick.toml"), ["eval", tmp_path / "run"]):
        done = ipmodel(*arguments)
        assert done.returncode == 1 and "run.json" in done.stderr and "Traceback" not in done.stderr
