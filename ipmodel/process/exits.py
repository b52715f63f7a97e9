"""How a command ends: errors as lines that say what and the cure, and an exit status."""

import errno
import sys
from collections.abc import Callable

import click

from ipmodel.errors import ModelError
from pipelines import RecipeError
from shards.errors import ShardError

REFUSED, RESUME, INTERRUPTED = 1, 75, 130
# What PyTorch says where memory or a compiler is lacking; of a loader process, and of torch.compile, as part of a text.
NO_MEMORY = ("MemoryError", "annot allocate memory", "can't allocate memory", "out of memory")
NO_COMPILER = ("InvalidCxxCompiler", "CppCompileError", "TritonMissing", "Failed to find C compiler")
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
            where = "" if error.filename else " on the disk, or in /dev/shm for loader processes"
            text += f"; make room{where}, then give the same command again"
        click.echo(f"error: {text}", err=True)
        status = REFUSED
    except (RuntimeError, MemoryError) as error:
        cure = _cure_of(error)
        if cure is None:
            raise
        click.echo(f"error: {cure}", err=True)
        status = REFUSED
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on from the last checkpoint", err=True)
        status = INTERRUPTED
    sys.exit(status)


def _cure_of(error: RuntimeError | MemoryError) -> str | None:
    """What went wrong and what to do, where it is nobody's bug but the machine's lack of something."""
    name, text = type(error).__name__, str(error)
    last = text.strip().splitlines()[-1] if text.strip() else name
    if "out of shared memory" in text or ("shared memory" in text and "No space left" in text):
        cure = "give it more (`docker run --shm-size=8g`), or load without: --set workers=0"
        return f"a loader process found no shared memory for a batch (/dev/shm): {cure}"
    if text.startswith("DataLoader worker"):
        return f"{text} If memory was short, use fewer: --set workers=1"
    if isinstance(error, MemoryError) or any(said in text for said in NO_MEMORY):
        cure = "make the phase's batch smaller, or its accumulate larger, and use another --out"
        return f"no memory left ({last}); {cure}; in eval, make test_segments smaller"
    if any(said in text for said in NO_COMPILER):
        return f"torch.compile failed ({last}); install the compiler, or use compile=false and another --out"
    if "gloo" in text or name.startswith("Dist"):  # torch.distributed's
        return _between_ranks(text)
    return None


def _between_ranks(text: str) -> str:
    if any(lost in text for lost in ("Connection closed", "Connection reset", "remote process exited")):
        return "another process that torchrun started has ended; its own error says why"
    return f"the processes that torchrun started cannot reach each other: {'; '.join(text.strip().splitlines())}"
