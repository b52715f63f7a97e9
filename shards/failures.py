"""Why a video is not in a set: a stage and a code, the same on every machine."""

from dataclasses import dataclass

from shards.errors import ShardError

STAGES = ("source", "transcode", "decode", "encode", "worker")
CODES = {
    "empty": "the file has no bytes",
    "unreadable": "the file cannot be read (permissions, or the disk)",
    "not_a_video": "no known video container or bitstream",
    "changed": "the file changed while it was read",
    "no_video_stream": "a container without a video stream",
    "no_frames": "not one frame decodes",
    "truncated": "far fewer frames decode than the container announces",
    "damaged": "parts of the bitstream do not decode",
    "transcode_failed": "ffmpeg refused the video",
    "frame_count": "the transcoded video has not as many frames as an independent decode of the source",
    "picture_types": "the transcoded video has not the pictures I P P ... that its GOP asks for",
    "unsupported": "the bitstream uses a feature that this extraction does not know",
    "timeout": "not done within the time allowed",
    "crash": "native code crashed or the process was killed",
    "error": "an unforeseen error; its text is in the build's log",
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that could not be built: its stage and a code of CODES; free text stays in the build's log."""

    key: str
    name: str
    stage: str
    code: str

    def __post_init__(self) -> None:
        if type(self.key) is not str or type(self.name) is not str:
            raise ShardError(f"a failure needs a key and a name, got {self}")
        if self.stage not in STAGES or self.code not in CODES:
            raise ShardError(f"{self.key}: unknown stage {self.stage!r} or code {self.code!r}")
