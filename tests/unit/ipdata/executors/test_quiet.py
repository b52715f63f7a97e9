"""What Dask says by itself is not told beside what a build says."""

import asyncio
import gc
import logging

import pytest
from distributed.client import AllExit

from ipdata.executors.dask import quiet


@pytest.mark.parametrize(("error", "told"), [(AllExit, False), (ValueError, True)])
def test_a_result_that_a_closed_client_no_longer_wants_is_not_told(
    error: type[Exception], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    async def forget() -> None:
        asyncio.ensure_future(fail())  # noqa: RUF006 - nobody takes its exception
        await asyncio.sleep(0)

    with quiet(stealing=True):
        pass
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        asyncio.run(forget())
        gc.collect()
    assert bool(caplog.records) == told
