"""A command line of one verb, which tests run to see how it ends."""

from collections.abc import Callable

import click
from click.testing import CliRunner, Result

from shards.terminal import CommandGroup

Verb = Callable[[], int | None]


class RefusedError(Exception):
    """Expected."""


class StrangerError(RefusedError):
    """Expected, with a status of its own."""


def ended(verb: Verb, **settings: object) -> Result:
    """Run a command line with this verb, and return how it ends."""
    options = {"expected": {StrangerError: 4, RefusedError: 1, OSError: 1}, **settings}
    group = CommandGroup("tool", commands={"verb": click.Command("verb", callback=verb)}, **options)  # type: ignore[arg-type]
    return CliRunner().invoke(group, ["verb"])
