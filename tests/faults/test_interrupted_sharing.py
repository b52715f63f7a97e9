"""Ctrl-C or SIGTERM while a server is silent: the command ends at once, not when the server is given up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from serving import Served

from shards import ShardSet
from shards.layout import MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.take import take
from shards.store.transport import STALL_S

AT_ONCE_S = STALL_S / 3  # a process needs a second to end; a busy machine some more


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    made_sets.make_set(directory / "set", per_shard=3, grouped=False)
    with serving.serving(directory, ranges=True) as server:
        yield server


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("verify", signal.SIGINT),
        ("pull", signal.SIGINT),
        ("pull-part", signal.SIGINT),
        ("verify", signal.SIGTERM),
        ("pull", signal.SIGTERM),
    ],
)
def test_it_ends_at_once_and_leaves_no_temporary_files(
    served: Served, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    key = ShardSet(served.directory / "set").samples_of("00001")[1].key
    (tmp_path / "keys").write_text(f"{key}\n")
    arguments = {
        "verify": ["verify", f"{served.url}/set"],
        "pull": ["pull", f"{served.url}/set", str(tmp_path / "out")],
        "pull-part": ["pull", f"{served.url}/set", str(tmp_path / "out"), f"--keys={tmp_path / 'keys'}"],
    }
    served.faults["set/residual/00001.tar"] = [serving.stalled]
    served.stalled.clear()
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "IPTSN_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "shards.cli", *arguments[command]],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert served.stalled.wait(60)
    time.sleep(0.5)  # the first half of the reply arrives
    interrupted_s = time.monotonic()
    process.send_signal(number)
    _, messages = process.communicate()
    assert time.monotonic() - interrupted_s < AT_ONCE_S
    assert process.returncode == 130 and "Traceback" not in messages
    assert messages.splitlines()[-1].startswith("interrupted; run the same command again; ")
    assert list((tmp_path / "tmp").iterdir()) == []
    if command != "verify":
        assert not (tmp_path / "out" / MANIFEST).exists()
        chosen = Choice(keys=frozenset([key])) if command == "pull-part" else Choice()
        take(f"{served.url}/set", tmp_path / "out", chosen)
        assert (tmp_path / "out" / MANIFEST).is_file()
