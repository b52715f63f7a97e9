"""Models, runs and scores from elsewhere: what is no file, and values of wrong types, are refused in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load, save
from sources import REPOSITORY
from training import ipmodel, train_options

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import load_scores
from ipmodel.evaluation.tested import EVAL, MAX_EVAL_BYTES
from ipmodel.prediction.index import INDEX
from ipmodel.runs import network_file
from ipmodel.runs.checkpoint import FINAL, hash_file, load_network
from ipmodel.runs.network_file import KEY, read_network_file
from ipmodel.runs.record import MAX_BYTES, RUN

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
    ("command", "name", "max_bytes"),
    [
        (["package", "--out=out"], RUN, MAX_BYTES),
        (["predict"], INDEX, MAX_BYTES),
        (["compare"], RUN, MAX_BYTES),
        (["compare"], EVAL, MAX_EVAL_BYTES),
        (["report", "--out=out.html"], EVAL, MAX_EVAL_BYTES),
        (["package", "--out=out"], EVAL, MAX_EVAL_BYTES),
    ],
)
def test_files_that_are_too_large_are_refused_unread(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], name: str, max_bytes: int
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "run", tmp_path / "run")
    with (tmp_path / "run" / name).open("wb") as file:
        file.truncate(max_bytes + 1)
    done = ipmodel(*command, tmp_path / "run", *(["x.avi"] if command == ["predict"] else []))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert str(tmp_path / "run" / name) in done.stderr and f"is larger than {max_bytes} bytes" in done.stderr


def test_a_network_that_is_too_large_is_refused_unread(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_file, "MAX_NETWORK_BYTES", 1000)
    with pytest.raises(ModelError, match=r"cannot be read .is larger than 1000 bytes"):
        read_network_file(trained / "run" / "split-1" / "p_stream" / FINAL)


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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"resize_px": 10**6}, "resize_px must be at most 8192, got 1000000"),
        ({"segments": 2**31}, "segments and test_segments must be at most 4096, got 2147483648"),
        ({"resize_px": 8192, "crop_px": 8192, "segments": 5}, "5 segments with 1 crops of 8192x8192 px are more than"),
        ({"motion_bound_px": 1e-300}, "motion_bound_px must be 0.0001 to 10000, got 1e-300"),
        ({"width": 10**6}, "pictures cannot be 1000000x48 px"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_numbers_beyond_any_use_are_refused(
    trained: Path, tmp_path: Path, changed: dict[str, float], said: str
) -> None:
    data = (trained / "run" / "split-1" / "p_stream" / FINAL).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    stated = json.loads(header["__metadata__"][KEY])
    stated["input"] |= changed
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(save(load(data), metadata={KEY: json.dumps(stated)}))
    with pytest.raises(ModelError, match=f"{path}: .*{said}"):
        read_network_file(path)
