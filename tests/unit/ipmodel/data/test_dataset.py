"""A set as a plain PyTorch Dataset: its frames are those of ShardSet.read, in any loader process."""

import logging
import multiprocessing
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_sets
import numpy as np
import pytest
import serving
import torch
from torch.utils.data import DataLoader

import ipmodel
from ipmodel import ClipDataset
from ipmodel.data.sampling import middle_positions
from ipmodel.errors import ModelError
from shards import ShardError, ShardSet

COLUMNS = ["iframe", "mv", "residual", "flow"]
TRAIN = {"split": "1", "subset": "train"}


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first video has one frame, so it has no motion."""
    first, *others = made_sets.scenes()
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory, [replace(first, frames=1), *others])
    return directory


def test_an_item_has_the_frames_that_the_set_gives(set_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset, shard_set = ClipDataset(set_dir, COLUMNS, **TRAIN, segments=3), ShardSet(set_dir)
    chosen = list(shard_set.samples(**TRAIN))
    assert [sample.key for sample in dataset.samples] == [s.key for s in chosen if "P" in s.picture_types]
    assert dataset.excluded == [s.name for s in chosen if "P" not in s.picture_types] != []
    assert (
        f"{len(dataset.excluded)} videos have no frames in iframe, mv, residual, flow: {dataset.excluded[0]}"
        in caplog.text
    )
    assert dataset.classes == shard_set.manifest.classes
    for number in range(len(dataset)):
        item, sample = dataset[number], dataset.samples[number]
        assert (item["key"], item["label"]) == (sample.key, sample.class_id)
        for column in COLUMNS:
            positions = middle_positions(len(shard_set.frame_numbers(sample.key, column)), 3)
            np.testing.assert_array_equal(item[column].numpy(), shard_set.read(sample.key, column, positions))
            assert item[column].numpy().dtype == shard_set.read(sample.key, column, positions).dtype


def test_without_segments_an_item_has_all_frames(set_dir: Path) -> None:
    dataset = ClipDataset(set_dir, ["mv"], **TRAIN)
    for number, sample in enumerate(dataset.samples):
        np.testing.assert_array_equal(dataset[number]["mv"].numpy(), ShardSet(set_dir).read(sample.key, "mv"))


def test_random_frames_are_others_each_time_and_the_same_in_all_columns_of_a_picture(set_dir: Path) -> None:
    dataset, shard_set = ClipDataset(set_dir, ["mv", "flow"], **TRAIN, segments=3, random=True), ShardSet(set_dir)
    torch.manual_seed(0)
    items = [dataset[0] for _ in range(8)]
    assert len({item["mv"].numpy().tobytes() for item in items}) > 1
    mv, flow = (shard_set.read(dataset.samples[0].key, column) for column in ("mv", "flow"))
    pairs = list(zip(mv, flow, strict=True))
    for item in items:
        for own in zip(item["mv"].numpy(), item["flow"].numpy(), strict=True):
            assert any(np.array_equal(own[0], pair[0]) and np.array_equal(own[1], pair[1]) for pair in pairs)
    torch.manual_seed(0)
    assert torch.equal(dataset[0]["mv"], items[0]["mv"])


def halved(item: dict[str, Any]) -> tuple[torch.Tensor, int]:
    return item["mv"].float() / 2, item["label"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loader_processes_give_the_same_frames_epoch_after_epoch(set_dir: Path, method: str) -> None:
    dataset = ClipDataset(set_dir, ["mv"], **TRAIN, segments=2, transform=halved)
    context = multiprocessing.get_context(method)
    loader = DataLoader(
        dataset, batch_size=2, num_workers=2, persistent_workers=True, multiprocessing_context=context, shuffle=True
    )
    expected = sorted((dataset[n][0].numpy().tobytes(), dataset[n][1]) for n in range(len(dataset)))
    for _ in range(2):
        read = [
            (mv.numpy().tobytes(), int(label)) for mvs, labels in loader for mv, label in zip(mvs, labels, strict=True)
        ]
        assert sorted(read) == expected
    loader._iterator._shutdown_workers()  # type: ignore[union-attr]


def test_a_set_at_a_url_is_opened_again_in_a_process_that_is_spawned(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    with serving.serving(set_dir.parent, ranges=True) as server:
        dataset = ClipDataset(f"{server.url}/set", ["mv"], **TRAIN, segments=2)
        sent = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(sent[0]["mv"], dataset[0]["mv"])


def test_another_set_in_its_place_is_refused(set_dir: Path, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", made_sets.scenes())
    sent = pickle.dumps(ClipDataset(tmp_path / "set", ["mv"], **TRAIN))
    (tmp_path / "set").rename(tmp_path / "before")
    made_sets.make_set(tmp_path / "set", made_sets.scenes(per_class=4))
    with pytest.raises(ModelError, match="is another set now"):
        pickle.loads(sent)


@pytest.mark.parametrize(
    ("columns", "options", "error", "says"),
    [
        ("mv", {}, ModelError, r"columns must be a list of names, such as \['mv'\]"),
        ([], {}, ModelError, "columns must be a list"),
        (["video"], {}, ModelError, "column video has no frames as arrays; ShardSet.read_bytes"),
        (["depth"], {}, ShardError, "no column 'depth'|no column depth"),
        (["mv"], {"segments": 0}, ModelError, "segments must be 1 to 4096, or None for all frames, got 0"),
        (["mv"], {"segments": 10**20}, ModelError, "segments must be 1 to 4096"),
        (["mv"], {"segments": 2.5}, ModelError, "segments must be 1 to 4096"),
        (["mv"], {"random": True}, ModelError, "random frames are drawn from segments"),
        (["mv"], {"split": "9"}, ShardError, "split"),
    ],
)
def test_wrong_arguments_are_refused(
    set_dir: Path, columns: Any, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ClipDataset(set_dir, columns, **{**TRAIN, **options})


def test_a_subset_without_motion_is_refused(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", [replace(scene, frames=1) for scene in made_sets.scenes()])
    with pytest.raises(ModelError, match="none of the 6 videos of train has frames in mv; choose another split"):
        ClipDataset(tmp_path / "set", ["mv"], **TRAIN)


def test_the_package_has_it_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert ipmodel.ClipDataset is ClipDataset
    with pytest.raises(AttributeError, match="no attribute 'ClipDatasets'"):
        _ = ipmodel.ClipDatasets


def test_a_damaged_file_is_named_when_the_set_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    made_sets.make_set(tmp_path / "set", made_sets.scenes())
    shard = ShardSet(tmp_path / "set").shards(**TRAIN)[0].shard
    path = tmp_path / f"set/mv/{shard}.tar"
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match=rf"mv/{shard}\.tar: its bytes are not those that the manifest names"):
        ClipDataset(tmp_path / "set", ["mv"], **TRAIN)
