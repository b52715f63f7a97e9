"""Counts bytes while they move, for those who show it."""

import threading


class MovedBytes:
    """How many bytes have moved. A subclass shows it in `shown`. Several threads may call it at once."""

    def __init__(self) -> None:
        self.moved_bytes = 0  # that went over the network, or were copied
        self.done_bytes = 0  # moved, or found to be there already
        self.about_bytes = 0  # that will be done in all, roughly
        self._lock = threading.Lock()

    def begin(self, about_bytes: int) -> None:
        self.about_bytes = about_bytes

    def done(self, count_bytes: int, *, moved: bool = True) -> None:
        """Count bytes that are done; moved: False if they were there already."""
        with self._lock:
            self.done_bytes += count_bytes
            self.moved_bytes += count_bytes if moved else 0
            self.shown()

    def shown(self) -> None:
        """Called after every change."""
