"""`make bench`: measures every figure of docs/performance.md on the real clips in $IPTSN_DATA.

`python -m benchmarks.run flow motion` measures these parts alone, prints their rows and tables, and leaves the page as
it is.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import cv2

from benchmarks.builds import builds, stages_table
from benchmarks.encodings import codec_table, encodings_table, material_of, recipes_table
from benchmarks.flow import flow
from benchmarks.flow_by_process import by_gap, flow_by_process
from benchmarks.harness import Figure, write, write_figures
from benchmarks.large_sets import large_sets
from benchmarks.loading import loading
from benchmarks.material import clips
from benchmarks.motion import by_quantiser, motion
from benchmarks.scale import driver
from benchmarks.sharing import sharing
from benchmarks.streaming import streaming_table
from benchmarks.training import BATCH, training_table
from benchmarks.training import RECIPE as TRAINED

PARTS = {"flow_by_process": flow_by_process, "motion": motion, "loading": loading, "large_sets": large_sets}
TABLES = {"flow_by_process": by_gap, "motion": by_quantiser, "loading": by_quantiser}
ON_ALL_CORES = {"sharing": sharing, "builds": builds, "driver": driver}


def main() -> None:
    cv2.setNumThreads(1)
    if names := sys.argv[1:]:
        figures = []
        for name in names:
            if name == "flow":
                with one_core():
                    figure, tables = flow()
                figures.append(figure)
                show(tables)
            elif name in PARTS:
                with one_core():
                    figures += (new := PARTS[name]())
                if name in TABLES:
                    show(TABLES[name](new))
            else:
                figures += ON_ALL_CORES[name]()
        print(write_figures(figures, name="-".join(names)))
    else:
        figures = everything()
    for figure in figures:
        print(figure.row())


def everything() -> list[Figure]:
    """Measure all figures and tables, and write them to the page."""
    with one_core():
        flow_figure, agreement = flow()
        flows, motions, loads = flow_by_process(), motion(), loading()
        figures = [flow_figure, *flows, *motions, *loads, *large_sets()]
        material = material_of(clips())
        tables = {
            **by_gap(flows),
            **agreement,
            **by_quantiser([*motions, *loads]),
            "Stored encodings": encodings_table(material),
            "Recipes": recipes_table(material),
            "The codec residual": codec_table(clips()),
        }
    tables[f"Training on this machine, recipe `{TRAINED}`, batches of {BATCH}, one loader process"] = training_table()
    tables["Clips a second of an epoch of P-stream clips, one loader process, a server of 1 Gbit/s"] = streaming_table()
    tables["Stages of a build without flow, elapsed ms a frame"] = stages_table()
    figures += [*sharing(), *builds(), *driver()]
    print(write(figures, tables))
    return figures


def show(tables: Mapping[str, str]) -> None:
    for title, table in tables.items():
        print(f"### {title}\n\n{table}\n")


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process to one core inside the block; builds may use all cores afterwards."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
