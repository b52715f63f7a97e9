"""The exception that this package raises, and a cure that several messages share."""


class ShardError(ValueError):
    """A shard set, a record or a payload breaks the rules of the format; the message says what, where, and the cure."""


def install(extra: str) -> str:
    """How to install an extra's packages, as part of a message. This package is on no index: pip needs its path."""
    return (
        f"install them with `pip install '.[{extra}]'` in a checkout, or `pip install 'FILE.whl[{extra}]'` of a wheel"
    )
