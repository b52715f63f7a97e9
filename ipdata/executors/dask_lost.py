"""Reports workers that were lost while they had work of a build. Dask gives that work to others without a word."""

import logging
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

SHOWN = 20  # lines; all are counted

LOG = logging.getLogger(__name__)


class LostWorkers:
    """Counts workers that the scheduler has lost. One that ends its work before it leaves is not lost."""

    def __init__(self, *, build: str) -> None:
        """build: ends the keys of the build's tasks."""
        self.count = 0
        self._build = build
        self._new: deque[tuple[str, int]] = deque()  # address, and how many tasks it had

    @contextmanager
    def noted(self, client: Client) -> Iterator[None]:
        """Note those that are lost in this block."""
        client.subscribe_topic("all", self._note)
        try:
            yield
        finally:
            with suppress(ClosedClientError):  # otherwise the scheduler would complain that this client has gone
                client.unsubscribe_topic("all")

    def _note(self, timed: tuple[float, Any]) -> None:
        """Called in the client's thread for each event of the scheduler."""
        _, event = timed
        if isinstance(event, dict) and event.get("action") == "remove-worker":
            keys = {*event.get("processing-tasks", ()), *event.get("lost-computed-tasks", ())}
            tasks = sum(str(key).endswith(self._build) for key in keys)
            if tasks:
                self._new.append((str(event.get("worker")), tasks))

    def report(self, *, known: Collection[str] = (), at_end: bool = False) -> None:
        """Say which were lost since the last call, and at the end how many were in all.

        known: addresses of workers of which something else tells; they are only counted.
        """
        while self._new:
            address, tasks = self._new.popleft()
            self.count += 1
            if self.count <= SHOWN and address not in known:
                LOG.warning("worker %s was lost with %d tasks of this build; others do them", address, tasks)
        if at_end and self.count:
            LOG.info("workers that were lost with work of this build: %d", self.count)
