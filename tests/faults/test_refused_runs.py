"""What ipmodel cannot train or test is refused with what is wrong and the cure, and nothing is begun or lost."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from forked_programs import ended
from serving import serving
from training import build_set, command, damaged_later, flip_a_bit, ipmodel, train_options

from ipmodel.runs.checkpoint import FINAL
from shards import ShardSet
from shards.layout import samples_path, tar_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phase=nothing"], "no phase 'nothing' in recipe"),
        (["--phase=p_stream"], "/set --recipe RECIPE --split 1 --phase of_2d --out "),
        (["--split=7"], "unknown split"),
        (["--set=phases.of_2d.batch=60"], "phases.of_2d: 16 samples are fewer than a global batch of 60"),
        (["--set=phases.of_2d.optimiser.rate=1e30", "--set=phases.of_2d.epochs=9"], "the loss is not finite"),
        (["--init=resnet18=/nothing.pth"], "cannot read torchvision weights"),
        (["--init=18"], "expected resnetDEPTH=FILE"),
        (["--init-partial"], "--init-partial has no effect without --init"),
        (["--set=phases.of_2d.imagenet_filters=coviar"], "imagenet_filters of phases.of_2d has no effect; pass --init"),
        (["--init=resnet50=/nothing.pth"], "no phase of the recipe begins with a ResNet-50"),
        (
            ["--set=phases.i_stream.optimiser.body_multiplier=0.01"],
            "trains at 1 % of the learning rate because its recipe expects ImageNet weights; pass --init",
        ),
        (
            ["--set=phases.i_stream.accumulate=6"],
            "smallest part of a batch gives BatchNorm one value in the last stage",
        ),
        (["--set=phases.i_stream.batch=60"], "16 samples are fewer than a global batch of 60"),  # before any training
    ],
)
def test_what_cannot_be_trained_is_refused(trained: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = ipmodel(*train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *arguments))
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.rglob(FINAL))


def of_size(size_px: int, *settings: str) -> list[str]:
    return [f"--set=input.crop_px={size_px}", f"--set=input.resize_px={size_px}", *settings]


SEGMENTS_AND_BATCH = [f"--set=phases.i_stream.{setting}" for setting in ("segments=60", "batch=4")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            of_size(64, "--set=phases.i_stream.segments=4000"),
            "make the phase's batch smaller, or its accumulate larger",
        ),
        (
            of_size(1024, *SEGMENTS_AND_BATCH, "--set=workers=1"),  # 0.75 GB a batch, stacked once more
            "make the phase's batch smaller, or its accumulate larger",
        ),
    ],
    ids=["of the training process", "of a loader process"],
)
def test_too_little_memory_is_told_with_the_cure(
    trained: Path, tmp_path: Path, settings: list[str], message: str
) -> None:
    options = train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *settings, "--phase=i_stream")
    done = ended(*options, spare_bytes=1 << 30)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_missing_compiler_is_told_with_the_cure(trained: Path, tmp_path: Path) -> None:
    """In a process of its own, because PyTorch looks for the compiler once."""
    settings = [*of_size(32, "--set=compile=true"), "--phase=i_stream"]
    options = train_options(trained / "set", tmp_path / "run", trained / "quick.toml", *settings)
    lacking = {"CXX": "/nonexistent/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    environment = os.environ | lacking | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command(*options), capture_output=True, text=True, env=environment)
    cure = "install the compiler, or use compile=false and another --out"
    assert done.returncode == 1 and cure in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_loader_processes_without_shared_memory_end_the_run(trained: Path, tmp_path: Path) -> None:
    """As in a container that has 64 MB of it: the batch is not dropped, which its reader would wait for forever."""
    small = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=200k tmpfs /dev/shm && exec "$@"',
        "sh",
    ]
    if shutil.which("unshare") is None or subprocess.run([*small, "true"], capture_output=True).returncode:
        pytest.skip("no /dev/shm of one's own can be mounted here")
    larger = ["--phase=i_stream", "--set=phases.i_stream.segments=100"]  # 1.8 MB a batch
    options = train_options(trained / "set", tmp_path / "run", trained / "quick.toml", "--set=workers=1", *larger)
    done = subprocess.run([*small, *command(*options)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "--set workers=0" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_refused_command_begins_nothing(trained: Path, tmp_path: Path) -> None:
    run, weights = tmp_path / "run", tmp_path / "resnet18.pth"
    weights.write_text("no weights")
    options = train_options(trained / "set", run, trained / "quick.toml")
    for wrong in ("--set=phases.of_2d.batch=60", f"--init=resnet18={weights}", "--phase=p_stream"):
        assert ipmodel(*options, wrong).returncode == 1
        assert not run.exists(), wrong
    done = ipmodel(*options, "--phase=of_2d")
    assert done.returncode == 0, done.stderr


def test_a_run_goes_on_with_its_own_recipe_and_set_only(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "run", tmp_path / "run")
    other = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", "--set=phases.p_stream.epochs=7"))
    assert other.returncode == 1 and "was begun with another recipe.phases.p_stream.epochs" in other.stderr
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"classes": record["classes"][1:]}))
    other = ipmodel("eval", run)
    assert other.returncode == 1 and f"{run} was trained on {len(record['classes']) - 1}" in other.stderr
    assert ipmodel("eval", tmp_path, f"--shards={trained / 'set'}").stderr.startswith(f"error: {tmp_path} is no run")


@pytest.mark.parametrize("damage", ["{", "[]", '{"recipe": {}}', '{"recipe": 3}'])
def test_a_damaged_record_is_refused(trained: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(damage)
    for arguments in (
        train_options(trained / "set", tmp_path / "run", trained / "quick.toml"),
        ["eval", tmp_path / "run"],
    ):
        done = ipmodel(*arguments)
        assert done.returncode == 1 and "run.json" in done.stderr and "Traceback" not in done.stderr


def test_the_teachers_column_must_be_there(trained: Path, tmp_path: Path) -> None:
    build_set(tmp_path / "set", "--columns=iframe,mv,residual,video")
    done = ipmodel(*train_options(tmp_path / "set", tmp_path / "run", trained / "quick.toml"))
    assert done.returncode == 1 and "has no column flow; add it with `ipdata build --columns" in done.stderr


@pytest.mark.parametrize("subset", ["train", "test"])
@pytest.mark.parametrize("column", ["mv", "residual", "iframe", "samples"])
def test_one_wrong_bit_ends_a_command_before_its_first_step(
    trained: Path, tmp_path: Path, column: str, subset: str
) -> None:
    damaged, run = shutil.copytree(trained / "set", tmp_path / "set"), tmp_path / "run"
    shard = ShardSet(damaged).shards(split="1", subset=subset)[-1].shard
    path = flip_a_bit(damaged / (samples_path(shard) if column == "samples" else tar_path(column, shard)))
    tested = ["eval", trained / "run", f"--shards={damaged}", f"--out={run}"]
    refused = ipmodel(*(train_options(damaged, run, trained / "quick.toml") if subset == "train" else tested))
    assert refused.returncode == 1 and f"error: {path}: its bytes are not those" in refused.stderr, refused.stderr
    assert not run.exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_is_damaged_later_ends_the_run_with_its_name(trained: Path, tmp_path: Path, workers: int) -> None:
    path = damaged_later(trained / "set", tmp_path / "set")
    options = train_options(tmp_path / "set", tmp_path / "run", trained / "quick.toml", f"--set=workers={workers}")
    done = ended(*options)
    assert done.returncode == 1 and "the shard is damaged, verify it" in done.stderr, done.stderr
    assert f"error: {path}" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob(FINAL))


def test_a_file_that_a_server_lacks_ends_the_run_with_its_url(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained / "set", tmp_path / "set", ignore=shutil.ignore_patterns("*.tar"))
    with serving(tmp_path) as served:
        url = f"{served.url}/set"
        done = ended(*train_options(url, tmp_path / "run", trained / "quick.toml", "--set=workers=2"))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {url}/flow/"), done.stderr
    assert "not found there" in done.stderr and "Traceback" not in done.stderr
