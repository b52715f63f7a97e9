"""README.md of a set is the same wherever it is made, and no name from outside breaks it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from shards import Manifest, ShardSet
from shards.columns import COLUMNS
from shards.failures import Failure
from shards.sharing import card

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
