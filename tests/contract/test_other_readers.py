"""A set can be read without this package: with webdataset, with Hugging Face `datasets`, and by hand as documented."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import made_sets
import numpy as np
import pytest
import serving

from shards import ShardError, ShardSet
from shards.columns import COLUMNS

REPOSITORY = Path(__file__).parents[2]

# Runs in its own process, because `datasets` reads its settings when it is imported.
READ_ALL = """
import json, sys
import datasets

datasets.disable_progress_bars()

def plain(value):
    return value.hex() if isinstance(value, bytes) else value.tolist()

rows = {}
for column in sys.argv[2:]:
    for streaming in (False, True):
        loaded = datasets.load_dataset(sys.argv[1], name=column, split="samples", streaming=streaming)
        rows[f"{column} {streaming}"] = list(loaded)
    for name in datasets.get_dataset_config_names(sys.argv[1]):
        if name.startswith(f"{column}-"):
            splits = datasets.load_dataset(sys.argv[1], name=name)
            keys = {split: list(part["__key__"]) for split, part in splits.items()}
            streamed = datasets.load_dataset(sys.argv[1], name=name, streaming=True)
            assert {split: [row["__key__"] for row in part] for split, part in streamed.items()} == keys
            print(json.dumps([name, keys, splits["train"].features["cls"].names]))
default = datasets.load_dataset(sys.argv[1])  # the config without a name
print(json.dumps(["", {split: list(part["__key__"]) for split, part in default.items()}, []]))
print(json.dumps(rows, default=plain))
"""


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose first shards have only videos without P-frames: readers that infer types from those would fail."""
    directory = tmp_path_factory.mktemp("set")
    scenes = [
        replace(scene, frames=1) if scene.subsets == made_sets.GROUPS[1] else scene for scene in made_sets.scenes()
    ]
    made_sets.make_set(directory, scenes)
    first = ShardSet(directory).samples_of("00000")
    assert all(sample.frames == 1 for sample in first)
    return directory


@pytest.mark.parametrize("column", COLUMNS)
def test_each_tar_opens_in_plain_webdataset(set_dir: Path, column: str) -> None:
    import webdataset

    shard_set = ShardSet(set_dir)
    payload = COLUMNS[column].payload
    for shard in shard_set.manifest.shards:
        tar = set_dir / column / f"{shard.shard}.tar"
        found = list(webdataset.WebDataset(str(tar), shardshuffle=False))
        expected = shard_set.samples_of(shard.shard)
        assert [sample["__key__"] for sample in found] == [sample.key for sample in expected]
        for sample, record in zip(found, expected, strict=True):
            assert {name for name in sample if not name.startswith("__")} == {"json", "cls", payload}
            assert sample["json"] == record.to_json()
            assert sample["cls"] == str(record.class_id).encode()
            assert sample[payload] == shard_set.read_bytes(record.key, column)


def test_every_column_opens_in_hugging_face_datasets(set_dir: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(set_dir)
    samples = list(shard_set.samples())
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(set_dir), *COLUMNS],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *configs, read = map(json.loads, done.stdout.splitlines())
    _check_configs(shard_set, configs)
    assert len(read) == 2 * len(COLUMNS)
    for name, rows in read.items():
        column = COLUMNS[name.split()[0]]
        assert [row["__key__"] for row in rows] == [sample.key for sample in samples], name
        for row, sample in zip(rows, samples, strict=True):
            assert set(row) == {"__key__", "__url__", "cls", "json", column.payload}
            assert row["cls"] == sample.class_id
            assert row["json"] == json.loads(sample.to_json())
            if column.name == "mv":
                np.testing.assert_array_equal(
                    np.array(row[column.payload], np.int16).ravel(), shard_set.read(sample.key, "mv").ravel()
                )
            else:
                assert bytes.fromhex(row[column.payload]) == shard_set.read_bytes(sample.key, column.name)


READ_TARS = """
import json, sys
import datasets
from shards import ShardSet

datasets.disable_progress_bars()
shard_set = ShardSet(sys.argv[1])
classes = datasets.ClassLabel(names=shard_set.manifest.classes)
for column, streaming in (("residual", False), ("residual", True), ("mv", True)):
    files = {name: shard_set.tars(column, split="2", subset=name) for name in ("train", "test")}
    loaded = datasets.load_dataset("webdataset", data_files=files, streaming=streaming)
    parts = {name: part.cast_column("cls", classes) for name, part in loaded.items()}
    assert parts["train"].features["cls"].names == shard_set.manifest.classes
    print(json.dumps({name: [row["__key__"] for row in part] for name, part in parts.items()}))
"""


def test_datasets_reads_a_list_of_tars_at_a_url(set_dir: Path, tmp_path: Path) -> None:
    with serving.serving(set_dir.parent, ranges=True) as server:
        done = subprocess.run(
            [sys.executable, "-c", READ_TARS, f"{server.url}/{set_dir.name}"],
            env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "IPTSN_CACHE": str(tmp_path / "cache")},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    shard_set = ShardSet(set_dir)
    expected = {name: [s.key for s in shard_set.samples(split="2", subset=name)] for name in ("train", "test")}
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected] * 3


def test_tars_are_of_a_subset_or_of_all(set_dir: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(set_dir)
    every = [str(set_dir / f"mv/{shard.shard}.tar") for shard in shard_set.manifest.shards]
    assert shard_set.tars("mv") == every and all(Path(path).is_file() for path in every)
    made_sets.make_set(tmp_path / "mixed", grouped=False)
    mixed = ShardSet(tmp_path / "mixed")
    with pytest.raises(ShardError, match="its shards mix subsets, so no list of tars is one"):
        mixed.tars("mv", split="1", subset="train")
    assert mixed.tars("mv")


READ_CROISSANT = """
import json, sys
import mlcroissant

dataset = mlcroissant.Dataset(sys.argv[1])  # validates the file
issues = dataset.metadata.issues if hasattr(dataset.metadata, "issues") else dataset.metadata.ctx.issues
rows = {rows.uuid: list(dataset.records(rows.uuid)) for rows in dataset.metadata.record_sets}
print(json.dumps([sorted(issues.errors), rows], default=bytes.hex))
"""


def test_croissant_is_valid_and_loads_records_and_every_column(set_dir: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(set_dir)
    samples = {sample.key: sample for sample in shard_set.samples()}
    done = subprocess.run(
        [sys.executable, "-c", READ_CROISSANT, str(set_dir / "croissant.json")],
        env={**os.environ, "HOME": str(tmp_path), "CROISSANT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    errors, rows = json.loads(done.stdout.splitlines()[-1])
    assert errors == []

    def text(row: dict, field: str) -> str:
        return bytes.fromhex(row[f"ip-tsn/{field}"]).decode()

    records = {text(row, "records/key"): row for row in rows.pop("ip-tsn/records")}
    assert records.keys() == samples.keys()
    for key, row in records.items():
        assert text(row, "records/picture_types") == samples[key].picture_types
        assert text(row, "records/subset_split1") == samples[key].subsets["split1"]
        assert row["ip-tsn/records/class_id"] == samples[key].class_id
    assert rows.keys() == {f"ip-tsn/column-{column}" for column in COLUMNS}
    for column in COLUMNS:
        name = f"column-{column}"
        payloads = {text(row, f"{name}/member").partition(".")[0]: row for row in rows[f"ip-tsn/{name}"]}
        assert payloads.keys() == samples.keys()
        for key, row in payloads.items():
            assert bytes.fromhex(row[f"ip-tsn/{name}/payload"]) == shard_set.read_bytes(key, column)


def _check_configs(shard_set: ShardSet, configs: list) -> None:
    """Each config of a split has the train and the test samples of that split, and the names of the classes."""
    expected = {}
    for split in shard_set.manifest.splits:
        expected[split] = {
            subset: [sample.key for sample in shard_set.samples(split=split, subset=subset)]
            for subset in ("train", "test")
        }
        assert {subset: len(keys) for subset, keys in expected[split].items()} == {
            subset: shard_set.manifest.splits[split][subset] for subset in ("train", "test")
        }
    *named, default = configs
    assert [name for name, _, _ in named] == [f"{column}-{split}" for column in COLUMNS for split in expected]
    for name, keys, classes in named:
        assert keys == expected[name.partition("-")[2]], name
        assert classes == shard_set.manifest.classes
    assert default[1] == expected["split1"]


def test_the_documented_way_to_read_a_frame_works(set_dir: Path, tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "shard-format.md").read_text("utf-8")
    by_numpy, by_opencv = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "cv2" not in by_numpy
    code = by_numpy + by_opencv
    shard_set = ShardSet(set_dir)
    assert 'manifest["shards"][0]' in code
    code = code.replace('Path("SET")', f"Path({str(set_dir)!r})").replace('["shards"][0]', '["shards"][-1]')
    # Runs without this package, with only what the document asks for.
    script = f"import sys; sys.modules['shards'] = None\n{code}\nprint(mv.tolist()); print(residual.sum())"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words, shape, mv, total = done.stdout.splitlines()
    key = words.split()[0]
    assert (words, shape) == (f"{key} (3, 4, 2)", "(48, 64, 3)")
    assert json.loads(mv) == shard_set.read(key, "mv", [0])[0].tolist()
    assert int(total) == shard_set.read(key, "residual", [0]).sum()


def test_the_examples_of_reading_work(set_dir: Path, tmp_path: Path) -> None:
    """Those with pandas, DuckDB, PyTorch, NumPy alone, webdataset and `datasets`, and the two of README.md."""
    texts = [(REPOSITORY / name).read_text("utf-8") for name in ("README.md", "docs/reading.md")]
    blocks = [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    for package in ("shards", "ipmodel", "pandas", "duckdb", "numpy", "webdataset", "datasets"):
        assert any(f"import {package}" in block or f"from {package}" in block for block in blocks), package
    assert len(blocks) == 10
    longest = max(ShardSet(set_dir).samples(), key=lambda sample: sample.frames)
    with_motion = tmp_path / "set"  # as in HMDB51, every video has enough frames for the positions that are read
    made_sets.make_set(with_motion, [replace(scene, frames=longest.frames) for scene in made_sets.scenes()])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    scripts = [block.replace('"data/shards/hmdb51', f'"{with_motion}') for block in blocks]
    run = "import json, sys\nfor script in json.load(sys.stdin):\n    print(script, flush=True); exec(script, {})"
    done = subprocess.run(
        [sys.executable, "-c", run],
        input=json.dumps(scripts),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_readme_s_examples_work(set_dir: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (set_dir / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 4
    script = "\n".join(blocks).replace('"SET', f'"{set_dir}')
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", script + "\nprint(len(dataset))"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(ShardSet(set_dir).manifest.splits["split1"]["train"])
