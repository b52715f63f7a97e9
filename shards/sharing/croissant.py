"""Describes a set in MLCommons' Croissant 1.0: what files it has, and what records are in them.

Croissant is JSON-LD. People may add fields, files and record sets of their own to it: those stay.
"""

import json
from typing import Any

from shards import canonical
from shards.errors import ShardError
from shards.keys import slug
from shards.layout import MANIFEST, samples_path, tar_path
from shards.manifest import FileInfo, Manifest
from shards.sharing.marks import UNKNOWN

LISTED_TARS = 256  # in sets of more, tars are named by patterns only; manifest.json has the hashes of all
OWN = "ip-tsn/"  # begins the ids of what is written here
VERSION = "http://mlcommons.org/croissant/1.0"
TEXT_TYPE = "sc:Text"
TYPES: dict[Any, str] = {int: "sc:Integer", str: TEXT_TYPE}  # of a record's fields that are described
JSON, JSON_LINES, TEXT = "application/json", "application/jsonlines", "text/plain"  # media of files
TAR, BYTES = "application/x-tar", "application/octet-stream"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(manifest: Manifest, *, license: str, old: bytes = b"", where: str = "croissant.json") -> bytes:
    """The bytes of croissant.json. It depends only on the arguments, so equal sets have equal ones.

    old: what the file held. What people wrote in it stays: every field that is not generated, so also another name and
    description; files and record sets whose `@id` is not ours; and its licence, if `license` is "unknown".

    Raises: ShardError that begins with `where` if `old` is no JSON object, so that nothing in it is lost.
    """
    before = parsed_croissant(old, where=where) if old else {}
    context = before.get("@context")
    generated = {
        "@context": {**(context if isinstance(context, dict) else {}), **CONTEXT},
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        **({} if license == UNKNOWN else {"license": license}),
        "distribution": _with_others(_distribution(manifest), before.get("distribution")),
        "recordSet": _with_others(_record_sets(manifest), before.get("recordSet")),
    }
    defaults = {
        "name": slug(str(manifest.dataset["name"])),
        "description": "Videos for action recognition, as shards of what compressed video holds.",
        "license": UNKNOWN,
    }
    return f"{json.dumps({**defaults, **before, **generated}, indent=2, allow_nan=False)}\n".encode("ascii")


def parsed_croissant(data: bytes, *, where: str) -> dict[str, Any]:
    """Raises: ShardError that begins with `where` if a croissant.json is no JSON object, or nested too deep."""
    value = canonical.loads(data, where=where)
    if not isinstance(value, dict):
        raise ShardError(f"{where}: holds no JSON object; move it away, and it is written again")
    canonical.check_depth(value, where=where)
    return value


def _with_others(own: list[dict[str, Any]], before: object) -> list[Any]:
    """Our entries, then those of other people that were there."""
    entries = before if isinstance(before, list) else [before] if before else []
    return own + [entry for entry in entries if not str(_id_of(entry)).startswith(OWN)]


def _id_of(entry: object) -> object:
    return entry.get("@id", "") if isinstance(entry, dict) else ""


def _distribution(manifest: Manifest) -> list[dict[str, Any]]:
    entries = [_file(MANIFEST, FileInfo.of_bytes(manifest.to_json()), JSON)]
    entries += [_file(name, info, TEXT) for name, info in manifest.root_files.items()]
    entries.append(_file_set("samples", includes=samples_path("*"), media=JSON_LINES))
    for name in manifest.columns:
        tars = [(tar_path(name, shard.shard), shard.files) for shard in manifest.shards]
        if not _lists_tars(manifest):
            entries.append(_file_set(f"{name}/tars", includes=tar_path(name, "*"), media=TAR))
            continue
        entries += [_file(path, files[path], TAR) for path, files in tars]
        held_in = [{"@id": OWN + path} for path, _ in tars]
        includes = f"*.{manifest.column(name).payload}"
        entries.append(_file_set(f"{name}/payloads", includes=includes, media=BYTES, containedIn=held_in))
    return entries


def _lists_tars(manifest: Manifest) -> bool:
    return len(manifest.shards) * len(manifest.columns) <= LISTED_TARS


def _file(path: str, info: FileInfo, media: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": OWN + path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{info.bytes} B",
        "encodingFormat": media,
        "sha256": info.sha256,
    }


def _file_set(name: str, *, includes: str, media: str, **more: Any) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": OWN + name,
        "name": name,
        "encodingFormat": media,
        "includes": includes,
        **more,
    }


def _record_sets(manifest: Manifest) -> list[dict[str, Any]]:
    """The records, and for each column its payloads with the names of their members, which begin with the key.

    Only the records where tars are not listed: what reads Croissant does not look into tars that a pattern names.
    """
    known = [field for field in manifest.record_fields if field.type in TYPES]
    records = [_field("records", field.name, TYPES[field.type], "samples", column=field.name) for field in known]
    for split in manifest.splits:
        field = _field("records", f"subset_{split}", TEXT_TYPE, "samples", column="subsets")
        field["source"]["transform"] = {"jsonPath": f"$.{split}"}
        records.append(field)
    sets = [_record_set("records", "One record for each video", records)]
    for name in manifest.columns if _lists_tars(manifest) else ():
        files = f"{name}/payloads"
        record_set = f"column-{name}"  # no column's name has a "-", so no other id is the same
        parts = [_field(record_set, "member", TEXT_TYPE, files, fileProperty="filename")]
        parts.append(_field(record_set, "payload", TEXT_TYPE, files, fileProperty="content"))
        sets.append(_record_set(record_set, manifest.column(name).contents, parts))
    return sets


def _record_set(name: str, description: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": OWN + name,
        "name": name,
        "description": description,
        "field": members,
    }


def _field(record_set: str, name: str, data_type: str, files: str, **extract: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{OWN}{record_set}/{name}",
        "name": name,
        "dataType": data_type,
        "source": {"fileSet": {"@id": OWN + files}, "extract": extract},
    }
