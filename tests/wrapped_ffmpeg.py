"""An ffmpeg that misbehaves: a shell script around the real one."""

from pathlib import Path

from ipdata.video.transcode import executable

DETACHES_AND_HANGS = "setsid sleep 3600 </dev/null >/dev/null 2>&1 &\nsleep 3600"
IS_KILLED = "kill -KILL $$"


def wrapped_ffmpeg(folder: Path, *, first: str, of: str = "") -> Path:
    """Write an ffmpeg that runs this shell code before it transcodes a file whose name contains `of`."""
    path = folder / "ffmpeg"
    real = executable()
    path.write_text(
        f"""#!/bin/sh
case "$*" in
    -version) ;;
    *file:*{of}*) {first} ;;
esac
exec {real} "$@"
"""
    )
    path.chmod(0o755)
    return path
