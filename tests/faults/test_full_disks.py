"""Real disks that are full, out of inodes or read-only: a build stops in one line, and goes on when there is room."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from built_sets import tree
from commands import in_process

MOUNTS = ["unshare", "--map-root-user", "--mount"]  # a process with mounts of its own needs no root for that
TESTS = Path(__file__).parents[1]
OPTIONS = ["build", "--dataset=synthetic", "--set=synthetic.frames=2", "--limit-videos=2", "--scheduler=none"]

# Runs in a process of its own. Its first argument is a directory to mount over, the others are those of a build.
BUILDS = """
import json, subprocess, sys
from pathlib import Path
from built_sets import tree
from commands import in_process

place, *arguments = sys.argv[1:]
out, mounted, steps = Path(place, "set"), False, []
for options in ("size=24k", "size=1m,nr_inodes=12", "size=1m,nr_inodes=1000,ro", "rw"):
    how = f"remount,{options}" if mounted else options
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", place], check=True)
    mounted = True
    done = in_process("ipdata.cli", [*arguments, f"--out={out}"])
    steps.append([options, done.returncode, done.stderr, tree(out)])
print(json.dumps(steps))
"""


def test_a_disk_that_is_full_or_read_only_stops_the_build_and_loses_nothing(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*MOUNTS, "true"], capture_output=True).returncode:
        pytest.skip("no file system of one's own can be mounted here")
    arguments = [*OPTIONS, "--columns=mv,video"]
    assert in_process("ipdata.cli", [*arguments, f"--out={tmp_path / 'expected'}"]).returncode == 0
    expected, place = tree(tmp_path / "expected"), tmp_path / "place"
    place.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [*MOUNTS, sys.executable, "-c", BUILDS, str(place), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    *broken, (_, status, errors, files) = json.loads(done.stdout)
    for (options, broken_status, said, published), reason in zip(
        broken, ("No space left on device", "No space left on device", "Read-only file system"), strict=True
    ):
        last = said.splitlines()[-1]
        assert broken_status == 1 and reason in last and str(place) in last and "Traceback" not in said, (options, said)
        assert ("make it writable, or name another place with --out" in last) == (reason == "Read-only file system")
        assert published.items() <= expected.items() and "manifest.json" not in published, options
    assert status == 0, errors
    assert files == expected


@pytest.mark.parametrize("command", ["ipdata.cli --help", "shards.cli --version", "ipmodel.cli bench --help"])
def test_a_standard_output_that_is_full_is_named_in_one_line(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", *command.split()], stdout=full, stderr=subprocess.PIPE, text=True)
    cure = "make room there, or write it elsewhere"
    said = f"error: standard output cannot be written (No space left on device); {cure}\n"
    assert (done.returncode, done.stderr) == (1, said)
