"""A disk that is full while a training writes its log: one error in the thread that trains, and no log is lost."""

import errno
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sources import REPOSITORY

from ipmodel.runs.log import EVENTS, LINE, lines_of

# Logs steps until a file would have more than 4000 bytes. TensorBoard's grows faster than ours.
USE = """
import resource, sys
from pathlib import Path
from ipmodel.runs.log import Log

log = Log(Path(sys.argv[1]), first_step=int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    for step in range(int(sys.argv[2]) + 1, 500):
        log.write(step=step, loss=1.0)
except OSError as error:
    print(error.errno, step)
"""


def test_a_full_disk_ends_in_one_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", USE, str(tmp_path), "0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    code, step = map(int, done.stdout.split())
    assert code == errno.EFBIG and "Traceback" not in done.stderr and "thread" not in done.stderr, done.stderr
    assert len(lines_of(tmp_path / LINE)) == step


def test_files_are_read_in_the_order_in_which_they_were_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in one second, in which two numbers of nanoseconds differ in length, or round to different seconds."""
    from ipmodel.runs.log import Log

    names = []
    for begun_ns in (5_900_000, 50_000_000, 400_000_000, 600_000_000, 1_300_000_000):
        monkeypatch.setattr("time.time_ns", lambda begun_ns=begun_ns: 1_795_000_000 * 10**9 + begun_ns)
        Log(tmp_path, first_step=0).close()
        names += [path.name for path in (tmp_path / EVENTS).iterdir() if path.name not in names]
    assert len(names) == 5 and names == sorted(names)


def test_what_is_written_is_what_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ipmodel.runs.log import Log

    for first_step, last_step in ((0, 5), (3, 6)):  # the second one resumes after step 3
        log = Log(tmp_path, first_step=first_step)
        if first_step == 0:
            settings = {"batch": 8, "modality": "mr", "optimiser": {"rate": 0.5, "steps": [3, 5]}}
            log.begin(settings, lambda: cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes())
        for step in range(first_step + 1, last_step + 1):
            log.write(step=step, loss=step + first_step / 10, rate=0.5, feature=0.1)
        log.close()
    read = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert sorted(read.Tags()["scalars"]) == ["learning rate", "loss/all terms", "loss/feature"]
    losses = [(event.step, round(event.value, 3)) for event in read.Scalars("loss/all terms")]
    assert losses == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.3), (5, 5.3), (6, 6.3)]
    assert [line["step"] for line in lines_of(tmp_path / LINE)] == [1, 2, 3, 4, 5, 6]
    assert read.Images("input")[0].encoded_image_string.startswith(b"\x89PNG")
    started = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"optimiser.steps" in started and b"[3, 5]" in started
