"""Shard sets: the contract between the build, the labs that share sets, and the models that train on them.

`ShardSet` opens and reads a set, `verify` lists the problems of a set, and `sheet_of` draws a sample. Every error about
a set is a `ShardError`.
"""

from shards.columns import COLUMNS
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sheet.draw import sheet_of
from shards.verify import verify  # the function; `from shards.verify import ...` still finds the module of this name
from shards.version import __version__

__all__ = ["COLUMNS", "Manifest", "Sample", "ShardError", "ShardSet", "__version__", "sheet_of", "verify"]
