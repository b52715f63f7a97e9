"""How a command ends: errors as lines that say what and the cure, and an exit status."""

import errno
import sys
from collections.abc import Callable

import click

from ipmodel.errors import ModelError
from pipelines import RecipeError
from shards.errors import ShardError

REFUSED, RESUME, INTERRUPTED = 1, 75, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def errors_as_lines(run: Callable[[], int]) -> None:
    """Run a command, which gives its exit status, and end the process with it."""
    try:
        status = run()
    except (ModelError, RecipeError, ShardError, OSError) as error:
        text = str(error)
        if "Original Traceback" in text:  # of a loader's worker: its last line is the error's own
            text = text.strip().splitlines()[-1].partition("Error: ")[2]
        if isinstance(error, OSError) and error.errno in FULL:
            text += "; make room, then give the same command again"
        click.echo(f"error: {text}", err=True)
        status = REFUSED
    except RuntimeError as error:
        if str(error).startswith("DataLoader worker"):
            text = f"{error} If memory was short, use fewer: --set workers=1"
        elif "gloo" in str(error) or type(error).__name__.startswith("Dist"):  # torch.distributed's
            text = _between_ranks(str(error))
        else:
            raise
        click.echo(f"error: {text}", err=True)
        status = REFUSED
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on from the last checkpoint", err=True)
        status = INTERRUPTED
    sys.exit(status)


def _between_ranks(text: str) -> str:
    if any(lost in text for lost in ("Connection closed", "Connection reset", "remote process exited")):
        return "another process that torchrun started has ended; its own error says why"
    return f"the processes that torchrun started cannot reach each other: {'; '.join(text.strip().splitlines())}"
