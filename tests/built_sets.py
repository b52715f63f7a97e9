"""What several tests share: the arguments of a quick build, and hashes to compare sets by."""

import hashlib
from pathlib import Path

SMALL = ["--set=synthetic.frames=2", "--limit-videos=4"]  # of a build of the synthetic dataset
TRIAL = ["--classes=rotate_cw,rotate_ccw", "--limit-videos=3"]  # after SMALL: three of its videos


def quick_options(out: Path, **changes: object) -> list[str]:
    """Arguments of a build of 6 synthetic videos in 3 shards."""
    arguments = ["build", "--dataset=synthetic", f"--out={out}", "--limit-videos=6", "--classes=move_left,zoom_in,warm"]
    arguments += ["--set=synthetic.frames=14", "--set=shards.videos_per_shard=2"]
    return arguments + [f"--{name.replace('_', '-')}={value}" for name, value in changes.items()]


def tree(directory: Path) -> dict[str, str]:
    """Path -> sha256, for every file of a set; .build is no part of it."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    relative = {path.relative_to(directory).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in relative.items()
        if not name.startswith(".build/")
    }
