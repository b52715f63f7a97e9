"""RUN/run.json: the record of a run, which says what it was begun with."""

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

import pipelines
from ipmodel.errors import ModelError
from ipmodel.recipe import Phase, TrainRecipe
from shards.canonical import sha256_value
from shards.regular import read_regular

RUN = "run.json"
MAX_BYTES = 16 << 20
DRAWS = 2  # how training draws at random: 1, in 0.1.0, was with one seed for all phases; 2 is with one for each
Record = dict[str, Any]  # the JSON of run.json
# A 3D conv3 halved the number of frames before `time_padding` was a key, so such weights mean another network now.
EARLIER_CONV3 = "is of an earlier version, whose 3D conv3 halved the number of frames; train it again"

# Keys of the recipe that change no network. `train` may change those of OF_TRAINING_ALONE in a run that was begun.
OF_TRAINING_ALONE = ("workers", "checkpoint_minutes")
CHANGES_NO_NETWORK = ("streams", "fusions", *OF_TRAINING_ALONE)


def deciding_part(record: Record) -> Record:
    """The part of a record that decides the networks: without the set's location, and without how they are tested."""
    recipe = {key: value for key, value in record["recipe"].items() if key not in CHANGES_NO_NETWORK}
    phases = {
        name: {key: value for key, value in phase.items() if not key.startswith("test_")}
        for name, phase in recipe["phases"].items()
    }
    return {**record, "shards": "", "recipe": {**recipe, "phases": phases}}


def part_of(record: Record, name: str) -> dict[str, Any]:
    """What decides one phase's network: the data, the phase, and all phases that it builds on."""
    whole = deciding_part(record)
    recipe = whole["recipe"]
    chain, left = {}, [name] if name in recipe["phases"] else []
    while left:
        phase = left.pop()
        chain[phase] = recipe["phases"][phase]
        left += [other for other in (chain[phase]["init"], chain[phase]["teacher"]) if other]
    depths = {str(phase["depth"]) for phase in chain.values() if not phase["init"]}
    return {
        **{key: whole[key] for key in ("manifest_sha256", "classes", "draws")},
        "imagenet": {depth: sha256 for depth, sha256 in whole["imagenet"].items() if depth in depths},
        "recipe": {**{key: value for key, value in recipe.items() if key != "phases"}, "phases": chain},
    }


def read_record(path: Path) -> Record:
    """Reads run.json. Raises: ModelError if the file is damaged."""
    return parse_record(read_bounded(path, max_bytes=MAX_BYTES), path)


def read_bounded(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a file that a run or a bench left.

    Raises: ModelError that names it if it is larger, or no regular file; OSError.
    """
    try:
        return read_regular(path, max_bytes=max_bytes)
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        raise ModelError(f"{path}: {error.strerror}; copy it again") from None


def parse_record(data: bytes, where: str | Path) -> Record:
    """As `read_record`, from the bytes of a run.json. where: what errors call it."""
    try:
        begun = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not the record of a run ({error}); use another --out") from None
    return checked_record(begun, where)


def checked_record(begun: Any, path: str | Path) -> Record:
    """A record that a file holds. Keys that were added since then get their defaults, and `draws` that of 0.1.0.

    Raises: ModelError if it is none.
    """
    try:
        begun = {**begun, "recipe": _with_temperatures(begun["recipe"])}
        recipe = pipelines.from_table(TrainRecipe, begun["recipe"], where=str(path))
        missing = {"shards", "manifest_sha256", "classes", "imagenet"} - begun.keys()
        earlier = [name for name, phase in begun["recipe"]["phases"].items() if has_earlier_conv3(phase)]
        for key, kind in (("manifest_sha256", str), ("classes", list[str]), ("imagenet", dict[str, str])):
            msgspec.convert(begun.get(key, kind()), kind)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not the record of a run ({error}); use another --out") from None
    if missing:
        raise ModelError(f"{path} is not the record of a run: it lacks {', '.join(sorted(missing))}; use another --out")
    if earlier:
        raise ModelError(f"{path}: phase {earlier[0]} {EARLIER_CONV3}")
    return {"draws": 1, **begun, "recipe": as_json(recipe)}


def _with_temperatures(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of before `temperature_squared`, when soft labels always had the square."""
    phases = {}
    for name, phase in recipe["phases"].items():
        distillation = phase.get("distillation", {})
        if distillation.get("soft_label_weight") and "temperature_squared" not in distillation:
            phase = {**phase, "distillation": {**distillation, "temperature_squared": True}}
        phases[name] = phase
    return {**recipe, "phases": phases}


def has_earlier_conv3(values: Mapping[str, Any]) -> bool:
    """Whether these are the JSON of a phase, or of an architecture, whose conv3 is 3D as it was in earlier versions."""
    return "time_padding" not in values and values.get("last_2d_stage") in ("conv1", "conv2")


def as_json(recipe: TrainRecipe | Phase) -> dict[str, Any]:
    """A recipe, or a phase of it, as a record holds it: tuples are lists, as in JSON."""
    converted: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return converted


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Dotted names of the keys in which two records differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() | b.keys()
        return [name for key in keys for name in differences(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))]
    return [] if a == b else [path]


def tested_sha256(recipe: TrainRecipe) -> str:
    """The hash of what decides a network's figures besides its weights: its phase and its input, tests included."""
    values = as_json(recipe)
    return sha256_value({"phases": values["phases"], "input": values["input"]})
