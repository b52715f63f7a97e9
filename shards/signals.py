"""What Ctrl-C and SIGTERM do to a command: they interrupt it at once, or are noted for a place that is safe."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

PATIENCE_S = 5.0  # a second interrupt that comes later than this after the first is raised at once

Arrivals = list[int]  # when signals came, in ns of time.monotonic_ns
Handler = Callable[..., Any] | signal.Handlers


@contextmanager
def handled(
    numbers: Sequence[signal.Signals], handler: Handler, *, even_ignored: bool = False, then_ignored: Sequence[int] = ()
) -> Iterator[None]:
    """Handle signals with this handler, and as before at the end.

    even_ignored: handle also signals that are ignored now. Without it they stay ignored, as Ctrl-C does in a command
        that a shell runs in the background.
    then_ignored: if this is not empty at the end, the signals are ignored from then on.

    Outside the main thread Python allows no handlers, and this does nothing.
    """
    here = threading.current_thread() is threading.main_thread()
    chosen = [number for number in numbers if here and (even_ignored or signal.getsignal(number) != signal.SIG_IGN)]
    before = [signal.signal(number, handler) for number in chosen]
    try:
        yield
    finally:
        for number, earlier in zip(chosen, before, strict=True):
            signal.signal(number, signal.SIG_IGN if then_ignored else earlier)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, unless it is ignored, or a program around this one handles it."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _interrupt:  # otherwise the verb ignores it from now on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def interrupts_noted() -> Iterator[Arrivals]:
    """Note Ctrl-C and SIGTERM; raise KeyboardInterrupt at the end if one came.

    Raised at once, they could be lost in a finaliser of Dask's, where Python drops exceptions, or break its closing.
    One that is repeated after PATIENCE_S is raised at once: something hangs.
    """
    received_ns: Arrivals = []

    def note(*_: object) -> None:
        received_ns.append(time.monotonic_ns())
        if received_ns[-1] - received_ns[0] > PATIENCE_S * 1e9:
            raise KeyboardInterrupt

    try:
        with handled((signal.SIGINT, signal.SIGTERM), note):
            yield received_ns
    finally:
        if received_ns:  # instead of another error, such as that of workers which were interrupted as they started
            raise KeyboardInterrupt


@contextmanager
def sigterm_noted() -> Iterator[Arrivals]:
    """Note SIGTERM, also where it was ignored. Once it came, it is ignored for the rest of the process.

    Batch schedulers send it some time before they kill.
    """
    received_ns: Arrivals = []

    def note(*_: object) -> None:
        received_ns.append(time.monotonic_ns())

    with handled([signal.SIGTERM], note, even_ignored=True, then_ignored=received_ns):
        yield received_ns
