"""What an interrupted `ipdata derive` was making, in `.deriving/plan.json`; and whether it ran here.

A directory that came from elsewhere may bring a `.deriving/` whose files are not what its receipts claim. So the plan
has a random token, and the cache of this machine notes for which directory it was drawn. What has no such token is made
anew.
"""

import logging
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from ipdata.errors import BuildError
from shards.atomic import write_published
from shards.canonical import dumps, loads
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.store.cache import VARIABLE, cache_dir

WORK = ".deriving"  # in the set: what is made, and receipts; gone when the set is complete
PLAN = "plan.json"  # in WORK
TOKEN = re.compile("[0-9a-f]{32}")

LOG = logging.getLogger(__name__)


def begun_plan(work: Path) -> dict[str, Any] | None:
    """The plan of an interrupted run in this directory on this machine; None if there is none."""
    path = work / PLAN
    try:
        plan = loads(path.read_bytes(), where=str(path))
        known = _note(plan["token"]).read_bytes() == _spelt(work)
    except (OSError, ShardError, KeyError, TypeError):
        return None
    return plan if known else None


def write_plan(work: Path, plan: dict[str, Any], *, temporary_dir: Path) -> None:
    """Note what a run is making. Raises: BuildError if the cache cannot be written."""
    token = (begun_plan(work) or {}).get("token") or secrets.token_hex(16)
    note = _note(token)
    try:
        write_published(note, _spelt(work), temporary_dir=note.parent)
    except OSError as error:
        cure = f"name another directory for the cache in ${VARIABLE}"
        raise BuildError(f"{note.parent}: cannot be written: {error.strerror}; {cure}") from None
    write_published(work / PLAN, dumps({**plan, "token": token}), temporary_dir=temporary_dir)


def clear(work: Path, manifest: Manifest) -> None:
    """Remove what came from elsewhere, and what a run left that was killed when its columns were in the set already."""
    plan = begun_plan(work)
    if work.exists() and (plan is None or plan["columns"].keys() <= manifest.columns.keys()):
        LOG.info("%s: removed; it is of no run on this machine that can go on", work)
        remove(work)


def remove(work: Path) -> None:
    """Remove the directory, and the note about it. Raises: OSError."""
    plan = begun_plan(work)
    shutil.rmtree(work)
    if plan is not None:
        _note(plan["token"]).unlink(missing_ok=True)


def _note(token: Any) -> Path:
    if not TOKEN.fullmatch(token):
        raise KeyError(token)
    return cache_dir() / "deriving" / token


def _spelt(work: Path) -> bytes:
    return os.fsencode(work.resolve())
