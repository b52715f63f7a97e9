"""What a run was begun with: RUN/run.json."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ipmodel.errors import ModelError
from ipmodel.recipe import TrainRecipe
from pipelines import build

RUN = "run.json"
OF_TRAINING_ALONE = ("workers", "checkpoint_minutes")
OUTSIDE = ("streams", "fusions", *OF_TRAINING_ALONE)  # keys that no network depends on


def identity(record: dict[str, Any]) -> dict[str, Any]:
    """What decides a run's networks, of its record: not where the set lies, nor what is done with the networks."""
    recipe = {key: value for key, value in record["recipe"].items() if key not in OUTSIDE}
    phases = {
        name: {key: value for key, value in phase.items() if not key.startswith("test_")}
        for name, phase in recipe["phases"].items()
    }
    return {**record, "shards": "", "recipe": {**recipe, "phases": phases}}


def read_record(path: Path) -> dict[str, Any]:
    """A run's record; keys that the recipe has got since have their defaults. Raises: ModelError if it is damaged."""
    try:
        begun: dict[str, Any] = json.loads(path.read_text())
        recipe = build(TrainRecipe, begun["recipe"], where=str(path))
        missing = {"shards", "manifest_sha256", "classes", "imagenet"} - begun.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: no record of a run ({error}); use another --out") from None
    if missing:
        raise ModelError(f"{path}: no record of a run: it lacks {', '.join(sorted(missing))}; use another --out")
    return {**begun, "recipe": json.loads(json.dumps(asdict(recipe)))}


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Dotted names of what differs."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() | b.keys()
        return [name for key in keys for name in differences(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))]
    return [] if a == b else [path]
