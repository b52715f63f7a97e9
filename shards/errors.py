"""The one exception of this package, and a cure that several errors name."""


class ShardError(ValueError):
    """A shard set, a record or a payload is not what the format says; the message tells what, where and the cure."""


def install(extra: str) -> str:
    """How to get the packages of an extra. This package is on no index, so its name alone installs nothing."""
    return (
        f"install them with `pip install '.[{extra}]'` in a checkout, or `pip install 'FILE.whl[{extra}]'` of a wheel"
    )
