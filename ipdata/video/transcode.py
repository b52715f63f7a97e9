"""Transcode any video to MPEG-4 Part 2 of one size and GOP, in one ffmpeg run.

The only module that spells ffmpeg's flags. docs/decisions.md says why each flag is there; together they gave equal
bytes on different FFmpeg versions and CPUs.
"""

import functools
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import ffmpeg
import imageio_ffmpeg

from ipdata.errors import BuildError, VideoError
from ipdata.faults import MORE_MEMORY, ending_of, was_killed
from ipdata.video.checksums import Checksum, checksums_in, without_checksums
from ipdata.video.formats import DEMUXERS
from shards.atomic import named

EXECUTABLE_VARIABLE = "IPDATA_FFMPEG"
IMAGEIO_VARIABLE = "IMAGEIO_FFMPEG_EXE"  # which imageio-ffmpeg heeds
PIPE_BYTES = 1 << 16  # that are read from ffmpeg at a time
VERSION_S = 60  # that ffmpeg may take to state its version
FILE_BYTES = 1 << 20  # that are written at a time
SPARE_FRAMES = 100  # that ffmpeg may write beyond those that the source has, before it is ended
PX_BYTES = 3  # of a pixel in a bitstream, at most: twice those of a picture that is not compressed
MESSAGES_BYTES = 4096  # on stderr about one frame, at most
MAX_PIXELS = 2**26  # of a source picture; a file that asks for more than 8192x8192 is hostile


@dataclass(frozen=True, kw_only=True)
class Transcode:
    """The recipe's table [transcode]: MPEG-4 Part 2 at one size. Section 4.1 of the paper: 340x256, GOP 12.

    Raises ValueError for what the encoder cannot do.
    """

    width: int  # px
    height: int  # px
    gop: int  # frames: an I-frame and the P-frames up to the next one
    quantiser: int  # 2 is the finest

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side_px = getattr(self, name)
            if side_px % 2 or not 16 <= side_px <= 8190:
                raise ValueError(f"{name} must be even, 16 to 8190, got {side_px}")
        if not 1 <= self.gop <= 600:
            raise ValueError(f"gop must be 1 to 600 frames, got {self.gop}")
        if not 2 <= self.quantiser <= 31:
            raise ValueError(f"quantiser must be 2 (finest) to 31, got {self.quantiser}")

    def picture_types(self, frames: int) -> str:
        """The picture types that a video of so many frames must have: "IPPPPPPPPPPPIPP..."."""
        return "".join("P" if number % self.gop else "I" for number in range(frames))


def executable(named: str | None = None) -> str:
    """The ffmpeg to run: `named`, or $IPDATA_FFMPEG, or imageio-ffmpeg's. Raises BuildError if there is none."""
    chosen = named or os.environ.get(EXECUTABLE_VARIABLE) or os.environ.get(IMAGEIO_VARIABLE)
    if chosen:
        return chosen
    brought = sorted((Path(imageio_ffmpeg.__file__).parent / "binaries").glob("ffmpeg-*"))
    if len(brought) == 1:  # `version` tries whether it runs, and waits for no longer than a stated time
        return str(brought[0])
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise BuildError(
            f"imageio-ffmpeg brings no executable for this machine ({error}); name one with --ffmpeg"
        ) from None


@functools.cache
def version(path: str) -> str:
    """The version that an ffmpeg executable states. Raises BuildError if it does not run."""
    try:
        words = _printed([path, "-version"]).split()
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{path} does not run as ffmpeg ({error}); name another with --ffmpeg") from None
    if words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        said = f"its -version prints {' '.join(words)[:60]!r}" if words else "its -version prints nothing"
        raise BuildError(f"{path} does not run as ffmpeg ({said}); name another with --ffmpeg")
    return words[2]


def _printed(arguments: list[str]) -> str:
    """What a program prints that runs for VERSION_S at most. Nothing of it goes on if it hangs or prints too much.

    Raises: OSError; SubprocessError if it does not end, or fails.
    """
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a process group of its own, which is ended whole
    ) as process:
        try:
            data = _read_all(process, ends_s=time.monotonic() + VERSION_S)
            status = process.wait(VERSION_S)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if status:
        raise subprocess.CalledProcessError(status, arguments)
    return data.decode("utf-8", "replace")


def _read_all(process: subprocess.Popen[bytes], *, ends_s: float) -> bytes:
    """What a process writes to stdout. Raises: SubprocessError if that is more than PIPE_BYTES, or takes too long."""
    assert process.stdout is not None  # Popen was asked for it
    pipe, data = process.stdout.fileno(), bytearray()
    with selectors.DefaultSelector() as pipes:
        pipes.register(pipe, selectors.EVENT_READ)
        while len(data) <= PIPE_BYTES:
            if not pipes.select(max(ends_s - time.monotonic(), 0)):
                raise subprocess.TimeoutExpired(process.args, VERSION_S)
            part = os.read(pipe, PIPE_BYTES)
            if not part:
                return bytes(data)
            data += part
    raise subprocess.SubprocessError(f"its -version prints more than {PIPE_BYTES} bytes")


def command(
    source: Path,
    settings: Transcode,
    *,
    limit_frames: int | None,
    path: str,
    checksum_rows: int | None = None,
) -> list[str]:
    """The arguments of the ffmpeg run, which writes the elementary stream to stdout, and errors to stderr.

    checksum_rows: write the checksum of each picture that is decoded to stderr, too; 1, 2 or 4 for each so many rows.
    """
    reading = {
        "threads": 1,
        "idct": "simple",
        "flags": "+bitexact",
        "max_pixels": MAX_PIXELS,
        "protocol_whitelist": "file",
        "format_whitelist": DEMUXERS,
        "reinit_filter": 0,  # the scaler handles changes of picture size; a new filter would count frames from 0
    }
    scale = f"scale={settings.width}:{settings.height}:flags=bicubic+accurate_rnd+bitexact"
    times = "settb=1/25,setpts=N"
    passing: dict[str, str | int] = {
        "map": "0:V:0",  # the first video stream that is no cover picture
        "fps_mode": "passthrough",
        "enc_time_base": "1/25",
    }
    if limit_frames is not None:
        passing["frames:v"] = limit_frames
    writing = {
        **passing,
        "vf": f"{scale}:out_color_matrix=bt601:out_range=tv,setsar=1,format=yuv420p,{times}",
        "c:v": "mpeg4",
        "q:v": settings.quantiser,
        "g": settings.gop,
        "bf": 0,
        "sc_threshold": 1_000_000_000,  # no I-frame at a scene cut
        "map_metadata": -1,
        "dct": "int",
        "idct": "simple",
        "threads": 1,
        "flags": "+bitexact",
        "fflags": "+bitexact",
        "f": "m4v",
    }
    stream = ffmpeg.input(f"file:{source.absolute()}", **reading)
    outputs = [stream.output("pipe:1", **writing)]
    if checksum_rows is not None:
        # scale keeps pictures of the first one's size as they are, and makes others fit, which no encoder takes.
        rows = ",field=top" * (checksum_rows // 2)  # field takes every second row
        raw = {**passing, "vf": f"scale{rows},{times}", "c:v": "rawvideo", "threads": 1, "f": "framecrc"}
        outputs.append(stream.output("pipe:2", **raw, flush_packets=1))  # whole lines, between those of errors
    run = ffmpeg.merge_outputs(*outputs).global_args("-nostdin", "-hide_banner", "-loglevel", "error")
    arguments: list[str] = run.compile(cmd=path)
    return arguments


def transcode(
    source: Path,
    settings: Transcode,
    to: Path,
    *,
    frames: int,
    limit_frames: int | None = None,
    path: str,
    checksum_rows: int,
) -> list[Checksum]:
    """Transcode a video to an MPEG-4 Part 2 elementary stream in a file: one frame out for each frame in.

    If a signal ends ffmpeg, it is run once more.

    frames: how many frames the source has up to limit_frames; ffmpeg is ended if it writes far too much for these.
    path: the executable. checksum_rows: 1, 2 or 4; each so many rows are in the checksums.

    Returns: the checksums of the source's pictures.

    Raises: VideoError if ffmpeg refuses. On much damaged input it exits 0: callers must count the result's pictures.
        BuildError if ffmpeg was killed twice, or writes no checksums; OSError if it cannot be started, or the file
        cannot be written.
    """
    arguments = command(source, settings, limit_frames=limit_frames, path=path, checksum_rows=checksum_rows)
    limit_bytes = (frames + SPARE_FRAMES) * (PX_BYTES * settings.width * settings.height + MESSAGES_BYTES)
    for _ in range(2):
        with named(to), to.open("wb", FILE_BYTES) as file:
            status, messages = _run(arguments, file, limit_bytes)
        if status >= 0:
            break
    how = ending_of(status)
    if was_killed(status):
        raise BuildError(f"{source}: ffmpeg was killed twice ({how}). {MORE_MEMORY}")
    if status != 0 or not to.stat().st_size:
        detail = without_checksums(messages).strip()[-2000:]
        raise VideoError("transcode", "transcode_failed", f"ffmpeg ended with {how}: {detail}")
    checksums = checksums_in(messages)
    if not checksums:
        raise BuildError(f"{path}: writes no checksums with its muxer framecrc; name another ffmpeg with --ffmpeg")
    return checksums


def _run(arguments: list[str], file: BinaryIO, limit_bytes: int) -> tuple[int, str]:
    """Run ffmpeg, and write to a file what it writes to stdout, as it comes. Returns its status and its stderr.

    If ffmpeg wrote to the file itself, a full disk would look like a refusal of the video.

    Raises: VideoError if it writes more than limit_bytes; OSError.
    """
    messages, written = bytearray(), 0
    with (
        subprocess.Popen(
            arguments, bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
        selectors.DefaultSelector() as pipes,
    ):
        assert process.stdout is not None and process.stderr is not None  # Popen was asked for both
        pipes.register(process.stdout, selectors.EVENT_READ, file.write)
        pipes.register(process.stderr, selectors.EVENT_READ, messages.extend)
        try:
            while pipes.get_map():
                for ready, _ in pipes.select():
                    data = os.read(ready.fd, PIPE_BYTES)
                    if not data:
                        pipes.unregister(ready.fileobj)
                    ready.data(data)
                    written += len(data)
                if written > limit_bytes:
                    raise VideoError("transcode", "transcode_failed", f"ffmpeg writes more than {limit_bytes} bytes")
        except BaseException:
            process.kill()
            raise
    return process.returncode, messages.decode("utf-8", "replace")
