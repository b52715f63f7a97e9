"""A network's file: its weights, and in the header's metadata its description."""

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from safetensors import SafetensorError
from safetensors.torch import load as parse_weights
from safetensors.torch import save as serialise
from torch import Tensor

from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from ipmodel.runs.description import FORMAT, Description
from shards.canonical import sha256_bytes
from shards.errors import ShardError
from shards.records import parse
from shards.regular import open_regular, read_regular

KEY = "ip-tsn"  # of the one entry in the metadata
LENGTH_BYTES = 8  # of the header's length, little-endian, which begins the file
MAX_NETWORK_BYTES = 4 << 30
MAX_HEADER_BYTES = 100 << 20  # as safetensors allows
AGAIN = "fetch or copy it again, or train its phase again"


class _Stated(msgspec.Struct):
    """What is read first, before anything else of a description is trusted."""

    format: int


def described(weights: dict[str, Tensor], description: Description) -> bytes:
    """The bytes of a file with these weights and this description; `weights_sha256` is set here."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    bare = serialise(kept)
    stated = replace(description, weights_sha256=sha256_bytes(bare[_header_end(bare) :]))
    data: bytes = serialise(kept, metadata={KEY: stated.to_json().decode("ascii")})
    return data


def read_network_file(path: Path) -> tuple[Description, ResNet]:
    """The description in a file, and the network with its weights, in eval mode.

    Raises: ModelError that begins with the path if the file is torn, foreign or newer, or has no description.
    """
    try:
        data = read_regular(path, max_bytes=MAX_NETWORK_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); name a network's file (.safetensors)") from None
    return parse_network_file(data, where=str(path))


def parse_network_file(data: bytes, *, where: str) -> tuple[Description, ResNet]:
    """As `read_network_file`. where: what errors call the file."""
    description = description_in(data, where=where)
    if sha256_bytes(data[_header_end(data) :]) != description.weights_sha256:
        raise ModelError(f"{where}: is torn or damaged: its weights do not have the sha256 that it states; {AGAIN}")
    network = description.network()
    try:
        network.load_state_dict(parse_weights(data))
    except (RuntimeError, SafetensorError) as error:
        said = str(error).strip().splitlines()[0]
        raise ModelError(f"{where}: its weights are not those of the network that it describes ({said})") from None
    return description, network.eval()


def read_description(path: Path) -> Description | None:
    """The description in a file; None if it has none, as files of 0.1.0. Raises: ModelError as `read_network_file`."""
    try:
        with open_regular(path) as file:
            beginning = file.read(LENGTH_BYTES)
            data = beginning + file.read(min(_header_end(beginning), MAX_HEADER_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return description_in(data, where=str(path)) if KEY in _metadata(data, where=str(path)) else None


def description_in(data: bytes, *, where: str) -> Description:
    """The description in a file's bytes. Raises: ModelError as `read_network_file`."""
    text = _metadata(data, where=where).get(KEY)
    if text is None:
        cure = "`ipmodel package RUN --out DIR` makes a model of a run of 0.1.0, whose files have none"
        raise ModelError(f"{where}: has no description of the network in its metadata; {cure}")
    try:
        stated = parse(text.encode(), _Stated, where="its description")
        if stated.format > FORMAT:
            newer = f"its description has format {stated.format}, this version reads {FORMAT}; update the package"
            raise ModelError(f"{where}: {newer}")
        return Description.from_json(text.encode(), where="its description")
    except ShardError as error:
        raise ModelError(f"{where}: {error}; {AGAIN}") from None


def size_in_header(data: bytes, *, where: str) -> int:
    """The size of a whole network's file in bytes, from its beginning. Raises: ModelError as `read_network_file`."""
    tensors = [value for name, value in _header(data, where=where).items() if name != "__metadata__"]
    try:
        ends = [tensor["data_offsets"][1] for tensor in tensors]
        return _header_end(data) + max(int(end) for end in ends)
    except (ValueError, LookupError, TypeError):
        raise ModelError(f"{where}: is no network's file (.safetensors); {AGAIN}") from None


def _metadata(data: bytes, *, where: str) -> dict[str, str]:
    """The metadata in a safetensors file. Raises: ModelError if it is none, or is torn."""
    metadata = _header(data, where=where).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelError(f"{where}: is no network's file (.safetensors); {AGAIN}")
    return metadata


def _header(data: bytes, *, where: str) -> dict[str, Any]:
    """The header of a safetensors file. Raises: ModelError if it is none, or is torn."""
    end = _header_end(data)
    if end > len(data) or end > MAX_HEADER_BYTES:
        raise ModelError(f"{where}: is torn, or no network's file (.safetensors); {AGAIN}")
    try:
        header = json.loads(data[LENGTH_BYTES:end])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ModelError(f"{where}: is no network's file (.safetensors); {AGAIN}")
    return header


def _header_end(data: bytes) -> int:
    """Where the weights begin."""
    return LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
