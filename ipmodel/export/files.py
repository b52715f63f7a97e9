"""Writes the streams of a model as files that ONNX Runtime or PyTorch alone can run."""

import io
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from ipmodel.errors import ModelError
from ipmodel.export.graph import StreamGraph, example_inputs
from ipmodel.prediction.streams import Stream, Streams
from ipmodel.writable import check_directory
from shards.atomic import write_published
from shards.canonical import sha256_bytes
from shards.errors import install
from shards.version import __version__

Kind = Literal["onnx", "torch-export"]
SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
INDEX = "export.json"
OUTPUTS = ("logits", "features")
OPSET = 18  # of ONNX


def export(model: Streams, out: Path, kind: Kind) -> dict[str, Any]:
    """Writes OUT/<stream>.onnx or .pt2, and last OUT/export.json, which says what goes in and what comes out.

    Returns the JSON of export.json.

    Raises: ModelError if OUT is in use, a stream has ten crops, or packages are missing.
    """
    check_directory("--out", out, new=True)
    for name, stream in model.streams.items():
        if stream.description.input.crops != 1:
            cure = "package the run with test_crops=1"
            raise ModelError(f"stream {name} has {stream.description.input.crops} crops, and a graph has one; {cure}")
    written = {name: _bytes_of(stream, kind) for name, stream in model.streams.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in written.items():
        write_published(out / f"{name}{SUFFIXES[kind]}", data, temporary_dir=out)
    index = {
        "package": __version__,
        "classes": list(model.classes),
        "fusions": model.fusions,
        "picture_px": list(model.picture_px),
        "streams": {name: _facts(model.streams[name], name, kind, data) for name, data in written.items()},
    }
    write_published(out / INDEX, (json.dumps(index, indent=1) + "\n").encode(), temporary_dir=out)
    return index


def _facts(stream: Stream, name: str, kind: Kind, data: bytes) -> dict[str, Any]:
    """What a program must know to feed a stream."""
    graph, own = StreamGraph(stream), stream.description
    left, top, width, height, _ = graph.window
    return {
        "file": f"{name}{SUFFIXES[kind]}",
        "sha256": sha256_bytes(data),
        "inputs": list(own.columns),
        "outputs": list(OUTPUTS),
        "segments": own.input.segments,
        "crop_px": graph.settings.crop_px,
        "window": {"left": left, "top": top, "width": width, "height": height},
    }


def _bytes_of(stream: Stream, kind: Kind) -> bytes:
    graph = StreamGraph(stream).eval()
    inputs = example_inputs(graph, segments=stream.description.input.segments)
    return {"onnx": _onnx, "torch-export": _program}[kind](graph, inputs)


def _program(graph: StreamGraph, inputs: tuple[torch.Tensor, ...]) -> bytes:
    data = io.BytesIO()
    torch.export.save(torch.export.export(graph, inputs, dynamic_shapes=_shapes(inputs)), data)
    return data.getvalue()


def _onnx(graph: StreamGraph, inputs: tuple[torch.Tensor, ...]) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ModuleNotFoundError as error:
        raise ModelError(f"ONNX needs the package {error.name}; {install('export')}") from None
    names = [column.name for column in graph.columns]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*axis name.*")  # several inputs share the number of clips
        program = torch.onnx.export(
            graph,
            inputs,
            dynamo=True,
            dynamic_shapes=_shapes(inputs),
            input_names=names,
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    onnx.checker.check_model(data)
    return data


def _shapes(inputs: tuple[torch.Tensor, ...]) -> Any:
    """Any number of clips."""
    batch = torch.export.Dim("clips", min=1)
    return (tuple({0: batch} for _ in inputs),)
