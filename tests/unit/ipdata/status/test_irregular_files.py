"""What is no regular file, or far too large, keeps no reader of an output waiting and fills no memory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from made_outputs import BEGUN, Made

from ipdata.reporting.contents import contents_of
from ipdata.status.state import status_of
from ipdata.status.words import in_words
from ipdata.steps.output import Output
from ipdata.steps.started import Started

Make = Callable[[Path], None]


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 30 << 30)


IRREGULAR = pytest.mark.parametrize("make", [os.mkfifo, endless, sparse])


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made(Output(tmp_path / "set"))
    made.begin(todo=0)
    made.receive("00000", samples=2)
    return made


def replace(path: Path, make: Make) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@IRREGULAR
def test_what_was_begun(made: Made, make: Make) -> None:
    replace(made.output.build_dir / "started.json", make)
    with pytest.raises(OSError, match=r"started\.json"):
        Started.read(made.output)


@IRREGULAR
def test_a_receipt_counts_as_lost_and_is_named(made: Made, make: Make) -> None:
    made.receive("00001", samples=3)
    replace(made.output.receipt_path("00000"), make)
    status = made.status()
    assert status.published.videos == 3
    assert "receipts  1 cannot be read, the first is .build/receipts/00000.json" in in_words(status, now=BEGUN)


@IRREGULAR
@pytest.mark.parametrize("name", ["samples/00000.jsonl", "mv/00000.idx.json"])
def test_records_and_indexes_are_named_on_the_page(made: Made, name: str, make: Make) -> None:
    for path in ("samples/00000.jsonl", "mv/00000.idx.json"):
        (made.output.directory / path).parent.mkdir(exist_ok=True)
        (made.output.directory / path).write_text('{"samples":[]}' if path.startswith("mv") else "")
    replace(made.output.directory / name, make)
    (said,) = contents_of(made.output, keys=[]).unread
    assert name in said


@IRREGULAR
def test_records_without_a_receipt(made: Made, make: Make) -> None:
    replace(made.output.directory / "samples/00007.jsonl", make)
    with pytest.raises(OSError, match=r"00007\.jsonl"):
        made.output.published_keys()


@pytest.mark.parametrize("make", [os.mkfifo, endless])
def test_a_lock(made: Made, make: Make) -> None:
    replace(made.output.lock, make)
    with pytest.raises(OSError, match="lock"):
        status_of(made.output.directory, now=BEGUN)
    with pytest.raises(OSError, match="lock"), made.output.locked():
        raise AssertionError("it was locked")
