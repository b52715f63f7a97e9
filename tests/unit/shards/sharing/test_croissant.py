"""croissant.json names what the set holds, and keeps what people added to it."""

import hashlib
import json
from pathlib import Path

import pytest
from made_sets import make_set
from msgspec.structs import replace

from shards import Manifest, ShardError, ShardSet
from shards.sharing import croissant as module
from shards.sharing.croissant import croissant


def described(manifest: Manifest, **arguments: object) -> dict:
    return json.loads(croissant(manifest, **{"license": "unknown", **arguments}))  # type: ignore[arg-type]


def ids_in(value: object) -> list[str]:
    """The ids of all nodes, without references to them."""
    if isinstance(value, list):
        return [found for part in value for found in ids_in(part)]
    if not isinstance(value, dict):
        return []
    own = [value["@id"]] if len(value) > 1 and "@type" in value and "@id" in value else []
    return own + [found for name, part in value.items() if name != "@context" for found in ids_in(part)]


def test_every_tar_has_its_hash_and_its_size(made_dir: Path, made: ShardSet) -> None:
    files = {entry["contentUrl"]: entry for entry in described(made.manifest)["distribution"] if "contentUrl" in entry}
    tars = [path.relative_to(made_dir).as_posix() for path in made_dir.rglob("*.tar")]
    assert sorted(files) == sorted([*tars, "manifest.json", str(made.manifest.key_index)])
    for name, entry in files.items():
        data = (made_dir / name).read_bytes()
        assert (entry["sha256"], entry["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")


def test_ids_are_used_once_and_references_lead_to_them(made: ShardSet) -> None:
    value = described(made.manifest)
    ids = ids_in(value)
    assert len(set(ids)) == len(ids) > 70
    references = [field["source"]["fileSet"]["@id"] for each in value["recordSet"] for field in each["field"]]
    references += [each["@id"] for entry in value["distribution"] for each in entry.get("containedIn", ())]
    assert set(references) <= set(ids)


def test_records_are_described_field_by_field(made: ShardSet) -> None:
    records, *columns = described(made.manifest)["recordSet"]
    types = {field["name"]: field["dataType"] for field in records["field"]}
    assert types["frames"] == "sc:Integer"
    assert types["video_sha256"] == types["subset_split1"] == "sc:Text" and "group" not in types
    assert [each["name"] for each in columns] == [f"column-{name}" for name in made.columns]


def test_groups_are_described_where_the_records_have_them(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, has_groups=True)
    records = described(manifest)["recordSet"][0]
    assert [field["dataType"] for field in records["field"] if field["name"] == "group"] == ["sc:Text"]


def test_many_tars_are_named_by_patterns(made: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED_TARS", 29)  # the set has 30
    value = described(made.manifest)
    sets = {entry["@id"]: entry["includes"] for entry in value["distribution"] if entry["@type"] == "cr:FileSet"}
    assert sets["ip-tsn/mv/tars"] == "mv/*.tar"
    assert not any(entry["@id"].endswith(".tar") for entry in value["distribution"])
    assert [each["name"] for each in value["recordSet"]] == ["records"]


def test_what_people_added_stays(made: ShardSet) -> None:
    value = described(made.manifest)
    value |= {"citeAs": "Somebody 2026", "name": "ours", "@context": {**value["@context"], "x": "http://x/"}}
    value["distribution"].append({"@id": "paper", "@type": "cr:FileObject"})
    value["distribution"][0]["sha256"] = "stale"
    value["recordSet"].append({"@id": "more"})
    again = described(made.manifest, old=json.dumps(value).encode())
    assert (again["citeAs"], again["name"], again["@context"]["x"]) == ("Somebody 2026", "ours", "http://x/")
    assert again["distribution"][-1] == {"@id": "paper", "@type": "cr:FileObject"}
    assert again["recordSet"][-1] == {"@id": "more"}
    assert again["distribution"][0] == described(made.manifest)["distribution"][0]
    fewer = described(replace(made.manifest, missing=["a"]), old=json.dumps(again).encode())
    assert len(fewer["distribution"]) == len(again["distribution"])


def test_the_licence_is_never_guessed(made: ShardSet) -> None:
    assert described(made.manifest)["license"] == "unknown"
    by_hand = json.dumps({"license": "mit"}).encode()
    assert described(made.manifest, old=by_hand)["license"] == "mit"
    assert described(made.manifest, old=by_hand, license="cc0-1.0")["license"] == "cc0-1.0"


@pytest.mark.parametrize("old", [b"[]", b"not JSON", b'{"a": NaN}'])
def test_another_file_of_its_name_is_not_overwritten(made: ShardSet, old: bytes) -> None:
    with pytest.raises(ShardError, match=r"^croissant\.json: "):
        croissant(made.manifest, license="unknown", old=old)
