"""Checkpoints: whole or not at all."""

from pathlib import Path

import pytest
import torch

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import (
    DIGESTS,
    FINAL,
    STATE,
    WEIGHTS,
    Checkpoint,
    load_network,
    newest_checkpoint,
    remove_checkpoints,
    remove_unfinished,
    save_checkpoint,
)


def save(directory: Path, step: int) -> None:
    weights = {"w": torch.full((3,), float(step))}
    save_checkpoint(directory, Checkpoint(step, weights, {"optimiser": {"state": {0: {"step": torch.tensor(step)}}}}))


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for step in (1, 20, 300):
        save(tmp_path, step)
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 300 and found.weights["w"].tolist() == [300.0] * 3
    assert found.state["optimiser"]["state"][0]["step"] == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000300"]
    remove_checkpoints(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", [WEIGHTS, STATE, DIGESTS])
@pytest.mark.parametrize("how", ["cut", "gone", "flipped"])
def test_a_torn_one_is_passed_over(tmp_path: Path, file: str, how: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / "step-00000002" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.unlink() if how == "gone" else path.write_bytes(bytes(data) if how == "flipped" else bytes(data[:-3]))
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 1


def test_one_that_was_not_renamed_does_not_exist(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "step-00000001").rename(tmp_path / "tmp-step-00000001")
    assert newest_checkpoint(tmp_path) is None
    save(tmp_path, 1)  # what was left behind is no obstacle
    assert newest_checkpoint(tmp_path) is not None


def test_a_network_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / FINAL
    with pytest.raises(ModelError, match="train its phase again"):
        load_network(path)
    path.write_bytes(b"torn")
    with pytest.raises(ModelError, match="train its phase again"):
        load_network(path)


def test_later_ones_that_are_torn_do_not_push_out_a_whole_one(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step)
        (tmp_path / f"step-000000{step}" / WEIGHTS).write_bytes(b"")
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / "step-note").write_text("no checkpoint")
    save(tmp_path, 3)
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-note"]


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "tmp-step-00000002").mkdir()
    (tmp_path / "tmp-network.safetensors").write_text("half")
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
