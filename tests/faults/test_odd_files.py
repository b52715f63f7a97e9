"""FIFOs, sockets and devices where files of a set belong: refused by name, at once, and never opened."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import made_sets
import pytest
from sources import REPOSITORY

from shards.layout import MANIFEST, SIGNATURE

# Does with the set at argv[1] whatever takes a set, and prints what each refuses. argv[2] is free for what is written.
USE = """
import sys
from pathlib import Path
from shards import ShardError, ShardSet, verify
from shards.sharing.choice import Choice
from shards.sharing.diff import diff
from shards.sharing.push import push
from shards.sharing.sign import check_signature
from shards.sharing.take import take

here, free = Path(sys.argv[1]), Path(sys.argv[2])
(free / "allowed").write_text("")

def checked():
    shard_set = ShardSet(here)
    shard_set.check(shard_set.manifest.all_files())

def read():
    shard_set = ShardSet(here)
    for sample in shard_set:
        for column in shard_set.columns:
            shard_set.read_bytes(sample.key, column)

def part():
    take(here, free / "part", Choice(keys=frozenset([next(iter(ShardSet(here).keys)).key])))

def problems():
    for quick in (False, True):
        for problem in verify(here, quick=quick):
            print("problem", problem)

uses = {
    "check": checked,
    "read": read,
    "verify": problems,
    "subset": lambda: take(here, free / "whole", Choice()),
    "part": part,
    "push": lambda: push(here, f"file://{free}/pushed"),
    "diff": lambda: diff(here, free / "other", free / "scratch"),
    "signature": lambda: check_signature(here, allowed_signers=free / "allowed", identity="me"),
}
for name, use in uses.items():
    try:
        use()
        print(name, "done")
    except (ShardError, OSError) as error:
        print(name, "refused", error)
"""


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket may have 108 bytes
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "kind", "relative"),
    [
        (fifo, "a FIFO", "mv/00000.tar"),
        (fifo, "a FIFO", "samples/00000.jsonl"),
        (fifo, "a FIFO", MANIFEST),
        (fifo, "a FIFO", SIGNATURE),
        (unix_socket, "a socket", "samples/00000.jsonl"),
        (device, "a device", "mv/00000.tar"),
    ],
)
def test_what_is_no_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str, relative: str
) -> None:
    monkeypatch.chdir(tmp_path)  # what it is set back to
    for place in ("set", "free/other"):
        made_sets.make_set(tmp_path / place, made_sets.scenes(classes=1, per_class=3), columns=["mv"])
    (tmp_path / "set" / relative).unlink(missing_ok=True)
    make(tmp_path / "set" / relative)
    command = [sys.executable, "-c", USE, str(tmp_path / "set"), str(tmp_path / "free")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    if relative in ("mv/00000.tar", "samples/00000.jsonl"):
        assert f"check refused {tmp_path / 'set' / relative}: is {kind}, not a regular file" in said
        assert f"read refused {tmp_path / 'set' / relative}: is {kind}, not a regular file" in said
        assert f"problem {tmp_path / 'set' / relative}: cannot be read (is {kind}, not a regular file)" in said
        assert f"subset refused {tmp_path / 'set' / relative}: is {kind}, not a regular file" in said
        assert f"push refused {tmp_path / 'set' / relative}: is {kind}, not a regular file" in said
    elif relative == MANIFEST:
        named = f"{tmp_path / 'set' / MANIFEST}: cannot be read (is {kind}, not a regular file)"
        assert said.count(named) == 9  # verify says it twice
    else:
        assert f"is {kind}, not a regular file" in said.split("signature refused")[1]
        assert not (tmp_path / "free" / "whole" / SIGNATURE).exists()
