"""A loader on a set at a URL fetches files ahead of its order, in the background, and changes no batch by that."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import made_sets
import pytest
import serving
import torch
from serving import Served

from ipmodel.data.batch import Batch
from ipmodel.data.clips import Clips, ClipSettings, Draw, loader
from ipmodel.data.sampling import Batches
from ipmodel.recipe import Input
from shards import ShardError, ShardSet
from shards.store import ahead, transport
from shards.store.ahead import THREAD

SETTINGS = ClipSettings(modalities=("mr",), segments=2, input=Input(resize_px=32, crop_px=32))
BATCHES = Batches(samples=17, batch=3, seed=5)
EPOCHS = 2


@pytest.fixture(scope="module")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ahead")
    made_sets.make_set(directory / "set", made_sets.scenes(per_class=6), columns=["mv", "residual", "flow"])
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert THREAD not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def served(made_dir: Path) -> Iterator[Served]:
    with serving.serving(made_dir, latency_s=0.02) as server:
        yield server


def draws() -> Iterator[list[Draw]]:
    for epoch in range(EPOCHS):
        for numbers in BATCHES.of(epoch):
            yield [(epoch, number) for number in numbers]


def clips_of(location: str | Path) -> Clips:
    shard_set = ShardSet(location)
    clips = Clips(shard_set, list(shard_set.samples()), SETTINGS)
    assert len(clips) == BATCHES.samples
    return clips


def paths_in_order(clips: Clips) -> list[str]:
    """The files of the columns, in the order in which batches need them."""
    return list(dict.fromkeys(path for step in draws() for path in clips.paths_of(step) if "samples" not in path))


def asked_of(served: Served) -> list[str]:
    return [path.removeprefix("set/") for path in served.asked if path.endswith((".tar", ".idx.json"))]


def assert_equal(batch: Batch, expected: Batch) -> None:
    assert batch.columns.keys() == expected.columns.keys() and batch.windows == expected.windows
    for name, stored in batch.columns.items():
        assert torch.equal(stored, expected.columns[name])
    assert torch.equal(batch.numbers_B, expected.numbers_B)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def complete(cache: Path) -> list[Path]:
    return [path for path in cache.glob("??/*") if ".part" not in path.name]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_directory_and_each_file_is_asked_for_once(
    served: Served, made_dir: Path, workers: int
) -> None:
    clips = clips_of(f"{served.url}/set")
    near = list(loader(clips_of(made_dir / "set"), draws, workers=0))
    far = list(loader(clips, draws, workers=workers))
    assert len(far) == len(near) == EPOCHS * BATCHES.steps
    for batch, expected in zip(far, near, strict=True):
        assert_equal(batch, expected)
    assert sorted(asked_of(served)) == sorted(paths_in_order(clips))
    assert sum(batch.fetch_wait_s for batch in far) > 0 and sum(batch.fetch_wait_s for batch in near) == 0


def test_while_a_batch_is_used_the_files_of_the_next_ones_arrive_in_their_order(served: Served, cache: Path) -> None:
    clips = clips_of(f"{served.url}/set")
    with closing(loader(clips, draws, workers=0)) as batches:
        assert next(batches).fetch_wait_s > 0
        wait_until(lambda: len(asked_of(served)) == len(paths_in_order(clips)))
        asked, expected = asked_of(served), paths_in_order(clips)
        first = [path for path in expected if path in clips.paths_of(next(draws()))]
        late = [asked.index(path) - place for place, path in enumerate(expected)]
        assert max(late) <= len(first) + 4  # what the first batch fetched by itself; and four files at a time
        wait_until(lambda: len(complete(cache)) == len(set(served.asked)) - 1)  # all but the manifest
        assert sum(batch.fetch_wait_s for batch in batches) == 0


def test_no_more_is_fetched_ahead_than_the_cache_may_hold(
    served: Served, made_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips_of(f"{served.url}/set")
    infos = clips.shard_set.manifest.all_files()
    bytes_of_a_step = max(sum(infos[path].bytes for path in set(clips.paths_of(step))) for step in draws())
    monkeypatch.setenv("IPTSN_CACHE_MAX", str(3 * bytes_of_a_step))
    near = loader(clips_of(made_dir / "set"), draws, workers=0)
    with closing(loader(clips, draws, workers=0)) as batches:
        assert_equal(next(batches), next(near))
        asked = -1
        while asked != len(asked_of(served)):  # until nothing more comes
            asked = len(asked_of(served))
            time.sleep(0.3)
        assert sum(infos[path].bytes for path in asked_of(served)) <= 3.5 * bytes_of_a_step
        assert asked < len(paths_in_order(clips))
        for batch, expected in zip(batches, near, strict=True):
            assert_equal(batch, expected)
    assert sum(path.stat().st_size for path in cache.glob("??/*")) <= 3 * bytes_of_a_step


def test_it_ends_in_the_middle_of_a_file(served: Served, cache: Path) -> None:
    clips = clips_of(f"{served.url}/set")
    last = next(path for path in reversed(paths_in_order(clips)) if path.endswith(".tar"))
    served.faults[f"set/{last}"] = [serving.stalled]
    with closing(loader(clips, draws, workers=0)) as batches:
        next(batches)
        assert served.stalled.wait(30)
    assert not list(cache.rglob("*.part"))
    assert len(list(loader(clips, draws, workers=0))) == EPOCHS * BATCHES.steps


def test_an_error_comes_where_the_file_is_needed(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    clips = clips_of(f"{served.url}/set")
    last = next(path for path in reversed(paths_in_order(clips)) if path.endswith(".tar"))
    served.faults[f"set/{last}"] = [serving.forbidden] * 9
    needing = [step for step, draw in enumerate(draws()) if last in clips.paths_of(draw)]
    read = 0
    refused = pytest.raises(ShardError, match=f"{last}: access is refused")
    with closing(loader(clips, draws, workers=0)) as batches, refused:
        for _ in batches:
            read += 1
            if read == 1:
                wait_until(lambda: f"fetching ahead: {served.url}/set/{last}" in caplog.text)
    assert read == needing[0] > 1


@pytest.mark.parametrize("failing", [{"f3"}, {f"f{number}" for number in range(100)}], ids=["one", "all"])
def test_a_failure_leaves_one_file_to_the_reader_and_many_end_it(
    failing: set[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ahead, "PAUSE_S", 0.01)
    asked: list[str] = []

    def fetch(name: str, _: threading.Event) -> None:
        asked.append(name)
        if name in failing:
            raise ConnectionResetError("the network was away")

    wanted = [[f"f{number}"] for number in range(100)]
    with ahead.FetchingAhead(wanted, fetch, bytes_of=lambda _: 1, max_bytes=1000):
        if len(failing) == 1:
            wait_until(lambda: len(asked) == 100)
        else:
            wait_until(lambda: "fetching ahead has ended after" in caplog.text)
    assert len(asked) == 100 or len(asked) < ahead.MAX_FAILURES + ahead.FILES_AT_ONCE


def test_a_set_in_a_directory_needs_no_threads(made_dir: Path) -> None:
    before = threading.active_count()
    with closing(loader(clips_of(made_dir / "set"), partial(draws), workers=0)) as batches:
        assert next(batches).fetch_wait_s == 0 and threading.active_count() == before
