"""The one exception of this package."""


class ShardError(ValueError):
    """A shard set, a record or a payload is not what the format says; the message tells what, where and the cure."""
