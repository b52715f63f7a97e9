"""Training and evaluation through the command line, on a small synthetic set: resumed, left alone, changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from forked_programs import Forked, started
from serving import serving
from training import build_set, command, ipmodel, log_of, networks, train_options, wait_for_a_step

from ipmodel.evaluation.fuse import load_scores
from ipmodel.runs.checkpoint import FINAL, WEIGHTS, load_network, save_network
from ipmodel.training import phases
from shards import ShardSet


def test_a_complete_phase_is_not_run_again_and_a_missing_one_is(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
    before = networks(run)
    (run / "split-1" / "p_stream" / FINAL).unlink()
    fewer = ["--set=streams={i='i_stream', of='of_2d'}", "--set=fusions={}"]
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", *fewer))
    assert done.returncode == 0 and "no stream of the recipe needs p_stream; trained all the same" in done.stderr
    assert networks(run) == before
    assert len(log_of(run, "of_2d")) == 2 and len(log_of(run, "p_stream")) == 4  # made again from its first step
    assert not list(run.rglob("step-*"))


def test_what_a_kill_left_of_a_complete_phase_is_removed(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
    before = networks(run)
    for name in ("step-00000001", "tmp-step-00000002"):
        (run / "split-1/of_2d" / name).mkdir()
        (run / "split-1/of_2d" / name / WEIGHTS).write_bytes(b"some")
    (run / "split-1/of_2d" / f"tmp-{FINAL}").write_bytes(b"some")
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml"))
    assert done.returncode == 0 and networks(run) == before
    assert not [*run.rglob("step-*"), *run.rglob("tmp-*")]


def test_a_run_keeps_how_it_is_tested_and_says_so(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
    before = (run / "run.json").read_bytes()
    changes = ["--set=phases.i_stream.test_segments=5", "--set=streams.more=of_2d", "--set=workers=1"]
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", *changes))
    assert done.returncode == 0 and (run / "run.json").read_bytes() == before
    kept = f"{run / 'run.json'} keeps its phases.i_stream.test_segments, streams.more; give the --set to"
    assert kept in done.stderr
    assert "keeps its" not in ipmodel(*train_options(trained / "set", run, trained / "quick.toml")).stderr


RECIPE_OF_TWO = """
[input]
resize_px = 32
crop_px = 32

[phases]
i_stream = { modality = "i", segments = 2, epochs = 1, batch = 2 }
p_stream = { modality = "mr", segments = 2, epochs = 1, batch = 2 }

[streams]
i = "i_stream"
p = "p_stream"

[fusions]
"i+p" = { i = 1, p = 1 }
"""


def test_videos_that_a_stream_cannot_see_are_told(tmp_path: Path) -> None:
    """A video of one frame has an I-frame alone; two classes of a moving and a still pattern, tested on two each."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"]
    for number, (name, pattern) in enumerate(
        (name, pattern) for pattern in ("testsrc", "smptebars") for name in "abcd"
    ):
        video = tmp_path / "videos" / pattern / f"{name}.avi"
        video.parent.mkdir(parents=True, exist_ok=True)
        frames = 1 if number == 0 else 14
        subprocess.run([*ffmpeg, "-i", f"{pattern}=size=64x64", "-frames:v", str(frames), video], check=True)
    rows = [
        f"{path.parent.name}/{path.name},{path.parent.name},camera {path.stem},{subset}"
        for path in sorted((tmp_path / "videos").rglob("*.avi"))
        for subset in ["test" if path.stem in "ab" else "train"]
    ]
    (tmp_path / "videos/videos.csv").write_text("\n".join(["path,label,group,split1", *rows]))
    build_set(
        tmp_path / "set",
        "--dataset=folder",
        "--classes=testsrc,smptebars",
        f"--source={tmp_path / 'videos'}",
        "--columns=iframe,mv,residual,video",
    )
    built = ShardSet(tmp_path / "set").samples()
    assert {(sample.name[-5], sample.group) for sample in built} == {(name, f"camera {name}") for name in "abcd"}
    (tmp_path / "two.toml").write_text(RECIPE_OF_TWO)
    done = ipmodel(*train_options(tmp_path / "set", tmp_path / "run", tmp_path / "two.toml"))
    assert done.returncode == 0, done.stderr
    done = ipmodel("eval", tmp_path / "run")
    assert (
        done.returncode == 0
        and "phase p_stream cannot score 1 of 4 videos, because they have no P-frames, such as testsrc/a.avi"
        in done.stderr
    )
    assert [line.split()[6:] for line in done.stdout.splitlines()[1:4]] == [["4"], ["3", "of", "4"], ["3", "of", "4"]]
    found = json.loads((tmp_path / "run/eval.json").read_text())
    streams = found["splits"]["split-1"]
    assert {name: figures["excluded"] for name, figures in streams.items()} == {
        "i": [],
        "p": ["testsrc/a.avi"],
        "i+p": ["testsrc/a.avi"],
    }
    assert found["mean"] == {name: {key: figures[key] for key in ("top1", "top5")} for name, figures in streams.items()}
    assert found["coverage"] == {"listed": 8, "in_set": 8, "failed": 0, "missing": 0}
    done = ipmodel("eval", tmp_path / "run", "--set=fusions.less={i=2, p=-1}")
    assert done.returncode == 1 and "error: fusions.less: weights must be 0 to" in done.stderr


def test_a_broken_network_is_named(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
    path = run / "split-1/of_2d" / FINAL
    save_network(
        path,
        {
            name: torch.full_like(weight, torch.nan) if name == "fc.bias" else weight
            for name, weight in load_network(path).items()
        },
    )
    done = ipmodel("eval", run)
    assert done.returncode == 1 and f"error: {path} gives scores that are not finite" in done.stderr, done.stderr


def test_seeds_decide(trained: Path, tmp_path: Path) -> None:
    options = train_options(trained / "set", tmp_path / "run", trained / "quick.toml", "--phase=of_2d", "--set=seed=1")
    assert ipmodel(*options).returncode == 0
    assert (tmp_path / "run/split-1/of_2d" / FINAL).read_bytes() != networks(trained / "run")["of_2d"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_the_weights_are_those_of_an_uninterrupted_run(
    trained: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    """SIGTERM, to all processes as schedulers send it, saves; SIGKILL, which loader processes outlive for some seconds,
    loses what came after the last checkpoint.

    In the middle of an epoch, and resumed with another number of loader processes.
    """
    run = tmp_path / "run"
    more = [] if sent == signal.SIGTERM else ["--set=checkpoint_minutes=0.0"]
    options = train_options(trained / "set", run, trained / "quick.toml", "--set=workers=2", *more)
    process: subprocess.Popen[bytes] | Forked
    if sent == signal.SIGTERM:
        process = subprocess.Popen(command(*options), stderr=subprocess.DEVNULL, start_new_session=True)
    else:
        process = started(*options, errors=tmp_path / "errors", new_session=True)
    wait_for_a_step(process, run / "split-1" / "p_stream")
    while sent == signal.SIGKILL and not list((run / "split-1" / "p_stream").glob("step-*")):
        assert process.poll() is None
        time.sleep(0.005)
    (os.killpg if sent == signal.SIGTERM else os.kill)(process.pid, sent)
    status = process.wait(timeout=60)
    assert status == (75 if sent == signal.SIGTERM else -signal.SIGKILL)
    assert not (run / "split-1" / "p_stream" / FINAL).exists()
    assert list((run / "split-1" / "p_stream").glob("step-*"))  # what it goes on from
    before = log_of(run, "p_stream")[0]
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", *more))
    assert done.returncode == 0, done.stderr
    assert log_of(run, "p_stream")[0] == before  # not made again
    assert networks(run) == networks(trained / "run")
    if sent == signal.SIGTERM:
        assert [line["step"] for line in log_of(run, "p_stream")] == [1, 2, 3, 4]  # none twice


def test_more_loader_processes_than_shards_change_no_batch(trained: Path, tmp_path: Path) -> None:
    assert len(ShardSet(trained / "set").shards(split="1", subset="train")) < 6
    options = train_options(
        trained / "set", tmp_path / "run", trained / "quick.toml", "--set=workers=6", "--phase=of_2d"
    )
    assert ipmodel(*options).returncode == 0
    assert (tmp_path / "run/split-1/of_2d" / FINAL).read_bytes() == networks(trained / "run")["of_2d"]


@pytest.mark.parametrize("workers", [0, 2])
def test_from_a_url_the_weights_are_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """With an empty cache, a slow server, and loader processes that are forked after the first connection."""
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    run = shutil.copytree(trained / "run", tmp_path / "run")
    (run / "split-1/of_2d" / FINAL).unlink()
    with serving(trained, latency_s=0.05) as served:
        url = f"{served.url}/set"
        done = ipmodel(*train_options(url, run, trained / "quick.toml", "--phase=of_2d", f"--set=workers={workers}"))
        assert done.returncode == 0, done.stderr
        assert networks(run) == networks(trained / "run")
        files = [path for path in served.asked if not path.endswith("manifest.json")]
        assert len(set(files)) == len(files)
        tars = [path for path in files if path.endswith(".tar")]
        assert tars and {path.split("/")[1] for path in tars} == {"flow"}
        waited_s = sum(line["fetch_wait_s"] for line in log_of(run, "of_2d"))
        assert waited_s > 0.05
        assert f"phase of_2d, epoch 1 of 1: reading waited {waited_s:.1f} s for files from {url}" in done.stderr
        served.latency_s = 0.0
        done = ipmodel("eval", run, f"--shards={url}")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"phase i_stream, split 1: reading waited \d+\.\d s for files from {url}", done.stderr)
    assert json.loads((run / "eval.json").read_text())["splits"]["split-1"]["i+p"]["videos"] == 8
    assert "reading waited" not in ipmodel(*train_options(trained / "set", run, trained / "quick.toml")).stderr


def test_stopped_while_files_come_it_leaves_nothing_and_goes_on(trained: Path, tmp_path: Path) -> None:
    """SIGTERM while files are fetched ahead from a server that stalls; with a cache that can hold a part of the set."""
    environment = {"IPTSN_CACHE": str(tmp_path / "cache"), "IPTSN_CACHE_MAX": "100kB"}
    run, errors = tmp_path / "run", tmp_path / "errors"
    with serving(trained) as served:
        more = ["--phase=of_2d", "--set=workers=2", "--set=phases.of_2d.epochs=30"]
        options = train_options(f"{served.url}/set", run, trained / "quick.toml", *more)
        process = started(*options, errors=errors, new_session=True, **environment)
        wait_for_a_step(process, run / "split-1" / "of_2d")
        served.latency_s = 0.2
        os.killpg(process.pid, signal.SIGTERM)
        status, said = process.wait(timeout=60), errors.read_text()
    assert status == 75, said
    assert "Traceback" not in said and not list((tmp_path / "cache").rglob("*.part"))


def test_how_it_is_tested_can_be_changed_and_nothing_else(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
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
    assert not (run / "eval.json").exists() and not list(tmp_path.rglob(".unfinished*"))
    refused = ipmodel("eval", run, f"--out={trained / 'set'}")
    assert refused.returncode == 1 and "is a shard set; name another directory with --out" in refused.stderr
    refused = ipmodel("eval", run, "--set=phases.i_stream.segments=2")
    assert (
        refused.returncode == 1
        and "phases.i_stream.segments" in refused.stderr
        and "--set can change test_segments" in refused.stderr
    )


def test_sigterm_between_phases_stops_too(trained: Path, tmp_path: Path) -> None:
    """In a phase's last step, and while the next one begins: what is complete stays, the rest is not begun."""
    run, errors = tmp_path / "run", tmp_path / "errors"
    options = train_options(trained / "set", run, trained / "quick.toml")
    process = started(*options, errors=errors)
    deadline = time.monotonic() + 120
    while not (run / "split-1/of_2d" / FINAL).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    process.terminate()
    assert process.wait(timeout=60) == 75 and "stopped; the same" in errors.read_text()
    assert not (run / "split-1/i_stream").exists()
    assert ipmodel(*options).returncode == 0 and networks(run) == networks(trained / "run")


@contextmanager
def halted(process: Forked) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_two_processes_do_not_train_one_phase(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "LOCK_WAIT_S", 1.0)  # the first keeps the lock as long as the second waits
    run = tmp_path / "run"
    longer = "--set=phases.of_2d.epochs=20"
    options = train_options(trained / "set", run, trained / "quick.toml", longer, "--phase=of_2d")
    first = started(*options, errors=tmp_path / "errors")
    wait_for_a_step(first, run / "split-1/of_2d")
    with halted(first):
        second = ipmodel(*options)
        first.terminate()
    assert second.returncode == 1 and "another process trains this phase" in second.stderr
    assert first.wait(timeout=60) == 75


def test_a_phase_that_another_process_has_trained_meanwhile_is_left_as_it_is(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = train_options(trained / "set", run, trained / "quick.toml", "--set=phases.of_2d.epochs=20")
    first = started(*options, errors=tmp_path / "errors")
    wait_for_a_step(first, run / "split-1/of_2d")
    with halted(first):
        assert ipmodel(*options, "--phase=i_stream").returncode == 0
        assert not (run / "split-1/of_2d" / FINAL).exists()
        made = (run / "split-1/i_stream" / FINAL).stat()
    assert first.wait(timeout=120) == 0
    assert (run / "split-1/i_stream" / FINAL).stat() == made and len(log_of(run, "i_stream")) == 2


def test_a_run_that_lacks_a_network_is_tested_with_the_streams_that_it_has(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "p-only")
    streams = json.loads((run / "run.json").read_text())["recipe"]["streams"]
    shutil.rmtree(run / "split-1" / streams["i"])
    there = ",".join(name for name in streams if name != "i")
    refused = ipmodel("eval", run)
    assert refused.returncode == 1 and f"or test only streams that have one: --streams {there}\n" in refused.stderr
    unknown = ipmodel("eval", run, "--streams", "p,q")
    assert unknown.returncode == 1 and "--streams must name streams of the recipe, got 'q'; known: " in unknown.stderr
    done = ipmodel("eval", run, "--streams", "p")
    assert done.returncode == 0, done.stderr
    assert "fusion i+p is left out, because it needs the streams that are not tested: i" in done.stderr
    assert list(json.loads((run / "eval.json").read_text())["mean"]) == ["p"]
    compared = ipmodel("compare", run)
    assert compared.returncode == 0 and compared.stdout.splitlines()[1].split()[:3] == ["p", "p-only", "1"]
    reported = ipmodel("report", run, "--out", tmp_path / "report.html")
    assert reported.returncode == 0, reported.stderr
