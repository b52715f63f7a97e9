"""Repositories on the Hugging Face hub: the commit of a revision, its files, and new commits.

The only module that imports huggingface_hub.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from shards.errors import ShardError, install
from shards.store.transport import WAITS_S, NotReceivedError

HUB = "hf://"
URL = re.compile(r"hf://(datasets/|)([^/@]+/[^/@]+)(?:@(refs/[^/]+/[^/]+|[^/]+))?(?:/(.+))?")
DATASETS = "datasets/"  # begins the names of repositories of data sets; those of models have nothing there
MOVED_ON = 412  # what the hub answers if the branch is no longer at the parent of a commit
PASSING = (408, 425, 429)  # client errors that may go away
LARGE_BYTES = 1 << 20  # smaller files travel within the commit, or just before it
ACCESS = "check the name; if it is private or gated, log in with `hf auth login` or set $HF_TOKEN"


class MovedOnError(Exception):
    """A branch has got a commit that we do not know."""


@dataclass(frozen=True)
class Entry:
    """What the hub knows about a file."""

    size_bytes: int
    blob: str  # git's SHA-1 of the file, or of the pointer to it
    sha256: str | None  # of large files


@dataclass(frozen=True)
class HubPlace:
    """A folder in a repository, at a revision."""

    repository: str  # USER/REPOSITORY
    revision: str | None  # None: the default branch
    folder: str  # "": the top
    of_models: bool = False  # otherwise it is a repository of data sets

    @classmethod
    def of(cls, url: str, *, models: bool = False) -> "HubPlace":
        """The place that a URL names. models: it may be in a repository of models too, hf://USER/REPOSITORY.

        Raises: ShardError if it names none.
        """
        found = URL.fullmatch(url)
        if found is None or not (found[1] or models):
            kind, begin = ("repository", HUB) if models else ("repository of data sets", f"{HUB}{DATASETS}")
            form = f"{begin}USER/REPOSITORY, with @REVISION and a folder if you like"
            raise ShardError(f"{url}: is no {kind}; write it as {form}")
        return cls(found[2], None if found[3] is None else unquote(found[3]), found[4] or "", of_models=not found[1])

    @property
    def _kind(self) -> str:
        return "" if self.of_models else DATASETS

    def at(self, commit: str) -> str:
        """The URL of this place in one commit."""
        place = f"{HUB}{self._kind}{self.repository}@{quote(commit, safe='')}"
        return place + (f"/{self.folder}" if self.folder else "")

    def path(self, relative: str) -> str:
        """Where a file of the place lies in the repository."""
        return f"{self.folder}/{relative}" if self.folder else relative

    def commit(self) -> str:
        """The hash of the commit that the revision is at. Raises: NotReceivedError; ShardError."""
        api, _ = self._opened()
        try:
            info = api.model_info if self.of_models else api.dataset_info
            sha = info(self.repository, revision=self.revision).sha
        except Exception as error:
            raise self._named(error) from None
        if sha is None:
            raise NotReceivedError("the repository has no commit yet; add a file on its page first", retries=0)
        return str(sha)

    def entries(self, commit: str) -> dict[str, Entry]:
        """All files of the repository in a commit, by path. Raises: NotReceivedError."""
        api, hub = self._opened()
        try:
            listed = list(api.list_repo_tree(self.repository, repo_type="dataset", revision=commit, recursive=True))
        except Exception as error:
            raise self._named(error) from None
        files = [item for item in listed if isinstance(item, hub.hf_api.RepoFile)]
        return {file.path: Entry(file.size, file.blob_id, file.lfs.sha256 if file.lfs else None) for file in files}

    def addition(self, path: str, content: Path | bytes) -> Any:
        """A file for a commit, at a path in the repository; a large one is uploaded now. Raises: NotReceivedError."""
        api, hub = self._opened()
        added = hub.CommitOperationAdd(path, content)
        if added.upload_info.size >= LARGE_BYTES:
            try:
                api.preupload_lfs_files(self.repository, [added], **self._branch, free_memory=False)
            except Exception as error:
                raise self._named(error) from None
        return added

    def add_commit(self, changes: Mapping[str, Any], *, parent: str, message: str) -> str:
        """Make one commit; return its hash. changes: additions, by path; None for a file that goes.

        Raises: MovedOnError if the branch is not at `parent`; NotReceivedError.
        """
        api, hub = self._opened()
        added = [change or hub.CommitOperationDelete(path) for path, change in changes.items()]
        try:
            done = api.create_commit(
                self.repository, added, commit_message=message, parent_commit=parent, **self._branch
            )
        except Exception as error:
            if _status(error) == MOVED_ON:
                raise MovedOnError from None
            raise self._named(error) from None
        return str(done.oid)

    @property
    def _branch(self) -> dict[str, str | None]:
        return {"repo_type": "dataset", "revision": self.revision}

    def _opened(self) -> tuple[Any, Any]:
        try:
            import huggingface_hub
            from huggingface_hub.utils import disable_progress_bars
        except ImportError as error:
            cure = f"{install('hf')}, or copy the set to a local disk"
            url = f"{HUB}{self._kind}{self.repository}"
            raise ShardError(f"{url}: this needs packages that are missing ({error}); {cure}") from None
        disable_progress_bars()  # the command line has its own
        return huggingface_hub.HfApi(), huggingface_hub

    def _named(self, error: Exception) -> NotReceivedError:
        """Say in one line what the hub refused, and what a person can do."""
        from huggingface_hub import errors

        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, errors.RepositoryNotFoundError):
            return NotReceivedError(f"the hub has no such repository, or not for us; {ACCESS}", retries=0)
        if isinstance(error, errors.RevisionNotFoundError):
            return NotReceivedError(
                f"the repository has no revision {self.revision or 'main'}; check the part after the @", retries=0
            )
        status = _status(error)
        if isinstance(error, ValueError) or (400 <= status < 500 and status not in PASSING):
            return NotReceivedError(f"the hub refuses ({said}); check the URL and what your token may do", retries=0)
        reason = f"the hub does not do it ({said}); check the network, and run the same command again later"
        return NotReceivedError(reason, retries=len(WAITS_S), wait_s=_wait_s(error))


def pinned(url: str, *, models: bool = False) -> str:
    """The same place in the commit that it is at now. models: as for `HubPlace.of`.

    Raises: NotReceivedError; ShardError.
    """
    place = HubPlace.of(url, models=models)
    return place.at(place.commit())


def _status(error: Exception) -> int:
    """The HTTP status of an error of the hub; 0 if it has none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _wait_s(error: Exception) -> float:
    """How long the hub asks to wait; 0 if it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0
