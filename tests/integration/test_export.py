"""Exported networks: ONNX Runtime and PyTorch's exported programs give the scores of the network itself."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sources import REPOSITORY
from training import ipmodel

from ipmodel import load
from ipmodel.data.batch import Batch, collate
from ipmodel.data.inputs import network_input
from ipmodel.prediction.from_set import encoded_of
from ipmodel.prediction.looks import choices_of, numbers_of, spans_of
from ipmodel.prediction.scores import clips_of
from ipmodel.prediction.streams import Stream, Streams
from shards import ShardSet

TOLERANCE = 1e-4  # of logits and features
Outputs = tuple[np.ndarray, np.ndarray]
DOCUMENT = REPOSITORY / "docs" / "deploying.md"
DEPLOYED = 0.02  # of the range of a video's logits: what docs/deploying.md states


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both formats: ONNX of the streams of the first fusion, programs of all."""
    folder = tmp_path_factory.mktemp("exported")
    for kind, more in (("onnx", []), ("torch-export", ["--streams=all"])):
        done = ipmodel("export", trained / "run", f"--to={kind}", f"--out={folder / kind}", *more)
        assert done.returncode == 0, done.stderr
    return folder


def batch_of(model: Streams, stream: Stream, shard_set: ShardSet, clips: int) -> Batch:
    """What an evaluation makes of the first test videos."""
    drawn = []
    for sample in list(shard_set.samples(split="1", subset="test"))[:clips]:
        (choice,) = choices_of(sample, looks=[stream.look], every_s=None)
        numbers = numbers_of(sample, spans_of(sample, None)[0], stream.look)
        drawn += clips_of(stream, encoded_of(shard_set, sample, choice), numbers)
    return collate(drawn)


def by_onnx(file: Path, inputs: dict[str, torch.Tensor]) -> Outputs:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    logits, features = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return logits, features


def by_program(file: Path, inputs: dict[str, torch.Tensor]) -> Outputs:
    logits, features = torch.export.load(file).module()(*inputs.values())
    return logits.numpy(), features.numpy()


@pytest.mark.parametrize(("kind", "run"), [("onnx", by_onnx), ("torch-export", by_program)])
@torch.inference_mode()
def test_scores_are_pytorchs(
    trained: Path, exported: Path, kind: str, run: Callable[[Path, dict[str, torch.Tensor]], Outputs]
) -> None:
    model, shard_set = load(trained / "run", streams=("all",), device="cpu"), ShardSet(trained / "set")
    index = json.loads((exported / kind / "export.json").read_text())
    assert index["fusions"]["i+p"] == {"i": 1.0, "p": 1.0}
    assert set(index["streams"]) == ({"i", "p"} if kind == "onnx" else {"i", "p", "of"})
    for name, facts in index["streams"].items():
        stream = model.streams[name]
        own = stream.description
        for clips in (1, 5):
            batch = batch_of(model, stream, shard_set, clips)
            scores = stream.network(network_input(batch, own.sees, own.settings, picture_px=model.picture_px))
            inputs = {column: batch.columns[column] for column in facts["inputs"]}
            logits, features = run(exported / kind / facts["file"], inputs)
            assert np.abs(logits - scores.logits.numpy()).max() < TOLERANCE, (name, clips)
            assert np.abs(features - scores.features.numpy()).max() < TOLERANCE, (name, clips)


def test_the_documented_program_goes_from_a_video_to_a_class(trained: Path, exported: Path, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    model, shard_set = load(trained / "run", streams=("i", "p"), device="cpu"), ShardSet(trained / "set")

    def run(data: bytes, number: int) -> tuple[Path, subprocess.CompletedProcess[str]]:
        video = tmp_path / f"{number}.m4v"
        video.write_bytes(data)
        command = [sys.executable, "program.py", str(exported / "onnx"), str(video)]
        return video, subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    samples = list(shard_set.samples(split="1", subset="test"))[:2]
    whole = shard_set.read_bytes(samples[0].key, "video")
    vop = b"\0\0\1\xb6"  # begins each picture
    _, done = run(whole[: whole.index(vop, whole.index(vop) + 1)], 2)  # a video of one frame
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["the video has no P-frames, and the input mv is made of them"]
    for number, sample in enumerate(samples):
        video, done = run(shard_set.read_bytes(sample.key, "video"), number)
        assert done.returncode == 0, done.stderr
        printed = {line.split()[0]: line.partition(" ")[2].partition(" ") for line in done.stdout.splitlines()}
        prediction = model.predict(video)
        for name, opinion in prediction.opinions.items():
            chosen, _, scores = printed[name]
            differences: Any = np.abs(np.array(json.loads(scores)) - opinion.logits)
            assert differences.max() < DEPLOYED * np.ptp(opinion.logits), (name, differences)
            best, second = sorted(opinion.logits, reverse=True)[:2]
            if best - second > 2 * differences.max():
                assert chosen == model.classes[int(opinion.logits.argmax())]


def test_bad_input_gets_one_line_and_writes_nothing(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").write_text("mine")
    for arguments, said in (
        ([trained / "run", f"--out={tmp_path / 'used'}"], "exists and is not empty; name another directory"),
        ([trained / "run", f"--out={tmp_path / 'used/file'}"], "cannot be a directory, because it is a file"),
        ([tmp_path, f"--out={tmp_path / 'new'}"], "is no model; name a network's file"),
        ([trained / "run", "--streams=x", f"--out={tmp_path / 'new'}"], "has no stream 'x'"),
    ):
        done = ipmodel("export", *arguments, "--to=torch-export")
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "new").exists() and [path.name for path in (tmp_path / "used").iterdir()] == ["file"]
