"""What a phase leaves on disk: checkpoints to go on from, and in the end its network. Published by rename.

A checkpoint is a directory `step-00000042` of weights.safetensors, state.pt (readable with weights_only=True) and
sha256.json, which is written last. The two newest stay: a torn one is passed over for the one before.
"""

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from ipmodel.errors import ModelError
from shards.atomic import publish, sync_directory, write_synced
from shards.canonical import sha256_bytes, sha256_file

KEPT = 2
WEIGHTS, STATE, DIGESTS, FINAL = "weights.safetensors", "state.pt", "sha256.json", "network.safetensors"
PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    step: int  # that is to come next
    weights: dict[str, Tensor]
    state: dict[str, Any]


def save(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and drop older ones but the newest, and later ones: they were torn, or training went back."""
    name = f"{PREFIX}{checkpoint.step:08d}"
    temporary = directory / f"tmp-{name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    state = io.BytesIO()
    torch.save(checkpoint.state, state)
    files = {WEIGHTS: _serialised(checkpoint.weights), STATE: state.getvalue()}
    for file, data in files.items():
        write_synced(temporary / file, data)
    digests = {file: sha256_bytes(data) for file, data in files.items()}
    write_synced(temporary / DIGESTS, json.dumps(digests).encode())
    sync_directory(temporary)
    shutil.rmtree(directory / name, ignore_errors=True)
    temporary.rename(directory / name)
    sync_directory(directory)
    earlier = [path for path in _found(directory) if path.name <= name]
    for path in set(_found(directory)) - set(earlier[-KEPT:]):
        shutil.rmtree(path)


def newest(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None."""
    for path in reversed(_found(directory)):
        try:
            digests = json.loads((path / DIGESTS).read_text())
            if all(sha256_file(path / file) == digests[file] for file in (WEIGHTS, STATE)):
                state = torch.load(path / STATE, map_location="cpu", weights_only=True)
                return Checkpoint(int(path.name.removeprefix(PREFIX)), load_file(path / WEIGHTS), state)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # torn: the one before
    return None


def sweep(directory: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in directory.glob("tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def clear(directory: Path) -> None:
    """Remove all checkpoints: the phase is complete."""
    for path in _found(directory):
        shutil.rmtree(path)


def save_network(path: Path, weights: dict[str, Tensor]) -> None:
    temporary = path.with_name(f"tmp-{path.name}")
    write_synced(temporary, _serialised(weights))
    publish(temporary, path)


def load_network(path: Path) -> dict[str, Tensor]:
    """Raises: ModelError if there is none, or it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no network can be read ({error}); delete it, and train its phase again") from None


def _found(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"{PREFIX}*") if path.is_dir())


def _serialised(weights: dict[str, Tensor]) -> bytes:
    data: bytes = serialise({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    return data
