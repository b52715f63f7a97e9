"""Fetches what the tasks of a build have given, many results at once."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import suppress
from typing import Any

from distributed import Client, Future

from ipdata.errors import BuildError

RESULT_S = 10.0  # how long to wait for the results of tasks that are done
LATE_S = 1.0  # how long to wait for one that was late before
POLL_S = 0.05
GONE = "the Dask scheduler is gone; start one, and run this again: what is done is kept"


class Results:
    """Fetches results, and never waits long for those that a frozen worker holds."""

    def __init__(self, client: Client, look: Callable[[], None]) -> None:
        """look: is called often while results are waited for, and may raise."""
        self.client, self.look = client, look
        self._late: set[Future] = set()  # finished, but their results did not come in time

    def of(self, done: Sequence[Future]) -> dict[Future, Any]:
        """What futures have given. Those that failed, or whose results are lost or late, are left out.

        All are fetched together. If that takes too long, each is fetched by itself. What is late even then is fetched
        apart from the others from then on.

        Raises: BuildError if the scheduler is gone; what `look` raises.
        """
        finished = [future for future in done if future.status == "finished"]
        prompt = [future for future in finished if future not in self._late]
        results: dict[Future, Any] = {}
        try:
            results = self._gathered(prompt, within_s=RESULT_S)
        except TimeoutError:
            self._late.update(prompt)
        for future in self._late.intersection(done):
            with suppress(TimeoutError):
                results.update(self._gathered([future], within_s=LATE_S))
                self._late.remove(future)
        return results

    def _gathered(self, futures: Sequence[Future], *, within_s: float) -> dict[Future, Any]:
        """Results of futures, without those that are lost or failed. Raises: TimeoutError; as `of`."""
        if not futures:
            return {}
        gathered = self.client.gather(dict(enumerate(futures)), errors="skip", asynchronous=True)
        loop: Any = self.client.loop
        promise = asyncio.run_coroutine_threadsafe(gathered, loop.asyncio_loop)
        ends_s = time.monotonic() + within_s
        try:
            while not wait([promise], timeout=POLL_S).done:
                self.look()
                if time.monotonic() > ends_s:
                    raise TimeoutError(f"no results within {within_s:g} s")
            error = promise.exception()
        finally:
            promise.cancel()
        if isinstance(error, OSError):
            raise BuildError(GONE) from None
        return {futures[number]: result for number, result in promise.result().items() if result is not None}
