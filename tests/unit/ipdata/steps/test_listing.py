"""Listings of files at a URL equal those of the same files in a directory."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from ipdata.datasets import dataset_of
from ipdata.errors import BuildError
from ipdata.steps import listing
from ipdata.steps.listing import listing_of
from shards.store import transport
from shards.store.listed import ListedFile, files_below

FILES = {
    "hmdb51": {
        "wave/a.avi": b"a",
        "wave/.hidden.avi": b"h",
        "walk/b.avi": b"bb",
        "walk/c.avi": b"ccc",
        **{f"lists/wave_test_split{number}.txt": b"a.avi 1\nmissing.avi 2\n" for number in (1, 2, 3)},
        **{f"lists/walk_test_split{number}.txt": b"b.avi 2\n" for number in (1, 2, 3)},
    },
    "ucf101": {
        "UCF-101/Wave/v_Wave_g01.avi": b"a",
        "UCF-101/Walk/v_Walk_g01.avi": b"b",
        "lists/classInd.txt": b"1 Walk\n2 Wave\n",
        **{f"lists/trainlist0{number}.txt": b"Wave/v_Wave_g01.avi 2\n" for number in (1, 2, 3)},
        **{f"lists/testlist0{number}.txt": b"Walk/v_Walk_g01.avi\n" for number in (1, 2, 3)},
    },
}


@pytest.fixture
def url() -> Iterator[str]:
    """A folder of fsspec's file system in memory."""
    folder = f"/{uuid.uuid4().hex}"
    yield f"memory:/{folder}/videos"
    fsspec.filesystem("memory").rm(folder, recursive=True)


def put(url: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        fsspec.filesystem("memory").pipe(f"{url}/{name}", data)


@pytest.mark.parametrize("dataset", FILES)
def test_a_url_is_listed_as_a_directory_is(dataset: str, url: str, tmp_path: Path) -> None:
    put(url, FILES[dataset])
    for name, data in FILES[dataset].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    here = dataset_of(dataset).listing(tmp_path, None, None, None)
    there = listing_of(dataset_of(dataset), url, None, None, None)
    sources = [video.source for video in there.videos]
    assert [b"".join(source.chunks()) for source in sources if isinstance(source, ListedFile)] == [
        video.source.read_bytes() for video in here.videos if isinstance(video.source, Path)
    ]
    as_here = [replace(far, source=near.source) for far, near in zip(there.videos, here.videos, strict=True)]
    assert replace(there, videos=tuple(as_here)) == here and here.videos


def test_errors_name_the_url(url: str) -> None:
    put(url, {"wave/a.avi": b"a", "x_test_split1.txt": b"nonsense\n", "hmdb51_org.rar": b"Rar!"})
    with pytest.raises(BuildError) as refused:
        listing_of(dataset_of("hmdb51"), url, None, None, None)
    text = str(refused.value)
    assert text.startswith(f"hmdb51: no x_test_split2.txt beside the other lists\nExpected: {url}/<class>/*.avi")
    assert text.endswith(
        f"There are archives, such as {url}/hmdb51_org.rar: fetch them, and unpack them with `ipdata unpack`."
    )


def test_a_list_that_is_too_large_is_not_fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(url, FILES["hmdb51"])
    monkeypatch.setattr(listing, "MAX_LIST_BYTES", 20)
    with pytest.raises(BuildError, match=r"wave_test_split[123]\.txt: is larger than any list"):
        listing_of(dataset_of("hmdb51"), url, None, None, None)


def test_a_list_that_changes_meanwhile_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def replaced(url: str) -> list[ListedFile]:
        listed = files_below(url)
        put(url, {"lists/walk_test_split1.txt": b"another"})
        return listed

    put(url, FILES["hmdb51"])
    monkeypatch.setattr(listing, "files_below", replaced)
    monkeypatch.setattr(transport, "WAITS_S", (0.0, 0.0, 0.0))
    with pytest.raises(BuildError, match=r"walk_test_split1\.txt: was listed with .* run the same command again"):
        listing_of(dataset_of("hmdb51"), url, None, None, None)


def test_names_that_no_directory_can_hold_are_named(url: str, caplog: pytest.LogCaptureFixture) -> None:
    put(url, {"wave/a.avi": b"a", "wave//b.avi": b"b", f"{300 * 'n'}.avi": b"c"})
    with pytest.raises(BuildError, match=r"n\.avi: no directory here can have a file of this name .*too long"):
        listing_of(dataset_of("folder"), url, None, None, None)
    assert "1 names are no paths of files, such as 'wave//b.avi'; they are left out" in caplog.text
