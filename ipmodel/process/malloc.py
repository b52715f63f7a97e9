"""Memory that a process keeps for its next clip or step."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's <malloc.h>
KEPT_BYTES = (2**31 - 1, 32 << 20)  # what its type can hold; what old versions take


def keep_memory() -> None:
    """Have glibc keep what is freed; other C libraries are left as they are.

    It gives large blocks back to the system at once, and fresh pages for every clip and every step cost a fifth of a
    loader process's time, and of a step's on a CPU (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Setting either ends its own adapting of both, so the second alone would make things worse.
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size_bytes) for size_bytes in KEPT_BYTES):
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES[0])
