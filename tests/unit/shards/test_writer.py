"""The writer writes exactly what it is given, and refuses what a reader could not use."""

from pathlib import Path

import made_sets
import pytest

from shards import ShardError
from shards.index import read_index
from shards.layout import files_of
from shards.manifest import FileInfo
from shards.tar import walk_tar
from shards.writer import write_shard

SCENES = made_sets.scenes()[:2]
SAMPLES = [made_sets.sample_of(scene) for scene in SCENES]
PAYLOADS = [made_sets.payloads_of(scene) for scene in SCENES]


def test_files_members_and_index_agree(tmp_path: Path) -> None:
    files = write_shard(tmp_path, "00007", SAMPLES, {"mv": [payloads["mv"] for payloads in PAYLOADS]})
    assert set(files) == set(files_of("00007", ["mv"]))
    assert {path: FileInfo.of(tmp_path / path) for path in files} == files
    data = (tmp_path / "mv/00007.tar").read_bytes()
    entries = read_index((tmp_path / "mv/00007.idx.json").read_bytes(), column="mv", where="here")
    names = [name for name, _, _ in walk_tar(tmp_path / "mv/00007.tar")]
    assert names == [f"{scene.key}.{suffix}" for scene in SCENES for suffix in ("json", "cls", "mv.npy")]
    for entry, sample, payloads in zip(entries, SAMPLES, PAYLOADS, strict=True):
        assert data[entry.json[0] :][: entry.json[1]] == sample.to_json()
        assert data[entry.cls[0] :][: entry.cls[1]] == str(sample.class_id).encode()
        for position in range(len(payloads["mv"])):
            offset, size = entry.frame(position)
            assert data[offset : offset + size] == payloads["mv"].frame(position)
    assert (tmp_path / "samples/00007.jsonl").read_bytes() == b"".join(sample.to_json() for sample in SAMPLES)


@pytest.mark.parametrize("column", ["iframe", "mv", "residual", "flow", "video"])
def test_a_payload_with_another_number_of_frames_is_refused(tmp_path: Path, column: str) -> None:
    payloads = [PAYLOADS[0][column], PAYLOADS[1]["video" if column == "iframe" else "iframe"]]
    with pytest.raises(ShardError, match=rf"{SCENES[1].key}: {column} must have [0-9]+ frames, got"):
        write_shard(tmp_path, "00000", SAMPLES, {column: payloads})


def test_every_sample_needs_a_payload(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        write_shard(tmp_path, "00000", SAMPLES, {"mv": [PAYLOADS[0]["mv"]]})
