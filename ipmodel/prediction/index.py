"""`model.json`: which files a model directory has, and how the scores of its streams are fused."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import check_weights
from ipmodel.networks.resnet import ResNet
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import parse_network_file
from shards.canonical import check_depth, sha256_bytes
from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.records import Record, parse
from shards.regular import read_regular

INDEX = "model.json"
FORMAT = 1
SUFFIX = ".safetensors"
NAME = re.compile(r"\w[\w.+ -]{0,99}")  # of streams, as recipes allow; their files are called after them
MAX_BYTES = 16 << 20


class ModelIndex(Record, frozen=True, kw_only=True):
    """What a model directory holds. Raises: ShardError for values that no package has."""

    format: int
    version: str  # of the package that wrote it
    dataset: str
    split: str
    classes: list[str]
    streams: dict[str, FileInfo]  # by name; the file of stream "p" is p.safetensors
    fusions: dict[str, dict[str, float]]  # name -> weights of streams
    figures: dict[str, Any]  # of streams and fusions on the test subset

    def __post_init__(self) -> None:
        check_depth(self.figures, where="figures")
        if not self.streams or not all(NAME.fullmatch(name) for name in (*self.streams, *self.fusions)):
            raise ShardError(f"needs streams whose names match {NAME.pattern}, got {list(self.streams)}")
        for name, weights in self.fusions.items():
            if not weights or not weights.keys() <= self.streams.keys() or name in self.streams:
                raise ShardError(f"fusion {name!r} must name some of the streams, and not be called as one")
            try:
                check_weights(list(weights.values()))
            except ModelError as error:
                raise ShardError(f"fusion {name!r}: {error}") from None


def file_of(stream: str) -> str:
    """The name of a stream's file in a model directory."""
    return f"{stream}{SUFFIX}"


def parse_index(data: bytes, *, where: str) -> ModelIndex:
    """The contents of a model.json. Raises: ModelError that begins with `where` if it is damaged, foreign or newer."""
    try:
        stated = parse(data, _Stated, where=where)
        if stated.format > FORMAT:
            newer = f"format {stated.format}, this version reads {FORMAT}; update the package"
            raise ModelError(f"{where}: {newer}")
        return ModelIndex.from_json(data, where=where)
    except ShardError as error:
        raise ModelError(f"{error}; `ipmodel package RUN --out DIR` writes a sound one") from None


def index_bytes(index: ModelIndex) -> bytes:
    """The contents of model.json, for people too."""
    return (json.dumps(index.to_value(), indent=1, ensure_ascii=True) + "\n").encode("ascii")


def read_index(directory: Path) -> ModelIndex:
    """The index of a model directory. Raises: ModelError."""
    path = directory / INDEX
    try:
        return parse_index(read_regular(path, max_bytes=MAX_BYTES), where=str(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None


def checked_network(data: bytes, stream: str, index: ModelIndex, *, where: str) -> tuple[Description, ResNet]:
    """A stream's network, from the bytes of its file. where: what errors call the file.

    Raises: ModelError unless the bytes are those that model.json names.
    """
    if sha256_bytes(data) != index.streams[stream].sha256:
        raise ModelError(f"{where}: its bytes do not have the sha256 that {INDEX} states; fetch or copy it again")
    description, network = parse_network_file(data, where=where)
    if description.classes != index.classes:
        raise ModelError(f"{where}: its classes are not those of {INDEX}; package the run again")
    return description, network


class _Stated(msgspec.Struct):
    """What is read first."""

    format: int
