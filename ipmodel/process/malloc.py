"""Keeps freed memory in the process, for its next clip or step."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's <malloc.h>
KEPT_BYTES = (2**31 - 1, 32 << 20)  # the largest int; the most that old versions of glibc accept


def keep_memory() -> None:
    """Makes glibc keep freed memory. Does nothing with other C libraries.

    By default glibc returns large blocks to the system at once. Getting fresh pages for every clip and every step took
    a fifth of a loader process's time, and of a training step's on a CPU (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Setting one of the two turns off glibc's automatic tuning of both, so the second alone would make things worse.
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size_bytes) for size_bytes in KEPT_BYTES):
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES[0])
