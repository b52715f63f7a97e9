"""What a phase leaves on disk: checkpoints to go on from, and in the end its network. Published by rename.

A checkpoint is a directory `step-00000042` of weights.safetensors, state.pt (readable with weights_only=True) and
sha256.json, which is written last. The two newest stay: a torn one is passed over for the one before.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ipmodel.errors import ModelError
from shards.canonical import sha256_file

KEPT = 2
WEIGHTS, STATE, DIGESTS, FINAL = "weights.safetensors", "state.pt", "sha256.json", "network.safetensors"
PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    step: int  # that is to come next
    weights: dict[str, Tensor]
    state: dict[str, Any]


def save(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and drop all but the newest."""
    name = f"{PREFIX}{checkpoint.step:08d}"
    temporary = directory / f"tmp-{name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(_contiguous(checkpoint.weights), temporary / WEIGHTS)
    torch.save(checkpoint.state, temporary / STATE)
    digests = {file: sha256_file(temporary / file) for file in (WEIGHTS, STATE)}
    (temporary / DIGESTS).write_text(json.dumps(digests))
    for path in (*temporary.iterdir(), temporary):
        _sync(path)
    shutil.rmtree(directory / name, ignore_errors=True)
    temporary.rename(directory / name)
    _sync(directory)
    for old in _found(directory)[:-KEPT]:
        shutil.rmtree(old)


def newest(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None."""
    for path in reversed(_found(directory)):
        try:
            digests = json.loads((path / DIGESTS).read_text())
            if all(sha256_file(path / file) == digests[file] for file in (WEIGHTS, STATE)):
                state = torch.load(path / STATE, map_location="cpu", weights_only=True)
                return Checkpoint(int(path.name.removeprefix(PREFIX)), load_file(path / WEIGHTS), state)
        except (OSError, ValueError, KeyError):
            continue  # torn: the one before
    return None


def clear(directory: Path) -> None:
    """Remove all checkpoints: the phase is complete."""
    for path in _found(directory):
        shutil.rmtree(path)


def save_network(path: Path, weights: dict[str, Tensor]) -> None:
    temporary = path.with_name(f"tmp-{path.name}")
    save_file(_contiguous(weights), temporary)
    _sync(temporary)
    temporary.rename(path)
    _sync(path.parent)


def load_network(path: Path) -> dict[str, Tensor]:
    """Raises: ModelError if there is none, or it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no network can be read ({error}); train its phase again") from None


def _found(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"{PREFIX}*"))


def _contiguous(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
