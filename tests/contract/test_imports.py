"""Which package may import which, and which file alone may import a foreign tool."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from shards import __version__

REPOSITORY = Path(__file__).parents[2]
OURS = ("shards", "pipelines", "ipdata", "ipmodel")
MAY_IMPORT = {
    "shards": set(),
    "pipelines": set(),
    "ipdata": {"shards", "pipelines"},
    "ipmodel": {"shards", "pipelines"},
}
EXCEPTION = ("ipmodel/predict.py", "ipdata.steps.extract")  # only inside a function, and needs the extra build
ONE_FILE_EACH = {
    "av": ("ipdata/", {"av"}),
    "dask": ("ipdata/", {"dask", "distributed"}),
    "ffmpeg": ("ipdata/", {"ffmpeg"}),
    "imageio": ("ipdata/", {"imageio_ffmpeg"}),
    "fsspec": ("shards/store/remote.py", {"fsspec", "aiohttp", "s3fs"}),
}
# Inside a package: which of its folders may import which. A file beside the folders counts as one, without its ".py".
# Every folder and file must stand here. test_the_order_has_no_circles proves that nothing runs back.
# What each folder or file at the top of a package may import of its own package. Arrows run one way.
FOLDERS = {
    "shards": {
        "errors": set(),
        "version": set(),
        "arrays": set(),
        "layout": set(),
        "text": set(),
        "atomic": {"errors"},
        "canonical": {"errors"},
        "failures": {"errors"},
        "keys": {"errors"},
        "tar": {"errors"},
        "motion": {"arrays"},
        "terminal": {"errors", "text", "version"},
        "schema": {"canonical", "errors", "keys"},
        "index": {"canonical", "errors", "schema"},
        "columns": {"arrays", "errors", "index", "motion"},
        "manifest": {"canonical", "columns", "errors", "failures", "layout", "schema"},
        "store": {"atomic", "canonical", "errors", "layout", "manifest"},
        "facts": {"layout", "manifest", "schema", "text"},
        "sharing": {"columns", "manifest", "schema", "text"},
        "writer": {"atomic", "columns", "errors", "index", "layout", "manifest", "schema", "tar"},
        "reader": {"columns", "errors", "facts", "index", "layout", "manifest", "schema", "store"},
        "verify": {"columns", "errors", "index", "keys", "layout", "manifest", "schema", "store", "tar", "writer"},
        "sheet": {"arrays", "columns", "errors", "motion", "reader", "schema"},
        "cli": {"errors", "facts", "manifest", "reader", "sheet", "terminal", "text", "verify"},
        "__init__": {"columns", "errors", "manifest", "reader", "schema", "sheet", "verify", "version"},
    },
    "ipdata": {
        "errors": set(),
        "kernels": {"errors"},
        "video": {"errors"},
        "columns": {"errors", "kernels", "video"},
        "datasets": {"errors", "video"},
        "recipe": {"columns", "datasets", "video"},
        "steps": {"columns", "datasets", "errors", "recipe", "video"},
        "executors": {"errors", "steps"},
        "progress": {"executors"},
        "report": {"executors", "steps"},
        "publish": {"errors", "report", "steps"},
        "estimate": {"errors", "steps", "video"},
        "build": {
            *("columns", "datasets", "errors", "executors", "progress"),
            *("publish", "recipe", "report", "steps", "video"),
        },
        "cli": {
            *("build", "columns", "datasets", "errors", "estimate", "executors"),
            *("kernels", "progress", "recipe", "report", "steps", "video"),
        },
        "__init__": set(),
    },
    "ipmodel": {
        "errors": set(),
        "process": {"errors"},
        "networks": {"errors"},
        "recipe": {"errors", "networks"},
        "data": {"errors", "networks", "process", "recipe"},
        "runs": {"data", "errors", "networks", "process", "recipe"},
        "training": {"data", "errors", "networks", "process", "recipe", "runs"},
        "evaluation": {"data", "errors", "networks", "process", "recipe", "runs"},
        "cli": {"errors", "evaluation", "networks", "process", "recipe", "runs", "training"},
        "__main__": {"cli"},
        "__init__": set(),
    },
}
REMOTE = ["fsspec", "aiohttp", "s3fs"]
HEAVY = "torch dask distributed av ffmpeg imageio_ffmpeg numba webdataset".split()


def imports_of(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """For every import statement: (module, whether it is imported inside a function)."""
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full here"
            yield from ((f"{node.module}.{alias.name}", node in inside) for alias in node.names)


def files_of(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def modules_of(package: str) -> str:
    """Code that imports every module of a package."""
    paths = [path.relative_to(REPOSITORY).with_suffix("") for path in files_of(package)]
    names = [".".join(path.parts) for path in paths if not path.stem.startswith("__")]
    assert names
    return "\n".join(f"import {name}" for name in names)


@pytest.mark.parametrize("package", [name for name in OURS if (REPOSITORY / name).is_dir()])
def test_packages_import_only_what_they_may(package: str) -> None:
    assert files_of(package)
    for path in files_of(package):
        name = path.relative_to(REPOSITORY).as_posix()
        for module, in_function in imports_of(ast.parse(path.read_text("utf-8"))):
            top = module.split(".")[0]
            if top not in OURS or top == package or top in MAY_IMPORT[package]:
                continue
            allowed = name == EXCEPTION[0] and module.startswith(EXCEPTION[1]) and in_function
            assert allowed, f"{name} imports {module}; {package} may import {sorted(MAY_IMPORT[package]) or 'none'}"


def folder_of(path: Path, package: str) -> str:
    return path.relative_to(REPOSITORY / package).with_suffix("").parts[0]


@pytest.mark.parametrize("package", FOLDERS)
def test_folders_import_only_what_they_may(package: str) -> None:
    allowed, seen = FOLDERS[package], set()
    for path in files_of(package):
        own = folder_of(path, package)
        seen.add(own)
        for module, _ in imports_of(ast.parse(path.read_text("utf-8"))):
            top, *below = module.split(".")
            imported = below[0] if below and below[0] in allowed else "__init__"
            if top == package and imported != own:
                name = path.relative_to(REPOSITORY).as_posix()
                assert imported in allowed[own], f"{name} imports {module}; {own} may import {sorted(allowed[own])}"
    assert seen == allowed.keys()


@pytest.mark.parametrize("package", FOLDERS)
def test_the_order_has_no_circles(package: str) -> None:
    assert set(TopologicalSorter(FOLDERS[package]).static_order()) == FOLDERS[package].keys()


@pytest.mark.parametrize("tool", ONE_FILE_EACH)
def test_a_foreign_tool_is_imported_in_one_file(tool: str) -> None:
    place, modules = ONE_FILE_EACH[tool]
    users = {
        path.relative_to(REPOSITORY).as_posix()
        for package in OURS
        for path in files_of(package)
        for module, _ in imports_of(ast.parse(path.read_text("utf-8")))
        if module.split(".")[0] in modules
    }
    assert len(users) == 1, users
    assert next(iter(users)).startswith(place)


def test_only_command_lines_print() -> None:
    """All other code logs and raises, so that programs that use it decide what is shown."""
    allowed = {"shards/terminal.py", *(f"{package}/cli.py" for package in OURS)}
    for path in (path for package in OURS for path in files_of(package)):
        if path.relative_to(REPOSITORY).as_posix() in allowed:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "print" not in names, f"{path} prints; log instead"
        assert not any(module.startswith("click") for module, _ in imports_of(tree)), f"{path} imports click"


def run_without(blocked: list[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some modules are not installed."""
    block = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""
    command = [sys.executable, "-c", block + code]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


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
    assert f"ShardError: {url}/manifest.json: reading it needs packages that are missing" in error
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


def test_a_set_at_a_url_says_that_it_needs_file_locks() -> None:
    done = run_without(["fcntl"], "import shards\nshards.ShardSet('https://host/set')")
    error = done.stderr.splitlines()[-1]
    assert "ShardError: https://host/set: sets at a URL need a cache with file locks" in error
    assert "copy the set to a local disk" in error


def test_pipelines_needs_the_standard_library_alone() -> None:
    code = "import pipelines\nprint(pipelines.names('build'))"
    done = run_without([*HEAVY, "numpy", "cv2", "click"], code)
    assert done.returncode == 0, done.stderr
    assert "default" in done.stdout


def test_training_needs_nothing_of_the_build() -> None:
    done = run_without([name for name in HEAVY if name != "torch"], modules_of("ipmodel"))
    assert done.returncode == 0, done.stderr


BUILD = "av dask distributed ffmpeg imageio_ffmpeg numba llvmlite bokeh".split()
TRAIN = "torch safetensors tensorboard matplotlib".split()
EXTRA = {"ipdata": ("build", BUILD), "ipmodel": ("train", TRAIN)}
VERBS = {
    "ipdata": ["plan", "build --out=nowhere/set", "build --scheduler=none --out=nowhere/set"],
    "ipmodel": ["train --shards=nowhere/set --out=nowhere/run", "eval nowhere/run", "info"],
}


def command_without_its_extra(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_without(EXTRA[package][1], f"import {package}.cli\n{package}.cli.main({list(arguments)!r})")


@pytest.mark.parametrize(("package", "verb"), [(package, verb) for package in VERBS for verb in VERBS[package]])
def test_a_verb_whose_extra_is_missing_names_it(package: str, verb: str) -> None:
    done = command_without_its_extra(package, *verb.split())
    extra, modules = EXTRA[package]
    said = f'error: {package} {verb.split()[0]} needs the packages of the extra "{extra}" (no module named '
    assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.removeprefix(said).split("'")[1].split(".")[0] in modules
    assert f"`pip install '.[{extra}]'` in a checkout" in done.stderr


@pytest.mark.parametrize("package", EXTRA)
def test_help_and_version_need_no_extra(package: str) -> None:
    for verb in ("", *VERBS[package]):
        done = command_without_its_extra(package, *verb.split()[:1], "--help")
        assert done.returncode == 0 and done.stdout.startswith("Usage: "), done.stderr
    done = command_without_its_extra(package, "--version")
    assert (done.returncode, done.stdout) == (0, f"{package} {__version__}\n"), done.stderr


def test_datasets_are_listed_without_the_extra() -> None:
    done = command_without_its_extra("ipdata", "datasets")
    assert done.returncode == 0 and "classInd.txt" in done.stdout, done.stderr


def test_fusing_scores_needs_no_torch() -> None:
    done = run_without(HEAVY, "import ipmodel.cli, ipmodel.evaluation.fuse, ipmodel.evaluation.report")
    assert done.returncode == 0, done.stderr


def test_building_needs_no_torch() -> None:
    done = run_without(["torch", "webdataset"], modules_of("ipdata"))
    assert done.returncode == 0, done.stderr
