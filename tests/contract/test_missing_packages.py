"""What works where packages, or parts of Python, are missing, and what is said about the rest."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest
import serving
from commands import Done
from sources import REPOSITORY, files_of

from shards import __version__

REMOTE = ["fsspec", "aiohttp", "requests", "s3fs", "huggingface_hub"]
HEAVY = "torch dask distributed av ffmpeg imageio_ffmpeg numba webdataset".split()


def modules_of(package: str) -> str:
    """Code that imports every module of a package."""
    paths = [path.relative_to(REPOSITORY).with_suffix("") for path in files_of(package)]
    names = [".".join(path.parts) for path in paths if not path.stem.startswith("__")]
    assert names
    return "\n".join(f"import {name}" for name in names)


def run_without(
    blocked: list[str], code: str, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some modules are not installed."""
    block = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""
    command = [sys.executable, "-c", block + code, *arguments]
    python_path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    variables = {**os.environ, "PYTHONPATH": python_path, **environment}
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True)


def test_the_block_blocks() -> None:
    done = run_without(["cv2"], "import cv2")
    assert done.returncode != 0
    assert "cv2 is blocked" in done.stderr


def test_shards_needs_no_heavy_package() -> None:
    done = run_without([*HEAVY, *REMOTE], modules_of("shards"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("blocked", "url"), [(REMOTE, "https://host/set"), (["s3fs"], "s3://bucket/set")])
def test_a_set_at_a_url_names_the_extra_that_it_needs(blocked: list[str], url: str) -> None:
    done = run_without(blocked, f"import shards\nshards.ShardSet({url!r})")
    error = done.stderr.splitlines()[-1]
    assert f"ShardError: {url}: reading it needs packages that are missing" in error
    assert "`pip install '.[remote]'` in a checkout" in error


def test_a_local_set_is_read_where_files_cannot_be_locked() -> None:
    """As on Windows, whose Python has no module fcntl."""
    code = f"""
import shards
shard_set = shards.ShardSet({str(REPOSITORY / "tests/golden/format1")!r})
key = next(shard_set.samples()).key
print(key, shard_set.read(key, "mv").shape)
shard_set.check(shard_set.files(["mv"], split="1", subset="test"))
"""
    done = run_without(["fcntl"], code)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


READ_LIKE_WINDOWS = """
import os

for name in ("pread", "preadv", "pwrite", "O_DIRECTORY", "fork", "getuid", "sched_getaffinity"):
    delattr(os, name)
import shards

shard_set = shards.ShardSet("tests/golden/format1")
shard_set.check(shard_set.files(["mv"], split="1", subset="test"))
for sample in shard_set:
    arrays = [shard_set.read(sample.key, column) for column in ("iframe", "mv", "residual", "flow")]
    print(sample.key, [len(array) for array in arrays], len(shard_set.read_bytes(sample.key, "video")) > 0)
assert list(shards.verify("tests/golden/format1")) == []
print(shards.sheet_of(shard_set, "clip_0_1-4fa6fe21").shape[2])
from shards.cli import main

main(["verify", "tests/golden/format1"], standalone_mode=False)
"""


def test_a_set_is_read_verified_and_drawn_without_what_windows_lacks() -> None:
    done = run_without(["fcntl", "pwd", "resource"], READ_LIKE_WINDOWS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert "clip_0_1-4fa6fe21 [2, 13, 13, 13] True" in lines
    assert lines[-2] == "3"
    assert lines[-1].startswith("sound: 4 samples")


PULL_LIKE_WINDOWS = """
import os, sys

for name in ("pread", "preadv", "pwrite", "O_DIRECTORY", "fork", "getuid", "sched_getaffinity"):
    delattr(os, name)
import shards
from shards.cli import main

url, directory = sys.argv[1:]
far = shards.ShardSet(url)
key = next(far.samples()).key
main(["verify", url], standalone_mode=False)
main(["pull", url, directory, "--columns=mv,video"], standalone_mode=False)
main(["verify", directory], standalone_mode=False)
assert shards.ShardSet(directory).read_bytes(key, "video") == far.read_bytes(key, "video")
"""


def test_a_set_at_a_url_is_read_verified_and_pulled_without_what_windows_lacks(tmp_path: Path) -> None:
    environment = {"IPTSN_CACHE": str(tmp_path / "cache")}
    with serving.serving(REPOSITORY / "tests/golden", ranges=True) as server:
        arguments = [f"{server.url}/format2", str(tmp_path / "set")]
        done = run_without(["fcntl", "pwd", "resource"], PULL_LIKE_WINDOWS, *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:16] for line in (lines[0], lines[-1])] == ["sound: 4 samples"] * 2
    assert list((tmp_path / "cache").rglob("*.part")) == []


@pytest.mark.parametrize("blocked", [["huggingface_hub"], REMOTE])
def test_the_hub_needs_an_extra_of_its_own(blocked: list[str]) -> None:
    url = "hf://datasets/lab/set"
    reading, pushing = "import shards\nshards.ShardSet", "from shards.store import stores\nstores.store_of"
    for code in (reading, pushing):
        done = run_without(blocked, f"{code}({url!r})")
        error = done.stderr.splitlines()[-1]
        assert f"ShardError: {url}: this needs packages that are missing" in error
        assert "`pip install '.[hf]'` in a checkout" in error


def test_pipelines_needs_the_standard_library_alone() -> None:
    code = "import pipelines\nprint(pipelines.names('build'))"
    done = run_without([*HEAVY, "numpy", "cv2", "click"], code)
    assert done.returncode == 0, done.stderr
    assert "default" in done.stdout


def test_training_needs_nothing_of_the_build() -> None:
    done = run_without([name for name in HEAVY if name != "torch"], modules_of("ipmodel"))
    assert done.returncode == 0, done.stderr


BUILD = "av dask distributed ffmpeg imageio_ffmpeg numba llvmlite bokeh cryptography".split()
TRAIN = "torch safetensors tensorboard matplotlib".split()
EXTRA = {"ipdata": ("build", BUILD), "ipmodel": ("train", TRAIN)}
VERBS = {
    "ipdata": ["plan", "build --out=nowhere/set", "build --scheduler=none --out=nowhere/set"],
    "ipmodel": [
        "train --shards=nowhere/set --out=nowhere/run",
        "eval nowhere/run",
        "compare nowhere/run",
        "report nowhere/run --out=nowhere/report.html",
        "predict nowhere/run clip.avi",
        "package nowhere/run --out=nowhere/model",
        "info",
    ],
}


COMMANDS = """
import json
from commands import in_process

for line in {lines!r}:
    done = in_process("{package}.cli", line.split())
    print(json.dumps([done.returncode, done.stdout, done.stderr]))
"""


@cache
def without_its_extra(package: str) -> dict[str, Done]:
    """How each command line ends where the extra is not installed; one interpreter runs them all."""
    helps = {f"{line.split()[0]} --help": None for line in VERBS[package]}
    needing_none = ["datasets", f"unpack --dataset=ucf101 {__file__}"] if package == "ipdata" else []
    lines = ["--help", "--version", *helps, *VERBS[package], *needing_none]
    done = run_without(EXTRA[package][1], COMMANDS.format(lines=lines, package=package))
    assert done.returncode == 0, done.stderr
    ends = map(json.loads, done.stdout.splitlines())
    return {line: subprocess.CompletedProcess(line, *end) for line, end in zip(lines, ends, strict=True)}


@pytest.mark.parametrize(("package", "verb"), [(package, verb) for package in VERBS for verb in VERBS[package]])
def test_a_verb_whose_extra_is_missing_names_it(package: str, verb: str) -> None:
    done = without_its_extra(package)[verb]
    extra, modules = EXTRA[package]
    said = f'error: {package} {verb.split()[0]} needs the packages of the extra "{extra}" (no module named '
    assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.removeprefix(said).split("'")[1].split(".")[0] in modules
    assert f"`pip install '.[{extra}]'` in a checkout" in done.stderr


@pytest.mark.parametrize("package", VERBS)
def test_a_process_of_its_own_ends_the_same_way(package: str) -> None:
    verb = VERBS[package][0]
    alone = run_without(EXTRA[package][1], f"import {package}.cli\n{package}.cli.main({verb.split()!r})")
    assert (alone.returncode, alone.stderr) == (1, without_its_extra(package)[verb].stderr)


@pytest.mark.parametrize("package", EXTRA)
def test_help_and_version_need_no_extra(package: str) -> None:
    for verb in ("", *VERBS[package]):
        done = without_its_extra(package)[" ".join([*verb.split()[:1], "--help"])]
        assert done.returncode == 0 and done.stdout.startswith("Usage: "), done.stderr
    done = without_its_extra(package)["--version"]
    assert (done.returncode, done.stdout) == (0, f"{package} {__version__}\n"), done.stderr


PREDICT = """
import sys
from ipmodel.cli import main

main(["predict", *sys.argv[1:]])
"""


def test_predicting_videos_needs_the_extra_build_and_samples_of_a_set_do_not(trained: Path) -> None:
    done = run_without(BUILD, PREDICT, str(trained / "run"), "clip.avi")
    said = 'error: predicting videos needs the packages of the extra "build" (no module named '
    assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1, done.stderr
    assert "`pip install '.[build]'` in a checkout" in done.stderr
    chosen = [f"--shards={trained / 'set'}", "--split=1", "--subset=test", "--json"]
    done = run_without(BUILD, PREDICT, str(trained / "run"), *chosen)
    assert done.returncode == 0 and done.stdout.count("\n") == 8, done.stderr


def test_datasets_are_listed_without_the_extra() -> None:
    done = without_its_extra("ipdata")["datasets"]
    assert done.returncode == 0 and "classInd.txt" in done.stdout, done.stderr


def test_archives_are_unpacked_without_the_extra() -> None:
    done = without_its_extra("ipdata")[f"unpack --dataset=ucf101 {__file__}"]
    assert done.returncode == 1 and "is no RAR or ZIP archive" in done.stderr, done.stderr


def test_fusing_scores_needs_no_torch() -> None:
    done = run_without(HEAVY, "import ipmodel.cli, ipmodel.evaluation.fuse, ipmodel.evaluation.report")
    assert done.returncode == 0, done.stderr


def test_building_needs_no_torch() -> None:
    done = run_without(["torch", "webdataset"], modules_of("ipdata"))
    assert done.returncode == 0, done.stderr
