"""The commands of docs/sharing.md, from end to end, on a few short clips: what they print is what the page says."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import buckets
import s3fs
from sources import REPOSITORY

from shards import ShardSet, verify

CLIPS_PER_CLASS = 3
SHORTER = {  # options that the test adds
    "ipdata build": "--limit-frames=14",
    "ipmodel train": "--set phases.mr_2d.epochs=1 --set phases.mr_2d.optimiser.steps=[] --set phases.mr_2d.batch=2",
}
# What differs from run to run, and with the number of clips.
VARYING = [
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"ssh-ed25519 \S+", "KEY"),
    (r"\b[a-z0-9_][a-z0-9_-]*-[0-9a-f]{8}\b", "SAMPLE"),
    (r"[0-9.]+ (bytes|kB|MB|GB)", "SIZE"),
    (r"\b[0-9]+\b", "N"),
]


def commands_of_the_page() -> Iterator[tuple[str, str]]:
    """Each command of the page, and what it prints there."""
    page = (REPOSITORY / "docs" / "sharing.md").read_text("utf-8")
    for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def masked(text: str) -> str:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def few_clips(source: Path, directory: Path) -> None:
    """A dataset of the same form with the first clips of each class."""
    with (source / "videos.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    classes = sorted({row[1] for row in rows})
    kept = [row for name in classes for row in [row for row in rows if row[1] == name][:CLIPS_PER_CLASS]]
    for path, *_ in kept:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, directory / path)
    with (directory / "videos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *kept])


def test_the_page_does_what_it_says(data: Path, tmp_path: Path) -> None:
    few_clips(data / "ut_interaction", tmp_path / "ut_interaction")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with buckets.bucket("lab-one"):
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("lab-two")
        environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(REPOSITORY),
            "IPTSN_CACHE": str(tmp_path / "cache"),
        }
        for command, expected in commands_of_the_page():
            added = next((more for begin, more in SHORTER.items() if command.startswith(begin)), "")
            done = subprocess.run(
                f"{command} {added}", shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert masked(done.stdout.replace(f"{tmp_path}/", "")) == masked(expected), command
            if command.startswith("ipshards sign"):
                (tmp_path / "allowed_signers").write_text(done.stdout.split("allowed signers: ")[1])
        there = ShardSet("s3://lab-two/ut-hug-kick")
        assert there.columns == ["mv", "residual", "flow", "video"] and len(there) == 2 * CLIPS_PER_CLASS
        assert list(verify("s3://lab-two/ut-hug-kick")) == []
        assert there.manifest.parent == ShardSet("s3://lab-one/ut").manifest.sha256


def test_the_page_names_the_whole_way() -> None:
    verbs = {" ".join(command.split()[:2]) for command, _ in commands_of_the_page()}
    told = {"ipdata build", "ipdata derive", "ipdata prove", "ipmodel train"}
    assert verbs >= told | {f"ipshards {verb}" for verb in ("push", "pull", "verify", "card", "sign")}
