"""What writes below a URL, by its protocol."""

from shards.errors import ShardError
from shards.store.hub import HUB
from shards.store.hub_store import HubStore
from shards.store.upload import DirectoryStore, ObjectStore, Store
from shards.store.urls import shown


def store_of(url: str) -> Store:
    """What writes below a URL. Raises: ShardError if nothing can be written there, or packages are missing."""
    protocol = url.split("://", 1)[0]
    if protocol == "file":
        return DirectoryStore(url.rstrip("/"))
    if protocol in ("http", "https"):
        cure = "push to s3://, gs://, az://, hf:// or file://, or copy them with your server's own tools"
        raise ShardError(f"{shown(url)}: sets cannot be pushed over HTTP; {cure}")
    if url.startswith(HUB):
        return HubStore(url.rstrip("/"))
    return ObjectStore(url.rstrip("/"))
