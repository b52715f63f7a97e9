"""The most memory that a guard has seen, in a file of 8 bytes in memory that it shares with its worker."""

import os
import struct

BYTES = struct.Struct("<Q")
NONE = -1  # in place of a descriptor, where the system has no such files


def new_peak() -> int:
    """The descriptor of a new one, for both processes; NONE where the system has no files in memory."""
    return os.memfd_create("peak") if hasattr(os, "memfd_create") else NONE


def set_peak(descriptor: int, size_bytes: int) -> None:
    if descriptor != NONE:
        os.pwrite(descriptor, BYTES.pack(size_bytes), 0)


def raise_peak(descriptor: int, size_bytes: int) -> None:
    if size_bytes > peak_bytes(descriptor):
        set_peak(descriptor, size_bytes)


def peak_bytes(descriptor: int) -> int:
    """The most that was noted since it was set; 0 if nothing was."""
    if descriptor == NONE:
        return 0
    held = os.pread(descriptor, BYTES.size, 0)
    return int(BYTES.unpack(held)[0]) if len(held) == BYTES.size else 0
