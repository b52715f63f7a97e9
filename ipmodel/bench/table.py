"""Table 1 of the paper for our code, as text: our figures, and the paper's beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ipmodel import paper

PAPER_DEVICE = "the paper's, TITAN RTX"
METHODS = {"i": "I-stream", "p": "P-stream", "all": "IP TSN"}  # our streams in the paper's Table 1
NETWORK_ROWS = {"i": "spatial stream, ms", "p": "temporal stream, ms"}
PAPERS_NETWORKS = (
    "the paper's figures are for its own networks: ResNet-152 for I, ResNet-18 for P, 16 frames of 224x224 px; "
    "those measured here differ"
)
WIDTH = 46


def table1(measured: Mapping[str, Any]) -> str:
    """The lines of the table. measured: what `ipmodel.bench.measure.measure` returns."""
    return "\n".join(_lines(measured))


def _lines(measured: Mapping[str, Any]) -> Iterator[str]:
    machine, networks = measured["machine"], measured["networks"]
    sizes = f"{measured['frames']:.0f} frames of {'x'.join(map(str, measured['picture_px']))} px"
    yield f"{machine['device']}, PyTorch {machine['torch']}; {measured['videos']} videos, on average {sizes}"
    if not all(_is_papers(network) for network in networks.values()):
        yield PAPERS_NETWORKS
    yield _row("one video at a time", "here", PAPER_DEVICE)
    for source, by_stream in measured["preprocessing_s"].items():
        for stream, seconds in by_stream.items():
            beside = _paper("preprocessing, ms", stream) if source == "video" else ""
            yield _row(f"preprocessing from {source}, {_called(stream)}, ms", _ms(seconds), beside)
    for stream, network in networks.items():
        for kind, seconds in network["seconds"].items():
            stated = kind == "plain" and stream in NETWORK_ROWS
            beside = _paper(NETWORK_ROWS[stream], stream) if stated else ""
            yield _row(f"network {stream}, {kind}, ms", _ms(seconds["1"]), beside)
    total_s, both = total_of(measured), set(networks) == {"i", "p"}
    yield _row("all together, ms", _ms(total_s), _paper("total, ms", "all") if both else "")
    yield _row("videos/s", f"{1 / total_s:.1f}", _paper("videos/s", "all") if both else "")
    yield _row("at best", "here")
    for stream, network in networks.items():
        kind, size, rate = best_of(network)
        yield _row(f"network {stream}, {kind}, {size} clips at once, videos/s", f"{rate:.1f}")
    for source, rate in measured["predictions_per_s"].items():
        yield _row(f"whole predictions from {source}, videos/s", f"{rate:.1f}")
    yield _row("multiply-adds of a video, G", "here", "the paper's")
    for stream, network in networks.items():
        yield _row(f"network {stream}", _giga(network["multiply_adds"]), _paper("GFLOPs", stream))
    cost = sum(network["multiply_adds"] for network in networks.values())
    yield _row("all together", _giga(cost), _paper("GFLOPs", "all") if both else "")


def total_of(measured: Mapping[str, Any]) -> float:
    """Seconds for one video, one step after the other: preprocessing, and the networks as they are fastest."""
    return float(preprocessing_of(measured)["all"] + sum(map(single_s, measured["networks"].values())))


def preprocessing_of(measured: Mapping[str, Any]) -> Mapping[str, float]:
    """Stream, or "all" -> seconds: from the bitstream where that was measured, otherwise from columns."""
    by_source: Mapping[str, Mapping[str, float]] = measured["preprocessing_s"]
    return by_source.get("video", by_source["columns"])


def single_s(network: Mapping[str, Any]) -> float:
    """Seconds of a network for one clip, as it is fastest."""
    return min(float(by_size["1"]) for by_size in network["seconds"].values())


def best_of(network: Mapping[str, Any]) -> tuple[str, int, float]:
    """How a network is fastest: the way it runs, clips at once, and clips/s."""
    rates = [
        (int(size) / seconds, kind, int(size))
        for kind, by_size in network["seconds"].items()
        for size, seconds in by_size.items()
    ]
    rate, kind, size = max(rates)
    return kind, size, rate


def _paper(row: str, stream: str) -> str:
    """A figure of the paper's Table 1, if it has this stream."""
    return f"{paper.table1(row, METHODS[stream]):g}" if stream in METHODS else ""


def _is_papers(network: Mapping[str, Any]) -> bool:
    """Whether the paper measured this network."""
    depth = {"i": 152, "mr": 18}.get(network["modality"])
    return (network["depth"], network["frames"], network["size_px"]) == (depth, 16, 224)


def _called(stream: str) -> str:
    return "all streams" if stream == "all" else f"stream {stream}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _giga(count: float) -> str:
    return f"{count / 1e9:.1f}"


def _row(what: str, here: str, beside: str = "") -> str:
    return f"{what:{WIDTH}}{here:>10}   {beside}".rstrip()
