"""Which errors end a command with one line, and with which exit status."""

import errno

from ipmodel.errors import ModelError
from pipelines import RecipeError
from shards.errors import ShardError
from shards.terminal import REFUSED

RESUME = 75  # stopped by SIGTERM, with the state saved
REFUSALS = (ModelError, RecipeError, ShardError, OSError)
EXPECTED: dict[type[Exception], int] = dict.fromkeys((*REFUSALS, RuntimeError, MemoryError), REFUSED)
# Parts of PyTorch's messages when memory or a compiler is missing.
NO_MEMORY = ("MemoryError", "annot allocate memory", "can't allocate memory", "out of memory")
NO_COMPILER = ("InvalidCxxCompiler", "CppCompileError", "TritonMissing", "Failed to find C compiler")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def text_of(error: Exception) -> str | None:
    """What is wrong, and the cure; None for a bug, which keeps its traceback."""
    if not isinstance(error, REFUSALS):
        return _cure_of(error)
    text = str(error)
    if "Original Traceback" in text:  # of a loader's worker: its last line is the error's own
        text = text.strip().splitlines()[-1].partition("Error: ")[2]
    if isinstance(error, OSError) and error.errno in FULL:
        where = "" if error.filename else " on the disk, or in /dev/shm for loader processes"
        text += f"; make room{where}, then give the same command again"
    return text


def _cure_of(error: Exception) -> str | None:
    """The message for an error that the machine causes; None for a bug."""
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
