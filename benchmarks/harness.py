"""Times two things side by side in one run, and writes the results with the machine and the versions."""

import json
import os
import platform
import statistics
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("IPTSN_DATA", Path(__file__).parents[2] / "shared" / "data"))
REPORTED = "reported"  # how the words for a bar begin where there is none
PACKAGES = ("av", "dask", "imageio-ffmpeg", "numba", "numpy", "opencv-contrib-python-headless", "torch")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured ratio and its bar. Seconds are those of each round, or the medians of each clip in `clips`."""

    what: str
    ours_s: list[float]
    peer: str
    peer_s: list[float]
    bar: str  # in words: "at least 15 times faster"
    faster_than: float | None = None  # peer / ours must be at least this
    slower_than: float | None = None  # ours / peer must be at most this
    at_most_s: float | None = None  # the median of ours must be at most this
    notes: dict[str, Any] = field(default_factory=dict)
    clips: tuple[str, ...] = ()

    @property
    def ratios(self) -> list[float]:
        """Of each round or clip: peer / ours if the bar is `faster_than`, otherwise ours / peer."""
        pairs = zip(self.ours_s, self.peer_s, strict=True)
        return [peer / ours if self.faster_than else ours / peer for ours, peer in pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def worst(self) -> str:
        """The clip with the worst ratio; "" if there is one clip only."""
        if not self.clips:
            return ""
        worst = min(self.ratios) if self.faster_than else max(self.ratios)
        return self.clips[self.ratios.index(worst)]

    @property
    def met(self) -> bool:
        if self.at_most_s is not None and statistics.median(self.ours_s) > self.at_most_s:
            return False
        if self.faster_than:
            return self.ratio >= self.faster_than
        return self.slower_than is None or self.ratio <= self.slower_than

    def row(self) -> str:
        """A line of the page's first table. What has no bar is not said to meet it."""
        times = [f"{statistics.median(s):.3g} s ({min(s):.3g} to {max(s):.3g})" for s in (self.ours_s, self.peer_s)]
        verdict = "" if self.bar.startswith(REPORTED) else "yes" if self.met else "**no**"
        ratio = f"{self.ratio:.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f}{self.worst and f', {self.worst}'})"
        return f"| {self.what} | {times[0]} | {self.peer}: {times[1]} | {ratio} | {self.bar} | {verdict} |"


def grouped_table(figure: Figure, heading: str, group_of: Callable[[str], str]) -> str:
    """A row for each group of a figure's clips: the median of its ratios, and their range."""
    groups: dict[str, list[float]] = defaultdict(list)
    for clip, ratio in zip(figure.clips, figure.ratios, strict=True):
        groups[group_of(clip)].append(ratio)
    rows = [f"| {heading} | ratio (range) | of |", "| --- | --- | --- |"]
    for group, ratios in groups.items():
        rows.append(
            f"| {group} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {len(ratios)} |"
        )
    return "\n".join(rows)


def side_by_side(
    ours: Callable[[], Any], peer: Callable[[], Any], *, rounds: int, warm_up: bool = True
) -> tuple[list[float], list[float]]:
    """Seconds of both sides, which run in turn. With warm_up, a first round does not count."""
    if warm_up:
        ours()
        peer()
    ours_s, peer_s = [], []
    for _ in range(rounds):
        for run, seconds in ((ours, ours_s), (peer, peer_s)):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return ours_s, peer_s


def machine() -> dict[str, Any]:
    """Processor, cores and versions of packages; no host name and no paths."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    installed = {distribution.name for distribution in metadata.distributions()}
    names = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(names)) or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES if package in installed},
    }


def write(figures: list[Figure], tables: dict[str, str]) -> Path:
    """Write all results to a dated JSON file, and the tables to docs/performance.md, between its markers."""
    path = write_figures(figures, tables=tables)
    described = ", ".join(f"{name} {value}" for name, value in machine().items())
    measured = textwrap.fill(f"Measured on {date.today().isoformat()}: {described}.", 120)
    head = (
        "| what | ours, median (range) | peer, median (range) | ratio (range, worst clip) | bar | met |\n"
        + "| --- " * 6
        + "|"
    )
    parts = [measured, "\n".join([head, *(f.row() for f in figures)])]
    parts += [f"### {title}\n\n{table}" for title, table in tables.items()]
    page = Path(__file__).parents[1] / "docs" / "performance.md"
    before, _, rest = page.read_text().partition("<!-- measured -->")
    after = rest.partition("<!-- end -->")[2]
    page.write_text(f"{before}<!-- measured -->\n" + "\n\n".join(parts) + f"\n<!-- end -->{after}")
    return path


def write_figures(figures: list[Figure], *, name: str = "", tables: dict[str, str] | None = None) -> Path:
    """Write figures to a dated JSON file, whose name ends with `name`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{date.today().isoformat()}{name and f'-{name}'}.json"
    values = [asdict(f) | {"ratio": f.ratio, "ratios": f.ratios, "worst": f.worst, "met": f.met} for f in figures]
    written = {"machine": machine(), "figures": values, **({"tables": tables} if tables else {})}
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path
