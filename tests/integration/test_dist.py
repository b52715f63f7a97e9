"""The distributions are whole, and the wheel works by itself: in an empty environment, away from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import shards

REPOSITORY = Path(__file__).parents[2]
SOURCES = "shards pipelines ipdata ipmodel benchmarks docs tests .ci".split()
PACKAGES = ("shards", "pipelines", "ipdata", "ipmodel")
READ = """
import importlib.metadata, sys
import ipdata, ipmodel, pipelines, shards

shard_set = shards.ShardSet(sys.argv[1])
for sample in shard_set:
    print(sample.key, *(shard_set.read(sample.key, column).shape for column in ("iframe", "mv", "flow")))
for package in (ipdata, ipmodel, pipelines, shards):
    print(package.__file__)
print(shards.__version__)
"""


@pytest.fixture(scope="module")
def built_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes, from a copy, since building writes into the checkout, which other tests run from."""
    folder = tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, folder / "checkout" / name)
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copy(path, folder / "checkout")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "checkout", cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def environment_dir(built_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel alone, which finds all other packages where this one has them.

    A .pth file in a directory that is itself named by a .pth file is not read, so the editable checkout is not found.
    """
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False)
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (_site_packages(directory) / "dependencies.pth").write_text("\n".join(sorted(paths)))
    wheel = next(built_dir.glob("*.whl"))
    python = _script(directory, "python")
    _run(
        *(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps", "--no-index", wheel),
        cwd=directory,
    )
    return directory


def _site_packages(directory: Path) -> Path:
    return next((directory / "lib").glob("python*")) / "site-packages"


def _script(directory: Path, name: str) -> Path:
    return directory / "bin" / name


def _run(*command: str | Path, cwd: Path) -> str:
    """Run without the variables that could lead Python to the checkout; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_both_distributions_hold_recipes_and_types(built_dir: Path) -> None:
    recipes = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "pipelines").rglob("*.toml")}
    modules = {
        p.relative_to(REPOSITORY).as_posix() for package in PACKAGES for p in (REPOSITORY / package).rglob("*.py")
    }
    expected = recipes | modules | {f"{package}/py.typed" for package in PACKAGES}
    assert len(recipes) > 5
    wheel = set(zipfile.ZipFile(next(built_dir.glob("*.whl"))).namelist())
    assert expected <= wheel
    assert {name.split("/")[0] for name in wheel} == {*PACKAGES, f"ip_tsn-{shards.__version__}.dist-info"}
    assert expected <= _in_sdist(built_dir)


def test_the_source_distribution_holds_tests_and_docs(built_dir: Path) -> None:
    names = _in_sdist(built_dir)
    for folder in ("tests", "docs", "benchmarks"):
        files = {p for p in (REPOSITORY / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert {path.relative_to(REPOSITORY).as_posix() for path in files} <= names
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "Makefile", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith(".pyc") or name.startswith((".git/", ".venv", "build"))]


def _in_sdist(built_dir: Path) -> set[str]:
    with tarfile.open(next(built_dir.glob("*.tar.gz"))) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_the_wheel_builds_verifies_and_reads_a_set(environment_dir: Path, tmp_path: Path) -> None:
    _run(
        *(_script(environment_dir, "ipdata"), "build", "--dataset", "synthetic", "--out", tmp_path / "set"),
        *("--limit-videos", "3", "--limit-frames", "14", "--scheduler", "none"),
        cwd=tmp_path,
    )
    assert "sound: 3 samples" in _run(_script(environment_dir, "ipshards"), "verify", "set", cwd=tmp_path)
    assert "ip_tsn_small" in _run(_script(environment_dir, "ipmodel"), "train", "--help", cwd=tmp_path)
    lines = _run(_script(environment_dir, "python"), "-c", READ, tmp_path / "set", cwd=tmp_path).splitlines()
    arrays, files, version = lines[:3], lines[3:-1], lines[-1]
    assert all(line.endswith("(2, 84, 112, 3) (12, 6, 7, 2) (12, 84, 112, 2)") for line in arrays), arrays
    assert [Path(file).parent for file in files] == [
        _site_packages(environment_dir) / name for name in sorted(PACKAGES)
    ]
    assert version == shards.__version__


def test_the_citation_is_of_this_version_and_names_the_paper() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == shards.__version__
    [paper] = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Huang", "Lin", "Karaman", "Chang"]
