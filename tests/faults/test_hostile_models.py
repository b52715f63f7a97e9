"""Models, runs and scores from elsewhere: what is no file, and values of wrong types, are refused in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sources import REPOSITORY
from training import ipmodel, train_options

from ipmodel.evaluation.fuse import load_scores
from ipmodel.runs.checkpoint import FINAL, hash_file, load_network
from ipmodel.runs.record import RUN

# Calls the function argv[2] of the module argv[1] with the path argv[3].
USE = """
import importlib, sys
from pathlib import Path
from ipmodel.errors import ModelError
try:
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(Path(sys.argv[3]))
except ModelError as error:
    print(error)
"""


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def refusal(module: str, function: str, path: Path) -> str:
    call = [sys.executable, "-c", USE, module, function, str(path)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a FIFO"), (device, "a device")])
def test_what_is_no_file_is_refused_without_waiting(
    trained: Path, tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    model = tmp_path / "model"
    assert ipmodel("package", trained / "run", "--out", model).returncode == 0
    (model / "i.safetensors").unlink()
    make(model / "i.safetensors")
    said = refusal("ipmodel.prediction.place", "opened", model)
    assert f"{model / 'i.safetensors'}: cannot be read (is {kind}, not a regular file)" in said

    make(tmp_path / "scores.npz")
    said = refusal(load_scores.__module__, load_scores.__name__, tmp_path / "scores.npz")
    assert f"is {kind}, not a regular file" in said

    network = tmp_path / FINAL
    shutil.copyfile(trained / "run" / "split-1" / "i_stream" / FINAL, network)
    make(hash_file(network))
    said = refusal(load_network.__module__, load_network.__name__, network)
    assert f"is {kind}, not a regular file" in said


@pytest.mark.parametrize(
    ("key", "value"),
    [("imagenet", []), ("imagenet", {"18": 1}), ("classes", {"a": 1}), ("classes", [1]), ("manifest_sha256", {})],
)
def test_a_record_of_other_types_is_refused(trained: Path, tmp_path: Path, key: str, value: object) -> None:
    run = tmp_path / "theirs"
    run.mkdir()
    record = json.loads((trained / "run" / RUN).read_text())
    (run / RUN).write_text(json.dumps(record | {key: value}))
    options = train_options(trained / "set", tmp_path / "run", trained / "quick.toml", f"--reuse={run}:i_stream")
    done = ipmodel(*options)
    assert done.returncode == 1 and f"{run / RUN} is not the record of a run" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_numbers_without_end_are_refused(trained: Path, tmp_path: Path) -> None:
    record = json.loads((trained / "run" / RUN).read_text())
    record["recipe"]["checkpoint_minutes"] = 10**400
    run = tmp_path / "theirs"
    run.mkdir()
    (run / RUN).write_text(json.dumps(record))
    done = ipmodel("compare", run)
    assert done.returncode == 1 and "checkpoint_minutes must be a finite number, and is too large" in done.stderr
    assert "Traceback" not in done.stderr
