"""Why a video is not in a set: a stage and a code. They are the same on every machine."""

from shards.errors import ShardError
from shards.records import Record

STAGES = ("source", "transcode", "decode", "encode", "worker")
CODES = {
    "empty": "the file has no bytes",
    "unreadable": "the file cannot be read (permissions, or the disk)",
    "not_a_video": "no known video container or bitstream",
    "changed": "the file changed while it was read",
    "no_video_stream": "a container without a video stream",
    "no_frames": "no frame decodes",
    "truncated": "far fewer frames decode than the container announces",
    "damaged": "parts of the bitstream do not decode",
    "transcode_failed": "ffmpeg refused the video",
    "frame_count": "the transcoded video and an independent decode of the source differ in their numbers of frames",
    "picture_types": "the pictures of the transcoded video are not of the types I P P ... of the recipe's GOP",
    "unsupported": "the codec, a feature of the bitstream, or the length is not supported",
    "timeout": "extraction took longer than the time allowed",
    "crash": "native code crashed or the process was killed",
    "error": "an unexpected error; its text is in the build's log",
}
# These may be the fault of a disk, of a network, or of somebody who is still writing the file.
MAY_PASS = {"unreadable", "changed"}


class Failure(Record, frozen=True, kw_only=True):
    """A video that could not be built: the stage where it failed, and a code of CODES. Free text is in the build's log.

    Raises: ShardError for an unknown stage or code.
    """

    key: str
    name: str
    stage: str
    code: str

    def __post_init__(self) -> None:
        if self.stage not in STAGES or self.code not in CODES:
            raise ShardError(f"{self.key}: unknown stage {self.stage!r} or code {self.code!r}")

    @property
    def is_of_the_video(self) -> bool:
        """Tell whether it is certainly the video's fault, and not that of a machine, and will not pass by itself."""
        return self.stage != "worker" and self.code not in MAY_PASS


def reason_of(stage: str, code: str, detail: str) -> str:
    """Why a video failed, in one line, with its code. detail: free text, such as ffmpeg's messages or a traceback."""
    return f"{code} ({stage}): {cause_of(code, detail)}"


def cause_of(code: str, detail: str) -> str:
    """As `reason_of`, without stage and code."""
    lines = detail.strip().splitlines() or ["no details"]
    line = lines[-1] if detail.startswith("Traceback") else lines[0]  # ffmpeg names the cause first
    return f"{CODES[code]}: {line}"
