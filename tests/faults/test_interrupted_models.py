"""Ctrl-C and SIGTERM while `ipmodel` waits for a silent server: it ends in seconds and says how to go on."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from forked_programs import started
from serving import serving, stalled
from training import train_options

from shards.store.transport import STALL_S

AT_ONCE_S = STALL_S / 2  # a busy machine needs some seconds to end a process


@pytest.mark.parametrize(
    ("verb", "number", "cure"),
    [
        ("eval", signal.SIGINT, "run the same command again; it scores all videos anew"),
        ("eval", signal.SIGTERM, "run the same command again; it scores all videos anew"),
        ("train", signal.SIGINT, "run the same command again to continue from the last checkpoint"),
    ],
)
def test_it_ends_in_one_line(trained: Path, tmp_path: Path, verb: str, number: signal.Signals, cure: str) -> None:
    shutil.copytree(trained / "set", tmp_path / "served" / "set")
    with serving(tmp_path / "served", ranges=True) as served:
        for tar in (tmp_path / "served" / "set" / "iframe").glob("*.tar"):
            served.faults[f"set/iframe/{tar.name}"] = [stalled] * 9
        url, loading = f"{served.url}/set", "--set=workers=2"
        arguments = {
            "eval": ["eval", trained / "run", f"--shards={url}", f"--out={tmp_path / 'out'}", loading],
            "train": train_options(url, tmp_path / "run", trained / "quick.toml", "--phase=i_stream", loading),
        }
        errors = tmp_path / "errors"
        process = started(*arguments[verb], errors=errors, new_session=True, IPTSN_CACHE=str(tmp_path / "cache"))
        assert served.stalled.wait(90)
        time.sleep(0.5)  # the first half of the reply arrives
        begun_s = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # a terminal sends it to all processes
        else:
            process.send_signal(number)
        status = process.wait()
        assert time.monotonic() - begun_s < AT_ONCE_S
    messages = errors.read_text()
    assert status == 130 and messages.splitlines()[-1] == f"interrupted; {cure}", messages
    assert "Traceback" not in messages, messages
