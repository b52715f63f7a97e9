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
from shards.sharing.hub_configs import configs_of, default_of, size_category
from shards.sharing.take import take

HOSTILE = [
    "---",
    "a: b",
    "| x |",
    "<script>",
    "*bold* `code`",
    "[l](http://x)",
    "new\nline",
    "# head",
    "\ud800",
    "é日",
    "😀\\ud83d",
]


def front_matter(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_every_column_is_a_config_and_so_is_each_of_its_splits(made: ShardSet) -> None:
    matter = front_matter(card.render(made.manifest))
    files = {config["config_name"]: config["data_files"] for config in matter["configs"]}
    expected = {}
    for column in COLUMNS:
        expected[column] = [{"split": "samples", "path": f"{column}/*.tar"}]
        for split in made.manifest.splits:
            expected[f"{column}-{split}"] = [
                {"split": subset, "path": [f"{column}/{shard.shard}.tar" for shard in shards]}
                for subset in ("train", "test")
                if (shards := made.shards(split=split, subset=subset))
            ]
    assert files == expected
    assert [config["config_name"] for config in matter["configs"] if config.get("default")] == ["mv-split1"]
    for info in matter["dataset_info"]:
        names = [feature["name"] for feature in info["features"]]
        assert names == ["json", "cls", COLUMNS[info["config_name"].partition("-")[0]].payload, "__key__", "__url__"]
        assert info["features"][1]["dtype"]["class_label"]["names"] == dict(
            zip("012", made.manifest.classes, strict=True)
        )


def test_it_says_which_columns_lose_something(made: ShardSet) -> None:
    assert "- `iframe`, `residual` and `flow` are stored as JPEG images, which lose a little.\n" in card.render(
        made.manifest
    )


def test_a_split_without_tests_has_a_config_of_train_alone(made: ShardSet) -> None:
    shards = [replace(shard, subsets={**shard.subsets, "split1": "train"}) for shard in made.manifest.shards]
    (split1,) = [c for c in configs_of(replace(made.manifest, shards=shards)) if c.name == "mv-split1"]
    assert split1.tars == {"train": [f"mv/{shard.shard}.tar" for shard in shards]}
    unused = [replace(shard, subsets={**shard.subsets, "split1": "unused"}) for shard in made.manifest.shards]
    configs = configs_of(replace(made.manifest, shards=unused))
    assert not [config for config in configs if config.name == "mv-split1"]
    assert default_of(configs, made.manifest).name == "iframe"


def test_a_set_whose_shards_mix_subsets_has_no_configs_of_splits_and_says_why(made: ShardSet) -> None:
    shards = [replace(shard, subsets=None) for shard in made.manifest.shards]
    order = {**made.manifest.order, "grouped": False}
    text = card.render(replace(made.manifest, shards=shards, order=order))
    configs = front_matter(text)["configs"]
    assert [config["config_name"] for config in configs] == list(COLUMNS)
    assert [config["config_name"] for config in configs if config.get("default")] == ["iframe"]
    assert "This set has no configs for its splits, because its shards mix train and test" in text


@pytest.mark.parametrize(
    ("samples", "size"),
    [
        (9, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (6766, "1K<n<10K"),
        (240_000, "100K<n<1M"),
        (10**8, "100M<n<1B"),
        (10**12, "n>1T"),
    ],
)
def test_the_size_is_in_the_hub_s_words(made: ShardSet, samples: int, size: str) -> None:
    assert size_category(samples) == size
    assert front_matter(card.render(made.manifest))["size_categories"] == ["n<1K"]


def test_it_says_where_the_set_comes_from_and_how_to_cite_it(made: ShardSet) -> None:
    manifest = replace(made.manifest, dataset={"name": "hmdb51"}, parent="0" * 64)
    text = card.render(manifest)
    assert (
        f"The sha256 of its manifest names this set: `{manifest.sha256}`. It was taken from the set `{'0' * 64}`"
        in text
    )
    assert "> H. Kuehne, H. Jhuang" in text and front_matter(text)["pretty_name"] == "Shard set of hmdb51"
    assert "Cite the dataset by its own paper." in card.render(replace(manifest, dataset={"name": "mine"}))


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
    matter, held = front_matter(text), name.encode("utf-8", "backslashreplace").decode()
    assert matter.pop("pretty_name") == f"Shard set of {held}"
    for info in matter["dataset_info"]:
        names = info["features"][1]["dtype"]["class_label"]["names"]
        assert names == {"0": "class a", "1": held, "2": "class c"}
        names["1"] = "class b"
    assert matter == {key: value for key, value in front_matter(plain).items() if key != "pretty_name"}
    assert len(text.splitlines()) == len(plain.splitlines())
    text.encode("utf-8")
    for line in text.split("---\n", 2)[2].splitlines():
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
    assert "iframe" not in text and "JPEG" not in text


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
