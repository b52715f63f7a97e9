"""ffmpeg, for tests that need genuine files."""

import subprocess
from pathlib import Path

from ipdata.video.transcode import executable


def ffmpeg(*arguments: str | int | Path) -> None:
    """Run ffmpeg with these arguments; it replaces files."""
    subprocess.run([executable(), "-y", "-v", "error", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)
