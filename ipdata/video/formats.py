"""What a source may be: the containers that ffmpeg may open it with, and the suffixes of their files."""

# For each of ffmpeg's demuxers, the suffixes of its videos. Without the list a text file can pass as a subtitle or an
# ANSI picture, and a playlist can make ffmpeg read other files. Suffixes that mostly are audio or still pictures, such
# as .ogg and .heic, are left out; a CSV may name such a file.
SUFFIXES = {
    "asf": ".asf .wmv",
    "avi": ".avi .divx",
    "flv": ".flv",
    "h264": ".264 .avc .h264 .h26l",
    "hevc": ".265 .h265 .hevc",
    "ivf": ".ivf",
    "m4v": ".m4v",
    "matroska,webm": ".mk3d .mkv .webm",
    "mov,mp4,m4a,3gp,3g2,mj2": ".3g2 .3gp .f4v .ismv .mj2 .mov .mp4 .qt",
    "mpeg": ".m2p .mpe .mpeg .mpg .vob",
    "mpegts": ".m2t .m2ts .mts .tp .ts",
    "mpegvideo": ".m1v .m2v .mpv",
    "mxf": ".mxf",
    "ogg": ".ogm .ogv",
    "rm": ".rm .rmvb",
    "yuv4mpegpipe": ".y4m",
}
DEMUXERS = ",".join(SUFFIXES)
VIDEO_SUFFIXES = frozenset(" ".join(SUFFIXES.values()).split())

COPY_IT = "if it is a video, build from a copy in another format: ffmpeg -i VIDEO -c:v ffv1 COPY.mkv"
REFUSED = "Format not on whitelist"  # how libavformat begins to say that a format is none of DEMUXERS


def why_not_opened(said: str, log: tuple[int, str, str] | None) -> str:
    """Why libavformat does not open a file, in one line; of a format that is refused, its name and the cure.

    It names the format by the file's first bytes, before it reads any more of it.

    said: its error. log: level, logger and text of the last error that it logged; the logger is the format.
    """
    if log is None or not log[2].startswith(REFUSED):
        return said
    return f"ffmpeg takes it for {log[1]}, a format that is refused; {COPY_IT}"
