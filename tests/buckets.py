"""A bucket of an S3 server on the loopback. The server is named in the environment alone, as a user would do it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import s3fs
from moto.server import ThreadedMotoServer

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def bucket(name: str) -> Iterator[str]:
    """The URL of a new bucket. Names must differ within a process, because its servers share their buckets."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    s3fs.S3FileSystem.clear_instance_cache()  # of those that know an earlier server
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in ENVIRONMENT.items():
            environment.setenv(variable, value)
        environment.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
        yield f"s3://{name}"
    server.stop()
