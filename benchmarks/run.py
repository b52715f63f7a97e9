"""`make bench`: measures every figure of docs/performance.md on the real clips in $IPTSN_DATA."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from benchmarks.builds import builds
from benchmarks.encodings import codec_table, encodings_table, material_of, recipes_table
from benchmarks.flow import flow
from benchmarks.flow_by_process import flow_by_process
from benchmarks.harness import write
from benchmarks.large_sets import large_sets
from benchmarks.loading import loading
from benchmarks.material import clips
from benchmarks.motion import motion
from benchmarks.sharing import sharing
from benchmarks.streaming import streaming_table
from benchmarks.training import BATCH, training_table
from benchmarks.training import RECIPE as TRAINED


def main() -> None:
    cv2.setNumThreads(1)
    with one_core():
        flow_figure, agreement = flow()
        figures = [flow_figure, *flow_by_process(), *motion(), *loading(), *large_sets()]
        material = material_of(clips())
        tables = {
            "Agreement of TV-L1 with OpenCV's field, four pairs a clip": agreement,
            "Stored encodings": encodings_table(material),
            "Recipes": recipes_table(material),
            "The codec residual": codec_table(clips()),
        }
    tables[f"Training on this machine, recipe `{TRAINED}`, batches of {BATCH}, one loader process"] = training_table()
    tables["Clips a second of an epoch of P-stream clips, one loader process, a server of 1 Gbit/s"] = streaming_table()
    figures += [*sharing(), *builds()]
    print(write(figures, tables))
    for figure in figures:
        print(figure.row())


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
