"""Shard sets: the contract between the build, the labs that share sets, and the models that train on them.

`ShardSet` opens a set and reads it, `verify` finds what is wrong with one, `sheet_of` draws a sample. Whatever is wrong
with a set is raised as `ShardError`.
"""

from shards.columns import COLUMNS
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sheet.draw import sheet_of
from shards.verify import verify  # the function; the module of this name is still imported from as shards.verify
from shards.version import __version__

__all__ = ["COLUMNS", "Manifest", "Sample", "ShardError", "ShardSet", "__version__", "sheet_of", "verify"]
