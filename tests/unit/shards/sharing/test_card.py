"""README.md of a set is the same wherever it is made, and no name from outside breaks it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, Run
from msgspec.structs import replace

from shards import Manifest, ShardSet
from shards.columns import COLUMNS
from shards.failures import Failure
from shards.sharing import card
from shards.sharing.choice import Choice
from shards.sharing.take import take

HOSTILE = ["---", "a: b", "| x |", "<script>", "*bold* `code`", "[l](http://x)", "new\nline", "# head", "\ud800", "é日"]


def front_matter(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_every_column_is_a_config_of_one_split(made: ShardSet) -> None:
    matter = front_matter(card.render(made.manifest))
    assert [config["config_name"] for config in matter["configs"]] == list(COLUMNS)
    for config in matter["configs"]:
        assert config["data_files"] == [{"split": "samples", "path": f"{config['config_name']}/*.tar"}]
    for info in matter["dataset_info"]:
        names = [feature["name"] for feature in info["features"]]
        assert names == ["json", "cls", COLUMNS[info["config_name"]].payload, "__key__", "__url__"]


def test_it_is_a_function_of_the_manifest_alone(made_dir: Path, made: ShardSet) -> None:
    again = Manifest.from_json(made.manifest.to_json())
    assert card.render(again) == card.render(made.manifest)
    assert (made_dir / "README.md").read_text("utf-8") == card.render(made.manifest)


def test_it_says_what_is_there_and_what_is_not(made: ShardSet) -> None:
    failed = [Failure(key="a-00000000", name="a", stage="decode", code="damaged")]
    text = card.render(replace(made.manifest, failed=failed, missing=["b", "c"]))
    assert "9 videos, 120 frames, 3 classes, in 6 shards" in text
    assert "Failed: 1 videos. Listed by the dataset but not found: 2 videos." in text
    assert "Failed: no videos. Listed by the dataset but not found: no videos." in card.render(made.manifest)
    assert "| split1 | 6 | 3 | 0 |" in text
    for column in COLUMNS.values():
        assert f"| {column.name} | `<key>.{column.payload}` |" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_break_neither_yaml_nor_markdown(made: ShardSet, name: str) -> None:
    plain = card.render(made.manifest)
    text = card.render(replace(made.manifest, dataset={"name": name}, classes=["class a", name, "class c"]))
    assert front_matter(text) == front_matter(plain)
    assert len(text.splitlines()) == len(plain.splitlines())
    text.encode("utf-8")
    for line in text.splitlines():
        if "class a" in line or line.startswith("# Shard set of"):
            inside = line.removeprefix("# Shard set of")
            for mark in "<>|*`[]#":
                assert inside.count(mark) == inside.count("\\" + mark)


def test_a_set_of_one_column_gets_examples_that_name_it(made: ShardSet) -> None:
    shards = [
        replace(shard, files={path: info for path, info in shard.files.items() if path[:5] in ("sampl", "video")})
        for shard in made.manifest.shards
    ]
    text = card.render(replace(made.manifest, columns={"video": made.manifest.columns["video"]}, shards=shards))
    assert 'name="video"' in text
    assert 'sample["m4v"]' in text
    assert "iframe" not in text


@pytest.fixture
def copy(made_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_dir, tmp_path / "copy"))


def test_the_command_writes_both_files_and_keeps_what_people_wrote(copy: Path, ipshards: Run) -> None:
    readme, croissant = copy / "README.md", copy / "croissant.json"
    readme.write_bytes(readme.read_bytes() + b"Written by hand: \xff.\n")
    done = ipshards("card", copy, license="cc-by-4.0")
    assert done.returncode == 0, done.stderr
    assert readme.read_bytes().endswith(b"Written by hand: \xff.\n")
    assert b"\nlicense: cc-by-4.0\n" in readme.read_bytes()
    assert json.loads(croissant.read_bytes())["license"] == "cc-by-4.0"
    before = readme.read_bytes(), croissant.read_bytes()
    assert ipshards("card", copy).returncode == 0
    assert (readme.read_bytes(), croissant.read_bytes()) == before
    assert ipshards("verify", copy).returncode == 0
    assert not list(copy.glob(".*"))


def test_wrong_licences_and_other_files_are_refused(copy: Path, ipshards: Run) -> None:
    assert ipshards("card", copy, license="mit\nconfigs: x").returncode == 2
    (copy / "croissant.json").write_text("mine")
    done = ipshards("card", copy)
    assert done.returncode == 1
    assert "croissant.json: not JSON" in done.stderr
    assert (copy / "croissant.json").read_text() == "mine"


def test_a_card_of_package_0_1_0_that_nobody_edited_is_replaced(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(REPOSITORY / "tests/golden/format1", tmp_path / "copy"))
    manifest, old = Manifest.read(copy), (copy / "README.md").read_text("utf-8")
    card.write_card(copy, manifest, temporary_dir=tmp_path, before=manifest)
    assert (copy / "README.md").read_text("utf-8") == card.render(manifest)
    (copy / "README.md").write_text(f"{old}More.\n", "utf-8")
    card.write_card(copy, manifest, temporary_dir=tmp_path, before=manifest)
    assert old.partition("\n# Shard set")[2] + "More.\n" in (copy / "README.md").read_text("utf-8")


def test_taking_more_of_a_set_keeps_what_people_wrote(made_dir: Path, tmp_path: Path) -> None:
    take(made_dir, tmp_path / "out", Choice(columns=["mv"]))
    readme = tmp_path / "out/README.md"
    readme.write_text(readme.read_text("utf-8") + "By hand.\n", "utf-8")
    take(made_dir, tmp_path / "out", Choice())
    assert readme.read_text("utf-8").endswith("By hand.\n")
    assert "config_name: flow" in readme.read_text("utf-8")
