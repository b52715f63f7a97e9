"""Shard sets: the contract between the build, the labs that share sets, and the models that train on them."""

from shards.columns import COLUMNS
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.schema import Sample

__version__ = "0.1.0"  # of the distribution, for all four packages
__all__ = ["COLUMNS", "Manifest", "Sample", "ShardError", "ShardSet", "__version__"]
