"""What reads below a URL, by its protocol."""

from shards.store.http import HttpSource
from shards.store.objects import ObjectSource
from shards.store.transport import Source


def source_of(url: str, *, models: bool = False) -> Source:
    """What reads below a URL. models: hf://USER/REPOSITORY, a repository of models, will do too.

    Raises: ShardError if the packages for it are not installed.
    """
    is_web = url.startswith(("http://", "https://"))
    return HttpSource(url) if is_web else ObjectSource(url.rstrip("/"), models=models)
