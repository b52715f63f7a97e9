"""Whose fault a failure is: the video's, or this machine's. A machine's fault stops a build and costs no video."""

import errno
import signal

# These errors of reading any file are the machine's fault: no space, quota, file handles or memory left.
THIS_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}

# Signals that a process gets for what its own code did. All others come from outside.
OF_ITS_OWN_CODE = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}

MORE_MEMORY = "Linux does so when memory runs out: give it more memory, or run fewer workers. Then run this again"


def was_killed(status: int) -> bool:
    """Tell whether a process was ended from outside, and not by a fault of its own. status: as subprocess gives it."""
    return status < 0 and -status not in OF_ITS_OWN_CODE


def ending_of(status: int) -> str:
    """How a process ended, for messages: "SIGSEGV" or "status 1". status: as subprocess gives it."""
    try:
        return signal.Signals(-status).name if status < 0 else f"status {status}"
    except ValueError:  # a real-time signal
        return f"signal {-status}"
