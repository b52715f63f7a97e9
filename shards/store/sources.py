"""What reads below a URL, by its protocol."""

from shards.store.http import HttpSource
from shards.store.objects import ObjectSource
from shards.store.transport import Source


def source_of(url: str) -> Source:
    """What reads below a URL. Raises: ShardError if the packages for it are not installed."""
    return HttpSource(url) if url.startswith(("http://", "https://")) else ObjectSource(url.rstrip("/"))
