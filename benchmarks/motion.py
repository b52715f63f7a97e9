"""Motion vectors and residuals on one thread, against bare decoding and motion-vector-extractor.

Clips of all datasets, each transcoded at several quantisers, because the cost of decoding depends on the bitrate.
"""

import io
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import av

from benchmarks.harness import REPORTED, Figure, grouped_table, side_by_side
from benchmarks.material import AT, QUANTISERS, RECIPE, ROAD100, SIZE, clips_of_all_datasets, transcoded
from ipdata.columns.residual import definition_of
from ipdata.steps.chosen import chosen_frames
from ipdata.video import decode
from ipmodel.data.sampling import middle_positions
from shards.columns import COLUMNS

ROUNDS = 20  # against the peer
CLIP_ROUNDS = 5
FRAMES = 100  # of a clip, at most
SNIPPETS = 16  # of the whole clip, P-frames and I-frames each
BARS = {"previous": 2.3, "accumulated": 3.0, "codec": None}  # definition -> times the decode, at most
PEER_PYTHON = Path(
    "build/peers/bin/python"
)  # motion-vector-extractor brings another OpenCV: it has its own environment
PEER = """
import sys
from mvextractor.videocap import VideoCap
for path in sys.stdin:
    video = VideoCap()
    video.open(path.strip())
    while video.read()[0]:
        pass
    video.release()
    print("done", flush=True)
"""


def motion() -> list[Figure]:
    with ExitStack() as files:
        streams, whole = _bitstreams(files, frames=FRAMES), _bitstreams(files, frames=None)
        figures = [
            _against_decode(f"all MVs and `{name}` residuals", partial(_residuals, name), streams, bar)
            for name, bar in BARS.items()
        ]
        what = f"{SNIPPETS} P-frames' MVs and residuals and up to {SNIPPETS} I-frames of whole clips"
        figures.append(_against_decode(what, _snippets, whole, 1.5))
        figures.append(_against_decode(f"{what}, through JPEG as predictions have them", _stored, whole, None))
    if PEER_PYTHON.exists():
        figures.append(_against_extractor())
    else:
        print(f"motion-vector-extractor is not measured: {PEER_PYTHON} does not exist; `make bench` installs it")
    return figures


def by_quantiser(figures: Sequence[Figure]) -> dict[str, str]:
    """A table for each figure that has several: the ratios at each quantiser."""
    several = [figure for figure in figures if figure.clips]
    return {
        f"By quantiser: {figure.what}": grouped_table(figure, "quantiser", lambda clip: clip.rpartition(AT)[2])
        for figure in several
    }


def _bitstreams(files: ExitStack, *, frames: int | None) -> dict[str, Path]:
    """The bitstreams of all clips at all quantisers, by name, in temporary files that end with `files`."""
    return {
        f"{clip.stem}{AT}{quantiser}": files.enter_context(
            transcoded(clip, replace(RECIPE.transcode, quantiser=quantiser), frames=frames)
        )
        for clip in clips_of_all_datasets()
        for quantiser in QUANTISERS
    }


def _residuals(definition: str, stream: Path) -> None:
    encode = definition_of(definition)
    previous = None
    for picture in decode.pictures(stream):
        if picture.mv is not None and previous is not None:
            encode(picture, previous)
        previous = picture


def _snippets(stream: Path) -> None:
    """Decode in one pass what a test of CoViAR's loader asks for."""
    encode = definition_of("previous")
    wanted, iframes = _wanted(decode.coded_picture_types(stream))
    needed = wanted | iframes | {number - 1 for number in wanted}
    previous = None
    for number, picture in zip(sorted(needed), decode.pictures(stream, needed=needed, with_mv=wanted), strict=True):
        if number in iframes:
            _ = picture.rgb
        elif number in wanted and previous is not None:
            encode(picture, previous)
        previous = picture


def _stored(stream: Path) -> None:
    """Make of these frames what the columns of a set have, and decode that."""
    types = decode.coded_picture_types(stream)
    wanted, iframes = _wanted(types)
    choice = {"iframe": sorted(iframes), "mv": sorted(wanted), "residual": sorted(wanted)}
    (frames,) = chosen_frames(stream, [choice], RECIPE, picture_types=types)
    for name, encoded in frames.columns.items():
        for data in encoded.values():
            COLUMNS[name].decode(data, **SIZE)


def _wanted(types: str) -> tuple[set[int], set[int]]:
    """The numbers of the P-frames in the middles of segments, and of the I-frames. Short clips have fewer."""
    numbers = [[number for number, kind in enumerate(types) if kind == wanted] for wanted in "PI"]
    p_frames, iframes = ({of[n] for n in middle_positions(len(of), SNIPPETS)} for of in numbers)
    return p_frames, iframes


def _bare_decode(stream: Path) -> None:
    with av.open(io.BytesIO(stream.read_bytes()), format="m4v") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def _against_decode(
    what: str, ours: Callable[[Path], None], streams: Mapping[str, Path], slower_than: float | None
) -> Figure:
    """streams: name -> bitstream."""
    medians = []
    for stream in streams.values():
        both = side_by_side(partial(ours, stream), partial(_bare_decode, stream), rounds=CLIP_ROUNDS)
        medians.append([statistics.median(seconds) for seconds in both])
    ours_s, peer_s = map(list, zip(*medians, strict=True))
    return Figure(
        what=f"{what}, {len(streams)} bitstreams, one thread",
        ours_s=ours_s,
        peer="PyAV, bare decode",
        peer_s=peer_s,
        bar=REPORTED if slower_than is None else f"{slower_than:g} times the decode at most",
        slower_than=slower_than,
        clips=tuple(streams),
    )


def _against_extractor() -> Figure:
    """Both sides decode, convert all pictures to RGB and give their vectors: ours as a grid, the peer's as a list."""

    def ours() -> None:
        for picture in decode.pictures(ROAD100):
            _ = picture.rgb

    with subprocess.Popen(
        [PEER_PYTHON, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # Popen was asked for both

        def peer() -> None:
            print(ROAD100, file=process.stdin, flush=True)
            if process.stdout.readline() != "done\n":
                raise RuntimeError("motion-vector-extractor failed")

        ours_s, peer_s = side_by_side(ours, peer, rounds=ROUNDS)
        process.stdin.close()
    return Figure(
        what="all pictures in RGB and MVs of road100, one thread",
        ours_s=ours_s,
        peer="motion-vector-extractor 2.0",
        peer_s=peer_s,
        bar="reported, times faster",
        faster_than=1,
    )
