"""Today's code reads the sets that the first writers of each format wrote, and still writes the same bytes."""

import hashlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from shards import ShardSet
from shards.verify import verify

GOLDEN_DIR = Path(__file__).parents[1] / "golden"
SHA256 = {  # of the manifests
    1: "1ae6cef27afe091d0c39921b4d607e4bba18b9ec81487ede24ae843646a389d8",
    2: "68d3974e105c5909c20bbe37574daf9586258c0a0389bbece788f3336df8b8a6",
}
EMPTY = hashlib.sha256().hexdigest()

# Recorded when the set was made: key, frames, sha256 of the vectors as little-endian int16.
SAMPLES = [
    ("clip_1_1-dfa4963d", 1, EMPTY),
    ("clip_0_1-4fa6fe21", 15, "9fce80e19572081b0c55f3ac5d8cd623962a381533f23c3e1490d88a6d764f54"),
    ("clip_1_0-cf3d974d", 14, "7bd64da830170a530cd2e34b01287c994161c56330c059fb58a8974590dbb662"),
    ("clip_0_0-af462d8e", 14, "b4b613b1698618baecb3d8f8825e0a48925f289b8c6b67b52fafaea06143e4ef"),
]
# Key, column, position, then row and column of a pixel, and its stored levels.
LEVELS = [
    ("clip_1_1-dfa4963d", "iframe", 0, 10, 20, [120, 86, 180]),
    ("clip_0_0-af462d8e", "iframe", 0, 10, 20, [176, 197, 128]),
    ("clip_0_0-af462d8e", "residual", 3, 5, 0, [63, 144, 125]),
    ("clip_0_1-4fa6fe21", "residual", 3, 5, 1, [105, 80, 145]),
    ("clip_0_0-af462d8e", "flow", 11, 10, 20, [147, 128]),  # 3 px to the right
    ("clip_1_0-cf3d974d", "flow", 11, 10, 20, [115, 134]),  # 2 px to the left, 1 down
]


@pytest.fixture(scope="module", params=list(SHA256), ids="format{}".format)
def golden(request: pytest.FixtureRequest) -> ShardSet:
    return ShardSet(GOLDEN_DIR / f"format{request.param}")


def test_it_is_small_and_sound(golden: ShardSet) -> None:
    assert sum(path.stat().st_size for path in Path(golden.location).rglob("*") if path.is_file()) < 200_000
    assert list(verify(golden.location)) == []
    assert golden.manifest.sha256 == SHA256[golden.manifest.format]


def test_both_formats_hold_the_same_payloads() -> None:
    one, two = (ShardSet(GOLDEN_DIR / f"format{number}") for number in SHA256)
    for (key, _, _), column in itertools.product(SAMPLES, one.columns):
        assert one.read_bytes(key, column) == two.read_bytes(key, column)
        assert two.sample(key).video_sha256 == hashlib.sha256(one.read_bytes(key, "video")).hexdigest()


def test_records_and_vectors_are_as_recorded(golden: ShardSet) -> None:
    found = [
        (s.key, s.frames, hashlib.sha256(golden.read(s.key, "mv").astype("<i2").tobytes()).hexdigest())
        for s in golden.samples()
    ]
    assert found == SAMPLES
    mv = golden.read("clip_1_0-cf3d974d", "mv", [0, 1])
    assert mv.shape == (2, 3, 3, 2)
    assert mv[0, 0, 0].tolist() == [-4, 2]
    assert mv[1, 2, 2].tolist() == [-32768, -32768]
    assert [s.key for s in golden.samples(split="1", subset="test")] == [key for key, _, _ in SAMPLES[:2]]


def test_pictures_are_as_recorded(golden: ShardSet) -> None:
    for key, column, position, row, x, levels in LEVELS:
        found = golden.read(key, column, [position], stored=True)[0, row, x]
        # JPEG decoders may differ, but only by rounding.
        assert np.abs(found.astype(int) - levels).max() <= 2, (key, column)


def test_today_s_writer_writes_the_same_bytes(
    golden: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(GOLDEN_DIR))
    sys.modules.pop("make", None)
    import make  # type: ignore[import-not-found]

    make.made_sets.make_set(tmp_path, make.scenes(), format=golden.manifest.format)
    directory = Path(golden.location)
    folders = ("samples", "mv", "video")  # JPEG bytes depend on the version of the library
    names = [path.relative_to(directory) for folder in folders for path in (directory / folder).iterdir()]
    assert len(names) == 10
    for name in [*map(str, names), *golden.manifest.root_files]:
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes(), name
