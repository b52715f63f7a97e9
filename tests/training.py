"""Sets and runs that the training tests share."""

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from commands import in_process
from forked_programs import Forked

from ipmodel.runs.checkpoint import FINAL
from shards import ShardSet

PHASES = ("of_2d", "p_stream", "i_stream")  # of QUICK

# One 2D phase, then one with a 3D network and a teacher: each a few steps of a second.
QUICK = """
deterministic = true
workers = 0

[input]
resize_px = 32
crop_px = 32
flip = false

[phases.of_2d]
modality = "flow"
segments = 2
epochs = 1
batch = 6

[phases.p_stream]
modality = "mr"
last_2d_stage = "conv4"
teacher = "of_2d"
segments = 3
epochs = 2
batch = 6
accumulate = 2

[phases.i_stream]
modality = "i"
segments = 1
epochs = 1
batch = 6

[streams]
i = "i_stream"
p = "p_stream"
of = "of_2d"

[fusions]
"i+p" = { i = 1, p = 1 }
"i+of" = { i = 1, of = 1 }
"""


def build_set(out: Path, *options: str) -> None:
    """24 synthetic videos of four classes in shards of 5: 16 to train on, 8 to test."""
    arguments = ["build", "--dataset=synthetic", f"--out={out}", "--classes=move_left,move_right,warm,cool"]
    arguments += ["--set=synthetic.frames=14", "--set=shards.videos_per_shard=5", "--scheduler=none"]
    arguments += ["--set=transcode.width=48", "--set=transcode.height=48", "--set=flow.warps=1", *options]
    done = in_process("ipdata.cli", arguments)
    assert done.returncode == 0, done.stderr


def train_small(folder: Path) -> Path:
    """Build the set, and train QUICK on it without interruption. Returns the folder, with quick.toml, set, run."""
    (folder / "quick.toml").write_text(QUICK)
    build_set(folder / "set")
    done = ipmodel(*train_options(folder / "set", folder / "run", folder / "quick.toml"))
    assert done.returncode == 0, done.stderr
    return folder


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ipmodel", *map(str, arguments)]


def torchrun(ranks: int, *program: str | Path) -> list[str]:
    """A command that runs a program as some ranks, as users do; forked_programs.ranks is quicker."""
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    return [*started, str(ranks), *map(str, program)]


def train_options(shards: Path | str, out: Path, recipe: Path, *more: str) -> list[str]:
    return ["train", f"--shards={shards}", f"--recipe={recipe}", f"--out={out}", *more]


def ipmodel(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `ipmodel` in this process, as one rank."""
    with torch_set_back():
        done = in_process("ipmodel.cli", [str(argument) for argument in arguments])
    if done.returncode:
        gc.collect()  # PyTorch forgets the loader processes of a failed command, or it reports their end in later tests
    return done


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True)


@contextmanager
def torch_set_back() -> Iterator[None]:
    """What a training sets for all of PyTorch is set back."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)


def networks(run: Path) -> dict[str, bytes]:
    return {phase: (run / "split-1" / phase / FINAL).read_bytes() for phase in PHASES}


def log_of(run: Path, phase: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "split-1" / phase / "log.jsonl").read_text().splitlines()]


def wait_for_a_step(process: subprocess.Popen[bytes] | Forked, phase_dir: Path) -> None:
    deadline = time.monotonic() + 120
    log = phase_dir / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 1):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def flip_a_bit(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def damaged_later(made: Path, copy: Path) -> str:
    """A set that was found sound, whose flow was then overwritten without a trace in sizes and times."""
    shard_set = ShardSet(shutil.copytree(made, copy))
    shard_set.check(shard_set.files(["flow", "mv", "residual"], split="1", subset="train"))
    for path in (copy / "flow").glob("*.tar"):
        times = path.stat()
        path.write_bytes(bytes(times.st_size))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return f"{copy}/flow/"
