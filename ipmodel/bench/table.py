"""Table 1 of the paper for our code, as text: our figures, and the paper's beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

PAPER_DEVICE = "the paper's, TITAN RTX"
# The paper's Table 1: ms for one video, and G multiply-adds. "all" is IP TSN, both streams.
PAPER_MS = {
    "preprocessing": {"i": 3.3, "p": 11.4, "all": 14.7},
    "network": {"i": 43.1, "p": 8.5},
}
PAPER_TOTAL_MS = 66.3
PAPER_PER_S = 15.1
PAPER_COST = {"i": 185.6, "p": 33.9, "all": 219.5}
WIDTH = 46


def table1(measured: Mapping[str, Any]) -> str:
    """The lines of the table. measured: what `ipmodel.bench.measure.measure` returns."""
    return "\n".join(_lines(measured))


def _lines(measured: Mapping[str, Any]) -> Iterator[str]:
    machine, networks = measured["machine"], measured["networks"]
    sizes = f"{measured['frames']:.0f} frames of {'x'.join(map(str, measured['picture_px']))} px"
    yield f"{machine['device']}, PyTorch {machine['torch']}; {measured['videos']} videos, on average {sizes}"
    as_papers = all(_is_papers(network) for network in networks.values())
    yield _row("one video at a time", "here", PAPER_DEVICE)
    for source, by_stream in measured["preprocessing_s"].items():
        for stream, seconds in by_stream.items():
            beside = PAPER_MS["preprocessing"].get(stream) if source == "video" and as_papers else None
            yield _row(f"preprocessing from {source}, {_called(stream)}, ms", _ms(seconds), _figure(beside))
    for stream, network in networks.items():
        for kind, seconds in network["seconds"].items():
            beside = _paper(network, PAPER_MS["network"], stream) if kind == "plain" else None
            yield _row(f"network {stream}, {kind}, ms", _ms(seconds["1"]), _figure(beside))
    total_s, both = total_of(measured), as_papers and set(networks) == {"i", "p"}
    yield _row("all together, ms", _ms(total_s), _figure(PAPER_TOTAL_MS if both else None))
    yield _row("videos/s", f"{1 / total_s:.1f}", _figure(PAPER_PER_S if both else None))
    yield _row("at best", "here")
    for stream, network in networks.items():
        kind, size, rate = best_of(network)
        yield _row(f"network {stream}, {kind}, {size} clips at once, videos/s", f"{rate:.1f}")
    for source, rate in measured["predictions_per_s"].items():
        yield _row(f"whole predictions from {source}, videos/s", f"{rate:.1f}")
    yield _row("multiply-adds of a video, G", "here", "the paper's")
    for stream, network in networks.items():
        yield _row(f"network {stream}", _giga(network["multiply_adds"]), _figure(_paper(network, PAPER_COST, stream)))
    cost = sum(network["multiply_adds"] for network in networks.values())
    yield _row("all together", _giga(cost), _figure(PAPER_COST["all"] if both else None))


def total_of(measured: Mapping[str, Any]) -> float:
    """Seconds for one video, one step after the other: from its bitstream where that was measured, and the networks."""
    preprocessing = measured["preprocessing_s"]
    networks = [min(seconds["1"] for seconds in own["seconds"].values()) for own in measured["networks"].values()]
    return float(preprocessing.get("video", preprocessing["columns"])["all"] + sum(networks))


def best_of(network: Mapping[str, Any]) -> tuple[str, int, float]:
    """How a network is fastest: the way it runs, clips at once, and clips/s."""
    rates = [
        (int(size) / seconds, kind, int(size))
        for kind, by_size in network["seconds"].items()
        for size, seconds in by_size.items()
    ]
    rate, kind, size = max(rates)
    return kind, size, rate


def _paper(network: Mapping[str, Any], figures: Mapping[str, float], stream: str) -> float | None:
    """The paper's figure, if this is the network that it measured."""
    return figures.get(stream) if _is_papers(network) else None


def _is_papers(network: Mapping[str, Any]) -> bool:
    depth = {"i": 152, "mr": 18}.get(network["modality"])
    return (network["depth"], network["frames"], network["size_px"]) == (depth, 16, 224)


def _called(stream: str) -> str:
    return "all streams" if stream == "all" else f"stream {stream}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _giga(count: float) -> str:
    return f"{count / 1e9:.1f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _row(what: str, here: str, beside: str = "") -> str:
    return f"{what:{WIDTH}}{here:>10}   {beside}".rstrip()
