"""Beginning a run: who is first decides what it is, and what is damaged or stopped begins nothing."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from files import write
from made_sets import make_set

from ipmodel.errors import ModelError
from ipmodel.evaluation.evaluate import check_streams
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.recipe import Distillation, Input, Phase, TrainRecipe
from ipmodel.runs import preflight
from ipmodel.runs.record import parse_record
from ipmodel.runs.run import Run
from shards import ShardSet
from shards.errors import ShardError
from shards.manifest import FileInfo

PHASES = {"i_stream": Phase(modality="i", epochs=1, batch=2, segments=1)}


def run_of(folder: Path, *, seed: int = 0, out: str = "run") -> Run:
    recipe = TrainRecipe(input=Input(resize_px=32, crop_px=32), phases=PHASES, seed=seed)
    return Run(directory=folder / out, shard_set=ShardSet(folder / "set"), recipe=recipe, imagenet={})


def test_of_runs_that_begin_at_once_one_is_written_and_the_others_are_refused(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    together = Barrier(8)

    def begun(seed: int) -> int | None:
        together.wait()
        try:
            run_of(tmp_path, seed=seed).begin()
        except ModelError as error:
            assert "was begun with another recipe.seed" in str(error)
            return None
        return seed

    with ThreadPoolExecutor(8) as threads:
        first = [seed for seed in threads.map(begun, range(8)) if seed is not None]
    assert [json.loads((tmp_path / "run/run.json").read_text())["recipe"]["seed"]] == first
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_a_run_of_an_earlier_version_is_not_gone_on_with(tmp_path: Path) -> None:
    """Its phases drew the same crops and frames; the rest of it would not."""
    make_set(tmp_path / "set")
    run_of(tmp_path).begin()
    path = tmp_path / "run/run.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "draws"}))
    with pytest.raises(ModelError, match="was begun by another version of ipmodel, whose phases draw"):
        run_of(tmp_path).begin()


def test_a_name_that_is_no_utf8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    run = run_of(tmp_path, out=os.fsdecode(b"run\xff"))
    with pytest.raises(ModelError, match="is not UTF-8"):
        run.begin()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_sigterm_ends_the_check_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between files, not after the last of them."""
    make_set(tmp_path / "set")
    run, stopped, read = run_of(tmp_path), [], []
    monkeypatch.setattr(preflight, "FILES", 1)
    check_of_a_file = run.shard_set.check

    def read_and_stopped(files: dict[str, FileInfo]) -> None:
        check_of_a_file(files)
        read.extend(files)
        stopped.append(15)

    monkeypatch.setattr(run.shard_set, "check", read_and_stopped)
    with pytest.raises(StoppedError):
        preflight.check_files(run, ["iframe"], split="1", subset="train", ranks=Ranks(), stopped=stopped)
    assert len(read) == 1


def test_each_machine_checks_all_files(tmp_path: Path) -> None:
    """Divided among its own ranks, whichever of all they are."""
    make_set(tmp_path / "set")
    run = run_of(tmp_path)
    for path in run.shard_set.files(["iframe"], split="1", subset="train"):
        whole = (tmp_path / "set" / path).read_bytes()
        (tmp_path / "set" / path).write_bytes(whole[:-1])
        finders = []
        for local in range(2):
            try:
                ranks = Ranks(rank=5 + local, local=local, local_count=2)
                preflight.check_files(run, ["iframe"], split="1", subset="train", ranks=ranks)
            except ShardError as error:
                assert f"{path}: its bytes are not those" in str(error)
                finders.append(local)
        assert len(finders) == 1
        (tmp_path / "set" / path).write_bytes(whole)


def test_networks_of_all_splits_are_looked_for_before_any_file_is_read(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    run = replace(run_of(tmp_path), recipe=replace(run_of(tmp_path).recipe, streams={"i": "i_stream"}))
    write(run.network_file("1", "i_stream"))
    next((tmp_path / "set/iframe").glob("*.tar")).unlink()
    with pytest.raises(ModelError, match=r"split-2/i_stream/.* does not exist"):
        check_streams(run, ["1", "2"], ranks=Ranks())
    write(run.network_file("2", "i_stream"))
    with pytest.raises(ShardError, match="No such file"):
        check_streams(run, ["1", "2"], ranks=Ranks())
    with pytest.raises(ShardError, match="No such file"):
        check_streams(run, ["2", "1"], ranks=Ranks())


@pytest.mark.parametrize(("soft", "squared"), [(50.0, True), (0.0, False)])
def test_soft_labels_of_an_earlier_run_had_the_square_of_the_temperature(
    tmp_path: Path, soft: float, squared: bool
) -> None:
    make_set(tmp_path / "set")
    taught = {"distillation": Distillation(soft_label_weight=soft), "teacher": "of"}
    phases = {"of": replace(PHASES["i_stream"], modality="flow"), "mr": replace(PHASES["i_stream"], **taught)}  # type: ignore[arg-type]
    run = replace(run_of(tmp_path), recipe=replace(run_of(tmp_path).recipe, phases=phases))
    record = json.loads(json.dumps(run.record))
    del record["recipe"]["phases"]["mr"]["distillation"]["temperature_squared"]
    read = parse_record(json.dumps(record).encode(), "run.json")
    assert read["recipe"]["phases"]["mr"]["distillation"]["temperature_squared"] is squared


@pytest.mark.parametrize("stage", ["conv1", "conv2"])
def test_a_run_of_an_earlier_version_whose_conv3_halves_the_frames_is_refused(tmp_path: Path, stage: str) -> None:
    make_set(tmp_path / "set")
    phases = {"mr": replace(PHASES["i_stream"], modality="mr", last_2d_stage=stage)}  # type: ignore[arg-type]
    run = replace(run_of(tmp_path), recipe=replace(run_of(tmp_path).recipe, phases=phases))
    record = json.loads(json.dumps(run.record))
    del record["recipe"]["phases"]["mr"]["time_padding"]
    with pytest.raises(ModelError, match=r"run.json: phase mr is of an earlier version, whose 3D conv3 halved"):
        parse_record(json.dumps(record).encode(), "run.json")
