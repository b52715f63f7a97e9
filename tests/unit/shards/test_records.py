"""Records refuse wrong values, and say which value is wrong."""

import json
import re
from typing import Any

import made_sets
import pytest
from msgspec.structs import replace
from refusing import refuses

from shards import Manifest, Sample, ShardError, ShardSet, canonical
from shards.columns import COLUMNS, column_of
from shards.failures import CODES, Failure
from shards.manifest import ColumnInfo, FileInfo
from shards.records import is_canonical

HEX = "0" * 64
SAMPLE = made_sets.sample_of(made_sets.scenes()[0])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("key", "Clip-0123abcd", "is not of the form"),
        ("key", 7, "Expected `str`, got `int` - at `$.key`"),
        ("class_id", -1, "cannot be negative"),
        ("class_id", True, "Expected `int`, got `bool` - at `$.class_id`"),
        ("class_id", 1.5, "Expected `int`, got `float` - at `$.class_id`"),
        ("class_name", None, "Expected `str`, got `null` - at `$.class_name`"),
        ("subsets", {}, "needs splits"),
        ("subsets", {"split1": "validation"}, "subsets must each be one of train, test, unused"),
        ("subsets", {"split 1": "train"}, "names of 1 to 64"),
        ("subsets", {"": "train"}, "names of 1 to 64"),
        ("subsets", {"split1": None}, "Expected `str`, got `null` - at `$.subsets[...]`"),
        ("subsets", {"split1": ["train"]}, "Expected `str`, got `array` - at `$.subsets[...]`"),
        ("frames", 13, "13 frames need as many picture types"),
        ("frames", 0, "sizes and frames must be positive"),
        ("picture_types", "P" * 14, "14 frames need as many picture types"),
        ("picture_types", "I" + "B" * 13, "14 frames need as many picture types"),
        ("width", 0, "sizes and frames must be positive"),
        ("height", -2, "sizes and frames must be positive"),
        ("height", "48", "Expected `int`, got `str` - at `$.height`"),
        ("source_width", 0, "sizes and frames must be positive"),
        ("source_frames", -1, "cannot be negative"),
        ("source_frames_announced", -1, "cannot be negative"),
        ("source_frame_rate", "29.97", 'rates are written like "30000/1001"'),
        ("source_frame_rate", "30/0", "rates are written like"),
        ("source_frame_rate", "٣٠/١", "rates are written like"),  # digits, but not 0-9
        ("source_time_base", "1/30000\n", "rates are written like"),
        ("source_pts", [0] * 13, "14 frames, but 13 source timestamps"),
        ("source_pts", [0.5] * 14, "Expected `int`, got `float` - at `$.source_pts[0]`"),
        ("source_sha256", "F" * 64, "64 hex digits"),
        ("source_sha256", "0" * 63, "64 hex digits"),
        ("video_sha256", "F" * 64, "video_sha256 must be 64 hex digits"),
        ("video_sha256", None, "Expected `str`, got `null` - at `$.video_sha256`"),
    ],
)
def test_sample_refuses(field: str, value: Any, message: str) -> None:
    refuses(SAMPLE, field, value, message)


def test_sample_survives_json() -> None:
    assert Sample.from_json(SAMPLE.to_json(), where="here") == SAMPLE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "line 3: not JSON"),
        (b"[]", "line 3: Expected `object`, got `array`"),
        (b"{}", "line 3: Object missing required field `key`"),
        (SAMPLE.to_json().replace(b'"name"', b'"title"'), "line 3: Object contains unknown field `title`"),
        (SAMPLE.to_json().replace(b'"height":48', b'"height":NaN'), "line 3: not JSON (JSON is malformed"),
        (SAMPLE.to_json().replace(b'"name":"', b'"name":"\xff'), "line 3: not JSON"),
    ],
    ids=["cut", "list", "empty", "renamed", "NaN", "not UTF-8"],
)
def test_sample_refuses_json(data: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=re.escape(message)):
        Sample.from_json(data, where="line 3")


def test_frame_numbers_go_by_picture_type() -> None:
    types = replace(SAMPLE, picture_types="IPPPPPPPPPPPIP").picture_types
    assert COLUMNS["iframe"].frame_numbers(types) == [0, 12]
    assert COLUMNS["flow"].frame_numbers(types) == [*range(1, 12), 13]
    assert COLUMNS["video"].frame_numbers(types) == list(range(14))


def test_unknown_columns_are_refused_with_those_there_are() -> None:
    with pytest.raises(ShardError, match="unknown column 'depth'; known: iframe, mv"):
        column_of("depth")
    assert list(COLUMNS) == ["iframe", "mv", "residual", "flow", "video"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bytes", -1, "a file needs its bytes and sha256"),
        ("bytes", 1.5, "Expected `int`, got `float` - at `$.bytes`"),
        ("bytes", True, "Expected `int`, got `bool` - at `$.bytes`"),
        ("sha256", "0", "a file needs its bytes and sha256"),
        ("sha256", HEX.replace("0", "G"), "a file needs its bytes and sha256"),
    ],
)
def test_file_info_refuses(field: str, value: Any, message: str) -> None:
    refuses(FileInfo(bytes=1, sha256=HEX), field, value, message)


def test_failure_takes_only_known_stages_and_codes() -> None:
    Failure(key="a-00000000", name="a", stage="decode", code=next(iter(CODES)))
    with pytest.raises(ShardError, match="unknown stage 'upload' or code 'empty'"):
        Failure(key="a-00000000", name="a", stage="upload", code="empty")
    with pytest.raises(ShardError, match="unknown stage 'decode' or code 'oops'"):
        Failure(key="a-00000000", name="a", stage="decode", code="oops")


def test_a_column_needs_its_media_and_the_versions_of_its_tools() -> None:
    good = {
        "recipe": {},
        "recipe_sha256": canonical.sha256_value({}),
        "encoding": {"media": "npy"},
        "tools": {"numpy": "2"},
    }
    ColumnInfo(**good)
    for wrong in ({"encoding": {}}, {"tools": {"numpy": 2}}, {"tools": ["numpy"]}, {"encoding": {"media": 1}}):
        with pytest.raises(ShardError):
            ColumnInfo.from_json(canonical.dumps({**good, **wrong}), where="here")


def test_a_column_needs_the_hash_of_its_recipe() -> None:
    with pytest.raises(ShardError, match="is not the hash of the recipe"):
        ColumnInfo(recipe={"quality": 95}, recipe_sha256=HEX, encoding={"media": "jpeg"}, tools={})


def change(manifest: Manifest, **fields: Any) -> Manifest:
    return replace(manifest, **fields)


def test_manifest_refuses(made: ShardSet) -> None:
    manifest = made.manifest
    first = manifest.shards[0]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"format": 3}, "manifest has format 3, this version reads 1 and 2"),
        ({"format": 1}, "files and parent are fields of format 2, and it has format 1"),
        ({"parent": None}, 'parent must be the sha256 of a set or "", got None'),
        ({"parent": "G" * 64}, 'parent must be the sha256 of a set or ""'),
        ({"files": None}, "files must name one key index, keys- and the first digits of its sha256, got []"),
        ({"files": {}}, "files must name one key index"),
        ({"files": {"keys-00000001.txt": FileInfo(bytes=1, sha256=HEX)}}, "must name one key index"),
        ({"files": {**manifest.root_files, "keys-00000000.txt": FileInfo(bytes=1, sha256=HEX)}}, "must name one key"),
        ({"files": {**manifest.root_files, "../keys.txt": FileInfo(bytes=1, sha256=HEX)}}, "got '../keys.txt'"),
        ({"files": {**manifest.root_files, "manifest.json": FileInfo(bytes=1, sha256=HEX)}}, "got 'manifest.json'"),
        ({"columns": {"mv": replace(manifest.columns["mv"], algorithm=0)}}, "column mv: needs a payload that matches"),
        ({"columns": {"mv": replace(manifest.columns["mv"], payload="m4v")}}, "column mv: has payload mv.npy and"),
        ({"columns": {}}, "at least one column"),
        ({"columns": {"../mv": manifest.columns["mv"]}}, "a column's name must match"),
        ({"columns": {"samples": manifest.columns["mv"]}}, "and not be samples, got 'samples'"),
        ({"columns": {"mv": manifest.columns["mv"]}}, "does not list exactly the files of its columns"),
        ({"splits": {}}, "needs splits"),
        ({"splits": {"a b": manifest.splits["split1"]}}, "needs splits with names"),
        ({"splits": {"split1": manifest.splits["split1"]}}, "what its samples are in every split"),
        ({"classes": ["a", "a", "b"]}, "a class name stands twice in classes"),
        ({"order": {}}, "manifest: order needs seed and videos_per_shard as numbers and grouped, got {}"),
        ({"shards": []}, "at least one, each once, in order"),
        ({"shards": manifest.shards[::-1]}, "at least one, each once, in order"),
        ({"shards": [first, first]}, "at least one, each once, in order"),
        ({"samples": manifest.samples + 1}, "its shards have 9"),
        ({"frames": 0}, "0 frames, its shards have"),
        (
            {"splits": {s: {"train": 9, "test": 1, "unused": -1} for s in manifest.splits}},
            "must add up to 9 samples",
        ),
        ({"splits": {s: {"train": 8, "test": 2, "unused": 0} for s in manifest.splits}}, "must add up to 9 samples"),
        ({"splits": {s: {"train": 9} for s in manifest.splits}}, "must add up to 9 samples"),
    ]
    for fields, message in wrong:
        with pytest.raises(ShardError, match=re.escape(message)):
            change(manifest, **fields)


@pytest.mark.parametrize("number", ["0", "0000", "000000", "a0000", "٠٠٠٠٠", "../00"])
def test_a_shard_needs_a_number(made: ShardSet, number: str) -> None:
    with pytest.raises(ShardError, match="needs a number of five digits"):
        replace(made.manifest.shards[0], shard=number)


def test_shards_beyond_99999_stand_in_order_of_their_numbers(made: ShardSet) -> None:
    def numbered(number: str) -> Any:
        first = made.manifest.shards[0]
        return replace(first, shard=number, files={k.replace("00000", number): f for k, f in first.files.items()})

    shards = [numbered("99999"), numbered("100000")]
    fields: dict[str, Any] = {name: sum(getattr(s, name) for s in shards) for name in ("samples", "frames")}
    fields["splits"] = {s: {"train": 4, "test": 0, "unused": 0} for s in made.manifest.splits}
    assert [shard.shard for shard in replace(made.manifest, shards=shards, **fields).shards] == ["99999", "100000"]


def test_manifest_survives_json_and_names_itself(made: ShardSet) -> None:
    data = made.manifest.to_json()
    assert Manifest.from_json(data) == made.manifest
    assert json.loads(data)["sha256"] == made.manifest.sha256
    assert list(json.loads(data))[-1] == "sha256"


def test_columns_and_splits_stand_in_the_same_order_made_and_read(made: ShardSet) -> None:
    columns = dict(reversed(made.manifest.columns.items()))
    assert list(replace(made.manifest, columns=columns).columns) == list(COLUMNS)


def test_a_manifest_of_a_later_format_says_so_first() -> None:
    with pytest.raises(ShardError, match="format 3, this version reads 1 and 2; update the package"):
        Manifest.from_json(b'{"format":3,"something":"new","sha256":""}\n')


def test_manifest_refuses_values_of_the_wrong_type(made: ShardSet) -> None:
    value = json.loads(made.manifest.to_json())
    del value["sha256"]
    assert Manifest.from_json(made_sets.signed(value)) == made.manifest
    wrong = [7, None, "text", [], {}, [7], {"a": 7}, {"a": {}}]
    for field in value:
        for bad in wrong:
            if value[field] == bad or (field in ("dataset", "order") and isinstance(bad, dict)):
                continue
            if (field, bad) in [("classes", []), ("parent", "")]:  # valid
                continue
            with pytest.raises(ShardError, match=r"^there: (?!its bytes)"):
                Manifest.from_json(made_sets.signed({**value, field: bad}), where="there")


def test_a_manifest_that_is_not_canonical_is_refused(made: ShardSet) -> None:
    body = json.dumps(made.manifest.to_value()).encode() + b"\n"
    data = body[:-2] + f',"sha256":"{canonical.sha256_bytes(body)}"}}\n'.encode()
    with pytest.raises(ShardError, match="there: not canonical JSON"):
        Manifest.from_json(data, where="there")


def test_a_manifest_that_was_changed_says_so(made: ShardSet) -> None:
    data = made.manifest.to_json().replace(b'"name":"made"', b'"name":"fade"')
    with pytest.raises(ShardError, match="there: its bytes do not have the sha256 that it states; fetch it again"):
        Manifest.from_json(data, where="there")


def test_a_manifest_of_great_depth_is_refused() -> None:
    with pytest.raises(ShardError, match="there: not JSON"):
        Manifest.from_json(b'{"dataset":' + b"[" * 100_000, where="there")


def test_every_flipped_bit_of_a_manifest_is_found(made: ShardSet) -> None:
    data = made.manifest.to_json()
    for at in [*range(0, len(data), 37), *range(len(data) - 80, len(data))]:
        with pytest.raises(ShardError, match=r"^there: "):
            Manifest.from_json(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], where="there")


@pytest.mark.parametrize(
    "name", ["clip.avi", 'quoted "clip".avi', "back\\slash", "tab\tnewline\n", "\x01\x7f", "é ü 日本 🎥"]
)
def test_canonical_bytes_are_told_from_others(name: str) -> None:
    samples = [replace(SAMPLE, name=name), replace(SAMPLE, name="plain.avi")]
    data = b"".join(sample.to_json() for sample in samples)
    assert is_canonical(data, samples) and is_canonical(b"", [])
    lines = [json.loads(line) for line in data.splitlines()]
    others = [
        "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines),  # spaces
        "".join(json.dumps(dict(reversed(line.items())), separators=(",", ":")) + "\n" for line in lines),  # not sorted
        data.decode().removesuffix("\n"),
        data.decode() + "\n",
        data.decode().replace("plain", "pl\\u0061in"),
    ]
    raw = json.dumps(lines[0], sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    others += [raw + data.decode().splitlines(keepends=True)[1]] * (not name.isascii())
    assert not any(is_canonical(other.encode(), samples) for other in others)
