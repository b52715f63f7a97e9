"""Finds the workers of a cluster that are not fit for a build, before the build gives them work."""

import pickle
import time
from collections.abc import Callable, Collection

from distributed import Client, Future

from ipdata.executors.selftest import SelfTest

LONGEST_S = 60.0  # workers that are busy for so long are not waited for: each takes the test before its first video
MORE_S = 10.0  # to wait for others once one is known not to be fit
POLL_S = 0.05


def unfit_workers(
    client: Client, test: SelfTest, present: Callable[[], Collection[str]], look: Callable[[], None]
) -> list[str]:
    """Why workers are not fit, a line for each that is not. All take the test at the same time.

    present: gives the addresses of the workers that are there. look: is called often, and may raise.
    """
    deadline_s, problems = time.monotonic() + LONGEST_S, list[str]()
    running = {address: _submitted(client, test, address) for address in present()}
    while running and time.monotonic() < deadline_s:
        look()
        for address in [address for address, future in running.items() if future.done()]:
            if problem := _problem(running.pop(address)):
                problems.append(problem)
                deadline_s = min(deadline_s, time.monotonic() + MORE_S)
        for address in running.keys() - set(present()):  # it has left, and nothing else may take its test
            running.pop(address).cancel()
        time.sleep(POLL_S)
    for future in running.values():
        future.cancel()
    return problems


def _submitted(client: Client, test: SelfTest, address: str) -> Future:
    """Have a worker take the test. A worker that cannot load what it is sent ends, so it is sent what all can load."""
    pickled = pickle.dumps(test)

    def problem() -> str:
        import pickle

        try:
            from ipdata.executors.dask_worker import problem_here

            sent = pickle.loads(pickled)
        except (ImportError, AttributeError, TypeError) as error:  # another version of this package, or none
            cure = "install the driver's version there"
            return f"worker {address} cannot run this build ({error}); {cure}"
        return problem_here(sent)

    key = f"self-test-{address}-{test.name}"
    return client.submit(problem, key=key, pure=False, workers=[address], priority=1)


def _problem(future: Future) -> str:
    """What a worker says; "" if it died, or was lost."""
    return "" if future.exception() is not None else str(future.result())
