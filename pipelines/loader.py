"""Reads recipes: TOML into nested frozen dataclasses. It refuses unknown keys and wrong types, and guesses nothing.

A recipe may begin with `base = "NAME"`. Then it states only what differs from that packaged recipe.
"""

import math
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

Recipe = TypeVar("Recipe")
MAX_FILE_BYTES = 1 << 20  # of a recipe; those of the package have less than 3 kB
TOO_DEEP = "a value of it, or of --set, is nested too deep"


class RecipeError(ValueError):
    """A recipe cannot be read; the message names the file, the key and what is allowed."""


def names(kind: str) -> list[str]:
    """Names of the recipes of a kind ("build", "train") that come with the package."""
    folder = resources.files("pipelines") / kind
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(schema: type[Recipe], kind: str, name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a file, apply `key=value` overrides, and check it against a dataclass.

    Overrides are dotted keys with TOML values ("transcode.width=224"). A value that is not TOML counts as a string.

    Raises: RecipeError for an unknown recipe or key, a missing key, and a wrong value.
    """
    try:
        where, table = _table_of(kind, name_or_file)
    except RecursionError:
        raise RecipeError(f"{name_or_file}: {TOO_DEEP}") from None
    return from_table(schema, table, where=where, overrides=overrides)


def from_table(schema: type[Recipe], table: dict[str, Any], *, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Check a stored table, such as that of a run's record, as strictly as a file, after applying overrides.

    Raises: RecipeError for an unknown or missing key and for a wrong value; it begins with `where`.
    """
    try:
        table = deepcopy(table)
        for override in overrides:
            _override(table, override)
        recipe: Recipe = _build(schema, table, where=where, path="")
    except RecursionError:
        raise RecipeError(f"{where}: {TOO_DEEP}") from None
    return recipe


def _table_of(kind: str, name_or_file: str) -> tuple[str, dict[str, Any]]:
    """The recipe's name for messages, and its table merged over that of its base."""
    where, text = _text_of(kind, name_or_file)
    try:
        table = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        raise RecipeError(f"{where}: not TOML: {error}") from None
    if "base" not in table:
        return where, table
    base = table.pop("base")
    if base not in names(kind) or base == name_or_file:
        others = ", ".join(name for name in names(kind) if name != name_or_file)
        raise RecipeError(f"{where}: base must be one of {others}, got {base!r}")
    return where, _merged(_table_of(kind, base)[1], table)


def _merged(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """Merge `table` over `base`, and nested tables likewise."""
    merged = dict(base)
    for key, value in table.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _text_of(kind: str, name_or_file: str) -> tuple[str, str]:
    if name_or_file in names(kind):
        entry = resources.files("pipelines") / kind / f"{name_or_file}.toml"
        return f"recipe {name_or_file}", entry.read_text("utf-8")
    path = Path(name_or_file)
    if not path.is_file():
        word = "profile" if kind == "clusters" else "recipe"
        raise RecipeError(f"no {word} {name_or_file!r}: it is neither a file nor one of {', '.join(names(kind))}")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RecipeError(f"{path}: has more than {MAX_FILE_BYTES} bytes, so it is no recipe")
        return str(path), path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def _override(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise RecipeError(f"--set {override!r}: expected key=value; a table's keys are dotted, as in table.key=3")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except ValueError:  # a TOMLDecodeError, or a number of thousands of digits
        parsed = {"value": text}
    value = parsed["value"] if len(parsed) == 1 else text  # a line break in the text could add other keys
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {override!r}: {part} is a value, not a table")
    table[parts[-1]] = value


def _build(schema: Any, table: dict[str, Any], *, where: str, path: str) -> Any:
    known = {field.name: field for field in fields(schema)}
    for key in table:
        if key not in known:
            raise RecipeError(f"{where}: unknown key {path + key}; known here: {', '.join(known)}")
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(field.type, table[name], where=where, path=path + name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecipeError(f"{where}: missing key {path + name}; it must be {_spell(field.type)}")
    try:
        return schema(**values)
    except ValueError as error:
        raise RecipeError(f"{where}: {path.rstrip('.') or 'recipe'}: {error}") from None


def _value(expected: Any, value: Any, *, where: str, path: str) -> Any:
    if is_dataclass(expected) and isinstance(value, dict):
        return _build(expected, value, where=where, path=f"{path}.")
    if get_origin(expected) is dict and isinstance(value, dict):  # the recipe chooses the keys
        item = get_args(expected)[1]
        return {key: _value(item, entry, where=where, path=f"{path}.{key}") for key, entry in value.items()}
    if get_origin(expected) is tuple and isinstance(value, list):
        item = get_args(expected)[0]
        return tuple(_value(item, entry, where=where, path=f"{path}[{n}]") for n, entry in enumerate(value))
    if expected is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{where}: {path} must be {_spell(expected)}, and is too large") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{where}: {path} must be {_spell(expected)}, got {value}")
    if isinstance(expected, UnionType):  # "int | None": TOML has no null, so absence is None
        return _value(get_args(expected)[0], value, where=where, path=path)
    if get_origin(expected) is Literal:
        allowed = any(type(value) is type(choice) and value == choice for choice in get_args(expected))
    else:
        allowed = expected in (bool, int, float, str) and type(value) is expected
    if not allowed:
        raise RecipeError(f"{where}: {path} must be {_spell(expected)}, got {value!r}")
    return value


def _spell(expected: Any) -> str:
    """Name a type in words that a person who writes TOML knows."""
    if get_origin(expected) is Literal:
        return "one of " + ", ".join(map(repr, get_args(expected)))
    if get_origin(expected) is tuple:
        return f"a list, each entry {_spell(get_args(expected)[0])}"
    if isinstance(expected, UnionType):
        return _spell(get_args(expected)[0])
    if get_origin(expected) is dict:
        return f"a table, each entry {_spell(get_args(expected)[1])}"
    if is_dataclass(expected):
        return f"a table of {', '.join(field.name for field in fields(expected))}"
    return {bool: "true or false", int: "a whole number", float: "a finite number", str: "a string"}[expected]
