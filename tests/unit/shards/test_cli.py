"""`ipshards` as its users see it: answers on stdout, one line of error on stderr, and the documented exit statuses."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import cv2
import made_sets
import pytest
from click.testing import CliRunner, Result

from shards import ShardError, ShardSet
from shards.cli import full_key, main
from shards.facts import size_of

KEYS = [scene.key for scene in made_sets.scenes()]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_info_tells_what_the_set_is(made_dir: Path, made: ShardSet) -> None:
    result = run("info", made_dir)
    assert result.exit_code == 0
    for words in (
        "dataset   made",
        "9 samples, 120 frames, in 6 shards",
        "left out  0 failed, 0 listed but missing",
        made.manifest.sha256,
        "classes   3: class a, class b, class c",
        "split1    6 train, 3 test, 0 unused",
        "bound_px 20.0",
        "made_sets 1",
    ):
        assert words in result.output
    assert KEYS[0] not in result.output


def test_info_lists_keys(made_dir: Path) -> None:
    lines = run("info", made_dir, "--keys").output.splitlines()
    assert f"{KEYS[0]}  class a  14 frames" in lines
    assert len([line for line in lines if line.endswith(" frames")]) == len(KEYS)


def test_info_for_machines_is_json_with_sizes_that_add_up(made_dir: Path, made: ShardSet) -> None:
    facts = json.loads(run("info", made_dir, "--json", "--keys").output)
    assert facts["sha256"] == made.manifest.sha256
    assert {entry["key"] for entry in facts["keys"]} == set(KEYS)
    for name, column in facts["columns"].items():
        assert column["bytes"] == sum(path.stat().st_size for path in (made_dir / name).iterdir())
    outside = {made_dir / name for name in ("manifest.json", "README.md", "croissant.json")}
    files = [path for path in made_dir.rglob("*") if path.is_file() and path not in outside]
    assert facts["bytes"] == sum(path.stat().st_size for path in files)
    assert (facts["failed"], facts["missing"]) == (0, 0)
    assert facts["columns"]["flow"]["encoding"]["bound_px"] == 20


def test_names_from_outside_cannot_command_the_terminal(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path, columns=["mv"], dataset={"name": "evil\x1b[2J\nname", "draw": "\x07"})
    output = run("info", tmp_path).output
    assert "dataset   evil\\x1b[2J\\nname (draw \\x07)" in output
    assert "\x1b" not in output


def test_verify_says_sound(made_dir: Path) -> None:
    result = run("verify", made_dir)
    assert result.stdout == "sound: 9 samples in 6 shards, every byte checked\n"
    assert result.stderr == f"done in 0 min 00 s; next: ipshards info {made_dir}\n"
    quick = run("verify", made_dir, "--quick")
    assert (quick.exit_code, quick.output[:32]) == (0, "sound: 9 samples in 6 shards, si")


def test_verify_prints_problems_and_exits_with_1(made_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made_dir, tmp_path / "copy"))
    (copy / "mv/00000.tar").unlink()
    os.truncate(copy / "flow/00001.tar", 512)
    result = run("verify", copy, "--quick")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert "mv/00000.tar: missing" in lines[0]
    assert "flow/00001.tar: 512 bytes" in lines[1]
    assert lines[2] == f"error: {copy}: 2 problems found"


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_show_draws_a_picture(made_dir: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"sheet.{suffix}"
    result = run("show", made_dir, KEYS[0][:9], "--out", out, "--frames", "3")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(out)).shape[0] > 4 * 168


def test_show_writes_to_the_key_by_default_and_colours_are_right(
    made_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("show", made_dir, KEYS[0]).exit_code == 0
    image = cv2.imread(str(tmp_path / f"{KEYS[0]}.png"))
    blue, green, red = (int((image[..., c] > 150).sum()) for c in range(3))
    assert red > 1.1 * max(blue, green)  # its content moves right, which is red


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("clip_0", "'clip_0' may be clip_0_"),
        ("nobody", "no key begins with 'nobody'; `ipshards info "),
    ],
)
def test_show_needs_one_key(made_dir: Path, key: str, message: str) -> None:
    result = run("show", made_dir, key)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_whole_key_is_never_ambiguous(tmp_path: Path) -> None:
    first = made_sets.scenes()[0]
    longer = dataclasses.replace(first, name=f"{first.key}.avi")  # its key begins with the other's
    assert longer.key.startswith(first.key)
    made_sets.make_set(tmp_path, [first, longer], columns=["mv"])
    assert full_key(ShardSet(tmp_path), first.key) == first.key
    with pytest.raises(ShardError, match="may be"):
        full_key(ShardSet(tmp_path), first.key[:-1])


@pytest.mark.parametrize("command", [["info"], ["verify"], ["show", "key"]])
def test_what_is_no_set_is_one_line_of_error(tmp_path: Path, command: list[str]) -> None:
    result = run(command[0], tmp_path / "nowhere", *command[1:])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no manifest.json, so no shard set" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_disk_that_refuses_is_one_line_of_error(made_dir: Path, tmp_path: Path) -> None:
    result = run("show", made_dir, KEYS[0], "--out", tmp_path / "nowhere" / "sheet.png")
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) == (1, 2)
    assert "OpenCV cannot decode its video here" in lines[0] and lines[1].startswith("error: [Errno 2]")


@pytest.mark.parametrize(
    "arguments", [["info"], ["show", "SET"], ["show", "SET", KEYS[0], "--frames", "0"], ["nothing"], ["info", "--what"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_pictures_of_an_unknown_kind_are_wrong_usage(made_dir: Path) -> None:
    result = run("show", made_dir, KEYS[0], "--out", "sheet.txt")
    assert result.exit_code == 2
    assert "--out must end in .png" in result.stderr


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (123_456, "123 kB"),
        (999_600, "1 MB"),
        (7 * 10**15, "7e+03 TB"),
    ],
)
def test_sizes_are_read_easily(count: int, text: str) -> None:
    assert size_of(count) == text
