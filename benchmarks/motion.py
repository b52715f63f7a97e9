"""Motion vectors and residuals of a 100-frame clip on one thread, against bare decoding and motion-vector-extractor."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import av

from benchmarks.harness import Figure, side_by_side
from benchmarks.material import ROAD100
from ipdata.columns.residual import DEFINITIONS, definition_of
from ipdata.video import decode

ROUNDS = 20
STREAM = ROAD100.read_bytes() if ROAD100.exists() else b""
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
    figures = [
        _against_decode(f"all MVs and `{name}` residuals of road100 (91 P-frames)", lambda n=name: _residuals(n), bar)
        for name, bar in {name: 3.0 if name == "previous" else None for name in DEFINITIONS}.items()
    ]
    figures.append(_against_decode("16 P-frames' MVs and residuals, and the I-frames, of road100", _snippets, 1.7))
    if PEER_PYTHON.exists():
        figures.append(_against_extractor())
    else:
        print(f"motion-vector-extractor is not measured: {PEER_PYTHON} does not exist; `make bench` installs it")
    return figures


def _residuals(definition: str) -> None:
    encode = definition_of(definition)
    previous = None
    for picture in decode.pictures(ROAD100):
        if picture.mv is not None and previous is not None:
            encode(picture, previous)
        previous = picture


def _snippets() -> None:
    """Decode what a test of CoViAR's loader asks for, in one pass: the middles of 16 segments."""
    encode = definition_of("previous")
    p_frames = [n for n in range(100) if n % 12]
    wanted = {p_frames[(2 * segment + 1) * len(p_frames) // 32] for segment in range(16)}
    previous = None
    for number, picture in enumerate(decode.pictures(ROAD100)):
        if picture.mv is None:
            _ = picture.rgb
        elif number in wanted and previous is not None:
            encode(picture, previous)
        previous = picture


def _bare_decode() -> None:
    with av.open(io.BytesIO(STREAM), format="m4v") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def _against_decode(what: str, ours: Callable[[], None], slower_than: float | None) -> Figure:
    ours_s, peer_s = side_by_side(ours, _bare_decode, rounds=ROUNDS)
    bar = "reported" if slower_than is None else f"{slower_than:g} times the decode at most"
    if slower_than == 3:
        bar += ", 2.3 the aim"
    return Figure(
        what=f"{what}, one thread",
        ours_s=ours_s,
        peer="PyAV, bare decode",
        peer_s=peer_s,
        bar=bar,
        slower_than=slower_than,
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
