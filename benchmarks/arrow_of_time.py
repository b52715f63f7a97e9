"""Makes a folder of videos whose classes differ in the direction of time: each clip forward, and each clip reversed.

Run it with `python -m benchmarks.arrow_of_time SOURCE OUT`. SOURCE is what the dataset `folder` takes, with a
videos.csv. OUT becomes one too: of the class "hug" it has "hug_forward" and "hug_backward". Both directions of a clip
lie in the same subset of each split, and are one group. Both are stored without loss, as FFV1, so a build transcodes
both from the same pictures.
"""

import argparse
import csv
import subprocess
from pathlib import Path

from ipdata.video.transcode import executable

DIRECTIONS = {"forward": [], "backward": ["-vf", "reverse"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with (given.source / "videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    splits = [name for name in rows[0] if name not in ("path", "label", "group")]
    given.out.mkdir(parents=True)
    with (given.out / "videos.csv").open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(["path", "label", "group", *splits])
        for row in rows:
            for direction in DIRECTIONS:
                label = f"{row['label']}_{direction}"
                name = f"{label}/{Path(row['path']).stem}.mkv"
                store(given.source / row["path"], given.out / name, direction)
                written.writerow([name, label, row.get("group") or row["path"], *(row[split] for split in splits)])


def store(clip: Path, path: Path, direction: str) -> None:
    """Decodes all pictures of a clip and stores them without loss, in this direction."""
    path.parent.mkdir(exist_ok=True)
    same = ["-fflags", "+bitexact", "-flags:v", "+bitexact"]  # no random identifiers: equal clips give equal files
    lossless = ["-an", "-fps_mode", "passthrough", "-c:v", "ffv1", *same, str(path)]
    command = [executable(), "-v", "error", "-i", str(clip), *DIRECTIONS[direction], *lossless]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
