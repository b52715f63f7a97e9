"""A column of another package takes one module and two entry points. No file of ours changes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import made_sets
import pytest

MODULE = Path(__file__).parents[1] / "own_column" / "luma_histogram.py"
OPTIONS = ["--dataset=synthetic", "--limit-videos=3", "--set=synthetic.frames=14", "--set=shards.videos_per_shard=2"]
COLUMNS = "--columns=iframe,mv,luma_histogram"
ENTRY_POINTS = "[shards.columns]\nluma_histogram = {0}:COLUMN\n\n[ipdata.columns]\nluma_histogram = {0}:BUILD\n"


def install(where: Path, *, module: str = "luma_histogram") -> Path:
    """Install a package as pip does: its module and its metadata."""
    metadata = where / "luma_histogram-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(MODULE, where)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: luma-histogram\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS.format(module))
    return where


def run(*command: str | Path, packages: Path | None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=environment)


def read(set_dir: Path, code: str, *, packages: Path | None) -> subprocess.CompletedProcess[str]:
    head = f"import json, shards\ns = shards.ShardSet({str(set_dir)!r})\nkey = next(s.samples()).key\n"
    return run("-c", head + code, packages=packages)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def set_dir(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that two workers of a cluster and their children built; they must find the package too."""
    out = tmp_path_factory.mktemp("own") / "set"
    command = ("-m", "ipdata.cli", "build", f"--out={out}", *OPTIONS, COLUMNS, "--workers=2")
    done = run(*command, "--set=luma_histogram.bins=8", packages=packages)
    assert done.returncode == 0, done.stderr
    return out


def test_it_is_built_verified_read_and_shown(set_dir: Path, packages: Path) -> None:
    verified = run("-m", "shards.cli", "verify", set_dir, packages=packages)
    assert verified.returncode == 0 and "sound: 3 samples" in verified.stdout, verified.stderr
    arrays = "s.read(key, 'luma_histogram').tolist(), s.read(key, 'luma_histogram', [3]).tolist()"
    done = read(set_dir, f"print(json.dumps([key, {arrays}]))", packages=packages)
    key, everything, one = json.loads(done.stdout)
    assert len(everything) == 14 and one == [everything[3]]
    assert {len(counts) for counts in everything} == {8} and {sum(counts) for counts in everything} == {112 * 84}
    sheets = {}
    for name, where in (("with", packages), ("without", None)):
        picture = set_dir.parent / f"{name}.png"
        shown = run("-m", "shards.cli", "show", set_dir, key, f"--out={picture}", packages=where)
        assert shown.returncode == 0, shown.stderr
        sheets[name] = cv2.imread(str(picture)).shape
    assert sheets["with"][0] == sheets["without"][0] + 168 + 6  # one row more, as tall as the others


def test_without_the_package_all_but_decoding_works(set_dir: Path) -> None:
    verified = run("-m", "shards.cli", "verify", set_dir, packages=None)
    assert verified.returncode == 0, verified.stderr
    listed = run("-m", "shards.cli", "info", set_dir, packages=None)
    assert "luma_histogram" in listed.stdout and "bins 8" in listed.stdout
    done = read(
        set_dir,
        "print(json.dumps([s.columns, len(s.read_bytes(key, 'luma_histogram')),"
        " [len(f) for f in s.read_frames(key, 'luma_histogram', [0, 13])], s.read(key, 'mv').shape[0],"
        " s.column('luma_histogram').frame_numbers('IPP')]))",
        packages=None,
    )
    assert json.loads(done.stdout) == [["iframe", "mv", "luma_histogram"], 14 * 32, [32, 32], 12, [0, 1, 2]]
    refused = read(set_dir, "s.read(key, 'luma_histogram')", packages=None)
    assert "column 'luma_histogram' is not known to this version and cannot be decoded" in refused.stderr


def test_damage_in_it_is_found_without_the_package(set_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(set_dir, tmp_path / "set")
    tar = copy / "luma_histogram" / "00000.tar"
    data = bytearray(tar.read_bytes())
    data[data.index(b"histogram.bin") + 512] ^= 1
    tar.write_bytes(data)
    done = run("-m", "shards.cli", "verify", copy, packages=None)
    assert done.returncode == 1 and "luma_histogram/00000.tar: its bytes do not have the sha256" in done.stderr


def test_it_is_added_to_a_set_and_other_columns_keep_their_bytes(set_dir: Path, packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    common = ("-m", "ipdata.cli", "build", f"--out={out}", *OPTIONS, "--scheduler=none")
    assert run(*common, "--columns=iframe,mv", packages=None).returncode == 0
    done = run(*common, "--columns=luma_histogram", "--set=luma_histogram.bins=8", packages=packages)
    assert done.returncode == 0, done.stderr
    for path in sorted(set_dir.rglob("*")):
        if path.is_file() and ".build" not in path.parts:
            assert (out / path.relative_to(set_dir)).read_bytes() == path.read_bytes(), path


def test_a_build_without_the_package_leaves_its_column_alone(set_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(set_dir, tmp_path / "set")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != "lock"}
    done = run(
        "-m", "ipdata.cli", "build", f"--out={copy}", *OPTIONS, "--columns=mv", "--scheduler=none", packages=None
    )
    assert done.returncode == 1
    assert f"{copy}: has the column luma_histogram, which cannot be built here; install the package" in done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_recipe_is_as_strict_with_it_as_with_others(packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    command = ("-m", "ipdata.cli", "build", f"--out={out}", *OPTIONS, COLUMNS)
    for wrong, message in (("bins=1", "bins must be 2 to 256"), ("bans=8", "unknown key luma_histogram.bans")):
        done = run(*command, f"--set=luma_histogram.{wrong}", packages=packages)
        assert done.returncode == 1 and message in done.stderr
    unknown = run(*command, packages=None)
    assert unknown.returncode == 1 and "unknown column 'luma_histogram'; known: iframe" in unknown.stderr


def test_a_broken_package_costs_only_its_column(set_dir: Path, tmp_path: Path) -> None:
    broken = install(tmp_path / "packages", module="module_that_is_not_there")
    done = read(set_dir, "print(s.read(key, 'mv').shape[0])", packages=broken)
    assert done.stdout.strip() == "12"
    assert "column 'luma_histogram' of module_that_is_not_there:COLUMN is left out" in done.stderr


def own_module(where: Path, change: tuple[str, str]) -> Path:
    """The package with one line of its module changed."""
    packages = install(where)
    module = packages / MODULE.name
    text = module.read_text()
    assert change[0] in text
    module.write_text(text.replace(*change))
    return packages


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('    contents = "counts', '    other = "counts'), "is left out: it does not define contents"),
        (("    def decode(", "    def undecode("), "is left out: it does not define decode"),
        (('    media = "uint32"', "    medium = 32"), "cannot be built: it must define media and maker"),
        (('    payload = "histogram.bin"', '    payload = "mv.npy"'), "must match"),
        (('    payload = "histogram.bin"', '    payload = "json"'), "must match"),
        (("        bins: int = 16", "        bins: int"), "every key of its recipe table must have a default"),
        (("COLUMN = LumaHistogram()", "raise SystemExit('bye')"), "SystemExit: bye"),
    ],
)
def test_an_incomplete_column_is_left_out_and_says_why(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    packages = own_module(tmp_path / "packages", change)
    done = run("-m", "ipdata.cli", "build", f"--out={tmp_path / 'set'}", *OPTIONS, COLUMNS, packages=packages)
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert "unknown column 'luma_histogram'" in done.stderr


def test_the_version_of_its_package_is_a_tool(set_dir: Path, packages: Path, tmp_path: Path) -> None:
    """Another version may make other bytes, so the two do not mix in the column. A whole column stays as it is."""
    tools = json.loads((set_dir / "manifest.json").read_bytes())["columns"]["luma_histogram"]["tools"]
    assert tools["luma-histogram"] == "1.0"
    copy, newer = shutil.copytree(set_dir, tmp_path / "set"), install(tmp_path / "packages")
    metadata = newer / "luma_histogram-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 2.0"))
    command = ("-m", "ipdata.cli", "build", f"--out={copy}", *OPTIONS, COLUMNS, "--scheduler=none")
    done = run(*command, "--set=luma_histogram.bins=8", packages=newer)
    assert done.returncode == 0 and "0 to extract" in done.stderr, done.stderr
    assert (copy / "manifest.json").read_bytes() == (set_dir / "manifest.json").read_bytes()
    (copy / "luma_histogram" / "00000.tar").unlink()
    done = run(*command, "--set=luma_histogram.bins=8", packages=newer)
    assert done.returncode == 1
    assert "tools.luma_histogram.luma-histogram: the output has '1.0', this build '2.0'" in done.stderr


@pytest.mark.parametrize("name", ["limits", "synthetic"])
def test_a_column_cannot_take_the_name_of_a_recipe_s_table(tmp_path: Path, name: str) -> None:
    packages = own_module(tmp_path / "packages", ('    name = "luma_histogram"', f'    name = "{name}"'))
    points = packages / "luma_histogram-1.0.dist-info" / "entry_points.txt"
    points.write_text(ENTRY_POINTS.format("luma_histogram").replace("luma_histogram =", f"{name} ="))
    command = ("-m", "ipdata.cli", "build", f"--out={tmp_path / 'set'}", *OPTIONS, "--columns=mv", "--scheduler=none")
    done = run(*command, packages=packages)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr  # other columns are built all the same
    if name == "limits":
        assert "a table of recipes has this name already" in done.stderr
    else:
        asked = [word.replace("=mv", f"=mv,{name}") for word in command]
        assert f"--columns: {name} is also a dataset" in run(*asked, packages=packages).stderr


def test_a_column_that_fails_is_named(set_dir: Path, tmp_path: Path) -> None:
    packages = own_module(tmp_path / "packages", ("        if counts.nbytes != len(data)", "        if counts.oops"))
    done = read(set_dir, "s.read(key, 'luma_histogram')", packages=packages)
    assert (
        "ShardError" in done.stderr and "column luma_histogram of an installed package failed (Attribute" in done.stderr
    )


def test_a_set_that_does_not_describe_its_column_is_not_sound(set_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(set_dir, tmp_path / "set")
    made_sets.edit_manifest(copy, lambda value: value["columns"]["luma_histogram"].pop("payload"))
    done = run("-m", "shards.cli", "verify", copy, packages=None)
    assert done.returncode == 1
    assert "column luma_histogram: needs a payload that matches" in done.stderr


def test_what_a_set_holds_never_causes_an_import(set_dir: Path, tmp_path: Path) -> None:
    """A module with the column's name could be imported, but only an entry point may load it."""
    (tmp_path / "luma_histogram.py").write_text("raise SystemExit('imported')")
    done = read(set_dir, "print(s.columns)", packages=tmp_path)
    assert done.returncode == 0 and "luma_histogram" in done.stdout, done.stderr
