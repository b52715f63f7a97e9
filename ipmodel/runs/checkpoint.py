"""The files of a phase: checkpoints to resume from, and at last its network. All are published by rename.

Beside the network lies its sha256, in the form that `sha256sum --check` takes.

A checkpoint is a directory such as `step-00000042`, with weights.safetensors, state.pt (readable with
weights_only=True) and sha256.json, which is written last. The two newest are kept, so that there is one to resume from
when the newest is damaged.
"""

import io
import json
import logging
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from ipmodel.errors import ModelError
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import described
from shards.atomic import publish, sync_directory, write_synced
from shards.canonical import sha256_bytes, sha256_file
from shards.regular import read_regular

KEPT = 2  # checkpoints
WEIGHTS, STATE, DIGESTS = "weights.safetensors", "state.pt", "sha256.json"  # in a checkpoint
FINAL = "network.safetensors"  # of a complete phase
HASH_SUFFIX = ".sha256"  # of the file beside a network
HASH_BYTES = 4096  # the file with a hash is shorter
PREFIX = "step-"

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to resume."""

    step: int  # steps taken, which is also the number of the next one
    weights: dict[str, Tensor]
    state: dict[str, Any]  # of the optimiser


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; removes the ones that are too old, and those of later steps.

    Checkpoints of later steps are damaged, or training would have resumed from them.
    """
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


def newest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is intact, or None."""
    for path in reversed(_found(directory)):
        try:
            digests = json.loads((path / DIGESTS).read_text())
            if all(sha256_file(path / file) == digests[file] for file in (WEIGHTS, STATE)):
                state = torch.load(path / STATE, map_location="cpu", weights_only=True)
                return Checkpoint(int(path.name.removeprefix(PREFIX)), load_file(path / WEIGHTS), state)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # damaged; try the one before
    return None


def remove_unfinished(directory: Path) -> None:
    """Removes files that a killed process left half-written."""
    for path in directory.glob("tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_checkpoints(directory: Path) -> None:
    """Call it when the phase is complete."""
    for path in _found(directory):
        shutil.rmtree(path)


def save_network(path: Path, weights: dict[str, Tensor], description: Description | None = None) -> None:
    """Writes the weights and what describes them to `path`, and before that the file's hash.

    Published by rename, so a file is whole or absent. Without a description the file is one of 0.1.0.
    """
    data = _serialised(weights)
    if description is not None:
        data = described(weights, description)
    for file, content in (
        (hash_file(path), f"{sha256_bytes(data)}  {path.name}\n".encode()),
        (path, data),
    ):
        temporary = file.with_name(f"tmp-{file.name}")
        write_synced(temporary, content)
        publish(temporary, file)


def hash_file(path: Path) -> Path:
    """Where the hash of a network's file is."""
    return path.with_name(path.name + HASH_SUFFIX)


def stated_hash(text: bytes) -> str:
    """The sha256 in the file beside a network; "" if there is none."""
    return next(iter(text.decode("ascii", "replace").split()), "")


def load_network(path: Path) -> dict[str, Tensor]:
    """The weights in a network's file. Warns if there is no hash to compare them with, as in runs of 0.1.0.

    Raises: ModelError if the file is missing or damaged.
    """
    try:
        _check_hash(path)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the network ({error}); delete it and train its phase again") from None


def _check_hash(path: Path) -> None:
    """Raises: ModelError if a network does not have the hash that was published with it; OSError."""
    beside = hash_file(path)
    try:
        stated = stated_hash(read_regular(beside, max_bytes=HASH_BYTES))
    except FileNotFoundError:
        _warn_without_hash(path)
        return
    if stated != sha256_file(path):
        cure = "take both files from a copy, or delete the network and train its phase again"
        raise ModelError(f"{path}: its bytes do not have the sha256 that {beside.name} states; {cure}")


@cache  # once for each network of a process
def _warn_without_hash(path: Path) -> None:
    if os.environ.get("RANK", "0") == "0":
        absent = f"{hash_file(path).name} is not there, as in runs of earlier versions"
        LOG.warning("%s: its bytes cannot be checked, because %s", path, absent)


def _found(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"{PREFIX}*") if path.is_dir())


def _serialised(weights: dict[str, Tensor]) -> bytes:
    data: bytes = serialise({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    return data
