"""`ipmodel train --reuse`: variants of the P-stream that share a teacher, which is trained once."""

import json
import shutil
from pathlib import Path

import pytest
from training import flip_a_bit, ipmodel, train_options

from ipmodel.runs.checkpoint import FINAL

VARIANT = "--set=phases.p_stream.distillation.feature_weight=5.0"


def test_a_phase_of_another_run_is_taken_where_it_is_the_same(trained: Path, tmp_path: Path) -> None:
    reused = f"--reuse={trained / 'run'}:of_2d"
    run = tmp_path / "run"
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", VARIANT, reused, "--phase=p_stream"))
    assert done.returncode == 0, done.stderr
    assert f"phase of_2d is taken from {trained / 'run/split-1/of_2d'}/{FINAL}" in done.stderr
    theirs, ours = trained / "run/split-1", run / "split-1"
    for name in (FINAL, f"{FINAL}.sha256", "log.jsonl"):
        assert (ours / "of_2d" / name).read_bytes() == (theirs / "of_2d" / name).read_bytes()
    assert not (ours / "of_2d/tensorboard").exists()  # nothing was trained
    whole = ipmodel(*train_options(trained / "set", tmp_path / "whole", trained / "quick.toml", VARIANT))
    assert whole.returncode == 0, whole.stderr
    assert (ours / "p_stream" / FINAL).read_bytes() == (tmp_path / "whole/split-1/p_stream" / FINAL).read_bytes()


def test_a_networks_file_says_itself_what_it_is(trained: Path, tmp_path: Path) -> None:
    file = shutil.copyfile(trained / "run/split-1/of_2d" / FINAL, tmp_path / "teacher.safetensors")
    options = [f"--reuse={file}", "--phase=of_2d"]
    done = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml", VARIANT, *options))
    assert done.returncode == 0 and f"phase of_2d is taken from {file}" in done.stderr, done.stderr
    assert (tmp_path / "run/split-1/of_2d" / FINAL).read_bytes() == file.read_bytes()
    options.append("--set=seed=3")
    done = ipmodel(*train_options(trained / "set", tmp_path / "other", trained / "quick.toml", *options))
    assert (
        done.returncode == 1 and f"--reuse {file}: it has another recipe of the phase, seed; make them" in done.stderr
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        (["--set=seed=1"], "recipe.seed"),
        (["--set=phases.of_2d.epochs=2", "--set=input.flip=true"], "recipe.input.flip, recipe.phases.of_2d.epochs"),
    ],
)
def test_what_differs_is_named_and_nothing_is_written(
    trained: Path, tmp_path: Path, changes: list[str], different: str
) -> None:
    reused = f"--reuse={trained / 'run'}:of_2d"
    done = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml", reused, *changes))
    assert done.returncode == 1 and not (tmp_path / "run").exists()
    assert f"error: --reuse {trained / 'run'}:of_2d: it has another {different}; make them equal" in done.stderr


def test_other_data_and_incomplete_runs_and_damaged_networks_are_refused(trained: Path, tmp_path: Path) -> None:
    def refused(given: str) -> str:
        options = train_options(trained / "set", tmp_path / "new", trained / "quick.toml", f"--reuse={given}")
        done = ipmodel(*options)
        assert done.returncode == 1 and not (tmp_path / "new/split-1/of_2d" / FINAL).exists()
        return str(done.stderr)

    run = shutil.copytree(trained / "run", tmp_path / "run")
    assert f"{tmp_path}/none is no run, it has no run.json" in refused(f"{tmp_path}/none:of_2d")
    assert "expected RUN:PHASE, with one of these phases: of_2d, p_stream, i_stream" in refused(f"{run}:teacher")
    flip_a_bit(run / "split-1/of_2d" / FINAL)
    assert "do not have the sha256 that network.safetensors.sha256 states" in refused(f"{run}:of_2d")
    (run / "split-1/of_2d" / FINAL).unlink()
    assert f"{run}/split-1/of_2d/{FINAL} does not exist; train the phase there first" in refused(f"{run}:of_2d")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"manifest_sha256": "0" * 64}))
    assert "it has another manifest_sha256;" in refused(f"{run}:of_2d")
